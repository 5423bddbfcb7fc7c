//! The worker over a store in memory: it converges, survives refusals, and
//! writes nothing to flash.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::controller::report;
use crate::controller::worker::{Truth, work};
use crate::store::{Committed, Durability, Fault, Problem, Write, WriteError};

#[derive(Clone)]
struct Memory {
    newest: Arc<watch::Sender<Arc<Snapshot>>>,
    refusals: Arc<Mutex<usize>>,
    flash: Arc<Mutex<usize>>,
}

impl Memory {
    fn new(snapshot: Snapshot) -> Memory {
        let newest = Arc::new(watch::Sender::new(Arc::new(snapshot)));
        Memory { newest, refusals: Arc::default(), flash: Arc::default() }
    }
}

impl Truth for Memory {
    fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.newest.subscribe()
    }

    async fn submit(&self, write: Write) -> Result<Committed, WriteError> {
        {
            let mut refusals = self.refusals.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                return Err(WriteError::Unavailable("disk full".into()));
            }
        }
        *self.flash.lock().unwrap() += usize::from(write.durability == Durability::Flash);
        let next = self.newest.borrow().foresee(&write.ops)?;
        let revision = next.revision();
        self.newest.send_replace(Arc::new(next));
        Ok(Committed { objects: Vec::new(), revision })
    }
}

fn put(draft: Draft) -> Write {
    let op = Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() };
    Write { ops: vec![op], durability: Durability::Memory }
}

/// Works until `done` holds of the newest snapshot.
async fn until(store: &Memory, done: impl Fn(&Snapshot) -> bool) {
    let (_told, facts) = watch::channel(Facts { node_name: "node1".into(), ..Facts::default() });
    let mut newest = store.subscribe();
    let deadline = Duration::from_secs(60);
    let wait = tokio::time::timeout(deadline, newest.wait_for(|snapshot| done(snapshot)));
    tokio::select! {
        () = work(store, facts, || NOW) => panic!("the worker ended"),
        held = wait => assert!(held.is_ok(), "not reached in {deadline:?}"),
    }
}

fn addresses(snapshot: &Snapshot) -> usize {
    snapshot.list(Kind::EndpointSlice, None).filter_map(|s| s.as_endpoint_slice()).map(|s| s.endpoints.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn the_worker_converges_after_refusals() {
    let store = Memory::new(Snapshot::for_tests([service(json!({}))].into_iter().chain(ready_pods(3))));
    *store.refusals.lock().unwrap() = 5;
    until(&store, |snapshot| addresses(snapshot) == 3).await;
    assert_eq!(*store.refusals.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn flapping_endpoints_write_nothing_to_flash() {
    let store = Memory::new(Snapshot::for_tests([service(json!({})), pod("a", "10.244.1.1", true, json!({}))]));
    for round in 0..20 {
        let ready = round % 2 == 0;
        store.submit(put(pod("a", "10.244.1.1", ready, json!({})))).await.unwrap();
        let shows = |snapshot: &Snapshot| {
            let mut slices = snapshot.list(Kind::EndpointSlice, None).filter_map(|s| s.as_endpoint_slice());
            slices.any(|s| s.endpoints.iter().any(|e| e.conditions.ready == Some(ready)))
        };
        until(&store, shows).await;
    }
    assert_eq!(*store.flash.lock().unwrap(), 0);
}

#[tokio::test]
async fn what_a_repair_found_is_told_as_events_of_the_services() {
    let both = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}});
    let store = Memory::new(Snapshot::for_tests([draft(Kind::Service, "web", both)]));
    let fault = |claim: &str, problem| Fault { claim: claim.into(), owner: "services/default/web".into(), problem };
    let faults = [
        fault("ip/10.96.0.9", Problem::NotRecorded),
        fault("ip/10.96.0.9", Problem::RecordedFor("services/default/gone".into())),
        fault("ip/10.96.0.9", Problem::HeldByOther("services/default/old".into())),
        fault("port/30080", Problem::NotRecorded),
        fault("port/30080", Problem::HeldByOther("services/default/old".into())),
        fault("port/30080", Problem::Leaked),
    ];
    let facts = Facts { node_name: "node1".into(), ..Facts::default() };
    report(&store, &facts, &faults).await;
    let snapshot = Arc::clone(&store.subscribe().borrow());
    let text = |event: &Value, member: &str| event[member].as_str().unwrap_or_default().to_owned();
    let events = snapshot.list(Kind::Event, None).map(|event| event.value());
    let mut told: Vec<_> = events
        .map(|event| {
            assert_eq!(event["involvedObject"]["name"], "web");
            assert_eq!(text(&event, "type"), "Warning");
            (text(&event, "action"), text(&event, "reason"), text(&event, "message"))
        })
        .collect();
    told.sort();
    let ip = |reason: &str, note: &str| ("ClusterIPAllocation".to_owned(), reason.to_owned(), note.to_owned());
    let port = |reason: &str, note: &str| ("PortAllocation".to_owned(), reason.to_owned(), note.to_owned());
    let expected = [
        ip(
            "ClusterIPAlreadyAllocated",
            "Cluster IP [IPv4]:10.96.0.9 was assigned to multiple services; please recreate service",
        ),
        ip("ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.96.0.9 is not allocated; repairing"),
        ip(
            "ClusterIPNotAllocated",
            "the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
        ),
        port("PortAlreadyAllocated", "Port 30080 was assigned to multiple services; please recreate service"),
        port("PortNotAllocated", "Port 30080 is not allocated; repairing"),
    ];
    assert_eq!(told, expected);
    let again = [fault("ip/10.96.0.9", Problem::HeldByOther("services/default/old".into()))];
    report(&store, &facts, &again).await;
    let count = store.subscribe().borrow().list(Kind::Event, None).count();
    assert_eq!(count, expected.len(), "what the periodic look tells too is not told twice in an hour");
}
