//! Who answers the names that are not ours: the servers the user named, or the
//! system's real resolvers, read again when their file changes.
//!
//! Always true: none of our own addresses is among them, whatever a file says.
//! systemd-resolved's stub is never asked: it may itself ask us, and the servers
//! behind it stand in a file of their own.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The port of servers that files name without one.
const DNS_PORT: u16 = 53;
/// Servers used of a file: resolvers themselves read three.
const SERVERS_MAX: usize = 8;
/// Bytes read of a file.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// How often, at most, a question makes us look whether a file changed.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Where systemd-resolved's stub listens.
const STUBS: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54))];

/// Where upstreams are learned from.
#[derive(Clone, Debug)]
pub enum Upstreams {
    /// These.
    Named(Vec<SocketAddr>),
    /// The first of these files that names a usable server, in the form of
    /// resolv.conf(5).
    Files(Vec<PathBuf>),
}

impl Upstreams {
    /// The system's resolvers: what resolv.conf names, unless it names only a
    /// stub; then what systemd-resolved or NetworkManager keep behind it.
    pub fn system() -> Upstreams {
        let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];
        Upstreams::Files(files.map(PathBuf::from).to_vec())
    }
}

/// The upstreams in effect.
#[derive(Debug)]
pub(crate) struct Directory {
    from: Upstreams,
    own: Vec<SocketAddr>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    servers: Arc<[SocketAddr]>,
    stamps: Vec<Stamp>,
    looked: Option<Instant>,
}

/// What tells that a file changed: when it was written, its length, its inode.
type Stamp = Option<(std::time::SystemTime, u64, u64)>;

impl Directory {
    pub(crate) fn new(from: Upstreams, own: Vec<SocketAddr>) -> Directory {
        Directory { from, own, known: Mutex::new(Known { servers: Arc::new([]), stamps: vec![], looked: None }) }
    }

    /// The servers to ask, in order. Looks at the files at most once a second
    /// and reads them only when one changed, so that an idle box does nothing.
    pub(crate) fn servers(&self) -> Arc<[SocketAddr]> {
        // A poisoned lock still holds a whole list.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return Arc::clone(&known.servers);
        }
        let first = known.looked.is_none();
        known.looked = Some(Instant::now());
        match &self.from {
            Upstreams::Named(servers) if first => known.servers = self.usable(servers.iter().copied()).into(),
            Upstreams::Named(_) => {}
            Upstreams::Files(files) => {
                let stamps: Vec<Stamp> = files.iter().map(|path| stamp(path)).collect();
                if first || stamps != known.stamps {
                    known.stamps = stamps;
                    let named = files.iter().map(|path| self.usable(parse(&read(path)).into_iter()));
                    let servers = named.into_iter().find(|servers| !servers.is_empty()).unwrap_or_default();
                    tracing::info!(?servers, "upstream DNS servers");
                    known.servers = servers.into();
                }
            }
        }
        Arc::clone(&known.servers)
    }

    fn usable(&self, servers: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let ours = |server: &SocketAddr| {
            self.own.contains(server) || server.ip().is_unspecified() || STUBS.contains(&server.ip())
        };
        let mut usable: Vec<SocketAddr> = Vec::new();
        for server in servers.filter(|server| !ours(server)) {
            if !usable.contains(&server) && usable.len() < SERVERS_MAX {
                usable.push(server);
            }
        }
        usable
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn read(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes));
    match opened {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "cannot read upstream DNS servers");
            String::new()
        }
    }
}

/// The servers a resolv.conf(5) names; what it cannot mean is passed over, as
/// the C library does. Link-local servers carry the name of their interface,
/// which needs a lookup we do not make: they are passed over too.
fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .map(|addr| SocketAddr::new(addr, DNS_PORT))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(directory: &Directory) -> Vec<String> {
        directory.servers().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn resolv_conf_is_read_as_the_c_library_reads_it() {
        let text = "# x\nsearch a b\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # y\nnameserver foo\nnameserverx 1.1.1.1\n";
        assert_eq!(parse(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn stubs_and_ourselves_are_passed_over_and_changes_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (stub, real) = (dir.path().join("stub"), dir.path().join("real"));
        std::fs::write(&stub, "nameserver 127.0.0.53\nnameserver 10.43.0.10\n").unwrap();
        std::fs::write(&real, "nameserver 192.0.2.7\n").unwrap();
        let files = Upstreams::Files(vec![stub.clone(), real]);
        let directory = Directory::new(files, vec!["10.43.0.10:53".parse().unwrap()]);
        assert_eq!(servers(&directory), ["192.0.2.7:53"]);
        std::fs::write(&stub, "nameserver 192.0.2.9\nnameserver 192.0.2.9\n").unwrap();
        assert_eq!(servers(&directory), ["192.0.2.7:53"], "looked within the same second");
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!(servers(&directory), ["192.0.2.9:53"]);
    }

    #[tokio::test]
    async fn named_servers_are_used_as_they_are_but_for_ourselves() {
        let named = Upstreams::Named(vec!["10.43.0.10:53".parse().unwrap(), "127.0.0.1:5353".parse().unwrap()]);
        let directory = Directory::new(named, vec!["10.43.0.10:53".parse().unwrap()]);
        assert_eq!(servers(&directory), ["127.0.0.1:5353"]);
    }
}
