//! What may stand at the cursor, from the words before it. Pure.

use clap::{Arg, ArgAction, Command};

use super::super::resource;
use crate::model::Kind;

/// Verbs whose first word is a type, and whose next are names.
const OF_OBJECTS: [&str; 8] = ["get", "describe", "delete", "label", "annotate", "patch", "edit", "wait"];
const FORMATS: [&str; 8] =
    ["wide", "yaml", "json", "name", "jsonpath=", "jsonpath-as-json=", "jsonpath-file=", "custom-columns="];

/// The words of a command line up to the cursor.
#[derive(Debug)]
pub(super) struct Line {
    /// The word at the cursor, as far as it is written.
    pub(super) last: String,
    /// The flag whose value the last word is.
    flag: Option<String>,
    /// Words that are no flags and no values of flags; the verb is the first.
    positional: Vec<String>,
    /// Flags that have a value.
    values: Vec<(String, String)>,
    /// Behind `--` stands a command that is not ours.
    command_of_others: bool,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These words, with something before each.
    Words { words: Vec<String>, prefix: String },
    /// Names of objects, with something before each.
    Names { kind: Kind, prefix: String },
    /// A file, which the shell knows best.
    Files,
}

impl Wanted {
    fn words(words: impl IntoIterator<Item = String>) -> Wanted {
        Wanted::Words { words: words.into_iter().collect(), prefix: String::new() }
    }

    /// The same behind something that is written already.
    fn behind(self, before: &str) -> Wanted {
        match self {
            Wanted::Words { words, prefix } => Wanted::Words { words, prefix: format!("{before}{prefix}") },
            Wanted::Names { kind, prefix } => Wanted::Names { kind, prefix: format!("{before}{prefix}") },
            Wanted::Files => Wanted::Files,
        }
    }
}

impl Line {
    /// Sorts the words behind the program's name.
    pub(super) fn read(command: &Command, words: &[String]) -> Line {
        let (last, before) =
            words.split_last().map_or((String::new(), &[][..]), |(last, before)| (last.clone(), before));
        let mut line = Line { last, flag: None, positional: Vec::new(), values: Vec::new(), command_of_others: false };
        for word in before {
            if word == "--" {
                line.command_of_others = true;
                break;
            }
            if let Some(flag) = line.flag.take() {
                line.values.push((flag, word.clone()));
            } else if let Some((flag, value)) = word.split_once('=').filter(|(flag, _)| flag.starts_with('-')) {
                line.values.push((flag.to_owned(), value.to_owned()));
            } else if let Some((flag, before)) = glued(line.command(command), word) {
                line.values.push((flag, word.get(before.len()..).unwrap_or_default().to_owned()));
            } else if word.starts_with('-') && word.len() > 1 {
                line.flag = takes_value(line.command(command), word).then(|| word.clone());
            } else {
                line.positional.push(word.clone());
            }
        }
        line
    }

    /// The value of a flag, by any of its names.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        self.values.iter().rev().find(|(flag, _)| names.contains(&flag.as_str())).map(|(_, value)| value.as_str())
    }

    /// The command that the words lead to.
    fn command<'c>(&self, command: &'c Command) -> &'c Command {
        self.positional
            .iter()
            .try_fold(command, |command, word| command.find_subcommand(word).ok_or(command))
            .unwrap_or_else(|found| found)
    }

    /// What may stand where the last word stands.
    pub(super) fn wanted(&self, command: &Command) -> Wanted {
        let own = self.command(command);
        if let Some(flag) = &self.flag {
            return value_of(own, flag);
        }
        if self.command_of_others {
            return Wanted::Files;
        }
        if let Some((flag, before)) = glued(own, &self.last) {
            return value_of(own, &flag).behind(&before);
        }
        if self.last.starts_with('-') {
            return Wanted::words(flags(own));
        }
        if own.has_subcommands() {
            let verbs = own.get_subcommands().filter(|verb| !verb.is_hide_set());
            return Wanted::words(verbs.map(|verb| verb.get_name().to_owned()));
        }
        let Some((verb, objects)) = self.positional.split_first() else { return Wanted::words([]) };
        match (verb.as_str(), objects) {
            (verb, []) if OF_OBJECTS.contains(&verb) => self.first_object(verb),
            (verb, [first, ..]) if OF_OBJECTS.contains(&verb) => match (first.contains('/'), resource::kind(first)) {
                (false, Ok(kind)) => Wanted::Names { kind, prefix: String::new() },
                _ => self.first_object(verb),
            },
            ("explain", []) => Wanted::words(types()),
            ("status", []) => Wanted::words(["services".to_owned()]),
            ("status", [_, ..]) => Wanted::Names { kind: Kind::Service, prefix: String::new() },
            ("create", []) => Wanted::words(["namespace", "token"].map(str::to_owned)),
            ("create", [word]) if word == "token" => {
                Wanted::Names { kind: Kind::ServiceAccount, prefix: String::new() }
            }
            ("completions", []) => Wanted::words(["bash", "zsh", "fish"].map(str::to_owned)),
            _ => Wanted::words([]),
        }
    }

    /// A type, or a name behind `TYPE/`.
    fn first_object(&self, verb: &str) -> Wanted {
        if let Some((word, _)) = self.last.split_once('/')
            && let Ok(kind) = resource::kind(word)
        {
            return Wanted::Names { kind, prefix: format!("{word}/") };
        }
        // `svc,` begins another type.
        if let Some((before, _)) = self.last.rsplit_once(',') {
            return Wanted::words(types()).behind(&format!("{before},"));
        }
        let mut words = types();
        words.extend((verb == "get").then(|| "all".to_owned()));
        Wanted::words(words)
    }
}

fn types() -> Vec<String> {
    Kind::ALL.map(|kind| kind.resource().plural.to_owned()).to_vec()
}

fn flags(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut flags: Vec<String> = shown.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect();
    flags.push("--help".to_owned());
    flags.sort();
    flags
}

fn named<'c>(command: &'c Command, flag: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long))
            || arg.get_short().is_some_and(|short| flag == format!("-{short}"))
    })
}

/// A flag and its value in one word, `--output=ya` or `-oya`: the flag, and what
/// stands before the value.
fn glued(command: &Command, word: &str) -> Option<(String, String)> {
    if let Some((flag, _)) = word.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        return Some((flag.to_owned(), format!("{flag}=")));
    }
    let short = word.strip_prefix('-')?.chars().next().filter(|c| *c != '-')?;
    let flag = format!("-{short}");
    (word.len() > flag.len() && takes_value(command, &flag)).then(|| (flag.clone(), flag))
}

/// Whether the next word belongs to a flag. Flags before the verb all do.
fn takes_value(command: &Command, flag: &str) -> bool {
    match named(command, flag) {
        Some(arg) => matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set(),
        None => super::super::args::LEADING.contains(&flag),
    }
}

fn value_of(command: &Command, flag: &str) -> Wanted {
    if matches!(flag, "-n" | "--namespace") {
        return Wanted::Names { kind: Kind::Namespace, prefix: String::new() };
    }
    let arg = named(command, flag);
    let possible: Vec<String> = arg
        .map(|arg| arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect())
        .unwrap_or_default();
    let is = |name: &str| arg.and_then(Arg::get_long) == Some(name);
    let value_names = arg.and_then(Arg::get_value_names).unwrap_or_default();
    let a_file = value_names.iter().any(|name| ["FILE", "DIR"].contains(&name.as_str()));
    if a_file || matches!(flag, "--socket" | "--kubeconfig") {
        return Wanted::Files;
    }
    let own: &[&str] = match () {
        () if !possible.is_empty() => return Wanted::words(possible),
        () if is("output") => &FORMATS,
        () if is("for") => &["create", "delete", "condition=", "jsonpath="],
        () if is("type") => &["json", "merge", "strategic"],
        () if is("subresource") => &["status"],
        () if is("prune-allowlist") => {
            let word = |kind: Kind| {
                let row = kind.resource();
                let group = if row.group.is_empty() { "core" } else { row.group };
                format!("{group}/{}/{}", row.version, row.kind)
            };
            return Wanted::words(Kind::ALL.map(word));
        }
        () => &[],
    };
    Wanted::words(own.iter().map(|word| (*word).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::super::args::Cli;
    use super::*;

    fn wanted(line: &str) -> Wanted {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let command = Cli::definition();
        Line::read(&command, &words).wanted(&command)
    }

    fn words(line: &str) -> Vec<String> {
        match wanted(line) {
            Wanted::Words { words, prefix } => words.into_iter().map(|word| format!("{prefix}{word}")).collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn names(kind: Kind, prefix: &str) -> Wanted {
        Wanted::Names { kind, prefix: prefix.to_owned() }
    }

    #[test]
    fn verbs_types_names_and_flags_come_where_they_may_stand() {
        assert!(words("").contains(&"apply".to_owned()) && !words("").contains(&"__complete".to_owned()));
        assert!(words("-n shop ").contains(&"get".to_owned()));
        assert_eq!(words("status "), ["services"]);
        assert_eq!(words("dataplane "), ["diff", "show", "export", "cleanup"]);
        assert!(words("get ").contains(&"services".to_owned()) && words("get ").contains(&"all".to_owned()));
        assert!(!words("delete ").contains(&"all".to_owned()));
        assert_eq!(wanted("get svc "), names(Kind::Service, ""));
        assert_eq!(wanted("-n shop get -o yaml svc a b"), names(Kind::Service, ""));
        assert_eq!(wanted("get -w svc a"), names(Kind::Service, ""));
        assert_eq!(wanted("describe pod/"), names(Kind::Pod, "pod/"));
        assert_eq!(wanted("get svc/a po/"), names(Kind::Pod, "po/"));
        assert_eq!(wanted("get svc -n "), names(Kind::Namespace, ""));
        assert!(words("get svc --").contains(&"--show-labels".to_owned()));
        assert!(words("get svc -o ").contains(&"yaml".to_owned()));
        assert_eq!(words("apply --dry-run "), ["none", "client", "server"]);
        assert_eq!(words("apply --dry-run="), ["--dry-run=none", "--dry-run=client", "--dry-run=server"]);
        assert!(words("get svc -oj").contains(&"-ojson".to_owned()));
        assert!(words("get svc,pods,").contains(&"svc,pods,services".to_owned()));
        assert!(words("apply --prune-allowlist ").contains(&"core/v1/Service".to_owned()));
        assert_eq!(wanted("get svc --namespace="), names(Kind::Namespace, "--namespace="));
        assert_eq!(wanted("-nshop get svc "), names(Kind::Service, ""));
        assert_eq!(wanted("apply --filename="), Wanted::Files);
        assert_eq!(wanted("exec -- s"), Wanted::Files);
        assert!(wanted("apply -f ") == Wanted::Files && words("get deployments ").contains(&"pods".to_owned()));
    }

    #[test]
    fn a_flags_value_is_known() {
        let command = Cli::definition();
        let line: Vec<String> = "get --socket /a -n=b svc ".split(' ').map(str::to_owned).collect();
        let line = Line::read(&command, &line);
        assert_eq!(line.value(&["--socket"]), Some("/a"));
        assert_eq!(line.value(&["-n", "--namespace"]), Some("b"));
    }
}
