//! The one task that acts: takes the newest snapshot, decides, submits in
//! memory, and tries again with back-off when the store refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::trigger::Triggers;
use super::{Facts, Scene, Task, decide, dirty};
use crate::clock;
use crate::model::Revision;
use crate::store::{Committed, Snapshot, Store, Write, WriteError};

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);
/// Doublings from [`BACKOFF_MIN`] that reach [`BACKOFF_MAX`].
const BACKOFF_DOUBLINGS_MAX: u32 = 18;

/// The store as the controllers use it.
pub trait Truth: Send + Sync + 'static {
    /// Follows the newest snapshot.
    fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>>;
    /// Commits a write.
    fn submit(&self, write: Write) -> impl Future<Output = Result<Committed, WriteError>> + Send;
}

impl Truth for Store {
    fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        Store::subscribe(self)
    }

    async fn submit(&self, write: Write) -> Result<Committed, WriteError> {
        Store::submit(self, write).await
    }
}

/// Reconciles until `shutdown` resolves.
pub async fn run<T: Truth>(truth: T, facts: watch::Receiver<Facts>, shutdown: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = work(&truth, facts, clock::now) => {}
        () = shutdown => {}
    }
}

/// Reconciles until nothing is left to do now, for the start: what follows from
/// the store must be there again before the kernel and DNS are told of it. A
/// store that refuses ends it too; [`run`] goes on later.
pub async fn settle<T: Truth>(truth: &T, facts: &Facts) {
    let snapshots = truth.subscribe();
    let mut queue = Queue::default();
    loop {
        let snapshot = Arc::clone(&snapshots.borrow());
        if queue.seen != Some(snapshot.revision()) {
            queue.absorb(&snapshot);
        }
        let Some(task) = queue.ready.pop_first() else { return };
        step(truth, facts, &snapshot, clock::now(), task, &mut queue).await;
    }
}

/// What is to be done now and later.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BTreeSet<Task>,
    later: BTreeMap<Task, Instant>,
    failures: BTreeMap<Task, u32>,
    seen: Option<Revision>,
    triggers: Triggers,
}

impl Queue {
    /// Of someone who has seen everything up to `seen`.
    pub(super) fn after(seen: Revision) -> Queue {
        Queue { seen: Some(seen), ..Queue::default() }
    }

    /// The first thing to be done now.
    pub(super) fn pop(&mut self) -> Option<Task> {
        self.ready.pop_first()
    }

    /// Takes in what happened since the last snapshot.
    pub(super) fn absorb(&mut self, snapshot: &Snapshot) {
        let tasks = self.seen.and_then(|seen| dirty::since(snapshot, seen).ok());
        self.ready.extend(tasks.unwrap_or_else(|| dirty::all(snapshot)));
        self.seen = Some(snapshot.revision());
    }

    fn next(&mut self, now: Instant) -> Option<Task> {
        let due: Vec<Task> = self.later.iter().filter(|(_, at)| **at <= now).map(|(task, _)| task.clone()).collect();
        for task in due {
            self.later.remove(&task);
            self.ready.insert(task);
        }
        self.ready.pop_first()
    }

    fn retry(&mut self, task: Task) {
        let failures = self.failures.entry(task.clone()).or_default();
        *failures = failures.saturating_add(1);
        let factor = 1_u32 << (*failures - 1).min(BACKOFF_DOUBLINGS_MAX);
        self.later.insert(task, Instant::now() + BACKOFF_MIN.saturating_mul(factor).min(BACKOFF_MAX));
    }
}

/// Never returns while the store lives.
pub(super) async fn work<T: Truth>(truth: &T, mut told: watch::Receiver<Facts>, now: fn() -> OffsetDateTime) {
    let mut snapshots = truth.subscribe();
    let mut queue = Queue::default();
    let mut facts = told.borrow_and_update().clone();
    // Once nobody tells facts any more they stay as they are.
    let mut telling = true;
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        if queue.seen != Some(snapshot.revision()) {
            queue.absorb(&snapshot);
        }
        if let Some(task) = queue.next(Instant::now()) {
            step(truth, &facts, &snapshot, now(), task, &mut queue).await;
            continue;
        }
        let wake = queue.later.values().min().copied();
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            changed = told.changed(), if telling => {
                telling = changed.is_ok();
                let before = std::mem::replace(&mut facts, told.borrow_and_update().clone());
                queue.ready.extend(dirty::by_facts(&snapshot, &before, &facts));
            }
        }
    }
}

async fn step<T: Truth>(
    truth: &T,
    facts: &Facts,
    snapshot: &Snapshot,
    now: OffsetDateTime,
    task: Task,
    queue: &mut Queue,
) {
    let triggers = &mut queue.triggers;
    let mut scene = Scene { snapshot, facts, now, random: fastrand::Rng::new(), triggers };
    let decision = match decide(&mut scene, &task) {
        Ok(decision) => decision,
        Err(error) => {
            // Only a fault of ours can bring this about; the object stays as it is.
            tracing::error!(?task, %error, "controller made a malformed object");
            return;
        }
    };
    if let Some(again) = decision.again {
        let wait = Duration::try_from(again - now).unwrap_or_default();
        queue.later.insert(task.clone(), Instant::now() + wait);
    }
    if decision.ops.is_empty() {
        queue.failures.remove(&task);
        return;
    }
    match truth.submit(Write { ops: decision.ops, durability: decision.durability }).await {
        Ok(_) => {
            queue.failures.remove(&task);
        }
        Err(error) => {
            // A conflict means a newer snapshot is on its way.
            tracing::debug!(?task, %error, "controller tries again");
            queue.retry(task);
        }
    }
}
