//! Where something listens for the LAN: an address of the box, or whatever addresses a
//! link has.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::name::strict_ip;
use super::{BoxAddress, NodePortAddress};

/// One entry of `--dns-listen`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenPlace {
    /// This address, also while the box does not have it.
    Address(SocketAddr),
    /// Every address of a link, as it changes: a DHCP lease, a prefix of IPv6.
    Link {
        /// Its name.
        name: String,
        /// The port.
        port: u16,
    },
}

impl ListenPlace {
    /// Reads `ADDR`, `ADDR:PORT`, `LINK` or `LINK:PORT`; `None` where it is none of them.
    pub fn read(text: &str, default_port: u16) -> Option<ListenPlace> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Some(addr) = strict_ip(bare) {
            return Some(ListenPlace::Address(SocketAddr::new(addr, default_port)));
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return (addr.port() != 0).then_some(ListenPlace::Address(addr));
        }
        let (name, port) = match text.split_once(':') {
            None => (text, default_port),
            Some((name, port)) => (name, port.parse().ok().filter(|port| *port != 0)?),
        };
        // A misspelt address is no link: 192.168.1 would be waited for, for ever.
        let is_name = name.bytes().any(|byte| byte.is_ascii_alphabetic()) && name != "none";
        match name.parse() {
            Ok(NodePortAddress::Link(name)) if is_name => Some(ListenPlace::Link { name, port }),
            _ => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            ListenPlace::Address(at) => at.port(),
            ListenPlace::Link { port, .. } => *port,
        }
    }

    /// Whether an address of the box, on a link of this name, is one of it.
    pub fn admits(&self, addr: IpAddr, link: &str) -> bool {
        match self {
            ListenPlace::Address(at) => at.ip() == addr,
            ListenPlace::Link { name, .. } => name == link,
        }
    }

    /// Where to listen while the box has this address there.
    pub fn on(&self, one: &BoxAddress) -> SocketAddr {
        match (self, one.addr) {
            (ListenPlace::Address(at), _) => *at,
            // Such an address means nothing without its link.
            (ListenPlace::Link { port, .. }, IpAddr::V6(addr)) if addr.is_unicast_link_local() => {
                SocketAddrV6::new(addr, *port, 0, one.index).into()
            }
            (ListenPlace::Link { port, .. }, addr) => SocketAddr::new(addr, *port),
        }
    }
}

impl fmt::Display for ListenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenPlace::Address(at) => at.fmt(f),
            ListenPlace::Link { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_link_and_misspelt_addresses_are_neither() {
        for (text, shown) in [
            ("192.168.1.1", "192.168.1.1:53"),
            ("192.168.1.1:5353", "192.168.1.1:5353"),
            ("fd00::1", "[fd00::1]:53"),
            ("[fd00::1]", "[fd00::1]:53"),
            ("[fd00::1]:5353", "[fd00::1]:5353"),
            ("eth0", "eth0:53"),
            ("br-lan.5:5353", "br-lan.5:5353"),
        ] {
            assert_eq!(ListenPlace::read(text, 53).map(|place| place.to_string()).as_deref(), Some(shown), "{text}");
        }
        for wrong in [
            "",
            "192.168.1",
            "192.168.1.300",
            "1",
            "eth0:",
            "eth0:0",
            "eth0:dns",
            "none",
            "primary",
            "10.0.0.0/8",
            "192.168.1.1:0",
        ] {
            assert_eq!(ListenPlace::read(wrong, 53), None, "{wrong}");
        }
    }
}
