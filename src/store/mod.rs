//! The truth: every object at one revision, durable before acknowledged.
//!
//! In: [`Write`]s through [`Store::submit`]. Out: a [`Snapshot`] of everything
//! (an immutable value, cheap to clone) with a bounded history of events for
//! watches. One writer thread owns the database: it checks expectations and
//! claims, batches what is waiting into one redb transaction, commits, answers
//! and publishes. Nothing is published or answered before it is durable.
//!
//! A Memory put over an object with a row on flash leaves the row as it was:
//! after a restart the object stands as a client last wrote it, and whoever
//! observed the rest observes it again. If the put changes the object's claims
//! it is written to flash all the same, so claims on flash never contradict.

mod error;
mod flash;
mod snapshot;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use error::{Health, OpenError};
pub use flash::{Fault, Mismatch, held_claims};
pub use snapshot::{Event, EventType, Expired, HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, HISTORY_EVENTS_MIN, Snapshot};
pub use write::{Committed, Durability, Expect, Op, Write, WriteError};

/// Writes that wait for the writer at most.
pub const QUEUE_WRITES_MAX: usize = 1024;
/// How long a write waits for room in the queue before it is told [`WriteError::Busy`].
pub const QUEUE_WAIT_MS_MAX: u64 = 2_000;

/// Where the store lives.
#[derive(Clone, Debug)]
pub struct Options {
    /// The redb file; its directory must exist.
    pub path: PathBuf,
}

/// A handle to the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<writer::Request>,
    newest: watch::Receiver<Arc<Snapshot>>,
    health: watch::Receiver<Health>,
    mismatches: Arc<[Mismatch]>,
}

impl Store {
    /// Opens or creates the store and recovers it. Blocks.
    pub fn open(options: &Options) -> Result<Store, OpenError> {
        let path = options.path.clone();
        Store::start(Box::new(move || flash::open_file(&path)))
    }

    /// A store that forgets everything when it is closed.
    pub fn in_memory() -> Result<Store, OpenError> {
        Store::start(Box::new(flash::open_memory))
    }

    fn start(opener: flash::Opener) -> Result<Store, OpenError> {
        let (flash, rows, mismatches) = flash::Flash::recover(opener)?;
        let (queue, requests) = mpsc::channel(QUEUE_WRITES_MAX);
        let (newest, health) = writer::spawn(flash, rows, requests)?;
        Ok(Store { queue, newest, health, mismatches: mismatches.into() })
    }

    /// Applies a write; answers when it is as durable as asked for and published.
    pub async fn submit(&self, write: Write) -> Result<Committed, WriteError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.queue.send(writer::Request::Write { write, answer });
        match tokio::time::timeout(Duration::from_millis(QUEUE_WAIT_MS_MAX), sent).await {
            Ok(Ok(())) => answered.await.map_err(|_| WriteError::Busy)?,
            Ok(Err(_)) | Err(_) => Err(WriteError::Busy),
        }
    }

    /// The newest published state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.borrow())
    }

    /// The newest published state, with a signal at each publication.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.newest.clone()
    }

    /// Whether writes reach flash.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Claim rows that contradicted the objects at the start; they were put right.
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.mismatches
    }

    /// Finishes the writes that wait, then closes the database.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(writer::Request::Close { done }).await.is_ok() {
            // An error means the writer is gone, which is what was asked for.
            drop(closed.await);
        }
    }
}
