//! `v1` Pod: where endpoints come from. Checked as far as edgesvc reads it, and
//! defaulted as far as the real server's answer to a simple manifest shows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::endpoints::{PROTOCOLS, optional};
use super::read::{int, list, list_mut, pairs, present, set, set_default, text, unset, within};
use super::service::target_port;
use crate::model::{Cause, name};

/// Says which addresses a registered Pod has, at most one a family.
const POD_IP: &str = "edgesvc.io/pod-ip";
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

/// Static defaults.
pub(super) fn default(value: &mut Value) {
    let Some(spec) = within(value, "spec") else { return };
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "enableServiceLinks", true);
    within(spec, "securityContext");
    if spec.get("terminationGracePeriodSeconds").is_none_or(Value::is_null) {
        set(spec, "terminationGracePeriodSeconds", 30);
    }
    for member in ["/containers", "/initContainers"] {
        list_mut(spec, member).for_each(default_container);
    }
}

fn default_container(container: &mut Value) {
    let image = text(container, "/image");
    let last = image.rsplit('/').next().unwrap_or_default();
    let fresh = !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    set_default(container, "imagePullPolicy", if fresh { "Always" } else { "IfNotPresent" });
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    within(container, "resources");
    for port in list_mut(container, "/ports") {
        set_default(port, "protocol", "TCP");
    }
    for member in PROBES {
        let Some(probe) = container.get_mut(member).filter(|probe| probe.is_object()) else { continue };
        for (field, content) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            if int(probe, &format!("/{field}")) == 0 {
                set(probe, field, content);
            }
        }
        if let Some(get) = probe.get_mut("httpGet").filter(|get| get.is_object()) {
            set_default(get, "path", "/");
            set_default(get, "scheme", "HTTP");
        }
    }
}

/// The status of a new Pod.
pub(super) fn begin(value: &mut Value) {
    let class = quality(value);
    set(value, "status", json!({"phase": "Pending", "qosClass": class}));
}

fn quality(value: &Value) -> &'static str {
    let containers = list(value, "/spec/containers");
    let asks = |c: &Value| present(c, "/resources/limits") || present(c, "/resources/requests");
    let full = |c: &Value| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = c.pointer(&format!("/resources/limits/{resource}"));
            let request = c.pointer(&format!("/resources/requests/{resource}"));
            limit.is_some() && (request.is_none() || request == limit)
        })
    };
    match () {
        () if !containers.iter().any(asks) => "BestEffort",
        () if containers.iter().all(full) => "Guaranteed",
        () => "Burstable",
    }
}

/// Checks a Pod, by itself and against the one it follows.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    pod_ip(value, &mut causes);
    let containers = list(value, "/spec/containers");
    if containers.is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
    let mut names = BTreeSet::new();
    for member in ["containers", "initContainers"] {
        for (i, container) in list(value, &format!("/spec/{member}")).iter().enumerate() {
            let field = format!("spec.{member}[{i}]");
            validate_container(container, &field, &mut causes);
            let own = text(container, "/name");
            if !own.is_empty() && !names.insert(own) {
                causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
            }
        }
    }
    for (member, allowed) in [("restartPolicy", &RESTART_POLICIES[..]), ("dnsPolicy", &DNS_POLICIES[..])] {
        let shown = text(value, &format!("/spec/{member}"));
        if !allowed.contains(&shown) {
            causes.push(Cause::not_supported(format!("spec.{member}"), &shown.into(), allowed));
        }
    }
    if int(value, "/spec/terminationGracePeriodSeconds") < 0 {
        let shown = int(value, "/spec/terminationGracePeriodSeconds").into();
        let detail = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.terminationGracePeriodSeconds", &shown, detail));
    }
    if let Some(spec) = value.get("spec") {
        optional(spec, "nodeName", "spec", name::dns1123_subdomain, &mut causes);
        optional(spec, "hostname", "spec", name::dns1123_label, &mut causes);
        optional(spec, "subdomain", "spec", name::dns1123_label, &mut causes);
    }
    if let Some(old) = old {
        validate_change(old, value, &mut causes);
    }
    causes
}

fn pod_ip(value: &Value, causes: &mut Vec<Cause>) {
    let Some((_, noted)) = pairs(value, "/metadata/annotations").find(|(key, _)| *key == POD_IP) else { return };
    let addrs: Vec<_> =
        noted.as_str().unwrap_or_default().split(',').map(|part| name::strict_ip(part.trim())).collect();
    let valid = addrs.iter().all(Option::is_some);
    let v4 = addrs.iter().flatten().filter(|addr| addr.is_ipv4()).count();
    if !valid || v4 > 1 || addrs.len() - v4 > 1 {
        let detail = "must be comma-separated IP addresses, at most one of each family";
        causes.push(Cause::invalid(format!("metadata.annotations[{POD_IP}]"), noted, detail));
    }
}

fn validate_container(container: &Value, field: &str, causes: &mut Vec<Cause>) {
    if !present(container, "/name") {
        causes.push(Cause::required(format!("{field}.name"), ""));
    }
    optional(container, "name", field, name::dns1123_label, causes);
    let image = text(container, "/image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{field}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(format!("{field}.image"), &image.into(), detail));
    }
    let mut names = BTreeSet::new();
    for (k, port) in list(container, "/ports").iter().enumerate() {
        let field = format!("{field}.ports[{k}]");
        optional(port, "name", &field, name::port_name, causes);
        let own = text(port, "/name");
        if !own.is_empty() && !names.insert(own) {
            causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
        }
        let number = int(port, "/containerPort");
        if number == 0 {
            causes.push(Cause::required(format!("{field}.containerPort"), ""));
        } else if !(1..=65535).contains(&number) {
            let detail = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{field}.containerPort"), &number.into(), detail));
        }
        let protocol = text(port, "/protocol");
        if !PROTOCOLS.contains(&protocol) {
            causes.push(Cause::not_supported(format!("{field}.protocol"), &protocol.into(), &PROTOCOLS));
        }
    }
    for member in PROBES {
        if let Some(probe) = container.get(member).filter(|probe| probe.is_object()) {
            validate_probe(probe, member, &format!("{field}.{member}"), causes);
        }
    }
}

fn validate_probe(probe: &Value, member: &str, field: &str, causes: &mut Vec<Cause>) {
    let handlers: Vec<&str> =
        HANDLERS.into_iter().filter(|handler| probe.get(handler).is_some_and(Value::is_object)).collect();
    if handlers.is_empty() {
        causes.push(Cause::required(field, "must specify a handler type"));
    }
    for extra in handlers.iter().skip(1) {
        causes.push(Cause::forbidden(format!("{field}.{extra}"), "may not specify more than 1 handler type"));
    }
    for count in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        let number = int(probe, &format!("/{count}"));
        if number < 0 {
            let detail = "must be greater than or equal to 0";
            causes.push(Cause::invalid(format!("{field}.{count}"), &number.into(), detail));
        }
    }
    let success = int(probe, "/successThreshold");
    if member != "readinessProbe" && success != 1 {
        causes.push(Cause::invalid(format!("{field}.successThreshold"), &success.into(), "must be 1"));
    }
    if let Some(grace) = probe.get("terminationGracePeriodSeconds").filter(|grace| !grace.is_null()) {
        let field = format!("{field}.terminationGracePeriodSeconds");
        if member == "readinessProbe" {
            causes.push(Cause::invalid(field, grace, "must not be set for readinessProbes"));
        } else if grace.as_i64().unwrap_or_default() <= 0 {
            causes.push(Cause::invalid(field, grace, "must be greater than 0"));
        }
    }
    for handler in handlers.iter().filter(|handler| matches!(**handler, "httpGet" | "tcpSocket" | "grpc")) {
        let Some(inner) = probe.get(*handler) else { continue };
        target_port(inner, "port", &format!("{field}.{handler}.port"), causes);
    }
    if let Some(get) = probe.get("httpGet") {
        let scheme = text(get, "/scheme");
        if !["HTTP", "HTTPS"].contains(&scheme) {
            causes.push(Cause::not_supported(format!("{field}.httpGet.scheme"), &scheme.into(), &["HTTP", "HTTPS"]));
        }
    }
    if probe.get("exec").is_some_and(|exec| !present(exec, "/command")) {
        causes.push(Cause::required(format!("{field}.exec.command"), ""));
    }
}

/// Of the spec, images, tolerations, the deadline and the node it is bound to may change.
fn validate_change(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if fixed(old) != fixed(new) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", detail));
    }
}

fn fixed(value: &Value) -> Value {
    let mut spec = value.get("spec").cloned().unwrap_or_default();
    for member in ["activeDeadlineSeconds", "tolerations", "nodeName"] {
        unset(&mut spec, member);
    }
    for member in ["/containers", "/initContainers"] {
        for container in list_mut(&mut spec, member) {
            unset(container, "image");
            unset(container, "imagePullPolicy");
        }
    }
    spec
}
