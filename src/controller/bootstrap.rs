//! What is always there: namespaces, this box as a Node, and the Service
//! `default/kubernetes` (spec/api.md section 4, service.md 4.3). Whoever deletes
//! one of them sees it come back.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::draft::{create, replace, set};
use super::trigger::Triggers;
use super::worker::Truth;
use super::{Decision, Facts, Scene};
use super::{roles, service_cidr};
use crate::clock;
use crate::clock::rfc3339;
use crate::model::object::ParseError;
use crate::model::{Claim, IpFamily, Kind, ObjectKey};
use crate::store::{Durability, Op, Snapshot, Write, WriteError};

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// Pods one Node may hold, as the kubelet's default.
const PODS_MAX: u32 = 110;

/// Creates what is missing; what is there stays as it is. Namespaces and the
/// Service keep their uids on flash, the Node and the API's endpoints follow
/// the box and live in memory.
pub async fn bootstrap<T: Truth>(truth: &T, facts: &Facts) -> Result<(), BootstrapError> {
    let snapshot = std::sync::Arc::clone(&truth.subscribe().borrow());
    let (now, random, triggers) = (clock::now(), fastrand::Rng::new(), &mut Triggers::default());
    let mut scene = Scene { snapshot: &snapshot, facts, now, random, triggers };
    let (flash, memory) = (durable(&mut scene)?, observed(&mut scene)?);
    for (ops, durability) in [(flash, Durability::Flash), (memory, Durability::Memory)] {
        // One by one: a Service that cannot have its address must not keep the box down.
        for op in ops {
            match truth.submit(Write { ops: vec![op], durability }).await {
                Err(error @ WriteError::ClaimTaken { .. }) => {
                    tracing::error!(%error, "the Service default/kubernetes is missing: delete the other and restart");
                }
                outcome => drop(outcome?),
            }
        }
    }
    Ok(())
}

/// Whether the end of this object may be the end of one that is always there.
pub(super) fn is_permanent(kind: Kind, key: &ObjectKey) -> bool {
    match kind {
        Kind::Namespace => NAMESPACES.contains(&&*key.name),
        Kind::Service | Kind::Endpoints | Kind::EndpointSlice => *key == kubernetes(),
        Kind::Node => true,
        Kind::ServiceCidr => &*key.name == service_cidr::DEFAULT,
        _ => false,
    }
}

/// Brings back what somebody deleted: first what was on flash, then the rest.
pub(super) fn reconcile(scene: &mut Scene<'_>) -> Result<Decision, ParseError> {
    let ops = durable(scene)?;
    if ops.is_empty() {
        return Ok(Decision { ops: observed(scene)?, ..Decision::default() });
    }
    Ok(Decision { ops, durability: Durability::Flash, again: Some(scene.now) })
}

/// Why the first objects could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An object of ours is malformed.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] WriteError),
}

pub(super) fn durable(scene: &mut Scene<'_>) -> Result<Vec<Op>, ParseError> {
    let mut ops = Vec::new();
    for name in NAMESPACES {
        let key = ObjectKey::new("", name);
        if scene.snapshot.get(Kind::Namespace, &key).is_none() {
            let mut metadata = scene.metadata(&key);
            set(&mut metadata, "labels", json!({"kubernetes.io/metadata.name": name}));
            let spec = json!({"finalizers": ["kubernetes"]});
            let value = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Active"}});
            ops.push(create(Kind::Namespace, &value, Vec::new())?);
        }
    }
    let key = kubernetes();
    if scene.snapshot.get(Kind::Service, &key).is_none()
        && let Some(addr) = scene.facts.service_ranges.first().and_then(first_usable)
    {
        let value = service(scene, &key, addr);
        ops.push(create(Kind::Service, &value, vec![Claim::ClusterIp(addr)])?);
    }
    Ok(ops)
}

fn service(scene: &mut Scene<'_>, key: &ObjectKey, addr: IpAddr) -> Value {
    let mut metadata = scene.metadata(key);
    set(&mut metadata, "labels", json!({"component": "apiserver", "provider": "kubernetes"}));
    let target = scene.facts.api_listen.map_or(443, |listen| listen.port());
    json!({"metadata": metadata, "spec": {
        "clusterIP": addr.to_string(), "clusterIPs": [addr.to_string()], "internalTrafficPolicy": "Cluster",
        "ipFamilies": [IpFamily::of(addr).as_str()], "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": target}],
        "sessionAffinity": "None", "type": "ClusterIP"}, "status": {"loadBalancer": {}}})
}

pub(super) fn observed(scene: &mut Scene<'_>) -> Result<Vec<Op>, ParseError> {
    let mut ops = Vec::new();
    let node = ObjectKey::new("", &scene.facts.node_name);
    let content = node_content(scene);
    ops.extend(ensure(scene, Kind::Node, &node, &content)?);
    let ranges: Vec<String> = scene.facts.service_ranges.iter().map(ToString::to_string).collect();
    if !ranges.is_empty() {
        let content = json!({"metadata": {}, "spec": {"cidrs": ranges}});
        ops.extend(ensure(scene, Kind::ServiceCidr, &ObjectKey::new("", service_cidr::DEFAULT), &content)?);
    }
    for (kind, key, content) in roles::built_in() {
        ops.extend(ensure(scene, kind, &key, &content)?);
    }
    let key = kubernetes();
    let api = scene.facts.api_addr();
    let subsets = api.map(|api| {
        json!([{"addresses": [{"ip": api.ip().to_string()}], "ports": [{"name": "https", "port": api.port(), "protocol": "TCP"}]}])
    });
    let mut endpoints = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}});
    set(&mut endpoints, "subsets", subsets.unwrap_or_default());
    ops.extend(ensure(scene, Kind::Endpoints, &key, &endpoints)?);
    let family = api.map_or(IpFamily::V4, |api| IpFamily::of(api.ip()));
    let list = api.map(|api| json!([{"addresses": [api.ip().to_string()], "conditions": {"ready": true}}]));
    let ports = api.map(|api| json!([{"name": "https", "port": api.port(), "protocol": "TCP"}]));
    let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}, "generation": 1},
        "addressType": family.as_str(), "endpoints": list, "ports": ports});
    ops.extend(ensure(scene, Kind::EndpointSlice, &key, &slice)?);
    Ok(ops)
}

/// Creates an object with this content, or lays the content over what is there.
fn ensure(scene: &mut Scene<'_>, kind: Kind, key: &ObjectKey, content: &Value) -> Result<Option<Op>, ParseError> {
    let snapshot: &Snapshot = scene.snapshot;
    let Some(current) = snapshot.get(kind, key) else {
        let mut value = json!({"metadata": scene.metadata(key)});
        overlay(&mut value, content);
        return create(kind, &value, Vec::new()).map(Some);
    };
    let before = current.value();
    let mut value = before.clone();
    overlay(&mut value, content);
    if value == before { Ok(None) } else { replace(current, &value).map(Some) }
}

/// Maps are merged member by member; everything else is replaced, `null` too.
fn overlay(value: &mut Value, content: &Value) {
    match (value.as_object_mut(), content.as_object()) {
        (Some(map), Some(members)) => {
            for (member, inner) in members {
                overlay(map.entry(member.clone()).or_insert(Value::Null), inner);
            }
        }
        _ => *value = content.clone(),
    }
}

fn node_content(scene: &Scene<'_>) -> Value {
    let facts = scene.facts;
    let known = scene.snapshot.get(Kind::Node, &ObjectKey::new("", &facts.node_name));
    let known = known.and_then(|node| node.value().pointer("/status/conditions/0/lastTransitionTime").cloned());
    let since = known.unwrap_or_else(|| json!(rfc3339(scene.now)));
    let mut addresses: Vec<Value> =
        facts.node_addrs.iter().map(|addr| json!({"type": "InternalIP", "address": addr.to_string()})).collect();
    addresses.push(json!({"type": "Hostname", "address": facts.node_name}));
    let capacity = json!({"cpu": facts.cpus.to_string(), "memory": format!("{}Ki", facts.memory_bytes / 1024),
        "pods": PODS_MAX.to_string()});
    let version = concat!("v1.36.0+edgesvc-", env!("CARGO_PKG_VERSION"));
    json!({
        "metadata": {"labels": {"kubernetes.io/hostname": facts.node_name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": facts.architecture}},
        "spec": {},
        "status": {"addresses": addresses, "capacity": capacity, "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "EdgesvcReady",
                "message": "edgesvc is running", "lastHeartbeatTime": since, "lastTransitionTime": since}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {"architecture": facts.architecture, "operatingSystem": "linux",
                "kernelVersion": facts.kernel_version, "kubeletVersion": version, "kubeProxyVersion": version,
                "containerRuntimeVersion": "", "osImage": "Linux", "machineID": "", "systemUUID": "", "bootID": ""}}
    })
}

fn kubernetes() -> ObjectKey {
    ObjectKey::new("default", "kubernetes")
}

fn first_usable(range: &IpNet) -> Option<IpAddr> {
    match range.network() {
        IpAddr::V4(addr) => u32::from(addr).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(addr) => u128::from(addr).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
