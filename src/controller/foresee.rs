//! What the controllers would make of changes that nobody has stored. Pure.

use time::OffsetDateTime;

use super::trigger::Triggers;
use super::worker::Queue;
use super::{Facts, Scene, decide};
use crate::store::{Op, Snapshot, WriteError};

/// Decisions that may follow from one file of manifests.
const STEPS_MAX: usize = 100_000;

/// The snapshot after `ops` and everything that follows from them.
///
/// # Errors
/// The changes do not fit the snapshot.
pub fn foresee(base: &Snapshot, ops: &[Op], facts: &Facts, now: OffsetDateTime) -> Result<Snapshot, WriteError> {
    let mut next = base.foresee(ops)?;
    let mut queue = Queue::after(base.revision());
    let mut triggers = Triggers::default();
    for _ in 0..STEPS_MAX {
        queue.absorb(&next);
        let Some(task) = queue.pop() else { break };
        let random = fastrand::Rng::with_seed(0);
        let mut scene = Scene { snapshot: &next, facts, now, random, triggers: &mut triggers };
        let decision = decide(&mut scene, &task);
        // What a controller cannot make sense of stays as it is, as when it is stored.
        let Ok(decision) = decision else { continue };
        if !decision.ops.is_empty()
            && let Ok(after) = next.foresee(&decision.ops)
        {
            next = after;
        }
    }
    Ok(next)
}
