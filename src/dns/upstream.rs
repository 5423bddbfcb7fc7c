//! Who answers the names that are not ours: the servers the user named, or the
//! system's real resolvers, read again when a file changes; for some domains,
//! others.
//!
//! Always true: none of our own addresses is among them, whatever a file says.
//! systemd-resolved's stub is never asked: it may itself ask us, and the servers
//! behind it stand in a file of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kept::{in_force, kept_path};
use super::remote::{Remote, RemoteHealth, Upstream};
use super::resolvers::{parse, search};

/// Servers used of a file: resolvers themselves read three.
const SERVERS_MAX: usize = 8;
/// Bytes read of a file.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// How often, at most, a question makes us look whether a file changed.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Files of a folder that are looked at: a box has a handful of links.
const FOLDER_FILES_MAX: usize = 32;
/// Where systemd-resolved's stub listens.
const STUBS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

/// Where upstreams are learned from.
#[derive(Clone, Debug)]
pub enum Upstreams {
    /// These.
    Named(Vec<Upstream>),
    /// The first of these files, or folders of files, that names a usable server:
    /// as resolv.conf(5), or as a DHCP client keeps its lease.
    Files(Vec<PathBuf>),
}

impl Upstreams {
    /// The system's resolvers: what resolv.conf names, unless it names only a
    /// stub; then what systemd-resolved, NetworkManager, connman, OpenWrt or the
    /// DHCP client keep behind it.
    pub fn system() -> Upstreams {
        let files = [
            "/etc/resolv.conf",
            "/run/systemd/resolve/resolv.conf",
            "/run/NetworkManager/no-stub-resolv.conf",
            "/run/connman/resolv.conf",
            "/tmp/resolv.conf.d/resolv.conf.auto",
            "/run/systemd/netif/leases",
            "/var/lib/dhcp",
        ];
        Upstreams::Files(files.map(PathBuf::from).to_vec())
    }
}

/// Everything about names that are not ours.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// Who answers them.
    pub upstreams: Upstreams,
    /// Who answers those under a domain instead.
    pub stubs: Vec<(String, Upstream)>,
    /// A hosts(5) file that is asked first.
    pub hosts: Option<PathBuf>,
    /// Certificates of authorities for servers over TLS; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    /// The resolv.conf(5) by which programs of the box ask. While it names us, they may leave
    /// the cluster's domain out of names of Services.
    pub resolv_conf: Option<PathBuf>,
}

impl Forwarding {
    /// These servers for every name, and nothing else.
    pub fn to(upstreams: Upstreams) -> Forwarding {
        Forwarding { upstreams, stubs: vec![], hosts: None, ca_file: None, resolv_conf: None }
    }
}

/// Our own addresses, those of the LAN as they change.
pub(crate) type Own = watch::Receiver<Vec<SocketAddr>>;

/// Who a server with these addresses of its own would ask now, for people.
pub fn in_use(upstreams: Upstreams, own: Vec<SocketAddr>) -> Vec<String> {
    let servers = Directory::new(upstreams, vec![], watch::channel(own).1).servers();
    servers.iter().map(|remote| remote.upstream.to_string()).collect()
}

/// The upstreams in effect.
#[derive(Debug)]
pub(crate) struct Directory {
    files: Vec<PathBuf>,
    own: Own,
    /// The longest domains first.
    stubs: Vec<(Name, Servers)>,
    known: Mutex<Known>,
    /// The file that says whom the box asks, if that matters.
    resolv_conf: Option<PathBuf>,
    asks_us: Mutex<AsksUs>,
}

/// Whether the box asks us, as of a look.
#[derive(Debug, Default)]
struct AsksUs {
    looked: Option<Instant>,
    stamp: Stamp,
    /// The servers it names.
    named: Vec<SocketAddr>,
}

/// Servers to ask, in order.
pub(crate) type Servers = Arc<[Arc<Remote>]>;

#[derive(Debug)]
struct Known {
    servers: Servers,
    /// The search list of the file they stand in.
    search: Arc<[Name]>,
    stamps: Vec<Stamp>,
    /// Our own addresses that were left out.
    own: Vec<SocketAddr>,
    looked: Option<Instant>,
    /// Grows when other servers are in effect.
    generation: u64,
}

/// What tells that a file changed: when it was written, its length, its inode.
pub(crate) type Stamp = Option<(std::time::SystemTime, u64, u64)>;

impl Directory {
    pub(crate) fn new(from: Upstreams, stubs: Vec<(String, Upstream)>, own: Own) -> Directory {
        let mut domains: Vec<(Name, Vec<Arc<Remote>>)> = Vec::new();
        for (domain, upstream) in stubs {
            let Ok(mut name) = Name::from_ascii(domain.to_ascii_lowercase()) else { continue };
            name.set_fqdn(true);
            match domains.iter_mut().find(|(known, _)| *known == name) {
                Some((_, servers)) => servers.push(Remote::new(upstream)),
                None => domains.push((name, vec![Remote::new(upstream)])),
            }
        }
        domains.sort_by_key(|(name, _)| std::cmp::Reverse(name.num_labels()));
        let stubs = domains.into_iter().map(|(name, servers)| (name, servers.into())).collect();
        let (files, named) = match from {
            Upstreams::Files(files) => (files, vec![]),
            Upstreams::Named(named) => (vec![], named),
        };
        let (known, asks_us) = (Mutex::new(Known::default()), Mutex::default());
        let mut directory = Directory { files, own, stubs, known, resolv_conf: None, asks_us };
        let servers = directory.usable(named).into_iter().map(Remote::new).collect();
        if let Ok(known) = directory.known.get_mut() {
            known.servers = servers;
        }
        directory
    }

    /// With the file that says whom programs of the box ask.
    pub(crate) fn with_resolv_conf(self, resolv_conf: Option<PathBuf>) -> Directory {
        Directory { resolv_conf, ..self }
    }

    /// The servers to ask about a name in lower case, in order.
    pub(crate) fn servers_for(&self, name: &Name) -> Servers {
        let stub = self.stubs.iter().find(|(domain, _)| domain.zone_of(name));
        stub.map_or_else(|| self.servers(), |(_, servers)| Arc::clone(servers))
    }

    /// The servers of every other name. Looks at the files at most once a second
    /// and reads them only when one changed, so that an idle box does nothing.
    pub(crate) fn servers(&self) -> Servers {
        Arc::clone(&self.known().servers)
    }

    /// The search list of the box.
    pub(crate) fn search(&self) -> Arc<[Name]> {
        Arc::clone(&self.known().search)
    }

    /// Grows when other servers are in effect: what the former said may be wrong.
    pub(crate) fn generation(&self) -> u64 {
        self.known().generation
    }

    /// Whether programs of the box ask us, by its resolv.conf. Looks at it at most once a
    /// second.
    pub(crate) fn box_asks_us(&self) -> bool {
        let Some(path) = &self.resolv_conf else { return false };
        let mut known = self.asks_us.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.is_none_or(|at| at.elapsed() >= LOOK_PAUSE) {
            known.looked = Some(Instant::now());
            let now = stamp(path);
            if now != known.stamp {
                (known.stamp, known.named) = (now, parse(&read_file(path, FILE_BYTES_MAX)));
            }
        }
        known.named.iter().any(|server| self.is_own(server.ip()))
    }

    /// Whether a question from there comes from the box itself.
    pub(crate) fn is_box(&self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.is_own(addr)
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        self.own.borrow().iter().any(|own| own.ip() == addr)
    }

    /// Every server in numbers.
    pub(crate) fn health(&self) -> Vec<RemoteHealth> {
        let others = self.stubs.iter().flat_map(|(_, servers)| servers.iter());
        self.servers().iter().chain(others).map(|remote| remote.health()).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // A poisoned lock still holds a whole list.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.files.is_empty() || known.looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return known;
        }
        let first = known.looked.is_none();
        known.looked = Some(Instant::now());
        let files: Vec<PathBuf> = self.files.iter().flat_map(|path| files_of(path)).collect();
        let stamps: Vec<Stamp> = files.iter().flat_map(|path| [stamp(path), stamp(&kept_path(path))]).collect();
        let own = self.own.borrow().clone();
        if first || stamps != known.stamps || own != known.own {
            (known.stamps, known.own) = (stamps, own);
            self.read(&files, &mut known, first);
        }
        known
    }

    fn read(&self, files: &[PathBuf], known: &mut Known, first: bool) {
        let texts = files.iter().map(|path| (path.as_path(), read_file(path, FILE_BYTES_MAX))).collect();
        let texts = in_force(texts, |kept| read_file(kept, FILE_BYTES_MAX));
        known.search = texts.iter().map(|text| search(text)).find(|names| !names.is_empty()).unwrap_or_default().into();
        let named = texts.iter().map(|text| self.usable(parse(text).into_iter().map(Upstream::from).collect()));
        let upstreams = named.into_iter().find(|servers| !servers.is_empty()).unwrap_or_default();
        if !first && upstreams.iter().eq(known.servers.iter().map(|remote| &remote.upstream)) {
            return;
        }
        let texts: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
        tracing::info!(servers = texts.join(" "), "upstream DNS servers");
        // Without any server what the former said is still better than nothing.
        if !first && !upstreams.is_empty() {
            known.generation += 1;
        }
        let kept = |upstream: Upstream| {
            let known = known.servers.iter().find(|remote| remote.upstream == upstream).cloned();
            known.unwrap_or_else(|| Remote::new(upstream))
        };
        known.servers = upstreams.into_iter().map(kept).collect();
    }

    fn usable(&self, servers: Vec<Upstream>) -> Vec<Upstream> {
        let own = self.own.borrow();
        let ours = |server: &Upstream| {
            let addr = server.addr;
            own.contains(&addr) || addr.ip().is_unspecified() || STUBS.contains(&addr.ip())
        };
        let mut usable: Vec<Upstream> = Vec::new();
        for server in servers.into_iter().filter(|server| !ours(server)) {
            if !usable.contains(&server) && usable.len() < SERVERS_MAX {
                usable.push(server);
            }
        }
        usable
    }
}

impl Default for Known {
    fn default() -> Known {
        Known { servers: Arc::new([]), search: Arc::new([]), stamps: vec![], own: vec![], looked: None, generation: 0 }
    }
}

/// The file, or the files of the folder, in the order of their names.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut files: Vec<PathBuf> =
        entries.take(FOLDER_FILES_MAX).filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    files
}

pub(crate) fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// The text of a file, no more than `bytes_max` of it; empty if it cannot be read.
pub(crate) fn read_file(path: &Path, bytes_max: usize) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(bytes_max as u64).read_to_end(&mut bytes));
    match opened {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "cannot read what other names are resolved by");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(servers: &Servers) -> Vec<String> {
        servers.iter().map(|remote| remote.upstream.to_string()).collect()
    }

    fn named(text: &str) -> Upstream {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[tokio::test(start_paused = true)]
    async fn stubs_and_ourselves_are_passed_over_and_changes_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (stub, real, leases) = (dir.path().join("stub"), dir.path().join("real"), dir.path().join("leases"));
        std::fs::write(&stub, "nameserver 127.0.0.53\nnameserver 10.43.0.10\nsearch lan\n").unwrap();
        std::fs::write(&real, "nameserver 192.0.2.7\n").unwrap();
        std::fs::create_dir(&leases).unwrap();
        std::fs::write(leases.join("2"), "# lease\nDNS=192.0.2.8\n").unwrap();
        let files = Upstreams::Files(vec![stub.clone(), real.clone(), leases]);
        let (own, owned) = watch::channel(vec!["10.43.0.10:53".parse().unwrap()]);
        let directory = Directory::new(files, vec![], owned);
        assert_eq!(shown(&directory.servers()), ["192.0.2.7:53"]);
        assert_eq!(directory.search().iter().map(Name::to_string).collect::<Vec<_>>(), ["lan."]);
        std::fs::write(&stub, "nameserver 192.0.2.9\nnameserver 192.0.2.9\n").unwrap();
        assert_eq!(shown(&directory.servers()), ["192.0.2.7:53"], "looked within the same second");
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!(shown(&directory.servers()), ["192.0.2.9:53"]);
        assert_eq!(directory.generation(), 1);
        // An address that becomes ours is not asked any more, whatever the files say.
        own.send_modify(|own| own.push("192.0.2.9:53".parse().unwrap()));
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!(shown(&directory.servers()), ["192.0.2.7:53"], "the next file");
        std::fs::remove_file(&stub).unwrap();
        std::fs::remove_file(&real).unwrap();
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!(shown(&directory.servers()), ["192.0.2.8:53"], "the lease");
    }

    #[tokio::test(start_paused = true)]
    async fn what_stood_in_resolv_conf_before_us_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (conf, kept) = (dir.path().join("resolv.conf"), dir.path().join("resolv.conf.edgesvc"));
        std::fs::write(&conf, "# edgesvc-dns: file 0\nsearch svc.x lan\nnameserver 10.43.0.10\nnameserver 192.0.2.7\n")
            .unwrap();
        let own = watch::channel(vec!["10.43.0.10:53".parse().unwrap()]).1;
        let directory = Directory::new(Upstreams::Files(vec![conf]), vec![], own);
        assert_eq!(shown(&directory.servers()), ["192.0.2.7:53"], "the file itself, where nothing is kept");
        std::fs::write(&kept, "search lan\nnameserver 192.0.2.8\nnameserver 192.0.2.9\n").unwrap();
        tokio::time::advance(LOOK_PAUSE).await;
        assert_eq!(shown(&directory.servers()), ["192.0.2.8:53", "192.0.2.9:53"]);
        assert_eq!(directory.search().iter().map(Name::to_string).collect::<Vec<_>>(), ["lan."]);
    }

    #[tokio::test]
    async fn named_servers_are_used_as_they_are_but_for_ourselves() {
        let from = Upstreams::Named(vec![named("10.43.0.10:53"), named("127.0.0.1:5353")]);
        let directory = Directory::new(from, vec![], watch::channel(vec!["10.43.0.10:53".parse().unwrap()]).1);
        assert_eq!(shown(&directory.servers()), ["127.0.0.1:5353"]);
    }

    #[tokio::test]
    async fn the_longest_domain_says_who_is_asked() {
        let stubs =
            [("corp.example", "192.0.2.1:53"), ("eu.corp.example", "192.0.2.2:53"), ("corp.example", "192.0.2.3:53")];
        let stubs = stubs.map(|(domain, server)| (domain.to_owned(), named(server))).to_vec();
        let directory = Directory::new(Upstreams::Named(vec![named("192.0.2.9:53")]), stubs, watch::channel(vec![]).1);
        for (name, expected) in [
            ("a.eu.corp.example.", vec!["192.0.2.2:53"]),
            ("corp.example.", vec!["192.0.2.1:53", "192.0.2.3:53"]),
            ("xcorp.example.", vec!["192.0.2.9:53"]),
        ] {
            assert_eq!(shown(&directory.servers_for(&Name::from_ascii(name).unwrap())), expected, "{name}");
        }
    }
}
