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
    /// What the zone says of it.
    pub records: Arc<ServiceRecords>,
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
