//! What a client should hear of a Service that is accepted (spec/service.md
//! section 3, "Warnings").

use std::net::IpAddr;

use serde_json::Value;

use super::super::Scene;
use super::super::address::{ip_warning, range_warning};
use super::super::read::{annotation, list, present, text, texts};
use super::{TOPOLOGY_HINTS, is_external_name, kind_of};
use crate::model::mdns::{MDNS_ANNOTATION, MDNS_TXT_ANNOTATION};

/// The warnings about the spec.
pub(super) fn spec(scene: &Scene<'_>, value: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let named = is_external_name(value);
    let headless = kind_of(value) == "ClusterIP" && text(value, "/spec/clusterIP") == "None";
    if annotation(value, TOPOLOGY_HINTS).is_some() {
        warnings.push(format!(
            "annotation {TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let reachable = matches!(kind_of(value), "NodePort" | "LoadBalancer");
    if annotation(value, MDNS_ANNOTATION).is_some() && !reachable {
        warnings.push(format!(
            "annotation {MDNS_ANNOTATION} has no effect on a Service of type {}: the LAN reaches NodePort and LoadBalancer",
            kind_of(value)
        ));
    }
    if annotation(value, MDNS_TXT_ANNOTATION).is_some() && annotation(value, MDNS_ANNOTATION).is_none() {
        warnings.push(format!("annotation {MDNS_TXT_ANNOTATION} has no effect without {MDNS_ANNOTATION}"));
    }
    if !headless {
        warnings.extend(ips(value, "clusterIPs"));
    }
    let external = present(value, "/spec/externalIPs");
    for (member, ignored) in [
        ("loadBalancerIP", present(value, "/spec/loadBalancerIP")),
        ("externalIPs", external),
        ("SessionAffinity", text(value, "/spec/sessionAffinity") != "None"),
    ] {
        if headless && ignored {
            warnings.push(format!("spec.{member} is ignored for headless services"));
        }
    }
    warnings.extend(ips(value, "externalIPs"));
    if external && !headless && !named {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
        warnings.extend(unserved(scene, value));
    }
    warnings.extend(ip_warning("spec.loadBalancerIP", text(value, "/spec/loadBalancerIP")));
    let ranges = texts(value, "/spec/loadBalancerSourceRanges");
    let ranges = ranges.iter().enumerate();
    warnings
        .extend(ranges.filter_map(|(i, range)| range_warning(&format!("spec.loadBalancerSourceRanges[{i}]"), range)));
    if named && external {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !named && present(value, "/spec/externalName") {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if text(value, "/spec/trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

/// The externalIPs that this box does not take traffic for: nothing may be ignored
/// in silence.
fn unserved(scene: &Scene<'_>, value: &Value) -> Vec<String> {
    let served = |ip: &str| {
        let addr = ip.parse::<IpAddr>();
        addr.is_ok_and(|addr| scene.rules.external_ip_cidrs.iter().any(|cidr| cidr.contains(&addr)))
    };
    let all = texts(value, "/spec/externalIPs");
    let outside = all.iter().enumerate().filter(|(_, ip)| !served(ip));
    outside
        .map(|(i, ip)| format!("spec.externalIPs[{i}]: {ip} is outside --external-ip-cidrs and not served"))
        .collect()
}

fn ips(value: &Value, member: &str) -> Vec<String> {
    let all = texts(value, &format!("/spec/{member}"));
    all.iter().enumerate().filter_map(|(i, ip)| ip_warning(&format!("spec.{member}[{i}]"), ip)).collect()
}

/// The warnings about the status.
pub(super) fn status(value: &Value) -> Vec<String> {
    let rows = list(value, "/status/loadBalancer/ingress").iter().enumerate();
    rows.filter_map(|(i, row)| ip_warning(&format!("status.loadBalancer.ingress[{i}]"), text(row, "/ip"))).collect()
}
