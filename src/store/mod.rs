//! The truth: every object at one revision, durable before acknowledged.
//!
//! In: [`Write`]s through [`Store::submit`]. Out: a [`Snapshot`] of everything
//! (an immutable value, cheap to clone) with a bounded history of events for
//! watches. One writer thread owns the database: it checks expectations and
//! claims, batches what is waiting into one redb transaction, commits, answers
//! and publishes. Nothing is published or answered before it is durable.
//!
//! What clients wrote is on flash; what edgesvc observes or derives lives in
//! memory only ([`Durability`]). A memory-only change of an object that has a row
//! on flash leaves the row as the client wrote it: after a restart the object is
//! as it was acknowledged, and what was derived is derived again.

mod audit;
mod disk;
mod snapshot;
mod stage;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use audit::{Fault, Problem};
pub use disk::OpenError;
pub use snapshot::{Event, EventType, Expired, Snapshot};
pub use write::{Committed, Durability, Expect, Op, Write, WriteError};

use disk::Disk;
use writer::{Audit, Request, Submission, Writer};

/// Writes that may wait for the writer; further callers wait for a place.
const QUEUE_WRITES_MAX: usize = 4096;
/// How long a caller waits for a place before it is told that the store is busy.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file; created, readable by its owner only, when absent.
    pub path: PathBuf,
}

/// Whether writes succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Writable,
    /// The last one that needed the flash failed, for this reason. Reads go on,
    /// and every write tries again.
    ReadOnly(String),
}

/// The store. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Store {
    queue: mpsc::Sender<Request>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    health: watch::Receiver<Health>,
    faults: Arc<[Fault]>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.snapshot().revision()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, reads everything back and starts the writer. Blocks while
    /// it reads.
    ///
    /// # Errors
    /// The file is locked, newer, damaged, or cannot be opened.
    pub fn open(options: &Options) -> Result<Store, OpenError> {
        Store::on(Disk::at(&options.path)?)
    }

    /// A store that forgets everything with its last handle, for tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn in_memory() -> Result<Store, OpenError> {
        let backend = || redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new());
        Store::on(Disk::with(Box::new(backend), &PathBuf::from("memory"))?)
    }

    fn on(mut disk: Disk) -> Result<Store, OpenError> {
        let recovered = disk.recover()?;
        for fault in &recovered.faults {
            tracing::warn!(%fault, "a claim was put right");
        }
        let rows = recovered.objects.iter().map(|(object, _)| (object.kind, object.key.clone())).collect();
        let snapshot = Arc::new(Snapshot::restored(recovered.objects, recovered.revision));
        let (publish, snapshots) = watch::channel(snapshot);
        let (health_sender, health) = watch::channel(Health::Writable);
        let mut writer = Writer { disk, rows, reserved: recovered.revision, publish, health: health_sender };
        if let Err(error) = writer.begin(!recovered.faults.is_empty()) {
            // Serving what is stored is worth more than refusing to start on a full disk.
            tracing::warn!(%error, "the store cannot write");
            writer.health.send_replace(Health::ReadOnly(error.to_string()));
        }
        let (queue, submissions) = mpsc::channel(QUEUE_WRITES_MAX);
        let started = thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(submissions));
        started.map_err(|source| OpenError::Io { path: PathBuf::from("the writer's thread"), source })?;
        Ok(Store { queue, snapshots, health, faults: recovered.faults.into() })
    }

    /// Applies a write as a whole, or refuses it. When this returns `Ok`, the
    /// write is durable (unless it asked for memory only) and visible in
    /// [`Store::snapshot`].
    ///
    /// # Errors
    /// See [`WriteError`]. After [`WriteError::Unavailable`] nothing was changed.
    pub async fn submit(&self, write: Write) -> Result<Committed, WriteError> {
        let (answer, answered) = oneshot::channel();
        let place = timeout(QUEUE_WAIT_MAX, self.queue.reserve()).await;
        match place {
            Ok(Ok(place)) => place.send(Request::Write(Submission { write, answer })),
            Ok(Err(_)) | Err(_) => return Err(WriteError::Busy),
        }
        answered.await.unwrap_or(Err(WriteError::Busy))
    }

    /// Compares the claims on flash with the objects, and with `mend` puts right what
    /// is wrong. Answers what was found.
    ///
    /// # Errors
    /// The flash cannot be read or written, or the store is closing.
    pub async fn audit(&self, mend: bool) -> Result<Vec<Fault>, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request::Audit(Audit { mend, answer })).await.map_err(|_| WriteError::Busy)?;
        answered.await.unwrap_or(Err(WriteError::Busy))
    }

    /// What the audit at the start found and put right.
    pub fn faults_at_start(&self) -> &[Fault] {
        &self.faults
    }

    /// Everything, as of the newest published write.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// The newest snapshot, and word of every newer one.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Whether the writer lives: without it nothing will ever be written again.
    pub fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Whether writes succeed.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Gives up this handle and waits until the writer has closed the file, which
    /// it does when the last handle is gone.
    pub async fn close(self) {
        let Store { queue, mut snapshots, .. } = self;
        drop(queue);
        // The writer's end of the channel goes with the writer.
        while snapshots.changed().await.is_ok() {}
    }
}
