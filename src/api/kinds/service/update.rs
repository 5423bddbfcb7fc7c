//! What an update keeps, gives up and may not change (spec/service.md sections
//! 4.1, 6 and 7).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::read::{int, list, list_mut, present, set, text, texts, unset};
use super::{has_node_ports, is_external, is_external_name, is_headless, needs_health_check, set_spec, unset_spec};
use crate::model::Cause;

/// Carries over allocated values, so that applying a manifest again changes nothing.
pub(super) fn carry(old: &Value, new: &mut Value) {
    if !is_external_name(old) && !is_external_name(new) {
        carry_cluster_ips(old, new);
    } else if present(new, "/spec/clusterIP") && !present(new, "/spec/clusterIPs") {
        let first = text(new, "/spec/clusterIP").to_owned();
        set_spec(new, "clusterIPs", json!([first]));
    }
    if has_node_ports(old) && has_node_ports(new) {
        carry_node_ports(old, new);
    }
    if needs_health_check(old) && needs_health_check(new) && int(new, "/spec/healthCheckNodePort") == 0 {
        set_spec(new, "healthCheckNodePort", int(old, "/spec/healthCheckNodePort").into());
    }
}

fn carry_cluster_ips(old: &Value, new: &mut Value) {
    let (old_ip, ip) = (text(old, "/spec/clusterIP").to_owned(), text(new, "/spec/clusterIP").to_owned());
    let (old_ips, ips) = (texts(old, "/spec/clusterIPs"), texts(new, "/spec/clusterIPs"));
    let untouched = ips.is_empty() || ips == old_ips;
    if ip.is_empty() && untouched {
        set_spec(new, "clusterIP", json!(old_ip));
        set_spec(new, "clusterIPs", json!(old_ips));
    } else if ip == old_ip && ips.is_empty() {
        set_spec(new, "clusterIPs", json!(old_ips));
    } else if ip != old_ip && untouched {
        set_spec(new, "clusterIPs", json!([ip]));
    }
}

fn carry_node_ports(old: &Value, new: &mut Value) {
    let mut used: BTreeSet<i64> = list(new, "/spec/ports").iter().map(|port| int(port, "/nodePort")).collect();
    let before: BTreeMap<&str, i64> =
        list(old, "/spec/ports").iter().map(|port| (text(port, "/name"), int(port, "/nodePort"))).collect();
    for port in list_mut(new, "/spec/ports").filter(|port| int(port, "/nodePort") == 0) {
        if let Some(number) = before.get(text(port, "/name")).filter(|number| **number != 0 && used.insert(**number)) {
            set(port, "nodePort", *number);
        }
    }
}

/// Drops what the new type has no use for, where the user left it as it was.
pub(super) fn wipe(old: &Value, new: &mut Value) {
    let drop_same = |new: &mut Value, member: &str| {
        let pointer = format!("/spec/{member}");
        if old.pointer(&pointer) == new.pointer(&pointer) {
            unset_spec(new, member);
        }
    };
    if is_external_name(new) && !is_external_name(old) {
        for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop_same(new, member);
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let before: BTreeSet<i64> = list(old, "/spec/ports").iter().map(|port| int(port, "/nodePort")).collect();
        for port in list_mut(new, "/spec/ports").filter(|port| before.contains(&int(port, "/nodePort"))) {
            unset(port, "nodePort");
        }
    }
    if is_external(old) && !is_external(new) {
        drop_same(new, "externalTrafficPolicy");
    }
    if needs_health_check(old) && !needs_health_check(new) {
        drop_same(new, "healthCheckNodePort");
    }
    if text(new, "/spec/type") != "LoadBalancer" {
        if text(old, "/spec/type") == "LoadBalancer" {
            drop_same(new, "allocateLoadBalancerNodePorts");
            drop_same(new, "loadBalancerClass");
        }
        if let Some(status) = new.get_mut("status") {
            set(status, "loadBalancer", json!({}));
        }
    }
}

/// The primary address and family stay, from or to ExternalName aside.
pub(super) fn immutable_addresses(old: &Value, new: &Value) -> Vec<Cause> {
    if is_external_name(old) || is_external_name(new) {
        return Vec::new();
    }
    let (before, after) = (texts(old, "/spec/clusterIPs"), texts(new, "/spec/clusterIPs"));
    if !after.is_empty() && !before.is_empty() && before.first() != after.first() {
        return vec![Cause::invalid("spec.clusterIPs[0]", &json!(after), "may not change once set")];
    }
    Vec::new()
}

/// The other fields that may not change.
pub(super) fn immutable(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let named = is_external_name(old) || is_external_name(new);
    let (before, after) = (texts(old, "/spec/ipFamilies"), texts(new, "/spec/ipFamilies"));
    if !named && !is_headless(new) && !before.is_empty() && before.first() != after.first() {
        causes.push(Cause::invalid("spec.ipFamilies[0]", &json!(after), "may not change once set"));
    }
    let health = "/spec/healthCheckNodePort";
    if needs_health_check(old) && needs_health_check(new) && int(old, health) != int(new, health) {
        causes.push(Cause::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
    let class = "/spec/loadBalancerClass";
    let balanced = text(old, "/spec/type") == "LoadBalancer" && text(new, "/spec/type") == "LoadBalancer";
    if balanced && text(old, class) != text(new, class) {
        let shown = new.pointer(class).unwrap_or(&Value::Null);
        causes.push(Cause::invalid("spec.loadBalancerClass", shown, "may not change once set"));
    }
    causes
}
