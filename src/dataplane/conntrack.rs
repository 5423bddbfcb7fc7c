//! Stale UDP connections: their client keeps its source port, so the kernel
//! would send its packets to the old endpoint for ever (spec section 8).
//!
//! The whole table is read only where a flow can have gone stale: an endpoint or
//! a frontend went away, a frontend got its first endpoint (packets sent before
//! were not translated), or the tables were adopted. TCP and SCTP are left alone:
//! their connections end by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Options;
use super::netlink::{Attrs, Link, attrs};
use crate::desired::{Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, Protocol};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

/// A UDP entry of conntrack: what the client asked for and who answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) original: SocketAddr,
    pub(super) reply: SocketAddr,
}

/// Which UDP flows are still right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UdpCheck {
    /// Who may answer for a frontend; nobody where it has no endpoint or is gone.
    endpoints: BTreeMap<(FrontendAddr, u16), BTreeSet<SocketAddr>>,
    /// Addresses that are ours alone: a flow to one that is no frontend is stale.
    ranges: Vec<IpNet>,
    /// Addresses of those ranges that the box itself answers.
    own: Vec<IpAddr>,
}

impl UdpCheck {
    /// What a change has to look at: nothing, unless a flow can have gone stale.
    pub(super) fn of_moves<'a>(moves: impl Iterator<Item = (Option<&'a Frontend>, Option<&'a Frontend>)>) -> UdpCheck {
        let mut check = UdpCheck::default();
        for (before, after) in moves {
            let Some(frontend) = after.or(before).filter(|frontend| frontend.protocol == Protocol::Udp) else {
                continue;
            };
            let (old, new) = (endpoints(before), endpoints(after));
            let first = old.is_empty() && !new.is_empty();
            if first || !old.is_subset(&new) {
                check.endpoints.insert((frontend.addr, frontend.port), new);
            }
        }
        check
    }

    /// Everything we serve, the frontends we served before and do not any more,
    /// and the ranges no one else has addresses of.
    pub(super) fn of_everything(
        frontends: impl Iterator<Item = Frontend>,
        gone: &BTreeSet<(FrontendAddr, u16)>,
        options: &Options,
    ) -> UdpCheck {
        let mut check = UdpCheck {
            endpoints: gone.iter().map(|place| (*place, BTreeSet::new())).collect(),
            ranges: options.service_ranges.clone(),
            own: options.cluster_dns.clone(),
        };
        for frontend in frontends.filter(|frontend| frontend.protocol == Protocol::Udp) {
            check.endpoints.insert((frontend.addr, frontend.port), endpoints(Some(&frontend)));
        }
        check
    }

    /// Whether nothing has to be looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.ranges.is_empty()
    }

    /// `is_local` tells the box's own addresses: a node port is a port of those,
    /// and the same number at another host is none of our business.
    pub(super) fn is_stale(&self, flow: Flow, is_local: impl Fn(IpAddr) -> bool) -> bool {
        let addr = flow.original.ip();
        let of = |addr| self.endpoints.get(&(addr, flow.original.port()));
        if let Some(endpoints) = of(FrontendAddr::Virtual(addr)) {
            return !endpoints.contains(&flow.reply);
        }
        if self.own.contains(&addr) {
            return false;
        }
        if self.ranges.iter().any(|range| range.contains(&addr)) {
            return true;
        }
        of(FrontendAddr::NodePort(IpFamily::of(addr)))
            .is_some_and(|endpoints| is_local(addr) && !endpoints.contains(&flow.reply))
    }

    /// Deletes what is stale and answers how many entries that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let local = local_addrs()?;
        let mut link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        let mut deleted = 0;
        // Both families at once: the kernel walks its whole table for each question.
        for entry in link.dump(GET, &[0, 0, 0, 0])? {
            let family = entry.body.first().copied().unwrap_or_default();
            let content = entry.body.get(4..).unwrap_or_default();
            let Some(flow) = udp_flow(content) else { continue };
            if !self.is_stale(flow, |addr| local.contains(&addr)) {
                continue;
            }
            match link.request(DELETE, 0, &delete_body(family, content)) {
                Ok(_) => deleted += 1,
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

fn endpoints(frontend: Option<&Frontend>) -> BTreeSet<SocketAddr> {
    match frontend.map(|frontend| &frontend.verdict) {
        Some(Verdict::Balance(balance)) => balance.endpoints.iter().copied().collect(),
        Some(Verdict::Refuse | Verdict::Drop) | None => BTreeSet::new(),
    }
}

/// The addresses of this network namespace.
fn local_addrs() -> io::Result<BTreeSet<IpAddr>> {
    let ip = |found: nix::ifaddrs::InterfaceAddress| {
        let addr = found.address?;
        let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::from(addr.ip()));
        v4.or_else(|| addr.as_sockaddr_in6().map(|addr| addr.ip().into()))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(ip).collect())
}

/// The original destination and the replying endpoint of a UDP entry.
fn udp_flow(content: &[u8]) -> Option<Flow> {
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
    Some(Flow { original: end(original, 2, 4, 3)?, reply: end(reply, 1, 3, 2)? })
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
