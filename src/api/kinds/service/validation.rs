//! Full validation of a Service (spec/service.md section 3): every fault at once.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::endpoints::{PROTOCOLS, optional};
use super::super::metadata::labels;
use super::super::read::{int, list, pairs, present, special, text, texts};
use super::{is_external, is_external_name, is_headless, kind_of, needs_health_check};
use crate::model::{Cause, name};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const PORT_FAULT: &str = "must be between 1 and 65535, inclusive";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// Checks a Service; what stands in `old` already is not held against it.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    ports(value, &mut causes);
    causes.extend(labels(value, "/spec/selector", "spec.selector"));
    one_of(value, "type", &TYPES, &mut causes);
    one_of(value, "sessionAffinity", &["ClientIP", "None"], &mut causes);
    if text(value, "/spec/sessionAffinity") == "ClientIP" {
        let seconds = int(value, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds");
        if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) {
            let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            causes.push(Cause::invalid(field, &seconds.into(), "must be greater than 0 and less than 86400"));
        }
    }
    if is_headless(value) && matches!(kind_of(value), "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {} services", kind_of(value));
        causes.push(Cause::invalid("spec.clusterIPs[0]", &"None".into(), &detail));
    }
    external_name(value, &mut causes);
    external_ips(value, old, &mut causes);
    source_ranges(value, &mut causes);
    load_balancer(value, &mut causes);
    policies(value, &mut causes);
    topology(value, &mut causes);
    causes
}

fn one_of(value: &Value, member: &str, allowed: &[&str], causes: &mut Vec<Cause>) {
    let shown = text(value, &format!("/spec/{member}"));
    if !shown.is_empty() && !allowed.contains(&shown) {
        causes.push(Cause::not_supported(format!("spec.{member}"), &shown.into(), allowed));
    }
}

fn ports(value: &Value, causes: &mut Vec<Cause>) {
    let rows = list(value, "/spec/ports");
    if rows.is_empty() && !is_headless(value) && !is_external_name(value) {
        causes.push(Cause::required("spec.ports", ""));
    }
    let (mut names, mut pairs, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, row) in rows.iter().enumerate() {
        let field = format!("spec.ports[{i}]");
        port(row, rows.len() > 1, &field, causes);
        let (own, protocol, node_port) = (text(row, "/name"), text(row, "/protocol"), int(row, "/nodePort"));
        if !own.is_empty() && !names.insert(own) {
            causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
        }
        if !pairs.insert((protocol, int(row, "/port"))) {
            let shown = json!({"protocol": protocol, "port": int(row, "/port")});
            causes.push(Cause::duplicate(&field, &shown));
        }
        if node_port != 0 && !nodes.insert((protocol, node_port)) {
            let shown = json!({"protocol": protocol, "nodePort": node_port});
            causes.push(Cause::duplicate(format!("{field}.nodePort"), &shown));
        }
        if node_port != 0 && kind_of(value) == "ClusterIP" {
            let detail = "may not be used when `type` is 'ClusterIP'";
            causes.push(Cause::forbidden(format!("{field}.nodePort"), detail));
        }
    }
}

fn port(row: &Value, named: bool, field: &str, causes: &mut Vec<Cause>) {
    if named && !present(row, "/name") {
        causes.push(Cause::required(format!("{field}.name"), ""));
    }
    optional(row, "name", field, name::dns1123_label, causes);
    let number = int(row, "/port");
    if !(1..=65535).contains(&number) {
        causes.push(Cause::invalid(format!("{field}.port"), &number.into(), PORT_FAULT));
    }
    let protocol = text(row, "/protocol");
    if !PROTOCOLS.contains(&protocol) {
        causes.push(Cause::not_supported(format!("{field}.protocol"), &protocol.into(), &PROTOCOLS));
    }
    target_port(row, "targetPort", &format!("{field}.targetPort"), causes);
    optional(row, "appProtocol", field, name::qualified_name, causes);
}

/// Checks a number or a port's name.
pub(in super::super) fn target_port(row: &Value, member: &str, field: &str, causes: &mut Vec<Cause>) {
    let target = row.get(member).unwrap_or(&Value::Null);
    match target.as_str() {
        Some(own) => causes.extend(name::port_name(own).iter().map(|fault| Cause::invalid(field, target, fault))),
        None if !(1..=65535).contains(&target.as_i64().unwrap_or_default()) => {
            causes.push(Cause::invalid(field, target, PORT_FAULT));
        }
        None => {}
    }
}

fn external_name(value: &Value, causes: &mut Vec<Cause>) {
    if !is_external_name(value) {
        return;
    }
    let shown = text(value, "/spec/externalName");
    if shown.is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    } else {
        let faults = name::dns1123_subdomain(shown.strip_suffix('.').unwrap_or(shown));
        causes.extend(faults.iter().map(|fault| Cause::invalid("spec.externalName", &shown.into(), fault)));
    }
    for member in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if present(value, &format!("/spec/{member}")) {
            let detail = "may not be set for ExternalName services";
            causes.push(Cause::forbidden(format!("spec.{member}"), detail));
        }
    }
}

fn external_ips(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let stored = old.map(|old| texts(old, "/spec/externalIPs")).unwrap_or_default();
    for (i, ip) in texts(value, "/spec/externalIPs").iter().enumerate().filter(|(_, ip)| !stored.contains(ip)) {
        let field = format!("spec.externalIPs[{i}]");
        match name::strict_ip(ip) {
            None => {
                let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                causes.push(Cause::invalid(field, &json!(ip), detail));
            }
            Some(addr) => causes.extend(special(addr).map(|detail| Cause::invalid(field, &json!(ip), detail))),
        }
    }
}

fn source_ranges(value: &Value, causes: &mut Vec<Cause>) {
    let listed = texts(value, "/spec/loadBalancerSourceRanges");
    let annotation = pairs(value, "/metadata/annotations").find(|(key, _)| *key == SOURCE_RANGES);
    let noted = annotation.and_then(|(_, content)| content.as_str()).filter(|content| !content.trim().is_empty());
    let balanced = kind_of(value) == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    if !listed.is_empty() {
        if !balanced {
            causes.push(Cause::forbidden("spec.LoadBalancerSourceRanges", only));
        }
        for (i, range) in listed.iter().enumerate().filter(|(_, range)| !strict_range(range)) {
            causes.push(Cause::invalid(format!("spec.LoadBalancerSourceRanges[{i}]"), &json!(range), detail));
        }
    } else if let Some(noted) = noted {
        let field = format!("metadata.annotations[{SOURCE_RANGES}]");
        if !balanced {
            causes.push(Cause::forbidden(&field, only));
        }
        if !noted.split(',').all(strict_range) {
            causes.push(Cause::invalid(&field, &noted.into(), detail));
        }
    }
}

fn strict_range(range: &str) -> bool {
    let Some((addr, bits)) = range.trim().split_once('/') else { return false };
    let plain_bits = bits == "0" || !bits.starts_with(['0', '+']);
    let net = range.trim().parse::<IpNet>().ok();
    plain_bits && name::strict_ip(addr).is_some() && net.is_some_and(|net| net.addr() == net.network())
}

fn load_balancer(value: &Value, causes: &mut Vec<Cause>) {
    let balanced = kind_of(value) == "LoadBalancer";
    for member in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if !balanced && present(value, &format!("/spec/{member}")) {
            let detail = "may only be used when `type` is 'LoadBalancer'";
            causes.push(Cause::forbidden(format!("spec.{member}"), detail));
        }
    }
    if let Some(spec) = value.get("spec") {
        optional(spec, "loadBalancerClass", "spec", name::qualified_name, causes);
    }
    let health = int(value, "/spec/healthCheckNodePort");
    if health != 0 && !needs_health_check(value) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.push(Cause::invalid("spec.healthCheckNodePort", &health.into(), detail));
    }
}

fn policies(value: &Value, causes: &mut Vec<Cause>) {
    let external = text(value, "/spec/externalTrafficPolicy");
    if !external.is_empty() && !is_external(value) {
        let detail = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", &external.into(), detail));
    } else {
        one_of(value, "externalTrafficPolicy", &POLICIES, causes);
    }
    one_of(value, "internalTrafficPolicy", &POLICIES, causes);
    one_of(value, "trafficDistribution", &["PreferClose", "PreferSameZone", "PreferSameNode"], causes);
}

fn annotation<'a>(value: &'a Value, wanted: &str) -> Option<&'a str> {
    pairs(value, "/metadata/annotations").find(|(key, _)| *key == wanted).and_then(|(_, content)| content.as_str())
}

fn topology(value: &Value, causes: &mut Vec<Cause>) {
    let (mode, hints) = (annotation(value, TOPOLOGY_MODE), annotation(value, TOPOLOGY_HINTS));
    if let (Some(mode), Some(hints)) = (mode, hints)
        && mode != hints
    {
        let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        causes.push(Cause::invalid(format!("metadata.annotations[{TOPOLOGY_MODE}]"), &mode.into(), &detail));
    }
}

/// Checks the status a client wrote.
pub(super) fn status(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let rows = list(value, "/status/loadBalancer/ingress");
    let field = "status.loadBalancer.ingress";
    if !rows.is_empty() && kind_of(value) != "LoadBalancer" {
        causes.push(Cause::forbidden(field, "may only be used when `spec.type` is LoadBalancer"));
        return causes;
    }
    for (i, row) in rows.iter().enumerate() {
        let (ip, mode, host) = (text(row, "/ip"), text(row, "/ipMode"), text(row, "/hostname"));
        if !ip.is_empty() && name::strict_ip(ip).is_none() {
            causes.push(Cause::invalid(format!("{field}[{i}].ip"), &ip.into(), "must be a valid IP address"));
        }
        if !mode.is_empty() && ip.is_empty() {
            let detail = "may not be specified when `ip` is not set";
            causes.push(Cause::forbidden(format!("{field}[{i}].ipMode"), detail));
        } else if !mode.is_empty() && !["Proxy", "VIP"].contains(&mode) {
            causes.push(Cause::not_supported(format!("{field}[{i}].ipMode"), &mode.into(), &["Proxy", "VIP"]));
        }
        if host.parse::<std::net::IpAddr>().is_ok() {
            let detail = "must be a DNS name, not an IP address";
            causes.push(Cause::invalid(format!("{field}[{i}].hostname"), &host.into(), detail));
        }
        optional(row, "hostname", &format!("{field}[{i}]"), name::dns1123_subdomain, &mut causes);
    }
    causes
}

/// What a client should hear of a Service that is accepted.
pub(super) fn warnings(value: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let (named, headless) = (is_external_name(value), is_headless(value));
    let mut say = |holds: bool, text: &str| {
        if holds {
            warnings.push(text.to_owned());
        }
    };
    let external_ips = present(value, "/spec/externalIPs");
    say(
        !named && present(value, "/spec/externalName"),
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
    );
    say(
        external_ips && !headless && !named,
        "spec.externalIPs is deprecated in v1.36+, and may be removed in a future release",
    );
    say(headless && external_ips, "spec.externalIPs is ignored when spec.clusterIP is \"None\"");
    say(
        headless && present(value, "/spec/loadBalancerIP"),
        "spec.loadBalancerIP is ignored when spec.clusterIP is \"None\"",
    );
    say(
        headless && text(value, "/spec/sessionAffinity") != "None",
        "spec.SessionAffinity is ignored when spec.clusterIP is \"None\"",
    );
    say(named && external_ips, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    say(
        text(value, "/spec/trafficDistribution") == "PreferClose",
        "spec.trafficDistribution: PreferClose is deprecated in v1.35+, use PreferSameZone",
    );
    say(
        annotation(value, TOPOLOGY_HINTS).is_some(),
        "metadata.annotations[service.kubernetes.io/topology-aware-hints] is deprecated, please use service.kubernetes.io/topology-mode",
    );
    warnings
}
