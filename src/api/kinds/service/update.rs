//! What an update keeps, gives up and may not change (spec/service.md sections
//! 4.1, 6 and 7).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::read::{given, int, list, list_mut, present, set, text, texts, unset};
use super::{
    has_node_ports, is_external, is_external_name, is_headless, kind_of, needs_health_check, set_spec, unset_spec,
};
use crate::model::Cause;

/// Carries over allocated values, so that applying a manifest again changes nothing.
pub(super) fn carry(old: &Value, new: &mut Value) {
    if !is_external_name(old) && !is_external_name(new) {
        for member in ["clusterIP", "clusterIPs"] {
            let (pointer, kept) = (format!("/spec/{member}"), old.get("spec").and_then(|spec| spec.get(member)));
            if let Some(kept) = kept.filter(|_| !present(new, &pointer)) {
                set_spec(new, member, kept.clone());
            }
        }
    }
    sync_cluster_ips(old, new);
    if shows_node_ports(old) && shows_node_ports(new) {
        carry_node_ports(old, new);
    }
    if needs_health_check(old) && needs_health_check(new) && int(new, "/spec/healthCheckNodePort") == 0 {
        set_spec(new, "healthCheckNodePort", int(old, "/spec/healthCheckNodePort").into());
    }
}

/// The plural follows the singular, if only that was changed.
fn sync_cluster_ips(old: &Value, new: &mut Value) {
    let (old_ip, ip) = (text(old, "/spec/clusterIP").to_owned(), text(new, "/spec/clusterIP").to_owned());
    let (old_ips, ips) = (texts(old, "/spec/clusterIPs"), texts(new, "/spec/clusterIPs"));
    if ip == old_ip && ips.is_empty() && !old_ips.is_empty() {
        set_spec(new, "clusterIPs", json!(old_ips));
    } else if ip != old_ip && ips == old_ips {
        if ip.is_empty() {
            unset_spec(new, "clusterIPs");
        } else {
            set_spec(new, "clusterIPs", json!([ip]));
        }
    }
}

/// Node ports are given out, so a missing one is not meant to go.
fn shows_node_ports(value: &Value) -> bool {
    let manual = value.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&json!(false));
    has_node_ports(value) && !(manual && kind_of(value) == "LoadBalancer")
}

fn carry_node_ports(old: &Value, new: &mut Value) {
    let used: BTreeSet<i64> = list(new, "/spec/ports").iter().map(|port| int(port, "/nodePort")).collect();
    let before: BTreeMap<&str, i64> =
        list(old, "/spec/ports").iter().map(|port| (text(port, "/name"), int(port, "/nodePort"))).collect();
    for port in list_mut(new, "/spec/ports").filter(|port| int(port, "/nodePort") == 0) {
        if let Some(number) = before.get(text(port, "/name")).filter(|number| **number != 0 && !used.contains(number)) {
            set(port, "nodePort", *number);
        }
    }
}

/// Drops what the new type has no use for, where the user left it as it was.
pub(super) fn wipe(old: &Value, new: &mut Value) {
    if is_external_name(new) && !is_external_name(old) {
        wipe_same(old, new, &["clusterIP", "clusterIPs"]);
        wipe_same(old, new, &["ipFamilies"]);
        wipe_same(old, new, &["ipFamilyPolicy"]);
    }
    if has_node_ports(old) && !has_node_ports(new) {
        wipe_node_ports(old, new);
    }
    if needs_health_check(old) && !needs_health_check(new) {
        wipe_same(old, new, &["healthCheckNodePort"]);
    }
    if is_external(old) && !is_external(new) {
        wipe_same(old, new, &["externalTrafficPolicy"]);
    }
    if kind_of(new) == "LoadBalancer" {
        return;
    }
    if kind_of(old) == "LoadBalancer" {
        wipe_same(old, new, &["allocateLoadBalancerNodePorts"]);
        wipe_same(old, new, &["loadBalancerClass"]);
    }
    if let Some(status) = new.get_mut("status") {
        set(status, "loadBalancer", json!({}));
    }
}

/// Drops members that are all as they were.
fn wipe_same(old: &Value, new: &mut Value, members: &[&str]) {
    let same = members.iter().all(|member| {
        let pointer = format!("/spec/{member}");
        old.pointer(&pointer) == new.pointer(&pointer)
    });
    if same {
        members.iter().for_each(|member| unset_spec(new, member));
    }
}

/// All node ports go, unless one of them is new: then the user wanted something
/// else, and validation says so.
fn wipe_node_ports(old: &Value, new: &mut Value) {
    let numbers = |value: &Value| -> BTreeSet<i64> {
        let rows = list(value, "/spec/ports").iter().map(|port| int(port, "/nodePort"));
        rows.filter(|number| *number != 0).collect()
    };
    if numbers(old).is_superset(&numbers(new)) {
        list_mut(new, "/spec/ports").for_each(|port| unset(port, "nodePort"));
    }
}

/// The fields that may not change.
pub(super) fn immutable(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !is_external_name(old) && !is_external_name(new) {
        cluster_ips(old, new, &mut causes);
        families(old, new, &mut causes);
    }
    let class = "/spec/loadBalancerClass";
    let balanced = kind_of(old) == "LoadBalancer" && kind_of(new) == "LoadBalancer";
    if balanced && given(old, class) != given(new, class) {
        let shown = new.pointer(class).unwrap_or(&Value::Null);
        causes.push(Cause::invalid("spec.loadBalancerClass", shown, "may not change once set"));
    }
    let health = "/spec/healthCheckNodePort";
    if needs_health_check(old) && needs_health_check(new) && int(old, health) != int(new, health) {
        causes.push(Cause::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
    causes
}

const ONCE_SET: &str = "may not change once set";

fn released(value: &Value, words: &str) -> Option<Cause> {
    let policy = text(value, "/spec/ipFamilyPolicy");
    let detail = format!("must be set to 'SingleStack' when releasing the secondary {words}");
    (policy != "SingleStack").then(|| Cause::invalid("spec.ipFamilyPolicy", &policy.into(), &detail))
}

fn cluster_ips(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if is_headless(old) && is_headless(new) {
        return;
    }
    let (before, after) = (texts(old, "/spec/clusterIPs"), texts(new, "/spec/clusterIPs"));
    let field = |i: usize| format!("spec.clusterIPs[{i}]");
    if before.len() == after.len() {
        let changed = before.iter().zip(&after).enumerate().filter(|(_, (old, new))| old != new);
        causes.extend(changed.map(|(i, _)| Cause::invalid(field(i), &json!(after), ONCE_SET)));
        return;
    }
    if after.is_empty() {
        causes.push(Cause::invalid(field(0), &json!(after), "primary clusterIP can not be unset"));
    } else if !before.is_empty() && before.first() != after.first() {
        causes.push(Cause::invalid(field(0), &json!(after), ONCE_SET));
    }
    if before.len() > after.len() && after.len() == 1 {
        causes.extend(released(new, "clusterIP"));
    }
}

fn families(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    // Families of headless Services may change, and so may the kind of Service itself
    // as far as this rule goes.
    if is_headless(old) || is_headless(new) {
        return;
    }
    let (before, after) = (texts(old, "/spec/ipFamilies"), texts(new, "/spec/ipFamilies"));
    let field = "spec.ipFamilies[0]";
    if before.len() == after.len() {
        let changed = before.iter().zip(&after).filter(|(old, new)| old != new);
        causes.extend(changed.map(|_| Cause::invalid(field, &json!(after), ONCE_SET)));
        return;
    }
    if !before.is_empty() && !after.is_empty() && before.first() != after.first() {
        causes.push(Cause::invalid(field, &json!(after), ONCE_SET));
    }
    if before.len() > after.len() && after.len() == 1 {
        causes.extend(released(new, "ipFamily"));
    }
}
