//! The links of the box as the diagnostic commands need them, read at once and
//! without a runtime.

use std::io;

use super::netlink::{Link, attrs};

const GETLINK: u16 = 18;
/// The fixed part of a link's message.
const HEADER: usize = 16;
/// The link is switched on.
const UP: u32 = 1;

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, ...; empty for hardware.
    pub kind: String,
    /// The bridge or bond it is a port of.
    pub master: Option<u32>,
    /// Its largest packet.
    pub mtu: u32,
    /// Switched on.
    pub up: bool,
    /// A bridge port that sends frames back where they came from.
    pub hairpin: bool,
}

/// Every link of this network namespace. Needs no privilege.
///
/// # Errors
/// The kernel refuses.
pub fn links() -> io::Result<Vec<LinkState>> {
    let mut route = Link::open(netlink_sys::protocols::NETLINK_ROUTE)?;
    let answers = route.dump(GETLINK, &[0; HEADER])?;
    Ok(answers.iter().filter_map(|answer| read(&answer.body)).collect())
}

fn read(body: &[u8]) -> Option<LinkState> {
    let word = |at: usize| Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let content = body.get(HEADER..)?;
    let number = |kind: u16| Some(u32::from_ne_bytes(attrs::find(content, kind)?.try_into().ok()?));
    let info = attrs::find(content, 18).unwrap_or_default();
    let port = attrs::find(info, 5).filter(|_| attrs::text(info, 4) == Some("bridge")).unwrap_or_default();
    Some(LinkState {
        index: word(4)?,
        name: attrs::text(content, 3)?.to_owned(),
        kind: attrs::text(info, 1).unwrap_or_default().to_owned(),
        master: number(10),
        mtu: number(4).unwrap_or_default(),
        up: word(8)? & UP != 0,
        hairpin: attrs::find(port, 4) == Some(&[1]),
    })
}
