//! Elements of our sets and maps, and those a frontend needs. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::chain::ChainName;
use super::expr::Verdict;
use super::layout::INSIDE_SLOTS;
use super::set::SetName;
use crate::desired::{self, Frontend, FrontendAddr};
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
    let mut key = match frontend.addr {
        FrontendAddr::Virtual(addr) => octets(addr),
        FrontendAddr::NodePort(_) => Vec::new(),
    };
    key.extend([frontend.protocol.number(), 0, 0, 0]);
    key.extend(frontend.port.to_be_bytes());
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

/// Where the affinity entries of a frontend are, and what of their key follows
/// the client's address.
pub(in crate::dataplane) fn affinity_place(frontend: &Frontend) -> (SetName, Vec<u8>) {
    let set = match frontend.addr {
        FrontendAddr::Virtual(_) => SetName::Affinity,
        FrontendAddr::NodePort(_) => SetName::NodePortAffinity,
    };
    (set, frontend_key(frontend))
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
            let name = entry_chain(frontend);
            chains.extend(name.reach());
            elements.extend(slots(family, node_port, &key, 0, frontend.verdict.endpoints()));
            let inside = frontend.inside.iter().flat_map(|inside| &inside.endpoints);
            elements.extend(slots(family, node_port, &key, INSIDE_SLOTS, inside));
            if let Some(seconds) = frontend.affinity_seconds() {
                let (set, chain) = if node_port {
                    (SetName::AffinityNodePorts, ChainName::RememberNodePort(seconds))
                } else {
                    (SetName::AffinityServices, ChainName::Remember(seconds))
                };
                chains.push(chain);
                let verdict = Data::Verdict(Verdict::Goto(chain.to_string()));
                elements.push((Slot::new(family, set, key.clone()), verdict));
            }
            for net in IpNet::aggregate(&frontend.source_ranges) {
                elements.push((source(family, &key, net), Data::Nothing));
            }
            Verdict::Goto(name.to_string())
        }
    };
    elements.push((Slot::new(family, entry, key), Data::Verdict(verdict)));
    (elements, chains)
}

fn entry_chain(frontend: &Frontend) -> ChainName {
    let number = |endpoints: &[SocketAddr]| u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    let k = number(frontend.verdict.endpoints());
    let m = frontend.inside.as_ref().map(|inside| number(&inside.endpoints));
    let affine = frontend.affinity_seconds().is_some();
    match (frontend.addr, m) {
        (FrontendAddr::NodePort(_), None) if affine => ChainName::AffineNodePort(k),
        (FrontendAddr::NodePort(_), None) => ChainName::PickNodePort(k),
        (FrontendAddr::NodePort(_), Some(m)) if affine => ChainName::LocalAffineNodePort(k, m),
        (FrontendAddr::NodePort(_), Some(m)) => ChainName::LocalNodePort(k, m),
        (FrontendAddr::Virtual(_), m) => match (frontend.source_ranges.is_empty(), affine, m) {
            (true, false, None) => ChainName::Pick(k),
            (true, true, None) => ChainName::Affine(k),
            (false, false, None) => ChainName::Filter(k),
            (false, true, None) => ChainName::FilterAffine(k),
            (true, false, Some(m)) => ChainName::Local(k, m),
            (true, true, Some(m)) => ChainName::LocalAffine(k, m),
            (false, false, Some(m)) => ChainName::FilterLocal(k, m),
            (false, true, Some(m)) => ChainName::FilterLocalAffine(k, m),
        },
    }
}

fn slots<'a>(
    family: IpFamily,
    node_port: bool,
    key: &'a [u8],
    first: u32,
    endpoints: impl IntoIterator<Item = &'a SocketAddr>,
) -> impl Iterator<Item = (Slot, Data)> {
    let set = if node_port { SetName::NodePortEndpoints } else { SetName::Endpoints };
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
