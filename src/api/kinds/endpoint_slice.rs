//! `discovery.k8s.io/v1` EndpointSlice (spec/endpoints.md section 6).

use std::collections::BTreeSet;

use serde_json::Value;

use super::address::{canonical_ip_faults, endpoint_ip_faults, ip_faults};
use super::endpoints::{pointed, protocol};
use super::read::{annotation, enough, list, list_mut, set, text, unset};
use crate::model::balance::{WEIGHT_ANNOTATION, WEIGHTS_FAULT, Weights};
use crate::model::{Cause, name};

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const HINTS_MAX: usize = 8;
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

/// Ports have a name, if an empty one, and speak TCP.
pub(super) fn default(value: &mut Value) {
    for port in list_mut(value, "/ports") {
        for (member, content) in [("name", ""), ("protocol", "TCP")] {
            if port.get(member).is_none_or(Value::is_null) {
                set(port, member, content);
            }
        }
    }
}

/// Drops what v1 does not store any more.
pub(super) fn begin(value: &mut Value, old: Option<&Value>) {
    if old.is_none_or(|old| old.get("endpoints") != value.get("endpoints")) {
        list_mut(value, "/endpoints").for_each(|endpoint| unset(endpoint, "deprecatedTopology"));
    }
}

/// Checks a slice; endpoints that are stored already are not held against it.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let address_type = text(value, "/addressType");
    if address_type.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !ADDRESS_TYPES.contains(&address_type) {
        causes.push(Cause::not_supported("addressType", &address_type.into(), &ADDRESS_TYPES));
    }
    validate_weights(value, &mut causes);
    validate_ports(value, &mut causes);
    if old.is_none_or(|old| old.get("endpoints") != value.get("endpoints")) {
        validate_endpoints(value, address_type, &mut causes);
    }
    if old.is_some_and(|old| text(old, "/addressType") != address_type) {
        causes.push(Cause::invalid("addressType", &address_type.into(), "field is immutable"));
    }
    causes
}

/// Checks our annotation on a slice or on Endpoints.
pub(super) fn validate_weights(value: &Value, causes: &mut Vec<Cause>) {
    if let Some(shown) = annotation(value, WEIGHT_ANNOTATION).filter(|shown| Weights::parse(shown).is_none()) {
        causes.push(Cause::invalid(format!("metadata.annotations[{WEIGHT_ANNOTATION}]"), &shown.into(), WEIGHTS_FAULT));
    }
}

fn validate_ports(value: &Value, causes: &mut Vec<Cause>) {
    let ports = list(value, "/ports");
    if ports.len() > PORTS_MAX {
        causes.push(Cause::too_many("ports", ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        if enough(causes) {
            return;
        }
        let (field, own) = (format!("ports[{i}]"), text(port, "/name"));
        if !own.is_empty() {
            pointed(port, "name", &field, name::dns1123_label, causes);
        }
        if !seen.insert(own) {
            causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
        }
        protocol(port, &field, causes);
        pointed(port, "appProtocol", &field, name::qualified_name, causes);
    }
}

fn validate_endpoints(value: &Value, address_type: &str, causes: &mut Vec<Cause>) {
    let endpoints = list(value, "/endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        causes.push(Cause::too_many("endpoints", endpoints.len(), ENDPOINTS_MAX));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        if enough(causes) {
            return;
        }
        validate_endpoint(endpoint, address_type, &format!("endpoints[{i}]"), causes);
    }
}

fn validate_endpoint(endpoint: &Value, address_type: &str, field: &str, causes: &mut Vec<Cause>) {
    let addresses = list(endpoint, "/addresses");
    let list_field = format!("{field}.addresses");
    if addresses.is_empty() {
        causes.push(Cause::required(&list_field, "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        causes.push(Cause::too_many(&list_field, addresses.len(), ADDRESSES_MAX));
    }
    for (j, address) in addresses.iter().enumerate().take(ADDRESSES_MAX) {
        causes.extend(address_faults(address.as_str().unwrap_or_default(), address_type, &list_field, j));
    }
    pointed(endpoint, "nodeName", field, name::dns1123_subdomain, causes);
    pointed(endpoint, "hostname", field, name::dns1123_label, causes);
    for (member, rule) in
        [("forZones", name::label_value as fn(&str) -> Vec<String>), ("forNodes", name::dns1123_subdomain)]
    {
        let field = format!("{field}.hints.{member}");
        if !validate_hints(list(endpoint, &format!("/hints/{member}")), rule, &field, causes) {
            return;
        }
    }
}

/// Says whether the list was short enough to be looked at.
fn validate_hints(hints: &[Value], rule: fn(&str) -> Vec<String>, field: &str, causes: &mut Vec<Cause>) -> bool {
    if hints.len() > HINTS_MAX {
        causes.push(Cause::too_many(field, hints.len(), HINTS_MAX));
        return false;
    }
    let mut seen = BTreeSet::new();
    for (j, hint) in hints.iter().enumerate() {
        let (own, field) = (text(hint, "/name"), format!("{field}[{j}].name"));
        if !seen.insert(own) {
            causes.push(Cause::duplicate(&field, &own.into()));
        }
        causes.extend(rule(own).iter().map(|fault| Cause::invalid(&field, &own.into(), fault)));
    }
    true
}

/// An address of an unknown type is not looked at: the type is the fault.
fn address_faults(shown: &str, address_type: &str, list_field: &str, j: usize) -> Vec<Cause> {
    let field = format!("{list_field}[{j}]");
    let is_v6 = shown.contains(':');
    let (mut causes, wrong_family) = match address_type {
        "IPv4" => (ip_faults(&field, shown), is_v6),
        "IPv6" => (canonical_ip_faults(&field, shown), !is_v6),
        "FQDN" => return domain_fault(&field, shown).into_iter().collect(),
        _ => return Vec::new(),
    };
    if causes.is_empty() {
        if wrong_family {
            // The real server names the list here, not the address.
            let detail = format!("must be an {address_type} address");
            causes.push(Cause::invalid(list_field, &shown.into(), &detail));
        }
        causes.extend(endpoint_ip_faults(&field, shown));
    }
    causes
}

fn domain_fault(field: &str, shown: &str) -> Option<Cause> {
    if shown.is_empty() {
        return Some(Cause::required(field, ""));
    }
    let bare = shown.strip_suffix('.').unwrap_or(shown);
    let faults = name::dns1123_subdomain(bare);
    if !faults.is_empty() {
        return Some(Cause::invalid(field, &bare.into(), &faults.join(",")));
    }
    if !bare.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return Some(Cause::invalid(field, &bare.into(), detail));
    }
    bare.split('.').find_map(|label| {
        let faults = name::dns1123_label(label);
        (!faults.is_empty()).then(|| Cause::invalid(field, &label.into(), &faults.join(",")))
    })
}

/// What the maker of a slice should hear although it is accepted.
pub(super) fn warnings(value: &Value) -> Vec<String> {
    let named = text(value, "/addressType") == "FQDN";
    named.then(|| "spec.addressType: FQDN endpoints are deprecated".to_owned()).into_iter().collect()
}
