//! The database on flash: tables, recovery, one commit at a time, and the
//! re-opening after a disk refused.

use std::collections::BTreeSet;
use std::fs::{OpenOptions, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use imbl::OrdMap;
use redb::{Database, Durability, ReadableTable, TableDefinition};

use super::OpenError;
use crate::model::{Claim, ClusterIp, Kind, Object, ObjectKey, Revision};

/// The format this program writes and the newest it reads.
const FORMAT: u64 = 1;
/// Revisions reserved at once. Large, so that changes in memory cost no write;
/// small beside 2^63, so that a restart an hour lasts for ever.
const REVISION_BLOCK: u64 = 1 << 24;
/// redb's page cache: small, because every object is in the snapshot anyway.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A file below this size is never compacted.
const COMPACT_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// The file is compacted at a start when it is this many times its live bytes.
const COMPACT_FACTOR: u64 = 4;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const OBJECTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");
const CLAIMS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("claims");

pub(super) type RowKey = (Kind, ObjectKey);
pub(super) type Rows = OrdMap<RowKey, Row>;
pub(super) type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// An object on flash with the claims committed beside it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) object: Arc<Object>,
    pub(super) claims: Arc<[Claim]>,
}

/// A claim whose row and object disagreed at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The claim; absent if the row could not be read.
    pub claim: Option<Claim>,
    /// What was wrong.
    pub fault: Fault,
}

/// What was wrong with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A row without an object that says it holds the claim: removed.
    Orphan,
    /// An object says it holds the claim and no row did: added.
    Missing,
    /// Two objects say they hold it: the older keeps it.
    Double,
}

/// The claims an object says it holds.
pub fn held_claims(object: &Object) -> Vec<Claim> {
    let Some(service) = object.as_service() else { return Vec::new() };
    let addrs = service.spec.cluster_ips.iter().filter_map(|ip| match ip {
        ClusterIp::Addr(addr) => Some(Claim::ClusterIp(*addr)),
        ClusterIp::Headless => None,
    });
    let ports = service.spec.ports.iter().map(|port| port.node_port).chain([service.spec.health_check_node_port]);
    let claims: BTreeSet<Claim> = addrs.chain(ports.filter(|port| *port != 0).map(Claim::NodePort)).collect();
    claims.into_iter().collect()
}

pub(super) fn open_file(path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    drop(file);
    let mut database = Database::builder().set_cache_size(CACHE_BYTES_MAX).create(path)?;
    if std::fs::metadata(path)?.len() > COMPACT_BYTES_MIN {
        let live = live_bytes(&database)?;
        if std::fs::metadata(path)?.len() > COMPACT_FACTOR.saturating_mul(live) {
            database.compact()?;
        }
    }
    Ok(database)
}

pub(super) fn open_memory() -> Result<Database, redb::Error> {
    Ok(Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())?)
}

fn live_bytes(database: &Database) -> Result<u64, redb::Error> {
    let txn = database.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.stored_bytes().saturating_add(stats.metadata_bytes()))
}

pub(super) struct Flash {
    opener: Opener,
    database: Option<Database>,
    start: u64,
    reserved: u64,
}

impl Flash {
    /// Opens, reads everything, puts claims right and reserves revisions.
    pub(super) fn recover(opener: Opener) -> Result<(Flash, Rows, Vec<Mismatch>), OpenError> {
        let database = opener()?;
        let (mut rows, claimed, start) = read(&database)?;
        let mut mismatches = audit(&mut rows, &claimed);
        mismatches.sort_by_key(|mismatch| mismatch.claim);
        let start = start.max(1);
        let mut flash = Flash { opener, database: None, start, reserved: start };
        flash.settle(&database, &rows).map_err(OpenError::from)?;
        flash.database = Some(database);
        Ok((flash, rows, mismatches))
    }

    pub(super) fn start(&self) -> Revision {
        Revision(self.start)
    }

    /// Whether a revision may be handed out.
    pub(super) fn reserved(&self, revision: Revision) -> bool {
        revision.0 <= self.reserved
    }

    pub(super) fn wants_reserve(&self, revision: Revision) -> bool {
        revision.0.saturating_add(REVISION_BLOCK / 2) > self.reserved
    }

    /// Makes flash hold `after` instead of `before`, which differ in `dirty`.
    /// After a failure flash holds either; the next call re-opens and settles.
    pub(super) fn commit(
        &mut self,
        before: &Rows,
        after: &Rows,
        dirty: &BTreeSet<RowKey>,
        revision: Revision,
    ) -> Result<(), String> {
        let result = self.try_commit(before, after, dirty, revision);
        if result.is_err() {
            self.database = None;
        }
        result.map_err(|error| error.to_string())
    }

    fn try_commit(
        &mut self,
        before: &Rows,
        after: &Rows,
        dirty: &BTreeSet<RowKey>,
        revision: Revision,
    ) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let database = (self.opener)()?;
                self.settle(&database, before)?;
                database
            }
        };
        let reserve = if self.wants_reserve(revision) { revision.0 + REVISION_BLOCK } else { self.reserved };
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        {
            let mut objects = txn.open_table(OBJECTS)?;
            let mut claims = txn.open_table(CLAIMS)?;
            // Every release comes first: a claim may move within a batch.
            for row in dirty.iter().filter_map(|key| before.get(key)) {
                for claim in row.claims.iter() {
                    claims.remove(claim_bytes(*claim).as_slice())?;
                }
            }
            for key in dirty {
                let at = key_bytes(key);
                let Some(row) = after.get(key) else {
                    objects.remove(at.as_slice())?;
                    continue;
                };
                objects.insert(at.as_slice(), &*row.object.json())?;
                for claim in row.claims.iter() {
                    claims.insert(claim_bytes(*claim).as_slice(), at.as_slice())?;
                }
            }
            txn.open_table(META)?.insert("reserved", reserve)?;
        }
        txn.commit()?;
        self.reserved = reserve;
        self.database = Some(database);
        Ok(())
    }

    /// Makes flash hold exactly `rows`, whatever it holds now, and reserves the
    /// next block of revisions.
    fn settle(&mut self, database: &Database, rows: &Rows) -> Result<(), redb::Error> {
        let reserve = self.reserved.saturating_add(REVISION_BLOCK);
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        {
            let mut wanted = std::collections::BTreeMap::new();
            let mut owners = std::collections::BTreeMap::new();
            for (key, row) in rows {
                let at = key_bytes(key);
                owners.extend(row.claims.iter().map(|claim| (claim_bytes(*claim), at.clone())));
                wanted.insert(at, row.object.json().to_vec());
            }
            make_equal(&mut txn.open_table(OBJECTS)?, &wanted)?;
            make_equal(&mut txn.open_table(CLAIMS)?, &owners)?;
            let mut meta = txn.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("reserved", reserve)?;
        }
        txn.commit()?;
        self.reserved = reserve;
        Ok(())
    }
}

type BytesMap = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

fn make_equal(table: &mut redb::Table<'_, &[u8], &[u8]>, wanted: &BytesMap) -> Result<(), redb::Error> {
    table.retain(|key, value| wanted.get(key).is_some_and(|bytes| bytes == value))?;
    for (key, value) in wanted {
        if table.get(key.as_slice())?.is_none() {
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(())
}

type Read = (Rows, Vec<(Option<Claim>, Option<RowKey>)>, u64);

fn read(database: &Database) -> Result<Read, OpenError> {
    let bad = |what: String| OpenError::Corrupt(what);
    let txn = database.begin_write().map_err(redb::Error::from)?;
    let mut rows = Rows::new();
    let mut claimed = Vec::new();
    let start;
    {
        let meta = txn.open_table(META).map_err(redb::Error::from)?;
        let number = |name| meta.get(name).map(|found| found.map(|n| n.value())).map_err(redb::Error::from);
        let format = number("format")?.unwrap_or(FORMAT);
        if format > FORMAT {
            return Err(OpenError::Newer { found: format, known: FORMAT });
        }
        start = number("reserved")?.unwrap_or_default();
        let objects = txn.open_table(OBJECTS).map_err(redb::Error::from)?;
        for item in objects.iter().map_err(redb::Error::from)? {
            let (key, value) = item.map_err(redb::Error::from)?;
            let key = read_key(key.value()).ok_or_else(|| bad("a row has an unknown key".to_owned()))?;
            let object = Object::decode(key.0, value.value()).map_err(|e| bad(format!("{} {}: {e}", key.0, key.1)))?;
            rows.insert(key, Row { object: Arc::new(object), claims: [].into() });
        }
        let claims = txn.open_table(CLAIMS).map_err(redb::Error::from)?;
        for item in claims.iter().map_err(redb::Error::from)? {
            let (claim, owner) = item.map_err(redb::Error::from)?;
            claimed.push((read_claim(claim.value()), read_key(owner.value())));
        }
    }
    txn.abort().map_err(redb::Error::from)?;
    Ok((rows, claimed, start))
}

/// Gives every row the claims its object says it holds; reports where the claim
/// rows said something else.
fn audit(rows: &mut Rows, claimed: &[(Option<Claim>, Option<RowKey>)]) -> Vec<Mismatch> {
    let mut by_age: Vec<(Revision, RowKey)> =
        rows.iter().map(|(key, row)| (row.object.revision, key.clone())).collect();
    by_age.sort();
    let mut owners: OrdMap<Claim, RowKey> = OrdMap::new();
    let mut mismatches = Vec::new();
    for (_, key) in by_age {
        let Some(row) = rows.get_mut(&key) else { continue };
        let mut claims = held_claims(&row.object);
        claims.retain(|claim| {
            let free = !owners.contains_key(claim);
            if !free {
                mismatches.push(Mismatch { claim: Some(*claim), fault: Fault::Double });
            }
            free
        });
        owners.extend(claims.iter().map(|claim| (*claim, key.clone())));
        row.claims = claims.into();
    }
    let mut missing = owners.clone();
    for (claim, owner) in claimed {
        if claim.is_some_and(|claim| owner.is_some() && owners.get(&claim) == owner.as_ref()) {
            claim.map(|claim| missing.remove(&claim));
        } else {
            mismatches.push(Mismatch { claim: *claim, fault: Fault::Orphan });
        }
    }
    mismatches.extend(missing.keys().map(|claim| Mismatch { claim: Some(*claim), fault: Fault::Missing }));
    mismatches
}

fn key_bytes((kind, key): &RowKey) -> Vec<u8> {
    let mut bytes = vec![kind.tag()];
    bytes.extend_from_slice(key.namespace.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key.name.as_bytes());
    bytes
}

fn read_key(bytes: &[u8]) -> Option<RowKey> {
    let (tag, text) = bytes.split_first()?;
    let (namespace, name) = std::str::from_utf8(text).ok()?.split_once('\0')?;
    Some((Kind::from_tag(*tag)?, ObjectKey::new(namespace, name)))
}

fn claim_bytes(claim: Claim) -> Vec<u8> {
    match claim {
        Claim::ClusterIp(IpAddr::V4(addr)) => [&[4], addr.octets().as_slice()].concat(),
        Claim::ClusterIp(IpAddr::V6(addr)) => [&[6], addr.octets().as_slice()].concat(),
        Claim::NodePort(port) => [&[9], port.to_be_bytes().as_slice()].concat(),
    }
}

fn read_claim(bytes: &[u8]) -> Option<Claim> {
    let (tag, value) = bytes.split_first()?;
    match tag {
        4 => <[u8; 4]>::try_from(value).ok().map(|octets| Claim::ClusterIp(octets.into())),
        6 => <[u8; 16]>::try_from(value).ok().map(|octets| Claim::ClusterIp(octets.into())),
        9 => <[u8; 2]>::try_from(value).ok().map(|bytes| Claim::NodePort(u16::from_be_bytes(bytes))),
        _ => None,
    }
}
