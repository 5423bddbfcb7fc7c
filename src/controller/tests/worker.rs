//! The worker over a store in memory: it converges, survives refusals, and
//! writes nothing to flash.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::controller::worker::{Truth, work};
use crate::store::{Committed, Durability, Write, WriteError};

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
        let next = self.newest.borrow().after_for_tests(&write.ops)?;
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
