//! `discovery.k8s.io/v1` EndpointSlice (spec/endpoints.md section 6).

use std::collections::BTreeSet;

use serde_json::Value;

use super::endpoints::{optional, protocol};
use super::read::{list, list_mut, set_default, special, text};
use crate::model::{Cause, name};

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const HINTS_MAX: usize = 8;
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

/// Ports have a name, if an empty one, and speak TCP.
pub(super) fn default(value: &mut Value) {
    for port in list_mut(value, "/ports") {
        set_default(port, "name", "");
        set_default(port, "protocol", "TCP");
    }
}

/// Checks a slice.
pub(super) fn validate(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let address_type = text(value, "/addressType");
    if address_type.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !ADDRESS_TYPES.contains(&address_type) {
        causes.push(Cause::not_supported("addressType", &address_type.into(), &ADDRESS_TYPES));
    }
    let endpoints = list(value, "/endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        causes.push(Cause::too_many("endpoints", endpoints.len(), ENDPOINTS_MAX));
        return causes;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        validate_endpoint(endpoint, address_type, &format!("endpoints[{i}]"), &mut causes);
    }
    let ports = list(value, "/ports");
    if ports.len() > PORTS_MAX {
        causes.push(Cause::too_many("ports", ports.len(), PORTS_MAX));
        return causes;
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (field, own) = (format!("ports[{i}]"), text(port, "/name"));
        optional(port, "name", &field, name::dns1123_label, &mut causes);
        if !seen.insert(own) {
            causes.push(Cause::duplicate(format!("{field}.name"), &own.into()));
        }
        protocol(port, &field, &mut causes);
        optional(port, "appProtocol", &field, name::qualified_name, &mut causes);
    }
    causes
}

/// Checks a slice against the one it follows.
pub(super) fn validate_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = validate(new);
    if text(old, "/addressType") != text(new, "/addressType") {
        causes.push(Cause::invalid("addressType", &text(new, "/addressType").into(), "field is immutable"));
    }
    causes
}

fn validate_endpoint(endpoint: &Value, address_type: &str, field: &str, causes: &mut Vec<Cause>) {
    let addresses = list(endpoint, "/addresses");
    let list_field = format!("{field}.addresses");
    if addresses.is_empty() {
        causes.push(Cause::required(&list_field, "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        causes.push(Cause::too_many(&list_field, addresses.len(), ADDRESSES_MAX));
    }
    for (j, address) in addresses.iter().enumerate() {
        validate_address(address, address_type, &list_field, j, causes);
    }
    optional(endpoint, "hostname", field, name::dns1123_label, causes);
    optional(endpoint, "nodeName", field, name::dns1123_subdomain, causes);
    for member in ["forZones", "forNodes"] {
        let hints = list(endpoint, &format!("/hints/{member}"));
        let hint_field = format!("{field}.hints.{member}");
        if hints.len() > HINTS_MAX {
            causes.push(Cause::too_many(&hint_field, hints.len(), HINTS_MAX));
            continue;
        }
        let mut seen = BTreeSet::new();
        for (j, hint) in hints.iter().enumerate() {
            let own = text(hint, "/name");
            if !seen.insert(own) {
                causes.push(Cause::duplicate(format!("{hint_field}[{j}].name"), &own.into()));
            }
        }
    }
}

fn validate_address(address: &Value, address_type: &str, list_field: &str, j: usize, causes: &mut Vec<Cause>) {
    let (shown, field) = (address.as_str().unwrap_or_default(), format!("{list_field}[{j}]"));
    if address_type == "FQDN" {
        let bare = shown.strip_suffix('.').unwrap_or(shown);
        causes.extend(name::dns1123_subdomain(bare).iter().map(|fault| Cause::invalid(&field, address, fault)));
        if !bare.contains('.') {
            causes.push(Cause::invalid(
                &field,
                address,
                "should be a domain with at least two segments separated by dots",
            ));
        }
        return;
    }
    let Some(addr) = name::strict_ip(shown) else {
        causes.push(Cause::invalid(&field, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
        return;
    };
    match address_type {
        "IPv4" if !addr.is_ipv4() => causes.push(Cause::invalid(list_field, address, "must be an IPv4 address")),
        "IPv6" if !addr.is_ipv6() => causes.push(Cause::invalid(list_field, address, "must be an IPv6 address")),
        _ => {
            if addr.to_string() != shown {
                let detail = format!("must be in canonical form (\"{addr}\")");
                causes.push(Cause::invalid(&field, address, &detail));
            }
            causes.extend(special(addr).map(|detail| Cause::invalid(&field, address, detail)));
        }
    }
}
