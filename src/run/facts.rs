//! What this box says of itself: its name, addresses, processor and memory.

use std::net::IpAddr;

use crate::config::Config;
use crate::controller::Facts;

/// Reads the facts once, at start.
pub(super) fn facts(config: &Config) -> Facts {
    let uname = nix::sys::utsname::uname().ok();
    let kernel_version = uname.as_ref().map(|uname| uname.release().to_string_lossy().into_owned()).unwrap_or_default();
    Facts {
        node_name: node_name(),
        node_addrs: addresses(config),
        architecture: architecture().to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes().unwrap_or_default(),
        kernel_version,
        service_ranges: config.service_cluster_ip_ranges.clone(),
        node_ports: Some(config.node_port_range.clone()),
        api_listen: config.listen,
    }
}

/// The host name as a Node's name: lower case, and only what DNS allows.
pub(super) fn node_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let mut name: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' })
        .collect();
    name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() || !crate::model::name::dns1123_subdomain(&name).is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// The box's own addresses that others can reach, IPv4 first; ours are not among
/// them, and neither are those of container bridges' peers.
fn addresses(config: &Config) -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut found: Vec<IpAddr> = interfaces
        .filter(|interface| interface.interface_name != crate::dataplane::LINK_NAME)
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
        })
        .filter(|addr| match addr {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        })
        .filter(|addr| !config.service_cluster_ip_ranges.iter().any(|range| range.contains(addr)))
        .collect();
    found.sort_by_key(|addr| addr.is_ipv6());
    found.dedup();
    found
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}
