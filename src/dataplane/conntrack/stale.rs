//! Which flows of conntrack lead to an endpoint that does not serve any more. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imbl::OrdMap;
use ipnet::IpNet;

use crate::dataplane::table::{FrontendId, Frontends};
use crate::desired::{Frontend, FrontendAddr};
use crate::model::{IpFamily, Protocol};

/// An entry of conntrack: what the client asked for and who answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Flow {
    pub(in crate::dataplane) protocol: Protocol,
    pub(in crate::dataplane) original: SocketAddr,
    pub(in crate::dataplane) reply: SocketAddr,
}

/// What the kernel is to hold, as far as flows are concerned. A clone copies
/// pointers.
#[derive(Clone, Debug, Default)]
pub(in crate::dataplane) struct Wanted {
    /// What it holds, and while a change is under way also what it will hold: a
    /// flow that is right by either may just have begun.
    pub(in crate::dataplane) now: Frontends,
    pub(in crate::dataplane) next: Option<Frontends>,
    /// Frontends that went, and the look that was asked for then: outside the ranges
    /// nothing else tells that a flow was ours.
    pub(in crate::dataplane) gone: OrdMap<FrontendId, u64>,
    /// Where cluster IPs come from, and which of those addresses is the DNS server's.
    pub(in crate::dataplane) ranges: Arc<[IpNet]>,
    pub(in crate::dataplane) dns: Arc<[IpAddr]>,
}

impl Wanted {
    /// `is_local` tells the box's own addresses: a node port is a port of those,
    /// and the same number at another host is none of our business.
    pub(in crate::dataplane) fn is_stale(&self, flow: Flow, is_local: impl Fn(IpAddr) -> bool) -> bool {
        let addr = flow.original.ip();
        let at = |addr| (addr, flow.protocol, flow.original.port());
        let ids = [at(FrontendAddr::Virtual(addr)), at(FrontendAddr::NodePort(IpFamily::of(addr)))];
        let mut known = false;
        for frontends in [Some(&self.now), self.next.as_ref()].into_iter().flatten() {
            match owner(frontends, ids, &is_local) {
                Some(frontend) if frontend.serves(flow.reply) => return false,
                found => known |= found.is_some(),
            }
        }
        known || self.was_ours(ids, &is_local) || self.is_of_nobody(flow)
    }

    /// A flow that was let through to an address of ours before there were any rules.
    /// One that somebody translated is left alone: some of our range may belong to
    /// another proxy.
    fn is_of_nobody(&self, flow: Flow) -> bool {
        let addr = flow.original.ip();
        let ours = self.ranges.iter().any(|range| range.contains(&addr)) && !self.dns.contains(&addr);
        flow.original == flow.reply && ours
    }

    fn was_ours(&self, [virtual_id, node_port]: [FrontendId; 2], is_local: impl Fn(IpAddr) -> bool) -> bool {
        let FrontendAddr::Virtual(addr) = virtual_id.0 else { return false };
        self.gone.contains_key(&virtual_id) || (self.gone.contains_key(&node_port) && is_local(addr))
    }
}

/// The frontend a packet meets: the address before the node port.
fn owner(
    frontends: &Frontends,
    [virtual_id, node_port]: [FrontendId; 2],
    is_local: impl Fn(IpAddr) -> bool,
) -> Option<&Frontend> {
    let FrontendAddr::Virtual(addr) = virtual_id.0 else { return None };
    frontends.get(virtual_id).or_else(|| frontends.get(node_port).filter(|_| is_local(addr)))
}

/// Whether a move can have left stale flows behind: an endpoint or the frontend
/// went, or UDP gets its first endpoint (packets sent before were not translated,
/// and the client keeps its port).
pub(in crate::dataplane) fn leaves_flows(before: Option<&Frontend>, after: Option<&Frontend>) -> bool {
    let Some(frontend) = after.or(before) else { return false };
    let old = before.map(served).unwrap_or_default();
    let first = old.is_empty() && after.is_some_and(|after| after.endpoints().next().is_some());
    let lost = old.iter().any(|endpoint| !after.is_some_and(|after| after.serves(*endpoint)));
    lost || (first && frontend.protocol == Protocol::Udp)
}

fn served(frontend: &Frontend) -> Vec<SocketAddr> {
    frontend.endpoints().chain(frontend.kept.iter().copied()).collect()
}
