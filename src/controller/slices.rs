//! EndpointSlices of Services with a selector (spec/endpoints.md section 4).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Scene;
use super::draft::{self, Labels, set};
use super::endpoints::HEADLESS;
use super::pack::{ENDPOINTS_MAX, pack};
use super::selected::{Selected, is_managed, selected};
use super::trigger::TRIGGER;
use crate::model::balance::{AGE_ANNOTATION, BALANCE_ANNOTATION, Schedule, WEIGHT_ANNOTATION, parse_weight};
use crate::model::endpoints::SERVICE_NAME_LABEL;
use crate::model::object::ParseError;
use crate::model::{IpFamily, Kind, Object, ObjectKey, Service};
use crate::store::{Op, Snapshot};

pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Notes for balancing.
const NOTES: [&str; 2] = [WEIGHT_ANNOTATION, AGE_ANNOTATION];

/// The slices of one Service that one controller manages.
pub(super) fn managed<'a>(snapshot: &'a Snapshot, key: &ObjectKey, by: &str) -> Vec<&'a Arc<Object>> {
    let slices = snapshot.slices_of(key).filter(|slice| !slice.meta.deleting);
    slices.filter(|slice| slice.meta.labels.get(MANAGED_BY) == Some(by)).collect()
}

/// Address type and ports of a set of slices; `Null` ports are a placeholder's.
type SetKey = (String, String);

/// What the slices of one owner should be.
pub(super) struct Desired<'a> {
    pub(super) owner: &'a Object,
    pub(super) labels: Labels,
    /// Ours among the annotations; others stay.
    pub(super) annotations: Labels,
    /// By set: address type, ports, endpoints.
    pub(super) sets: BTreeMap<SetKey, (&'static str, Value, Vec<Value>)>,
    /// Most endpoints in one slice.
    pub(super) max: usize,
    /// When what is changed or made now came about.
    pub(super) trigger: Option<String>,
}

impl Desired<'_> {
    pub(super) fn set(&mut self, family: IpFamily, ports: Value) -> &mut Vec<Value> {
        let key = (family.as_str().to_owned(), ports.to_string());
        &mut self.sets.entry(key).or_insert_with(|| (family.as_str(), ports, Vec::new())).2
    }
}

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let existing = managed(scene.snapshot, key, CONTROLLER);
    // A Service that is gone leaves its slices to the garbage collector.
    let Some(object) = scene.snapshot.get(Kind::Service, key) else {
        scene.triggers.slices.forget(key);
        return Ok(Vec::new());
    };
    let Some(service) = object.as_service().filter(|service| is_managed(service)) else { return Ok(Vec::new()) };
    let pods = selected(scene.snapshot, object, service);
    let mut labels = object.meta.labels.to_map();
    labels.insert(SERVICE_NAME_LABEL.into(), key.name.to_string());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    labels.remove(HEADLESS);
    if service.is_headless() {
        labels.insert(HEADLESS.into(), String::new());
    }
    let trigger = scene.triggers.slices.changed(object, &pods);
    let (annotations, sets) = (notes(object, &pods), BTreeMap::new());
    let mut desired = Desired { owner: object, labels, annotations, sets, max: ENDPOINTS_MAX, trigger };
    let families = if service.spec.ip_families.is_empty() { &[IpFamily::V4][..] } else { &service.spec.ip_families };
    for family in families {
        let before = desired.sets.len();
        for pod in &pods {
            let Some(addr) = pod.addr(*family) else { continue };
            let ports = pod.ports(service);
            let ports = if ports.is_empty() { Value::Null } else { Value::from(ports) };
            let endpoint = endpoint(scene.snapshot, object, service, pod, &addr.to_string());
            desired.set(*family, ports).push(endpoint);
        }
        if desired.sets.len() == before {
            desired.set(*family, Value::Null);
        }
    }
    apply(scene, &desired, &existing)
}

/// What the slices say for balancing: proxies see slices, not Pods.
fn notes(service: &Object, pods: &[Selected<'_>]) -> Labels {
    let mut notes = Labels::new();
    let mut weights: Vec<(IpAddr, u16)> = Vec::new();
    for pod in pods {
        let weight = pod.object.meta.annotations.get(WEIGHT_ANNOTATION).and_then(parse_weight);
        if let Some(weight) = weight.filter(|weight| *weight != 1) {
            weights.extend(pod.pod.addrs().into_iter().map(|addr| (addr, weight)));
        }
    }
    // Pods may share an address: of two weights the first Pod's counts.
    weights.sort_by_key(|(addr, _)| *addr);
    weights.dedup_by_key(|(addr, _)| *addr);
    if !weights.is_empty() {
        let texts: Vec<String> = weights.iter().map(|(addr, weight)| format!("{addr}={weight}")).collect();
        notes.insert(WEIGHT_ANNOTATION.into(), texts.join(","));
    }
    if service.meta.annotations.get(BALANCE_ANNOTATION) == Some(Schedule::Leader.as_str()) {
        let mut by_age: Vec<&Selected<'_>> = pods.iter().collect();
        by_age.sort_by_key(|pod| (&pod.object.meta.created, &pod.object.key.name));
        let addrs = by_age.iter().flat_map(|pod| pod.pod.addrs()).map(|addr| addr.to_string());
        notes.insert(AGE_ANNOTATION.into(), addrs.collect::<Vec<_>>().join(","));
    }
    notes
}

fn endpoint(snapshot: &Snapshot, object: &Object, service: &Service, pod: &Selected<'_>, addr: &str) -> Value {
    let (serving, terminating) = (pod.pod.is_ready(), pod.object.meta.deleting);
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let zone = snapshot.get(Kind::Node, &ObjectKey::new("", pod.node)).and_then(|node| node.meta.labels.get(ZONE));
    let mut value = json!({
        "addresses": [addr],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "nodeName": pod.node,
        "targetRef": pod.target_ref(),
    });
    set(&mut value, "hostname", pod.hostname(object).map_or(Value::Null, Value::from));
    set(&mut value, "zone", zone.map_or(Value::Null, Value::from));
    let distribution = service.spec.traffic_distribution.as_deref().unwrap_or_default();
    if ready && matches!(distribution, "PreferSameZone" | "PreferClose" | "PreferSameNode") {
        let mut hints = json!({});
        set(&mut hints, "forZones", zone.map_or(Value::Null, |zone| json!([{"name": zone}])));
        if distribution == "PreferSameNode" {
            set(&mut hints, "forNodes", json!([{"name": pod.node}]));
        }
        set(&mut value, "hints", hints);
    }
    value
}

/// The writes that make `existing` what is desired.
pub(super) fn apply(
    scene: &mut Scene<'_>,
    desired: &Desired<'_>,
    existing: &[&Arc<Object>],
) -> Result<Vec<Op>, ParseError> {
    let mut ops = Vec::new();
    let mut by_set: BTreeMap<SetKey, Vec<(&Arc<Object>, Value)>> = BTreeMap::new();
    let mut spare: Vec<(&Arc<Object>, Value)> = Vec::new();
    for slice in existing {
        if slice.meta.owners.iter().all(|owner| **owner != *desired.owner.meta.uid) {
            ops.push(draft::delete(slice));
            continue;
        }
        let value = slice.value();
        let text = |member: &str| value.get(member).cloned().unwrap_or_default();
        let set = (text("addressType").as_str().unwrap_or_default().to_owned(), text("ports").to_string());
        let home = if desired.sets.contains_key(&set) { by_set.entry(set).or_default() } else { &mut spare };
        home.push((slice, value));
    }
    let mut fresh: Vec<(&'static str, &Value, Vec<Value>)> = Vec::new();
    for (key, (family, ports, wanted)) in &desired.sets {
        let slices = by_set.remove(key).unwrap_or_default();
        let old: Vec<Vec<Value>> = slices.iter().map(|(_, value)| endpoints_of(value)).collect();
        let packing = pack(&old, wanted.clone(), desired.max);
        // An empty set is a placeholder: one slice without endpoints stays.
        let mut placeholder = wanted.is_empty();
        for ((object, value), endpoints) in slices.into_iter().zip(packing.existing) {
            if endpoints.is_empty() && !std::mem::take(&mut placeholder) {
                spare.push((object, value));
            } else {
                ops.extend(update(desired, object, value, family, ports, endpoints)?);
            }
        }
        fresh.extend(packing.fresh.into_iter().chain(placeholder.then(Vec::new)).map(|list| (*family, ports, list)));
    }
    for (family, ports, endpoints) in fresh {
        // A slice that would go is reused by name, if its immutable type fits.
        let fits =
            |(_, value): &(&Arc<Object>, Value)| value.get("addressType").and_then(Value::as_str) == Some(family);
        match spare.iter().position(fits).map(|at| spare.swap_remove(at)) {
            Some((object, value)) => ops.extend(update(desired, object, value, family, ports, endpoints)?),
            None => ops.push(fresh_slice(scene, desired, family, ports, endpoints)?),
        }
    }
    ops.extend(spare.iter().map(|(object, _)| draft::delete(object)));
    Ok(ops)
}

fn endpoints_of(value: &Value) -> Vec<Value> {
    value.get("endpoints").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn fill(value: &mut Value, ports: &Value, endpoints: Vec<Value>) {
    if let Some(map) = value.as_object_mut() {
        let endpoints = if endpoints.is_empty() { Value::Null } else { Value::from(endpoints) };
        map.insert("endpoints".to_owned(), endpoints);
        map.insert("ports".to_owned(), ports.clone());
    }
}

fn update(
    desired: &Desired<'_>,
    object: &Arc<Object>,
    mut value: Value,
    family: &str,
    ports: &Value,
    endpoints: Vec<Value>,
) -> Result<Option<Op>, ParseError> {
    let same_content = endpoints_of(&value) == endpoints
        && value.get("ports").unwrap_or(&Value::Null) == ports
        && value.get("addressType").and_then(Value::as_str) == Some(family);
    let has = |(name, text): (&String, &String)| object.meta.annotations.get(name) == Some(text.as_str());
    let stale = NOTES.iter().any(|name| is_stale(desired, object.meta.annotations.get(name), name));
    if same_content && object.meta.labels == desired.labels && desired.annotations.iter().all(has) && !stale {
        return Ok(None);
    }
    fill(&mut value, ports, endpoints);
    if let Some(metadata) = value.get_mut("metadata") {
        let raise = !same_content || object.meta.labels != desired.labels;
        set(metadata, "generation", json!(object.meta.generation + u64::from(raise)));
        set(metadata, "labels", json!(desired.labels));
        annotate(metadata, desired);
    }
    draft::replace(object, &value).map(Some)
}

/// A note that nobody means any more: others' annotations stay, a weight must not.
fn is_stale(desired: &Desired<'_>, there: Option<&str>, name: &str) -> bool {
    there.is_some() && !desired.annotations.contains_key(name)
}

fn annotate(metadata: &mut Value, desired: &Desired<'_>) {
    let mut annotations = metadata.get("annotations").cloned().unwrap_or_else(|| json!({}));
    for name in NOTES {
        set(&mut annotations, name, Value::Null);
    }
    for (name, text) in &desired.annotations {
        set(&mut annotations, name, Value::from(text.clone()));
    }
    set(&mut annotations, TRIGGER, Value::from(desired.trigger.clone()));
    set(metadata, "annotations", annotations);
}

fn fresh_slice(
    scene: &mut Scene<'_>,
    desired: &Desired<'_>,
    family: &str,
    ports: &Value,
    endpoints: Vec<Value>,
) -> Result<Op, ParseError> {
    let owner = desired.owner;
    let key = scene.slice_name(&owner.key.namespace, &owner.key.name);
    let mut metadata = scene.metadata(&key);
    set(&mut metadata, "generateName", Value::from(format!("{}-", owner.key.name)));
    set(&mut metadata, "generation", json!(1));
    set(&mut metadata, "labels", json!(desired.labels));
    annotate(&mut metadata, desired);
    let reference = json!({"apiVersion": owner.kind.api_version(), "kind": owner.kind.to_string(), "name": &*owner.key.name,
        "uid": &*owner.meta.uid, "controller": true, "blockOwnerDeletion": true});
    set(&mut metadata, "ownerReferences", json!([reference]));
    let mut value = json!({"metadata": metadata, "addressType": family});
    fill(&mut value, ports, endpoints);
    draft::create(Kind::EndpointSlice, &value, Vec::new())
}
