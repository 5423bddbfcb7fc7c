"""Types lines into an interactive shell on a pseudo terminal, presses TAB behind
each, and prints what then stands on the command line.

type_and_tab.py bash|zsh BINARY < lines
"""
import os
import pty
import sys

SETUP = {
    "bash": r"""
PS1=; PS2=; bind 'set enable-bracketed-paste off'
eval "$("$BINARY" completions bash)"; complete -F _edgesvc "$BINARY"
show() { printf '<<%s>>\n' "$READLINE_LINE"; READLINE_LINE=; }; bind -x '"\C-g\C-g": show'
""",
    "zsh": r"""
PROMPT=; unsetopt zle_bracketed_paste prompt_cr prompt_sp; zmodload zsh/zle
autoload -U compinit; compinit -u -D
eval "$("$BINARY" completions zsh)"; compdef _edgesvc "$BINARY"
show() { zle -I; print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N show; bindkey '^G^G' show
""",
}
ARGUMENTS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
SECONDS_MAX = 60


def main():
    shell, binary = sys.argv[1:]
    lines = sys.stdin.read().splitlines()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(BINARY=binary, TERM="dumb")
        os.execvp(shell, ARGUMENTS[shell])
    # A shell that never answers must not keep the test.
    import signal

    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(SECONDS_MAX)
    seen = ""

    def until(mark):
        nonlocal seen
        while mark not in seen:
            try:
                seen += os.read(terminal, 65536).decode(errors="replace").replace("\r", "")
            except OSError:
                sys.exit(f"{shell} ended; it said:\n{seen}")
        before, seen = seen.split(mark, 1)
        return before

    for line in SETUP[shell].strip().splitlines():
        os.write(terminal, line.encode() + b"\n")
    # Parted, so that the echo of the line is not taken for its output.
    os.write(terminal, b"echo be'gin'\n")
    until("begin\n")
    for line in lines:
        os.write(terminal, f"{binary} {line}\t\x07\x07".encode())
        until("<<" + binary + " ")
        print(until(">>"))
    os.kill(pid, signal.SIGKILL)


main()
