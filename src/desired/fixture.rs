//! Objects for the tests of this room, written as manifests.

use serde_json::{Value, json};

use super::{Contribution, Facts, Frontend, FrontendAddr, Verdict, contribution};
use crate::model::{Draft, Kind, ObjectKey, Protocol};
use crate::store::{Durability, Expect, Op, Snapshot, Write};

/// A Service `t/web` with one port http 80/TCP and this `spec` over it.
pub(super) fn service(spec: Value) -> Draft {
    service_named("web", spec)
}

pub(super) fn service_named(name: &str, spec: Value) -> Draft {
    let mut whole = json!({
        "type": "ClusterIP", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
    });
    json_patch::merge(&mut whole, &spec);
    draft(Kind::Service, name, json!({}), json!({"spec": whole}))
}

/// A slice of Service `web` with port http 8080/TCP.
pub(super) fn slice(name: &str, endpoints: Value) -> Draft {
    slice_with(name, json!({"endpoints": endpoints}))
}

pub(super) fn slice_with(name: &str, content: Value) -> Draft {
    let mut whole = json!({"addressType": "IPv4", "endpoints": null,
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}]});
    json_patch::merge(&mut whole, &content);
    draft(Kind::EndpointSlice, name, json!({"kubernetes.io/service-name": "web"}), whole)
}

/// An endpoint on node `node`, Ready as `ready`, terminating or not.
pub(super) fn endpoint(addr: &str, node: &str, ready: bool, serving: bool, terminating: bool) -> Value {
    json!({"addresses": [addr], "nodeName": node,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
}

pub(super) fn ready(addr: &str, node: &str) -> Value {
    endpoint(addr, node, true, true, false)
}

pub(super) fn draft(kind: Kind, name: &str, labels: Value, content: Value) -> Draft {
    let namespace = if kind.resource().namespaced { Some("t") } else { None };
    let mut object = json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": labels}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    json_patch::merge(&mut object, &content);
    Draft::new(kind, &object).unwrap()
}

pub(super) fn node(name: &str, zone: &str) -> Draft {
    draft(Kind::Node, name, json!({"topology.kubernetes.io/zone": zone}), json!({}))
}

pub(super) fn facts() -> Facts {
    let external_ip_cidrs = vec!["198.51.100.0/24".parse().unwrap()];
    Facts { node_name: "n1".into(), external_ip_cidrs, ..Facts::default() }
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("t", name)
}

pub(super) fn put(draft: Draft) -> Op {
    Op::Put { draft: Box::new(draft), expect: Expect::Any, claims: Vec::new() }
}

pub(super) fn delete(kind: Kind, name: &str) -> Op {
    Op::Delete { kind, key: key(name), expect: Expect::Any }
}

pub(super) fn contribution_to(objects: Vec<Draft>) -> Contribution {
    contribution(&Snapshot::for_tests(objects), &key("web"), &facts()).unwrap()
}

/// The verdict of one frontend, as text: its endpoints joined, `refuse`, `drop`,
/// or `absent`.
pub(super) fn verdict_of(contribution: &Contribution, addr: FrontendAddr, protocol: Protocol, port: u16) -> String {
    let matches = |f: &&Frontend| f.addr == addr && f.protocol == protocol && f.port == port;
    match contribution.frontends.iter().find(matches).map(|f| &f.verdict) {
        None => "absent".to_owned(),
        Some(Verdict::Refuse) => "refuse".to_owned(),
        Some(Verdict::Drop) => "drop".to_owned(),
        Some(Verdict::Balance(balance)) => {
            balance.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The verdict at the cluster IP, port 80/TCP.
pub(super) fn internal(objects: Vec<Draft>) -> String {
    let addr = FrontendAddr::Virtual("10.96.0.10".parse().unwrap());
    verdict_of(&contribution_to(objects), addr, Protocol::Tcp, 80)
}

/// The verdict at node port 30080/TCP over IPv4.
pub(super) fn external(objects: Vec<Draft>) -> String {
    let addr = FrontendAddr::NodePort(crate::model::IpFamily::V4);
    verdict_of(&contribution_to(objects), addr, Protocol::Tcp, 30080)
}

/// Applies ops to a snapshot.
pub(super) fn after(snapshot: &Snapshot, ops: Vec<Op>) -> Snapshot {
    let write = Write { ops, durability: Durability::Memory };
    snapshot.foresee(&write.ops).unwrap()
}
