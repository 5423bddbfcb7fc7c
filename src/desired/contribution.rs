//! The shape of what one Service asks of the device: frontends for the dataplane and records
//! for the DNS zone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::balance::Schedule;
use crate::model::{IpFamily, ObjectKey, Protocol};

/// What one Service asks of the device. Everything is sorted and unique, so
/// that two equal contributions mean no change in the kernel or the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The Service.
    pub key: ObjectKey,
    /// Its cluster IPs that the dataplane guards: a port of them that is no
    /// frontend is refused.
    pub cluster_ips: Vec<IpAddr>,
    /// Where clients may connect, sorted.
    pub frontends: Vec<Frontend>,
    /// The Service asks for the userspace relay, whatever carries the others.
    pub relayed: bool,
    /// What load balancers outside are told, if they ask at a port.
    pub health: Option<HealthCheck>,
    /// What the zone says of it.
    pub records: Arc<ServiceRecords>,
}

/// The health-check node port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Where it is asked.
    pub port: u16,
    /// Distinct addresses of ready endpoints on this box.
    pub local_endpoints: u32,
}

/// One address, protocol and port that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontend {
    /// The address.
    pub addr: FrontendAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// What happens to a new connection.
    pub verdict: Verdict,
    /// `loadBalancerSourceRanges` of the frontend's family, sorted; only a
    /// load-balancer address has them. Empty: every client may connect. Otherwise
    /// a new connection from a source outside all of them is dropped.
    pub source_ranges: Vec<IpNet>,
    /// Where clients on this box and Pods go, if elsewhere than others: policy Local
    /// keeps connections from outside on the box, and does not bind those that begin
    /// in the cluster.
    pub inside: Option<Balance>,
    /// Serving endpoints besides those of the verdict (terminating ones, those that
    /// a policy or hint leaves out), sorted: they get no new connections, and the
    /// flows they have go on.
    pub kept: Vec<SocketAddr>,
}

impl Frontend {
    /// Whether an endpoint may answer a flow to here.
    pub fn serves(&self, endpoint: SocketAddr) -> bool {
        let inside = self.inside.as_ref().map(|inside| inside.endpoints.as_slice());
        let lists = [Some(self.verdict.endpoints()), inside, Some(self.kept.as_slice())];
        lists.into_iter().flatten().any(|list| list.binary_search(&endpoint).is_ok())
    }

    /// The endpoints of new connections, wherever they begin; some twice.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        let inside = self.inside.iter().flat_map(|inside| &inside.endpoints);
        self.verdict.endpoints().iter().chain(inside).copied()
    }

    /// Seconds of affinity, if the Service asks for it and there is an endpoint.
    pub fn affinity_seconds(&self) -> Option<u32> {
        match (&self.verdict, &self.inside) {
            (Verdict::Balance(balance), _) | (_, Some(balance)) => balance.affinity_seconds,
            (Verdict::Refuse | Verdict::Drop, None) => None,
        }
    }
}

/// The address of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendAddr {
    /// A virtual address: cluster IP, load-balancer IP or external IP.
    Virtual(IpAddr),
    /// Every local address of the family that takes node ports.
    NodePort(IpFamily),
}

impl FrontendAddr {
    /// The family of packets that meet this frontend.
    pub fn family(self) -> IpFamily {
        match self {
            FrontendAddr::Virtual(addr) => IpFamily::of(addr),
            FrontendAddr::NodePort(family) => family,
        }
    }
}

/// What happens to a new connection to a frontend (spec/dataplane.md section 2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It goes to one of the endpoints.
    Balance(Balance),
    /// Nobody serves it: refused at once, TCP by reset.
    Refuse,
    /// Policy Local without a local endpoint: dropped.
    Drop,
}

impl Verdict {
    /// Where new connections go, sorted.
    pub fn endpoints(&self) -> &[SocketAddr] {
        match self {
            Verdict::Balance(balance) => &balance.endpoints,
            Verdict::Refuse | Verdict::Drop => &[],
        }
    }
}

/// The endpoints of a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance {
    /// Never empty, sorted, unique, all of the frontend's family. Those of weight 0
    /// are left out, and of [`Schedule::Leader`] all but the leader.
    pub endpoints: Vec<SocketAddr>,
    /// Who gets the next connection.
    pub schedule: Schedule,
    /// The weight of each endpoint, none of them 0; empty when all are 1.
    pub weights: Box<[u16]>,
    /// Seconds a client address stays with its endpoint after its last new
    /// connection, if the Service asks for affinity.
    pub affinity_seconds: Option<u32>,
    /// With whom it remembers clients, where a Service port has several frontends.
    pub affinity_owner: Option<AffinityOwner>,
}

/// The frontends of one Service port and family that remember a client together, by the
/// cluster IP, which no other Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AffinityOwner {
    /// The first cluster IP of the family.
    pub addr: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the cluster IP.
    pub port: u16,
    /// Policy Local chose the endpoints: those of other boxes, to which the same client may
    /// be bound by another frontend, are remembered apart.
    pub local: bool,
}

/// What the DNS zone says of one Service (spec/dns.md section 1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRecords {
    /// The virtual addresses; empty for headless and ExternalName.
    pub cluster_ips: Vec<IpAddr>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// The target of an ExternalName Service, as written.
    pub external_name: Option<String>,
    /// The Service's ports, in spec order.
    pub ports: Vec<PortRecord>,
    /// The ready endpoints, sorted; a headless Service answers with them, others
    /// by endpoint name only.
    pub endpoints: Vec<EndpointRecord>,
    /// What the LAN is told, if the Service asks for it and somebody serves it.
    pub advertised: Option<Arc<Advertised>>,
}

/// A Service under a name of its own on the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The name it asks for, without the domain.
    pub name: Box<str>,
    /// The addresses of the name.
    pub reach: Reach,
    /// Its ports that have a kind, sorted.
    pub instances: Vec<Instance>,
    /// What each of them says of itself, as the data of a TXT record.
    pub txt: Box<[u8]>,
}

/// Where clients of the LAN reach a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At the box's own addresses of these families, sorted.
    Box(Vec<IpFamily>),
    /// At these addresses, sorted.
    Addresses(Vec<IpAddr>),
}

/// One port, as clients of the LAN look for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The service name, `http` for instance.
    pub kind: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// Where clients connect to.
    pub port: u16,
    /// The Service's port, where an earlier one is of the same kind.
    pub among: Option<u16>,
}

/// A named or unnamed port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRecord {
    /// Empty when unnamed.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The Service port, or the endpoint's port in an [`EndpointRecord`].
    pub port: u16,
}

/// One ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointRecord {
    /// Its address.
    pub addr: IpAddr,
    /// Its host name, if the Pod has hostname and subdomain.
    pub hostname: Option<Box<str>>,
    /// Its ports, sorted; one list for all endpoints with the same.
    pub ports: Arc<[PortRecord]>,
}
