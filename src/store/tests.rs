//! What broke, would break, or must never break: durability, claims, revisions,
//! history, and a disk that fails at every operation in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use serde_json::json;

use super::disk::Disk;
use super::*;
use crate::model::{Claim, Draft, Kind, ObjectKey, Revision};

fn draft(kind: Kind, name: &str, text: &str) -> Box<Draft> {
    let spec = json!({"ports": [{"port": 80}], "externalName": text});
    let value = json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "spec": spec});
    Box::new(Draft::new(kind, &value).unwrap())
}

fn service(name: &str, ip: &str) -> Op {
    let value =
        json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"clusterIPs": [ip], "ports": [{"port": 80}]}});
    let draft = Draft::new(Kind::Service, &value).unwrap();
    Op::Put { draft: Box::new(draft), expect: Expect::Absent, claims: vec![Claim::ClusterIp(ip.parse().unwrap())] }
}

fn put(name: &str, text: &str, expect: Expect) -> Op {
    Op::Put { draft: draft(Kind::ConfigMap, name, text), expect, claims: vec![] }
}

fn flash(op: Op) -> Write {
    Write { ops: vec![op], durability: Durability::Flash }
}

fn memory(op: Op) -> Write {
    Write { ops: vec![op], durability: Durability::Memory }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("n", name)
}

fn at(dir: &tempfile::TempDir) -> Options {
    Options { path: dir.path().join("store.redb") }
}

#[tokio::test]
async fn what_follows_or_is_renewed_stays_off_the_flash_whatever_the_write_asks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    let addr: std::net::IpAddr = "10.0.0.1".parse().unwrap();
    let derived = crate::model::ip_address::content(addr, &key("a"));
    let by_hand = json!({"metadata": {"name": "10.0.0.2"}, "spec": {}});
    let lease = json!({"metadata": {"name": "l", "namespace": "n"}});
    let put = |kind, value: &serde_json::Value| {
        let draft = Draft::new(kind, value).unwrap();
        let claims = draft.commit(Revision(1)).claims();
        Op::Put { draft: Box::new(draft), expect: Expect::Absent, claims }
    };
    let ops = vec![
        service("a", "10.0.0.1"),
        put(Kind::IpAddress, &derived),
        put(Kind::IpAddress, &by_hand),
        put(Kind::Lease, &lease),
    ];
    store.submit(Write { ops, durability: Durability::Flash }).await.unwrap();
    store.close().await;
    let snapshot = Store::open(&at(&dir)).unwrap().snapshot();
    let names: Vec<String> = snapshot.list(Kind::IpAddress, None).map(|object| object.key.name.to_string()).collect();
    assert_eq!(names, ["10.0.0.2"]);
    assert_eq!((snapshot.count(Kind::Lease), snapshot.count(Kind::Service)), (0, 1));
    let holder = |ip: &str| snapshot.claims().get(&Claim::ClusterIp(ip.parse().unwrap())).map(ToString::to_string);
    assert_eq!((holder("10.0.0.1").as_deref(), holder("10.0.0.2").as_deref()), (Some("n/a"), Some("10.0.0.2")));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_what_was_derived_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    store.submit(flash(service("a", "10.0.0.1"))).await.unwrap();
    let last = store.submit(memory(put("derived", "x", Expect::Absent))).await.unwrap().revision;
    store.close().await;
    let store = Store::open(&at(&dir)).unwrap();
    let snapshot = store.snapshot();
    assert!(snapshot.get(Kind::Service, &key("a")).is_some());
    assert!(snapshot.get(Kind::ConfigMap, &key("derived")).is_none());
    assert_eq!(snapshot.claims().get(&Claim::ClusterIp("10.0.0.1".parse().unwrap())), Some(&key("a")));
    assert!(snapshot.revision() >= last);
    assert_eq!(snapshot.events_since(Kind::Service, Revision(0)).unwrap_err().oldest, snapshot.revision());
}

#[tokio::test]
async fn revisions_never_go_back_even_when_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    let mut last = Revision(0);
    for n in 0..100 {
        last = store.submit(memory(put("m", &n.to_string(), Expect::Any))).await.unwrap().revision;
    }
    // A copy of the file while the store runs is what kill -9 would leave.
    let crashed = tempfile::tempdir().unwrap();
    std::fs::copy(at(&dir).path, at(&crashed).path).unwrap();
    assert!(Store::open(&at(&crashed)).unwrap().snapshot().revision() >= last);
}

#[tokio::test]
async fn expectations_and_claims_are_checked_in_the_write_itself() {
    let store = Store::in_memory().unwrap();
    let first = store.submit(flash(service("a", "10.0.0.1"))).await.unwrap();
    assert!(matches!(store.submit(flash(service("a", "10.0.0.2"))).await, Err(WriteError::Exists { .. })));
    let taken = store.submit(flash(service("b", "10.0.0.1"))).await;
    assert!(matches!(taken, Err(WriteError::ClaimTaken { owner, .. }) if owner == key("a")));
    let stale = Expect::At(Revision(first.revision.0 + 5));
    let delete = |expect| flash(Op::Delete { kind: Kind::Service, key: key("a"), expect });
    assert!(matches!(store.submit(delete(stale)).await, Err(WriteError::Conflict { .. })));
    let gone = store.submit(delete(Expect::At(first.revision))).await.unwrap();
    assert_eq!(gone.objects[0].revision, gone.revision);
    assert_eq!(gone.objects[0].value()["metadata"]["resourceVersion"], gone.revision.to_string());
    assert!(matches!(store.submit(delete(Expect::Any)).await, Err(WriteError::NotFound { .. })));
    store.submit(flash(service("b", "10.0.0.1"))).await.unwrap();
}

#[tokio::test]
async fn a_write_is_whole_or_not_at_all() {
    let store = Store::in_memory().unwrap();
    store.submit(flash(put("there", "x", Expect::Absent))).await.unwrap();
    let before = store.snapshot().revision();
    let ops = vec![put("new", "x", Expect::Absent), put("there", "y", Expect::Absent)];
    let refused = store.submit(Write { ops, durability: Durability::Flash }).await;
    assert!(matches!(refused, Err(WriteError::Exists { .. })));
    assert!(store.snapshot().get(Kind::ConfigMap, &key("new")).is_none());
    assert_eq!(store.snapshot().revision(), before);
}

#[tokio::test]
async fn deleting_a_stored_object_is_durable_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    store.submit(flash(put("a", "x", Expect::Absent))).await.unwrap();
    store.submit(memory(put("a", "derived", Expect::Any))).await.unwrap();
    store.submit(flash(put("b", "acknowledged", Expect::Absent))).await.unwrap();
    store.submit(memory(put("b", "derived", Expect::Any))).await.unwrap();
    store.submit(memory(Op::Delete { kind: Kind::ConfigMap, key: key("a"), expect: Expect::Any })).await.unwrap();
    store.close().await;
    let snapshot = Store::open(&at(&dir)).unwrap().snapshot();
    assert!(snapshot.get(Kind::ConfigMap, &key("a")).is_none());
    let b = snapshot.get(Kind::ConfigMap, &key("b")).unwrap().value();
    assert_eq!(b["spec"]["externalName"], "acknowledged");
}

#[tokio::test]
async fn history_is_bounded_and_says_where_it_begins() {
    let store = Store::in_memory().unwrap();
    let mut last = Revision(0);
    for n in 0..snapshot::HISTORY_EVENTS_MAX + 10 {
        last = store.submit(memory(put("m", &n.to_string(), Expect::Any))).await.unwrap().revision;
    }
    let snapshot = store.snapshot();
    let oldest = snapshot.events_since(Kind::ConfigMap, Revision(1)).unwrap_err().oldest;
    let events = snapshot.events_since(Kind::ConfigMap, oldest).unwrap();
    assert_eq!(events.len(), snapshot::HISTORY_EVENTS_MAX);
    assert_eq!(events.last().unwrap().object.revision, last);
    assert!(snapshot.events_since(Kind::ConfigMap, last).unwrap().is_empty());
}

#[tokio::test]
async fn many_writers_share_transactions_and_nobody_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    store.submit(flash(put(&format!("{writer}-{n}"), "x", Expect::Absent))).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    store.close().await;
    assert_eq!(Store::open(&at(&dir)).unwrap().snapshot().count(Kind::ConfigMap), 400);
}

#[test]
fn a_locked_a_newer_and_a_damaged_file_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&at(&dir)).unwrap();
    assert!(matches!(Store::open(&at(&dir)), Err(OpenError::Locked(_))));
    drop(store);
    let newer = tempfile::tempdir().unwrap();
    let database = redb::Database::create(at(&newer).path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(&at(&newer)).unwrap_err();
    assert!(error.to_string().contains("format 99 is newer"), "{error}");
    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(at(&damaged).path, vec![7; 8192]).unwrap();
    let error = Store::open(&at(&damaged)).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(at(&damaged).path).unwrap(), vec![7; 8192], "a damaged file is left as it is");
}

#[test]
fn the_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(&at(&dir)).unwrap();
    assert_eq!(std::fs::metadata(at(&dir).path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// A disk in memory that outlives its databases and fails on command.
#[derive(Clone, Debug)]
struct FailingDisk {
    bytes: Arc<InMemoryBackend>,
    /// Operations until the next failure; negative: none.
    fuse: Arc<AtomicI64>,
}

impl FailingDisk {
    fn new() -> FailingDisk {
        FailingDisk { bytes: Arc::new(InMemoryBackend::new()), fuse: Arc::new(AtomicI64::new(-1)) }
    }

    fn burn(&self) -> Result<(), std::io::Error> {
        if self.fuse.load(Ordering::SeqCst) >= 0 && self.fuse.fetch_sub(1, Ordering::SeqCst) == 0 {
            // The disk stays broken until somebody mends it.
            self.fuse.store(0, Ordering::SeqCst);
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn open(&self) -> Result<Store, OpenError> {
        let disk = self.clone();
        let opener = move || redb::Database::builder().create_with_backend(disk.clone());
        Store::on(Disk::with(Box::new(opener), &PathBuf::from("failing"))?)
    }
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.burn()?;
        self.bytes.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.burn()?;
        self.bytes.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.burn()?;
        self.bytes.write(offset, data)
    }
}

/// Fails the workload's I/O at every place in turn: what was acknowledged stands,
/// what was refused can be tried again, reads and memory writes go on, and the
/// next start sees the same.
#[tokio::test]
async fn a_full_disk_at_any_moment_loses_nothing_and_passes() {
    for fuse in 0..60 {
        let disk = FailingDisk::new();
        let store = disk.open().unwrap();
        store.submit(flash(service("kept", "10.0.0.1"))).await.unwrap();
        disk.fuse.store(fuse, Ordering::SeqCst);
        let mut acknowledged = Vec::new();
        for n in 0..8 {
            let name = format!("s{n}");
            match store.submit(flash(service(&name, &format!("10.0.1.{n}")))).await {
                Ok(_) => acknowledged.push(name),
                Err(WriteError::Unavailable(_)) => {
                    assert!(matches!(store.health(), Health::ReadOnly(_)));
                    assert!(store.snapshot().get(Kind::Service, &key(&name)).is_none());
                    store.submit(memory(put("derived", "x", Expect::Any))).await.unwrap();
                }
                Err(other) => panic!("fuse {fuse}: {other}"),
            }
        }
        disk.fuse.store(-1, Ordering::SeqCst);
        let last = store.submit(flash(service("after", "10.0.2.1"))).await.unwrap().revision;
        assert_eq!(store.health(), Health::Writable);
        let live: Vec<_> = store.snapshot().list(Kind::Service, None).map(|object| object.json()).collect();
        assert_eq!(live.len(), acknowledged.len() + 2);
        store.close().await;
        let again = disk.open().unwrap().snapshot();
        assert!(again.revision() >= last, "fuse {fuse}");
        let stored: Vec<_> = again.list(Kind::Service, None).map(|object| object.json()).collect();
        assert_eq!(stored, live, "fuse {fuse}");
        assert_eq!(again.claims().len(), live.len(), "fuse {fuse}");
    }
}
