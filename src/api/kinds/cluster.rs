//! The kinds without a namespace: `v1` Namespace and Node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::address::range_faults;
use super::metadata::{finalizer_name, standard_finalizer};
use super::read::{FAULTS_MAX, enough, list, present, set, text, texts, within};
use crate::model::{Cause, IpFamily, name};

/// The taint of a Node that is not ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// What a taint can do to Pods.
const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Every namespace carries its name as a label.
pub(super) fn default_namespace(value: &mut Value) {
    let name = text(value, "/metadata/name").to_owned();
    let labels = within(value, "metadata").and_then(|metadata| within(metadata, "labels"));
    if let Some(labels) = labels.filter(|_| !name.is_empty()) {
        set(labels, "kubernetes.io/metadata.name", name);
    }
}

/// What a new namespace starts with.
pub(super) fn begin_namespace(value: &mut Value) {
    default_namespace(value);
    let mut finalizers = texts(value, "/spec/finalizers");
    if !finalizers.iter().any(|own| own == "kubernetes") {
        finalizers.push("kubernetes".to_owned());
    }
    if let Some(spec) = within(value, "spec") {
        set(spec, "finalizers", finalizers);
    }
    set(value, "status", json!({"phase": "Active"}));
}

/// Checks a namespace.
pub(super) fn validate_namespace(value: &Value) -> Vec<Cause> {
    namespace_finalizers(value, |_| "spec.finalizers".to_owned())
}

fn namespace_finalizers(value: &Value, field: impl Fn(usize) -> String) -> Vec<Cause> {
    let rows = list(value, "/spec/finalizers").iter().enumerate();
    rows.flat_map(|(i, own)| {
        let field = field(i);
        finalizer_name(own, &field).into_iter().chain(standard_finalizer(own, &field)).collect::<Vec<_>>()
    })
    .take(FAULTS_MAX)
    .collect()
}

/// Checks what a subresource of a namespace wrote.
pub(super) fn validate_namespace_part(new: &Value, subresource: &str) -> Vec<Cause> {
    if subresource != "status" {
        return namespace_finalizers(new, |i| format!("spec.finalizers[{i}]"));
    }
    let phase = text(new, "/status/phase");
    let (wanted, detail) = if present(new, "/metadata/deletionTimestamp") {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    (phase != wanted).then(|| Cause::invalid("status.Phase", &phase.into(), detail)).into_iter().collect()
}

/// What a Node has it can give, and its first range is the list's first.
pub(super) fn default_node(value: &mut Value) {
    if let Some(status) = value.get_mut("status") {
        let capacity = status.get("capacity").cloned().filter(|_| !present(status, "/allocatable"));
        if let Some(capacity) = capacity {
            set(status, "allocatable", capacity);
        }
    }
    let Some(spec) = value.get_mut("spec") else { return };
    let (own, first) = (text(spec, "/podCIDR").to_owned(), text(spec, "/podCIDRs/0").to_owned());
    if own.is_empty() && !first.is_empty() {
        set(spec, "podCIDR", first);
    } else if own != first {
        set(spec, "podCIDRs", json!([own]));
    }
}

/// A Node a client makes is not ready until something says so: the real server
/// taints it, too.
pub(super) fn begin_node(value: &mut Value) {
    let mut taints = list(value, "/spec/taints").to_vec();
    let not_ready = |taint: &Value| text(taint, "/key") == NOT_READY && text(taint, "/effect") == "NoSchedule";
    if !taints.iter().any(not_ready) {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    if let Some(spec) = within(value, "spec") {
        set(spec, "taints", taints);
    }
}

/// Checks a Node.
pub(super) fn validate_node(value: &Value) -> Vec<Cause> {
    let mut causes = taints(value);
    let ranges = texts(value, "/spec/podCIDRs");
    let rows = ranges.iter().enumerate();
    causes.extend(rows.flat_map(|(i, range)| range_faults(&format!("spec.podCIDRs[{i}]"), range)).take(FAULTS_MAX));
    let nets = ranges.iter().filter_map(|range| range.parse::<ipnet::IpNet>().ok());
    let families: Vec<IpFamily> = nets.map(|net| IpFamily::of(net.addr())).collect();
    if families.len() > 2 || (families.len() == 2 && families.first() == families.get(1)) {
        let detail = "may specify no more than one CIDR for each IP family";
        causes.push(Cause::invalid("spec.podCIDRs", &json!(ranges), detail));
    }
    causes
}

/// The real server names them under `metadata`.
fn taints(value: &Value) -> Vec<Cause> {
    let (mut causes, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, taint) in list(value, "/spec/taints").iter().enumerate() {
        if enough(&causes) {
            break;
        }
        let field = format!("metadata.taints[{i}]");
        let (key, content, effect) = (text(taint, "/key"), text(taint, "/value"), text(taint, "/effect"));
        let faults = name::qualified_name(key);
        causes.extend(faults.iter().map(|fault| Cause::invalid(format!("{field}.key"), &key.into(), fault)));
        let faults = name::label_value(content);
        if !faults.is_empty() {
            causes.push(Cause::invalid(format!("{field}.value"), &content.into(), &faults.join(";")));
        }
        if effect.is_empty() {
            causes.push(Cause::required(format!("{field}.effect"), ""));
        } else if !TAINT_EFFECTS.contains(&effect) {
            causes.push(Cause::not_supported(format!("{field}.effect"), &effect.into(), &TAINT_EFFECTS));
        }
        if !seen.insert((key, effect)) {
            let mut cause = Cause::duplicate(&field, taint);
            let added = taint.get("timeAdded").unwrap_or(&Value::Null);
            let (key, content, effect) = (json!(key), json!(content), json!(effect));
            cause.message = format!(
                "Duplicate value: {{\"Key\":{key},\"Value\":{content},\"Effect\":{effect},\"TimeAdded\":{added}}}: taints must be unique by key and effect pair"
            );
            causes.push(cause);
        }
    }
    causes
}

/// Checks what of a Node may not change once set.
pub(super) fn validate_node_change(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, address) in list(new, "/status/addresses").iter().enumerate() {
        if !seen.insert((text(address, "/type"), text(address, "/address"))) && !enough(&causes) {
            causes.push(Cause::duplicate(format!("status.addresses[{i}]"), address));
        }
    }
    for (member, words) in [("podCIDRs", "podCIDR"), ("providerID", "providerID")] {
        let pointer = format!("/spec/{member}");
        if present(old, &pointer) && old.pointer(&pointer) != new.pointer(&pointer) {
            let detail = format!("node updates may not change {words} except from \"\" to valid");
            causes.push(Cause::forbidden(format!("spec.{member}"), &detail));
        }
    }
    causes.extend(taints(new));
    causes
}
