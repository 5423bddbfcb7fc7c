//! Entries of conntrack over netlink: read those that can be stale, delete one.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::stale::Flow;
use crate::dataplane::netlink::{Attrs, Link, attrs};
use crate::model::Protocol;

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// The attributes of an entry.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOCOL_INFO: u16 = 4;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const STATUS_MASK: u16 = 26;
const NESTED: u16 = 0x8000;
/// `CTA_FILTER_F_CTA_PROTO_NUM`: of the original tuple only the protocol counts.
const FILTER_PROTOCOL: u32 = 1 << 3;
/// `IPS_ASSURED`: TCP or SCTP has seen the whole handshake.
const ASSURED: u32 = 1 << 2;
/// `IPS_DST_NAT`
const TRANSLATED: u32 = 1 << 5;
/// Where the state of an entry is told (`CTA_PROTOINFO_TCP`), and which are half-open:
/// `TCP_CONNTRACK_SYN_SENT`, `_SYN_RECV`, `_SYN_SENT2`.
const TCP: (u16, &[u8]) = (1, &[1, 2, 9]);
/// The same of SCTP: `SCTP_CONNTRACK_COOKIE_WAIT`, `_COOKIE_ECHOED`, and `_CLOSED`, to
/// which an INIT that is repeated leads.
const SCTP: (u16, &[u8]) = (3, &[2, 3, 1]);

/// One entry, named well enough to delete it and no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    family: u8,
    attrs: Vec<u8>,
}

/// Tells every UDP entry, or every entry of another protocol that a Service translated
/// and whose handshake is not over. Kernels before 5.8 do not filter, so everything is
/// looked at here too.
pub(super) fn visit(link: &mut Link, protocol: Protocol, each: &mut dyn FnMut(Flow, Name)) -> io::Result<()> {
    let mut told = |family: u8, content: &[u8]| {
        if let Some(flow) = flow(content).filter(|flow| flow.protocol == protocol)
            && is_candidate(protocol, content)
        {
            each(flow, name(family, content));
        }
    };
    // Both families at once: the kernel walks its whole table for each question.
    let mut ask = |body: &[u8]| {
        link.visit(GET, body, &mut |message| {
            let family = message.body.first().copied().unwrap_or_default();
            told(family, message.body.get(4..).unwrap_or_default());
        })
    };
    match ask(&question(protocol)) {
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::EINVAL | nix::libc::EOPNOTSUPP)) => ask(&[0; 4]),
        asked => asked,
    }
    // An entry that moved while the table was walked is met by the second look.
    .map(drop)
}

fn question(protocol: Protocol) -> Vec<u8> {
    let (mut inner, mut tuple, mut filter, mut a) = (Attrs::new(), Attrs::new(), Attrs::new(), Attrs::new());
    inner.byte(1, protocol.number());
    tuple.nest(2, &inner);
    filter.bytes(1, &FILTER_PROTOCOL.to_ne_bytes()).bytes(2, &0u32.to_ne_bytes());
    a.nest(TUPLE_ORIGINAL, &tuple).nest(FILTER, &filter);
    if protocol != Protocol::Udp {
        a.be32(STATUS, TRANSLATED).be32(STATUS_MASK, TRANSLATED | ASSURED);
    }
    let mut body = vec![0; 4];
    body.extend_from_slice(a.as_bytes());
    body
}

/// Deletes an entry. `false`: it was gone already.
pub(super) fn delete(link: &mut Link, name: &Name) -> io::Result<bool> {
    let mut body = vec![name.family, 0, 0, 0];
    body.extend_from_slice(&name.attrs);
    match link.request(DELETE, 0, &body) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Original tuple, id and zone name exactly this entry.
fn name(family: u8, content: &[u8]) -> Name {
    let mut a = Attrs::new();
    for (kind, nested) in [(TUPLE_ORIGINAL, NESTED), (ID, 0), (ZONE, 0)] {
        if let Some(value) = attrs::find(content, kind) {
            a.bytes(kind | nested, value);
        }
    }
    Name { family, attrs: a.as_bytes().to_vec() }
}

fn is_candidate(protocol: Protocol, content: &[u8]) -> bool {
    let (place, half_open) = match protocol {
        Protocol::Udp => return true,
        Protocol::Tcp => TCP,
        Protocol::Sctp => SCTP,
    };
    let state = || attrs::find(attrs::find(attrs::find(content, PROTOCOL_INFO)?, place)?, 1)?.first().copied();
    attrs::be32(content, STATUS).is_some_and(|status| status & (TRANSLATED | ASSURED) == TRANSLATED)
        && state().is_some_and(|state| half_open.contains(&state))
}

/// The original destination and the replying endpoint of an entry.
fn flow(content: &[u8]) -> Option<Flow> {
    let original = attrs::find(content, TUPLE_ORIGINAL)?;
    let reply = attrs::find(content, TUPLE_REPLY)?;
    let number = attrs::find(attrs::find(original, 2)?, 1)?.first().copied()?;
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.number() == number)?;
    let end = |tuple, v4: u16, v6: u16, port: u16| {
        let ip = attrs::find(tuple, 1)?;
        let addr = match attrs::find(ip, v4) {
            Some(bytes) => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            None => IpAddr::from(<[u8; 16]>::try_from(attrs::find(ip, v6)?).ok()?),
        };
        let port = attrs::find(attrs::find(tuple, 2)?, port)?;
        Some(SocketAddr::new(addr, u16::from_be_bytes(port.try_into().ok()?)))
    };
    Some(Flow { protocol, original: end(original, 2, 4, 3)?, reply: end(reply, 1, 3, 2)? })
}
