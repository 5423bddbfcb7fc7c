//! Cases of spec/endpoints.md by number, decided over snapshots and played
//! until nothing changes.

mod addresses;
mod cases;
mod conditions;
mod objects;
mod worker;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::trigger::Triggers;
use super::{Facts, Scene, Task, decide, dirty};
use crate::model::{Draft, Kind, ObjectKey, Revision};
use crate::store::{Expect, Op, Snapshot};

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
/// Rounds after which a world that still changes is broken.
const ROUNDS_MAX: usize = 50;

/// A store without a store: a snapshot that tasks are played on.
struct World {
    snapshot: Snapshot,
    seen: Option<Revision>,
    facts: Facts,
    /// Every op the controllers asked for, newest last.
    written: Vec<Op>,
    now: OffsetDateTime,
    triggers: Triggers,
}

impl World {
    fn new(drafts: impl IntoIterator<Item = Draft>) -> World {
        let nodes = [("node1", "za"), ("node2", "zb")].map(|(name, zone)| {
            draft(Kind::Node, name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
        });
        let snapshot = Snapshot::for_tests(nodes.into_iter().chain(drafts));
        let facts = Facts {
            node_name: "node1".into(),
            node_addrs: vec!["192.0.2.1".parse().unwrap()],
            service_ranges: vec!["10.96.0.0/16".parse().unwrap()],
            api_listen: Some("0.0.0.0:6443".parse().unwrap()),
            ..Facts::default()
        };
        let mut world =
            World { snapshot, seen: None, facts, written: Vec::new(), now: NOW, triggers: Triggers::default() };
        world.settle();
        world
    }

    /// Runs the dirty tasks until none writes.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let tasks = match self.seen {
                Some(seen) => dirty::since(&self.snapshot, seen).unwrap(),
                None => dirty::all(&self.snapshot),
            };
            self.seen = Some(self.snapshot.revision());
            if tasks.is_empty() {
                return;
            }
            self.play(tasks);
        }
        panic!("still writing after {ROUNDS_MAX} rounds");
    }

    fn play(&mut self, tasks: BTreeSet<Task>) {
        for task in tasks {
            let random = fastrand::Rng::with_seed(self.snapshot.revision().0);
            let triggers = &mut self.triggers;
            let mut scene = Scene { snapshot: &self.snapshot, facts: &self.facts, now: self.now, random, triggers };
            let ops = decide(&mut scene, &task).unwrap().ops;
            self.snapshot = self.snapshot.foresee(&ops).unwrap();
            self.written.extend(ops);
        }
    }

    fn put(&mut self, draft: Draft) {
        let op = Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() };
        self.snapshot = self.snapshot.foresee(&[op]).unwrap();
        self.written.clear();
        self.settle();
    }

    fn delete(&mut self, kind: Kind, name: &str) {
        let op = Op::Delete { kind, key: key(kind, name), expect: Expect::Any };
        self.snapshot = self.snapshot.foresee(&[op]).unwrap();
        self.written.clear();
        self.settle();
    }

    /// Changes a stored object as a client would.
    fn edit(&mut self, kind: Kind, name: &str, patch: Value) {
        let mut value = self.get(kind, name).unwrap();
        json_patch::merge(&mut value, &patch);
        self.put(Draft::new(kind, &value).unwrap());
    }

    fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.snapshot.get(kind, &key(kind, name)).map(|object| object.value())
    }

    fn endpoints(&self) -> Value {
        self.get(Kind::Endpoints, "my-service").unwrap()
    }

    /// The slices of my-service, with the most endpoints first.
    fn slices(&self) -> Vec<Value> {
        let all = self.snapshot.list(Kind::EndpointSlice, Some("default")).map(|slice| slice.value());
        let mut slices: Vec<Value> =
            all.filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == "my-service").collect();
        slices.sort_by_key(|slice| std::cmp::Reverse(slice["endpoints"].as_array().map_or(0, Vec::len)));
        slices
    }

    fn endpoint(&self) -> Value {
        self.slices()[0]["endpoints"][0].clone()
    }

    fn conditions(&self) -> [bool; 3] {
        let endpoint = self.endpoint();
        ["ready", "serving", "terminating"].map(|name| endpoint["conditions"][name].as_bool().unwrap())
    }

    /// Every address in every slice, sorted, doubles kept.
    fn slice_addrs(&self) -> Vec<String> {
        let slices = self.slices();
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let mut addrs: Vec<String> = endpoints.map(|e| e["addresses"][0].as_str().unwrap().to_owned()).collect();
        addrs.sort();
        addrs
    }
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(if kind.resource().namespaced { "default" } else { "" }, name)
}

fn draft(kind: Kind, name: &str, content: Value) -> Draft {
    let mut value =
        json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z"}});
    if kind.resource().namespaced {
        value["metadata"]["namespace"] = json!("default");
    }
    json_patch::merge(&mut value, &content);
    Draft::new(kind, &value).unwrap()
}

fn service(content: Value) -> Draft {
    let mut value = json!({"spec": {"type": "ClusterIP", "selector": {"app": "MyApp"}, "clusterIPs": ["10.96.0.9"],
        "ipFamilies": ["IPv4"], "ports": [{"protocol": "TCP", "port": 80, "targetPort": 9376}]}});
    json_patch::merge(&mut value, &content);
    draft(Kind::Service, "my-service", value)
}

fn pod(name: &str, ip: &str, ready: bool, content: Value) -> Draft {
    let ready = if ready { "True" } else { "False" };
    let condition =
        |r#type, status| json!({"type": r#type, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let mut value = json!({"metadata": {"labels": {"app": "MyApp"}}, "spec": {"nodeName": "node1"},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [condition("Ready", ready), condition("PodScheduled", "True")]}});
    json_patch::merge(&mut value, &content);
    draft(Kind::Pod, name, value)
}

fn ready_pods(count: usize) -> impl Iterator<Item = Draft> {
    (0..count).map(|i| pod(&format!("p{i}"), &format!("10.244.{}.{}", i / 250, i % 250 + 1), true, json!({})))
}

/// Going, with the whole grace period before it.
fn deleting() -> Value {
    json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:35Z", "deletionGracePeriodSeconds": 30}})
}
