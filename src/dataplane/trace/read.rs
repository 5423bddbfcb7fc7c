//! What the kernel says: tables, links, addresses, routes, connections.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::Question;
use super::follow::{BoxFacts, Flow, Route, RouteAsk};
use crate::dataplane::netlink::{Attrs, Link, attrs};
use crate::dataplane::table::{address, octets};
use crate::dataplane::{DataplaneError, box_links, ruleset};

const GETROUTE: u16 = 26;
/// The fixed part of a route's message.
const ROUTE_HEADER: usize = 12;
const CONNTRACK_GET: u16 = 1 << 8 | 1;

/// Everything but routes.
pub(super) fn facts(question: &Question) -> Result<BoxFacts, DataplaneError> {
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(nix::libc::EPERM) => DataplaneError::Privilege,
        Some(_) | None => DataplaneError::Socket(error),
    };
    let mut nft = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(refused)?;
    let ruleset = ruleset::read(&mut nft, true).map_err(refused)?;
    // Without conntrack there are no flows to tell of.
    let flows = flows(&mut nft, question).unwrap_or_default();
    let on = |path: &str| std::fs::read_to_string(path).map_or(true, |text| text.trim() != "0");
    let legacy = |file: &str| std::fs::read_to_string(file).is_ok_and(|text| !text.trim().is_empty());
    let v4 = question.to.is_ipv4();
    Ok(BoxFacts {
        ruleset,
        links: box_links::links().map_err(DataplaneError::Link)?,
        addrs: addrs().map_err(DataplaneError::Link)?,
        forwards: on(if v4 { "/proc/sys/net/ipv4/ip_forward" } else { "/proc/sys/net/ipv6/conf/all/forwarding" }),
        bridged: std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
            .is_ok_and(|text| text.trim() == "1"),
        legacy: legacy(if v4 { "/proc/net/ip_tables_names" } else { "/proc/net/ip6_tables_names" }),
        flows,
    })
}

/// Addresses of the box, the length of their network's prefix, and their link.
fn addrs() -> io::Result<Vec<(IpAddr, u8, String)>> {
    let one = |found: nix::ifaddrs::InterfaceAddress| {
        let ip = |at: nix::sys::socket::SockaddrStorage| {
            let v4 = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
            v4.or_else(|| at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
        };
        let mask = octets(ip(found.netmask?)?);
        let length: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        Some((ip(found.address?)?, u8::try_from(length).ok()?, found.interface_name))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(one).collect())
}

/// Connections to what is asked about.
fn flows(nft: &mut Link, question: &Question) -> io::Result<Vec<Flow>> {
    let family = if question.to.is_ipv4() { 2 } else { 10 };
    let answers = nft.dump(CONNTRACK_GET, &[family, 0, 0, 0])?;
    let flow = |content: &[u8]| {
        let (client, to) = tuple(attrs::find(content, 1)?, question.protocol.number())?;
        let (answerer, _) = tuple(attrs::find(content, 2)?, question.protocol.number())?;
        (to == question.to).then(|| Flow { client: client.ip(), answerer })
    };
    Ok(answers.iter().filter_map(|answer| flow(answer.body.get(4..)?)).collect())
}

/// Source and destination of one direction.
fn tuple(content: &[u8], protocol: u8) -> Option<(SocketAddr, SocketAddr)> {
    let (ip, proto) = (attrs::find(content, 1)?, attrs::find(content, 2)?);
    (attrs::find(proto, 1)?.first() == Some(&protocol)).then_some(())?;
    let end = |v4: u16, v6: u16, port: u16| {
        let addr = attrs::find(ip, v4).or_else(|| attrs::find(ip, v6)).and_then(address)?;
        Some(SocketAddr::new(addr, u16::from_be_bytes(attrs::find(proto, port)?.try_into().ok()?)))
    };
    Some((end(1, 3, 2)?, end(2, 4, 3)?))
}

/// Asks the routing tables, rules and rp_filter included.
pub(super) struct Router(RefCell<Link>);

impl Router {
    pub(super) fn open() -> io::Result<Router> {
        Ok(Router(RefCell::new(Link::open(netlink_sys::protocols::NETLINK_ROUTE)?)))
    }

    /// The route of a packet, or the error number.
    pub(super) fn route(&self, ask: &RouteAsk) -> Result<Route, i32> {
        let to = octets(ask.to);
        let bits = u8::try_from(to.len() * 8).unwrap_or_default();
        let mut body = vec![0; ROUTE_HEADER];
        for (at, value) in
            [(0, if bits == 32 { 2 } else { 10 }), (1, bits), (2, if ask.from.is_some() { bits } else { 0 })]
        {
            body.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
        }
        let mut a = Attrs::new();
        a.bytes(1, &to);
        if let Some(from) = ask.from {
            a.bytes(2, &octets(from));
        }
        if ask.iif != 0 {
            a.bytes(3, &ask.iif.to_ne_bytes());
        }
        body.extend_from_slice(a.as_bytes());
        let answers = self.0.borrow_mut().request(GETROUTE, 0, &body);
        let answers = answers.map_err(|error| error.raw_os_error().unwrap_or(nix::libc::EIO))?;
        let answer = answers.first().map(|answer| answer.body.as_slice()).unwrap_or_default();
        let content = answer.get(ROUTE_HEADER..).unwrap_or_default();
        let number =
            |kind: u16| attrs::find(content, kind).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        Ok(Route {
            kind: answer.get(7).copied().unwrap_or_default(),
            oif: number(4).unwrap_or_default(),
            gateway: attrs::find(content, 5).and_then(address),
            source: attrs::find(content, 7).and_then(address),
        })
    }
}
