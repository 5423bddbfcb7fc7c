//! Answers what the API is asked of the kernel.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::delivered::{Known, delivered};
use super::telemetry::Tally;
use crate::api::server::{Kernel, KernelQuestion};
use crate::clock;
use crate::controller;
use crate::dataplane::{self, Count, Refusals};
use crate::desired::{self, Contribution, Tracker};
use crate::store::{Expect, Op, Snapshot, Store};

/// What answers are made of.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) store: Store,
    /// Absent where the kernel's tables carry nothing.
    pub(super) options: Option<dataplane::Options>,
    pub(super) facts: controller::Facts,
    pub(super) desired_facts: desired::Facts,
    /// The Services that the kernel refuses.
    pub(super) refused: watch::Receiver<Refusals>,
    /// There is a relay; without the kernel's tables it carries everything.
    pub(super) relays: bool,
}

/// Builds the function that answers.
pub(super) fn answers(sources: Sources) -> Kernel {
    Arc::new(move |question| {
        let snapshot = sources.store.snapshot();
        let mut tracker = Tracker::new(sources.desired_facts.clone());
        tracker.update(&snapshot);
        let mut options = sources.options.clone();
        if let Some(options) = &mut options {
            options.service_ranges = tracker.ranges().to_vec();
        }
        let contributions: Vec<Arc<Contribution>> = tracker.contributions().cloned().collect();
        let carried = |options: Option<dataplane::Options>| {
            options.ok_or("the kernel carries nothing here (proxy mode none, or the relay alone)")
        };
        match question {
            KernelQuestion::Differences => {
                let lines =
                    dataplane::differences(&carried(options)?, &contributions).map_err(|error| error.to_string())?;
                Ok(json!({ "lines": lines }))
            }
            KernelQuestion::Preview(drafts) => {
                let put = |draft| Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() };
                let ops: Vec<Op> = drafts.into_iter().map(put).collect();
                let after = foreseen(&snapshot, &ops, &sources.facts)?;
                let changes = tracker.update(&after);
                let script = dataplane::preview(&carried(options)?, &contributions, &changes)
                    .map_err(|error| error.to_string())?;
                Ok(json!({ "lines": script.lines().collect::<Vec<_>>() }))
            }
            KernelQuestion::Counters => {
                let traffic = carried(options)?.count_traffic;
                let counts = dataplane::counts(&contributions).map_err(|error| error.to_string())?;
                let counts: Vec<Value> = counts.iter().map(count).collect();
                Ok(json!({ "traffic": traffic, "counts": counts }))
            }
            KernelQuestion::Deliveries(scope) => {
                if options.is_none() && !sources.relays {
                    return Err("edgesvc carries nothing here (proxy mode none)".to_owned());
                }
                let known = Known {
                    snapshot: &snapshot,
                    facts: &sources.desired_facts,
                    ranges: tracker.ranges(),
                    refused: &sources.refused.borrow().clone(),
                    all_relayed: options.is_none(),
                };
                delivered(&known, &contributions, &scope, options.as_ref())
            }
        }
    })
}

fn count(count: &Count) -> Value {
    json!({
        "namespace": &*count.service.namespace, "service": &*count.service.name,
        "endpoint": count.endpoint.map(|at| at.to_string()),
        "connections": count.connections, "packets": count.packets, "bytes": count.bytes,
    })
}

/// What is counted now, for `/metrics`; nothing where the kernel is left alone or cannot be read.
pub(super) fn tally(store: Store, desired_facts: desired::Facts, options: &dataplane::Options) -> Tally {
    let read = move || {
        let mut tracker = Tracker::new(desired_facts.clone());
        tracker.update(&store.snapshot());
        let contributions: Vec<Arc<Contribution>> = tracker.contributions().cloned().collect();
        dataplane::counts(&contributions).unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel's counters cannot be read");
            Vec::new()
        })
    };
    Tally { traffic: options.count_traffic, read: Box::new(read) }
}

fn foreseen(snapshot: &Snapshot, ops: &[Op], facts: &controller::Facts) -> Result<Arc<Snapshot>, String> {
    controller::foresee(snapshot, ops, facts, clock::now()).map(Arc::new).map_err(|error| error.to_string())
}
