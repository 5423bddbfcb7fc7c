//! Which endpoints take the connections of one Service port (spec/dataplane.md
//! section 1): readiness, termination, topology hints, locality.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::balance::{AGE_ANNOTATION, WEIGHT_ANNOTATION, Weights};
use crate::model::endpoints::{AddressType, Endpoint, Named};
use crate::model::service::ServicePort;
use crate::model::{EndpointSlice, IpFamily, Object};

/// Where this box stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    /// The name of its Node.
    pub(super) node_name: &'a str,
    /// The zone its Node is labelled with.
    pub(super) zone: Option<&'a str>,
    /// Where cluster IPs come from: an endpoint there would be a Service again, and two
    /// of them a loop.
    pub(super) ranges: &'a [IpNet],
}

impl Here<'_> {
    /// Whether an address is a Service's and no endpoint's.
    pub(super) fn is_of_services(self, addr: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&addr))
    }
}

/// A slice with what its annotations say of its endpoints.
#[derive(Debug)]
pub(super) struct Slice<'a> {
    content: &'a EndpointSlice,
    /// The API lets no other text in; one that is there all the same weighs nothing down.
    weights: Option<Weights>,
    ages: BTreeMap<IpAddr, u32>,
}

impl<'a> Slice<'a> {
    /// The slice in an object, if it is one.
    pub(super) fn of(object: &'a Object) -> Option<Slice<'a>> {
        let annotation = |name: &str| object.meta.annotations.get(name);
        let listed = annotation(AGE_ANNOTATION).unwrap_or_default().split(',').map(str::trim);
        let ages = listed.zip(0..).filter_map(|(text, age)| Some((text.parse().ok()?, age))).collect();
        let weights = annotation(WEIGHT_ANNOTATION).and_then(Weights::parse);
        Some(Slice { content: object.as_endpoint_slice()?, weights, ages })
    }

    /// The endpoints, as written.
    pub(super) fn endpoints(self) -> &'a [Endpoint] {
        &self.content.endpoints
    }

    fn weight(&self, addr: IpAddr) -> u16 {
        self.weights.as_ref().map_or(1, |weights| weights.of(addr))
    }

    /// The place in the line of age: as told, or as written.
    fn age(&self, addr: IpAddr, written: u32) -> u32 {
        if self.ages.is_empty() { written } else { self.ages.get(&addr).copied().unwrap_or(u32::MAX) }
    }
}

/// How many addresses of ready endpoints are on this box: those of weight 0 take
/// nothing that a load balancer would send.
pub(super) fn ready_here(slices: &[Slice<'_>], here: Here<'_>) -> u32 {
    let mut addrs = BTreeSet::new();
    for slice in slices {
        let ready = slice.content.endpoints.iter().filter(|endpoint| endpoint.conditions.is_ready());
        let local = ready.filter(|endpoint| endpoint.node_name.as_deref() == Some(here.node_name));
        addrs.extend(local.filter_map(Endpoint::addr).filter(|addr| slice.weight(*addr) != 0));
    }
    u32::try_from(addrs.len()).unwrap_or(u32::MAX)
}

/// An endpoint that takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taker {
    pub(super) addr: SocketAddr,
    pub(super) weight: u16,
    /// The smaller the older.
    pub(super) age: u32,
}

/// The endpoints of one Service port in one family, each address once.
#[derive(Debug, Default)]
pub(super) struct PortEndpoints {
    by_addr: BTreeMap<SocketAddr, Candidate>,
}

/// One copy of an endpoint. Ordered by preference: of two copies of an address
/// the greater one counts, the non-terminating one first of all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    lasting: bool,
    ready: bool,
    serving: bool,
    local: bool,
    for_zones: Vec<String>,
    for_nodes: Vec<String>,
    weight: u16,
    age: Reverse<u32>,
}

impl PortEndpoints {
    /// Collects the endpoints that serve `port`, by its name and protocol.
    pub(super) fn gather(
        slices: &[Slice<'_>],
        address_type: AddressType,
        port: &ServicePort,
        here: Here<'_>,
    ) -> PortEndpoints {
        let mut by_addr: BTreeMap<SocketAddr, Candidate> = BTreeMap::new();
        let mut written = 0;
        for slice in slices.iter().filter(|slice| slice.content.address_type == address_type) {
            let serves = slice.content.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
            for number in serves.filter_map(|p| p.port).filter(|number| *number != 0) {
                let fits = |addr: &IpAddr| is_of_type(IpFamily::of(*addr), address_type) && !here.is_of_services(*addr);
                for endpoint in &slice.content.endpoints {
                    let Some(addr) = endpoint.addr().filter(fits) else {
                        continue;
                    };
                    written += 1;
                    let candidate = Candidate {
                        weight: slice.weight(addr),
                        age: Reverse(slice.age(addr, written)),
                        ..Candidate::of(endpoint, here)
                    };
                    let addr = SocketAddr::new(addr, number);
                    if by_addr.get(&addr).is_none_or(|known| *known < candidate) {
                        by_addr.insert(addr, candidate);
                    }
                }
            }
        }
        PortEndpoints { by_addr }
    }

    /// Policy Cluster: the ready endpoints that the hints allow; without a ready
    /// one all that are on their way out but still serve.
    pub(super) fn cluster_set(&self, here: Here<'_>) -> Vec<Taker> {
        let hinted = self.hints_in_use(here);
        let ready = self.pick(|endpoint| endpoint.ready && hinted.allows(endpoint, here));
        if ready.is_empty() { self.pick(Candidate::is_draining) } else { ready }
    }

    /// Policy Local: the same among this box's endpoints; hints have no say.
    pub(super) fn local_set(&self) -> Vec<Taker> {
        let ready = self.pick(|endpoint| endpoint.local && endpoint.ready);
        if ready.is_empty() { self.pick(|endpoint| endpoint.local && endpoint.is_draining()) } else { ready }
    }

    /// Whether any endpoint, wherever it is, could take a connection.
    pub(super) fn any_usable(&self) -> bool {
        self.by_addr.values().any(|endpoint| endpoint.weight != 0 && (endpoint.ready || endpoint.is_draining()))
    }

    /// Endpoints whose flows go on, whatever policies, hints and weights say, without
    /// those of a sorted list.
    pub(super) fn serving_besides(&self, chosen: &[SocketAddr]) -> Vec<SocketAddr> {
        let serving = self.by_addr.iter().filter(|(_, endpoint)| endpoint.ready || endpoint.serving);
        serving.map(|(addr, _)| *addr).filter(|addr| chosen.binary_search(addr).is_err()).collect()
    }

    fn pick(&self, wanted: impl Fn(&Candidate) -> bool) -> Vec<Taker> {
        let taker = |(addr, endpoint): (&SocketAddr, &Candidate)| Taker {
            addr: *addr,
            weight: endpoint.weight,
            age: endpoint.age.0,
        };
        self.by_addr.iter().filter(|(_, endpoint)| wanted(endpoint)).map(taker).collect()
    }

    /// Hints count only if every ready endpoint has them and one points here;
    /// half-told hints would send a zone's clients nowhere.
    fn hints_in_use(&self, here: Here<'_>) -> Hinted {
        let mut ready = self.by_addr.values().filter(|endpoint| endpoint.ready).peekable();
        if ready.peek().is_none() {
            return Hinted::Not;
        }
        let (mut nodes, mut node_here, mut zones, mut zone_here) = (true, false, true, false);
        for endpoint in ready {
            nodes &= !endpoint.for_nodes.is_empty();
            node_here |= names(&endpoint.for_nodes, Some(here.node_name));
            zones &= !endpoint.for_zones.is_empty();
            zone_here |= names(&endpoint.for_zones, here.zone);
        }
        match (nodes && node_here, zones && zone_here) {
            (true, _) => Hinted::ByNode,
            (false, true) => Hinted::ByZone,
            (false, false) => Hinted::Not,
        }
    }
}

impl Candidate {
    fn of(endpoint: &Endpoint, here: Here<'_>) -> Candidate {
        let conditions = endpoint.conditions;
        let hints = endpoint.hints.as_deref();
        Candidate {
            lasting: !conditions.is_terminating(),
            ready: conditions.is_ready(),
            serving: conditions.is_serving(),
            local: endpoint.node_name.as_deref() == Some(here.node_name),
            for_zones: hints.map(|hints| sorted(&hints.for_zones)).unwrap_or_default(),
            for_nodes: hints.map(|hints| sorted(&hints.for_nodes)).unwrap_or_default(),
            weight: 1,
            age: Reverse(0),
        }
    }

    fn is_draining(&self) -> bool {
        self.serving && !self.lasting
    }
}

/// Which hints decide.
#[derive(Clone, Copy, Debug)]
enum Hinted {
    Not,
    ByNode,
    ByZone,
}

impl Hinted {
    fn allows(self, endpoint: &Candidate, here: Here<'_>) -> bool {
        match self {
            Hinted::Not => true,
            Hinted::ByNode => names(&endpoint.for_nodes, Some(here.node_name)),
            Hinted::ByZone => names(&endpoint.for_zones, here.zone),
        }
    }
}

fn names(hints: &[String], own: Option<&str>) -> bool {
    own.is_some_and(|own| hints.iter().any(|hint| hint == own))
}

fn sorted(hints: &[Named]) -> Vec<String> {
    let mut names: Vec<String> = hints.iter().map(|hint| hint.name.clone()).collect();
    names.sort_unstable();
    names
}

fn is_of_type(family: IpFamily, address_type: AddressType) -> bool {
    matches!((family, address_type), (IpFamily::V4, AddressType::IPv4) | (IpFamily::V6, AddressType::IPv6))
}
