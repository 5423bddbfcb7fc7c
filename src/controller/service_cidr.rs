//! ServiceCIDRs (spec/service.md section 4.4): a finalizer, the condition Ready, and
//! an end only when no address would be left without a range.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::draft::{self, set};
use super::{Decision, Scene};
use crate::clock::rfc3339;
use crate::model::object::ParseError;
use crate::model::service_cidr::ranges;
use crate::model::{Kind, Object, ObjectKey, ip_address};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// The ServiceCIDR of the configured ranges.
pub(super) const DEFAULT: &str = "kubernetes";
/// How long a range that nobody needs stays, so that who was just choosing from it
/// is done.
const GRACE: Duration = Duration::seconds(10);
const BLOCKED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let Some(object) = scene.snapshot.get(Kind::ServiceCidr, key) else { return Ok(Decision::default()) };
    if object.meta.deleting {
        return end(scene, object);
    }
    let before = object.value();
    let mut value = before.clone();
    let mut finalizers = texts(&value, "/metadata/finalizers");
    if !finalizers.iter().any(|own| own == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
        if let Some(metadata) = value.get_mut("metadata") {
            set(metadata, "finalizers", json!(finalizers));
        }
    }
    condition(scene, &mut value, "True", "", "Kubernetes Service CIDR is ready");
    let ops = if value == before { Vec::new() } else { vec![draft::replace(object, &value)?] };
    Ok(Decision { ops, ..Decision::default() })
}

fn end(scene: &Scene<'_>, object: &Object) -> Result<Decision, ParseError> {
    let before = object.value();
    let mut value = before.clone();
    if !may_go(scene, object) {
        condition(scene, &mut value, "False", "Terminating", BLOCKED);
        let ops = if value == before { Vec::new() } else { vec![draft::replace(object, &value)?] };
        return Ok(Decision { ops, ..Decision::default() });
    }
    let marked = before.pointer("/metadata/deletionTimestamp").and_then(Value::as_str);
    let marked = marked.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).unwrap_or(scene.now);
    if scene.now - marked < GRACE {
        return Ok(Decision { again: Some(marked + GRACE), ..Decision::default() });
    }
    let mut finalizers = texts(&value, "/metadata/finalizers");
    finalizers.retain(|own| own != FINALIZER);
    if finalizers.is_empty() {
        return Ok(Decision { ops: vec![draft::delete(object)], ..Decision::default() });
    }
    if let Some(metadata) = value.get_mut("metadata") {
        set(metadata, "finalizers", json!(finalizers));
    }
    let ops = if value == before { Vec::new() } else { vec![draft::replace(object, &value)?] };
    Ok(Decision { ops, ..Decision::default() })
}

/// Whether every address of the ranges lies in another ServiceCIDR too.
fn may_go(scene: &Scene<'_>, object: &Object) -> bool {
    let own = ranges(object);
    let others: Vec<IpNet> = scene
        .snapshot
        .list(Kind::ServiceCidr, None)
        .filter(|other| other.key != object.key)
        .flat_map(|other| ranges(other))
        .collect();
    if own.iter().all(|range| others.iter().any(|other| other.contains(range))) {
        return true;
    }
    let addresses = scene.snapshot.list(Kind::IpAddress, None).filter(|address| ip_address::is_derived(address));
    let mut addrs = addresses.filter_map(|address| address.key.name.parse::<IpAddr>().ok());
    let holds = |ranges: &[IpNet], addr: &IpAddr| ranges.iter().any(|range| range.contains(addr));
    !addrs.any(|addr| holds(&own, &addr) && !holds(&others, &addr))
}

/// Sets the condition Ready; its time says when the status changed last.
fn condition(scene: &Scene<'_>, value: &mut Value, status: &str, reason: &str, message: &str) {
    let mut conditions = value.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = conditions.iter().position(|row| text(row, "type") == "Ready");
    let old = found.map(|at| conditions.remove(at)).unwrap_or_default();
    let since = if text(&old, "status") == status { text(&old, "lastTransitionTime") } else { rfc3339(scene.now) };
    conditions.push(json!({"type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since}));
    set(value, "status", json!({"conditions": conditions}));
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}
