//! Answers what the API is asked of the kernel.

use std::sync::Arc;

use crate::api::server::{Kernel, KernelQuestion};
use crate::clock;
use crate::controller;
use crate::dataplane;
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
        let options = options.as_ref().ok_or("the kernel is left alone (--proxy-mode none)")?;
        let snapshot = store.snapshot();
        let mut tracker = Tracker::new(desired_facts.clone());
        tracker.update(&snapshot);
        let contributions: Vec<Arc<Contribution>> = tracker.contributions().cloned().collect();
        match question {
            KernelQuestion::Differences => {
                dataplane::differences(options, &contributions).map_err(|error| error.to_string())
            }
            KernelQuestion::Preview(drafts) => {
                let put = |draft| Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() };
                let ops: Vec<Op> = drafts.into_iter().map(put).collect();
                let after = foreseen(&snapshot, &ops, &facts)?;
                let changes = tracker.update(&after);
                let script = dataplane::preview(&contributions, &changes).map_err(|error| error.to_string())?;
                Ok(script.lines().map(str::to_owned).collect())
            }
        }
    })
}

fn foreseen(snapshot: &Snapshot, ops: &[Op], facts: &controller::Facts) -> Result<Arc<Snapshot>, String> {
    controller::foresee(snapshot, ops, facts, clock::now()).map(Arc::new).map_err(|error| error.to_string())
}
