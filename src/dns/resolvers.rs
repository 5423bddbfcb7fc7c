//! Servers and search lists in the files of resolvers and DHCP clients. Pure.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;

/// The port of servers that files name without one.
const DNS_PORT: u16 = 53;
/// Domains used of a search list: what the C library reads.
const SEARCH_MAX: usize = 6;

/// The servers a text names: `nameserver ADDR` as in resolv.conf(5), `DNS=ADDR
/// ADDR` as systemd-networkd keeps its leases, `option domain-name-servers ADDR,
/// ADDR;` as dhclient does, where the newest lease stands last. What it cannot
/// mean is passed over, as the C library does; so are link-local servers, which
/// carry the name of an interface.
pub(crate) fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<IpAddr> = Vec::new();
    for line in text.lines().map(str::trim) {
        let mut words = line.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        if first == "nameserver" {
            servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
        } else if let Some(addr) = first.strip_prefix("DNS=") {
            servers.extend(std::iter::once(addr).chain(words).filter_map(|word| word.parse::<IpAddr>().ok()));
        } else if first == "option" && words.next() == Some("domain-name-servers") {
            servers = words.filter_map(|word| word.parse().ok()).collect();
        }
    }
    servers.into_iter().map(|addr| SocketAddr::new(addr, DNS_PORT)).collect()
}

/// The search list of a resolv.conf(5): the last `search` or `domain` counts.
pub(crate) fn search(text: &str) -> Vec<Name> {
    let mut names = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            names = words
                .take(SEARCH_MAX)
                .filter_map(|word| Name::from_ascii(word.to_ascii_lowercase()).ok())
                .filter(|name| !name.is_root())
                .map(|mut name| {
                    name.set_fqdn(true);
                    name
                })
                .collect();
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_c_library_reads_it() {
        let text = "# x\nsearch a b\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # y\nnameserver foo\nnameserverx 1.1.1.1\n";
        assert_eq!(parse(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
        let shown = |text: &str| search(text).iter().map(Name::to_string).collect::<Vec<_>>();
        assert_eq!(shown(text), ["a.", "b."]);
        assert_eq!(shown("domain x\nsearch Fritz.Box ."), ["fritz.box."]);
    }

    #[test]
    fn leases_of_dhcp_clients_name_servers() {
        assert_eq!(parse("ADDRESS=192.0.2.9\nDNS=192.0.2.1 2001:db8::1\n").len(), 2);
        let lease = "lease {\n  option domain-name-servers 192.0.2.1;\n}\nlease {\n  option domain-name-servers 192.0.2.2, 192.0.2.3;\n}\n";
        assert_eq!(parse(lease), ["192.0.2.2:53".parse().unwrap(), "192.0.2.3:53".parse().unwrap()]);
    }
}
