//! The writer thread: checks writes in order against a staged state, commits
//! them together, publishes, answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use tokio::sync::{mpsc, oneshot, watch};

use super::flash::{Flash, Row, RowKey, Rows};
use super::{Committed, Durability, Health, Op, OpenError, Snapshot, Write, WriteError};

/// Writes committed in one transaction at most.
const BATCH_WRITES_MAX: usize = 256;

type Answer = oneshot::Sender<Result<Committed, WriteError>>;

#[derive(Debug)]
pub(super) enum Request {
    Write { write: Write, answer: Answer },
    Close { done: oneshot::Sender<()> },
}

type Published = (watch::Receiver<Arc<Snapshot>>, watch::Receiver<Health>);

pub(super) fn spawn(flash: Flash, rows: Rows, requests: mpsc::Receiver<Request>) -> Result<Published, OpenError> {
    let objects = rows.values().map(|row| (&row.object, &row.claims));
    let snapshot = Arc::new(Snapshot::restored(flash.start(), objects));
    let (newest, snapshots) = watch::channel(Arc::clone(&snapshot));
    let (health, healths) = watch::channel(Health::Writable);
    let writer = Writer { flash, state: State { snapshot: (*snapshot).clone(), rows }, newest, health };
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run(requests))
        .map_err(OpenError::Io)?;
    Ok((snapshots, healths))
}

#[derive(Clone)]
struct State {
    snapshot: Snapshot,
    /// What flash holds.
    rows: OrdMap<RowKey, Row>,
}

struct Writer {
    flash: Flash,
    state: State,
    newest: watch::Sender<Arc<Snapshot>>,
    health: watch::Sender<Health>,
}

/// A batch applied to the state before it.
struct Staged {
    state: State,
    dirty: BTreeSet<RowKey>,
    answers: Vec<Result<Committed, WriteError>>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut writes = Vec::new();
            let mut next = Some(first);
            let mut close = None;
            while let Some(request) = next.take() {
                match request {
                    Request::Write { write, answer } => writes.push((write, answer)),
                    Request::Close { done } => close = Some(done),
                }
                if close.is_none() && writes.len() < BATCH_WRITES_MAX {
                    next = requests.try_recv().ok();
                }
            }
            self.batch(writes);
            if let Some(done) = close {
                drop(requests);
                drop(self.flash);
                // Nobody waiting any more is no fault of the close.
                done.send(()).unwrap_or_default();
                return;
            }
        }
    }

    fn batch(&mut self, batch: Vec<(Write, Answer)>) {
        let (writes, answers): (Vec<Write>, Vec<Answer>) = batch.into_iter().unzip();
        let mut staged = self.stage(&writes, None);
        if !staged.dirty.is_empty() || self.flash.wants_reserve(staged.state.snapshot.revision()) {
            let revision = staged.state.snapshot.revision();
            match self.flash.commit(&self.state.rows, &staged.state.rows, &staged.dirty, revision) {
                Ok(()) => self.tell(Health::Writable),
                Err(cause) => {
                    self.tell(Health::Unavailable(cause.clone()));
                    staged = self.stage(&writes, Some(&cause));
                }
            }
        }
        if staged.state.snapshot.revision() > self.state.snapshot.revision() {
            self.newest.send_replace(Arc::new(staged.state.snapshot.clone()));
        }
        self.state = staged.state;
        for (answer, result) in answers.into_iter().zip(staged.answers) {
            // A caller that stopped waiting finds the result in the snapshot.
            drop(answer.send(result));
        }
    }

    fn tell(&self, health: Health) {
        self.health.send_if_modified(|known| std::mem::replace(known, health.clone()) != health);
    }

    /// Applies each write on top of those before it. With `broken`, only what
    /// needs no flash is applied.
    fn stage(&self, writes: &[Write], broken: Option<&str>) -> Staged {
        let mut staged = Staged { state: self.state.clone(), dirty: BTreeSet::new(), answers: Vec::new() };
        for write in writes {
            let result = self.stage_one(&mut staged, write, broken);
            staged.answers.push(result);
        }
        staged
    }

    fn stage_one(&self, staged: &mut Staged, write: &Write, broken: Option<&str>) -> Result<Committed, WriteError> {
        let (snapshot, objects) = staged.state.snapshot.apply(&write.ops)?;
        let mut rows = staged.state.rows.clone();
        let mut dirty = Vec::new();
        for (op, object) in write.ops.iter().zip(&objects) {
            let (kind, key, _) = op.target();
            let at = (kind, key.clone());
            match op {
                Op::Put { claims, .. } => {
                    let reclaims = rows.get(&at).is_some_and(|row| *row.claims != **claims);
                    if write.durability == Durability::Flash || reclaims {
                        rows.insert(at.clone(), Row { object: Arc::clone(object), claims: claims.as_slice().into() });
                        dirty.push(at);
                    }
                }
                Op::Delete { .. } => {
                    if rows.remove(&at).is_some() {
                        dirty.push(at);
                    }
                }
            }
        }
        if let Some(cause) = broken
            && (!dirty.is_empty() || !self.flash.reserved(snapshot.revision()))
        {
            return Err(WriteError::Unavailable(cause.to_owned()));
        }
        staged.state = State { snapshot, rows };
        staged.dirty.extend(dirty);
        Ok(Committed { objects, revision: staged.state.snapshot.revision() })
    }
}
