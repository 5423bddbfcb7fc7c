//! Matches and targets of iptables-nft that are no expressions of nftables:
//! structures of the kernel's xtables modules. Pure.

use super::evaluate::{Step, Surroundings, What};
use super::packet::Packet;
use crate::dataplane::netlink::attrs::{find, text};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A `match`: computed where we know the structure.
pub(super) fn matches(data: &[u8], packet: &Packet, around: &dyn Surroundings) -> Step {
    let name = text(data, 1).unwrap_or_default();
    let info = find(data, 3).unwrap_or_default();
    let holds = match name {
        "comment" => Some(true),
        "conntrack" => conntrack(info, packet),
        "addrtype" => addrtype(info, packet, around),
        "tcp" => ports(info, packet, TCP, 11),
        "udp" => ports(info, packet, UDP, 8),
        _ => None,
    };
    match holds {
        Some(true) => Step::On,
        Some(false) => Step::Off,
        None => Step::Doubt(format!("-m {name}")),
    }
}

/// A `target`.
pub(super) fn target(data: &[u8]) -> Step {
    match text(data, 1).unwrap_or_default() {
        "REJECT" => Step::Does(What::Rejected),
        "MASQUERADE" | "SNAT" => Step::Does(What::Masqueraded(None)),
        "DNAT" | "REDIRECT" | "TPROXY" | "NFQUEUE" => Step::Does(What::Handed),
        // LOG, MARK, CHECKSUM, TCPMSS ...: the packet goes on.
        _ => Step::On,
    }
}

fn half(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?))
}

/// `--ctstate` alone (struct xt_conntrack_mtinfo3): eight addresses, two times, a
/// protocol and four ports come before what is asked.
fn conntrack(info: &[u8], packet: &Packet) -> Option<bool> {
    const STATE: u16 = 1;
    let (asked, inverted, states) = (half(info, 146)?, half(info, 148)?, half(info, 150)?);
    if asked != STATE {
        return None;
    }
    let mut bits = if packet.answer { 1 << 1 } else { 1 << 3 };
    if packet.original.is_some() {
        bits |= 1 << 7;
    }
    if packet.masqueraded {
        bits |= 1 << 6;
    }
    Some((states & bits != 0) != (inverted & STATE != 0))
}

/// `--src-type`, `--dst-type` (struct xt_addrtype_info_v1).
fn addrtype(info: &[u8], packet: &Packet, around: &dyn Surroundings) -> Option<bool> {
    let (source, to) = (half(info, 0)?, half(info, 2)?);
    let flags = u32::from_ne_bytes(info.get(4..8)?.try_into().ok()?);
    let link = match flags & (4 | 8) {
        0 => None,
        4 => Some(packet.iif),
        _ => Some(packet.oif),
    };
    let side = |mask: u16, addr, inverted: bool| {
        mask == 0 || (u32::from(mask) >> around.address_type(addr, link).min(15) & 1 == 1) != inverted
    };
    Some(side(source, packet.source, flags & 1 != 0) && side(to, packet.to, flags & 2 != 0))
}

/// `--sport`, `--dport` (struct xt_tcp, struct xt_udp).
fn ports(info: &[u8], packet: &Packet, protocol: u8, inverted_at: usize) -> Option<bool> {
    let inverted = *info.get(inverted_at)?;
    if protocol == TCP && (*info.get(8)? != 0 || *info.get(9)? != 0) {
        // Options or flags are asked for.
        return None;
    }
    let within = |at: usize, port: u16, bit: u8| {
        Some(((half(info, at)?..=half(info, at + 2)?).contains(&port)) != (inverted & bit != 0))
    };
    Some(packet.protocol == protocol && within(0, packet.source_port, 1)? && within(4, packet.port, 2)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::dataplane::netlink::Attrs;

    /// A box whose only own address is 192.0.2.1.
    struct Around;

    impl Surroundings for Around {
        fn address_type(&self, addr: IpAddr, _: Option<u32>) -> u32 {
            if addr == "192.0.2.1".parse::<IpAddr>().unwrap() { 2 } else { 1 }
        }
        fn way_out(&self, _: IpAddr) -> u32 {
            0
        }
        fn link_name(&self, _: u32) -> &str {
            ""
        }
        fn link_addr(&self, _: u32, _: bool) -> Option<IpAddr> {
            None
        }
    }

    fn packet() -> Packet {
        Packet {
            protocol: TCP,
            source: "198.51.100.7".parse().unwrap(),
            source_port: 40_000,
            to: "192.0.2.1".parse().unwrap(),
            port: 80,
            iif: 1,
            oif: 0,
            original: None,
            answer: false,
            masqueraded: false,
            mark: 0,
        }
    }

    /// `Some` of whether it matches; `None` where that is not known.
    fn asks(name: &str, info: &[u8], packet: &Packet) -> Option<bool> {
        let mut data = Attrs::new();
        data.text(1, name).be32(2, 1).bytes(3, info);
        match matches(data.as_bytes(), packet, &Around) {
            Step::On => Some(true),
            Step::Off => Some(false),
            _ => None,
        }
    }

    fn with(len: usize, fields: &[(usize, u16)]) -> Vec<u8> {
        let mut info = vec![0; len];
        for (at, value) in fields {
            info[*at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        info
    }

    #[test]
    fn states_are_asked_for_as_iptables_does() {
        // -m conntrack --ctstate RELATED,ESTABLISHED
        let established = with(164, &[(146, 1), (150, 1 << 1 | 1 << 2)]);
        let answer = Packet { answer: true, ..packet() };
        assert_eq!(
            (asks("conntrack", &established, &packet()), asks("conntrack", &established, &answer)),
            (Some(false), Some(true))
        );
        // ! --ctstate DNAT
        let not_dnat = with(164, &[(146, 1), (148, 1), (150, 1 << 7)]);
        let translated = Packet { original: Some(("10.43.0.7".parse().unwrap(), 80)), ..packet() };
        assert_eq!(
            (asks("conntrack", &not_dnat, &packet()), asks("conntrack", &not_dnat, &translated)),
            (Some(true), Some(false))
        );
        // Other questions of the module are not understood.
        assert_eq!(asks("conntrack", &with(164, &[(146, 3)]), &packet()), None);
        assert_eq!(asks("conntrack", &[0; 20], &packet()), None, "torn");
    }

    #[test]
    fn types_of_addresses_and_ports_are_asked_for_as_iptables_does() {
        // -m addrtype --dst-type LOCAL
        let local = with(8, &[(2, 1 << 2)]);
        let away = Packet { to: "203.0.113.1".parse().unwrap(), ..packet() };
        assert_eq!((asks("addrtype", &local, &packet()), asks("addrtype", &local, &away)), (Some(true), Some(false)));
        let inverted = with(8, &[(2, 1 << 2), (4, 2)]);
        assert_eq!(asks("addrtype", &inverted, &packet()), Some(false));
        // -p tcp --dport 80:90
        let mut ports = with(12, &[(0, 0), (2, u16::MAX), (4, 80), (6, 90)]);
        assert_eq!(asks("tcp", &ports, &packet()), Some(true));
        assert_eq!(asks("tcp", &ports, &Packet { port: 91, ..packet() }), Some(false));
        ports[11] = 2;
        assert_eq!(asks("tcp", &ports, &packet()), Some(false), "! --dport");
        ports[9] = 2;
        assert_eq!(asks("tcp", &ports, &packet()), None, "--syn is not computed");
        assert_eq!(asks("set", &[0; 8], &packet()), None);
        assert_eq!(asks("comment", &[0; 256], &packet()), Some(true));
    }
}
