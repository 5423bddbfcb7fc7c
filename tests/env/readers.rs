//! The readers of each form: a real shell, and the rules of systemd and docker.

use std::collections::BTreeMap;

use crate::support::{NODE, World};

type Variables = BTreeMap<String, String>;

/// What a real `sh` has set after reading the text, started with nothing.
pub(crate) fn sh(world: &World, text: &str) -> Variables {
    let script = "eval \"$(cat)\"; exec /usr/bin/env -0";
    let said = world.run_with(NODE, &["env", "-i", "/bin/sh", "-c", script], text).ok();
    let pairs = said.split_terminator('\0').map(|line| line.split_once('=').unwrap());
    // The shell's own.
    let pairs = pairs.filter(|(name, _)| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// EnvironmentFile= as systemd.exec(5) has it: comments, quotes, and between
/// double quotes a backslash before `"`, `\`, backtick, `$` and a line's end.
pub(crate) fn systemd(text: &str) -> Variables {
    let mut variables = Variables::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        if matches!(first, '\n' | ' ') {
            continue;
        }
        if matches!(first, '#' | ';') {
            let _ = chars.by_ref().find(|c| *c == '\n');
            continue;
        }
        let mut name = String::from(first);
        name.extend(chars.by_ref().take_while(|c| *c != '='));
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()), "{name}");
        let mut value = String::new();
        let mut quote = None;
        while let Some(c) = chars.next() {
            match (quote, c) {
                (None, '\n') => break,
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), _) if c == open => quote = None,
                (Some('"'), '\\') => match chars.next().unwrap() {
                    '\n' => {}
                    escaped @ ('"' | '\\' | '`' | '$') => value.push(escaped),
                    other => value.extend(['\\', other]),
                },
                (None, '\\') => value.extend(chars.next().filter(|c| *c != '\n')),
                _ => value.push(c),
            }
        }
        assert_eq!(quote, None, "an open quote at {name}");
        variables.insert(name, value);
    }
    variables
}

/// `--env-file` as docker reads it: a line is a variable, nothing is quoted.
pub(crate) fn docker(text: &str) -> Variables {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        assert!(!name.contains(char::is_whitespace), "{line}");
        (name.to_owned(), value.to_owned())
    };
    lines.map(pair).collect()
}
