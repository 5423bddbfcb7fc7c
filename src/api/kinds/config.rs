//! `v1` ConfigMap and Secret: data under keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::read::{annotation, enough, pairs, present, set, set_default, text, unset, within};
use crate::model::{Cause, Kind};

/// Bytes of all values of a ConfigMap or Secret: Kubernetes' limit.
const DATA_BYTES_MAX: usize = 1024 * 1024;
const KEY_BYTES_MAX: usize = 253;
const FROZEN: &str = "field is immutable when `immutable` is set";

/// The keys Kubernetes requires of its own Secret types, but those with rules of their own.
const SECRET_KEYS: [(&str, &[&str]); 3] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
];
const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

/// A Secret has a type, and `stringData` is only a way to write `data`.
pub(super) fn default_secret(value: &mut Value) {
    set_default(value, "type", "Opaque");
    let texts: BTreeMap<String, String> = pairs(value, "/stringData")
        .filter_map(|(key, content)| Some((key.clone(), content.as_str()?.to_owned())))
        .collect();
    unset(value, "stringData");
    if let Some(data) = within(value, "data").filter(|_| !texts.is_empty()) {
        for (key, content) in texts {
            set(data, &key, STANDARD.encode(content));
        }
    }
    if !present(value, "/data") {
        unset(value, "data");
    }
}

/// Checks a ConfigMap.
pub(super) fn validate_config_map(value: &Value) -> Vec<Cause> {
    let (mut causes, mut bytes) = (Vec::new(), 0);
    for (key, content) in pairs(value, "/data") {
        let field = format!("data[{key}]");
        bytes += content.as_str().map(str::len).unwrap_or_default();
        if enough(&causes) {
            continue;
        }
        causes.extend(key_faults(&field, key));
        if value.get("binaryData").is_some_and(|data| data.get(key).is_some()) {
            let detail = "duplicate of key present in binaryData";
            causes.push(Cause::invalid(&field, &key.as_str().into(), detail));
        }
    }
    for (key, content) in pairs(value, "/binaryData") {
        bytes += decoded_length(content);
        if !enough(&causes) {
            causes.extend(key_faults(&format!("binaryData[{key}]"), key));
        }
    }
    if bytes > DATA_BYTES_MAX {
        // No field: the whole object is to blame.
        // What Kubernetes calls a field without a name.
        causes.push(Cause::too_long("[]", DATA_BYTES_MAX));
    }
    causes
}

/// Checks a Secret.
pub(super) fn validate_secret(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let (mut causes, mut bytes) = (Vec::new(), 0);
    for (key, content) in pairs(value, "/data") {
        bytes += decoded_length(content);
        if !enough(&causes) {
            causes.extend(key_faults(&format!("data[{key}]"), key));
        }
    }
    if bytes > DATA_BYTES_MAX {
        causes.push(Cause::too_long("data", DATA_BYTES_MAX));
    }
    let r#type = text(value, "/type");
    let content = |key: &str| value.get("data").and_then(|data| data.get(key));
    let required = |key: &str| Cause::required(format!("data[{key}]"), "");
    match r#type {
        "kubernetes.io/service-account-token" if annotation(value, SERVICE_ACCOUNT).is_none_or(str::is_empty) => {
            causes.push(Cause::required(format!("metadata.annotations[{SERVICE_ACCOUNT}]"), ""));
        }
        // Kubernetes would fill in a token without end for whoever reads Secrets to find.
        "kubernetes.io/service-account-token" if old.is_none() => {
            let why = "edgesvc puts no tokens of ServiceAccounts into Secrets: ask for one by kubectl create token";
            causes.push(Cause::forbidden("type", why));
        }
        "kubernetes.io/basic-auth" if content("username").is_none() && content("password").is_none() => {
            causes.extend(["username", "password"].map(required));
        }
        "kubernetes.io/ssh-auth" if !present(value, "/data/ssh-privatekey") => causes.push(required("ssh-privatekey")),
        _ => {}
    }
    for key in SECRET_KEYS.iter().filter(|(own, _)| *own == r#type).flat_map(|(_, keys)| keys.iter()) {
        match content(key) {
            None => causes.push(required(key)),
            Some(content) if key.starts_with(".docker") => causes.extend(docker_fault(key, content)),
            Some(_) => {}
        }
    }
    causes
}

fn docker_fault(key: &str, content: &Value) -> Option<Cause> {
    let bytes = STANDARD.decode(content.as_str().unwrap_or_default()).unwrap_or_default();
    let error = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).err()?;
    Some(Cause::invalid(format!("data[{key}]"), &"<secret contents redacted>".into(), &error.to_string()))
}

/// What the writer of a Secret should hear although it is accepted: a TLS Secret
/// that no server can use, as far as its PEM tells.
pub(super) fn warnings(value: &Value) -> Vec<String> {
    if text(value, "/type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    let blocks = |key: &str| {
        let content = value.get("data").and_then(|data| data.get(key)).and_then(Value::as_str).unwrap_or_default();
        pem_blocks(&String::from_utf8_lossy(&STANDARD.decode(content).unwrap_or_default()))
    };
    certificate_fault(&blocks("tls.crt")).or_else(|| key_fault(&blocks("tls.key"))).into_iter().collect()
}

/// The types of the PEM blocks in a text.
fn pem_blocks(text: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None);
    for line in text.lines().map(str::trim_end) {
        let named = |head: &str| line.strip_prefix(head).and_then(|rest| rest.strip_suffix("-----"));
        if let Some(name) = named("-----BEGIN ") {
            open = Some(name.to_owned());
        } else if named("-----END ").is_some() {
            found.extend(open.take_if(|name| named("-----END ") == Some(name.as_str())));
        }
    }
    found
}

fn certificate_fault(blocks: &[String]) -> Option<String> {
    match blocks {
        _ if blocks.iter().any(|name| name == "CERTIFICATE") => None,
        [] => Some("tls: failed to find any PEM data in certificate input".to_owned()),
        [only] if only.ends_with("PRIVATE KEY") => Some(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                .to_owned(),
        ),
        others => Some(format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            others.join(" ")
        )),
    }
}

fn key_fault(blocks: &[String]) -> Option<String> {
    match blocks {
        _ if blocks.iter().any(|name| name == "PRIVATE KEY" || name.ends_with(" PRIVATE KEY")) => None,
        [] => Some("tls: failed to find any PEM data in key input".to_owned()),
        [only] if only == "CERTIFICATE" => {
            Some("tls: found a certificate rather than a key in the PEM for the private key".to_owned())
        }
        others => Some(format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            others.join(" ")
        )),
    }
}

/// What may not change: the type of a Secret, and all that is frozen.
pub(super) fn validate_change(kind: Kind, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if kind == Kind::Secret && text(old, "/type") != text(new, "/type") {
        causes.push(Cause::invalid("type", &text(new, "/type").into(), "field is immutable"));
    }
    if old.get("immutable") == Some(&json!(true)) {
        if new.get("immutable") != Some(&json!(true)) {
            causes.push(Cause::forbidden("immutable", FROZEN));
        }
        let changed = ["data", "binaryData"].into_iter().filter(|member| old.get(*member) != new.get(*member));
        causes.extend(changed.map(|member| Cause::forbidden(member, FROZEN)));
    }
    causes
}

/// Bytes a base64 text stands for.
fn decoded_length(content: &Value) -> usize {
    let text = content.as_str().unwrap_or_default();
    text.trim_end_matches('=').len() * 3 / 4
}

fn key_faults(field: &str, key: &str) -> Vec<Cause> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut faults = Vec::new();
    if key.len() > KEY_BYTES_MAX {
        faults.push("must be no more than 253 characters");
    }
    if key.is_empty() || !key.bytes().all(good) {
        faults.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        );
    }
    match key {
        "." => faults.push("must not be '.'"),
        ".." => faults.push("must not be '..'"),
        _ if key.starts_with("..") => faults.push("must not start with '..'"),
        _ => {}
    }
    faults.into_iter().map(|fault| Cause::invalid(field, &key.into(), fault)).collect()
}
