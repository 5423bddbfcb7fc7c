//! Makes addresses of Services local, so that sockets can listen on them: a route
//! of type `local` on lo for a whole range (AnyIP), or for one address outside
//! the ranges. No link and no address is made, and a range costs one route.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder, new_connection};

use crate::model::ROUTE_PROTOCOL;

/// `RT_TABLE_LOCAL`
const TABLE_LOCAL: u32 = 255;

/// The addresses we made local.
#[derive(Debug)]
pub(super) struct Locals {
    handle: Option<Handle>,
    privileged: bool,
    lo: u32,
    ranges: Vec<IpNet>,
    /// Sockets on each address that has a route of its own; none of them in a range.
    hosts: BTreeMap<IpAddr, usize>,
}

impl Locals {
    /// Without the privilege nothing is local but what somebody else made so.
    pub(super) async fn open() -> Locals {
        let mut locals = Locals { handle: None, privileged: true, lo: 0, ranges: Vec::new(), hosts: BTreeMap::new() };
        match connect().await {
            Ok((handle, lo)) => (locals.handle, locals.lo) = (Some(handle), lo),
            Err(error) => tracing::warn!(%error, "no routing socket: addresses cannot be made local"),
        }
        // Of a process before us: an address is local only while it is asked for.
        if let Some(handle) = &locals.handle
            && let Err(error) = remove_all(handle).await
        {
            tracing::debug!(%error, "old routes stay");
        }
        locals
    }

    /// Makes these ranges local, and no others; what cannot be is tried with the next
    /// change. `sockets` are the addresses that are covered: those that a range leaves
    /// behind get a route of their own, those that one takes in need none any more.
    pub(super) async fn follow(&mut self, ranges: &[IpNet], sockets: impl Iterator<Item = IpAddr>) {
        let gone: Vec<IpNet> = self.ranges.extract_if(.., |range| !ranges.contains(range)).collect();
        for range in ranges {
            if !self.ranges.contains(range) {
                match self.add(*range).await {
                    Ok(()) => self.ranges.push(*range),
                    Err(error) => tracing::debug!(%range, %error, "cannot be made local"),
                }
            }
        }
        let taken: Vec<IpAddr> = self.hosts.keys().copied().filter(|addr| self.is_in_range(*addr)).collect();
        for addr in taken {
            self.hosts.remove(&addr);
            self.remove(IpNet::from(addr)).await;
        }
        if gone.is_empty() {
            return;
        }
        for addr in sockets.filter(|addr| gone.iter().any(|range| range.contains(addr))) {
            self.cover(addr).await;
        }
        for range in gone {
            self.remove(range).await;
        }
    }

    fn is_in_range(&self, addr: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&addr))
    }

    /// Whether we may make addresses local.
    pub(super) fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// Whether the address is local by a route of ours.
    pub(super) fn has_route(&self, addr: IpAddr) -> bool {
        self.is_in_range(addr) || self.hosts.contains_key(&addr)
    }

    /// Whether the address is local by a route of ours, which is made if need be.
    pub(super) async fn cover(&mut self, addr: IpAddr) -> bool {
        if self.is_in_range(addr) {
            return true;
        }
        if !self.hosts.contains_key(&addr)
            && let Err(error) = self.add(IpNet::from(addr)).await
        {
            tracing::debug!(%addr, %error, "cannot be made local");
            return false;
        }
        *self.hosts.entry(addr).or_default() += 1;
        true
    }

    /// A socket on an address that was covered is gone.
    pub(super) async fn uncover(&mut self, addr: IpAddr) {
        let Some(sockets) = self.hosts.get_mut(&addr) else { return };
        *sockets -= 1;
        if *sockets == 0 {
            self.hosts.remove(&addr);
            self.remove(IpNet::from(addr)).await;
        }
    }

    async fn remove(&self, net: IpNet) {
        let Some(handle) = &self.handle else { return };
        if let Err(error) = handle.route().del(message(net, self.lo)).execute().await {
            tracing::warn!(%net, %error, "the route of what is no Service's any more stays");
        }
    }

    async fn add(&mut self, net: IpNet) -> io::Result<()> {
        let handle = self.handle.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        // Never in the place of another: the box's own address has such a route too.
        let added = handle.route().add(message(net, self.lo)).execute().await.map_err(failed);
        let added = added.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        if added.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            self.privileged = false;
        }
        added
    }
}

/// Removes every route of ours and answers which.
pub(super) async fn clean() -> io::Result<Vec<String>> {
    let (handle, _) = connect().await?;
    remove_all(&handle).await
}

async fn connect() -> io::Result<(Handle, u32)> {
    let (connection, handle, _) = new_connection()?;
    tokio::spawn(connection);
    let mut found = std::pin::pin!(handle.link().get().match_name("lo".to_owned()).execute());
    let lo = found.try_next().await.map_err(failed)?.ok_or(io::ErrorKind::NotFound)?.header.index;
    Ok((handle, lo))
}

async fn remove_all(handle: &Handle) -> io::Result<Vec<String>> {
    let mut ours: Vec<RouteMessage> = Vec::new();
    let every = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    for question in every {
        let mut found = std::pin::pin!(handle.route().get(question).execute());
        while let Some(route) = found.try_next().await.map_err(failed)? {
            if route.header.protocol == RouteProtocol::Other(ROUTE_PROTOCOL) && route.header.kind == RouteType::Local {
                ours.push(route);
            }
        }
    }
    let mut removed = Vec::new();
    for route in ours {
        let what = format!("local route {}", destination(&route));
        handle.route().del(route).execute().await.map_err(failed)?;
        removed.push(what);
    }
    Ok(removed)
}

fn destination(route: &RouteMessage) -> String {
    use netlink_packet_route::route::{RouteAddress, RouteAttribute};
    let addr = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Destination(RouteAddress::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    });
    addr.map_or_else(String::new, |addr| format!("{addr}/{}", route.header.destination_prefix_length))
}

fn message(net: IpNet, lo: u32) -> RouteMessage {
    let scope = if net.addr().is_ipv4() { RouteScope::Host } else { RouteScope::Universe };
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .table_id(TABLE_LOCAL)
        .protocol(RouteProtocol::Other(ROUTE_PROTOCOL))
        .kind(RouteType::Local)
        .scope(scope)
        .output_interface(lo);
    match builder.clone().destination_prefix(net.network(), net.prefix_len()) {
        Ok(builder) => builder.build(),
        // An IpNet has no prefix longer than its address.
        Err(_) => builder.build(),
    }
}

fn failed(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(refused) => refused.to_io(),
        other => io::Error::other(other),
    }
}
