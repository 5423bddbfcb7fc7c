//! What the checks look at: the box as it was found, gathered once.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::dataplane::{Neighbours, Probed};
use crate::model::ListenPlace;

/// Everything the checks need. Where something could not be read there is no
/// value, and the check says so.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Why the configuration is not valid; the checks then look at the defaults.
    pub config_fault: Option<String>,
    /// `--service-cluster-ip-range`.
    pub service_ranges: Vec<IpNet>,
    /// `--service-node-port-range`.
    pub node_ports: (u16, u16),
    /// `--cluster-dns`.
    pub cluster_dns: Vec<IpAddr>,
    /// `--dns-listen`.
    pub dns_places: Vec<ListenPlace>,
    /// `--upstream-dns` is given.
    pub upstreams_named: bool,
    /// `--proxy-mode` is nftables.
    pub nftables: bool,
    /// `--data-dir`.
    pub data_dir: Disk,
    /// What the daemon answered.
    pub daemon: Daemon,
    /// The version of this program.
    pub version: &'static str,
    /// CAP_NET_ADMIN is held.
    pub net_admin: bool,
    /// CAP_NET_BIND_SERVICE is held.
    pub net_bind: bool,
    /// What the kernel can do.
    pub kernel: Probed,
    /// Lines `CONFIG_X=y` or `=m` of the kernel's configuration, where it is kept as text.
    pub kernel_config: Option<String>,
    /// Foreign tables, or why they could not be read.
    pub neighbours: Result<Neighbours, String>,
    /// Table names of iptables-legacy that are loaded.
    pub legacy_tables: Option<Vec<String>>,
    /// `/proc/sys/net/` by the path below it: only what could be read.
    pub sysctls: Vec<(String, String)>,
    /// The box's links.
    pub links: Vec<LinkFact>,
    /// Routes of the main table: destination and link.
    pub routes: Vec<(IpNet, String)>,
    /// Addresses of the box and their links.
    pub addrs: Vec<(IpAddr, String)>,
    /// Sockets on port 53.
    pub dns_sockets: Vec<SocketAddr>,
    /// Servers of /etc/resolv.conf, and those kept behind a stub.
    pub resolvers: (Vec<IpAddr>, Vec<IpAddr>),
    /// Whether programs of the box find Services, and what of that is not in effect.
    pub host_dns: Option<Vec<String>>,
    /// The time, and when this program was built.
    pub now: OffsetDateTime,
    /// See `now`.
    pub built: OffsetDateTime,
    /// Certificates by name and the ends of their validity, or why one cannot be read.
    pub certificates: Vec<(String, Result<Validity, String>)>,
}

/// The first and the last moment of a certificate.
pub type Validity = (OffsetDateTime, OffsetDateTime);

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFact {
    /// Its name.
    pub name: String,
    /// Its largest packet.
    pub mtu: u32,
    /// It is a bridge.
    pub bridge: bool,
    /// It is a port of this bridge.
    pub master: Option<String>,
    /// A bridge port that sends frames back where they came from.
    pub hairpin: bool,
    /// rp_filter: the larger of its own and of `all`.
    pub rp_filter: u32,
}

/// The state of the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Where.
    pub path: String,
    /// Why it is not there or cannot be looked at.
    pub fault: Option<String>,
    /// The file system is mounted read-only.
    pub read_only: bool,
    /// Bytes free for us.
    pub free_bytes: u64,
    /// Files it can still hold; `None` where the file system does not count them.
    pub free_files: Option<u64>,
}

/// What is known of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// Nobody answers at the socket.
    Absent(String),
    /// We may not use the socket.
    Denied(String),
    /// It answers.
    Answers {
        /// Its version.
        version: String,
        /// Which of its checks fail.
        failing: Vec<String>,
    },
}

impl Facts {
    /// A number below /proc/sys/net.
    pub(super) fn sysctl(&self, path: &str) -> Option<u64> {
        self.words(path).and_then(|text| text.trim().parse().ok())
    }

    /// A text below /proc/sys/net.
    pub(super) fn words(&self, path: &str) -> Option<&str> {
        self.sysctls.iter().find(|(name, _)| name == path).map(|(_, value)| value.as_str())
    }

    pub(super) fn runs(&self) -> bool {
        !matches!(self.daemon, Daemon::Absent(_))
    }
}
