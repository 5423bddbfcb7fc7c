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
        "MASQUERADE" | "SNAT" => Step::Does(What::Masqueraded),
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
