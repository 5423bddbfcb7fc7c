//! `v1` Endpoints (spec/endpoints.md section 6).

use serde_json::Value;

use super::address::{endpoint_ip_faults, ip_faults, ip_warning};
use super::read::{enough, given, int, list, list_mut, present, set_default, text};
use crate::model::{Cause, name};

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const LISTS: [&str; 2] = ["addresses", "notReadyAddresses"];

/// Ports speak TCP unless said otherwise.
pub(super) fn default(value: &mut Value) {
    for subset in list_mut(value, "/subsets") {
        for port in list_mut(subset, "/ports") {
            set_default(port, "protocol", "TCP");
        }
    }
}

/// Checks the subsets, unless they are those stored already.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    super::endpoint_slice::validate_weights(value, &mut causes);
    if old.is_some_and(|old| old.get("subsets") == value.get("subsets")) {
        return causes;
    }
    for (i, subset) in list(value, "/subsets").iter().enumerate() {
        if enough(&causes) {
            break;
        }
        let field = format!("subsets[{i}]");
        if !present(subset, "/addresses") && !present(subset, "/notReadyAddresses") {
            causes.push(Cause::required(&field, "must specify `addresses` or `notReadyAddresses`"));
        }
        for member in LISTS {
            for (j, address) in list(subset, &format!("/{member}")).iter().enumerate() {
                if enough(&causes) {
                    break;
                }
                validate_address(address, &format!("{field}.{member}[{j}]"), &mut causes);
            }
        }
        let ports = list(subset, "/ports");
        for (k, port) in ports.iter().enumerate() {
            if enough(&causes) {
                break;
            }
            validate_port(port, ports.len() > 1, &format!("{field}.ports[{k}]"), &mut causes);
        }
    }
    causes
}

/// The real server checks the form of an address and its range apart, the names
/// in between, and says all.
fn validate_address(address: &Value, field: &str, causes: &mut Vec<Cause>) {
    let (ip, ip_field) = (text(address, "/ip"), format!("{field}.ip"));
    causes.extend(ip_faults(&ip_field, ip));
    optional(address, "hostname", field, name::dns1123_label, causes);
    pointed(address, "nodeName", field, name::dns1123_subdomain, causes);
    causes.extend(endpoint_ip_faults(&ip_field, ip));
}

/// Checks a text when it is not empty.
pub(super) fn optional(
    value: &Value,
    member: &str,
    field: &str,
    rule: fn(&str) -> Vec<String>,
    causes: &mut Vec<Cause>,
) {
    if present(value, &format!("/{member}")) {
        pointed(value, member, field, rule, causes);
    }
}

/// Checks a text when it is there, be it empty.
pub(super) fn pointed(
    value: &Value,
    member: &str,
    field: &str,
    rule: fn(&str) -> Vec<String>,
    causes: &mut Vec<Cause>,
) {
    if let Some(shown) = given(value, &format!("/{member}")) {
        let field = format!("{field}.{member}");
        causes.extend(rule(shown).iter().map(|fault| Cause::invalid(&field, &shown.into(), fault)));
    }
}

fn validate_port(port: &Value, named: bool, field: &str, causes: &mut Vec<Cause>) {
    if named && !present(port, "/name") {
        causes.push(Cause::required(format!("{field}.name"), ""));
    }
    optional(port, "name", field, name::dns1123_label, causes);
    let number = int(port, "/port");
    if !(1..=65535).contains(&number) {
        causes.push(Cause::invalid(format!("{field}.port"), &number.into(), "must be between 1 and 65535, inclusive"));
    }
    protocol(port, field, causes);
    pointed(port, "appProtocol", field, name::qualified_name, causes);
}

/// Checks `protocol`, which defaults have filled.
pub(super) fn protocol(port: &Value, field: &str, causes: &mut Vec<Cause>) {
    let shown = text(port, "/protocol");
    if !PROTOCOLS.contains(&shown) {
        causes.push(Cause::not_supported(format!("{field}.protocol"), &shown.into(), &PROTOCOLS));
    }
}

/// What a client should hear of addresses that are accepted.
pub(super) fn warnings(value: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, subset) in list(value, "/subsets").iter().enumerate() {
        for member in LISTS {
            for (j, address) in list(subset, &format!("/{member}")).iter().enumerate() {
                warnings.extend(ip_warning(&format!("subsets[{i}].{member}[{j}].ip"), text(address, "/ip")));
            }
        }
    }
    warnings
}
