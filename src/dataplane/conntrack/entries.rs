//! Entries of conntrack over netlink: read those that can be stale, delete one.

use std::io;

use super::entry;
use super::stale::Flow;
use crate::dataplane::netlink::{Attrs, Link, attrs, batch};
use crate::model::Protocol;

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// The attributes of an entry.
const TUPLE_ORIGINAL: u16 = 1;
const STATUS: u16 = 3;
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

/// One entry, named well enough to delete it and no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    family: u8,
    attrs: Vec<u8>,
}

/// Tells every UDP entry, or every entry of another protocol whose handshake is not over
/// and that a Service translated, with `bare` those that nobody translated too. Kernels
/// before 5.8 do not filter, so everything is looked at here too.
pub(super) fn visit(
    link: &mut Link,
    protocol: Protocol,
    bare: bool,
    each: &mut dyn FnMut(Flow, Name),
) -> io::Result<()> {
    let translated = if bare { 0 } else { TRANSLATED };
    let mut told = |family: u8, content: &[u8]| {
        if let Some(flow) = flow(content).filter(|flow| flow.protocol == protocol)
            && is_candidate(protocol, translated, content)
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
    match ask(&question(protocol, translated)) {
        Err(error) if is_too_new(&error) => ask(&[0; 4]),
        asked => asked,
    }
    // An entry that moved while the table was walked is met by the second look.
    .map(drop)
}

/// Tells every entry that somebody translated; kernels before 5.8 tell the others too.
pub(in crate::dataplane) fn visit_translated(link: &mut Link, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut a = Attrs::new();
    a.be32(STATUS, TRANSLATED).be32(STATUS_MASK, TRANSLATED);
    let mut ask =
        |body: &[u8]| link.visit(GET, body, &mut |message| each(message.body.get(4..).unwrap_or_default())).map(drop);
    match ask(&batch::body(0, &a)) {
        Err(error) if is_too_new(&error) => ask(&[0; 4]),
        asked => asked,
    }
}

/// The kernel does not know the filter.
fn is_too_new(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EINVAL | nix::libc::EOPNOTSUPP))
}

fn question(protocol: Protocol, translated: u32) -> Vec<u8> {
    let (mut inner, mut tuple, mut filter, mut a) = (Attrs::new(), Attrs::new(), Attrs::new(), Attrs::new());
    inner.byte(1, protocol.number());
    tuple.nest(2, &inner);
    filter.bytes(1, &FILTER_PROTOCOL.to_ne_bytes()).bytes(2, &0u32.to_ne_bytes());
    a.nest(TUPLE_ORIGINAL, &tuple).nest(FILTER, &filter);
    if protocol != Protocol::Udp {
        a.be32(STATUS, translated).be32(STATUS_MASK, translated | ASSURED);
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

fn is_candidate(protocol: Protocol, translated: u32, content: &[u8]) -> bool {
    let of_service = |status| status & (translated | ASSURED) == translated;
    protocol == Protocol::Udp
        || attrs::be32(content, STATUS).is_some_and(of_service) && entry::is_half_open(protocol, content)
}

/// The original destination and the replying endpoint of an entry.
fn flow(content: &[u8]) -> Option<Flow> {
    let (protocol, original) = entry::asked(entry::original(content)?)?;
    Some(Flow { protocol, original, reply: entry::answerer(content)? })
}
