//! Kinds without much of their own: Namespace, Node, ConfigMap, Secret, Event.

use std::collections::BTreeMap;

use base64::Engine;
use serde_json::{Value, json};

use super::read::{pairs, present, set, set_default, text, unset, within};
use crate::model::{Cause, Kind};

/// Bytes of all values of a ConfigMap or Secret: Kubernetes' limit.
const DATA_BYTES_MAX: usize = 1024 * 1024;
const KEY_BYTES_MAX: usize = 253;

/// The keys Kubernetes requires of its own Secret types.
const SECRET_KEYS: [(&str, &[&str]); 4] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
];

/// Static defaults.
pub(super) fn default(kind: Kind, value: &mut Value) {
    match kind {
        Kind::Secret => {
            set_default(value, "type", "Opaque");
            let texts: BTreeMap<String, String> = pairs(value, "/stringData")
                .filter_map(|(key, content)| Some((key.clone(), content.as_str()?.to_owned())))
                .collect();
            unset(value, "stringData");
            if let Some(data) = within(value, "data").filter(|_| !texts.is_empty()) {
                for (key, content) in texts {
                    set(data, &key, base64::engine::general_purpose::STANDARD.encode(content));
                }
            }
            if !present(value, "/data") {
                unset(value, "data");
            }
        }
        Kind::Namespace => {
            let name = text(value, "/metadata/name").to_owned();
            let labels = within(value, "metadata").and_then(|metadata| within(metadata, "labels"));
            if let Some(labels) = labels.filter(|_| !name.is_empty()) {
                set(labels, "kubernetes.io/metadata.name", name);
            }
        }
        Kind::Node
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Service
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Pod => {}
    }
}

/// What a new object starts with.
pub(super) fn begin(kind: Kind, value: &mut Value) {
    default(kind, value);
    if kind == Kind::Namespace {
        if let Some(spec) = within(value, "spec") {
            set_default(spec, "finalizers", json!(["kubernetes"]));
        }
        set(value, "status", json!({"phase": "Active"}));
    }
}

/// Checks an object.
pub(super) fn validate(kind: Kind, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind {
        Kind::ConfigMap => data(value, &["data", "binaryData"], &mut causes),
        Kind::Secret => {
            data(value, &["data"], &mut causes);
            let r#type = text(value, "/type");
            for (_, keys) in SECRET_KEYS.iter().filter(|(own, _)| *own == r#type) {
                let missing = keys.iter().filter(|key| value.get("data").and_then(|data| data.get(**key)).is_none());
                causes.extend(missing.map(|key| Cause::required(format!("data[{key}]"), "")));
            }
            let basic = |key: &str| value.get("data").and_then(|data| data.get(key)).is_some();
            if r#type == "kubernetes.io/basic-auth" && !basic("username") && !basic("password") {
                causes.push(Cause::required("data[username]", ""));
                causes.push(Cause::required("data[password]", ""));
            }
        }
        Kind::Event => {
            let (own, about) = (text(value, "/metadata/namespace"), text(value, "/involvedObject/namespace"));
            let cluster_scoped = about.is_empty() && own == "default";
            if own != about && !cluster_scoped {
                causes.push(Cause::invalid(
                    "involvedObject.namespace",
                    &about.into(),
                    "does not match event.namespace",
                ));
            }
        }
        Kind::Namespace | Kind::Node | Kind::Service | Kind::Endpoints | Kind::EndpointSlice | Kind::Pod => {}
    }
    causes
}

/// Checks an object against the one it follows.
pub(super) fn validate_update(kind: Kind, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = validate(kind, new);
    let frozen = "field is immutable when `immutable` is set";
    if matches!(kind, Kind::ConfigMap | Kind::Secret) && old.get("immutable") == Some(&json!(true)) {
        if new.get("immutable") != Some(&json!(true)) {
            causes.push(Cause::forbidden("immutable", frozen));
        }
        for member in ["data", "binaryData"].into_iter().filter(|member| old.get(*member) != new.get(*member)) {
            causes.push(Cause::forbidden(member, frozen));
        }
    }
    if kind == Kind::Secret && text(old, "/type") != text(new, "/type") {
        causes.push(Cause::invalid("type", &text(new, "/type").into(), "field is immutable"));
    }
    causes
}

fn data(value: &Value, members: &[&str], causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for member in members {
        for (key, content) in pairs(value, &format!("/{member}")) {
            let field = format!("{member}[{key}]");
            causes.extend(key_fault(key).map(|fault| Cause::invalid(&field, &key.as_str().into(), fault)));
            if *member == "binaryData" && value.get("data").is_some_and(|data| data.get(key).is_some()) {
                let detail = "duplicate of key present in data";
                causes.push(Cause::invalid(&field, &key.as_str().into(), detail));
            }
            bytes += content.as_str().map(str::len).unwrap_or_default();
        }
    }
    if bytes > DATA_BYTES_MAX {
        causes.push(Cause::too_long(members.first().copied().unwrap_or_default(), DATA_BYTES_MAX));
    }
}

fn key_fault(key: &str) -> Option<&'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if key.len() > KEY_BYTES_MAX {
        Some("must be no more than 253 characters")
    } else if key.is_empty() || !key.bytes().all(good) {
        Some(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        )
    } else if key == "." || key.starts_with("..") {
        Some("may not be '.' or start with '..'")
    } else {
        None
    }
}
