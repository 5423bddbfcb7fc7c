//! Which sockets a Service asks for, and what the kernel is told of a Service that
//! the relay carries. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Options;
use crate::desired::{Balance, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::node_port_address::loopback;
use crate::model::{BoxAddress, IpFamily, NodePortAddress, Protocol};

/// Where a frontend is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// At this address.
    At(SocketAddr),
    /// At every local address of a family that takes node ports.
    NodePort(IpFamily, u16),
    /// At an address of the box that only the kernel's translation leads to.
    Behind(FrontendAddr, u16),
}

/// One socket to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    pub(super) place: Place,
    pub(super) protocol: Protocol,
}

impl std::fmt::Display for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Place::At(addr) => write!(f, "{addr}"),
            Place::NodePort(_, port) => write!(f, "node port {port}"),
            Place::Behind(FrontendAddr::Virtual(addr), port) => write!(f, "{}", SocketAddr::new(addr, port)),
            Place::Behind(FrontendAddr::NodePort(_), port) => write!(f, "node port {port}"),
        }?;
        write!(f, "/{}", self.protocol.as_str())
    }
}

/// The sockets a Service asks for. A frontend without endpoints has none: the
/// kernel refuses at once for a local address, TCP by reset, UDP by ICMP. (Policy
/// Local without a local endpoint is refused too; a socket cannot drop. Where clients
/// of the cluster have endpoints there is a socket, and it resets the others.)
pub(super) fn seats<'a>(contribution: &'a Contribution, options: &Options) -> BTreeMap<Seat, &'a Frontend> {
    let mut seats = BTreeMap::new();
    for frontend in &contribution.frontends {
        let serves = is_carried(frontend);
        for place in places(frontend, contribution.relayed, options).into_iter().flatten().filter(|_| serves) {
            seats.insert(Seat { place, protocol: frontend.protocol }, frontend);
        }
    }
    seats
}

fn is_carried(frontend: &Frontend) -> bool {
    frontend.endpoints().next().is_some() && frontend.protocol != Protocol::Sctp
}

fn places(frontend: &Frontend, relayed: bool, options: &Options) -> [Option<Place>; 2] {
    let port = frontend.port;
    if options.whole {
        let place = match frontend.addr {
            FrontendAddr::Virtual(addr) => Place::At(SocketAddr::new(addr, port)),
            FrontendAddr::NodePort(family) => Place::NodePort(family, port),
        };
        return [Some(place), None];
    }
    let on_loopback = match frontend.addr {
        FrontendAddr::NodePort(family) => {
            let answers = NodePortAddress::loopback_answers(&options.nodeport_addresses, loopback(family));
            answers.then(|| Place::At(SocketAddr::new(loopback(family), port)))
        }
        FrontendAddr::Virtual(_) => None,
    };
    [relayed.then_some(Place::Behind(frontend.addr, port)), on_loopback]
}

/// Whether a local address takes node ports. In mode relay the addresses of Services
/// are local too, and are none of the node's.
pub(super) fn takes_node_ports(
    local: IpAddr,
    entries: &[NodePortAddress],
    ranges: &[IpNet],
    addresses: &[BoxAddress],
) -> bool {
    if ranges.iter().any(|range| range.contains(&local)) {
        return false;
    }
    if local.is_loopback() {
        return NodePortAddress::loopback_answers(entries, local);
    }
    let admits = |one: &BoxAddress| entries.iter().any(|entry| entry.admits(one.addr, &one.link, one.primary));
    NodePortAddress::all_of(entries, IpFamily::of(local))
        || addresses.iter().filter(|one| one.addr == local).any(admits)
}

/// Whether a connection begins in the cluster: on this box, or in a network of Pods.
/// One from the very address it asks for begins on the box, whose address that is.
pub(super) fn is_inside(client: IpAddr, local: IpAddr, cidrs: &[IpNet], addresses: &[BoxAddress]) -> bool {
    client == local
        || client.is_loopback()
        || cidrs.iter().any(|cidr| cidr.contains(&client))
        || addresses.iter().any(|one| one.addr == client)
}

/// What the kernel is told of a relayed Service: every frontend leads to its
/// socket here. Choosing, affinity and who is inside are the relay's; a frontend
/// without its socket is refused.
pub(super) fn handed(contribution: &Contribution, sockets: &BTreeMap<Seat, SocketAddr>) -> Contribution {
    let mut handed = contribution.clone();
    for frontend in handed.frontends.iter_mut().filter(|frontend| is_carried(frontend)) {
        let seat = Seat { place: Place::Behind(frontend.addr, frontend.port), protocol: frontend.protocol };
        let socket = sockets.get(&seat).map(|addr| Balance { endpoints: vec![*addr], ..Balance::default() });
        // Flows that the kernel has to the endpoints themselves move to the socket.
        frontend.kept = Vec::new();
        (frontend.verdict, frontend.inside) = match (&frontend.verdict, socket) {
            (_, None) => (Verdict::Refuse, None),
            (Verdict::Balance(_), Some(socket)) => (Verdict::Balance(socket), None),
            // Others than clients of the cluster are dropped, which only the kernel can do.
            (Verdict::Refuse | Verdict::Drop, Some(socket)) => (frontend.verdict.clone(), Some(socket)),
        };
    }
    handed
}
