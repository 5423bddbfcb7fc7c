//! The incremental driver: from one snapshot to the next it computes only the
//! contributions of Services that could have changed.
//!
//! In: snapshots, never older than the one before. Out: [`Change`]s. What always
//! holds: after [`Tracker::update`] the contributions kept are those of the
//! snapshot given, whether they were reached step by step or at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;
use ipnet::IpNet;

use super::contribution::Contribution;
use super::ranges::service_ranges;
use super::service::{Facts, contribution_of};
use crate::model::endpoints::service_of;
use crate::model::{Kind, Object, ObjectKey, Revision};
use crate::store::{EventType, Expired, Snapshot};

/// One Service whose contribution is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The Service.
    pub key: ObjectKey,
    /// What it asked for; `None` when it is new.
    pub before: Option<Arc<Contribution>>,
    /// What it asks for; `None` when it is gone.
    pub after: Option<Arc<Contribution>>,
}

/// Keeps the contributions of one snapshot and moves them to the next.
#[derive(Debug)]
pub struct Tracker {
    facts: Facts,
    /// The revision of the snapshot the rest describes; `None` before the first.
    revision: Option<Revision>,
    zone: Option<String>,
    contributions: BTreeMap<ObjectKey, Arc<Contribution>>,
    namespaces: OrdSet<Arc<str>>,
    ranges: Arc<[IpNet]>,
}

impl Tracker {
    /// A tracker that has seen nothing.
    pub fn new(facts: Facts) -> Tracker {
        Tracker {
            facts,
            revision: None,
            zone: None,
            contributions: BTreeMap::new(),
            namespaces: OrdSet::new(),
            ranges: Arc::default(),
        }
    }

    /// Moves to `snapshot` and answers what differs, in key order, each Service at
    /// most once. The first call, a history that no longer reaches back, other ranges
    /// and a move of this box to another zone compute every Service; otherwise the cost
    /// follows the events.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Change> {
        if self.revision == Some(snapshot.revision()) {
            return Vec::new();
        }
        let zone = self.facts.zone(snapshot);
        let moved = zone != self.zone;
        self.zone = zone;
        let ranges = Arc::clone(&self.ranges);
        let dirty = match self.revision.map(|since| self.follow(snapshot, since)) {
            Some(Ok(dirty)) if !moved && *ranges == *self.ranges => dirty,
            Some(Ok(_)) => self.every_service(snapshot),
            Some(Err(Expired { .. })) | None => {
                let namespaces = snapshot.list(Kind::Namespace, None);
                self.namespaces = namespaces.map(|object| Arc::clone(&object.key.name)).collect();
                self.follow_ranges(snapshot);
                self.every_service(snapshot)
            }
        };
        self.revision = Some(snapshot.revision());
        dirty.into_iter().filter_map(|key| self.recompute(snapshot, key)).collect()
    }

    /// What every Service asks for as of the last update.
    pub fn contributions(&self) -> impl Iterator<Item = &Arc<Contribution>> {
        self.contributions.values()
    }

    /// The namespaces as of the last update: a name below a missing one is
    /// NXDOMAIN, below an existing one NODATA (spec/dns.md section 3). A clone is a
    /// pointer copy.
    pub fn namespaces(&self) -> &OrdSet<Arc<str>> {
        &self.namespaces
    }

    /// The ranges whose addresses are Services' alone, as of the last update. Those
    /// that did not change are the same `Arc`.
    pub fn ranges(&self) -> &Arc<[IpNet]> {
        &self.ranges
    }

    /// The revision of the last update.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Follows the events after `since` and answers the Services
    /// they touch.
    fn follow(&mut self, snapshot: &Snapshot, since: Revision) -> Result<BTreeSet<ObjectKey>, Expired> {
        let services = snapshot.events_since(Kind::Service, since)?;
        let slices = snapshot.events_since(Kind::EndpointSlice, since)?;
        let namespaces = snapshot.events_since(Kind::Namespace, since)?;
        if !snapshot.events_since(Kind::ServiceCidr, since)?.is_empty() {
            self.follow_ranges(snapshot);
        }
        let mut dirty: BTreeSet<ObjectKey> = services.iter().map(|event| event.object.key.clone()).collect();
        for event in &slices {
            let sides = [event.previous.as_deref(), Some(&*event.object)];
            dirty.extend(sides.into_iter().flatten().filter_map(service_of));
        }
        for event in &namespaces {
            let name = Arc::clone(&event.object.key.name);
            match event.r#type {
                EventType::Deleted => drop(self.namespaces.remove(&name)),
                EventType::Added | EventType::Modified => drop(self.namespaces.insert(name)),
            }
        }
        Ok(dirty)
    }

    fn follow_ranges(&mut self, snapshot: &Snapshot) {
        let ranges = service_ranges(snapshot);
        if *self.ranges != *ranges {
            self.ranges = ranges.into();
        }
    }

    /// Every Service there is or was.
    fn every_service(&self, snapshot: &Snapshot) -> BTreeSet<ObjectKey> {
        let now = snapshot.list(Kind::Service, None).map(|object| object.key.clone());
        now.chain(self.contributions.keys().cloned()).collect()
    }

    fn recompute(&mut self, snapshot: &Snapshot, key: ObjectKey) -> Option<Change> {
        let after = self.compute(snapshot, &key);
        let before = self.contributions.get(&key);
        if before.map(|known| &**known) == after.as_ref() {
            return None;
        }
        let after = after.map(Arc::new);
        let before = match &after {
            Some(contribution) => self.contributions.insert(key.clone(), Arc::clone(contribution)),
            None => self.contributions.remove(&key),
        };
        Some(Change { key, before, after })
    }

    fn compute(&self, snapshot: &Snapshot, key: &ObjectKey) -> Option<Contribution> {
        let object = snapshot.get(Kind::Service, key)?;
        let slices: Vec<&Arc<Object>> = snapshot.slices_of(key).collect();
        contribution_of(object, &slices, &self.facts, self.zone.as_deref(), &self.ranges)
    }
}
