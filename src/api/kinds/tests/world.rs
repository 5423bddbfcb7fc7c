//! A snapshot that grows as objects are accepted, as the server would grow it.

use serde_json::{Value, json};
use time::macros::datetime;

use super::super::{Prepared, Rejection, Rules, Scene, create, default, update};
use crate::api::{codec, patch};
use crate::model::{Claim, Draft, Kind, Object, ObjectKey, schema};
use crate::store::{Expect, Op, Snapshot};

pub(super) const INV: &str = "FieldValueInvalid";
pub(super) const REQ: &str = "FieldValueRequired";
pub(super) const DUP: &str = "FieldValueDuplicate";
pub(super) const NS: &str = "FieldValueNotSupported";
pub(super) const FORB: &str = "FieldValueForbidden";
pub(super) const MANY: &str = "FieldValueTooMany";
pub(super) const LONG: &str = "FieldValueTooLong";

/// What is stored, and the configuration.
pub(super) struct World {
    pub(super) snapshot: Snapshot,
    pub(super) rules: Rules,
    /// The warnings of the last write.
    pub(super) warnings: Vec<String>,
}

impl World {
    /// Cluster IPs from `ranges`; Service default/kubernetes has the first address.
    pub(super) fn with(ranges: &[&str]) -> World {
        let rules = Rules {
            service_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            node_ports: 30_000..=32_767,
            cluster_dns: Vec::new(),
            external_ip_cidrs: vec!["198.51.100.0/24".parse().unwrap()],
        };
        let mut world = World { snapshot: Snapshot::default(), rules, warnings: Vec::new() };
        let first = crate::allocate::first_cluster_ip(world.rules.service_ranges[0]).to_string();
        let ports = json!([{"name": "https", "port": 443, "targetPort": 6443}]);
        let kubernetes = service("kubernetes", json!({"clusterIP": first, "ports": ports}));
        world.create(Kind::Service, kubernetes).unwrap();
        world
    }

    /// One IPv4 range.
    pub(super) fn single() -> World {
        World::with(&["10.96.0.0/16"])
    }

    /// IPv4 first, then IPv6.
    pub(super) fn dual() -> World {
        World::with(&["10.96.0.0/16", "fd00::/112"])
    }

    pub(super) fn scene(&self) -> Scene<'_> {
        Scene { snapshot: &self.snapshot, rules: &self.rules, dry_run: false, now: datetime!(2026-01-02 03:04:05 UTC) }
    }

    fn store(&mut self, kind: Kind, value: &Value, prepared: Prepared) {
        let draft = Box::new(Draft::new(kind, value).unwrap());
        let put = Op::Put { draft, expect: Expect::Any, claims: prepared.claims };
        self.snapshot = self.snapshot.foresee(&[put]).unwrap();
        self.warnings = prepared.warnings;
    }

    /// POST.
    pub(super) fn create(&mut self, kind: Kind, value: Value) -> Result<Value, Rejection> {
        let mut value = decoded(kind, value);
        default(kind, &mut value);
        codec::fill(schema::type_of(kind), &mut value);
        let prepared = create(kind, &self.scene(), &mut value)?;
        self.store(kind, &value, prepared);
        Ok(value)
    }

    /// PUT, or a write to a subresource.
    pub(super) fn write(&mut self, kind: Kind, value: Value, subresource: Option<&str>) -> Result<Value, Rejection> {
        let mut value = decoded(kind, value);
        let old = self.get(kind, value["metadata"]["name"].as_str().unwrap());
        default(kind, &mut value);
        codec::fill(schema::type_of(kind), &mut value);
        let prepared = update(kind, &self.scene(), &old, &mut value, subresource)?;
        self.store(kind, &value, prepared);
        Ok(value)
    }

    /// POST of a Service named `a`.
    pub(super) fn post(&mut self, spec: Value) -> Result<Value, Rejection> {
        self.create(Kind::Service, service("a", spec))
    }

    /// PUT of a Service named `a`.
    pub(super) fn put(&mut self, spec: Value) -> Result<Value, Rejection> {
        self.write(Kind::Service, service("a", spec), None)
    }

    /// A merge patch of the spec of Service `a`.
    pub(super) fn patch(&mut self, spec: Value) -> Result<Value, Rejection> {
        let old = self.get(Kind::Service, "a");
        let patched = patch::merge_patch(&old, &json!({"spec": spec})).unwrap();
        self.write(Kind::Service, patched, None)
    }

    /// The stored object.
    pub(super) fn get(&self, kind: Kind, name: &str) -> Value {
        self.snapshot.get(kind, &key(kind, name)).unwrap().value()
    }

    pub(super) fn delete(&mut self, name: &str) {
        let op = Op::Delete { kind: Kind::Service, key: key(Kind::Service, name), expect: Expect::Any };
        self.snapshot = self.snapshot.foresee(&[op]).unwrap();
    }

    /// Who holds a cluster IP.
    pub(super) fn ip_holder(&self, ip: &str) -> Option<String> {
        self.holder(Claim::ClusterIp(ip.parse().unwrap()))
    }

    /// Who holds a node port.
    pub(super) fn port_holder(&self, port: i64) -> Option<String> {
        self.holder(Claim::NodePort(u16::try_from(port).unwrap()))
    }

    fn holder(&self, claim: Claim) -> Option<String> {
        self.snapshot.claims().get(&claim).map(|key| key.name.to_string())
    }
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(if kind.resource().namespaced { "default" } else { "" }, name)
}

fn decoded(kind: Kind, value: Value) -> Value {
    codec::prune(schema::type_of(kind), value).unwrap().value
}

/// An object of a kind named `name`, with these members.
pub(super) fn object(kind: Kind, name: &str, members: Value) -> Value {
    let mut value = json!({"apiVersion": kind.api_version(), "kind": kind.resource().kind});
    value["metadata"] = json!({"name": name});
    if kind.resource().namespaced {
        value["metadata"]["namespace"] = "default".into();
    }
    for (member, content) in members.as_object().unwrap() {
        value[member.as_str()] = content.clone();
    }
    value
}

/// The stored form of a value.
pub(super) fn stored(kind: Kind, value: &Value) -> Object {
    Draft::new(kind, value).unwrap().commit(crate::model::Revision(1))
}

pub(super) fn service(name: &str, spec: Value) -> Value {
    object(Kind::Service, name, json!({"spec": spec}))
}

/// The faults of a 422, as `field` and `reason`.
pub(super) fn faults(result: Result<Value, Rejection>) -> Vec<(String, &'static str)> {
    match result {
        Err(Rejection::Invalid(causes)) => {
            causes.into_iter().map(|cause| (cause.field, cause.reason.as_str())).collect()
        }
        other => panic!("no 422 but {other:?}"),
    }
}

/// Asserts a 422 with exactly these causes in this order.
#[track_caller]
pub(super) fn refused(result: Result<Value, Rejection>, expected: &[(&str, &str)]) {
    let faults = faults(result);
    let faults: Vec<(&str, &str)> = faults.iter().map(|(field, reason)| (field.as_str(), *reason)).collect();
    assert_eq!(faults, expected);
}

/// Asserts a 500 that says so.
#[track_caller]
pub(super) fn failed(result: Result<Value, Rejection>, words: &str) {
    match result {
        Err(Rejection::Internal(message)) => assert!(message.contains(words), "{message}"),
        other => panic!("no 500 but {other:?}"),
    }
}
