//! The rules of `metadata` that hold for every kind (spec/api.md section 4).
//!
//! The real server looks at metadata twice on an update, once for all kinds and
//! once in the kind's own rules, and tells each fault as often; so do we.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{FAULTS_MAX, enough, list, pairs, present, set, text, texts, unset};
use crate::model::{Cause, Kind, name};

/// Bytes of all annotations of an object together, keys included: Kubernetes' limit.
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

/// Controllers too many that are told of: each fault shows all owners.
const CONTROLLERS_TOLD_MAX: usize = 8;
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// A rule for names: the broken sub-rules.
type Rule = fn(&str) -> Vec<String>;

/// Checks the metadata of an object by the rules of its kind.
pub(super) fn validate(kind: Kind, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    validate_name(rule(kind), value, &mut causes);
    causes.extend(content(value));
    causes.extend(finalizers(value));
    // These two have rules of their own, which know no standard finalizers.
    if !matches!(kind, Kind::Event | Kind::Lease) {
        causes.extend(standard_finalizers(value));
    }
    causes
}

/// Checks what an update of any kind, or of its status, may not do.
pub(super) fn validate_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = content(new);
    causes.extend(finalizers(new));
    causes.extend(changes(old, new));
    causes
}

/// The same in the rules of a kind, which know the standard finalizers.
pub(super) fn validate_kind_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = changes(old, new);
    causes.extend(standard_finalizers(new));
    causes
}

/// Keeps the metadata a status write of some kinds may not change.
pub(super) fn keep(old: &Value, new: &mut Value) {
    let Some(metadata) = new.get_mut("metadata") else { return };
    for member in ["labels", "annotations", "finalizers", "ownerReferences"] {
        match old.pointer(&format!("/metadata/{member}")) {
            Some(content) => set(metadata, member, content.clone()),
            None => unset(metadata, member),
        }
    }
}

/// Checks label keys and values under `pointer`.
pub(super) fn labels(value: &Value, pointer: &str, field: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, content) in pairs(value, pointer) {
        let key_faults = name::qualified_name(key);
        causes.extend(key_faults.iter().map(|fault| Cause::invalid(field, &key.as_str().into(), fault)));
        let value_faults = name::label_value(content.as_str().unwrap_or_default());
        causes.extend(value_faults.iter().map(|fault| Cause::invalid(field, content, fault)));
        if enough(&causes) {
            break;
        }
    }
    causes
}

fn rule(kind: Kind) -> Rule {
    match kind {
        Kind::Service | Kind::Namespace => name::dns1123_label,
        Kind::Event => name::path_segment,
        Kind::IpAddress => super::service_cidr::address_name,
        _ => name::dns1123_subdomain,
    }
}

fn validate_name(rule: Rule, value: &Value, causes: &mut Vec<Cause>) {
    let base = text(value, "/metadata/generateName");
    if !base.is_empty() {
        // The suffix that follows makes a trailing dash good, and a dash before it.
        let tail = base.len().checked_sub(2).filter(|_| base.ends_with('-'));
        let masked = tail.and_then(|end| base.get(..end)).map(|head| format!("{head}a"));
        let faults = rule(masked.as_deref().unwrap_or(base));
        causes.extend(faults.iter().map(|fault| Cause::invalid("metadata.generateName", &base.into(), fault)));
    }
    let own = text(value, "/metadata/name");
    if own.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    }
    causes.extend(rule(own).iter().map(|fault| Cause::invalid("metadata.name", &own.into(), fault)));
}

/// Labels, annotations and owners.
fn content(value: &Value) -> Vec<Cause> {
    let mut causes = labels(value, "/metadata/labels", "metadata.labels");
    validate_annotations(value, &mut causes);
    validate_owners(value, &mut causes);
    causes
}

fn validate_annotations(value: &Value, causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, content) in pairs(value, "/metadata/annotations") {
        bytes += key.len() + content.as_str().map(str::len).unwrap_or_default();
        let faults = name::qualified_name(&key.to_lowercase());
        if !enough(causes) {
            let invalid = |fault: &String| Cause::invalid("metadata.annotations", &key.as_str().into(), fault);
            causes.extend(faults.iter().map(invalid));
        }
    }
    if bytes > ANNOTATION_BYTES_MAX {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATION_BYTES_MAX));
    }
}

fn finalizers(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for finalizer in list(value, "/metadata/finalizers") {
        causes.extend(finalizer_name(finalizer, "metadata.finalizers"));
        if enough(&causes) {
            break;
        }
    }
    let all = texts(value, "/metadata/finalizers");
    let has = |wanted: &str| all.iter().any(|own| own == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid("metadata.finalizers", &all.into(), detail));
    }
    causes
}

/// Checks the form of a finalizer's name.
pub(super) fn finalizer_name(finalizer: &Value, field: &str) -> Vec<Cause> {
    let faults = name::qualified_name(finalizer.as_str().unwrap_or_default());
    faults.iter().map(|fault| Cause::invalid(field, finalizer, fault)).collect()
}

/// A finalizer without a prefix must be one of Kubernetes' own.
pub(super) fn standard_finalizer(finalizer: &Value, field: &str) -> Option<Cause> {
    let own = finalizer.as_str().unwrap_or_default();
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    (!own.contains('/') && !STANDARD_FINALIZERS.contains(&own)).then(|| Cause::invalid(field, finalizer, detail))
}

fn standard_finalizers(value: &Value) -> impl Iterator<Item = Cause> {
    let rows = list(value, "/metadata/finalizers").iter().enumerate();
    rows.filter_map(|(i, own)| standard_finalizer(own, &format!("metadata.finalizers[{i}]"))).take(FAULTS_MAX)
}

fn validate_owners(value: &Value, causes: &mut Vec<Cause>) {
    let field = "metadata.ownerReferences";
    let (mut controller, mut more): (Option<String>, usize) = (None, 0);
    for owner in list(value, "/metadata/ownerReferences") {
        if enough(causes) {
            return;
        }
        for (member, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if !present(owner, &format!("/{member}")) {
                causes.push(Cause::invalid(format!("{field}.{member}"), &"".into(), detail));
            }
        }
        if text(owner, "/apiVersion") == "v1" && text(owner, "/kind") == "Event" {
            causes.push(Cause::invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.get("controller").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let own = format!("{}/{}", text(owner, "/kind"), text(owner, "/name"));
        let Some(first) = &controller else {
            controller = Some(own);
            continue;
        };
        more += 1;
        if more > CONTROLLERS_TOLD_MAX {
            return;
        }
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {own}"
        );
        let all = value.pointer("/metadata/ownerReferences").unwrap_or(&Value::Null);
        causes.push(Cause::invalid(field, all, &detail));
    }
}

/// What may not change, and finalizers that come too late. What the caller carries
/// over silently (creation time, generation) is not looked at.
pub(super) fn changes(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if present(old, "/metadata/deletionTimestamp") {
        let before: BTreeSet<String> = texts(old, "/metadata/finalizers").into_iter().collect();
        let added: Vec<String> =
            texts(new, "/metadata/finalizers").into_iter().filter(|item| !before.contains(item)).collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|item| format!("{item:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &detail));
        }
    }
    for member in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let pointer = format!("/metadata/{member}");
        let (before, after) = (old.pointer(&pointer), new.pointer(&pointer));
        if before.unwrap_or(&Value::Null) != after.unwrap_or(&Value::Null) {
            let shown = after.unwrap_or(&Value::Null);
            causes.push(Cause::invalid(format!("metadata.{member}"), shown, "field is immutable"));
        }
    }
    causes.extend(content(new));
    causes
}
