//! The loop behind the store: each newer snapshot becomes changes, the changes
//! become one transaction of the kernel and one patch of the zone.
//!
//! Holds always: a change the kernel refused is not forgotten: everything is
//! compared again, with growing pauses, until the kernel equals the store.

use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use imbl::ordset::DiffItem;
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;

use super::telemetry::Numbers;
use crate::clock;
use crate::dataplane::health_check::Checks;
use crate::dataplane::{Dataplane, DataplaneError, Refusals};
use crate::desired::{self, Tracker};
use crate::dns;
use crate::store::Snapshot;

/// First and longest pause before a refused change is tried again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What follows the store.
pub(super) struct Follower {
    pub(super) tracker: Tracker,
    /// Absent in proxy mode none.
    pub(super) dataplane: Option<Dataplane>,
    pub(super) zone: watch::Sender<dns::Zone>,
    pub(super) namespaces: OrdSet<Arc<str>>,
    /// The health-check ports of Services.
    pub(super) checks: watch::Sender<Checks>,
    /// The ranges that kernel and zone were told last.
    pub(super) ranges: Arc<[IpNet]>,
    pub(super) numbers: Numbers,
    /// Why the kernel does not equal the store, for `/readyz`.
    pub(super) lag: watch::Sender<Option<String>>,
    /// Since when the kernel works on a change, for the watchdog.
    pub(super) busy: watch::Sender<Option<Instant>>,
    /// Services with endpoints that are cluster IPs.
    pub(super) misplaced: watch::Sender<Refusals>,
}

impl Follower {
    /// Makes kernel and zone equal to the first snapshot.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn begin(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), DataplaneError> {
        let changes = self.tracker.update(snapshot);
        if let Some(dataplane) = &self.dataplane {
            dataplane.follow_ranges(self.tracker.ranges().to_vec()).await?;
            dataplane.converge(self.tracker.contributions().cloned().collect()).await?;
        }
        self.tell_checks(&changes);
        self.tell_misplaced(snapshot, &changes);
        self.tell_zone(&changes);
        self.zone.send_modify(|zone| zone.apply(dns::Change::Synced, seconds()));
        self.equal(snapshot);
        Ok(())
    }

    /// Follows until the sender of snapshots is gone.
    pub(super) async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut retry: Option<(Instant, Duration)> = None;
        loop {
            let wake = retry.map(|(at, _)| at);
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            // Read once: a retry that falls due while we work is not taken for one that was made.
            let due = wake.is_none_or(|at| at <= Instant::now());
            let snapshot = snapshots.borrow_and_update().clone();
            let changes = self.tracker.update(&snapshot);
            self.busy.send_replace(Some(Instant::now()));
            // Before the Services: theirs are reached as soon as they are there.
            let ranges = self.move_ranges().await.err();
            let refused = match (&self.dataplane, retry) {
                (Some(_), None) if ranges.is_some() => ranges,
                (Some(dataplane), Some(_)) if due => {
                    dataplane.converge(self.tracker.contributions().cloned().collect()).await.err()
                }
                // A retry is due later and will compare everything.
                (Some(_), Some(_)) | (None, _) => None,
                (Some(_), None) if changes.iter().all(only_names) => None,
                (Some(dataplane), None) => {
                    self.numbers.kernel_changes.inc();
                    dataplane.apply(changes.clone()).await.err()
                }
            };
            self.busy.send_replace(None);
            self.tell_checks(&changes);
            self.tell_misplaced(&snapshot, &changes);
            self.tell_zone(&changes);
            match refused {
                Some(error) => {
                    let pause = retry.map_or(RETRY_PAUSE_MIN, |(_, pause)| (pause * 2).min(RETRY_PAUSE_MAX));
                    tracing::error!(%error, "the kernel refused a change; trying again");
                    self.numbers.kernel_failures.inc();
                    self.lag.send_replace(Some(error.to_string()));
                    retry = Some((Instant::now() + pause, pause));
                }
                None if due => {
                    retry = None;
                    self.equal(&snapshot);
                }
                None => {}
            }
        }
    }

    /// Tells the kernel which ranges there are now. What it refuses is made good by
    /// the next converge.
    async fn move_ranges(&self) -> Result<(), DataplaneError> {
        let ranges = self.tracker.ranges();
        match &self.dataplane {
            Some(dataplane) if *ranges != self.ranges => dataplane.follow_ranges(ranges.to_vec()).await.map(drop),
            Some(_) | None => Ok(()),
        }
    }

    fn equal(&self, snapshot: &Snapshot) {
        self.numbers.kernel_revision.set(i64::try_from(snapshot.revision().0).unwrap_or(i64::MAX));
        self.lag.send_if_modified(|lag| lag.take().is_some());
    }

    fn tell_checks(&self, changes: &[desired::Change]) {
        let health = |side: &Option<Arc<desired::Contribution>>| side.as_ref().and_then(|side| side.health);
        let moved: Vec<_> = changes.iter().filter(|change| health(&change.before) != health(&change.after)).collect();
        if moved.is_empty() {
            return;
        }
        self.checks.send_modify(|checks| {
            for change in moved {
                match health(&change.after) {
                    Some(check) => checks.insert(change.key.clone(), check),
                    None => checks.remove(&change.key),
                };
            }
        });
    }

    fn tell_misplaced(&self, snapshot: &Snapshot, changes: &[desired::Change]) {
        self.misplaced.send_if_modified(|told| {
            let mut moved = false;
            for change in changes {
                let found = desired::misplaced(snapshot, &change.key, self.tracker.ranges());
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                let before = match found.is_empty() {
                    true => told.remove(&change.key),
                    false => told.insert(change.key.clone(), found.join(", ")),
                };
                moved |= before.as_ref() != told.get(&change.key);
            }
            moved
        });
    }

    /// One patch of the zone for a whole snapshot: readers see all of it or none.
    fn tell_zone(&mut self, changes: &[desired::Change]) {
        let namespaces = self.tracker.namespaces().clone();
        let mut moved: Vec<dns::Change> = self
            .namespaces
            .diff(&namespaces)
            .map(|item| match item {
                DiffItem::Add(name) => dns::Change::Namespace { name: Arc::clone(name), exists: true },
                DiffItem::Remove(name) => dns::Change::Namespace { name: Arc::clone(name), exists: false },
            })
            .collect();
        self.namespaces = namespaces;
        let ranges = self.tracker.ranges();
        if *ranges != self.ranges {
            self.ranges = Arc::clone(ranges);
            moved.push(dns::Change::ServiceRanges(Arc::clone(ranges)));
        }
        if changes.is_empty() && moved.is_empty() {
            return;
        }
        let at = seconds();
        self.zone.send_modify(|zone| {
            for change in moved {
                zone.apply(change, at);
            }
            for change in changes {
                let records = change.after.as_ref().map(|after| after.records.clone());
                zone.apply(dns::Change::Service { key: change.key.clone(), records }, at);
            }
        });
    }
}

/// Whether a change concerns DNS alone.
fn only_names(change: &desired::Change) -> bool {
    let kernel = |side: &Option<Arc<desired::Contribution>>| {
        side.as_ref().map(|side| (side.cluster_ips.clone(), side.frontends.clone())).unwrap_or_default()
    };
    kernel(&change.before) == kernel(&change.after)
}

/// The zone's serial: seconds since 1970, which fit 32 bits until 2106.
fn seconds() -> u32 {
    u32::try_from(clock::now().unix_timestamp()).unwrap_or_default()
}
