//! The packet that is followed, as rules see it. Pure.

use std::net::IpAddr;

use crate::dataplane::table::octets;

/// A connection's first packet, or the first answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) protocol: u8,
    pub(super) source: IpAddr,
    pub(super) source_port: u16,
    pub(super) to: IpAddr,
    pub(super) port: u16,
    /// The link it came in by; 0 for the box's own.
    pub(super) iif: u32,
    /// The link it leaves by; 0 before routing.
    pub(super) oif: u32,
    /// Where the client sent it, once it was translated.
    pub(super) original: Option<(IpAddr, u16)>,
    /// An answer: its connection is established.
    pub(super) answer: bool,
    pub(super) masqueraded: bool,
    pub(super) mark: u32,
}

/// `ct state`
pub(super) const NEW: u32 = 8;
const ESTABLISHED: u32 = 2;
/// `ct status`
const SNAT: u32 = 16;
const DNAT: u32 = 32;
const SEEN_REPLY: u32 = 2;

impl Packet {
    pub(super) fn is_v4(&self) -> bool {
        self.to.is_ipv4()
    }

    pub(super) fn state(&self) -> u32 {
        if self.answer { ESTABLISHED } else { NEW }
    }

    pub(super) fn status(&self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        bit(self.original.is_some(), DNAT) | bit(self.masqueraded, SNAT) | bit(self.answer, SEEN_REPLY)
    }

    /// The network header; what a first packet does not fix is zero.
    pub(super) fn network(&self) -> Vec<u8> {
        let mut bytes = if self.is_v4() {
            vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, self.protocol, 0, 0]
        } else {
            vec![0x60, 0, 0, 0, 0, 40, self.protocol, 64]
        };
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.to));
        bytes
    }

    /// The transport header: ports, and the flags of TCP.
    pub(super) fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20);
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, if self.answer { 0x12 } else { 0x02 }, 0, 0, 0, 0, 0, 0]);
        bytes
    }
}
