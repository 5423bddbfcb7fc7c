//! Which sockets a Service asks for, and what the kernel is told of a Service that
//! the relay carries. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::Options;
use crate::desired::{Balance, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, Protocol};

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
/// Local without a local endpoint is refused too; a socket cannot drop.)
pub(super) fn seats<'a>(contribution: &'a Contribution, options: &Options) -> BTreeMap<Seat, &'a Frontend> {
    let mut seats = BTreeMap::new();
    for frontend in &contribution.frontends {
        let serves = matches!(frontend.verdict, Verdict::Balance(_)) && frontend.protocol != Protocol::Sctp;
        for place in places(frontend, contribution.relayed, options).into_iter().flatten().filter(|_| serves) {
            seats.insert(Seat { place, protocol: frontend.protocol }, frontend);
        }
    }
    seats
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
        FrontendAddr::NodePort(family) if asks_for_loopback(&options.nodeport_addresses, family) => {
            Some(Place::At(SocketAddr::new(loopback(family), port)))
        }
        FrontendAddr::NodePort(_) | FrontendAddr::Virtual(_) => None,
    };
    [relayed.then_some(Place::Behind(frontend.addr, port)), on_loopback]
}

fn loopback(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::LOCALHOST.into(),
        IpFamily::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Whether node ports were asked for on loopback: by name, not by a wider network.
fn asks_for_loopback(nodeport_addresses: &[IpNet], family: IpFamily) -> bool {
    nodeport_addresses.iter().any(|net| net.addr().is_loopback() && net.contains(&loopback(family)))
}

/// Whether a node port answers at this local address. The addresses of Services
/// are local too, and are none of the node's.
pub(super) fn takes_node_ports(local: IpAddr, options: &Options) -> bool {
    if options.service_ranges.iter().any(|range| range.contains(&local)) {
        return false;
    }
    let nets = &options.nodeport_addresses;
    if local.is_loopback() {
        return asks_for_loopback(nets, IpFamily::of(local));
    }
    // A family that is not named answers everywhere, as in mode nftables.
    let mut own = nets.iter().filter(|net| IpFamily::of(net.addr()) == IpFamily::of(local)).peekable();
    own.peek().is_none() || own.any(|net| net.contains(&local))
}

/// The address behind which relayed Services stand while the kernel carries the
/// others: the range's own, which no Service can be given.
pub(super) fn behind(family: IpFamily, options: &Options) -> Option<IpAddr> {
    options.service_ranges.iter().map(IpNet::network).find(|addr| IpFamily::of(*addr) == family)
}

/// What the kernel is told of a relayed Service: every frontend leads to its
/// socket here. Choosing and affinity are the relay's; a frontend without its
/// socket is refused.
pub(super) fn handed(contribution: &Contribution, sockets: &BTreeMap<Seat, SocketAddr>) -> Contribution {
    let mut handed = contribution.clone();
    for frontend in &mut handed.frontends {
        if matches!(frontend.verdict, Verdict::Balance(_)) && frontend.protocol != Protocol::Sctp {
            let seat = Seat { place: Place::Behind(frontend.addr, frontend.port), protocol: frontend.protocol };
            frontend.verdict = match sockets.get(&seat) {
                Some(addr) => Verdict::Balance(Balance { endpoints: vec![*addr], ..Balance::default() }),
                None => Verdict::Refuse,
            };
        }
    }
    handed
}

/// The frontends that no relay can carry.
pub(super) fn sctp(contribution: &Contribution) -> Option<u16> {
    contribution.frontends.iter().find(|frontend| frontend.protocol == Protocol::Sctp).map(|frontend| frontend.port)
}
