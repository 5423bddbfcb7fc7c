//! The box's routing tables and rules, read whole: which way thousands of
//! endpoints go, without asking the kernel for each.
//!
//! Only what a plain question meets (no mark, no source, from the box itself) is
//! modelled. A rule of another kind makes the tables of its family unknown, a
//! route with several next hops only that route; the kernel is asked then.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use super::netlink::{Link, attrs};
use super::table::address;
use crate::model::IpFamily;

const GET_ROUTE: u16 = 26;
const GET_RULE: u16 = 34;
/// `struct rtmsg` and `struct fib_rule_hdr` have the same length.
const HEADER: usize = 12;
/// More routes (a router with the whole Internet's) cost more to read than to ask.
const ROUTES_MAX: usize = 20_000;
/// Attributes of a rule that we know: destination, source, input link, priority,
/// mark, realm, suppressed prefixes, table, mask, output link, padding, origin,
/// protocol, ports.
const RULE_ATTRIBUTES: [u16; 15] = [1, 2, 3, 6, 10, 11, 14, 15, 16, 17, 18, 21, 22, 23, 24];
const RULE_INVERTED: u32 = 2;
const RULE_TO_TABLE: u8 = 1;
/// `RTN_THROW`: the next rule is asked.
const THROW: u8 = 9;
/// `RTNH_F_DEAD`
const DEAD: u32 = 1;

/// What the tables say of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The route to it, as the kernel would answer.
    Route(RouteMessage),
    /// No route.
    Nothing,
    /// Only the kernel knows.
    Unknown,
}

/// Rules and routes of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    v4: Option<Family>,
    v6: Option<Family>,
}

/// The routes of a table by length of prefix, and network.
type Table = BTreeMap<u8, BTreeMap<IpAddr, Vec<Hop>>>;

/// One family, whose every rule can be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    rules: Vec<Rule>,
    tables: BTreeMap<u32, Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    to: Option<IpNet>,
    table: u32,
    /// Routes with at most so long a prefix do not count.
    suppressed: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    metric: u32,
    kind: u8,
    gateway: bool,
    out: Option<u32>,
}

impl Routes {
    /// As they are; empty where they cannot be read: then the kernel is asked for
    /// each way.
    pub(super) fn now() -> Routes {
        Routes::read().unwrap_or_else(|error| {
            tracing::debug!(%error, "routes could not be read");
            Routes::default()
        })
    }

    fn read() -> io::Result<Routes> {
        let mut link = Link::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        Ok(Routes { v4: Family::read(&mut link, IpFamily::V4)?, v6: Family::read(&mut link, IpFamily::V6)? })
    }

    /// Whether both families could be read, so that equal ones mean equal ways.
    pub(super) fn is_known(&self) -> bool {
        self.v4.is_some() && self.v6.is_some()
    }

    /// What they say of the way to `addr`.
    pub(super) fn to(&self, addr: IpAddr) -> Said {
        let family = if addr.is_ipv4() { &self.v4 } else { &self.v6 };
        family.as_ref().map_or(Said::Unknown, |family| family.to(addr))
    }
}

impl Family {
    /// `None` where rules or the number of routes are beyond us.
    fn read(link: &mut Link, family: IpFamily) -> io::Result<Option<Family>> {
        let mut found = Family::default();
        let mut header = [0; HEADER];
        header[0] = if family == IpFamily::V4 { 2 } else { 10 };
        for message in link.dump(GET_RULE, &header)? {
            match read_rule(&message.body) {
                Some(Some(rule)) => found.rules.push(rule),
                Some(None) => {}
                None => return Ok(None),
            }
        }
        let mut count = 0;
        let whole = link.visit(GET_ROUTE, &header, &mut |message| {
            count += 1;
            if count <= ROUTES_MAX {
                found.take(&message.body, family);
            }
        });
        // If a change ran into it, the notice of that change has us read again.
        whole.map(|_| (count <= ROUTES_MAX).then_some(found))
    }

    fn take(&mut self, body: &[u8], family: IpFamily) {
        let Some((header, rest)) = body.split_at_checked(HEADER) else { return };
        let [_, length, _, tos, table, _, _, kind, flags @ ..] = header else { return };
        let flags = u32::from_ne_bytes(flags.try_into().unwrap_or_default());
        if *tos != 0 || flags & DEAD != 0 {
            return;
        }
        let any: IpAddr = match family {
            IpFamily::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpFamily::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let network = attrs::find(rest, 1).and_then(address).unwrap_or(any);
        let table = number(rest, 15).unwrap_or_else(|| u32::from(*table));
        let hop = Hop {
            metric: number(rest, 6).unwrap_or_default(),
            kind: *kind,
            gateway: attrs::find(rest, 5).or_else(|| attrs::find(rest, 18)).is_some(),
            out: number(rest, 4),
        };
        self.tables.entry(table).or_default().entry(*length).or_default().entry(network).or_default().push(hop);
    }

    fn to(&self, addr: IpAddr) -> Said {
        for rule in self.rules.iter().filter(|rule| rule.to.is_none_or(|net| net.contains(&addr))) {
            let Some(table) = self.tables.get(&rule.table) else { continue };
            let longest = table.iter().rev().find_map(|(length, networks)| {
                let network = IpNet::new(addr, *length).ok()?.network();
                Some((*length, networks.get(&network)?))
            });
            let Some((length, hops)) = longest else { continue };
            if rule.suppressed.is_some_and(|suppressed| length <= suppressed) {
                continue;
            }
            match best(hops) {
                Some(hop) if hop.kind == THROW => {}
                Some(hop) => return hop.said(),
                None => return Said::Unknown,
            }
        }
        Said::Nothing
    }
}

impl Hop {
    fn said(&self) -> Said {
        let kind = RouteType::from(self.kind);
        match (kind, self.out) {
            (RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit, _) => return Said::Nothing,
            // Several next hops: which of them is the kernel's choice.
            (RouteType::Unicast, None) => return Said::Unknown,
            _ => {}
        }
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes.extend(self.out.map(RouteAttribute::Oif));
        if self.gateway {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(std::net::Ipv4Addr::UNSPECIFIED)));
        }
        Said::Route(message)
    }
}

/// The one with the least metric; none where two have it and go different ways.
fn best(hops: &[Hop]) -> Option<&Hop> {
    let least = hops.iter().min_by_key(|hop| hop.metric)?;
    hops.iter().all(|hop| hop.metric != least.metric || hop == least).then_some(least)
}

/// A rule a plain question meets; `Some(None)` for one it never does, `None` for one
/// we cannot tell.
fn read_rule(body: &[u8]) -> Option<Option<Rule>> {
    let (header, rest) = body.split_at_checked(HEADER)?;
    let [_, to_length, from_length, tos, table, _, _, action, flags @ ..] = header else { return None };
    let inverted = u32::from_ne_bytes(flags.try_into().ok()?) & RULE_INVERTED != 0;
    if attrs::read(rest).any(|(kind, _)| !RULE_ATTRIBUTES.contains(&kind)) {
        return None;
    }
    let marked = number(rest, 10).is_some_and(|mark| mark & number(rest, 16).unwrap_or(u32::MAX) != 0);
    // The question has no mark, no source, no link, no type of service, protocol or port.
    let never = marked
        || *from_length != 0
        || *tos != 0
        || [3, 17, 22, 23, 24].iter().any(|kind| attrs::find(rest, *kind).is_some());
    let to = match attrs::find(rest, 1) {
        Some(bytes) => Some(IpNet::new(address(bytes)?, *to_length).ok()?),
        None => None,
    };
    match (inverted, never) {
        (false, true) => return Some(None),
        (true, false) if to.is_none() => return Some(None),
        (true, false) => return None,
        (true, true) | (false, false) => {}
    }
    if *action != RULE_TO_TABLE {
        return None;
    }
    let suppressed = number(rest, 14).and_then(|length| u8::try_from(length).ok());
    let table = number(rest, 15).unwrap_or_else(|| u32::from(*table));
    Some(Some(Rule { to: to.filter(|_| !inverted), table, suppressed }))
}

/// A 32-bit number in the box's byte order, as rtnetlink has them.
fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(attrs::find(bytes, kind)?.try_into().ok()?))
}
