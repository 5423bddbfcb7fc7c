//! Our link and its addresses, and what the box's links say about the
//! way of replies.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use futures_util::TryStreamExt as _;
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia};
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkDummy, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};

use super::DataplaneError;
use crate::model::IpFamily;

/// Our link.
pub(super) const LINK: &str = "edgesvc0";
/// The other end where only a pair can be had.
const PEER: &str = "edgesvc1";

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

/// A socket to rtnetlink, served by a task of this runtime.
pub(super) fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Does what needs a runtime where there may be one already: ours lives and ends
/// on a thread of its own.
pub(super) fn on_a_thread(
    work: Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>,
) -> Result<(), DataplaneError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(DataplaneError::Thread)?.block_on(work).map_err(DataplaneError::Link)
    };
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| DataplaneError::Stopped)?
}

pub(super) fn failed(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(refused) => refused.to_io(),
        other => io::Error::other(other),
    }
}

/// Every link of this network namespace.
pub(super) async fn read_links(route: &Handle) -> io::Result<BoxLinks> {
    let mut found = route.link().get().execute();
    let mut links = BoxLinks::new();
    while let Some(message) = found.try_next().await.map_err(failed)? {
        links.insert(message.header.index, read_link(&message));
    }
    Ok(links)
}

pub(super) fn read_link(message: &LinkMessage) -> BoxLink {
    let mut link = BoxLink { name: String::new(), kind: None, master: None, hairpin: false };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::LinkInfo(infos) => {
                link.hairpin = is_hairpin(infos);
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn is_hairpin(infos: &[LinkInfo]) -> bool {
    let of_bridge = infos.iter().any(|info| matches!(info, LinkInfo::PortKind(InfoPortKind::Bridge)));
    let switched = |info: &LinkInfo| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => port.contains(&InfoBridgePort::HairpinMode(true)),
        _ => false,
    };
    of_bridge && infos.iter().any(switched)
}

pub(super) fn index_of(links: &BoxLinks, name: &str) -> Option<u32> {
    links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
}

/// The links on which two other hosts may sit: a reply between them would not
/// come to us.
pub(super) fn shared_links(links: &BoxLinks) -> impl Iterator<Item = u32> + '_ {
    let ours = ["lo", LINK, PEER];
    links.iter().filter(move |(_, link)| !ours.contains(&link.name.as_str())).map(|(index, _)| *index)
}

/// Whether our link is there.
pub(super) fn has_own(links: &BoxLinks) -> bool {
    index_of(links, LINK).is_some()
}

/// Makes our link if it is missing and puts the DNS addresses on it. Answers what
/// could not be done.
pub(super) async fn set_up(route: &Handle, dns: &[IpAddr]) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let index = ensure_link(route, &mut warnings).await?;
    for addr in dns {
        if let Err(error) = add_addr(route, index, *addr).await {
            warnings.push(format!("{addr} cannot be put on {LINK}: {error}"));
        }
    }
    Ok(warnings)
}

async fn ensure_link(route: &Handle, warnings: &mut Vec<String>) -> io::Result<u32> {
    if let Some(index) = index_of(&read_links(route).await?, LINK) {
        bring_up(route, index).await?;
        return Ok(index);
    }
    let mut last = String::new();
    let kinds = [
        ("dummy", LinkDummy::new(LINK).up().build()),
        ("veth", LinkVeth::new(LINK, PEER).up().build()),
        ("bridge", LinkBridge::new(LINK).up().build()),
    ];
    for (kind, message) in kinds {
        match route.link().add(message).execute().await.map_err(failed) {
            Ok(()) => {
                let links = read_links(route).await?;
                if let Some(peer) = index_of(&links, PEER) {
                    bring_up(route, peer).await?;
                }
                let index = index_of(&links, LINK).ok_or(io::ErrorKind::NotFound)?;
                bring_up(route, index).await?;
                return Ok(index);
            }
            Err(error) => last = format!("{kind}: {error}"),
        }
    }
    warnings.push(format!("{LINK} cannot be made ({last}; CONFIG_DUMMY is missing?), lo takes its addresses"));
    index_of(&read_links(route).await?, "lo").ok_or_else(|| io::ErrorKind::NotFound.into())
}

async fn bring_up(route: &Handle, index: u32) -> io::Result<()> {
    route.link().change(LinkUnspec::new_with_index(index).up().build()).execute().await.map_err(failed)
}

async fn add_addr(route: &Handle, index: u32, addr: IpAddr) -> io::Result<()> {
    let mut request = route.address().add(index, addr, if addr.is_ipv4() { 32 } else { 128 }).replace();
    // No duplicate address detection: the address is never seen on a wire.
    request.message_mut().header.flags = AddressHeaderFlags::Nodad;
    request.execute().await.map_err(failed)
}

/// Removes our link, and with it its addresses and the routes through it.
pub(super) async fn remove(route: &Handle) -> io::Result<Option<String>> {
    let Some(index) = index_of(&read_links(route).await?, LINK) else { return Ok(None) };
    route.link().del(index).execute().await.map_err(failed)?;
    Ok(Some(format!("link {LINK}")))
}

/// Switches hairpin mode of a bridge port.
pub(super) async fn set_hairpin(route: &Handle, port: u32, on: bool) -> io::Result<()> {
    route.link().set_port(LinkBridgePort::new(port).hairpin(on).build()).execute().await.map_err(failed)
}

/// Asks the routing table for the way to an endpoint.
pub(super) async fn way(route: &Handle, links: &BoxLinks, addr: IpAddr) -> Way {
    // Without a route there is nothing to reply.
    route_to(route, addr).await.map(|answer| way_of(&answer, links)).unwrap_or_default()
}

/// The route to an address, if there is one.
pub(super) async fn route_to(route: &Handle, addr: IpAddr) -> Option<RouteMessage> {
    let question = match addr {
        IpAddr::V4(addr) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(addr, 32).build(),
        IpAddr::V6(addr) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(addr, 128).build(),
    };
    std::pin::pin!(route.route().get(question).execute()).try_next().await.ok().flatten()
}

pub(super) fn way_of(answer: &RouteMessage, links: &BoxLinks) -> Way {
    let off_box = Way { off_box: true, bridge: None };
    if answer.header.kind == RouteType::Local {
        return Way::default();
    }
    if gateway(answer).is_some() {
        return off_box;
    }
    let Some((index, link)) = out(answer).and_then(|index| Some((index, links.get(&index)?))) else {
        return Way::default();
    };
    match link.kind.as_deref() {
        Some("bridge") => Way { off_box: wired_port(links, index).is_some(), bridge: Some(index) },
        Some("veth" | "tun" | "dummy" | "ifb" | "netkit") => Way::default(),
        None if link.name == "lo" => Way::default(),
        Some(_) | None => off_box,
    }
}

/// The link that packets leave by.
pub(super) fn out(answer: &RouteMessage) -> Option<u32> {
    answer.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// The router packets go to first; unspecified where only that there is one is known.
pub(super) fn gateway(answer: &RouteMessage) -> Option<IpAddr> {
    answer.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(addr)) | RouteAttribute::Via(RouteVia::Inet(addr)) => {
            Some(IpAddr::V4(*addr))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(addr)) | RouteAttribute::Via(RouteVia::Inet6(addr)) => {
            Some(IpAddr::V6(*addr))
        }
        RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => Some(Ipv4Addr::UNSPECIFIED.into()),
        _ => None,
    })
}

/// A port of a bridge that leads to a wire.
pub(super) fn wired_port(links: &BoxLinks, bridge: u32) -> Option<&BoxLink> {
    links.values().find(|port| port.master == Some(bridge) && port.kind.is_none())
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
