//! The rules of `metadata` that hold for every kind (spec/api.md section 4).

use serde_json::Value;

use super::read::{list, pairs, present, text, texts};
use crate::model::{Cause, Kind, name};

/// Bytes of all annotations of an object together, keys included: Kubernetes' limit.
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// Checks the metadata of an object.
pub(super) fn validate(kind: Kind, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    validate_name(kind, value, &mut causes);
    causes.extend(labels(value, "/metadata/labels", "metadata.labels"));
    validate_annotations(value, &mut causes);
    for finalizer in list(value, "/metadata/finalizers") {
        validate_finalizer(finalizer, &mut causes);
    }
    validate_owners(value, &mut causes);
    causes
}

/// Checks label keys and values under `pointer`.
pub(super) fn labels(value: &Value, pointer: &str, field: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, content) in pairs(value, pointer) {
        let key_faults = name::qualified_name(key);
        causes.extend(key_faults.iter().map(|fault| Cause::invalid(field, &key.as_str().into(), fault)));
        let value_faults = name::label_value(content.as_str().unwrap_or_default());
        causes.extend(value_faults.iter().map(|fault| Cause::invalid(field, content, fault)));
    }
    causes
}

fn validate_name(kind: Kind, value: &Value, causes: &mut Vec<Cause>) {
    let rule = match kind {
        Kind::Service | Kind::Namespace => name::dns1123_label,
        Kind::Node
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Pod
        | Kind::ConfigMap
        | Kind::Secret
        | Kind::Event => name::dns1123_subdomain,
    };
    let base = text(value, "/metadata/generateName");
    // The suffix that follows makes a trailing dash or dot good.
    let bare = base.strip_suffix(['-', '.']).unwrap_or(base);
    if !bare.is_empty() {
        let faults = rule(bare);
        causes.extend(faults.iter().map(|fault| Cause::invalid("metadata.generateName", &base.into(), fault)));
    }
    let own = text(value, "/metadata/name");
    if own.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    }
    causes.extend(rule(own).iter().map(|fault| Cause::invalid("metadata.name", &own.into(), fault)));
}

fn validate_annotations(value: &Value, causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, content) in pairs(value, "/metadata/annotations") {
        bytes += key.len() + content.as_str().map(str::len).unwrap_or_default();
        let faults = name::qualified_name(&key.to_lowercase());
        causes.extend(faults.iter().map(|fault| Cause::invalid("metadata.annotations", &key.as_str().into(), fault)));
    }
    if bytes > ANNOTATION_BYTES_MAX {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATION_BYTES_MAX));
    }
}

fn validate_finalizer(finalizer: &Value, causes: &mut Vec<Cause>) {
    let own = finalizer.as_str().unwrap_or_default();
    let faults = name::qualified_name(own);
    causes.extend(faults.iter().map(|fault| Cause::invalid("metadata.finalizers", finalizer, fault)));
    if faults.is_empty() && !own.contains('/') && !STANDARD_FINALIZERS.contains(&own) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        causes.push(Cause::invalid("metadata.finalizers", finalizer, detail));
    }
}

fn validate_owners(value: &Value, causes: &mut Vec<Cause>) {
    let mut controller: Option<&str> = None;
    for owner in list(value, "/metadata/ownerReferences") {
        for (member, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if !present(owner, &format!("/{member}")) {
                let member = format!("metadata.ownerReferences.{member}");
                causes.push(Cause::invalid(member, &"".into(), detail));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        if let Some(first) = controller {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                text(owner, "/kind")
            );
            causes.push(Cause::invalid("metadata.ownerReferences", owner, &detail));
        }
        controller = Some(text(owner, "/kind"));
    }
}

/// Checks what of the metadata may not change. What the caller carries over
/// silently (creation time, generation) is not looked at.
pub(super) fn validate_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for member in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let pointer = format!("/metadata/{member}");
        let (before, after) = (old.pointer(&pointer), new.pointer(&pointer));
        if before.unwrap_or(&Value::Null) != after.unwrap_or(&Value::Null) {
            let shown = after.unwrap_or(&Value::Null);
            causes.push(Cause::invalid(format!("metadata.{member}"), shown, "field is immutable"));
        }
    }
    if present(old, "/metadata/deletionTimestamp") {
        let before = texts(old, "/metadata/finalizers");
        let added: Vec<String> =
            texts(new, "/metadata/finalizers").into_iter().filter(|item| !before.contains(item)).collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            causes.push(Cause::forbidden("metadata.finalizers", &detail));
        }
    }
    causes
}
