//! What an entry of conntrack says, byte by byte: most of what is heard is somebody
//! else's, so nothing is copied and no more is read than is asked. Pure.

use std::net::{IpAddr, SocketAddr};

use crate::dataplane::netlink::attrs;
use crate::model::Protocol;

/// The attributes of an entry.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const PROTOCOL_INFO: u16 = 4;
/// Where the state of an entry is told (`CTA_PROTOINFO_TCP` and `_SCTP`).
const TCP: u16 = 1;
const SCTP: u16 = 3;
/// `TCP_CONNTRACK_SYN_SENT`, `_SYN_RECV`, `_SYN_SENT2`.
const HALF_OPEN: [u8; 3] = [1, 2, 9];
/// `SCTP_CONNTRACK_COOKIE_WAIT`, `_COOKIE_ECHOED`, and `_CLOSED`, to which an INIT that is
/// repeated leads.
const SCTP_HALF_OPEN: [u8; 3] = [2, 3, 1];
/// `TCP_CONNTRACK_ESTABLISHED`
const ESTABLISHED: u8 = 3;

/// How an entry is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Word {
    New,
    Changed,
    Gone,
    /// In answer to a question.
    Dumped,
}

/// The original direction, as bytes.
pub(in crate::dataplane) fn original(entry: &[u8]) -> Option<&[u8]> {
    attrs::find(entry, TUPLE_ORIGINAL)
}

/// What the client asked for.
pub(in crate::dataplane) fn asked(original: &[u8]) -> Option<(Protocol, SocketAddr)> {
    let number = attrs::find(attrs::find(original, 2)?, 1)?.first().copied()?;
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = known.into_iter().find(|protocol| protocol.number() == number)?;
    Some((protocol, end(original, 2, 4, 3)?))
}

/// Who answers it.
pub(in crate::dataplane) fn answerer(entry: &[u8]) -> Option<SocketAddr> {
    end(attrs::find(entry, TUPLE_REPLY)?, 1, 3, 2)
}

/// Whether a connection counts as open. TCP does from its first packet until one side
/// ends it; UDP and SCTP while they are known. `None`: the state is not told.
pub(in crate::dataplane) fn is_open(protocol: Protocol, entry: &[u8]) -> Option<bool> {
    if protocol != Protocol::Tcp {
        return Some(true);
    }
    state(entry, TCP).map(|state| state == ESTABLISHED || HALF_OPEN.contains(&state))
}

/// Whether a handshake is not over; UDP has none.
pub(super) fn is_half_open(protocol: Protocol, entry: &[u8]) -> bool {
    let (place, half_open) = match protocol {
        Protocol::Udp => return false,
        Protocol::Tcp => (TCP, HALF_OPEN),
        Protocol::Sctp => (SCTP, SCTP_HALF_OPEN),
    };
    state(entry, place).is_some_and(|state| half_open.contains(&state))
}

fn state(entry: &[u8], place: u16) -> Option<u8> {
    attrs::find(attrs::find(attrs::find(entry, PROTOCOL_INFO)?, place)?, 1)?.first().copied()
}

fn end(tuple: &[u8], v4: u16, v6: u16, port: u16) -> Option<SocketAddr> {
    let ip = attrs::find(tuple, 1)?;
    let addr = match attrs::find(ip, v4) {
        Some(bytes) => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        None => IpAddr::from(<[u8; 16]>::try_from(attrs::find(ip, v6)?).ok()?),
    };
    let port = attrs::find(attrs::find(tuple, 2)?, port)?;
    Some(SocketAddr::new(addr, u16::from_be_bytes(port.try_into().ok()?)))
}

/// An entry as the kernel writes it, of a client that keeps its address.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
pub(in crate::dataplane) fn written(
    protocol: Protocol,
    client: &str,
    asked: &str,
    answerer: &str,
    tcp_state: Option<u8>,
) -> Vec<u8> {
    use crate::dataplane::netlink::Attrs;
    use crate::dataplane::table::octets;
    let tuple = |from: SocketAddr, to: SocketAddr| {
        let (mut ip, mut ports, mut tuple) = (Attrs::new(), Attrs::new(), Attrs::new());
        let [source, destination] = if from.is_ipv4() { [1, 2] } else { [3, 4] };
        ip.bytes(source, &octets(from.ip())).bytes(destination, &octets(to.ip()));
        ports.byte(1, protocol.number()).bytes(2, &from.port().to_be_bytes()).bytes(3, &to.port().to_be_bytes());
        tuple.nest(1, &ip).nest(2, &ports);
        tuple
    };
    let [client, asked, answerer]: [SocketAddr; 3] = [client, asked, answerer].map(|text| text.parse().unwrap());
    let mut entry = Attrs::new();
    entry.nest(TUPLE_ORIGINAL, &tuple(client, asked)).nest(TUPLE_REPLY, &tuple(answerer, client)).be32(3, 1 << 5);
    if let Some(state) = tcp_state {
        let (mut tcp, mut info) = (Attrs::new(), Attrs::new());
        tcp.byte(1, state);
        info.nest(1, &tcp);
        entry.nest(PROTOCOL_INFO, &info);
    }
    entry.as_bytes().to_vec()
}
