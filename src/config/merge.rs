//! Layers to one [`Config`]: the first layer that names a setting decides it,
//! every value is read, and every problem is kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::dns::dns_faults;
use super::problem::{ConfigError, Problem, Source};
use super::setting::{self, Given, Layer, SETTINGS};
use super::{AddressRange, Config, defaults, file, value};

/// What the user said, before anybody understood it.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Values of flags by name without dashes, for instance `("listen", "none")`.
    pub flags: BTreeMap<String, String>,
    /// The environment; only `EDGESVC_*` is looked at.
    pub variables: BTreeMap<String, String>,
    /// `--config`; without it `EDGESVC_CONFIG`, then the default file if there is one.
    pub file: Option<PathBuf>,
}

/// Reads the file and merges everything into a [`Config`].
///
/// # Errors
/// [`ConfigError::Unreadable`] when a named file cannot be read,
/// [`ConfigError::Invalid`] with every other problem.
pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    let named = inputs.file.clone().or_else(|| inputs.variables.get("EDGESVC_CONFIG").map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| PathBuf::from(defaults::CONFIG_FILE));
    let text = match read_bounded(&path) {
        Ok(text) => Some(text),
        // Nobody asked for the default file by name, so it may be absent.
        Err(fault) if named.is_none() && fault.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    merge(inputs, text.as_deref().map(|text| (path.as_path(), text)))
}

/// [`load`] without the file system.
pub(super) fn merge(inputs: &Inputs, text: Option<(&Path, &str)>) -> Result<Config, ConfigError> {
    let (file_layer, mut problems) = text.map_or_else(Default::default, |(path, text)| file::read(path, text));
    let mut reading = Reading { layers: vec![flags(inputs, &mut problems), variables(inputs), file_layer], problems };
    let config = reading.config(inputs);
    if reading.problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(reading.problems)) }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(defaults::FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > defaults::FILE_BYTES_MAX {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("a configuration has at most {} bytes", defaults::FILE_BYTES_MAX),
        ));
    }
    Ok(text)
}

fn flags(inputs: &Inputs, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new();
    for (name, text) in &inputs.flags {
        match setting::find(name) {
            Some(known) => {
                layer.insert(known.name, Given::text(Source::Flag(known.name), text));
            }
            None => problems.push(Problem {
                source: Source::Variable(format!("--{name}")),
                value: Some(text.clone()),
                fault: "no such setting".to_owned(),
            }),
        }
    }
    layer
}

// Only variables that name a setting count. Others are not refused: a Service
// called `edgesvc` gives its clients EDGESVC_PORT and its like.
fn variables(inputs: &Inputs) -> Layer {
    SETTINGS
        .iter()
        .filter_map(|setting| {
            let name = setting.variable();
            let text = inputs.variables.get(&name)?;
            Some((setting.name, Given::text(Source::Variable(name), text)))
        })
        .collect()
}

/// The layers, strongest first, and the problems met so far.
struct Reading {
    layers: Vec<Layer>,
    problems: Vec<Problem>,
}

impl Reading {
    fn config(&mut self, inputs: &Inputs) -> Config {
        let service_cluster_ip_ranges = self.service_ranges();
        let config = Config {
            data_dir: self.directory("data-dir"),
            run_dir: self.directory("run-dir"),
            listen: self.one("listen", value::listen).flatten(),
            metrics_listen: self.one("metrics-listen", value::listen).flatten(),
            node_port_range: self.one("service-node-port-range", value::ports).unwrap_or(1..=1),
            nodeport_addresses: self.list("nodeport-addresses", value::node_port_address),
            cluster_domain: self.one("cluster-domain", value::domain).unwrap_or_default(),
            cluster_dns: self.cluster_dns(&service_cluster_ip_ranges),
            upstream_dns: self.list("upstream-dns", value::dns_server),
            dns_stub_zones: self.list("dns-stub-zones", value::stub_zone),
            dns_hosts: self.one("dns-hosts", value::file).flatten(),
            dns_ca_file: self.optional("dns-ca-file", value::file).flatten(),
            dns_listen: self.list("dns-listen", value::dns_place),
            dns_allow: self.list("dns-allow", value::network),
            dns_rate_limit: self.one("dns-rate-limit", value::dns_rate).unwrap_or_default(),
            dns_ttl: self.one("dns-ttl", value::dns_ttl).unwrap_or_default(),
            dns_pod_records: self.one("dns-pod-records", value::pod_records).unwrap_or(super::PodRecords::Disabled),
            dns_autopath: self.one("dns-autopath", value::switch).unwrap_or_default(),
            dns_query_log: self.one("dns-query-log", value::switch).unwrap_or_default(),
            mdns_links: self.mdns_links(),
            cluster_cidrs: self.list("cluster-cidr", value::network),
            external_ip_cidrs: self.list("external-ip-cidrs", value::network),
            load_balancer_pool: self.list("load-balancer-pool", value::address_range),
            proxy_mode: self.one("proxy-mode", value::proxy_mode).unwrap_or(super::ProxyMode::None),
            forward_mark: self.one("forward-mark", value::mark).flatten(),
            count_traffic: self.one("dataplane-counters", value::counters).unwrap_or_default(),
            log_level: self.one("log-level", value::log_level).unwrap_or(super::LogLevel::Info),
            log_format: self.one("log-format", value::log_format).unwrap_or(super::LogFormat::Text),
            log_filter: inputs.variables.get("EDGESVC_LOG").filter(|text| !text.is_empty()).cloned(),
            service_cluster_ip_ranges,
        };
        self.check_sockets(&config);
        self.check_networks(&config);
        for (name, value, fault) in dns_faults(&config) {
            self.problem(name, Some(&value), fault);
        }
        config
    }

    /// The strongest layer's word on a setting, else the default.
    fn given(&self, name: &'static str) -> Given {
        let found = self.layers.iter().find_map(|layer| layer.get(name));
        found.cloned().unwrap_or_else(|| {
            let text = setting::find(name).map_or("", |setting| setting.default);
            Given::text(Source::Default(name), text)
        })
    }

    fn problem(&mut self, name: &'static str, value: Option<&str>, fault: impl Into<String>) {
        let source = self.given(name).source;
        self.problems.push(Problem { source, value: value.map(str::to_owned), fault: fault.into() });
    }

    fn one<T>(&mut self, name: &'static str, read: fn(&str) -> Result<T, String>) -> Option<T> {
        let given = self.given(name);
        let [word] = given.words.as_slice() else {
            let text = given.words.join(",");
            self.problem(name, Some(&text), "must be exactly one value");
            return None;
        };
        read(word).map_err(|fault| self.problem(name, Some(word), fault)).ok()
    }

    /// As [`Reading::one`], where the default is nothing.
    fn optional<T>(&mut self, name: &'static str, read: fn(&str) -> Result<T, String>) -> Option<T> {
        if self.given(name).words.is_empty() { None } else { self.one(name, read) }
    }

    fn list<T: PartialEq>(&mut self, name: &'static str, read: fn(&str) -> Result<T, String>) -> Vec<T> {
        let given = self.given(name);
        if given.words.len() > defaults::LIST_ENTRIES_MAX {
            self.problem(name, None, format!("has more than {} entries", defaults::LIST_ENTRIES_MAX));
            return Vec::new();
        }
        let mut items = Vec::new();
        for word in &given.words {
            match read(word) {
                Ok(item) if items.contains(&item) => self.problem(name, Some(word), "stands there twice"),
                Ok(item) => items.push(item),
                Err(fault) => self.problem(name, Some(word), fault),
            }
        }
        items
    }

    fn directory(&mut self, name: &'static str) -> PathBuf {
        // A path may hold commas; put back what the layer split.
        let text = self.given(name).words.join(",");
        match std::path::absolute(&text) {
            Ok(path) => path,
            Err(fault) => {
                self.problem(name, Some(&text), format!("must be a directory: {fault}"));
                PathBuf::new()
            }
        }
    }

    fn service_ranges(&mut self) -> Vec<IpNet> {
        const NAME: &str = "service-cluster-ip-range";
        let before = self.problems.len();
        let ranges = self.list(NAME, value::service_network);
        if self.problems.len() > before {
            return ranges;
        }
        let text = joined(&ranges);
        let families_differ =
            ranges.first().map(|net| net.addr().is_ipv4()) != ranges.get(1).map(|net| net.addr().is_ipv4());
        if ranges.is_empty() || ranges.len() > defaults::SERVICE_RANGES_MAX || !families_differ {
            self.problem(NAME, Some(&text), "must be one network, or one IPv4 and one IPv6 network");
        }
        ranges
    }

    fn cluster_dns(&mut self, ranges: &[IpNet]) -> Vec<IpAddr> {
        const NAME: &str = "cluster-dns";
        let given = self.given(NAME);
        match given.words.as_slice() {
            [word] if word == "none" => return Vec::new(),
            [] => return self.tenth_addresses(ranges),
            _ => {}
        }
        let addresses = self.list(NAME, value::address);
        for (at, addr) in addresses.iter().enumerate() {
            let text = addr.to_string();
            if addresses.iter().take(at).any(|other| other.is_ipv4() == addr.is_ipv4()) {
                self.problem(NAME, Some(&text), "must be at most one address a family");
            }
            match ranges.iter().find(|range| range.contains(addr)) {
                None => {
                    let fault = format!("must lie in the service range {}", joined(ranges));
                    self.problem(NAME, Some(&text), fault);
                }
                Some(range) if nth(*range, 1) == Some(*addr) => {
                    self.problem(
                        NAME,
                        Some(&text),
                        "is the range's first address, which the Service default/kubernetes takes",
                    );
                }
                Some(range) if !usable(*range, *addr) => {
                    self.problem(NAME, Some(&text), "is the network's own or broadcast address");
                }
                Some(_) => {}
            }
        }
        addresses
    }

    fn mdns_links(&mut self) -> Option<Vec<String>> {
        const NAME: &str = "mdns-links";
        if self.given(NAME).words == ["none"] { None } else { Some(self.list(NAME, value::link)) }
    }

    fn tenth_addresses(&mut self, ranges: &[IpNet]) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for range in ranges {
            match nth(*range, defaults::CLUSTER_DNS_INDEX).filter(|addr| usable(*range, *addr)) {
                Some(addr) => addresses.push(addr),
                None => {
                    let fault = "has no tenth address for DNS: give --cluster-dns an address of it, or none";
                    self.problem("service-cluster-ip-range", Some(&range.to_string()), fault);
                }
            }
        }
        addresses
    }

    fn check_sockets(&mut self, config: &Config) {
        let socket = config.socket();
        if socket.as_os_str().len() > defaults::SOCKET_PATH_BYTES_MAX {
            let fault = format!(
                "makes the path of the socket longer than {} bytes, which no Unix socket can have",
                defaults::SOCKET_PATH_BYTES_MAX
            );
            self.problem("run-dir", Some(&config.run_dir.display().to_string()), fault);
        }
        if config.listen.is_some()
            && config.listen == config.metrics_listen
            && config.listen.is_some_and(|at| at.port() != 0)
        {
            self.problem(
                "metrics-listen",
                Some(&config.value_of("metrics-listen")),
                "is the address of --listen already",
            );
        }
        for (name, listen) in [("listen", config.listen), ("metrics-listen", config.metrics_listen)] {
            let Some(listen) = listen else { continue };
            let text = listen.to_string();
            if config.service_cluster_ip_ranges.iter().any(|range| range.contains(&listen.ip())) {
                self.problem(
                    name,
                    Some(&text),
                    "must not lie in the service range: its addresses exist only for Services",
                );
            }
            // Loopback is safe: node ports do not answer there.
            if !listen.ip().is_loopback() && config.node_port_range.contains(&listen.port()) {
                self.problem(name, Some(&text), "its port lies in the node port range, where a Service could take it");
            }
        }
    }

    fn check_networks(&mut self, config: &Config) {
        // A wider network is fine (0.0.0.0/0 means anywhere); one inside the
        // service range cannot mean anything but a mistake.
        for (name, nets) in [("cluster-cidr", &config.cluster_cidrs), ("external-ip-cidrs", &config.external_ip_cidrs)]
        {
            for net in nets {
                if let Some(range) = config.service_cluster_ip_ranges.iter().find(|range| range.contains(net)) {
                    self.problem(name, Some(&net.to_string()), format!("lies in the service range {range}"));
                }
            }
        }
        for pool in &config.load_balancer_pool {
            let overlapping = config.service_cluster_ip_ranges.iter().find(|range| {
                let range = AddressRange { first: range.network(), last: range.broadcast() };
                range.contains(pool.first) || range.contains(pool.last) || pool.contains(range.first)
            });
            if let Some(range) = overlapping {
                self.problem(
                    "load-balancer-pool",
                    Some(&pool.to_string()),
                    format!("overlaps the service range {range}"),
                );
            }
        }
    }
}

/// Whether an address of the range may be given out: not the network's own and, in IPv4, not broadcast.
fn usable(range: IpNet, addr: IpAddr) -> bool {
    range.contains(&addr) && addr != range.network() && !(range.addr().is_ipv4() && addr == range.broadcast())
}

/// The network's address plus `index`, when the range reaches that far.
fn nth(range: IpNet, index: u32) -> Option<IpAddr> {
    let addr = match range.network() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4).checked_add(index)?)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).checked_add(u128::from(index))?)),
    };
    range.contains(&addr).then_some(addr)
}

fn joined(nets: &[IpNet]) -> String {
    let texts: Vec<String> = nets.iter().map(IpNet::to_string).collect();
    texts.join(",")
}
