//! Reverse names (RFC 1035 section 3.5, RFC 3596 section 2.5): what they stand
//! for, and which of them are ours. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;
use ipnet::IpNet;

use super::authority::under;

/// Bits one label stands for, and the labels above them.
const OCTET: (u8, [&str; 2]) = (8, ["in-addr", "arpa"]);
const NIBBLE: (u8, [&str; 2]) = (4, ["ip6", "arpa"]);

/// What a reverse name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reverse {
    /// One address: the name is complete.
    Address(IpAddr),
    /// Whole labels, fewer than an address has.
    Network(IpNet),
    /// Spells nothing, beneath the name of this network or address.
    Beneath(IpNet),
}

impl Reverse {
    /// Reads a name in lower case; none if it lies in no reverse tree.
    pub(crate) fn of(name: &Name) -> Option<Reverse> {
        let mut labels = name.iter().rev();
        if labels.next()? != b"arpa" {
            return None;
        }
        let v4 = match labels.next()? {
            b"in-addr" => true,
            b"ip6" => false,
            _ => return None,
        };
        let (step, whole) = if v4 { (OCTET.0, 32) } else { (NIBBLE.0, 128) };
        let (mut bits, mut length) = (0_u128, 0_u8);
        let mut spelled = true;
        for label in labels {
            let Some(value) = (if v4 { octet(label) } else { nibble(label) }).filter(|_| length < whole) else {
                spelled = false;
                break;
            };
            length += step;
            bits |= u128::from(value) << (whole - length);
        }
        let addr: IpAddr =
            if v4 { Ipv4Addr::from(u32::try_from(bits).ok()?).into() } else { Ipv6Addr::from(bits).into() };
        let net = IpNet::new(addr, length).ok()?;
        Some(match (spelled, length == whole) {
            (true, true) => Reverse::Address(addr),
            (true, false) => Reverse::Network(net),
            (false, _) => Reverse::Beneath(net),
        })
    }

    /// The network all of whose names this one is, or lies beneath.
    pub(crate) fn network(self) -> IpNet {
        match self {
            Reverse::Address(addr) => addr.into(),
            Reverse::Network(net) | Reverse::Beneath(net) => net,
        }
    }
}

/// One spelling only: no `+1`, no `01`.
fn octet(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    text.parse().ok().filter(|octet: &u8| octet.to_string() == text)
}

fn nibble(label: &[u8]) -> Option<u8> {
    let &[digit] = label else { return None };
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The zone of a range that holds `net`: names can only be cut at labels, so a
/// range between two of them is several zones.
pub(crate) fn apex(range: IpNet, net: IpNet) -> Option<(IpNet, Name)> {
    let (step, suffix) = if range.addr().is_ipv4() { OCTET } else { NIBBLE };
    let length = range.prefix_len().div_ceil(step) * step;
    let zone = IpNet::new(net.addr(), length).ok()?.trunc();
    let labels: Vec<String> = match zone.addr() {
        IpAddr::V4(v4) => v4.octets().iter().map(u8::to_string).collect(),
        IpAddr::V6(v6) => v6.octets().iter().flat_map(|b| [b >> 4, b & 15]).map(|n| format!("{n:x}")).collect(),
    };
    let kept = labels.iter().take(usize::from(length / step)).rev().map(String::as_str);
    Some((zone, under(kept.chain(suffix), &Name::root())?))
}

/// The reverse zone of a range that is one, without a final dot.
pub fn zone_of(range: IpNet) -> Option<String> {
    let (zone, name) = apex(range, range)?;
    (zone == range.trunc()).then(|| name.to_string().trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_are_addresses_networks_or_nothing() {
        for (text, expected) in [
            ("1.0.96.10.in-addr.arpa.", "Some(Address(10.96.0.1))"),
            ("0.96.10.in-addr.arpa.", "Some(Network(10.96.0.0/24))"),
            ("10.in-addr.arpa.", "Some(Network(10.0.0.0/8))"),
            ("in-addr.arpa.", "Some(Network(0.0.0.0/0))"),
            ("01.0.96.10.in-addr.arpa.", "Some(Beneath(10.96.0.0/24))"),
            ("256.0.96.10.in-addr.arpa.", "Some(Beneath(10.96.0.0/24))"),
            ("x.1.0.96.10.in-addr.arpa.", "Some(Beneath(10.96.0.1/32))"),
            ("1.1.0.96.10.in-addr.arpa.", "Some(Beneath(10.96.0.1/32))"),
            ("0.0.d.f.ip6.arpa.", "Some(Network(fd00::/16))"),
            ("00.d.f.ip6.arpa.", "Some(Beneath(fd00::/8))"),
            ("arpa.", "None"),
            ("home.arpa.", "None"),
            ("www.example.com.", "None"),
        ] {
            assert_eq!(format!("{:?}", Reverse::of(&Name::from_ascii(text).unwrap())), expected, "{text}");
        }
        let v6 = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(23));
        let read = |text: &str| format!("{:?}", Reverse::of(&Name::from_ascii(text).unwrap()));
        assert_eq!(read(&v6), "Some(Address(2001:db8::1))");
        assert_eq!(read(&v6.replace("8.b", "8.bb")), "Some(Beneath(2001:d00::/24))");
    }

    #[test]
    fn a_range_is_cut_into_zones_at_labels() {
        for (range, net, expected) in [
            ("10.43.0.0/16", "10.43.7.7/32", "43.10.in-addr.arpa."),
            ("10.0.0.0/12", "10.3.0.0/16", "3.10.in-addr.arpa."),
            ("10.43.1.0/28", "10.43.1.9/32", "9.1.43.10.in-addr.arpa."),
            ("fd43::/112", "fd43::9/128", &format!("{}3.4.d.f.ip6.arpa.", "0.".repeat(24))),
        ] {
            let (_, name) = apex(range.parse().unwrap(), net.parse().unwrap()).unwrap();
            assert_eq!(name.to_string(), expected);
        }
    }
}
