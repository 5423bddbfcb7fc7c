//! What the zone holds, as an immutable value. In: one [`Change`] at a time. Out:
//! lookups by namespace and name, and by address. A clone is a handful of
//! pointers and a change costs O(log n): persistent maps share what stayed the
//! same, so the server can be handed the new zone as soon as it exists.
//!
//! Always true: the reverse index names exactly the Services whose addresses
//! have a PTR record: cluster IPs, and endpoints of headless Services.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use ipnet::IpNet;

use crate::desired::ServiceRecords;
use crate::model::ObjectKey;

/// Everything the zone answers from, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    synced: bool,
    serial: u32,
    namespaces: OrdMap<Arc<str>, Namespace>,
    /// One pointer for each name of an address, because there may be a hundred
    /// thousand endpoints; the keys of one Service are shared.
    reverse: OrdSet<(IpAddr, Arc<ObjectKey>)>,
    /// Reverse names of these are ours even when nobody has the address.
    service_ranges: Arc<[IpNet]>,
    /// Pods by their addresses. Filled only where something asks for it
    /// ([`Change::Pod`]).
    pods: OrdSet<(IpAddr, Arc<ObjectKey>)>,
    /// The revision of the store it holds.
    revision: u64,
}

#[derive(Clone, Debug, Default)]
struct Namespace {
    /// The Namespace object exists; Services may outlive it for a moment.
    exists: bool,
    services: OrdMap<Arc<str>, Arc<ServiceRecords>>,
}

/// One change of what the zone holds.
#[derive(Clone, Debug)]
pub enum Change {
    /// A Service came, changed, or went (`None`).
    Service {
        /// The Service.
        key: ObjectKey,
        /// What it says now.
        records: Option<Arc<ServiceRecords>>,
    },
    /// A Namespace came or went.
    Namespace {
        /// Its name.
        name: Arc<str>,
        /// Whether it is there now.
        exists: bool,
    },
    /// A Pod's addresses changed. Only [`super::PodMode::Verified`] and search
    /// paths need to be told.
    Pod {
        /// The Pod.
        key: ObjectKey,
        /// `status.podIPs` before; empty when it is new.
        before: Vec<IpAddr>,
        /// And now; empty when it went.
        after: Vec<IpAddr>,
    },
    /// Which ranges cluster IPs come from: reverse names of theirs are never asked
    /// upstream.
    ServiceRanges(Arc<[IpNet]>),
    /// Everything there was at start has been told; until then questions about
    /// the zone are answered SERVFAIL.
    Synced,
}

impl Zone {
    /// Applies one change that happened at `unix_seconds`. Telling the zone what
    /// it already holds changes nothing, the serial included.
    pub fn apply(&mut self, change: Change, unix_seconds: u32) {
        let changed = match change {
            Change::Service { key, records } => self.set_service(&key, records),
            Change::Namespace { name, exists } => self.set_namespace(name, exists),
            Change::Pod { key, before, after } => self.set_pod(key, &before, after),
            Change::ServiceRanges(ranges) => std::mem::replace(&mut self.service_ranges, Arc::clone(&ranges)) != ranges,
            Change::Synced => !std::mem::replace(&mut self.synced, true),
        };
        if changed {
            self.serial = unix_seconds;
        }
    }

    /// Unix time of the last change: the SOA serial.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Whether [`Change::Synced`] has been applied.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether the name of a Namespace resolves: it exists or still has Services.
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get(name).is_some_and(|namespace| namespace.exists || !namespace.services.is_empty())
    }

    /// What a Service says; both names in lower case.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<ServiceRecords>> {
        self.namespaces.get(namespace)?.services.get(name)
    }

    /// The Services that name `addr`, in order.
    pub fn reverse(&self, addr: IpAddr) -> impl Iterator<Item = &ObjectKey> {
        holders(&self.reverse, addr)
    }

    /// The service range that holds all of `net`: its reverse names are ours.
    pub fn service_range(&self, net: IpNet) -> Option<IpNet> {
        self.service_ranges.iter().find(|range| range.contains(&net)).copied()
    }

    /// Whether a Pod of that namespace holds the address.
    pub fn has_pod(&self, namespace: &str, addr: IpAddr) -> bool {
        holders(&self.pods, addr).any(|key| *key.namespace == *namespace)
    }

    /// The namespace of the Pods that hold the address, if it is one: Pods on the
    /// box's own network may be of several.
    pub fn namespace_of_pod(&self, addr: IpAddr) -> Option<&str> {
        let mut namespaces = holders(&self.pods, addr).map(|key| &*key.namespace);
        let namespace = namespaces.next()?;
        namespaces.all(|other| other == namespace).then_some(namespace)
    }

    /// The revision of the store the zone has reached.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Notes that all changes up to this revision have been applied.
    pub fn reach(&mut self, revision: u64) {
        self.revision = revision;
    }

    fn set_service(&mut self, key: &ObjectKey, records: Option<Arc<ServiceRecords>>) -> bool {
        let before = self.service(&key.namespace, &key.name).cloned();
        if before == records {
            return false;
        }
        let named = |records: Option<&ServiceRecords>| records.map(named_addresses).unwrap_or_default();
        let (old, new) = (named(before.as_deref()), named(records.as_deref()));
        let shared = Arc::new(key.clone());
        for addr in old.difference(&new) {
            self.reverse.remove(&(*addr, Arc::clone(&shared)));
        }
        for addr in new.difference(&old) {
            self.reverse.insert((*addr, Arc::clone(&shared)));
        }
        let mut namespace = self.namespaces.get(&key.namespace).cloned().unwrap_or_default();
        match records {
            Some(records) => namespace.services.insert(key.name.clone(), records),
            None => namespace.services.remove(&*key.name),
        };
        self.keep_namespace(key.namespace.clone(), namespace);
        true
    }

    fn set_namespace(&mut self, name: Arc<str>, exists: bool) -> bool {
        let mut namespace = self.namespaces.get(&name).cloned().unwrap_or_default();
        let changed = namespace.exists != exists;
        namespace.exists = exists;
        self.keep_namespace(name, namespace);
        changed
    }

    fn set_pod(&mut self, key: ObjectKey, before: &[IpAddr], after: Vec<IpAddr>) -> bool {
        if before == after {
            return false;
        }
        let key = Arc::new(key);
        for addr in before {
            self.pods.remove(&(*addr, Arc::clone(&key)));
        }
        for addr in after {
            self.pods.insert((addr, Arc::clone(&key)));
        }
        true
    }

    /// A namespace of which nothing is left takes no room.
    fn keep_namespace(&mut self, name: Arc<str>, namespace: Namespace) {
        if namespace.exists || !namespace.services.is_empty() {
            self.namespaces.insert(name, namespace);
        } else {
            self.namespaces.remove(&name);
        }
    }
}

/// Who holds an address, in order.
fn holders(index: &OrdSet<(IpAddr, Arc<ObjectKey>)>, addr: IpAddr) -> impl Iterator<Item = &ObjectKey> {
    let first = (addr, Arc::new(ObjectKey::new("", "")));
    index.range(first..).take_while(move |(held, _)| *held == addr).map(|(_, key)| &**key)
}

/// The addresses of a Service that have a PTR record: its own, and those of its
/// endpoints, which have names behind a virtual address too.
fn named_addresses(records: &ServiceRecords) -> BTreeSet<IpAddr> {
    if records.external_name.is_some() {
        return BTreeSet::new();
    }
    let endpoints = records.endpoints.iter().map(|endpoint| endpoint.addr);
    records.cluster_ips.iter().copied().chain(endpoints).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::EndpointRecord;

    fn cluster(addr: &str) -> ServiceRecords {
        ServiceRecords { cluster_ips: vec![addr.parse().unwrap()], ..ServiceRecords::default() }
    }

    fn headless(addrs: &[&str]) -> ServiceRecords {
        let endpoint = |addr: &&str| EndpointRecord { addr: addr.parse().unwrap(), hostname: None, ports: [].into() };
        ServiceRecords { headless: true, endpoints: addrs.iter().map(endpoint).collect(), ..ServiceRecords::default() }
    }

    fn told(zone: &mut Zone, name: &str, records: Option<ServiceRecords>, at: u32) {
        zone.apply(Change::Service { key: ObjectKey::new("dns", name), records: records.map(Arc::new) }, at);
    }

    #[test]
    fn the_reverse_index_follows_every_change() {
        let mut zone = Zone::default();
        told(&mut zone, "a", Some(headless(&["10.0.0.1", "10.0.0.2"])), 1);
        told(&mut zone, "b", Some(headless(&["10.0.0.2", "10.0.0.3"])), 2);
        let names = |zone: &Zone, addr: &str| -> Vec<String> {
            zone.reverse(addr.parse().unwrap()).map(|key| key.name.to_string()).collect()
        };
        assert_eq!(names(&zone, "10.0.0.2"), ["a", "b"]);
        told(&mut zone, "a", Some(headless(&["10.0.0.1", "10.0.0.9"])), 3);
        assert_eq!(names(&zone, "10.0.0.2"), ["b"]);
        assert_eq!(names(&zone, "10.0.0.9"), ["a"]);
        told(&mut zone, "a", None, 4);
        told(&mut zone, "b", Some(cluster("10.9.0.1")), 4);
        assert!(names(&zone, "10.0.0.3").is_empty());
        assert_eq!(names(&zone, "10.9.0.1"), ["b"]);
        told(&mut zone, "b", None, 5);
        assert!(zone.reverse.is_empty() && zone.namespaces.is_empty());
    }

    #[test]
    fn an_older_clone_does_not_see_a_newer_change() {
        let mut zone = Zone::default();
        told(&mut zone, "a", Some(cluster("10.0.0.1")), 1);
        let older = zone.clone();
        told(&mut zone, "a", None, 2);
        assert!(older.service("dns", "a").is_some());
        assert!(zone.service("dns", "a").is_none());
    }

    #[test]
    fn the_serial_is_the_time_of_the_last_real_change() {
        let mut zone = Zone::default();
        told(&mut zone, "a", Some(cluster("10.0.0.1")), 100);
        told(&mut zone, "a", Some(cluster("10.0.0.1")), 200);
        told(&mut zone, "nope", None, 300);
        assert_eq!(zone.serial(), 100);
        zone.apply(Change::Namespace { name: "dns".into(), exists: true }, 400);
        zone.apply(Change::Namespace { name: "dns".into(), exists: true }, 500);
        assert_eq!(zone.serial(), 400);
    }

    #[test]
    fn reverse_names_are_ours_while_their_range_is() {
        let mut zone = Zone::default();
        let (ours, theirs): (IpNet, IpNet) = ("10.50.0.9/32".parse().unwrap(), "10.51.0.9/32".parse().unwrap());
        zone.apply(Change::ServiceRanges(["10.50.0.0/24".parse().unwrap()].into()), 100);
        zone.apply(Change::ServiceRanges(["10.50.0.0/24".parse().unwrap()].into()), 200);
        assert!(zone.service_range(ours).is_some() && zone.service_range(theirs).is_none());
        assert_eq!(zone.serial(), 100);
        zone.apply(Change::ServiceRanges(Arc::default()), 300);
        assert!(zone.service_range(ours).is_none());
    }

    #[test]
    fn a_namespace_resolves_while_it_exists_or_has_services() {
        let mut zone = Zone::default();
        zone.apply(Change::Namespace { name: "dns".into(), exists: true }, 1);
        told(&mut zone, "a", Some(cluster("10.0.0.1")), 1);
        zone.apply(Change::Namespace { name: "dns".into(), exists: false }, 2);
        assert!(zone.has_namespace("dns"));
        told(&mut zone, "a", None, 3);
        assert!(!zone.has_namespace("dns"));
    }

    #[test]
    fn pods_are_known_by_namespace_and_address() {
        let mut zone = Zone::default();
        let (addr, moved): (IpAddr, IpAddr) = ("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap());
        let mut tell = |namespace: &str, before: &[IpAddr], after: &[IpAddr]| {
            let key = ObjectKey::new(namespace, "pod-0");
            zone.apply(Change::Pod { key, before: before.to_vec(), after: after.to_vec() }, 1);
            zone.clone()
        };
        let zone = tell("dns", &[], &[addr]);
        assert!(zone.has_pod("dns", addr) && !zone.has_pod("other", addr));
        assert_eq!(zone.namespace_of_pod(addr), Some("dns"));
        let zone = tell("other", &[], &[addr]);
        assert_eq!(zone.namespace_of_pod(addr), None, "on the box's own network");
        let zone = tell("dns", &[addr], &[moved]);
        assert!(!zone.has_pod("dns", addr) && zone.has_pod("other", addr) && zone.has_pod("dns", moved));
        tell("dns", &[moved], &[]);
        assert!(tell("other", &[addr], &[]).pods.is_empty());
    }
}
