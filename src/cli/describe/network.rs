//! The pages of Ingress, IngressClass, ServiceCIDR and IPAddress.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::page::{Page, list_at, number_at, or_none, text_at};
use super::{namespace, service};

/// A Service and its slices, or why there are none.
pub(super) type Backend = Result<(Value, Vec<Value>), String>;

/// The Services that an Ingress names, by name.
pub(super) fn backends_of(object: &Value) -> BTreeSet<String> {
    let rules = list_at(object, "/spec/rules").iter();
    let paths = rules.flat_map(|rule| list_at(rule, "/http/paths")).filter_map(|path| path.get("backend"));
    let backends = object.pointer("/spec/defaultBackend").into_iter().chain(paths);
    backends.filter_map(|backend| backend.pointer("/service/name")?.as_str()).map(str::to_owned).collect()
}

pub(super) fn ingress(page: &mut Page, object: &Value, backends: &BTreeMap<String, Backend>) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.pairs("Labels", object.pointer("/metadata/labels"));
    page.row(0, "Namespace", text_at(object, "/metadata/namespace"));
    page.row(0, "Address", &addresses(list_at(object, "/status/loadBalancer/ingress")));
    page.row(0, "Ingress Class", or_none(text_at(object, "/spec/ingressClassName")));
    let default = object.pointer("/spec/defaultBackend").map(|default| backend(default, backends));
    let default = default.as_deref().unwrap_or("<default>");
    page.row(0, "Default backend", default);
    tls(page, list_at(object, "/spec/tls"));
    page.line(0, "Rules:");
    page.line(1, "Host\tPath\tBackends");
    page.line(1, "----\t----\t--------");
    let mut rules = list_at(object, "/spec/rules").iter().filter(|rule| rule.get("http").is_some()).peekable();
    if rules.peek().is_none() {
        page.line(1, &format!("*\t*\t{default}"));
    }
    for rule in rules {
        let host = text_at(rule, "/host");
        page.line(1, &format!("{}\t", if host.is_empty() { "*" } else { host }));
        for path in list_at(rule, "/http/paths") {
            let to = path.get("backend").map(|to| backend(to, backends)).unwrap_or_default();
            page.line(2, &format!("\t{} \t{to}", text_at(path, "/path")));
        }
    }
    page.annotations(object.pointer("/metadata/annotations"));
}

fn addresses(entries: &[Value]) -> String {
    let shown = entries.iter().filter_map(|entry| {
        ["/ip", "/hostname"].into_iter().map(|path| text_at(entry, path)).find(|text| !text.is_empty())
    });
    shown.collect::<BTreeSet<&str>>().into_iter().collect::<Vec<_>>().join(",")
}

fn tls(page: &mut Page, entries: &[Value]) {
    if !entries.is_empty() {
        page.line(0, "TLS:");
    }
    for entry in entries {
        let hosts: Vec<&str> = list_at(entry, "/hosts").iter().filter_map(Value::as_str).collect();
        let hosts = hosts.join(",");
        match text_at(entry, "/secretName") {
            "" => page.line(1, &format!("SNI routes {hosts}")),
            secret => page.line(1, &format!("{secret} terminates {hosts}")),
        }
    }
}

/// `web:80 (10.0.0.1:8080)`, or what a resource is.
fn backend(backend: &Value, backends: &BTreeMap<String, Backend>) -> String {
    if let Some(resource) = backend.get("resource") {
        let group = or_none(text_at(resource, "/apiGroup"));
        return format!(
            "APIGroup: {group}, Kind: {}, Name: {}",
            text_at(resource, "/kind"),
            text_at(resource, "/name")
        );
    }
    let name = text_at(backend, "/service/name");
    let (number, port) = (number_at(backend, "/service/port/number"), text_at(backend, "/service/port/name"));
    let shown = if number == 0 { format!("{name}:{port}") } else { format!("{name}:{number}") };
    let endpoints = match backends.get(name) {
        Some(Ok((service, slices))) => {
            let ports = list_at(service, "/spec/ports").iter();
            let meant = ports.rev().find(|own| {
                number != 0 && number_at(own, "/port") == number || !port.is_empty() && text_at(own, "/name") == port
            });
            service::endpoints_of(meant.map(|own| text_at(own, "/name")).unwrap_or_default(), slices)
        }
        Some(Err(why)) => format!("<error: {why}>"),
        None => String::new(),
    };
    format!("{shown} ({endpoints})")
}

pub(super) fn ingress_class(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    page.row(0, "Controller", text_at(object, "/spec/controller"));
    let Some(parameters) = object.pointer("/spec/parameters") else { return };
    page.line(0, "Parameters:");
    page.optional(1, "APIGroup", text_at(parameters, "/apiGroup"));
    page.row(1, "Kind", text_at(parameters, "/kind"));
    page.row(1, "Name", text_at(parameters, "/name"));
}

pub(super) fn service_cidr(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    let ranges: Vec<&str> = list_at(object, "/spec/cidrs").iter().filter_map(Value::as_str).collect();
    page.row(0, "CIDRs", &ranges.join(", "));
    let conditions = list_at(object, "/status/conditions");
    if !conditions.is_empty() {
        page.line(0, "Status:");
    }
    namespace::conditions(page, conditions);
}

pub(super) fn ip_address(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    let Some(parent) = object.pointer("/spec/parentRef") else { return };
    page.line(0, "Parent Reference:");
    for (label, member) in
        [("Group", "/group"), ("Resource", "/resource"), ("Namespace", "/namespace"), ("Name", "/name")]
    {
        page.row(1, label, text_at(parent, member));
    }
}
