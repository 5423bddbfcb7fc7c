//! Columns of `networking.k8s.io`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::read::{annotation, given, list, present, text, texts};
use super::{AGE, Column, NAME, column, or};
use crate::model::Kind;

/// Hosts shown before the rest is counted.
const HOSTS_SHOWN: usize = 3;

pub(super) static IP_ADDRESS: [Column; 2] = [NAME, column("ParentRef", 0, "What holds the address.")];
pub(super) static SERVICE_CIDR: [Column; 3] = [NAME, column("CIDRs", 0, "The ranges."), AGE];
pub(super) static INGRESS: [Column; 6] = [
    NAME,
    column("Class", 0, "The IngressClass."),
    column("Hosts", 0, "Hosts of the rules."),
    column("Address", 0, "Addresses of the load balancer."),
    column("Ports", 0, "Ports that are open."),
    AGE,
];
pub(super) static INGRESS_CLASS: [Column; 4] = [
    NAME,
    column("Controller", 0, "The controller of the class."),
    column("Parameters", 0, "An object with more settings."),
    AGE,
];

/// The cells of an object. An IPAddress has one more than columns, its age, as in
/// Kubernetes.
pub(super) fn row(kind: Kind, value: &Value, name: &Value, age: Value) -> Vec<Value> {
    match kind {
        Kind::IpAddress => vec![name.clone(), parent(value).into(), age],
        Kind::ServiceCidr => vec![name.clone(), texts(value, "/spec/cidrs").join(",").into(), age],
        Kind::Ingress => {
            let class = given(value, "/spec/ingressClassName").unwrap_or("<none>");
            let ports = if present(value, "/spec/tls") { "80, 443" } else { "80" };
            vec![name.clone(), class.into(), hosts(value).into(), addresses(value).into(), ports.into(), age]
        }
        _ => class(value, name, age),
    }
}

fn parent(value: &Value) -> String {
    let Some(parent) = value.pointer("/spec/parentRef").filter(|parent| parent.is_object()) else {
        return "<none>".to_owned();
    };
    let (group, namespace) = (text(parent, "/group"), text(parent, "/namespace"));
    let mut shown = text(parent, "/resource").to_lowercase();
    if !group.is_empty() {
        shown = format!("{shown}.{}", group.to_lowercase());
    }
    if !namespace.is_empty() {
        shown = format!("{shown}/{namespace}");
    }
    format!("{shown}/{}", text(parent, "/name"))
}

fn hosts(value: &Value) -> String {
    let rules = list(value, "/spec/rules");
    let named: Vec<&str> = rules.iter().map(|rule| text(rule, "/host")).filter(|host| !host.is_empty()).collect();
    if named.is_empty() {
        return "*".to_owned();
    }
    let shown = named.iter().take(HOSTS_SHOWN).copied().collect::<Vec<_>>().join(",");
    // More is said only when a rule follows the third host.
    let third = rules.iter().enumerate().filter(|(_, rule)| !text(rule, "/host").is_empty()).nth(HOSTS_SHOWN - 1);
    match third {
        Some((i, _)) if i + 1 < rules.len() => format!("{shown} + {} more...", rules.len() - HOSTS_SHOWN),
        _ => shown,
    }
}

fn addresses(value: &Value) -> String {
    let rows = list(value, "/status/loadBalancer/ingress").iter();
    let found: BTreeSet<&str> = rows
        .map(|row| if present(row, "/ip") { text(row, "/ip") } else { text(row, "/hostname") })
        .filter(|own| !own.is_empty())
        .collect();
    found.into_iter().collect::<Vec<_>>().join(",")
}

fn class(value: &Value, name: &Value, age: Value) -> Vec<Value> {
    let is_default = annotation(value, "ingressclass.kubernetes.io/is-default-class") == Some("true");
    let suffix = if is_default { " (default)" } else { "" };
    let shown = format!("{}{suffix}", name.as_str().unwrap_or_default());
    let parameters = value.pointer("/spec/parameters").filter(|parameters| parameters.is_object());
    let parameters = parameters.map(|parameters| {
        let group = given(parameters, "/apiGroup").map(|group| format!(".{group}")).unwrap_or_default();
        format!("{}{group}/{}", text(parameters, "/kind"), text(parameters, "/name"))
    });
    let parameters = or(&parameters.unwrap_or_default(), "<none>");
    vec![shown.into(), text(value, "/spec/controller").into(), parameters, age]
}
