//! Tells of Services that the kernel refuses, of ports whose protocol cannot be carried and
//! of endpoints that cannot be ones: an event and a condition on each Service, and for
//! what the kernel refuses a line in `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::controller::{self, Trouble};
use crate::dataplane::Refusals;
use crate::model::{Kind, ObjectKey};
use crate::store::Store;

/// Services named in one line; the others are counted.
const NAMED_MAX: usize = 5;
/// Pause between events: whatever refuses thousands of Services at once would drown
/// everything else that events say.
const EVENT_PAUSE: Duration = Duration::from_millis(20);

/// What an event and a condition say of a Service besides the cause of the moment.
#[derive(Debug)]
pub(super) struct Words {
    trouble: Trouble,
    reason: &'static str,
    note: &'static str,
}

pub(super) const KERNEL: Words =
    Words { trouble: Trouble::Kernel, reason: "KernelRefused", note: "cannot install the Service, and tries again" };
pub(super) const MISPLACED: Words = Words {
    trouble: Trouble::Endpoints,
    reason: "EndpointIsClusterIP",
    note: "leads no connection to endpoints that are cluster IPs themselves",
};
pub(super) const UNSERVED: Words = Words {
    trouble: Trouble::Ports,
    reason: "ProtocolNotSupported",
    note: "leaves ports of the Service out and serves the others",
};

/// Why the kernel does not hold every Service, if it does not.
pub(super) fn failure(refused: &Refusals) -> Option<String> {
    let named: Vec<String> = refused.iter().take(NAMED_MAX).map(|(key, why)| format!("{key} ({why})")).collect();
    let more = refused.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("refuses Services: {}{more}", named.join(", ")))
}

/// Has the controllers show a condition on each Service that has trouble, as long as it has.
pub(super) async fn show(
    facts: watch::Sender<controller::Facts>,
    words: &'static Words,
    mut troubled: watch::Receiver<Refusals>,
) {
    loop {
        let now = troubled.borrow_and_update().clone();
        facts.send_if_modified(|facts| {
            let cause = |(service, why): (&ObjectKey, &String)| {
                let message = format!("node {} {}: {why}", facts.node_name, words.note);
                (service.clone(), controller::Cause { reason: words.reason, message })
            };
            Arc::make_mut(&mut facts.troubles).replace(words.trouble, now.iter().map(cause).collect::<Vec<_>>())
        });
        if troubled.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Writes an event on each Service that has trouble, once for each cause.
pub(super) async fn report(
    store: Store,
    facts: controller::Facts,
    words: &'static Words,
    mut troubled: watch::Receiver<Refusals>,
) {
    let mut told = Refusals::new();
    loop {
        let now = troubled.borrow_and_update().clone();
        for (service, why) in now.iter().filter(|(service, why)| told.get(*service) != Some(*why)) {
            let note = format!("node {} {}: {why}", facts.node_name, words.note);
            let report = controller::Report { controller: "kube-proxy", action: "Sync", reason: words.reason, note };
            controller::warn(&store, &facts, Kind::Service, service, &report).await;
            tokio::time::sleep(EVENT_PAUSE).await;
        }
        told = now;
        if troubled.changed().await.is_err() {
            // Without a dataplane there is nobody to tell of; a task that ends is a fault.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;
    use crate::store::{Durability, Expect, Op, Write};

    #[test]
    fn the_first_refused_services_are_named_and_the_others_counted() {
        let refused = |count: u32| -> Refusals {
            (0..count).map(|number| (ObjectKey::new("t", &format!("s{number}")), "no room".to_owned())).collect()
        };
        assert_eq!(failure(&refused(0)), None);
        assert_eq!(failure(&refused(1)).as_deref(), Some("refuses Services: t/s0 (no room)"));
        let line = failure(&refused(7)).unwrap_or_default();
        assert!(line.ends_with("t/s4 (no room) and 2 more"), "{line}");
    }

    #[tokio::test]
    async fn a_service_gets_an_event_for_each_cause_and_not_for_each_try() {
        let store = Store::in_memory().unwrap();
        let key = ObjectKey::new("t", "web");
        let service = serde_json::json!({"metadata": {"name": "web", "namespace": "t", "uid": "u"}, "spec": {}});
        let draft = Draft::new(Kind::Service, &service).unwrap();
        let create = Op::Put { draft: Box::new(draft), expect: Expect::Absent, claims: Vec::new() };
        store.submit(Write { ops: vec![create], durability: Durability::Memory }).await.unwrap();
        let (causes, troubled) = watch::channel(Refusals::from([(key.clone(), "no room".to_owned())]));
        let facts = controller::Facts { node_name: "node1".into(), ..controller::Facts::default() };
        let reporting = tokio::spawn(report(store.clone(), facts, &KERNEL, troubled));
        let told = |count: usize| {
            let mut snapshots = store.subscribe();
            async move { snapshots.wait_for(|snapshot| snapshot.count(Kind::Event) == count).await.unwrap().clone() }
        };
        told(1).await;
        causes.send_modify(|_| {});
        causes.send_replace(Refusals::from([(key, "no memory".to_owned())]));
        let snapshot = told(2).await;
        let mut notes: Vec<String> = snapshot
            .list(Kind::Event, None)
            .map(|event| event.value().pointer("/message").and_then(|note| note.as_str()).unwrap().to_owned())
            .collect();
        notes.sort();
        assert_eq!(
            notes,
            ["no memory", "no room"]
                .map(|cause| format!("node node1 cannot install the Service, and tries again: {cause}"))
        );
        reporting.abort();
    }
}
