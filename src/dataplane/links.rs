//! Our link, its addresses and routes, and what the box's links say about the
//! way of replies.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::netlink::{Attrs, Link, attrs};
use crate::model::IpFamily;

/// Our link.
pub(super) const LINK: &str = "edgesvc0";
/// The other end where only a pair can be had.
const PEER: &str = "edgesvc1";
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
const CREATE_EXCL: u16 = 0x600;
const CREATE_REPLACE: u16 = 0x500;
const IFF_UP: u32 = 1;
const AF_BRIDGE: u8 = 7;
/// `IFLA_PROTINFO` with, for a bridge port, `IFLA_BRPORT_MODE`: hairpin mode.
const PROTINFO: u16 = 12;
const BRPORT_MODE: u16 = 4;
/// `ifinfomsg`, `rtmsg`: what stands before the attributes.
const LINK_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

/// One link of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoxLink {
    pub(super) name: String,
    /// `None` for hardware.
    pub(super) kind: Option<String>,
    pub(super) master: Option<u32>,
    /// A bridge port that may send a frame back out of itself.
    pub(super) hairpin: bool,
}

/// Where packets of the box to an endpoint go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Replies may go to the client without us: the endpoint sits behind a gateway
    /// or on a wire, not behind a bridge or pair of this box.
    pub(super) off_box: bool,
    /// The bridge it sits behind.
    pub(super) bridge: Option<u32>,
}

pub(super) type BoxLinks = BTreeMap<u32, BoxLink>;

fn link_header(index: u32, up: bool) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    let flags = if up { IFF_UP } else { 0 };
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}

fn number(bytes: Option<&[u8]>) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes?.get(..4)?.try_into().ok()?))
}

/// Every link of this network namespace.
pub(super) fn read_links(route: &mut Link) -> io::Result<BoxLinks> {
    let mut links = BoxLinks::new();
    for answer in route.dump(GETLINK, &link_header(0, false))? {
        let content = answer.body.get(LINK_HEADER..).unwrap_or_default();
        let Some(index) = number(answer.body.get(4..8)) else { continue };
        let info = attrs::find(content, 18);
        let kind = info.and_then(|info| attrs::text(info, 1)).map(str::to_owned);
        let hairpin = info
            .filter(|info| attrs::text(info, 4) == Some("bridge"))
            .is_some_and(|info| attrs::find(info, 5).and_then(|port| attrs::find(port, BRPORT_MODE)) == Some(&[1]));
        let name = attrs::text(content, 3).unwrap_or_default().to_owned();
        links.insert(index, BoxLink { name, kind, master: number(attrs::find(content, 10)), hairpin });
    }
    Ok(links)
}

fn index_of(links: &BoxLinks, name: &str) -> Option<u32> {
    links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
}

/// The links on which two other hosts may sit: a reply between them would not
/// come to us.
pub(super) fn shared_links(links: &BoxLinks) -> impl Iterator<Item = u32> + '_ {
    links.iter().filter(|(_, link)| link.name != "lo" && link.name != LINK).map(|(index, _)| *index)
}

/// Makes our link if it is missing, puts the DNS addresses on it and the service
/// ranges behind it. Answers what could not be done.
pub(super) fn set_up(route: &mut Link, dns: &[IpAddr], ranges: &[IpNet]) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let index = ensure_link(route, &mut warnings)?;
    for addr in dns {
        if let Err(error) = add_addr(route, index, *addr) {
            warnings.push(format!("{addr} cannot be put on {LINK}: {error}"));
        }
    }
    for range in ranges {
        if let Err(error) = add_route(route, index, *range) {
            warnings.push(format!("no route for {range}: {error}"));
        }
    }
    Ok(warnings)
}

fn ensure_link(route: &mut Link, warnings: &mut Vec<String>) -> io::Result<u32> {
    if let Some(index) = index_of(&read_links(route)?, LINK) {
        route.request(NEWLINK, 0, &link_header(index, true))?;
        return Ok(index);
    }
    let mut last = String::new();
    for kind in ["dummy", "veth", "bridge"] {
        match route.request(NEWLINK, CREATE_EXCL, &new_link(kind)) {
            Ok(_) => {
                let links = read_links(route)?;
                if let Some(peer) = index_of(&links, PEER) {
                    route.request(NEWLINK, 0, &link_header(peer, true))?;
                }
                let index = index_of(&links, LINK).ok_or(io::ErrorKind::NotFound)?;
                route.request(NEWLINK, 0, &link_header(index, true))?;
                return Ok(index);
            }
            Err(error) => last = format!("{kind}: {error}"),
        }
    }
    warnings.push(format!("{LINK} cannot be made ({last}; CONFIG_DUMMY is missing?), lo takes its addresses"));
    index_of(&read_links(route)?, "lo").ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn new_link(kind: &str) -> Vec<u8> {
    let mut info = Attrs::new();
    info.text(1, kind);
    if kind == "veth" {
        let mut peer = Attrs::new();
        peer.text(3, PEER);
        let mut data = Attrs::new();
        let mut whole = link_header(0, true);
        whole.extend_from_slice(peer.as_bytes());
        data.bytes(1, &whole);
        info.nest(2, &data);
    }
    let mut a = Attrs::new();
    a.text(3, LINK).nest(18, &info);
    let mut message = link_header(0, true);
    message.extend_from_slice(a.as_bytes());
    message
}

fn address_family(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 2 } else { 10 }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    super::table::octets(addr)
}

fn add_addr(route: &mut Link, index: u32, addr: IpAddr) -> io::Result<()> {
    let bytes = octets(addr);
    // No duplicate address detection: the address is never seen on a wire.
    let mut message = vec![address_family(addr), if addr.is_ipv4() { 32 } else { 128 }, 2, 0];
    message.extend(index.to_ne_bytes());
    let mut a = Attrs::new();
    a.bytes(2, &bytes).bytes(1, &bytes);
    message.extend_from_slice(a.as_bytes());
    route.request(NEWADDR, CREATE_REPLACE, &message).map(drop)
}

fn add_route(route: &mut Link, index: u32, range: IpNet) -> io::Result<()> {
    let scope = if range.addr().is_ipv4() { 253 } else { 0 };
    let mut message = vec![address_family(range.addr()), range.prefix_len(), 0, 0, 254, 4, scope, 1, 0, 0, 0, 0];
    let mut a = Attrs::new();
    a.bytes(1, &octets(range.network())).bytes(4, &index.to_ne_bytes());
    message.extend_from_slice(a.as_bytes());
    route.request(NEWROUTE, CREATE_REPLACE, &message).map(drop)
}

/// Removes our link, and with it its addresses and routes.
pub(super) fn remove(route: &mut Link) -> io::Result<Option<String>> {
    let Some(index) = index_of(&read_links(route)?, LINK) else { return Ok(None) };
    route.request(DELLINK, 0, &link_header(index, false))?;
    Ok(Some(format!("link {LINK}")))
}

/// Switches hairpin mode of a bridge port.
pub(super) fn set_hairpin(route: &mut Link, port: u32, on: bool) -> io::Result<()> {
    let mut mode = Attrs::new();
    mode.bytes(BRPORT_MODE, &[u8::from(on)]);
    let mut a = Attrs::new();
    a.nest(PROTINFO, &mode);
    let mut message = vec![AF_BRIDGE, 0, 0, 0];
    message.extend(port.to_ne_bytes());
    message.extend([0; 8]);
    message.extend_from_slice(a.as_bytes());
    route.request(SETLINK, 0, &message).map(drop)
}

/// Asks the routing table for the way to an endpoint.
pub(super) fn way(route: &mut Link, links: &BoxLinks, addr: IpAddr) -> Way {
    let off_box = Way { off_box: true, bridge: None };
    let mut message = vec![address_family(addr), if addr.is_ipv4() { 32 } else { 128 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut a = Attrs::new();
    a.bytes(1, &octets(addr));
    message.extend_from_slice(a.as_bytes());
    // No route: there is nothing to reply.
    let Ok(answers) = route.request(GETROUTE, 0, &message) else { return Way::default() };
    let Some(answer) = answers.first() else { return Way::default() };
    let content = answer.body.get(ROUTE_HEADER..).unwrap_or_default();
    if answer.body.get(7) == Some(&2) {
        return Way::default();
    }
    if attrs::find(content, 5).is_some() || attrs::find(content, 18).is_some() {
        return off_box;
    }
    let Some(index) = number(attrs::find(content, 4)) else { return Way::default() };
    let Some(link) = links.get(&index) else { return Way::default() };
    match link.kind.as_deref() {
        Some("bridge") => {
            let wired = links.values().any(|port| port.master == Some(index) && port.kind.is_none());
            Way { off_box: wired, bridge: Some(index) }
        }
        Some("veth" | "tun" | "dummy" | "ifb" | "netkit") => Way::default(),
        None if link.name == "lo" => Way::default(),
        Some(_) | None => off_box,
    }
}

/// Lets the box forward packets of a family. Answers a warning where it may not.
pub(super) fn enable_forwarding(family: IpFamily) -> Option<String> {
    let path = match family {
        IpFamily::V4 => "/proc/sys/net/ipv4/ip_forward",
        IpFamily::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    match std::fs::read_to_string(path) {
        Ok(value) if value.trim() != "0" => return None,
        Ok(_) => {}
        Err(error) => return Some(format!("{path}: {error}")),
    }
    let error = std::fs::write(path, "1").err()?;
    Some(format!("{path} is 0 and cannot be set: {error}; endpoints on other links are not reached"))
}
