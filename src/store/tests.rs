//! What must hold of the store: acknowledged is durable, refused leaves no
//! trace, a claim has one owner, a revision is never given twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};
use serde_json::json;

use super::*;
use crate::model::{Claim, Draft, Kind, ObjectKey, Revision};

fn service(name: &str, port: u16) -> Op {
    let value = json!({"metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"ports": [{"port": 80, "nodePort": port}]}});
    let draft = Box::new(Draft::new(Kind::Service, &value).unwrap());
    let claims = if port == 0 { vec![] } else { vec![Claim::NodePort(port)] };
    Op::Put { draft, expect: Expect::Any, claims }
}

fn delete(name: &str) -> Op {
    Op::Delete { kind: Kind::Service, key: ObjectKey::new("n", name), expect: Expect::Any }
}

fn flash(op: Op) -> Write {
    Write { ops: vec![op], durability: Durability::Flash }
}

fn memory(op: Op) -> Write {
    Write { ops: vec![op], durability: Durability::Memory }
}

fn names(store: &Store) -> Vec<String> {
    store.snapshot().list(Kind::Service, None).map(|object| object.key.name.to_string()).collect()
}

#[tokio::test]
async fn what_was_acknowledged_survives_and_memory_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { path: dir.path().join("store.redb") };
    let store = Store::open(&options).unwrap();
    assert!(matches!(Store::open(&options), Err(OpenError::Locked)));
    store.submit(flash(service("a", 30001))).await.unwrap();
    store.submit(flash(service("b", 0))).await.unwrap();
    let last = store.submit(memory(service("m", 0))).await.unwrap().revision;
    store.submit(memory(delete("b"))).await.unwrap();
    store.close().await;
    let store = Store::open(&options).unwrap();
    assert_eq!(names(&store), ["a"]);
    assert_eq!(store.mismatches(), []);
    assert!(store.snapshot().revision() > last);
    assert!(store.snapshot().events_since(Kind::Service, last).is_err());
    let taken = store.submit(flash(service("c", 30001))).await;
    assert!(matches!(taken, Err(WriteError::ClaimTaken { .. })), "{taken:?}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&options.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(matches!(Store::open(&Options { path }), Err(OpenError::Corrupt(_))));
}

#[tokio::test]
async fn a_write_is_whole_or_nothing_and_fails_alone() {
    let store = Store::in_memory().unwrap();
    store.submit(flash(service("a", 30001))).await.unwrap();
    let both = Write { ops: vec![service("b", 30002), service("c", 30001)], durability: Durability::Flash };
    let (bad, good) = tokio::join!(store.submit(both), store.submit(flash(service("d", 30002))));
    assert!(matches!(bad, Err(WriteError::ClaimTaken { .. })));
    good.unwrap();
    assert_eq!(names(&store), ["a", "d"]);
    let gone = store.submit(flash(delete("a"))).await.unwrap();
    assert_eq!(gone.objects[0].value()["metadata"]["resourceVersion"], gone.revision.to_string());
    store.submit(flash(service("c", 30001))).await.unwrap();
}

/// A disk in memory that fails its `fail_at`th operation from the start on, for
/// `failures` operations.
#[derive(Clone, Debug, Default)]
struct FaultDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    ops: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
    fail_at: Arc<AtomicU64>,
}

const FAILURES: u64 = 3;

impl FaultDisk {
    fn tick(&self) -> std::io::Result<()> {
        let op = self.ops.fetch_add(1, Ordering::SeqCst);
        let at = self.fail_at.load(Ordering::SeqCst);
        if op >= at && op < at.saturating_add(FAILURES) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn store(&self) -> Result<Store, OpenError> {
        let disk = self.clone();
        Store::start(Box::new(move || Ok(Database::builder().create_with_backend(disk.clone())?)))
    }
}

impl StorageBackend for FaultDisk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.tick()?;
        let at = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock().unwrap()[at..at + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.tick()?;
        self.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.tick()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.tick()?;
        let at = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Writes a little of everything; what the store acknowledged is in the result.
async fn workload(store: &Store) -> (BTreeMap<String, u16>, Revision) {
    let mut acknowledged = BTreeMap::new();
    for (name, port) in [("a", 30001), ("b", 30002), ("a", 30003), ("c", 30001), ("b", 0), ("d", 30002)] {
        if store.submit(flash(service(name, port))).await.is_ok() {
            acknowledged.insert(name.to_owned(), port);
        }
        // Reads and memory go on whatever the disk says.
        store.submit(memory(service("m", 0))).await.unwrap();
    }
    if store.submit(flash(delete("c"))).await.is_ok() {
        acknowledged.remove("c");
    }
    (acknowledged, store.snapshot().revision())
}

#[tokio::test]
async fn no_failing_operation_loses_or_halves_a_write() {
    let disk = FaultDisk::default();
    disk.fail_at.store(u64::MAX, Ordering::SeqCst);
    let store = disk.store().unwrap();
    let opened = disk.ops.load(Ordering::SeqCst);
    workload(&store).await;
    let total = disk.ops.load(Ordering::SeqCst);
    assert!(total > opened);
    for fail_at in opened..total {
        let disk = FaultDisk::default();
        disk.fail_at.store(fail_at, Ordering::SeqCst);
        let store = disk.store().unwrap();
        let (mut acknowledged, revision) = workload(&store).await;
        disk.fail_at.store(u64::MAX, Ordering::SeqCst);
        store.submit(flash(service("z", 30009))).await.unwrap();
        acknowledged.insert("z".to_owned(), 30009);
        assert_eq!(store.health(), Health::Writable);
        store.close().await;
        let again = disk.store().unwrap();
        let found: BTreeMap<String, u16> = again
            .snapshot()
            .list(Kind::Service, None)
            .map(|object| (object.key.name.to_string(), object.as_service().unwrap().spec.ports[0].node_port))
            .collect();
        assert_eq!(found, acknowledged, "operation {fail_at}");
        assert_eq!(again.mismatches(), [], "operation {fail_at}");
        assert!(again.snapshot().revision() > revision, "operation {fail_at}");
        again.close().await;
    }
}

#[tokio::test]
async fn memory_changes_touch_no_disk() {
    let disk = FaultDisk::default();
    disk.fail_at.store(u64::MAX, Ordering::SeqCst);
    let store = disk.store().unwrap();
    store.submit(flash(service("a", 30001))).await.unwrap();
    let before = disk.ops.load(Ordering::SeqCst);
    for _ in 0..100 {
        store.submit(memory(service("m", 0))).await.unwrap();
        store.submit(memory(service("a", 30001))).await.unwrap();
    }
    assert_eq!(disk.ops.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn claim_rows_are_put_right_by_the_objects_and_a_newer_format_is_refused() {
    const CLAIMS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("claims");
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let dir = tempfile::tempdir().unwrap();
    let options = Options { path: dir.path().join("store.redb") };
    let store = Store::open(&options).unwrap();
    store.submit(flash(service("a", 30001))).await.unwrap();
    store.close().await;
    let database = Database::create(&options.path).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let mut claims = txn.open_table(CLAIMS).unwrap();
        claims.retain(|_, _| false).unwrap();
        claims.insert([9, 0, 1].as_slice(), [3].as_slice()).unwrap();
    }
    txn.commit().unwrap();
    drop(database);
    let store = Store::open(&options).unwrap();
    assert_eq!(
        store.mismatches(),
        [
            Mismatch { claim: Some(Claim::NodePort(1)), fault: Fault::Orphan },
            Mismatch { claim: Some(Claim::NodePort(30001)), fault: Fault::Missing }
        ]
    );
    assert_eq!(store.snapshot().claims().len(), 1);
    store.close().await;
    let store = Store::open(&options).unwrap();
    assert_eq!(store.mismatches(), []);
    store.close().await;
    let database = Database::create(&options.path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert!(matches!(Store::open(&options), Err(OpenError::Newer { found: 2, known: 1 })));
}

#[tokio::test]
async fn history_is_bounded_and_says_so() {
    let store = Store::in_memory().unwrap();
    let first = store.snapshot().revision();
    for _ in 0..=HISTORY_EVENTS_MAX {
        store.submit(memory(service("m", 0))).await.unwrap();
    }
    let snapshot = store.snapshot();
    let oldest = snapshot.events_since(Kind::Service, first).unwrap_err().oldest;
    assert_eq!(snapshot.events_since(Kind::Service, oldest).unwrap().len(), HISTORY_EVENTS_MAX);
}

#[tokio::test]
async fn writes_that_wait_share_a_commit() {
    let disk = FaultDisk::default();
    disk.fail_at.store(u64::MAX, Ordering::SeqCst);
    let store = disk.store().unwrap();
    let before = disk.syncs.load(Ordering::SeqCst);
    let clients: Vec<_> = (0..512)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.submit(flash(service(&format!("s-{n}"), 0))).await })
        })
        .collect();
    for client in clients {
        client.await.unwrap().unwrap();
    }
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < 512, "{syncs} syncs");
}
