//! Flags, environment and file to one validated, immutable [`Config`].
//!
//! In: what the user wrote on the command line, `EDGESVC_*` variables, and a
//! YAML file. Flags win over variables, variables over the file, the file over
//! [`defaults`]. Out: a [`Config`] of domain types, or every problem at once,
//! each with its flag, variable or line. Holds always: whoever has a `Config`
//! need not check it again; it never changes while the process lives. Cluster
//! data is in the API, never here.

pub mod defaults;
mod dns;
mod file;
mod merge;
mod problem;
mod setting;
#[cfg(test)]
mod tests;
mod value;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::{ListenPlace, NodePortAddress};

pub use merge::{Inputs, load};
pub use problem::{ConfigError, Problem, Source};
pub use setting::{SETTINGS, Setting};

/// Everything `edgesvc run` was told, in domain types. Immutable: a change is a
/// restart, which cuts no traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The store, the certificates and `admin.kubeconfig`. Absolute.
    pub data_dir: PathBuf,
    /// `edgesvc.sock`. Absolute.
    pub run_dir: PathBuf,
    /// The API over TLS; `None` serves the Unix socket only.
    pub listen: Option<SocketAddr>,
    /// `/metrics` over plain HTTP; `None` serves it on the API only.
    pub metrics_listen: Option<SocketAddr>,
    /// Where cluster IPs come from: one range, or one of each family. The first is the primary one.
    pub service_cluster_ip_ranges: Vec<IpNet>,
    /// Where node ports come from.
    pub node_port_range: RangeInclusive<u16>,
    /// Which local addresses answer on node ports; empty means all.
    pub nodeport_addresses: Vec<NodePortAddress>,
    /// What names of Services end in, without a final dot.
    pub cluster_domain: String,
    /// Where DNS answers, at most one address a family, each inside a service range; empty means no DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// Who answers other names; empty means the system's resolvers.
    pub upstream_dns: Vec<DnsServer>,
    /// Domains that others answer, and who.
    pub dns_stub_zones: Vec<StubZone>,
    /// A hosts file whose names clients know too.
    pub dns_hosts: Option<PathBuf>,
    /// Authorities of upstreams over TLS; `None` means the system's.
    pub dns_ca_file: Option<PathBuf>,
    /// Where DNS also answers the LAN.
    pub dns_listen: Vec<ListenPlace>,
    /// From where it does.
    pub dns_allow: Vec<IpNet>,
    /// Answers a second over UDP to one source of the LAN; 0 is no limit.
    pub dns_rate_limit: u32,
    /// Seconds clients may keep answers about Services.
    pub dns_ttl: u32,
    /// Which names of Pods exist.
    pub dns_pod_records: PodRecords,
    /// Completes search paths of Pods.
    pub dns_autopath: bool,
    /// Logs each DNS question.
    pub dns_query_log: bool,
    /// Links where Services may have a name on the LAN; empty means those of the default
    /// routes, `None` no link.
    pub mdns_links: Option<Vec<String>>,
    /// Networks of pods, reached without masquerade.
    pub cluster_cidrs: Vec<IpNet>,
    /// Where `spec.externalIPs` may lie; empty refuses all.
    pub external_ip_cidrs: Vec<IpNet>,
    /// Addresses for LoadBalancer Services; empty means the node's own.
    pub load_balancer_pool: Vec<AddressRange>,
    /// How packets find their endpoint.
    pub proxy_mode: ProxyMode,
    /// The bit in the mark of forwarded packets of Services, for firewalls of others; `None`
    /// marks nothing and leaves those alone.
    pub forward_mark: Option<u32>,
    /// Packets and bytes of Services are counted, not connections alone.
    pub count_traffic: bool,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// A filter per room, from `EDGESVC_LOG`; replaces `log_level` when set.
    pub log_filter: Option<String>,
}

impl Config {
    /// The API's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join(defaults::SOCKET_NAME)
    }

    /// The kubeconfig of the administrator, written at start.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// The value of a setting, written as its flag would be.
    pub fn value_of(&self, setting: &str) -> String {
        match setting {
            "data-dir" => self.data_dir.display().to_string(),
            "run-dir" => self.run_dir.display().to_string(),
            "listen" => self.listen.map_or_else(|| "none".to_owned(), |at| at.to_string()),
            "metrics-listen" => self.metrics_listen.map_or_else(|| "none".to_owned(), |at| at.to_string()),
            "service-cluster-ip-range" => joined(&self.service_cluster_ip_ranges),
            "service-node-port-range" => {
                format!("{}-{}", self.node_port_range.start(), self.node_port_range.end())
            }
            "nodeport-addresses" => joined(&self.nodeport_addresses),
            "cluster-domain" => self.cluster_domain.clone(),
            "cluster-dns" if self.cluster_dns.is_empty() => "none".to_owned(),
            "cluster-dns" => joined(&self.cluster_dns),
            "upstream-dns" => joined(&self.upstream_dns),
            "dns-stub-zones" => joined(&self.dns_stub_zones),
            "dns-hosts" => self.dns_hosts.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string()),
            "dns-ca-file" => self.dns_ca_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            "dns-listen" => joined(&self.dns_listen),
            "dns-allow" => joined(&self.dns_allow),
            "dns-rate-limit" => self.dns_rate_limit.to_string(),
            "dns-ttl" => self.dns_ttl.to_string(),
            "dns-pod-records" => self.dns_pod_records.as_str().to_owned(),
            "dns-autopath" => self.dns_autopath.to_string(),
            "dns-query-log" => self.dns_query_log.to_string(),
            "mdns-links" => self.mdns_links.as_ref().map_or_else(|| "none".to_owned(), |links| joined(links)),
            "cluster-cidr" => joined(&self.cluster_cidrs),
            "external-ip-cidrs" => joined(&self.external_ip_cidrs),
            "load-balancer-pool" => joined(&self.load_balancer_pool),
            "proxy-mode" => self.proxy_mode.as_str().to_owned(),
            "forward-mark" => self.forward_mark.map_or_else(|| "none".to_owned(), |bit| format!("{bit:#x}")),
            "dataplane-counters" => if self.count_traffic { "traffic" } else { "connections" }.to_owned(),
            "log-level" => self.log_level.as_str().to_owned(),
            "log-format" => self.log_format.as_str().to_owned(),
            _ => String::new(),
        }
    }
}

/// The configuration in effect, as a file that would say the same.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &SETTINGS {
            let value = self.value_of(setting.name);
            if value.is_empty() {
                writeln!(f, "{}: []  # {}", setting.name, setting.default_words)?;
            } else if value.contains(',') {
                writeln!(f, "{}: [{}]", setting.name, value.replace(',', ", "))?;
            } else {
                writeln!(f, "{}: {value}", setting.name)?;
            }
        }
        Ok(())
    }
}

fn joined<T: fmt::Display>(items: &[T]) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        if write!(text, "{item}").is_err() {
            break;
        }
    }
    text
}

/// Addresses from `first` to `last`, both included, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address, never below `first`.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether the address is one of them.
    pub fn contains(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.first.is_ipv4() && self.first <= addr && addr <= self.last
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A DNS server that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsServer {
    /// Address and port.
    pub addr: SocketAddr,
    /// Asked over TLS, and what its certificate must name.
    pub tls: Option<String>,
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tls {
            Some(name) => write!(f, "tls://{}#{name}", self.addr),
            None => write!(f, "{}", self.addr),
        }
    }
}

/// A domain that a server of its own answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StubZone {
    /// The domain, without the final dot.
    pub domain: String,
    /// Who answers it.
    pub server: DnsServer,
}

impl fmt::Display for StubZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.domain, self.server)
    }
}

/// Which names `10-1-2-3.NAMESPACE.pod` exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodRecords {
    /// None.
    Disabled,
    /// Those of any address, in a namespace that exists.
    Insecure,
    /// Those of the addresses of Pods.
    Verified,
}

impl PodRecords {
    /// The word of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            PodRecords::Disabled => "disabled",
            PodRecords::Insecure => "insecure",
            PodRecords::Verified => "verified",
        }
    }
}

/// How packets find their endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Our own nftables table over netlink.
    Nftables,
    /// The userspace relay, for every Service.
    Relay,
    /// The kernel is left alone: the API, the controllers and DNS only.
    None,
}

impl ProxyMode {
    /// The word of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyMode::Nftables => "nftables",
            ProxyMode::Relay => "relay",
            ProxyMode::None => "none",
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Degraded; we retry.
    Warn,
    /// The user would notice.
    Info,
    /// One reconcile.
    Debug,
    /// One packet, query or frame.
    Trace,
}

impl LogLevel {
    /// Every level, quietest first.
    pub const ALL: [LogLevel; 5] = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// The word of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl LogFormat {
    /// The word of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}
