//! What this box says of itself: its name, addresses, processor and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;

use crate::config::Config;
use crate::controller::Facts;
use crate::dataplane::addresses;
use crate::desired;
use crate::model::{BoxAddress, BoxAddresses, Protocol};

/// The facts with these addresses of the box; the others stay as they are for the
/// life of the process.
pub(super) fn facts(config: &Config, addresses: &[BoxAddress]) -> Facts {
    let uname = nix::sys::utsname::uname().ok();
    let kernel_version = uname.as_ref().map(|uname| uname.release().to_string_lossy().into_owned()).unwrap_or_default();
    Facts {
        node_name: node_name(),
        node_addrs: reachable(addresses, &config.service_cluster_ip_ranges),
        architecture: architecture().to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes().unwrap_or_default(),
        kernel_version,
        service_ranges: config.service_cluster_ip_ranges.clone(),
        node_ports: Some(config.node_port_range.clone()),
        api_listen: config.listen,
        troubles: Arc::default(),
    }
}

/// What of it contributions depend on.
pub(super) fn desired(config: &Config, facts: &Facts, unsupported: BTreeMap<Protocol, String>) -> desired::Facts {
    let external_ip_cidrs = config.external_ip_cidrs.clone();
    desired::Facts { node_name: facts.node_name.as_str().into(), external_ip_cidrs, unsupported }
}

/// Follows the box's addresses until nobody is left who wants to know.
pub(super) async fn follow(mut now: watch::Receiver<BoxAddresses>, facts: watch::Sender<Facts>) {
    while now.changed().await.is_ok() {
        let addresses = now.borrow_and_update().clone();
        let ranges = facts.borrow().service_ranges.clone();
        let addrs = reachable(&addresses, &ranges);
        facts.send_if_modified(|facts| {
            let moved = facts.node_addrs != addrs;
            if moved {
                tracing::info!(?addrs, "the box's addresses changed");
                facts.node_addrs = addrs;
            }
            moved
        });
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

/// The box's own addresses that others can reach, the primary one of each family
/// first, IPv4 before IPv6.
fn reachable(addresses: &[BoxAddress], service_ranges: &[IpNet]) -> Vec<IpAddr> {
    let of_services = |addr: &IpAddr| service_ranges.iter().any(|range| range.contains(addr));
    let mut found: Vec<IpAddr> = addresses
        .iter()
        .filter(|one| addresses::is_reachable(one))
        .map(|one| one.addr)
        .filter(|addr| !of_services(addr))
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    let mut seen = BTreeSet::new();
    found.retain(|addr| seen.insert(*addr));
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
