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

const BASH: &str = r#"# bash completion for edgesvc: source <(edgesvc completions bash)
_edgesvc() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    # A type before its name ends in a slash.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _edgesvc edgesvc
"#;

const ZSH: &str = r#"#compdef edgesvc
# zsh completion for edgesvc: source <(edgesvc completions zsh)
_edgesvc() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _edgesvc edgesvc
"#;

const FISH: &str = r#"# fish completion for edgesvc: edgesvc completions fish | source
function __edgesvc_complete
    set -l words (commandline -opc)
    set -e words[1]
    edgesvc __complete -- $words (commandline -ct) 2>/dev/null
end
complete -c edgesvc -f -a '(__edgesvc_complete)'
complete -c edgesvc -s f -l filename -r -F
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
        Wanted::Words(words) => (words, String::new()),
        Wanted::Names { kind, prefix } => (names(&line, kind).await, prefix),
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
