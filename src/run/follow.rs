//! The loop behind the store: each newer snapshot becomes changes, the changes
//! become sockets of the relay, one transaction of the kernel and one patch of the
//! zone.
//!
//! Holds always: a change the kernel refused, or a socket that could not be had, is
//! not forgotten: everything is compared again, with growing pauses, until the
//! kernel equals the store.

use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use imbl::ordset::DiffItem;
use tokio::sync::watch;
use tokio::time::Instant;

use super::telemetry::Numbers;
use crate::clock;
use crate::controller;
use crate::dataplane::{Dataplane, DataplaneError};
use crate::desired::{self, Tracker};
use crate::dns;
use crate::relay::{Notice, Relay};
use crate::store::{Snapshot, Store};

/// First and longest pause before a refused change is tried again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What follows the store.
pub(super) struct Follower {
    pub(super) tracker: Tracker,
    /// Absent in the proxy modes none and relay.
    pub(super) dataplane: Option<Dataplane>,
    /// Absent in proxy mode none.
    pub(super) relay: Option<Relay>,
    /// Where Services are told what the relay cannot do for them.
    pub(super) store: Store,
    pub(super) facts: controller::Facts,
    pub(super) zone: watch::Sender<dns::Zone>,
    pub(super) namespaces: OrdSet<Arc<str>>,
    pub(super) numbers: Numbers,
    /// Why the kernel does not equal the store, for `/readyz`.
    pub(super) lag: watch::Sender<Option<String>>,
    /// Since when the kernel works on a change, for the watchdog.
    pub(super) busy: watch::Sender<Option<Instant>>,
}

impl Follower {
    /// Makes kernel and zone equal to the first snapshot.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn begin(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), DataplaneError> {
        let changes = self.tracker.update(snapshot);
        self.relay_changes(changes.clone()).await;
        self.converge().await?;
        self.tell_zone(&changes);
        self.zone.send_modify(|zone| zone.apply(dns::Change::Synced, seconds()));
        self.report().await;
        match self.relay.as_ref().and_then(Relay::fault) {
            // The loop begins with a retry.
            Some(fault) => drop(self.lag.send_replace(Some(fault))),
            None => self.equal(snapshot),
        }
        Ok(())
    }

    /// Follows until the sender of snapshots is gone.
    pub(super) async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let lags = self.lag.borrow().is_some();
        let mut retry = lags.then(|| (Instant::now() + RETRY_PAUSE_MIN, RETRY_PAUSE_MIN));
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
            let told = self.relay_changes(changes.clone()).await;
            // A retry that is not due yet will compare everything.
            let refused = match retry {
                Some(_) if due => self.again().await,
                Some(_) => None,
                None => self.tell_kernel(told).await,
            };
            self.busy.send_replace(None);
            self.tell_zone(&changes);
            self.report().await;
            match refused {
                Some(why) => {
                    let pause = retry.map_or(RETRY_PAUSE_MIN, |(_, pause)| (pause * 2).min(RETRY_PAUSE_MAX));
                    self.lag.send_replace(Some(why));
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

    /// Makes the relay's sockets follow, and answers what the kernel is to be told.
    async fn relay_changes(&mut self, changes: Vec<desired::Change>) -> Vec<desired::Change> {
        match &mut self.relay {
            Some(relay) => relay.apply(&changes).await,
            None => changes,
        }
    }

    /// Tells the kernel, and answers why it or a socket is not as it should be.
    async fn tell_kernel(&mut self, told: Vec<desired::Change>) -> Option<String> {
        let refused = match &self.dataplane {
            Some(dataplane) if !told.iter().all(only_names) => {
                self.numbers.kernel_changes.inc();
                dataplane.apply(told).await.err()
            }
            Some(_) | None => None,
        };
        self.judge(refused)
    }

    /// Compares everything once more.
    async fn again(&mut self) -> Option<String> {
        if let Some(relay) = &mut self.relay {
            relay.retry().await;
        }
        let refused = self.converge().await.err();
        self.judge(refused)
    }

    /// Makes the whole kernel equal to the store.
    async fn converge(&mut self) -> Result<(), DataplaneError> {
        let Some(dataplane) = &self.dataplane else { return Ok(()) };
        let view = |contribution| match &self.relay {
            Some(relay) => relay.view(contribution),
            None => Arc::clone(contribution),
        };
        dataplane.converge(self.tracker.contributions().map(view).collect()).await.map(drop)
    }

    fn judge(&mut self, refused: Option<DataplaneError>) -> Option<String> {
        if let Some(error) = refused {
            tracing::error!(%error, "the kernel refused a change; trying again");
            self.numbers.kernel_failures.inc();
            return Some(error.to_string());
        }
        let relay = self.relay.as_mut()?;
        relay.retire();
        relay.fault()
    }

    async fn report(&mut self) {
        let notices = self.relay.as_mut().map(Relay::take_notices).unwrap_or_default();
        if !notices.is_empty() {
            let unserved = |Notice { service, reason, note }| controller::Unserved { service, reason, note };
            controller::report_unserved(&self.store, &self.facts, notices.into_iter().map(unserved).collect()).await;
        }
    }

    fn equal(&self, snapshot: &Snapshot) {
        self.numbers.kernel_revision.set(i64::try_from(snapshot.revision().0).unwrap_or(i64::MAX));
        self.lag.send_if_modified(|lag| lag.take().is_some());
    }

    /// One patch of the zone for a whole snapshot: readers see all of it or none.
    fn tell_zone(&mut self, changes: &[desired::Change]) {
        let namespaces = self.tracker.namespaces().clone();
        let moved: Vec<dns::Change> = self
            .namespaces
            .diff(&namespaces)
            .map(|item| match item {
                DiffItem::Add(name) => dns::Change::Namespace { name: Arc::clone(name), exists: true },
                DiffItem::Remove(name) => dns::Change::Namespace { name: Arc::clone(name), exists: false },
            })
            .collect();
        self.namespaces = namespaces;
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
