//! Stale UDP connections: their client keeps its source port, so the kernel
//! would send its packets to the old endpoint for ever (spec section 8).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::netlink::{Attrs, Link, attrs};
use crate::desired::{Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, Protocol};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

/// What a changed UDP frontend may still lead to.
#[derive(Debug, Default)]
pub(super) struct UdpFrontends {
    wanted: BTreeMap<(FrontendAddr, u16), BTreeSet<SocketAddr>>,
}

impl UdpFrontends {
    /// Takes note of a frontend as it is now; `None` when it is gone.
    pub(super) fn note(&mut self, before: &Frontend, after: Option<&Frontend>) {
        if before.protocol != Protocol::Udp {
            return;
        }
        let endpoints = match after.map(|frontend| &frontend.verdict) {
            Some(Verdict::Balance(balance)) => balance.endpoints.iter().copied().collect(),
            Some(Verdict::Refuse | Verdict::Drop) | None => BTreeSet::new(),
        };
        self.wanted.insert((before.addr, before.port), endpoints);
    }

    fn is_stale(&self, original: SocketAddr, reply: SocketAddr) -> bool {
        let family = IpFamily::of(original.ip());
        let of = |addr| self.wanted.get(&(addr, original.port()));
        match of(FrontendAddr::Virtual(original.ip())) {
            Some(endpoints) => !endpoints.contains(&reply),
            // A node port: entries that were never ours point to the address they asked for
            // and are those of a local socket, unless an endpoint now takes the port.
            None => of(FrontendAddr::NodePort(family)).is_some_and(|endpoints| !endpoints.contains(&reply)),
        }
    }

    /// Deletes what is stale and answers how many entries that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        if self.wanted.is_empty() {
            return Ok(0);
        }
        let mut link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        let families: BTreeSet<IpFamily> = self.wanted.keys().map(|(addr, _)| addr.family()).collect();
        let mut deleted = 0;
        for family in families {
            let number = if family == IpFamily::V4 { 2 } else { 10 };
            for entry in link.dump(GET, &[number, 0, 0, 0])? {
                let content = entry.body.get(4..).unwrap_or_default();
                let Some((original, reply)) = udp_ends(content) else { continue };
                if !self.is_stale(original, reply) {
                    continue;
                }
                match link.request(DELETE, 0, &delete_body(number, content)) {
                    Ok(_) => deleted += 1,
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(deleted)
    }
}

/// The original destination and the replying endpoint of a UDP entry.
fn udp_ends(content: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let original = attrs::find(content, 1)?;
    let reply = attrs::find(content, 2)?;
    let protocol = |tuple| attrs::find(attrs::find(tuple, 2)?, 1)?.first().copied();
    if protocol(original)? != Protocol::Udp.number() {
        return None;
    }
    let end = |tuple, v4: u16, v6: u16, port: u16| {
        let ip = attrs::find(tuple, 1)?;
        let addr = match attrs::find(ip, v4) {
            Some(bytes) => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            None => IpAddr::from(<[u8; 16]>::try_from(attrs::find(ip, v6)?).ok()?),
        };
        let port = attrs::find(attrs::find(tuple, 2)?, port)?;
        Some(SocketAddr::new(addr, u16::from_be_bytes(port.try_into().ok()?)))
    };
    Some((end(original, 2, 4, 3)?, end(reply, 1, 3, 2)?))
}

fn delete_body(family: u8, content: &[u8]) -> Vec<u8> {
    let mut a = Attrs::new();
    // Original tuple, id and zone name exactly this entry.
    for (kind, nested) in [(1, 0x8000), (12, 0), (18, 0)] {
        if let Some(value) = attrs::find(content, kind) {
            a.bytes(kind | nested, value);
        }
    }
    let mut body = vec![family, 0, 0, 0];
    body.extend_from_slice(a.as_bytes());
    body
}
