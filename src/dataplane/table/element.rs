//! Elements of our sets and maps, and those a frontend needs. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::chain::ChainName;
use super::expr::Verdict;
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
        desired::Verdict::Drop => Verdict::Drop,
        desired::Verdict::Refuse => Verdict::Goto("refuse".to_owned()),
        desired::Verdict::Balance(balance) => {
            let name = entry_chain(frontend, balance);
            let mut next = Some(name);
            while let Some(chain) = next {
                chains.push(chain);
                next = chain.next();
            }
            elements.extend(slots(family, node_port, &key, &balance.endpoints));
            if let Some(seconds) = balance.affinity_seconds {
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

fn entry_chain(frontend: &Frontend, balance: &desired::Balance) -> ChainName {
    let count = u32::try_from(balance.endpoints.len()).unwrap_or(u32::MAX);
    let affine = balance.affinity_seconds.is_some();
    match frontend.addr {
        FrontendAddr::NodePort(_) if affine => ChainName::AffineNodePort(count),
        FrontendAddr::NodePort(_) => ChainName::PickNodePort(count),
        FrontendAddr::Virtual(_) => match (frontend.source_ranges.is_empty(), affine) {
            (true, false) => ChainName::Pick(count),
            (true, true) => ChainName::Affine(count),
            (false, false) => ChainName::Filter(count),
            (false, true) => ChainName::FilterAffine(count),
        },
    }
}

fn slots<'a>(
    family: IpFamily,
    node_port: bool,
    key: &'a [u8],
    endpoints: &'a [SocketAddr],
) -> impl Iterator<Item = (Slot, Data)> + 'a {
    let set = if node_port { SetName::NodePortEndpoints } else { SetName::Endpoints };
    (0u32..).zip(endpoints).map(move |(number, endpoint)| {
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
