//! Which links the LAN is at, and what stands there. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Options;
use crate::model::{BoxAddress, IpFamily};

/// Links that are spoken on: far above any box, and a bound for what one name costs.
const LINKS_MAX: usize = 16;

/// One link that is spoken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// The box's addresses there, with their networks.
    pub(super) networks: Vec<IpNet>,
    /// Those that answer on node ports, and that clients can use.
    pub(super) node_port_addrs: Vec<IpAddr>,
}

impl Link {
    /// Whether packets of a family can be sent.
    pub(super) fn has(&self, family: IpFamily) -> bool {
        self.networks.iter().any(|net| IpFamily::of(net.addr()) == family)
    }

    /// The families it has.
    pub(super) fn families(&self) -> impl Iterator<Item = IpFamily> + '_ {
        IpFamily::BOTH.into_iter().filter(|family| self.has(*family))
    }

    /// Whether an address is of a neighbour on the link: nobody else is answered directly,
    /// or a forged source would make us send into the world (RFC 6762 section 11).
    pub(super) fn is_neighbour(&self, addr: IpAddr) -> bool {
        is_link_local_v6(addr) || self.networks.iter().any(|net| net.contains(&addr))
    }

    /// The address that joins the group in IPv4.
    pub(super) fn first_v4(&self) -> Option<std::net::Ipv4Addr> {
        self.networks.iter().find_map(|net| match net {
            IpNet::V4(net) => Some(net.addr()),
            IpNet::V6(_) => None,
        })
    }
}

/// The links to speak on, by index: those that are named, or those the box's default
/// routes leave by, if they can multicast and are up.
pub(super) fn links(addresses: &[BoxAddress], options: &Options) -> Vec<Link> {
    let Some(named) = &options.links else { return Vec::new() };
    // Without any default route, where the Node's addresses are.
    let routed = addresses.iter().any(|one| one.routed);
    let leads_out = |one: &BoxAddress| if routed { one.routed } else { one.primary };
    let wanted = |one: &BoxAddress| match named.as_slice() {
        [] => one.multicast && addresses.iter().any(|other| leads_out(other) && other.index == one.index),
        named => one.multicast && named.contains(&one.link),
    };
    let mut found: BTreeMap<u32, Vec<&BoxAddress>> = BTreeMap::new();
    for one in addresses.iter().filter(|one| wanted(one)) {
        found.entry(one.index).or_default().push(one);
    }
    found.into_values().take(LINKS_MAX).filter_map(|addresses| link(&addresses, options)).collect()
}

fn link(addresses: &[&BoxAddress], options: &Options) -> Option<Link> {
    let first = addresses.first()?;
    let admitted = |one: &BoxAddress| {
        let admits = options.nodeport_addresses.iter().any(|entry| entry.admits(one.addr, &one.link, one.primary));
        options.nodeport_addresses.is_empty() || admits
    };
    let mut node_port_addrs: Vec<IpAddr> = addresses.iter().filter(|one| admitted(one)).map(|one| one.addr).collect();
    node_port_addrs.sort_unstable();
    node_port_addrs.dedup();
    // Without the link's name such an address leads programs nowhere: only where there is no other.
    if node_port_addrs.iter().any(|addr| addr.is_ipv6() && !is_link_local_v6(*addr)) {
        node_port_addrs.retain(|addr| !is_link_local_v6(*addr));
    }
    let mut networks: Vec<IpNet> =
        addresses.iter().filter_map(|one| IpNet::new(one.addr, one.prefix_len).ok()).collect();
    networks.sort_unstable();
    networks.dedup();
    Some(Link { index: first.index, name: first.link.clone(), networks, node_port_addrs })
}

fn is_link_local_v6(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    fn one(addr: &str, link: &str, index: u32, primary: bool) -> BoxAddress {
        let net: IpNet = addr.parse().unwrap();
        let multicast = link != "lo";
        BoxAddress {
            addr: net.addr(),
            prefix_len: net.prefix_len(),
            link: link.to_owned(),
            index,
            routed: false,
            primary,
            multicast,
        }
    }

    fn all() -> Vec<BoxAddress> {
        vec![
            one("192.168.5.1/24", "eth0", 2, true),
            one("127.0.0.1/8", "lo", 1, false),
            one("fe80::1/64", "eth0", 2, false),
            one("172.17.0.1/16", "docker0", 3, false),
            one("10.0.0.1/24", "eth1", 4, false),
        ]
    }

    fn named(links: Option<&[&str]>) -> Vec<String> {
        let links = links.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let found = super::links(&all(), &Options { links, nodeport_addresses: Vec::new() });
        found.into_iter().map(|link| link.name).collect()
    }

    #[test]
    fn the_link_of_the_default_route_is_spoken_on_unless_others_are_named() {
        assert_eq!(named(Some(&[])), ["eth0"]);
        assert_eq!(named(Some(&["eth1", "docker0", "gone"])), ["docker0", "eth1"]);
        assert_eq!(named(Some(&["lo"])), [] as [&str; 0]);
        assert_eq!(named(None), [] as [&str; 0]);
        // One family's default route counts, and not the other's first address.
        let mut addresses = all();
        addresses[4].routed = true;
        let options = Options { links: Some(Vec::new()), nodeport_addresses: Vec::new() };
        assert_eq!(super::links(&addresses, &options).into_iter().map(|link| link.name).collect::<Vec<_>>(), ["eth1"]);
    }

    #[test]
    fn addresses_of_one_link_only_are_told_where_there_is_no_other() {
        let options = Options { links: Some(Vec::new()), nodeport_addresses: Vec::new() };
        let told = |addresses: &[BoxAddress]| super::links(addresses, &options).remove(0).node_port_addrs;
        assert_eq!(told(&all()), ["192.168.5.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        let mut more = all();
        more.push(one("fd00::1/64", "eth0", 2, false));
        assert_eq!(told(&more), ["192.168.5.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    }

    #[test]
    fn only_addresses_that_answer_on_node_ports_are_told() {
        let options = Options { links: Some(Vec::new()), nodeport_addresses: vec!["fe80::/10".parse().unwrap()] };
        let links = super::links(&all(), &options);
        assert_eq!(links[0].node_port_addrs, ["fe80::1".parse::<IpAddr>().unwrap()]);
        assert!(links[0].is_neighbour("192.168.5.77".parse().unwrap()));
        assert!(links[0].is_neighbour("fe80::77".parse().unwrap()));
        assert!(!links[0].is_neighbour("10.0.0.9".parse().unwrap()));
    }
}
