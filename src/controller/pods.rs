//! Pods without a runtime (design section 6): binding, status and end.
//!
//! * Annotation `edgesvc.io/pod-ip`: bound to this box, Running and Ready. What a
//!   client patched into status wins: an address set there that is not the
//!   annotation's, and a Ready condition already present, are left as they are.
//! * No annotation, but an address in status: bound to this box, status kept.
//! * Neither: unbound and Pending, with a condition that says how to bind it.
//!
//! A Pod that is going is removed when its grace period is over.

use std::net::IpAddr;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::draft::{self, set};
use super::{Decision, Scene};
use crate::clock::rfc3339;
use crate::model::object::ParseError;
use crate::model::{Kind, Object, ObjectKey, Pod, name};

const POD_IP: &str = "edgesvc.io/pod-ip";
/// The addresses we derived, so that a client's own are told from ours.
const DERIVED: &str = "edgesvc.io/derived-pod-ip";
const NO_RUNTIME: &str = "edgesvc runs no images: give the address in the annotation edgesvc.io/pod-ip, with `edgesvc pod add`, or in status.podIPs through the status subresource";
/// Most addresses of a Pod: one of each family.
const ADDRS_MAX: usize = 2;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let Some(object) = scene.snapshot.get(Kind::Pod, key) else { return Ok(Decision::default()) };
    let Some(pod) = object.as_pod() else { return Ok(Decision::default()) };
    if object.meta.deleting {
        return Ok(end(scene, object));
    }
    let before = object.value();
    let mut value = before.clone();
    let annotation = object.meta.annotations.get(POD_IP);
    let given: Vec<IpAddr> = annotation
        .into_iter()
        .flat_map(|text| text.split(','))
        .filter_map(|ip| name::strict_ip(ip.trim()))
        .take(ADDRS_MAX)
        .collect();
    if !given.is_empty() {
        bind(scene, &mut value);
        address(object, pod, &given, &mut value);
        run(scene, pod, &mut value);
    } else if !pod.addrs().is_empty() {
        bind(scene, &mut value);
    } else if pod.spec.node_name.as_deref().is_none_or(str::is_empty) && !pod.is_finished() {
        let mut status = status_of(&value);
        set(&mut status, "phase", json!("Pending"));
        condition(
            scene,
            &mut status,
            "PodScheduled",
            json!({"status": "False", "reason": "NoRuntime", "message": NO_RUNTIME}),
        );
        set(&mut value, "status", status);
    }
    let ops = if value == before { Vec::new() } else { vec![draft::replace(object, &value)?] };
    Ok(Decision { ops, ..Decision::default() })
}

fn end(scene: &Scene<'_>, object: &Object) -> Decision {
    let value = object.value();
    let at = value.pointer("/metadata/deletionTimestamp").and_then(Value::as_str);
    let over = at.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).unwrap_or(scene.now);
    let grace = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64).unwrap_or_default();
    // deletionTimestamp already includes the grace period, as in Kubernetes.
    if grace > 0 && over > scene.now {
        return Decision { again: Some(over), ..Decision::default() };
    }
    let ops = if object.meta.finalizers { Vec::new() } else { vec![draft::delete(object)] };
    Decision { ops, ..Decision::default() }
}

fn status_of(value: &Value) -> Value {
    value.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}))
}

fn bind(scene: &Scene<'_>, value: &mut Value) {
    if let Some(spec) = value.get_mut("spec") {
        let bound = spec.get("nodeName").and_then(Value::as_str).is_some_and(|node| !node.is_empty());
        if !bound {
            set(spec, "nodeName", json!(scene.facts.node_name));
        }
    }
    let mut status = status_of(value);
    condition(scene, &mut status, "PodScheduled", json!({"status": "True"}));
    // A Pod of this box moves with its address.
    let known = status.get("hostIP").and_then(Value::as_str).and_then(name::strict_ip);
    let stays = known.is_some_and(|addr| !is_here(scene, value) || scene.facts.node_addrs.contains(&addr));
    if let Some(addr) = scene.facts.node_addrs.first().filter(|_| !stays) {
        set(&mut status, "hostIP", json!(addr.to_string()));
        set(&mut status, "hostIPs", json!([{"ip": addr.to_string()}]));
    }
    set(value, "status", status);
}

fn is_here(scene: &Scene<'_>, value: &Value) -> bool {
    value.pointer("/spec/nodeName").and_then(Value::as_str) == Some(&scene.facts.node_name)
}

/// Writes the annotation's addresses, unless the status holds a client's.
fn address(object: &Object, pod: &Pod, given: &[IpAddr], value: &mut Value) {
    let text = |addrs: &[IpAddr]| addrs.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
    let (wanted, current) = (text(given), text(&pod.addrs()));
    if !current.is_empty() && object.meta.annotations.get(DERIVED) != Some(current.as_str()) {
        return;
    }
    let mut status = status_of(value);
    set(&mut status, "podIP", json!(given.first().map(IpAddr::to_string)));
    set(&mut status, "podIPs", given.iter().map(|ip| json!({"ip": ip.to_string()})).collect());
    set(value, "status", status);
    if let Some(annotations) = value.pointer_mut("/metadata/annotations") {
        set(annotations, DERIVED, Value::from(wanted));
    }
}

fn run(scene: &Scene<'_>, pod: &Pod, value: &mut Value) {
    let mut status = status_of(value);
    if pod.status.phase.is_empty() || pod.status.phase == "Pending" {
        set(&mut status, "phase", json!("Running"));
        set(&mut status, "startTime", json!(rfc3339(scene.now)));
    }
    for r#type in ["Initialized", "ContainersReady", "Ready"] {
        if !pod.status.conditions.iter().any(|condition| condition.r#type == r#type) {
            condition(scene, &mut status, r#type, json!({"status": "True"}));
        }
    }
    if status.get("containerStatuses").is_none() {
        let images = value.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
        let running = json!({"running": {"startedAt": rfc3339(scene.now)}});
        let entry = |c: &Value| {
            json!({"name": c.get("name"), "image": c.get("image").and_then(Value::as_str).unwrap_or_default(), "imageID": "",
                "ready": true, "started": true, "restartCount": 0, "state": running, "lastState": {}})
        };
        let statuses: Vec<Value> = images.map(entry).collect();
        set(&mut status, "containerStatuses", Value::from(statuses));
    }
    set(value, "status", status);
}

/// Sets a condition; the transition time moves only when the status does.
fn condition(scene: &Scene<'_>, status: &mut Value, r#type: &str, content: Value) {
    let mut list = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut next = content;
    set(&mut next, "type", json!(r#type));
    let old = list.iter().position(|condition| condition.get("type") == next.get("type"));
    let previous = old.and_then(|at| list.get(at));
    let same = previous.filter(|condition| condition.get("status") == next.get("status"));
    if same.is_some_and(|condition| condition.get("reason") == next.get("reason")) {
        return;
    }
    let at = same.and_then(|c| c.get("lastTransitionTime").cloned()).unwrap_or_else(|| json!(rfc3339(scene.now)));
    // No omitted member but null, as the API keeps a time nobody set.
    if let Some(members) = next.as_object_mut() {
        members.insert("lastProbeTime".to_owned(), Value::Null);
    }
    set(&mut next, "lastTransitionTime", at);
    match old.and_then(|at| list.get_mut(at)) {
        Some(slot) => *slot = next,
        None => list.push(next),
    }
    set(status, "conditions", Value::from(list));
}
