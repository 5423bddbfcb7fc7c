//! `networking.k8s.io/v1` Ingress and IngressClass: the API, so that manifests and
//! controllers find them. Nothing here serves HTTP by them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::address::{ip_faults, ip_warning};
use super::read::{FAULTS_MAX, annotation, enough, given, int, list, present, set, text, texts};
use crate::model::{Cause, name};

/// How classes were named before `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Bytes of `spec.controller` of a class.
const CONTROLLER_BYTES_MAX: usize = 250;
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const NOT_A_WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// A new Ingress has no status, whatever was sent.
pub(super) fn begin(value: &mut Value) {
    set(value, "status", json!({"loadBalancer": {}}));
}

/// Checks an Ingress; what is stored and bad already is not held against it.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let rules = list(value, "/spec/rules");
    let default = value.pointer("/spec/defaultBackend").filter(|backend| backend.is_object());
    if rules.is_empty() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        let shown = value.pointer("/spec/rules").cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec", &shown, detail));
    }
    if let Some(backend) = default {
        validate_backend(backend, "spec.defaultBackend", &mut causes);
    }
    let lenient = old.is_some_and(has_bad_wildcard_rule);
    for (i, rule) in rules.iter().enumerate() {
        if enough(&causes) {
            return causes;
        }
        validate_rule(rule, &format!("spec.rules[{i}]"), lenient, &mut causes);
    }
    validate_tls(value, old, &mut causes);
    if let Some(class) = given(value, "/spec/ingressClassName") {
        let faults = name::dns1123_subdomain(class);
        causes.extend(faults.iter().map(|fault| Cause::invalid("spec.ingressClassName", &class.into(), fault)));
    }
    let (by_annotation, by_name) = (annotation(value, CLASS_ANNOTATION), given(value, "/spec/ingressClassName"));
    if let (None, Some(annotated), Some(named)) = (old, by_annotation, by_name)
        && annotated != named
    {
        let detail = "must match `ingressClassName` when both are specified";
        causes.push(Cause::invalid(format!("annotations.{CLASS_ANNOTATION}"), &annotated.into(), detail));
    }
    causes
}

fn has_bad_wildcard_rule(old: &Value) -> bool {
    list(old, "/spec/rules").iter().filter(|rule| text(rule, "/host").contains('*')).any(|rule| {
        let mut causes = Vec::new();
        validate_paths(rule, "", &mut causes);
        !causes.is_empty()
    })
}

fn validate_rule(rule: &Value, field: &str, lenient: bool, causes: &mut Vec<Cause>) {
    let (host, host_field) = (text(rule, "/host"), format!("{field}.host"));
    if host.parse::<IpAddr>().is_ok() {
        causes.push(Cause::invalid(&host_field, &host.into(), "must be a DNS name, not an IP address"));
    }
    if !host.is_empty() {
        causes.extend(host_faults(host).iter().map(|fault| Cause::invalid(&host_field, &host.into(), fault)));
    }
    if !(lenient && host.contains('*')) {
        validate_paths(rule, field, causes);
    }
}

fn host_faults(host: &str) -> Vec<String> {
    if !host.contains('*') {
        return name::dns1123_subdomain(host);
    }
    let mut faults = Vec::new();
    if host.len() > name::SUBDOMAIN_MAX {
        faults.push(format!("must be no more than {} characters", name::SUBDOMAIN_MAX));
    }
    let rest = host.strip_prefix("*.").map(|rest| rest.get(..name::SUBDOMAIN_MAX).unwrap_or(rest));
    if rest.is_none_or(|rest| !name::dns1123_subdomain(rest).is_empty()) {
        faults.push(NOT_A_WILDCARD.to_owned());
    }
    faults
}

fn validate_paths(rule: &Value, field: &str, causes: &mut Vec<Cause>) {
    if !rule.get("http").is_some_and(Value::is_object) {
        return;
    }
    let paths = list(rule, "/http/paths");
    if paths.is_empty() {
        causes.push(Cause::required(format!("{field}.http.paths"), ""));
    }
    for (i, path) in paths.iter().enumerate() {
        if enough(causes) {
            return;
        }
        validate_path(path, &format!("{field}.http.paths[{i}]"), causes);
    }
}

fn validate_path(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    let Some(kind) = given(value, "/pathType") else {
        causes.push(Cause::required(format!("{field}.pathType"), "pathType must be specified"));
        return;
    };
    let (path, path_field) = (text(value, "/path"), format!("{field}.path"));
    let mut fault = |detail: &str| causes.push(Cause::invalid(&path_field, &path.into(), detail));
    match kind {
        "Exact" | "Prefix" => {
            if !path.starts_with('/') {
                fault("must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|bad| path.contains(bad)) {
                fault(&format!("must not contain '{bad}'"));
            }
            for bad in ["/..", "/."].into_iter().filter(|bad| path.ends_with(bad)) {
                fault(&format!("cannot end with '{bad}'"));
            }
        }
        "ImplementationSpecific" if !path.is_empty() && !path.starts_with('/') => fault("must be an absolute path"),
        "ImplementationSpecific" => {}
        other => causes.push(Cause::not_supported(format!("{field}.pathType"), &other.into(), &PATH_TYPES)),
    }
    validate_backend(value.get("backend").unwrap_or(&Value::Null), &format!("{field}.backend"), causes);
}

fn validate_backend(backend: &Value, field: &str, causes: &mut Vec<Cause>) {
    let part = |member: &str| backend.get(member).filter(|part| part.is_object());
    let nothing = Value::from("");
    match (part("service"), part("resource")) {
        (Some(_), Some(_)) => {
            causes.push(Cause::invalid(field, &nothing, "cannot set both resource and service backends"));
        }
        (None, Some(resource)) => validate_reference(resource, &format!("{field}.resource"), causes),
        (Some(service), None) => validate_service(service, field, causes),
        (None, None) => causes.push(Cause::invalid(field, &nothing, "resource or service backend is required")),
    }
}

fn validate_service(service: &Value, field: &str, causes: &mut Vec<Cause>) {
    let own = text(service, "/name");
    if own.is_empty() {
        causes.push(Cause::required(format!("{field}.service.name"), ""));
    } else {
        let faults = name::dns1123_label(own);
        let invalid = |fault: &String| Cause::invalid(format!("{field}.service.name"), &own.into(), fault);
        causes.extend(faults.iter().map(invalid));
    }
    let (port, number) = (text(service, "/port/name"), int(service, "/port/number"));
    match (port.is_empty(), number) {
        (false, 0) => {
            let invalid = |fault: String| Cause::invalid(format!("{field}.service.port.name"), &port.into(), &fault);
            causes.extend(name::port_name(port).into_iter().map(invalid));
        }
        (false, _) => causes.push(Cause::invalid(field, &"".into(), "cannot set both port name & port number")),
        (true, 0) => causes.push(Cause::required(field, "port name or number is required")),
        (true, 1..=65_535) => {}
        (true, _) => {
            let detail = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{field}.service.port.number"), &number.into(), detail));
        }
    }
}

/// Kind and name of an object, and its group if it has one.
fn validate_reference(reference: &Value, field: &str, causes: &mut Vec<Cause>) {
    if let Some(group) = given(reference, "/apiGroup") {
        let faults = name::dns1123_subdomain(group);
        causes.extend(faults.iter().map(|fault| Cause::invalid(format!("{field}.apiGroup"), &group.into(), fault)));
    }
    for member in ["kind", "name"] {
        causes.extend(segment(reference, member, field, true));
    }
}

/// What is wrong with a member that must be safe in a path.
pub(super) fn segment(value: &Value, member: &str, field: &str, required: bool) -> Vec<Cause> {
    let (own, field) = (text(value, &format!("/{member}")), format!("{field}.{member}"));
    if own.is_empty() {
        return required.then(|| Cause::required(field, "")).into_iter().collect();
    }
    name::path_segment(own).iter().map(|fault| Cause::invalid(&field, &own.into(), fault)).collect()
}

fn validate_tls(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let secret_faults = |row: &Value| match text(row, "/secretName") {
        "" => Vec::new(),
        secret => name::dns1123_subdomain(secret),
    };
    let lenient = old.is_some_and(|old| list(old, "/spec/tls").iter().any(|row| !secret_faults(row).is_empty()));
    for (i, row) in list(value, "/spec/tls").iter().enumerate() {
        if enough(causes) {
            return;
        }
        for (j, host) in texts(row, "/hosts").iter().enumerate().take(FAULTS_MAX) {
            let field = format!("spec.tls[{i}].hosts[{j}]");
            causes.extend(host_faults(host).iter().map(|fault| Cause::invalid(&field, &host.as_str().into(), fault)));
        }
        if !lenient {
            let (field, shown) = (format!("spec.tls[{i}].secretName"), text(row, "/secretName"));
            causes.extend(secret_faults(row).iter().map(|fault| Cause::invalid(&field, &shown.into(), fault)));
        }
    }
}

/// Checks the status of an Ingress.
pub(super) fn validate_status(old: &Value, new: &Value) -> Vec<Cause> {
    let field = "status.loadBalancer.ingress";
    let stored: Vec<&str> = list(old, "/status/loadBalancer/ingress").iter().map(|row| text(row, "/ip")).collect();
    let mut causes = Vec::new();
    for (i, row) in list(new, "/status/loadBalancer/ingress").iter().enumerate() {
        if enough(&causes) {
            break;
        }
        let (ip, host, host_field) = (text(row, "/ip"), text(row, "/hostname"), format!("{field}[{i}].hostname"));
        if !ip.is_empty() && !stored.contains(&ip) {
            causes.extend(ip_faults(&format!("{field}[{i}].ip"), ip));
        }
        if !host.is_empty() {
            let faults = name::dns1123_subdomain(host);
            causes.extend(faults.iter().map(|fault| Cause::invalid(&host_field, &host.into(), fault)));
        }
        if host.parse::<IpAddr>().is_ok() {
            causes.push(Cause::invalid(&host_field, &host.into(), "must be a DNS name, not an IP address"));
        }
    }
    causes
}

/// What the writer of a status should hear although it is accepted.
pub(super) fn status_warnings(value: &Value) -> Vec<String> {
    let rows = list(value, "/status/loadBalancer/ingress").iter().enumerate();
    rows.filter_map(|(i, row)| ip_warning(&format!("status.loadBalancer.ingress[{i}]"), text(row, "/ip")))
        .take(FAULTS_MAX)
        .collect()
}

/// What the maker of an Ingress should hear although it is accepted.
pub(super) fn warnings(value: &Value) -> Vec<String> {
    let old_way = annotation(value, CLASS_ANNOTATION).is_some() && given(value, "/spec/ingressClassName").is_none();
    let text =
        || format!("annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead");
    old_way.then(text).into_iter().collect()
}

/// Parameters are of the cluster unless said otherwise.
pub(super) fn default_class(value: &mut Value) {
    let parameters = value.pointer_mut("/spec/parameters").filter(|parameters| parameters.is_object());
    if let Some(parameters) = parameters.filter(|parameters| given(parameters, "/scope").is_none()) {
        set(parameters, "scope", "Cluster");
    }
}

/// Checks an IngressClass.
pub(super) fn validate_class(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let controller = text(value, "/spec/controller");
    if controller.len() > CONTROLLER_BYTES_MAX {
        causes.push(Cause::too_long("spec.controller", CONTROLLER_BYTES_MAX));
    }
    causes.extend(controller_faults(controller));
    let parameters = value.pointer("/spec/parameters").filter(|parameters| parameters.is_object());
    let Some(parameters) = parameters else { return causes };
    let field = "spec.parameters";
    validate_reference(parameters, field, &mut causes);
    let namespace = given(parameters, "/namespace");
    let (scope_field, namespace_field) = (format!("{field}.scope"), format!("{field}.namespace"));
    match (given(parameters, "/scope"), namespace) {
        (None, _) => causes.push(Cause::required(scope_field, "")),
        (Some("Namespace"), None) => {
            causes.push(Cause::required(namespace_field, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(own)) => {
            let faults = name::dns1123_label(own);
            causes.extend(faults.iter().map(|fault| Cause::invalid(&namespace_field, &own.into(), fault)));
        }
        (Some("Cluster"), Some(_)) => {
            causes.push(Cause::forbidden(namespace_field, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => {
            causes.push(Cause::not_supported(scope_field, &other.into(), &["Cluster", "Namespace"]));
        }
    }
    causes
}

fn controller_faults(controller: &str) -> Vec<Cause> {
    let field = "spec.controller";
    let Some((domain, path)) =
        controller.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
    else {
        return match controller {
            "" => vec![Cause::required(field, "")],
            other => {
                let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
                vec![Cause::invalid(field, &other.into(), detail)]
            }
        };
    };
    let faults = name::dns1123_subdomain(domain);
    let mut causes: Vec<Cause> = faults.iter().map(|fault| Cause::invalid(field, &domain.into(), fault)).collect();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !path.bytes().all(good) {
        let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        causes.push(Cause::invalid(field, &path.into(), detail));
    }
    causes
}

/// Checks what of an IngressClass may not change.
pub(super) fn validate_class_change(old: &Value, new: &Value) -> Vec<Cause> {
    let (before, after) = (text(old, "/spec/controller"), text(new, "/spec/controller"));
    let changed = before != after || present(old, "/spec/controller") != present(new, "/spec/controller");
    changed.then(|| Cause::invalid("spec.controller", &after.into(), "field is immutable")).into_iter().collect()
}
