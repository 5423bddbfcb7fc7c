//! The one thread that owns the database: stages what is waiting, commits it in
//! one transaction, publishes, answers. Nothing is published or answered before
//! it is durable.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Health;
use super::disk::{Batch, Disk, Rows};
use super::snapshot::Snapshot;
use super::stage::{Step, stage};
use super::write::{Committed, Durability, Write, WriteError};
use crate::model::{Claim, Kind, Object, ObjectKey, Revision};

/// Writes put into one transaction: enough to share an fsync among all that wait,
/// few enough that the first of them does not wait long.
const BATCH_WRITES_MAX: usize = 1024;
/// Revisions reserved on flash at a time: changes that live in memory only cost
/// one write to flash in this many.
const REVISIONS_RESERVED: u64 = 1_000_000;

/// A write on its way.
pub(super) struct Submission {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Result<Committed, WriteError>>,
}

/// Owns the disk and the newest snapshot.
pub(super) struct Writer {
    pub(super) disk: Disk,
    /// What the flash holds.
    pub(super) rows: Rows,
    /// No revision above this may be handed out before it is raised on flash.
    pub(super) reserved: Revision,
    pub(super) publish: watch::Sender<Arc<Snapshot>>,
    pub(super) health: watch::Sender<Health>,
}

/// A write that was staged.
struct Staged {
    submission: Submission,
    committed: Committed,
    /// Those of its steps that change rows.
    steps: Vec<Step>,
}

impl Writer {
    /// Raises the reservation before the first revision is handed out; writes
    /// every row anew when some of them were found wrong.
    pub(super) fn begin(&mut self, mend: bool) -> Result<(), redb::Error> {
        let snapshot = self.publish.borrow().clone();
        if mend {
            self.disk.rewrite_next();
        }
        self.commit(&snapshot, &[], Revision(snapshot.revision().0 + REVISIONS_RESERVED))
    }

    /// Works until every handle of the store is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_WRITES_MAX {
                let Ok(next) = queue.try_recv() else { break };
                batch.push(next);
            }
            self.work(batch);
        }
        self.end();
    }

    fn work(&mut self, batch: Vec<Submission>) {
        let before = self.publish.borrow().clone();
        let (snapshot, staged) = self.stage_all(&before, batch);
        match self.store(&snapshot, &staged) {
            Ok(()) => self.finish(snapshot, staged),
            Err(error) => {
                tracing::warn!(%error, "the store cannot write");
                let reason = error.to_string();
                self.health.send_replace(Health::ReadOnly(reason.clone()));
                // What needs no flash goes on: endpoints follow their Pods on a full disk too.
                let mut memory = Vec::new();
                for staged in staged {
                    if staged.steps.is_empty() && self.fits(&before, &staged) {
                        memory.push(staged.submission);
                    } else {
                        refuse(staged.submission, WriteError::Unavailable(reason.clone()));
                    }
                }
                let (snapshot, staged) = self.stage_all(&before, memory);
                self.finish(snapshot, staged);
            }
        }
    }

    /// Whether a write stays within the reservation without the disk's help.
    fn fits(&self, before: &Snapshot, staged: &Staged) -> bool {
        before.revision().0 + staged.submission.write.ops.len() as u64 + (BATCH_WRITES_MAX as u64) < self.reserved.0
    }

    fn stage_all(&self, before: &Snapshot, batch: Vec<Submission>) -> (Snapshot, Vec<Staged>) {
        let mut snapshot = before.clone();
        let mut staged = Vec::with_capacity(batch.len());
        for submission in batch {
            match stage(&mut snapshot, &submission.write) {
                Ok((committed, steps)) => {
                    let flash = submission.write.durability == Durability::Flash;
                    // A deletion of a row is durable whoever asks for it.
                    let on_flash = |step: &Step| match &step.object {
                        Some(object) => flash && !object.is_in_memory(),
                        None => self.rows.contains(&(step.kind, step.key.clone())),
                    };
                    let steps = steps.into_iter().filter(on_flash).collect();
                    staged.push(Staged { submission, committed, steps });
                }
                Err(error) => refuse(submission, error),
            }
        }
        (snapshot, staged)
    }

    /// Makes durable what must be.
    fn store(&mut self, snapshot: &Snapshot, staged: &[Staged]) -> Result<(), redb::Error> {
        let steps: Vec<&Step> = staged.iter().flat_map(|staged| &staged.steps).collect();
        if steps.is_empty() && snapshot.revision() <= self.reserved {
            return Ok(());
        }
        // While it writes anyway it reserves anew only when the rest runs low.
        let low = snapshot.revision().0 + REVISIONS_RESERVED / 4 > self.reserved.0;
        let reserve = if low { Revision(snapshot.revision().0 + REVISIONS_RESERVED) } else { self.reserved };
        self.commit(snapshot, &steps, reserve)
    }

    fn commit(&mut self, snapshot: &Snapshot, steps: &[&Step], revision: Revision) -> Result<(), redb::Error> {
        let mut rows = self.rows.clone();
        for step in steps {
            let row = (step.kind, step.key.clone());
            match &step.object {
                Some(_) => drop(rows.insert(row)),
                None => drop(rows.remove(&row)),
            }
        }
        let everything = || every_row(snapshot, &rows);
        self.disk.commit(&Batch { steps: steps.to_vec(), revision, rows: &everything })?;
        self.rows = rows;
        self.reserved = revision;
        self.health.send_if_modified(|health| std::mem::replace(health, Health::Writable) != Health::Writable);
        Ok(())
    }

    fn finish(&mut self, snapshot: Snapshot, staged: Vec<Staged>) {
        if !staged.is_empty() {
            self.publish.send_replace(Arc::new(snapshot));
        }
        for Staged { submission, committed, .. } in staged {
            // A caller that no longer waits gets no answer; its write stands.
            drop(submission.answer.send(Ok(committed)));
        }
    }

    /// Gives the unused part of the reservation back, so that revisions stay
    /// small over clean restarts.
    fn end(&mut self) {
        let snapshot = self.publish.borrow().clone();
        if let Err(error) = self.commit(&snapshot, &[], snapshot.revision()) {
            tracing::warn!(%error, "the store cannot be closed cleanly; nothing is lost");
        }
    }
}

/// Every object the flash must hold, with its claims.
fn every_row(snapshot: &Snapshot, rows: &Rows) -> Vec<(Arc<Object>, Vec<Claim>)> {
    let object = |(kind, key): &(Kind, ObjectKey)| {
        Some((Arc::clone(snapshot.get(*kind, key)?), snapshot.held(*kind, key).to_vec()))
    };
    rows.iter().filter_map(object).collect()
}

fn refuse(submission: Submission, error: WriteError) {
    drop(submission.answer.send(Err(error)));
}
