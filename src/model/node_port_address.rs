//! Which of the box's addresses answer on node ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The longest name of a link (`IFNAMSIZ` less its zero).
const LINK_NAME_BYTES_MAX: usize = 15;

/// One entry of `--nodeport-addresses`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodePortAddress {
    /// Addresses of a network.
    Network(IpNet),
    /// The primary address of each family, as the Node shows it.
    Primary,
    /// The addresses of a link.
    Link(String),
}

impl NodePortAddress {
    /// Whether an address of the box answers; `primary`: it is the first of its family.
    pub fn admits(&self, addr: IpAddr, link: &str, primary: bool) -> bool {
        match self {
            NodePortAddress::Network(net) => net.contains(&addr),
            NodePortAddress::Primary => primary,
            NodePortAddress::Link(name) => name == link,
        }
    }
}

impl FromStr for NodePortAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<NodePortAddress, String> {
        if text == "primary" {
            return Ok(NodePortAddress::Primary);
        }
        if text == "localhost" {
            return Err("node ports are not served on loopback; use primary, a network or a link".to_owned());
        }
        if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            let net: IpNet = text.parse().map_err(|_| "must be ADDR/PREFIX, for instance 192.168.1.0/24".to_owned())?;
            if super::name::strict_ip(&net.addr().to_string()).is_none() {
                return Err("must not be an IPv4-mapped IPv6 network".to_owned());
            }
            if net.trunc() != net {
                return Err(format!("has bits set behind the prefix; did you mean {}?", net.trunc()));
            }
            return Ok(NodePortAddress::Network(net));
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | ',');
        if text.is_empty() || text.len() > LINK_NAME_BYTES_MAX || !text.chars().all(plain) {
            return Err("must be a network, primary, or the name of a link such as eth0".to_owned());
        }
        Ok(NodePortAddress::Link(text.to_owned()))
    }
}

impl fmt::Display for NodePortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodePortAddress::Network(net) => net.fmt(f),
            NodePortAddress::Primary => f.write_str("primary"),
            NodePortAddress::Link(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_network_primary_or_a_link() {
        let read = |text: &str| text.parse::<NodePortAddress>();
        assert_eq!(read("10.0.0.0/8"), Ok(NodePortAddress::Network("10.0.0.0/8".parse().unwrap())));
        assert_eq!(read("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert_eq!(read("primary"), Ok(NodePortAddress::Primary));
        assert_eq!(read("eth0.5"), Ok(NodePortAddress::Link("eth0.5".to_owned())));
        for wrong in
            ["", "10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "fd00::1", "a-name-longer-than-links", "eth0:1", "localhost"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_admits_its_addresses_only() {
        let addr = "192.0.2.1".parse().unwrap();
        let admits = |text: &str, primary| text.parse::<NodePortAddress>().unwrap().admits(addr, "eth0", primary);
        assert!(admits("192.0.2.0/24", false) && !admits("192.0.3.0/24", true));
        assert!(admits("primary", true) && !admits("primary", false));
        assert!(admits("eth0", false) && !admits("eth1", true));
    }
}
