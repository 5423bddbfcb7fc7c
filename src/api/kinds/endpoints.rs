//! `v1` Endpoints (spec/endpoints.md section 6).

use serde_json::Value;

use super::read::{int, list, list_mut, present, set_default, special, text};
use crate::model::{Cause, name};

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

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
    if old.is_some_and(|old| old.get("subsets") == value.get("subsets")) {
        return causes;
    }
    for (i, subset) in list(value, "/subsets").iter().enumerate() {
        let field = format!("subsets[{i}]");
        if !present(subset, "/addresses") && !present(subset, "/notReadyAddresses") {
            causes.push(Cause::required(&field, "must specify `addresses` or `notReadyAddresses`"));
        }
        for member in ["addresses", "notReadyAddresses"] {
            for (j, address) in list(subset, &format!("/{member}")).iter().enumerate() {
                validate_address(address, &format!("{field}.{member}[{j}]"), &mut causes);
            }
        }
        let ports = list(subset, "/ports");
        for (k, port) in ports.iter().enumerate() {
            validate_port(port, ports.len() > 1, &format!("{field}.ports[{k}]"), &mut causes);
        }
    }
    causes
}

fn validate_address(address: &Value, field: &str, causes: &mut Vec<Cause>) {
    let (shown, ip_field) = (text(address, "/ip"), format!("{field}.ip"));
    match name::strict_ip(shown) {
        Some(addr) => causes.extend(special(addr).map(|detail| Cause::invalid(&ip_field, &shown.into(), detail))),
        None => {
            // The real server checks the form and the range apart, and says both.
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(Cause::invalid(&ip_field, &shown.into(), detail));
            if shown.parse::<std::net::IpAddr>().is_err() {
                causes.push(Cause::invalid(&ip_field, &shown.into(), "must be a valid IP address"));
            }
        }
    }
    optional(address, "hostname", field, name::dns1123_label, causes);
    optional(address, "nodeName", field, name::dns1123_subdomain, causes);
}

/// Checks a text when it is there.
pub(super) fn optional(
    value: &Value,
    member: &str,
    field: &str,
    rule: fn(&str) -> Vec<String>,
    causes: &mut Vec<Cause>,
) {
    let shown = text(value, &format!("/{member}"));
    if !shown.is_empty() {
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
    optional(port, "appProtocol", field, name::qualified_name, causes);
}

/// Checks `protocol`, which defaults have filled.
pub(super) fn protocol(port: &Value, field: &str, causes: &mut Vec<Cause>) {
    let shown = text(port, "/protocol");
    if shown.is_empty() {
        causes.push(Cause::required(format!("{field}.protocol"), ""));
    } else if !PROTOCOLS.contains(&shown) {
        causes.push(Cause::not_supported(format!("{field}.protocol"), &shown.into(), &PROTOCOLS));
    }
}
