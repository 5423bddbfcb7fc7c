//! The loop behind the store: each newer snapshot becomes changes, the changes
//! become sockets of the relay, one transaction of the kernel and one patch of the
//! zone.
//!
//! Holds always: a change the kernel refused, or a socket that could not be had, is
//! not forgotten: everything is compared again, with growing pauses, until the
//! kernel equals the store.

use std::sync::Arc;
use std::time::Duration;

use imbl::ordset::DiffItem;
use imbl::{OrdMap, OrdSet};
use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::naming::Pods;
use super::telemetry::Numbers;
use crate::clock;
use crate::dataplane::health_check::Checks;
use crate::dataplane::{Dataplane, DataplaneError, Refusals};
use crate::desired::{self, Tracker};
use crate::dns;
use crate::mdns;
use crate::model::{ObjectKey, Protocol};
use crate::relay::{Notice, Relay};
use crate::store::Snapshot;

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
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) zone: watch::Sender<dns::Zone>,
    pub(super) namespaces: OrdSet<Arc<str>>,
    /// What the LAN is told.
    pub(super) advertised: watch::Sender<mdns::Wanted>,
    /// The health-check ports of Services.
    pub(super) checks: watch::Sender<Checks>,
    /// The ranges that kernel and zone were told last.
    pub(super) ranges: Arc<[IpNet]>,
    /// Present where DNS wants to know them.
    pub(super) pods: Option<Pods>,
    pub(super) numbers: Numbers,
    /// Why the kernel does not equal the store, for `/readyz`.
    pub(super) lag: watch::Sender<Option<String>>,
    /// Since when the kernel works on a change, for the watchdog.
    pub(super) busy: watch::Sender<Option<Instant>>,
    /// Services with endpoints that are cluster IPs.
    pub(super) misplaced: watch::Sender<Refusals>,
    /// Services with ports whose protocol cannot be carried.
    pub(super) unserved: watch::Sender<Refusals>,
    /// What their contributions depend on besides the store.
    pub(super) facts: desired::Facts,
}

impl Follower {
    /// Makes kernel and zone equal to the first snapshot.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn begin(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), DataplaneError> {
        let changes = self.tracker.update(snapshot);
        self.move_ranges().await?;
        self.relay_changes(changes.clone()).await;
        self.converge().await?;
        self.tell_checks(&changes);
        self.tell_left_out(snapshot, &changes);
        self.tell_zone(snapshot, &changes);
        self.zone.send_modify(|zone| zone.apply(dns::Change::Synced, seconds()));
        self.tell_lan(&changes);
        self.report();
        self.tell_lag(self.fault());
        self.at_revision(snapshot);
        Ok(())
    }

    /// Follows until the sender of snapshots is gone.
    pub(super) async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        // Apart: a port that somebody holds must not keep the kernel from following.
        let (mut kernel, mut sockets) = (Retry::default(), Retry::default());
        let mut refusal = None;
        if self.fault().is_some() {
            sockets.later();
        }
        loop {
            let wake = [kernel.at(), sockets.at()].into_iter().flatten().min();
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            // Read once: a retry that falls due while we work is not taken for one that was made.
            let now = Instant::now();
            let (converge, reopen) = (kernel.is_due(now), sockets.is_due(now));
            let snapshot = snapshots.borrow_and_update().clone();
            let changes = self.tracker.update(&snapshot);
            self.busy.send_replace(Some(now));
            // Before the Services: theirs are reached as soon as they are there.
            let moved = self.move_ranges().await;
            let told = self.relay_changes(changes.clone()).await;
            let reopened = if reopen { self.reopen().await } else { Vec::new() };
            // A retry that is not due yet will compare everything.
            let tried = converge || kernel.at().is_none();
            if tried {
                let done = match moved {
                    _ if converge => self.converge().await,
                    Err(error) => Err(error),
                    Ok(()) => self.tell_kernel(told, reopened).await,
                };
                refusal = done.err().map(|error| self.refused(&error));
                kernel.settle(refusal.is_none());
            }
            self.busy.send_replace(None);
            self.tell_checks(&changes);
            self.tell_left_out(&snapshot, &changes);
            self.tell_zone(&snapshot, &changes);
            self.tell_lan(&changes);
            self.report();
            if tried && refusal.is_none() {
                if let Some(relay) = &mut self.relay {
                    relay.retire().await;
                }
                self.at_revision(&snapshot);
            }
            let fault = self.fault();
            if fault.is_none() || reopen || sockets.at().is_none() {
                sockets.settle(fault.is_none());
            }
            self.tell_lag(refusal.clone().or(fault));
        }
    }

    /// Makes the relay's sockets follow, and answers what the kernel is to be told.
    async fn relay_changes(&mut self, changes: Vec<desired::Change>) -> Vec<desired::Change> {
        match &mut self.relay {
            Some(relay) => relay.apply(&changes).await,
            None => changes,
        }
    }

    /// Tries for the sockets that could not be had.
    async fn reopen(&mut self) -> Vec<desired::Change> {
        match &mut self.relay {
            Some(relay) => relay.retry().await,
            None => Vec::new(),
        }
    }

    /// Why a socket is not as it should be.
    fn fault(&self) -> Option<String> {
        self.relay.as_ref().and_then(Relay::fault)
    }

    /// Tells the kernel the changes, and after them those of sockets had at last,
    /// which may be of the same Services.
    async fn tell_kernel(
        &self,
        told: Vec<desired::Change>,
        reopened: Vec<desired::Change>,
    ) -> Result<(), DataplaneError> {
        let Some(dataplane) = &self.dataplane else { return Ok(()) };
        for changes in [told, reopened] {
            if !changes.iter().all(only_names) {
                self.numbers.kernel_changes.inc();
                dataplane.apply(changes).await?;
            }
        }
        Ok(())
    }

    fn refused(&self, error: &DataplaneError) -> String {
        tracing::error!(%error, "the kernel refused a change; trying again");
        self.numbers.kernel_failures.inc();
        error.to_string()
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

    /// Hands on what is to be told, without waiting: nobody's report may hold the kernel back.
    fn report(&mut self) {
        for notice in self.relay.as_mut().map(Relay::take_notices).unwrap_or_default() {
            if self.notices.try_send(notice).is_err() {
                tracing::debug!("too much cannot be served to report each");
            }
        }
    }

    /// Tells relay and kernel which ranges there are now. What the kernel refuses is
    /// made good by the next converge.
    async fn move_ranges(&mut self) -> Result<(), DataplaneError> {
        let ranges = self.tracker.ranges();
        if *ranges == self.ranges {
            return Ok(());
        }
        if let Some(relay) = &mut self.relay {
            relay.follow_ranges(ranges).await;
        }
        match &self.dataplane {
            Some(dataplane) => dataplane.follow_ranges(ranges.to_vec()).await.map(drop),
            None => Ok(()),
        }
    }

    /// The kernel equals this snapshot.
    fn at_revision(&self, snapshot: &Snapshot) {
        self.numbers.kernel_revision.set(i64::try_from(snapshot.revision().0).unwrap_or(i64::MAX));
    }

    fn tell_lag(&self, why: Option<String>) {
        self.lag.send_if_modified(|lag| {
            let news = *lag != why;
            *lag = why;
            news
        });
    }

    fn tell_checks(&self, changes: &[desired::Change]) {
        tell(&self.checks, changes, |side| side.health);
    }

    fn tell_lan(&self, changes: &[desired::Change]) {
        tell(&self.advertised, changes, |side| side.records.advertised.clone());
    }

    /// Tells which endpoints and ports are left out.
    fn tell_left_out(&self, snapshot: &Snapshot, changes: &[desired::Change]) {
        note(&self.misplaced, changes, |key| {
            desired::misplaced(snapshot, key, self.tracker.ranges()).iter().map(ToString::to_string).collect()
        });
        note(&self.unserved, changes, |key| {
            let ports = desired::unserved(snapshot, key, &self.facts).into_iter();
            let told = |(protocol, port): (Protocol, u16)| {
                let why = self.facts.unsupported.get(&protocol).map(String::as_str).unwrap_or_default();
                format!("{port}/{} ({why})", protocol.as_str())
            };
            ports.map(told).collect()
        });
    }

    /// One patch of the zone for a whole snapshot: readers see all of it or none.
    fn tell_zone(&mut self, snapshot: &Snapshot, changes: &[desired::Change]) {
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
        moved.extend(self.pods.as_mut().map(|pods| pods.changes(snapshot)).unwrap_or_default());
        let at = seconds();
        // Even a snapshot without a change of names: questions may wait for it.
        self.zone.send_modify(|zone| {
            zone.reach(snapshot.revision().0);
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

/// Tells what Services that changed ask for, where that moved.
fn tell<V: Clone + PartialEq>(
    told: &watch::Sender<OrdMap<ObjectKey, V>>,
    changes: &[desired::Change],
    asked: impl Fn(&desired::Contribution) -> Option<V>,
) {
    let of = |side: &Option<Arc<desired::Contribution>>| side.as_deref().and_then(&asked);
    let moved: Vec<_> = changes.iter().filter(|change| of(&change.before) != of(&change.after)).collect();
    if moved.is_empty() {
        return;
    }
    told.send_modify(|told| {
        for change in moved {
            match of(&change.after) {
                Some(asked) => told.insert(change.key.clone(), asked),
                None => told.remove(&change.key),
            };
        }
    });
}

/// Notes what is found left out of the Services that changed, if anything.
fn note(told: &watch::Sender<Refusals>, changes: &[desired::Change], found: impl Fn(&ObjectKey) -> Vec<String>) {
    told.send_if_modified(|told| {
        let mut moved = false;
        for change in changes {
            let found = found(&change.key);
            let before = match found.is_empty() {
                true => told.remove(&change.key),
                false => told.insert(change.key.clone(), found.join(", ")),
            };
            moved |= before.as_ref() != told.get(&change.key);
        }
        moved
    });
}

/// When what was refused is tried again: at growing pauses.
#[derive(Debug, Default)]
struct Retry(Option<(Instant, Duration)>);

impl Retry {
    fn at(&self) -> Option<Instant> {
        self.0.map(|(at, _)| at)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at().is_some_and(|at| at <= now)
    }

    fn later(&mut self) {
        let pause = self.0.map_or(RETRY_PAUSE_MIN, |(_, pause)| (pause * 2).min(RETRY_PAUSE_MAX));
        self.0 = Some((Instant::now() + pause, pause));
    }

    fn settle(&mut self, done: bool) {
        if done { self.0 = None } else { self.later() }
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
