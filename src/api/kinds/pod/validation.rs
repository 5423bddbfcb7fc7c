//! What of a Pod edgesvc reads, checked: addresses, containers, ports, probes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::address::ip_faults;
use super::super::endpoints::{PROTOCOLS, optional};
use super::super::read::{annotation, enough, int, list, list_mut, present, text, unset};
use super::super::service::target_port;
use super::PROBES;
use crate::model::balance::{WEIGHT_ANNOTATION, WEIGHT_FAULT, parse_weight};
use crate::model::{Cause, IpFamily, name};

/// Says which addresses a registered Pod has, at most one a family.
const POD_IP: &str = "edgesvc.io/pod-ip";
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const PORT_FAULT: &str = "must be between 1 and 65535, inclusive";

/// Checks a Pod, by itself and against the one it follows.
pub(in super::super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    pod_ip(value, &mut causes);
    if let Some(shown) = annotation(value, WEIGHT_ANNOTATION).filter(|shown| parse_weight(shown).is_none()) {
        causes.push(Cause::invalid(format!("metadata.annotations[{WEIGHT_ANNOTATION}]"), &shown.into(), WEIGHT_FAULT));
    }
    if list(value, "/spec/containers").is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
    let mut names = BTreeSet::new();
    for member in ["containers", "initContainers"] {
        for (i, container) in list(value, &format!("/spec/{member}")).iter().enumerate() {
            if enough(&causes) {
                break;
            }
            let (field, own) = (format!("spec.{member}[{i}]"), text(container, "/name"));
            validate_container(container, &field, &mut causes);
            if !names.insert(own) {
                causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
            }
            for probe in PROBES {
                validate_probe(container, probe, &format!("{field}.{probe}"), &mut causes);
            }
        }
    }
    for (member, allowed) in [("restartPolicy", &RESTART_POLICIES[..]), ("dnsPolicy", &DNS_POLICIES[..])] {
        let shown = text(value, &format!("/spec/{member}"));
        if !allowed.contains(&shown) {
            causes.push(Cause::not_supported(format!("spec.{member}"), &shown.into(), allowed));
        }
    }
    at_least_zero(value, "/spec/terminationGracePeriodSeconds", "spec.terminationGracePeriodSeconds", &mut causes);
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

fn at_least_zero(value: &Value, pointer: &str, field: &str, causes: &mut Vec<Cause>) {
    let number = int(value, pointer);
    if number < 0 {
        causes.push(Cause::invalid(field, &number.into(), "must be greater than or equal to 0"));
    }
}

fn pod_ip(value: &Value, causes: &mut Vec<Cause>) {
    let Some(noted) = annotation(value, POD_IP) else { return };
    let addrs: Vec<_> = noted.split(',').map(|part| name::strict_ip(part.trim())).collect();
    let valid = addrs.iter().all(Option::is_some);
    let v4 = addrs.iter().flatten().filter(|addr| addr.is_ipv4()).count();
    if !valid || v4 > 1 || addrs.len() - v4 > 1 {
        let detail = "must be comma-separated IP addresses, at most one of each family";
        causes.push(Cause::invalid(format!("metadata.annotations[{POD_IP}]"), &noted.into(), detail));
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
        if enough(causes) {
            return;
        }
        let field = format!("{field}.ports[{k}]");
        let own = text(port, "/name");
        optional(port, "name", &field, name::port_name, causes);
        if !own.is_empty() && name::port_name(own).is_empty() && !names.insert(own) {
            causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
        }
        if int(port, "/containerPort") == 0 {
            causes.push(Cause::required(format!("{field}.containerPort"), ""));
        }
        for member in ["containerPort", "hostPort"] {
            let number = int(port, &format!("/{member}"));
            if !(0..=65535).contains(&number) {
                causes.push(Cause::invalid(format!("{field}.{member}"), &number.into(), PORT_FAULT));
            }
        }
        let protocol = text(port, "/protocol");
        if !PROTOCOLS.contains(&protocol) {
            causes.push(Cause::not_supported(format!("{field}.protocol"), &protocol.into(), &PROTOCOLS));
        }
    }
}

fn validate_probe(container: &Value, member: &str, field: &str, causes: &mut Vec<Cause>) {
    let Some(probe) = container.get(member).filter(|probe| probe.is_object()) else { return };
    validate_handler(probe, field, causes);
    for count in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        at_least_zero(probe, &format!("/{count}"), &format!("{field}.{count}"), causes);
    }
    let grace = probe.get("terminationGracePeriodSeconds").filter(|grace| !grace.is_null());
    let grace_field = format!("{field}.terminationGracePeriodSeconds");
    if let Some(grace) = grace.filter(|grace| grace.as_i64().unwrap_or_default() <= 0) {
        causes.push(Cause::invalid(&grace_field, grace, "must be greater than 0"));
    }
    let success = int(probe, "/successThreshold");
    if member == "readinessProbe" {
        let detail = "must not be set for readinessProbes";
        causes.extend(grace.map(|grace| Cause::invalid(&grace_field, grace, detail)));
    } else if success != 1 {
        causes.push(Cause::invalid(format!("{field}.successThreshold"), &success.into(), "must be 1"));
    }
}

/// There must be one handler, and of several only the first is looked at.
fn validate_handler(probe: &Value, field: &str, causes: &mut Vec<Cause>) {
    let mut handlers = HANDLERS.into_iter().filter_map(|name| {
        let inner = probe.get(name).filter(|inner| inner.is_object())?;
        Some((format!("{field}.{name}"), name, inner))
    });
    let Some((own, name, inner)) = handlers.next() else {
        causes.push(Cause::required(field, "must specify a handler type"));
        return;
    };
    if name != "exec" {
        target_port(inner, "port", &format!("{own}.port"), causes);
    } else if !present(inner, "/command") {
        causes.push(Cause::required(format!("{own}.command"), ""));
    }
    let scheme = text(inner, "/scheme");
    if name == "httpGet" && !["HTTP", "HTTPS"].contains(&scheme) {
        causes.push(Cause::not_supported(format!("{own}.scheme"), &scheme.into(), &["HTTP", "HTTPS"]));
    }
    causes.extend(handlers.map(|(extra, ..)| Cause::forbidden(extra, "may not specify more than 1 handler type")));
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

/// Checks the status that somebody who runs the Pod wrote.
pub(in super::super) fn validate_status(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let class = "/status/qosClass";
    if text(old, class) != text(new, class) {
        causes.push(Cause::invalid("status.qosClass", &text(new, class).into(), "field is immutable"));
    }
    for member in ["podIPs", "hostIPs"] {
        let (pointer, field) = (format!("/status/{member}"), format!("status.{member}"));
        let stored: BTreeSet<&str> = list(old, &pointer).iter().map(|row| text(row, "/ip")).collect();
        let ips: Vec<&str> = list(new, &pointer).iter().map(|row| text(row, "/ip")).collect();
        for (i, ip) in ips.iter().enumerate().filter(|(_, ip)| !stored.contains(*ip)) {
            if !enough(&causes) {
                causes.extend(ip_faults(&format!("{field}[{i}]"), ip));
            }
        }
        let families: Vec<IpFamily> = ips.iter().filter_map(|ip| Some(IpFamily::of(ip.parse().ok()?))).collect();
        if ips.len() > 2 || (families.len() == 2 && families.first() == families.get(1)) {
            let shown = new.pointer(&pointer).unwrap_or(&Value::Null);
            causes.push(Cause::invalid(&field, shown, "may specify no more than one IP for each IP family"));
        }
    }
    causes
}
