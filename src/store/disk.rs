//! The database file: tables, format version, and one transaction for a batch.
//!
//! | table | key | value |
//! |---|---|---|
//! | `objects` | `services/default/web` (plural, namespace, name) | the object's JSON |
//! | `claims` | `ip/10.43.0.10`, `port/30080` | the owner: `services/default/web` |
//! | `meta` | `format`, `revision` | the format version; no revision above this was handed out |
//!
//! Always true: a claim's row and its object's row are written by one
//! transaction; `revision` on flash is never below a revision anybody has seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbl::OrdSet;
use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};

use super::audit::{Fault, audit};
use super::stage::Step;
use crate::model::{Claim, Kind, Object, ObjectKey, Revision};

/// The format this binary writes; it reads older ones. 2 added kinds that a binary of
/// format 1 does not know.
const FORMAT: u64 = 2;
/// Memory redb may use to cache pages: the file is read once, at start.
const CACHE_BYTES_MAX: usize = 1024 * 1024;
/// Files below this size are not worth compacting.
const COMPACT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// A file this many times larger than what it holds is compacted at start.
const COMPACT_RATIO: u64 = 4;

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const CLAIMS: TableDefinition<'_, &str, &str> = TableDefinition::new("claims");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Why there is no store. The caller prints it and does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another process uses this store: is edgesvc running already? Stop it, or give another --data-dir", .0.display())]
    Locked(PathBuf),
    /// A newer edgesvc wrote it.
    #[error("{}: format {found} is newer than this edgesvc, which reads up to {FORMAT}: use the newer edgesvc, or restore a backup", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It is no store, or a damaged one.
    #[error("{}: not a readable store ({cause}): move the file away to begin anew, or restore a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        cause: String,
    },
    /// The file cannot be opened, read or created.
    #[error("{}: cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

/// Opens the database; again after an I/O error, which redb answers by refusing
/// every later write.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// Which objects have a row on flash. A clone is a pointer copy.
pub(super) type Rows = OrdSet<(Kind, ObjectKey)>;

/// What the file held at start.
pub(super) struct Recovered {
    pub(super) objects: Vec<(Object, Vec<Claim>)>,
    /// No revision above this was handed out before.
    pub(super) revision: Revision,
    /// Differences between claim rows and objects, put right.
    pub(super) faults: Vec<Fault>,
}

/// An open database.
pub(super) struct Disk {
    opener: Opener,
    path: PathBuf,
    database: Option<Database>,
    /// The rows on flash may not be what we think.
    rewrite: bool,
    /// The reservation on flash, once this process has written it.
    reserved: Option<Revision>,
}

impl Disk {
    /// Opens or creates the file at `path`, readable by its owner only.
    pub(super) fn at(path: &Path) -> Result<Disk, OpenError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = path.to_path_buf();
        let io = |source| OpenError::Io { path: path.to_path_buf(), source };
        // Created before redb sees it, because it holds Secrets.
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(io)?;
        let opener = Box::new(move || Database::builder().set_cache_size(CACHE_BYTES_MAX).create(&file));
        Disk::with(opener, path)
    }

    /// Opens through `opener`; `path` is for messages.
    pub(super) fn with(opener: Opener, path: &Path) -> Result<Disk, OpenError> {
        let database = opener().map_err(|error| refused(path, error))?;
        Ok(Disk { opener, path: path.to_path_buf(), database: Some(database), rewrite: false, reserved: None })
    }

    /// Reads everything, after checking the format.
    pub(super) fn recover(&mut self) -> Result<Recovered, OpenError> {
        let path = self.path.clone();
        let damaged = |cause: String| OpenError::Damaged { path: path.clone(), cause };
        let database = self.database.as_mut().ok_or_else(|| damaged("closed".to_owned()))?;
        let (format, recovered, live_bytes) = read(database).map_err(|error| damaged(error.to_string()))?;
        if format > FORMAT {
            return Err(OpenError::Newer { path, found: format });
        }
        let recovered = recovered.map_err(damaged)?;
        let file_bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if file_bytes > COMPACT_BYTES_MIN && file_bytes / COMPACT_RATIO > live_bytes {
            match database.compact() {
                Ok(_) => tracing::info!(file_bytes, live_bytes, "store compacted"),
                Err(error) => tracing::warn!(%error, "store cannot be compacted"),
            }
        }
        Ok(recovered)
    }

    /// Commits a batch with fsync. After an error nothing of it counts, and the
    /// database is opened anew by the next commit, which puts every row right:
    /// the failed transaction may have reached the flash after all.
    pub(super) fn commit(&mut self, batch: &Batch<'_>) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                self.rewrite = true;
                (self.opener)()?
            }
        };
        let reserve = self.rewrite || self.reserved != Some(batch.revision);
        write(&database, batch, self.rewrite, reserve)?;
        self.database = Some(database);
        self.rewrite = false;
        self.reserved = Some(batch.revision);
        Ok(())
    }

    /// The claims on flash, value to owner, as the last commit left them.
    pub(super) fn claims(&self) -> Result<BTreeMap<String, String>, redb::Error> {
        match &self.database {
            Some(database) => claim_rows(&database.begin_read()?),
            None => claim_rows(&(self.opener)()?.begin_read()?),
        }
    }

    /// Makes the next commit write every row anew.
    pub(super) fn rewrite_next(&mut self) {
        self.rewrite = true;
    }
}

/// What one transaction writes.
pub(super) struct Batch<'a> {
    /// Changes of rows, in order.
    pub(super) steps: Vec<&'a Step>,
    /// The reservation: no revision above it is handed out.
    pub(super) revision: Revision,
    /// Every row there must be afterwards, to put right what a failed
    /// transaction left.
    pub(super) rows: &'a dyn Fn() -> Vec<(Arc<Object>, Vec<Claim>)>,
}

/// A table that did not change is not opened, because each one written costs
/// two or three pages of flash.
fn write(database: &Database, batch: &Batch<'_>, whole: bool, reserve: bool) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    if whole {
        transaction.delete_table(OBJECTS)?;
        transaction.delete_table(CLAIMS)?;
    }
    if reserve {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("revision", batch.revision.0)?;
        // There from the first commit on, for readers.
        transaction.open_table(OBJECTS)?;
        transaction.open_table(CLAIMS)?;
    }
    if whole {
        rows_anew(&transaction, batch)?
    } else {
        rows_changed(&transaction, batch)?
    }
    transaction.commit()?;
    Ok(())
}

fn rows_anew(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), redb::Error> {
    let mut objects = transaction.open_table(OBJECTS)?;
    let mut claims = transaction.open_table(CLAIMS)?;
    for (object, held) in (batch.rows)() {
        let row = row_key(object.kind, &object.key);
        objects.insert(row.as_str(), object.json().as_ref())?;
        for claim in held {
            claims.insert(claim_key(claim).as_str(), row.as_str())?;
        }
    }
    Ok(())
}

fn rows_changed(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), redb::Error> {
    if batch.steps.iter().any(|step| !step.released.is_empty() || !step.claimed.is_empty()) {
        let mut claims = transaction.open_table(CLAIMS)?;
        for step in &batch.steps {
            for claim in &step.released {
                claims.remove(claim_key(*claim).as_str())?;
            }
            let row = row_key(step.kind, &step.key);
            for claim in &step.claimed {
                let claim = claim_key(*claim);
                // Most writes keep the claims they have: asked first, because to put
                // the same row again would write its pages again.
                if claims.get(claim.as_str())?.is_none_or(|owner| owner.value() != row) {
                    claims.insert(claim.as_str(), row.as_str())?;
                }
            }
        }
    }
    if !batch.steps.is_empty() {
        let mut objects = transaction.open_table(OBJECTS)?;
        for step in &batch.steps {
            let row = row_key(step.kind, &step.key);
            match &step.object {
                Some(object) => drop(objects.insert(row.as_str(), object.json().as_ref())?),
                None => drop(objects.remove(row.as_str())?),
            }
        }
    }
    Ok(())
}

/// The claims on flash: value to owner.
fn claim_rows(transaction: &ReadTransaction) -> Result<BTreeMap<String, String>, redb::Error> {
    let mut claims = BTreeMap::new();
    for row in transaction.open_table(CLAIMS)?.iter()? {
        let (claim, owner) = row?;
        claims.insert(claim.value().to_owned(), owner.value().to_owned());
    }
    Ok(claims)
}

type ReadOut = (u64, Result<Recovered, String>, u64);

/// The format, what the tables hold (or why it cannot be read), and its bytes.
fn read(database: &Database) -> Result<ReadOut, redb::Error> {
    let fresh = Recovered { objects: Vec::new(), revision: Revision(0), faults: Vec::new() };
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((0, Ok(fresh), 0)),
        Err(error) => return Err(error.into()),
    };
    let format = meta.get("format")?.map_or(0, |value| value.value());
    if format > FORMAT {
        return Ok((format, Ok(fresh), 0));
    }
    let revision = Revision(meta.get("revision")?.map_or(0, |value| value.value()));
    let claims = claim_rows(&transaction)?;
    let mut objects = Vec::new();
    let mut bytes = 0;
    for row in transaction.open_table(OBJECTS)?.iter()? {
        let (key, json) = row?;
        bytes += json.value().len() as u64;
        let kind = key.value().split('/').next().and_then(kind_of_row);
        let Some(kind) = kind else { return Ok((format, Err(format!("row {:?} is of no kind", key.value())), 0)) };
        match Object::decode(kind, json.value()) {
            Ok(object) => objects.push(object),
            Err(error) => return Ok((format, Err(format!("row {:?}: {error}", key.value())), 0)),
        }
    }
    let (objects, faults) = audit(objects, claims);
    Ok((format, Ok(Recovered { objects, revision, faults }), bytes))
}

pub(super) fn row_key(kind: Kind, key: &ObjectKey) -> String {
    format!("{}/{}/{}", kind.resource().plural, key.namespace, key.name)
}

fn kind_of_row(plural: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.resource().plural == plural)
}

pub(super) fn claim_key(claim: Claim) -> String {
    match claim {
        Claim::ClusterIp(addr) => format!("ip/{addr}"),
        Claim::NodePort(port) => format!("port/{port}"),
    }
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Locked(path),
        DatabaseError::Storage(redb::StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            OpenError::Io { path, source }
        }
        other => OpenError::Damaged { path, cause: other.to_string() },
    }
}
