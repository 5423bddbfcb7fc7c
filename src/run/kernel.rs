//! Answers what the API is asked of the kernel.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::server::{Kernel, KernelQuestion};
use crate::clock;
use crate::controller;
use crate::dataplane::{self, Count};
use crate::desired::{self, Contribution, Tracker};
use crate::store::{Expect, Op, Snapshot, Store};

/// Builds the function that answers; `options` are absent in proxy mode none.
pub(super) fn answers(
    store: Store,
    options: Option<dataplane::Options>,
    facts: controller::Facts,
    desired_facts: desired::Facts,
) -> Kernel {
    Arc::new(move |question| {
        let mut options = options.clone().ok_or("the kernel is left alone (--proxy-mode none)")?;
        let snapshot = store.snapshot();
        let mut tracker = Tracker::new(desired_facts.clone());
        tracker.update(&snapshot);
        options.service_ranges = tracker.ranges().to_vec();
        let contributions: Vec<Arc<Contribution>> = tracker.contributions().cloned().collect();
        match question {
            KernelQuestion::Differences => {
                let lines = dataplane::differences(&options, &contributions).map_err(|error| error.to_string())?;
                Ok(json!({ "lines": lines }))
            }
            KernelQuestion::Preview(drafts) => {
                let put = |draft| Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() };
                let ops: Vec<Op> = drafts.into_iter().map(put).collect();
                let after = foreseen(&snapshot, &ops, &facts)?;
                let changes = tracker.update(&after);
                let script =
                    dataplane::preview(&options, &contributions, &changes).map_err(|error| error.to_string())?;
                Ok(json!({ "lines": script.lines().collect::<Vec<_>>() }))
            }
            KernelQuestion::Counters => {
                let counts = dataplane::counts(&contributions).map_err(|error| error.to_string())?;
                let counts: Vec<Value> = counts.iter().map(count).collect();
                Ok(json!({ "traffic": options.count_traffic, "counts": counts }))
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
pub(super) fn tally(store: Store, desired_facts: desired::Facts) -> impl Fn() -> Vec<Count> + Send + Sync {
    move || {
        let mut tracker = Tracker::new(desired_facts.clone());
        tracker.update(&store.snapshot());
        let contributions: Vec<Arc<Contribution>> = tracker.contributions().cloned().collect();
        dataplane::counts(&contributions).unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel's counters cannot be read");
            Vec::new()
        })
    }
}

fn foreseen(snapshot: &Snapshot, ops: &[Op], facts: &controller::Facts) -> Result<Arc<Snapshot>, String> {
    controller::foresee(snapshot, ops, facts, clock::now()).map(Arc::new).map_err(|error| error.to_string())
}
