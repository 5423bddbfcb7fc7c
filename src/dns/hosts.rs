//! The box's own hosts(5) file: names its programs know are known to clients too.
//!
//! Always true: loopback addresses are passed over, because a client's loopback
//! is its own; the file is looked at no more than once a second and read only
//! when it changed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::rr::Name;
use tokio::time::Instant;

use super::upstream::{LOOK_PAUSE, Stamp, read_file, stamp};

/// Bytes read of the file: lists of advertisers' names are that long.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Names kept.
const NAMES_MAX: usize = 100_000;

/// The entries of a hosts file.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    by_name: BTreeMap<Box<str>, Vec<IpAddr>>,
    by_addr: BTreeMap<IpAddr, Box<str>>,
}

impl Entries {
    /// The addresses of a name in lower case; none if the file does not name it.
    pub(crate) fn addresses(&self, name: &Name) -> Option<&[IpAddr]> {
        if self.by_name.is_empty() {
            return None;
        }
        let text = name.to_ascii();
        self.by_name.get(text.trim_end_matches('.')).map(Vec::as_slice)
    }

    /// The first name of an address.
    pub(crate) fn name(&self, addr: IpAddr) -> Option<Name> {
        let mut name = Name::from_ascii(self.by_addr.get(&addr)?).ok()?;
        name.set_fqdn(true);
        Some(name)
    }
}

/// The file, followed.
#[derive(Debug)]
pub(crate) struct Hosts {
    path: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: Arc<Entries>,
    stamp: Stamp,
    looked: Option<Instant>,
}

impl Hosts {
    pub(crate) fn new(path: Option<PathBuf>) -> Hosts {
        Hosts { path, known: Mutex::default() }
    }

    /// What the file says now.
    pub(crate) fn entries(&self) -> Arc<Entries> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else { return Arc::clone(&known.entries) };
        if known.looked.is_none_or(|at| at.elapsed() >= LOOK_PAUSE) {
            known.looked = Some(Instant::now());
            let now = stamp(path);
            if now != known.stamp {
                known.stamp = now;
                known.entries = Arc::new(parse(&read_file(path, FILE_BYTES_MAX)));
            }
        }
        Arc::clone(&known.entries)
    }
}

fn parse(text: &str) -> Entries {
    let mut entries = Entries::default();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(addr) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if addr.is_loopback() || addr.is_multicast() {
            continue;
        }
        for word in words {
            let name: Box<str> = word.trim_end_matches('.').to_ascii_lowercase().into();
            if Name::from_ascii(&*name).is_err() || entries.by_name.len() >= NAMES_MAX {
                continue;
            }
            entries.by_addr.entry(addr).or_insert_with(|| name.clone());
            let addresses = entries.by_name.entry(name).or_default();
            if !addresses.contains(&addr) {
                addresses.push(addr);
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_of_the_box_are_known_and_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let text = "127.0.0.1 localhost\n127.0.1.1 box\n192.0.2.5 Printer.lan printer # upstairs\n2001:db8::5 printer.lan\nnonsense x\n";
        std::fs::write(&path, text).unwrap();
        let hosts = Hosts::new(Some(path.clone()));
        let look = |name: &str| {
            let found = hosts.entries();
            found
                .addresses(&Name::from_ascii(name).unwrap())
                .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(look("printer.lan."), Some(vec!["192.0.2.5".to_owned(), "2001:db8::5".to_owned()]));
        assert_eq!(look("printer."), Some(vec!["192.0.2.5".to_owned()]));
        for own in ["localhost.", "box.", "x.", "lan."] {
            assert_eq!(look(own), None, "{own}");
        }
        assert_eq!(hosts.entries().name("192.0.2.5".parse().unwrap()).unwrap().to_string(), "printer.lan.");
        std::fs::write(&path, "192.0.2.77 camera\n").unwrap();
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!((look("printer."), look("camera.")), (None, Some(vec!["192.0.2.77".to_owned()])));
    }
}
