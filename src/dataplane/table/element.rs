//! Elements of our sets and maps, and those a frontend needs. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::book::FrontendId;
use super::chain::{Affinity, ChainName, How, Owner, Place, Remember, Side, Way};
use super::expr::Verdict;
use super::hooked::Hooked;
use super::layout::INSIDE_SLOTS;
use super::owner::OwnerKey;
use super::set::SetName;
use super::turns::turns;
use crate::desired::{self, Frontend, FrontendAddr};
use crate::model::balance::Schedule;
use crate::model::{IpFamily, Protocol};

/// A key, and the end of its range in an interval set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Key {
    pub(in crate::dataplane) start: Vec<u8>,
    pub(in crate::dataplane) end: Option<Vec<u8>>,
}

/// What a key maps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Data {
    Nothing,
    Verdict(Verdict),
    Bytes(Vec<u8>),
}

/// One element's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Slot {
    pub(in crate::dataplane) family: IpFamily,
    pub(in crate::dataplane) set: SetName,
    pub(in crate::dataplane) key: Key,
}

impl Slot {
    pub(in crate::dataplane) fn new(family: IpFamily, set: SetName, start: Vec<u8>) -> Slot {
        Slot { family, set, key: Key { start, end: None } }
    }
}

pub(in crate::dataplane) fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// `addr . port` or `proto . port`: every field fills whole 32-bit words.
fn frontend_key(frontend: &Frontend) -> Vec<u8> {
    key_of(frontend.addr, frontend.protocol, frontend.port)
}

fn key_of(addr: FrontendAddr, protocol: Protocol, port: u16) -> Vec<u8> {
    let mut key = match addr {
        FrontendAddr::Virtual(addr) => octets(addr),
        FrontendAddr::NodePort(_) => Vec::new(),
    };
    key.extend([protocol.number(), 0, 0, 0]);
    key.extend(port.to_be_bytes());
    key.extend([0, 0]);
    key
}

/// The frontend that an element of `services` or `nodeports` stands for.
pub(in crate::dataplane) fn frontend_at(slot: &Slot) -> Option<(FrontendAddr, Protocol, u16)> {
    let (addr, tail) = slot.key.start.split_at_checked(slot.key.start.len().checked_sub(8)?)?;
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = known.into_iter().find(|protocol| Some(&protocol.number()) == tail.first())?;
    let port = u16::from_be_bytes(tail.get(4..6)?.try_into().ok()?);
    let addr = match slot.set {
        SetName::NodePorts => FrontendAddr::NodePort(slot.family),
        _ => FrontendAddr::Virtual(address(addr)?),
    };
    Some((addr, protocol, port))
}

/// The address in these bytes.
pub(in crate::dataplane) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// How a frontend remembers clients, if it does.
fn affinity(frontend: &Frontend) -> Option<Affinity> {
    frontend.affinity_seconds()?;
    let owner = match (&frontend.verdict, &frontend.inside) {
        (desired::Verdict::Balance(balance), _) | (_, Some(balance)) => balance.affinity_owner,
        (desired::Verdict::Refuse | desired::Verdict::Drop, None) => None,
    };
    let place = match (owner, frontend.addr) {
        (Some(owner), _) => Place { addr: Some(owner.addr), protocol: owner.protocol, port: owner.port },
        (None, FrontendAddr::NodePort(_)) => place(frontend),
        (None, FrontendAddr::Virtual(_)) => return Some(Affinity::Own),
    };
    // Whom policy Local keeps here is not to meet what it does not bind.
    let local = frontend.inside.is_some() || owner.is_some_and(|owner| owner.local);
    Some(Affinity::Shared(Owner { place, local }))
}

/// Where the affinity entries of a frontend are, what of their key follows the client's
/// address, and the endpoints they may lead to.
pub(in crate::dataplane) fn affinity_places(frontend: &Frontend) -> Vec<(SetName, Vec<u8>, Vec<SocketAddr>)> {
    let inside = frontend.inside.as_ref().map(|inside| inside.endpoints.clone());
    match affinity(frontend) {
        None => Vec::new(),
        Some(Affinity::Own) => vec![(SetName::Affinity, frontend_key(frontend), frontend.endpoints().collect())],
        Some(Affinity::Shared(owner)) => {
            let key = |local| OwnerKey::of(Owner { local, ..owner }, frontend.addr.family()).bytes();
            let outside = (SetName::SharedAffinity, key(owner.local), frontend.verdict.endpoints().to_vec());
            let inside = inside.map(|inside| (SetName::SharedAffinity, key(false), inside));
            std::iter::once(outside).chain(inside).collect()
        }
    }
}

/// `ip . port` as a map's value.
pub(in crate::dataplane) fn endpoint_data(endpoint: SocketAddr) -> Vec<u8> {
    let mut data = octets(endpoint.ip());
    data.extend(endpoint.port().to_be_bytes());
    data.extend([0, 0]);
    data
}

/// The elements and chains of one frontend.
pub(in crate::dataplane) fn of_frontend(frontend: &Frontend) -> (Vec<(Slot, Data)>, Vec<ChainName>) {
    let family = frontend.addr.family();
    let node_port = matches!(frontend.addr, FrontendAddr::NodePort(_));
    let key = frontend_key(frontend);
    let entry = if node_port { SetName::NodePorts } else { SetName::Services };
    let mut elements = Vec::new();
    let mut chains = Vec::new();
    let verdict = match &frontend.verdict {
        desired::Verdict::Drop if frontend.inside.is_none() => Verdict::Drop,
        desired::Verdict::Refuse => Verdict::Goto("refuse".to_owned()),
        desired::Verdict::Balance(_) | desired::Verdict::Drop => {
            let (outside, inside) = lists(frontend);
            let name = entry_way(frontend, outside.len(), inside.as_ref().map(Vec::len));
            chains.extend(ChainName::Way(name).reach());
            elements.extend(slotted(family, name.slots(), &key, 0, &outside));
            elements.extend(slotted(family, name.slots(), &key, INSIDE_SLOTS, inside.as_deref().unwrap_or_default()));
            if let Some((seconds, affinity)) = frontend.affinity_seconds().zip(affinity(frontend)) {
                let set = if node_port { SetName::AffinityNodePorts } else { SetName::AffinityServices };
                let both = inside.is_some() && affinity != Affinity::Own;
                let chain = ChainName::Remember(Remember { both, affinity, seconds });
                chains.extend(chain.reach());
                chains.extend(Hooked::REMEMBER.map(ChainName::Hooked));
                let verdict = Data::Verdict(Verdict::Goto(chain.to_string()));
                elements.push((Slot::new(family, set, key.clone()), verdict));
            }
            for net in IpNet::aggregate(&frontend.source_ranges) {
                elements.push((source(family, &key, net), Data::Nothing));
            }
            Verdict::Goto(ChainName::Way(name).to_string())
        }
    };
    elements.push((Slot::new(family, entry, key), Data::Verdict(verdict)));
    (elements, chains)
}

/// The slots of the frontend, and those of clients inside if they have others.
fn lists(frontend: &Frontend) -> (Vec<SocketAddr>, Option<Vec<SocketAddr>>) {
    let outside = match &frontend.verdict {
        desired::Verdict::Balance(balance) => turns(balance),
        desired::Verdict::Refuse | desired::Verdict::Drop => Vec::new(),
    };
    (outside, frontend.inside.as_ref().map(turns))
}

fn entry_way(frontend: &Frontend, outside: usize, inside: Option<usize>) -> Way {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let others = number(outside);
    Way {
        filter: !frontend.source_ranges.is_empty(),
        side: inside.map_or(Side::Others(others), |inside| Side::Both { others, inside: number(inside) }),
        affinity: affinity(frontend),
        how: how(frontend),
        node_port: matches!(frontend.addr, FrontendAddr::NodePort(_)),
    }
}

/// The chains of a frontend that take turns by open connections.
pub(in crate::dataplane) fn live_chains(frontend: &Frontend) -> Vec<ChainName> {
    let (outside, inside) = lists(frontend);
    let entry = entry_way(frontend, outside.len(), inside.as_ref().map(Vec::len));
    let takes = |name: &ChainName| name.next().is_empty() && entry.slots().is_live();
    ChainName::Way(entry).reach().into_iter().filter(takes).collect()
}

/// A slot that open connections fill.
pub(in crate::dataplane) fn live_slot(id: FrontendId, number: u32, endpoint: SocketAddr) -> (Slot, Data) {
    let (addr, protocol, port) = id;
    let set = match addr {
        FrontendAddr::Virtual(_) => SetName::LiveEndpoints,
        FrontendAddr::NodePort(_) => SetName::NodePortLiveEndpoints,
    };
    let mut key = key_of(addr, protocol, port);
    key.extend(number.to_ne_bytes());
    (Slot::new(addr.family(), set, key), Data::Bytes(endpoint_data(endpoint)))
}

/// What chooses among the slots. What weights make of them is said by [`slots`].
fn how(frontend: &Frontend) -> How {
    let balance = match (&frontend.verdict, &frontend.inside) {
        (desired::Verdict::Balance(balance), _) | (_, Some(balance)) => balance,
        (desired::Verdict::Refuse | desired::Verdict::Drop, None) => return How::Random,
    };
    match balance.schedule {
        Schedule::Random | Schedule::Leader => How::Random,
        Schedule::SourceHash => How::SourceHash,
        Schedule::DestinationHash => How::DestinationHash,
        Schedule::RoundRobin | Schedule::Weighted => How::Turn(place(frontend)),
        Schedule::LeastConnection | Schedule::ShortestDelay | Schedule::NeverQueue => How::Live(place(frontend)),
    }
}

fn place(frontend: &Frontend) -> Place {
    let addr = match frontend.addr {
        FrontendAddr::Virtual(addr) => Some(addr),
        FrontendAddr::NodePort(_) => None,
    };
    Place { addr, protocol: frontend.protocol, port: frontend.port }
}

fn slotted<'a>(
    family: IpFamily,
    set: SetName,
    key: &'a [u8],
    first: u32,
    endpoints: &'a [SocketAddr],
) -> impl Iterator<Item = (Slot, Data)> {
    (first..).zip(endpoints).map(move |(number, endpoint)| {
        let mut key = key.to_vec();
        key.extend(number.to_ne_bytes());
        (Slot::new(family, set, key), Data::Bytes(endpoint_data(*endpoint)))
    })
}

fn source(family: IpFamily, key: &[u8], net: IpNet) -> Slot {
    let mut start = key.to_vec();
    start.extend(octets(net.network()));
    let mut end = key.to_vec();
    end.extend(octets(net.broadcast()));
    Slot { family, set: SetName::Sources, key: Key { start, end: Some(end) } }
}
