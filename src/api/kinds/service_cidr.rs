//! `networking.k8s.io/v1` IPAddress and ServiceCIDR (spec/service.md section 4.4):
//! their rules, and the ranges that Services get addresses from.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Scene;
use super::address::{canonical_ip_faults, canonical_range_faults};
use super::ingress::segment;
use super::read::{text, texts};
use crate::model::{Cause, Claim, Kind, ip_address, name, service_cidr};

/// Most ranges of a ServiceCIDR: one of each family.
const CIDRS_MAX: usize = 2;
/// The ServiceCIDR of the configured ranges.
const DEFAULT: &str = "kubernetes";

/// The ranges addresses are given from: those of the configuration first, then the
/// other ServiceCIDRs by name; none that is going or not ready.
pub(super) fn ready_ranges(scene: &Scene<'_>) -> Vec<IpNet> {
    if scene.snapshot.count(Kind::ServiceCidr) == 0 {
        // Before the first of them is made, and where nobody makes any.
        return scene.rules.service_ranges.clone();
    }
    let mut all: Vec<_> =
        scene.snapshot.list(Kind::ServiceCidr, None).filter(|object| service_cidr::gives(object)).collect();
    all.sort_by_key(|object| &*object.key.name != DEFAULT);
    let mut ranges: Vec<IpNet> = Vec::new();
    for range in all.iter().flat_map(|object| service_cidr::ranges(object)) {
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    ranges
}

/// Checks a ServiceCIDR.
pub(super) fn validate(value: &Value) -> Vec<Cause> {
    let (field, ranges) = ("spec.cidrs", texts(value, "/spec/cidrs"));
    if ranges.is_empty() {
        return vec![Cause::required(field, "at least one CIDR required")];
    }
    if ranges.len() > CIDRS_MAX {
        let mut cause = Cause::invalid(field, &json!(ranges), "");
        // The real server shows its own type here, whose member is in capitals.
        cause.message = format!("Invalid value: {{\"CIDRs\":{}}}: may only hold up to 2 values", json!(ranges));
        return vec![cause];
    }
    let rows = ranges.iter().enumerate();
    let mut causes: Vec<Cause> =
        rows.flat_map(|(i, range)| canonical_range_faults(&format!("{field}[{i}]"), range)).collect();
    let families: Vec<bool> =
        ranges.iter().filter_map(|range| Some(range.parse::<IpNet>().ok()?.addr().is_ipv4())).collect();
    if let [first, second] = families.as_slice()
        && first == second
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        causes.push(Cause::invalid(field, &json!(ranges), detail));
    }
    causes
}

/// Checks what of a ServiceCIDR may change: a range of the other family may come.
pub(super) fn validate_change(old: &Value, new: &Value) -> Vec<Cause> {
    let (before, after) = (texts(old, "/spec/cidrs"), texts(new, "/spec/cidrs"));
    let detail = "field is immutable";
    let changed = |(i, (was, is)): (usize, (&String, &String))| {
        (was != is).then(|| Cause::invalid(format!("spec.cidrs[{i}]"), &is.as_str().into(), detail))
    };
    let mut causes: Vec<Cause> = before.iter().zip(&after).enumerate().filter_map(changed).collect();
    match (before.len(), after.len()) {
        (was, is) if was == is => {}
        (1, 2) => causes.extend(validate(new)),
        _ => causes = vec![Cause::invalid("spec.cidrs", &json!(after), detail)],
    }
    causes
}

/// Checks an IPAddress.
pub(super) fn validate_address(value: &Value) -> Vec<Cause> {
    let field = "spec.parentRef";
    let Some(parent) = value.pointer("/spec/parentRef").filter(|parent| parent.is_object()) else {
        return vec![Cause::required(field, "")];
    };
    let group = text(parent, "/group");
    let faults = if group.is_empty() { Vec::new() } else { name::dns1123_subdomain(group) };
    let mut causes: Vec<Cause> =
        faults.iter().map(|fault| Cause::invalid(format!("{field}.group"), &group.into(), fault)).collect();
    for (member, required) in [("resource", true), ("name", true), ("namespace", false)] {
        causes.extend(segment(parent, member, field, required));
    }
    causes
}

/// Checks what of an IPAddress may not change.
pub(super) fn validate_address_change(old: &Value, new: &Value) -> Vec<Cause> {
    let parent = |value: &Value| value.pointer("/spec/parentRef").cloned().unwrap_or_default();
    let after = parent(new);
    if parent(old) == after {
        return Vec::new();
    }
    let mut cause = Cause::invalid("spec.parentRef", &after, "field is immutable");
    if after.is_object() {
        let members = [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")];
        let parts = members.map(|(go, own)| format!("\"{go}\":{}", json!(text(&after, &format!("/{own}")))));
        cause.message = format!("Invalid value: {{{}}}: field is immutable", parts.join(","));
    }
    vec![cause]
}

/// The rule for an IPAddress's name: an address in its one form.
pub(super) fn address_name(own: &str) -> Vec<String> {
    let head = format!("Invalid value: {}: ", json!(own));
    let detail = |cause: Cause| cause.message.strip_prefix(&head).map(str::to_owned);
    canonical_ip_faults("", own).into_iter().filter_map(detail).collect()
}

/// What an IPAddress keeps from Services: its address, unless it shows what a
/// Service holds.
pub(super) fn held_address(value: &Value) -> Vec<Claim> {
    let managed = value.pointer("/metadata/labels").and_then(|labels| labels.get(ip_address::MANAGED_BY));
    if managed.and_then(Value::as_str) == Some(ip_address::MANAGER) {
        return Vec::new();
    }
    text(value, "/metadata/name").parse().map(Claim::ClusterIp).into_iter().collect()
}
