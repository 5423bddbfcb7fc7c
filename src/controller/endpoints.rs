//! Endpoints objects (spec/endpoints.md section 3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Scene;
use super::draft::{self, set};
use super::selected::{Selected, is_managed, selected};
use super::trigger::TRIGGER;
use crate::model::object::ParseError;
use crate::model::{IpFamily, Kind, Object, ObjectKey, Service};
use crate::store::Op;

/// Most addresses one Endpoints object holds.
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
pub(super) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Addresses of one subset: (IP, uid) to the address and its readiness.
type Addrs = BTreeMap<(String, String), (Value, bool)>;

/// The addresses of a port as IP, uid and readiness: ports with the same share a subset.
type Shape = Vec<(String, String, bool)>;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let current = scene.snapshot.get(Kind::Endpoints, key);
    let Some(object) = scene.snapshot.get(Kind::Service, key) else {
        scene.triggers.endpoints.forget(key);
        let orphan = current.filter(|endpoints| !endpoints.meta.annotations.contains_key(LEADER));
        return Ok(orphan.map(|endpoints| draft::delete(endpoints)).into_iter().collect());
    };
    let Some(service) = object.as_service().filter(|service| is_managed(service)) else { return Ok(Vec::new()) };
    let pods = selected(scene.snapshot, object, service);
    let trigger = scene.triggers.endpoints.changed(object, &pods);
    let (subsets, truncated) = cap(subsets(object, service, &pods));
    let mut labels = object.meta.labels.to_map();
    labels.insert(MANAGED_BY.into(), "endpoint-controller".into());
    labels.remove(HEADLESS);
    if service.is_headless() {
        labels.insert(HEADLESS.into(), String::new());
    }
    let mut value = match current {
        Some(current) => current.value(),
        None => json!({"metadata": scene.metadata(key)}),
    };
    let was_truncated = current.is_some_and(|c| c.meta.annotations.contains_key(OVER_CAPACITY));
    let same_subsets = value.get("subsets").unwrap_or(&Value::Null) == &subsets;
    if current.is_some_and(|c| same_subsets && c.meta.labels == labels && was_truncated == truncated) {
        return Ok(Vec::new());
    }
    set(&mut value, "subsets", subsets);
    if let Some(metadata) = value.get_mut("metadata") {
        let mut annotations = metadata.get("annotations").cloned().unwrap_or_else(|| json!({}));
        set(&mut annotations, TRIGGER, Value::from(trigger));
        set(&mut annotations, OVER_CAPACITY, if truncated { Value::from("truncated") } else { Value::Null });
        set(metadata, "annotations", annotations);
        set(metadata, "labels", json!(labels));
    }
    Ok(vec![match current {
        Some(current) => draft::replace(current, &value)?,
        None => draft::create(Kind::Endpoints, &value, Vec::new())?,
    }])
}

/// Ports with the same addresses in the same readiness share a subset.
fn subsets(object: &Object, service: &Service, pods: &[Selected<'_>]) -> Vec<(Addrs, Vec<Value>)> {
    let family = service.spec.ip_families.first().copied().unwrap_or(IpFamily::V4);
    let all = service.spec.publish_not_ready_addresses;
    let mut by_port: BTreeMap<String, (Value, Addrs)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| all || !pod.object.meta.deleting) {
        let Some(addr) = pod.addr(family) else { continue };
        let ready = all || pod.pod.is_ready();
        let mut address = json!({"ip": addr.to_string(), "nodeName": pod.node, "targetRef": pod.target_ref()});
        set(&mut address, "hostname", pod.hostname(object).map_or(Value::Null, Value::from));
        let mut ports = pod.ports(service);
        if service.spec.ports.is_empty() && service.is_headless() {
            ports.push(Value::Null);
        }
        for port in ports {
            let (_, addrs) = by_port.entry(port.to_string()).or_insert_with(|| (port, Addrs::new()));
            let entry = addrs.entry((addr.to_string(), pod.object.meta.uid.to_string()));
            entry.and_modify(|(_, was)| *was &= ready).or_insert_with(|| (address.clone(), ready));
        }
    }
    let mut merged: BTreeMap<Shape, (Addrs, Vec<Value>)> = BTreeMap::new();
    for (port, addrs) in by_port.into_values() {
        let shape = addrs.iter().map(|((ip, uid), (_, ready))| (ip.clone(), uid.clone(), *ready)).collect();
        merged.entry(shape).or_insert_with(|| (addrs, Vec::new())).1.extend(Some(port).filter(|port| !port.is_null()));
    }
    merged.into_values().collect()
}

/// At most [`ADDRESSES_MAX`] addresses: ready ones first, each subset its
/// proportional share rounded up; not-ready ones fill what is left.
fn cap(mut subsets: Vec<(Addrs, Vec<Value>)>) -> (Value, bool) {
    let count = |subsets: &[(Addrs, Vec<Value>)], wanted: bool| -> usize {
        subsets.iter().map(|(addrs, _)| addrs.values().filter(|(_, ready)| *ready == wanted).count()).sum()
    };
    let (ready, not_ready) = (count(&subsets, true), count(&subsets, false));
    let truncated = ready + not_ready > ADDRESSES_MAX;
    if truncated {
        let mut left = ADDRESSES_MAX;
        for (wanted, total) in [(true, ready), (false, not_ready)] {
            let budget = left.min(total);
            for (addrs, _) in &mut subsets {
                let of_kind: Vec<_> = addrs.iter().filter(|(_, (_, r))| *r == wanted).map(|(k, _)| k.clone()).collect();
                let share = (of_kind.len() * budget).div_ceil(total.max(1)).min(left);
                let dropped: BTreeSet<_> = of_kind.into_iter().skip(share).collect();
                addrs.retain(|key, (_, r)| *r != wanted || !dropped.contains(key));
                left -= addrs.values().filter(|(_, r)| *r == wanted).count().min(left);
            }
        }
    }
    let values: Vec<Value> = subsets.into_iter().filter(|(addrs, _)| !addrs.is_empty()).map(subset).collect();
    (if values.is_empty() { Value::Null } else { Value::from(values) }, truncated)
}

fn subset((addrs, mut ports): (Addrs, Vec<Value>)) -> Value {
    let (ready, not_ready): (Vec<_>, Vec<_>) = addrs.into_values().partition(|(_, ready)| *ready);
    let list = |entries: Vec<(Value, bool)>| Value::from(entries.into_iter().map(|(v, _)| v).collect::<Vec<_>>());
    let mut value = json!({});
    for port in ports.iter_mut().filter(|port| port.get("name") == Some(&Value::from(""))) {
        set(port, "name", Value::Null);
    }
    for (member, content) in
        [("addresses", list(ready)), ("notReadyAddresses", list(not_ready)), ("ports", Value::from(ports))]
    {
        if content.as_array().is_some_and(|entries| !entries.is_empty()) {
            set(&mut value, member, content);
        }
    }
    value
}
