//! The routes of the service ranges: without a default route the box would not even
//! try to reach a cluster IP.
//!
//! Ours carry a protocol number of our own, by which a later process and `cleanup`
//! know them. Where the box has a route of its own for the very range, it stays: it
//! does what ours is for, and taking its place could cut the box off its network.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::links::{LINK, failed, index_of, read_links};
use crate::model::IpFamily;

/// Who made a route: a number that nobody has in iproute2's table.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(143);

/// What is to be done that the routes follow the ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) set: Vec<IpNet>,
    pub(super) remove: Vec<IpNet>,
    /// Ranges that the box has routes of its own for.
    pub(super) foreign: Vec<IpNet>,
}

/// `held` are the ranges of the routes there are, and whether they are ours.
pub(super) fn plan(held: &[(IpNet, bool)], wanted: &[IpNet]) -> Plan {
    let of = |ours: bool| -> BTreeSet<IpNet> {
        held.iter().filter(|(_, own)| *own == ours).map(|(range, _)| range.trunc()).collect()
    };
    let (ours, theirs) = (of(true), of(false));
    let (foreign, set): (BTreeSet<IpNet>, BTreeSet<IpNet>) =
        wanted.iter().map(IpNet::trunc).partition(|range| theirs.contains(range));
    Plan {
        remove: ours.difference(&set).copied().collect(),
        set: set.into_iter().collect(),
        foreign: foreign.into_iter().collect(),
    }
}

/// Makes the routes follow the ranges. Only once the tables are there: a connection
/// that finds the route and no rules loses its first packet, and waits a second to
/// send it again. Answers what could not be done.
pub(super) async fn follow(route: &Handle, ranges: &[IpNet]) -> io::Result<Vec<String>> {
    let links = read_links(route).await?;
    let index = index_of(&links, LINK).or_else(|| index_of(&links, "lo")).ok_or(io::ErrorKind::NotFound)?;
    let held: Vec<(IpNet, bool)> =
        read(route).await?.iter().filter_map(|found| Some((range_of(found)?, is_ours(found)))).collect();
    let plan = plan(&held, ranges);
    let mut warnings = Vec::new();
    for range in plan.foreign {
        warnings.push(format!("{range} has a route of the box's own, which stays"));
    }
    for range in plan.remove {
        if let Err(error) = route.route().del(builder(range)?.build()).execute().await.map_err(failed) {
            warnings.push(format!("the route for {range} stays: {error}"));
        }
    }
    for range in plan.set {
        let scope = if range.addr().is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
        let message = builder(range)?.output_interface(index).scope(scope).build();
        if let Err(error) = route.route().add(message).replace().execute().await.map_err(failed) {
            warnings.push(format!("no route for {range}: {error}"));
        }
    }
    Ok(warnings)
}

/// Removes the routes of ours that did not go with our link: those through lo.
pub(super) async fn remove(route: &Handle) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for found in read(route).await?.into_iter().filter(is_ours) {
        let range = range_of(&found);
        route.route().del(found).execute().await.map_err(failed)?;
        removed.extend(range.map(|range| format!("route {range}")));
    }
    Ok(removed)
}

/// A route of ours; scope nowhere, which matches every one when it is deleted.
fn builder(range: IpNet) -> io::Result<RouteMessageBuilder<IpAddr>> {
    let builder = RouteMessageBuilder::<IpAddr>::new().protocol(PROTOCOL).scope(RouteScope::NoWhere);
    builder.destination_prefix(range.network(), range.prefix_len()).map_err(io::Error::other)
}

/// Every route of the main table.
async fn read(route: &Handle) -> io::Result<Vec<RouteMessage>> {
    let mut all = Vec::new();
    for family in IpFamily::BOTH {
        let question = match family {
            IpFamily::V4 => RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            IpFamily::V6 => RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        };
        let mut found = std::pin::pin!(route.route().get(question).execute());
        while let Some(message) = found.try_next().await.map_err(failed)? {
            if message.header.table == RouteHeader::RT_TABLE_MAIN {
                all.push(message);
            }
        }
    }
    Ok(all)
}

fn is_ours(found: &RouteMessage) -> bool {
    found.header.protocol == PROTOCOL
}

fn range_of(found: &RouteMessage) -> Option<IpNet> {
    let addr = found.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Destination(RouteAddress::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    })?;
    IpNet::new(addr, found.header.destination_prefix_length).ok()
}
