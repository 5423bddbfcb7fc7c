//! `edgesvc completions`: a few lines for the shell that ask `edgesvc __complete`
//! what may stand at the cursor. The answer comes from the definition of the
//! command line and, for names, from the server, so that nothing can be stale.

mod wanted;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::args::{Cli, Server};
use super::client::Ask;
use super::exit::Failure;
use super::output;
use super::resource;
use crate::model::Kind;
use wanted::{Line, Wanted};

/// Nobody waits longer for a list of names.
const NAMES_WAIT_MAX: Duration = Duration::from_secs(2);

/// A shell we have lines for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// `source <(edgesvc completions bash)`
    Bash,
    /// `source <(edgesvc completions zsh)`
    Zsh,
    /// `edgesvc completions fish | source`
    Fish,
}

/// What is printed instead of candidates when a file is wanted.
const FILES: &str = ":files";

// The line is read again, because bash parts words at `=` and `:`; what stands
// before the last of them is not part of the word that bash completes.
const BASH: &str = r#"# bash completion for edgesvc: source <(edgesvc completions bash)
_edgesvc() {
    local line="${COMP_LINE:0:COMP_POINT}" before found IFS
    local -a words
    read -ra words <<<"$line"
    if [[ "$line" == *[[:space:]] ]]; then words+=(""); fi
    IFS=$'\n'
    found=($("${COMP_WORDS[0]}" __complete -- "${words[@]:1}" 2>/dev/null))
    COMPREPLY=()
    if [[ "${found[0]}" == ":files" ]]; then compopt -o default 2>/dev/null; return; fi
    before="${words[-1]%"${words[-1]##*[=:]}"}"
    COMPREPLY=("${found[@]#"$before"}")
    # An argument follows.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/=] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _edgesvc edgesvc
"#;

const ZSH: &str = r#"#compdef edgesvc
# zsh completion for edgesvc: source <(edgesvc completions zsh)
_edgesvc() {
    local -a found open
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == ":files" ]]; then compset -P '-*='; _files; return; fi
    # An argument follows these.
    open=("${(@M)found:#*[/=]}")
    found=("${(@)found:#*[/=]}")
    compadd -S '' -- "${(@)open:#}"
    compadd -- "${(@)found:#}"
}
compdef _edgesvc edgesvc
"#;

const FISH: &str = r#"# fish completion for edgesvc: edgesvc completions fish | source
function __edgesvc_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..-1] $token 2>/dev/null)
    if test "$found" = ":files"
        set -l before (string match -r -- '^-[^=]*=' $token)
        for path in (__fish_complete_path (string replace -- "$before" '' $token))
            echo "$before$path"
        end
        return
    end
    printf '%s\n' $found
end
complete -c edgesvc -f -a '(__edgesvc_complete)'
"#;

/// The lines for a shell.
pub(super) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    }
}

/// Prints what may stand at the cursor, a line each. Whatever fails is no answer:
/// a shell that is about to complete a word cannot show an error.
pub(super) async fn complete(words: &[String]) -> Result<(), Failure> {
    let command = Cli::definition();
    let line = Line::read(&command, words);
    let (candidates, prefix) = match line.wanted(&command) {
        Wanted::Words { words, prefix } => (words, prefix),
        Wanted::Names { kind, prefix } => (names(&line, kind).await, prefix),
        Wanted::Files => return output::line(FILES),
    };
    let mut text = String::new();
    for candidate in candidates.iter().map(|candidate| format!("{prefix}{candidate}")) {
        if candidate.starts_with(line.last.as_str()) {
            text.push_str(&candidate);
            text.push('\n');
        }
    }
    output::print(&text)
}

async fn names(line: &Line, kind: Kind) -> Vec<String> {
    let server = Server {
        socket: line
            .value(&["--socket"])
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("EDGESVC_SOCKET").map(Into::into)),
        kubeconfig: line.value(&["--kubeconfig"]).map(PathBuf::from),
        context: line.value(&["--context"]).map(str::to_owned),
    };
    let asked = async {
        let mut client = super::connect(&server).await.ok()?;
        let namespace = line.value(&["-n", "--namespace"]).unwrap_or_else(|| client.namespace()).to_owned();
        let path = resource::collection(kind, Some(&namespace));
        client.ask(Ask::get(&path)).await.ok().map(|answer| answer.value)
    };
    let list = timeout(NAMES_WAIT_MAX, asked).await.ok().flatten().unwrap_or_default();
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.pointer("/metadata/name")?.as_str()).map(str::to_owned).collect()
}
