//! The box's addresses, and which of them answer on node ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use super::IpFamily;

/// The longest name of a link (`IFNAMSIZ` less its zero).
const LINK_NAME_BYTES_MAX: usize = 15;
const LOOPBACK_LINK: &str = "lo";

/// One address of the box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoxAddress {
    /// The address.
    pub addr: IpAddr,
    /// The link's name.
    pub link: String,
    /// The link's index.
    pub index: u32,
    /// The bits of its network.
    pub prefix_len: u8,
    /// Whether its link can multicast to neighbours now: it is up, has a carrier, and is
    /// not loopback.
    pub multicast: bool,
    /// Whether the default route of its family sends from it.
    pub routed: bool,
    /// The same; without a default route, the first that others can reach.
    pub primary: bool,
}

/// Every address, primary ones first, then by link.
pub type BoxAddresses = Arc<[BoxAddress]>;

/// One entry of `--nodeport-addresses`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodePortAddress {
    /// Addresses of a network.
    Network(IpNet),
    /// The primary address of each family, as the Node shows it.
    Primary,
    /// 127.0.0.1 and ::1.
    Localhost,
    /// The addresses of a link.
    Link(String),
}

/// The loopback address that `localhost` names.
pub fn loopback(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::LOCALHOST.into(),
        IpFamily::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

impl NodePortAddress {
    /// Whether an address of the box answers; `primary`: it is the first of its family.
    pub fn admits(&self, addr: IpAddr, link: &str, primary: bool) -> bool {
        match self {
            NodePortAddress::Network(net) => net.contains(&addr),
            NodePortAddress::Primary => primary,
            NodePortAddress::Localhost => addr == loopback(IpFamily::of(addr)),
            NodePortAddress::Link(name) => name == link,
        }
    }

    /// Whether it asks for loopback by name: a network that is wider than loopback
    /// does not, or `0.0.0.0/0` would open to programs of the box what nobody meant.
    pub fn names_loopback(&self) -> bool {
        match self {
            NodePortAddress::Network(net) => net.addr().is_loopback(),
            NodePortAddress::Primary => false,
            NodePortAddress::Localhost => true,
            NodePortAddress::Link(name) => name == LOOPBACK_LINK,
        }
    }

    /// Whether every address of a family answers but loopback: so it is without a
    /// word on the family.
    pub fn all_of(entries: &[NodePortAddress], family: IpFamily) -> bool {
        let mut said = entries
            .iter()
            .filter_map(|entry| match entry {
                NodePortAddress::Network(net) => (IpFamily::of(net.addr()) == family).then_some(net.prefix_len() == 0),
                NodePortAddress::Primary | NodePortAddress::Localhost | NodePortAddress::Link(_) => Some(false),
            })
            .peekable();
        said.peek().is_none() || said.any(|all| all)
    }

    /// Whether a loopback address answers.
    pub fn loopback_answers(entries: &[NodePortAddress], addr: IpAddr) -> bool {
        entries.iter().any(|entry| entry.names_loopback() && entry.admits(addr, LOOPBACK_LINK, false))
    }
}

impl FromStr for NodePortAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<NodePortAddress, String> {
        if text == "primary" {
            return Ok(NodePortAddress::Primary);
        }
        if text == "localhost" {
            return Ok(NodePortAddress::Localhost);
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
            return Err("must be a network, primary, localhost, or the name of a link such as eth0".to_owned());
        }
        Ok(NodePortAddress::Link(text.to_owned()))
    }
}

impl fmt::Display for NodePortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodePortAddress::Network(net) => net.fmt(f),
            NodePortAddress::Primary => f.write_str("primary"),
            NodePortAddress::Localhost => f.write_str("localhost"),
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
        for word in ["primary", "localhost"] {
            assert_eq!(read(word).unwrap().to_string(), word);
        }
        assert_eq!(read("eth0.5"), Ok(NodePortAddress::Link("eth0.5".to_owned())));
        for wrong in ["", "10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "fd00::1", "a-name-longer-than-links", "eth0:1"] {
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

    #[test]
    fn loopback_answers_where_it_is_named_and_the_rest_of_a_family_without_a_word() {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<NodePortAddress>>();
        for (texts, four, six, all_four, all_six) in [
            (&[][..], false, false, true, true),
            (&["0.0.0.0/0"], false, false, true, true),
            (&["0.0.0.0/0", "localhost"], true, true, true, false),
            (&["localhost"], true, true, false, false),
            (&["lo"], true, true, false, false),
            (&["127.0.0.0/8"], true, false, false, true),
            (&["primary", "fd00::/8"], false, false, false, false),
        ] {
            let entries = read(texts);
            let answers = |family| NodePortAddress::loopback_answers(&entries, loopback(family));
            let all = |family| NodePortAddress::all_of(&entries, family);
            assert_eq!((answers(IpFamily::V4), answers(IpFamily::V6)), (four, six), "{texts:?}");
            assert_eq!((all(IpFamily::V4), all(IpFamily::V6)), (all_four, all_six), "{texts:?}");
        }
    }
}
