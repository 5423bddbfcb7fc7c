//! systemd-resolved's settings of our link: what it is told, and the record that
//! the daemon tells it again by, because they end with the link.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::facts::{LinkNames, Record};
use super::wish::Wish;
use crate::dataplane::LINK_NAME;

pub(super) const RESOLVECTL: &str = "resolvectl";
const RECORD_NAME: &str = "host-dns.json";

/// The calls that set our link up. Others' queries never come over it; what the
/// system asks of all its servers (DNSSEC, TLS) ours need not do, as packets to it
/// do not leave the box.
pub(super) fn calls(wish: &Wish) -> Vec<Vec<String>> {
    let call = |verb: &str, words: Vec<String>| [vec![verb.to_owned(), LINK_NAME.to_owned()], words].concat();
    vec![
        call("dns", servers(wish)),
        call("domain", domains(wish)),
        call("default-route", vec!["no".to_owned()]),
        call("dnssec", vec!["no".to_owned()]),
        call("dnsovertls", vec!["no".to_owned()]),
    ]
}

/// The call that takes it all back.
pub(super) fn revert() -> Vec<String> {
    vec!["revert".to_owned(), LINK_NAME.to_owned()]
}

fn servers(wish: &Wish) -> Vec<String> {
    wish.servers.iter().map(ToString::to_string).collect()
}

/// Those that are searched are asked of us too; those with a tilde are not searched.
fn domains(wish: &Wish) -> Vec<String> {
    wish.search().into_iter().chain(wish.reverse.iter().map(|domain| format!("~{domain}"))).collect()
}

/// Whether the link already knows all of it.
pub(super) fn knows(names: &LinkNames, wish: &Wish) -> bool {
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    names.servers == servers(wish) && sorted(names.domains.clone()) == sorted(domains(wish))
}

/// Asks systemd-resolved; none if it does not answer.
pub(super) fn names() -> Option<LinkNames> {
    let ask = |verb: &str| {
        let output = Command::new(RESOLVECTL).args([verb, LINK_NAME]).output().ok()?;
        output.status.success().then(|| words_of(&String::from_utf8_lossy(&output.stdout)))
    };
    Some(LinkNames { servers: ask("dns")?, domains: ask("domain")? })
}

/// `Link 8 (edgesvc0): 10.43.0.10`
fn words_of(line: &str) -> Vec<String> {
    let rest = line.split_once("): ").map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}

/// Tells systemd-resolved. Waits for it as long as its own clients do.
///
/// # Errors
/// `resolvectl` cannot be called, or says no.
pub fn apply(wish: &Wish) -> io::Result<()> {
    for words in calls(wish) {
        succeeded(RESOLVECTL, &words, Command::new(RESOLVECTL).args(&words).output()?)?;
    }
    Ok(())
}

/// What a program said when it failed.
pub(super) fn succeeded(program: &str, words: &[String], output: Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {}: {said}", words.join(" "), output.status)))
}

pub(super) fn record_path(data_dir: &Path) -> PathBuf {
    data_dir.join(RECORD_NAME)
}

pub(super) fn record_text(wish: &Wish) -> String {
    format!("{:#}\n", json!({ "way": "systemd-resolved", "namespace": wish.namespace }))
}

/// Reads the record of the data directory.
pub fn read_record(data_dir: &Path) -> Record {
    match std::fs::read_to_string(record_path(data_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Record::Absent,
        Err(_) => Record::Hidden,
        Ok(text) => {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            let namespace = value.get("namespace").and_then(Value::as_str).unwrap_or("default");
            Record::Namespace(namespace.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resolvectl_prints_is_read() {
        assert_eq!(words_of("Link 8 (edgesvc0): 10.43.0.10 fd43::a\n"), ["10.43.0.10", "fd43::a"]);
        assert_eq!(words_of("Link 8 (edgesvc0):\n"), [""; 0]);
    }
}
