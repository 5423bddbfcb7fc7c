//! What Services are used for, as the kernel counts it.
//!
//! Connections are counted by the elements that decide them: the maps `services`
//! and `nodeports` count new connections of a frontend, `endpoints` those that the
//! balance gave to an endpoint. Only a connection's first packet meets them, so
//! nothing is paid for the others. Packets and bytes of every packet are counted in
//! the set `traffic`, only where `--dataplane-counters traffic` asks for it.
//!
//! A count begins with its element: it starts again where a Service changes. Endpoints
//! of Services that go by open connections (`lc`, `sed`, `nq`) have no element of their
//! own that stays: connections are counted for those Services only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::netlink::Link;
use super::table::{Data, SetName, Slot, address, frontend_at, of_frontend};
use super::{DataplaneError, kernel};
use crate::desired::{Contribution, FrontendAddr, Verdict};
use crate::model::{IpFamily, ObjectKey, Protocol};

/// The counts of a Service, or of one of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The Service.
    pub service: ObjectKey,
    /// The endpoint; `None` is the Service itself.
    pub endpoint: Option<SocketAddr>,
    /// New connections since the element was made. Those that affinity leads to
    /// their endpoint are counted for the Service alone.
    pub connections: u64,
    /// Packets of both directions; 0 unless traffic is counted.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads the counts of everything these contributions serve.
///
/// # Errors
/// The kernel cannot be read.
pub fn counts(contributions: &[Arc<Contribution>]) -> Result<Vec<Count>, DataplaneError> {
    let mut nft = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)?;
    let mut raw = Raw::new();
    let counted =
        [SetName::Services, SetName::NodePorts, SetName::Endpoints, SetName::NodePortEndpoints, SetName::Traffic];
    for family in IpFamily::BOTH {
        for set in counted {
            let found = match kernel::read_elements(&mut nft, family, set) {
                // Not there yet, or not any more.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => continue,
                found => found.map_err(DataplaneError::Socket)?,
            };
            raw.extend(
                found.into_iter().filter(|found| found.counted != (0, 0)).map(|found| (found.slot, found.counted)),
            );
        }
    }
    Ok(tally(contributions, &raw))
}

/// Packets and bytes by element.
type Raw = BTreeMap<Slot, (u64, u64)>;

type Place = (FrontendAddr, Protocol, u16);

/// Sums by Service and endpoint. Pure.
fn tally(contributions: &[Arc<Contribution>], raw: &Raw) -> Vec<Count> {
    let mut rows: BTreeMap<(ObjectKey, Option<SocketAddr>), Count> = BTreeMap::new();
    let mut row = |service: &ObjectKey, endpoint: Option<SocketAddr>, add: (u64, u64, u64)| {
        let fresh = || Count { service: service.clone(), endpoint, connections: 0, packets: 0, bytes: 0 };
        let count = rows.entry((service.clone(), endpoint)).or_insert_with(fresh);
        count.connections += add.0;
        count.packets += add.1;
        count.bytes += add.2;
    };
    let mut holders: BTreeMap<Place, &ObjectKey> = BTreeMap::new();
    for contribution in contributions {
        for frontend in &contribution.frontends {
            // Of several that want one address the first has it.
            if holders.contains_key(&(frontend.addr, frontend.protocol, frontend.port)) {
                continue;
            }
            holders.insert((frontend.addr, frontend.protocol, frontend.port), &contribution.key);
            row(&contribution.key, None, (0, 0, 0));
            if !matches!(frontend.verdict, Verdict::Balance(_)) {
                continue;
            }
            for (slot, data) in of_frontend(frontend).0 {
                let connections = raw.get(&slot).map_or(0, |(packets, _)| *packets);
                match (slot.set, &data) {
                    (SetName::Services | SetName::NodePorts, _) => row(&contribution.key, None, (connections, 0, 0)),
                    (SetName::Endpoints | SetName::NodePortEndpoints, Data::Bytes(bytes)) => {
                        row(&contribution.key, endpoint(bytes), (connections, 0, 0));
                    }
                    // Their slots are made anew with every other connection.
                    (SetName::LiveEndpoints | SetName::NodePortLiveEndpoints, Data::Bytes(bytes)) => {
                        row(&contribution.key, endpoint(bytes), (0, 0, 0));
                    }
                    _ => {}
                }
            }
        }
    }
    for (slot, (packets, bytes)) in raw.iter().filter(|(slot, _)| slot.set == SetName::Traffic) {
        let Some((to, at)) = traffic(slot) else { continue };
        let node_port = (FrontendAddr::NodePort(slot.family), to.1, to.2);
        // What others translate is none of ours.
        if let Some(service) = holders.get(&to).or_else(|| holders.get(&node_port)) {
            row(service, None, (0, *packets, *bytes));
            row(service, Some(at), (0, *packets, *bytes));
        }
    }
    rows.into_values().collect()
}

/// `ip . port`, the port filled up to a whole word.
fn endpoint(bytes: &[u8]) -> Option<SocketAddr> {
    let (addr, port) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    Some(SocketAddr::new(address(addr)?, u16::from_be_bytes(port.get(..2)?.try_into().ok()?)))
}

/// Where the client connected to, and the endpoint.
fn traffic(slot: &Slot) -> Option<(Place, SocketAddr)> {
    let addr = if slot.family == IpFamily::V4 { 4 } else { 16 };
    let (to, at) = slot.key.start.split_at_checked(addr + 8)?;
    Some((frontend_at(&Slot::new(slot.family, SetName::Services, to.to_vec()))?, endpoint(at)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::super::table::{endpoint_data, octets};
    use super::*;
    use crate::desired::{Balance, Frontend, ServiceRecords};

    const ENDPOINTS: [&str; 2] = ["10.9.0.11:8080", "10.9.0.12:8080"];

    fn contribution(name: &str, addrs: &[FrontendAddr]) -> Arc<Contribution> {
        let frontend = |addr: &FrontendAddr| Frontend {
            addr: *addr,
            protocol: Protocol::Tcp,
            port: 80,
            verdict: Verdict::Balance(Balance {
                endpoints: ENDPOINTS.map(|text| text.parse().unwrap()).to_vec(),
                ..Balance::default()
            }),
            source_ranges: Vec::new(),
            inside: None,
            kept: Vec::new(),
        };
        let (key, records) = (ObjectKey::new("default", name), Arc::new(ServiceRecords::default()));
        let frontends = addrs.iter().map(frontend).collect();
        Arc::new(Contribution { key, cluster_ips: Vec::new(), frontends, health: None, relayed: false, records })
    }

    #[test]
    fn counts_are_summed_over_the_frontends_of_a_service() {
        let vip = FrontendAddr::Virtual("10.43.0.7".parse().unwrap());
        let node_port = FrontendAddr::NodePort(IpFamily::V4);
        // The second wants an address that the first has.
        let both = [contribution("a", &[vip, node_port]), contribution("b", &[vip])];
        let mut raw = Raw::new();
        for (number, (slot, _)) in both[0].frontends.iter().flat_map(|frontend| of_frontend(frontend).0).enumerate() {
            raw.insert(slot, (number as u64 + 1, 1000));
        }
        let key = |addr: &str, port: u16, endpoint: &str| {
            let mut key = octets(addr.parse().unwrap());
            key.extend([6, 0, 0, 0]);
            key.extend(port.to_be_bytes());
            key.extend([0, 0]);
            key.extend(endpoint_data(endpoint.parse().unwrap()));
            Slot::new(IpFamily::V4, SetName::Traffic, key)
        };
        raw.insert(key("10.43.0.7", 80, ENDPOINTS[0]), (10, 5000));
        raw.insert(key("192.168.5.1", 80, ENDPOINTS[0]), (1, 500));
        raw.insert(key("192.168.5.1", 81, ENDPOINTS[0]), (7, 7000));
        let row = |endpoint: Option<&str>, connections, packets, bytes| {
            let (service, endpoint) = (ObjectKey::new("default", "a"), endpoint.map(|text| text.parse().unwrap()));
            Count { service, endpoint, connections, packets, bytes }
        };
        // Elements come as slot 0, slot 1, frontend; once for each frontend.
        let expected = [
            row(None, 3 + 6, 11, 5500),
            row(Some(ENDPOINTS[0]), 1 + 4, 11, 5500),
            row(Some(ENDPOINTS[1]), 2 + 5, 0, 0),
        ];
        assert_eq!(tally(&both, &raw), expected);
    }
}
