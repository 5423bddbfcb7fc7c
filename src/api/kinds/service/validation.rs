//! Full validation of a Service (spec/service.md section 3): every fault at once,
//! in the real server's order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::address::{endpoint_ip_faults, ip_faults, range_faults};
use super::super::endpoints::PROTOCOLS;
use super::super::metadata::labels;
use super::super::read::{FAULTS_MAX, annotation, enough, given, int, list, text, texts};
use super::{TOPOLOGY_HINTS, is_external, is_external_name, is_headless, kind_of, needs_health_check};
use crate::model::balance::{BALANCE_ANNOTATION, PROXY_MODE_ANNOTATION, RELAY, Schedule};
use crate::model::mdns::{MDNS_ANNOTATION, MDNS_TXT_ANNOTATION, txt};
use crate::model::{Cause, name};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const PORT_FAULT: &str = "must be between 1 and 65535, inclusive";
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// Checks a Service; what stands in `old` already is not held against it.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    topology(value, &mut causes);
    balancing(value, &mut causes);
    lan_name(value, &mut causes);
    lan_attributes(value, &mut causes);
    by_type(value, &mut causes);
    let rows = list(value, "/spec/ports");
    let mut names = BTreeSet::new();
    for (i, row) in rows.iter().enumerate() {
        if enough(&causes) {
            break;
        }
        port(row, rows.len() > 1, &format!("spec.ports[{i}]"), &mut names, &mut causes);
    }
    causes.extend(labels(value, "/spec/selector", "spec.selector"));
    affinity(value, &mut causes);
    external_ips(value, old, &mut causes);
    one_of(value, "type", &TYPES, &mut causes);
    port_numbers(value, rows, &mut causes);
    source_ranges(value, old, &mut causes);
    load_balancer(value, &mut causes);
    policies(value, &mut causes);
    causes
}

fn one_of(value: &Value, member: &str, allowed: &[&str], causes: &mut Vec<Cause>) {
    let shown = given(value, &format!("/spec/{member}"));
    if let Some(shown) = shown.filter(|shown| !allowed.contains(shown)) {
        causes.push(Cause::not_supported(format!("spec.{member}"), &shown.into(), allowed));
    }
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

/// Our own annotations: a word we do not know would balance otherwise than was meant.
fn balancing(value: &Value, causes: &mut Vec<Cause>) {
    let words = Schedule::ALL.map(Schedule::as_str);
    for (name, allowed) in [(BALANCE_ANNOTATION, &words[..]), (PROXY_MODE_ANNOTATION, &[RELAY][..])] {
        if let Some(shown) = annotation(value, name).filter(|shown| !allowed.contains(shown)) {
            causes.push(Cause::not_supported(format!("metadata.annotations[{name}]"), &shown.into(), allowed));
        }
    }
    let sctp = list(value, "/spec/ports").iter().position(|row| text(row, "/protocol") == "SCTP");
    if let Some(i) = sctp.filter(|_| annotation(value, PROXY_MODE_ANNOTATION) == Some(RELAY)) {
        let field = format!("metadata.annotations[{PROXY_MODE_ANNOTATION}]");
        causes.push(Cause::invalid(
            field,
            &RELAY.into(),
            &format!("the relay carries no SCTP: spec.ports[{i}].protocol"),
        ));
    }
}

/// The name on the LAN is one label below `local`.
fn lan_name(value: &Value, causes: &mut Vec<Cause>) {
    let Some(shown) = annotation(value, MDNS_ANNOTATION) else { return };
    let field = format!("metadata.annotations[{MDNS_ANNOTATION}]");
    causes.extend(name::dns1123_label(shown).iter().map(|fault| Cause::invalid(&field, &shown.into(), fault)));
}

/// What instances there say of themselves.
fn lan_attributes(value: &Value, causes: &mut Vec<Cause>) {
    let Some(shown) = annotation(value, MDNS_TXT_ANNOTATION) else { return };
    let field = format!("metadata.annotations[{MDNS_TXT_ANNOTATION}]");
    causes.extend(txt(shown).err().map(|fault| Cause::invalid(field, &shown.into(), &fault)));
}

/// What the type asks for and what it does not allow.
fn by_type(value: &Value, causes: &mut Vec<Cause>) {
    if list(value, "/spec/ports").is_empty() && !is_headless(value) && !is_external_name(value) {
        causes.push(Cause::required("spec.ports", ""));
    }
    if is_headless(value) && matches!(kind_of(value), "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {} services", kind_of(value));
        causes.push(Cause::invalid("spec.clusterIPs[0]", &"None".into(), &detail));
    }
    if !is_external_name(value) {
        return;
    }
    let listed = |member: &str| !texts(value, &format!("/spec/{member}")).is_empty();
    for (member, set) in [
        ("clusterIPs", listed("clusterIPs")),
        ("ipFamilies", listed("ipFamilies")),
        ("ipFamilyPolicy", given(value, "/spec/ipFamilyPolicy").is_some()),
    ] {
        if set {
            causes.push(Cause::forbidden(format!("spec.{member}"), "may not be set for ExternalName services"));
        }
    }
    let shown = text(value, "/spec/externalName");
    let bare = shown.strip_suffix('.').unwrap_or(shown);
    if bare.is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    } else {
        let faults = name::dns1123_subdomain(bare);
        causes.extend(faults.iter().map(|fault| Cause::invalid("spec.externalName", &bare.into(), fault)));
    }
}

fn port<'a>(row: &'a Value, named: bool, field: &str, names: &mut BTreeSet<&'a str>, causes: &mut Vec<Cause>) {
    let own = text(row, "/name");
    let name_field = format!("{field}.name");
    if !own.is_empty() {
        let faults = name::dns1123_label(own);
        causes.extend(faults.iter().map(|fault| Cause::invalid(&name_field, &own.into(), fault)));
        if !names.insert(own) {
            causes.push(Cause::duplicate(&name_field, &own.into()));
        }
    } else if named {
        causes.push(Cause::required(&name_field, ""));
    }
    let number = int(row, "/port");
    if !(1..=65535).contains(&number) {
        causes.push(Cause::invalid(format!("{field}.port"), &number.into(), PORT_FAULT));
    }
    let protocol = text(row, "/protocol");
    if !PROTOCOLS.contains(&protocol) {
        causes.push(Cause::not_supported(format!("{field}.protocol"), &protocol.into(), &PROTOCOLS));
    }
    target_port(row, "targetPort", &format!("{field}.targetPort"), causes);
    if let Some(app) = given(row, "/appProtocol") {
        let faults = name::qualified_name(app);
        causes.extend(faults.iter().map(|fault| Cause::invalid(format!("{field}.appProtocol"), &app.into(), fault)));
    }
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

/// Numbers that a type forbids or that stand there twice.
fn port_numbers(value: &Value, rows: &[Value], causes: &mut Vec<Cause>) {
    let node_ports = || rows.iter().enumerate().filter(|(_, row)| int(row, "/nodePort") != 0);
    if kind_of(value) == "ClusterIP" {
        causes.extend(node_ports().take(FAULTS_MAX).map(|(i, _)| {
            Cause::forbidden(format!("spec.ports[{i}].nodePort"), "may not be used when `type` is 'ClusterIP'")
        }));
    }
    let mut seen = BTreeSet::new();
    for (i, row) in node_ports() {
        let number = int(row, "/nodePort");
        if !seen.insert((text(row, "/protocol"), number)) {
            causes.push(Cause::duplicate(format!("spec.ports[{i}].nodePort"), &number.into()));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, row) in rows.iter().enumerate() {
        let (protocol, number) = (text(row, "/protocol"), int(row, "/port"));
        if !seen.insert((protocol, number)) && !enough(causes) {
            let shown = json!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            causes.push(Cause::duplicate(format!("spec.ports[{i}]"), &shown));
        }
    }
}

fn affinity(value: &Value, causes: &mut Vec<Cause>) {
    one_of(value, "sessionAffinity", &["ClientIP", "None"], causes);
    let seconds = int(value, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds");
    if text(value, "/spec/sessionAffinity") == "ClientIP" && !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        causes.push(Cause::invalid(field, &seconds.into(), &detail));
    }
}

fn external_ips(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let stored: BTreeSet<String> = old.into_iter().flat_map(|old| texts(old, "/spec/externalIPs")).collect();
    for (i, ip) in texts(value, "/spec/externalIPs").iter().enumerate() {
        if enough(causes) {
            return;
        }
        let field = format!("spec.externalIPs[{i}]");
        let faults = if stored.contains(ip) { Vec::new() } else { ip_faults(&field, ip) };
        causes.extend(if faults.is_empty() { endpoint_ip_faults(&field, ip) } else { faults });
    }
}

fn source_ranges(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let listed = texts(value, "/spec/loadBalancerSourceRanges");
    let balanced = kind_of(value) == "LoadBalancer";
    if !listed.is_empty() {
        let field = "spec.LoadBalancerSourceRanges";
        if !balanced {
            causes.push(Cause::forbidden(field, BALANCED_ONLY));
        }
        let stored = old.into_iter().flat_map(|old| texts(old, "/spec/loadBalancerSourceRanges"));
        let stored: BTreeSet<String> = stored.map(|range| range.trim().to_owned()).collect();
        let rows = listed.iter().map(|range| range.trim()).enumerate().filter(|(_, range)| !stored.contains(*range));
        causes.extend(rows.flat_map(|(i, range)| range_faults(&format!("{field}[{i}]"), range)).take(FAULTS_MAX));
    } else if let Some(noted) = annotation(value, SOURCE_RANGES) {
        let field = format!("metadata.annotations[{SOURCE_RANGES}]");
        if !balanced {
            causes.push(Cause::forbidden(&field, BALANCED_ONLY));
        }
        let kept = old.and_then(|old| annotation(old, SOURCE_RANGES)) == Some(noted);
        if !kept && !noted.trim().is_empty() {
            let faults = noted.trim().split(',').flat_map(|range| range_faults(&field, range.trim()));
            causes.extend(faults.take(FAULTS_MAX));
        }
    }
}

fn load_balancer(value: &Value, causes: &mut Vec<Cause>) {
    let balanced = kind_of(value) == "LoadBalancer";
    if !balanced && value.pointer("/spec/allocateLoadBalancerNodePorts").is_some_and(Value::is_boolean) {
        causes.push(Cause::forbidden("spec.allocateLoadBalancerNodePorts", BALANCED_ONLY));
    }
    let field = "spec.loadBalancerClass";
    match given(value, "/spec/loadBalancerClass") {
        Some(_) if !balanced => causes.push(Cause::forbidden(field, BALANCED_ONLY)),
        Some(class) => {
            let faults = name::qualified_name(class);
            causes.extend(faults.iter().map(|fault| Cause::invalid(field, &class.into(), fault)));
        }
        None => {}
    }
}

fn policies(value: &Value, causes: &mut Vec<Cause>) {
    let external = text(value, "/spec/externalTrafficPolicy");
    if is_external(value) {
        one_of(value, "externalTrafficPolicy", &POLICIES, causes);
    } else if !external.is_empty() {
        let detail = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", &external.into(), detail));
    }
    let health = int(value, "/spec/healthCheckNodePort");
    if health != 0 && !needs_health_check(value) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.push(Cause::invalid("spec.healthCheckNodePort", &health.into(), detail));
    }
    one_of(value, "internalTrafficPolicy", &POLICIES, causes);
    one_of(value, "trafficDistribution", &["PreferClose", "PreferSameZone", "PreferSameNode"], causes);
}

/// Checks the status a client wrote.
pub(super) fn status(value: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let rows = list(value, "/status/loadBalancer/ingress");
    let field = "status.loadBalancer.ingress";
    if !rows.is_empty() && kind_of(value) != "LoadBalancer" {
        return vec![Cause::forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let stored: BTreeSet<&str> = list(old, "/status/loadBalancer/ingress").iter().map(|row| text(row, "/ip")).collect();
    for (i, row) in rows.iter().enumerate() {
        if enough(&causes) {
            break;
        }
        let (ip, mode, host) = (text(row, "/ip"), given(row, "/ipMode"), text(row, "/hostname"));
        if !ip.is_empty() && !stored.contains(ip) {
            causes.extend(ip_faults(&format!("{field}[{i}].ip"), ip));
        }
        let mode_field = format!("{field}[{i}].ipMode");
        match mode {
            Some(_) if ip.is_empty() => {
                causes.push(Cause::forbidden(mode_field, "may not be specified when `ip` is not set"));
            }
            Some(mode) if !["Proxy", "VIP"].contains(&mode) => {
                causes.push(Cause::not_supported(mode_field, &mode.into(), &["Proxy", "VIP"]));
            }
            None if !ip.is_empty() => {
                causes.push(Cause::required(mode_field, "must be specified when `ip` is set"));
            }
            Some(_) | None => {}
        }
        let host_field = format!("{field}[{i}].hostname");
        if !host.is_empty() {
            let faults = name::dns1123_subdomain(host);
            causes.extend(faults.iter().map(|fault| Cause::invalid(&host_field, &host.into(), fault)));
        }
        if host.parse::<std::net::IpAddr>().is_ok() {
            let detail = "must be a DNS name, not an IP address";
            causes.push(Cause::invalid(&host_field, &host.into(), detail));
        }
    }
    causes
}
