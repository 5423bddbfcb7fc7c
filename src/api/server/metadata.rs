//! What the server does to `metadata` (spec/api.md section 4): new objects are
//! stamped, changed ones keep what a client may not change. Pure.

use serde_json::{Map, Value};

use super::super::status::ApiError;
use crate::model::{Cause, Kind, Object};

/// Letters of generated names: no vowels, nothing that looks alike.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters of a generated suffix.
const SUFFIX_LENGTH: usize = 5;
/// What is left of `generateName` so that the result is a label.
const GENERATE_BASE_MAX: usize = 58;

/// The object's metadata, made if it is not there.
pub(super) fn of(value: &mut Value) -> Result<&mut Map<String, Value>, ApiError> {
    let members = value.as_object_mut().ok_or_else(|| ApiError::bad_request("the object is not a JSON object"))?;
    let metadata = members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut().ok_or_else(|| ApiError::bad_request("metadata is not a JSON object"))
}

/// A text of the metadata; empty when absent.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get("metadata").and_then(|metadata| metadata.get(member)).and_then(Value::as_str).unwrap_or_default()
}

/// The finalizers still to run.
pub(super) fn finalizers(value: &Value) -> Vec<String> {
    let list = value.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Whether the object is on its way out.
pub(super) fn deleting(value: &Value) -> bool {
    !text(value, "deletionTimestamp").is_empty()
}

/// Checks the type a body claims, and writes the true one.
pub(super) fn check_type(kind: Kind, value: &mut Value) -> Result<(), ApiError> {
    let row = kind.resource();
    let api_version = kind.api_version();
    let text = |member| value.get(member).and_then(Value::as_str).unwrap_or_default();
    let (found_version, found_kind) = (text("apiVersion"), text("kind"));
    if (!found_version.is_empty() && found_version != api_version) || (!found_kind.is_empty() && found_kind != row.kind)
    {
        // The same kind of another group or version, such as the other Event.
        if found_kind == row.kind && Kind::from_type_meta(found_version, found_kind).is_some() {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({found_version}) does not match the expected API version ({api_version})"
            )));
        }
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): it is {found_version}, Kind={found_kind}",
            row.kind
        )));
    }
    let members = value.as_object_mut().ok_or_else(|| ApiError::bad_request("the object is not a JSON object"))?;
    members.insert("apiVersion".to_owned(), api_version.into());
    members.insert("kind".to_owned(), row.kind.into());
    Ok(())
}

/// Fills the namespace from the URL and checks it and the name against it.
pub(super) fn check_key(
    kind: Kind,
    namespace: Option<&str>,
    name: Option<&str>,
    value: &mut Value,
) -> Result<(), ApiError> {
    let metadata = of(value)?;
    let namespace = namespace.unwrap_or_default();
    if !kind.resource().namespaced {
        // Dropped in silence, as the real server does: manifests name one everywhere.
        metadata.remove("namespace");
    }
    let found = |member| metadata.get(member).and_then(Value::as_str).unwrap_or_default();
    if !found("namespace").is_empty() && found("namespace") != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if let Some(name) = name {
        if !found("name").is_empty() && found("name") != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                found("name")
            )));
        }
        metadata.insert("name".to_owned(), name.into());
    }
    if kind.resource().namespaced {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    Ok(())
}

/// A name from `generateName`.
pub(super) fn generated_name(base: &str) -> String {
    let mut name: String = base.chars().take(GENERATE_BASE_MAX).collect();
    for _ in 0..SUFFIX_LENGTH {
        let letter = SUFFIX_LETTERS.get(fastrand::usize(..SUFFIX_LETTERS.len())).copied().unwrap_or(b'x');
        name.push(char::from(letter));
    }
    name
}

/// Stamps a new object: uid, creation time, generation; drops what only the
/// server may say.
pub(super) fn stamp(kind: Kind, value: &mut Value, now: &str) -> Result<(), ApiError> {
    let metadata = of(value)?;
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        metadata.remove(member);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), now.into());
    if kind.resource().generation {
        metadata.insert("generation".to_owned(), 1.into());
    }
    Ok(())
}

/// Carries what a client may not change from the stored object into its
/// successor; 422 where it tried and may be told.
pub(super) fn carry(live: &Object, old: &Value, new: &mut Value, patched: bool) -> Result<(), ApiError> {
    let (kind, name) = (live.kind, live.key.name.to_string());
    let old_metadata = old.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let metadata = of(new)?;
    let mut causes = Vec::new();
    if let Some(uid) =
        metadata.get("uid").and_then(Value::as_str).filter(|uid| !uid.is_empty() && **uid != *live.meta.uid)
    {
        if patched {
            causes.push(Cause::invalid("metadata.uid", &uid.into(), "field is immutable"));
        } else {
            let why = format!(
                "StorageError: invalid object, Code: 4, Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                live.meta.uid
            );
            return Err(ApiError::conflict(kind, &name, &why));
        }
    }
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if let Some(value) = metadata.get(member).filter(|value| old_metadata.get(member) != Some(value)) {
            causes.push(Cause::invalid(format!("metadata.{member}"), value, "field is immutable"));
        }
    }
    if !causes.is_empty() {
        return Err(ApiError::invalid(kind, &name, &causes));
    }
    metadata.remove("selfLink");
    for member in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "generateName",
    ] {
        match old_metadata.get(member) {
            Some(value) => metadata.insert(member.to_owned(), value.clone()),
            None => metadata.remove(member),
        };
    }
    if !metadata.contains_key("managedFields")
        && let Some(owned) = old_metadata.get("managedFields")
    {
        metadata.insert("managedFields".to_owned(), owned.clone());
    }
    Ok(())
}

/// Keeps the parts a request cannot write: a subresource writes its own part
/// only, the main resource everything but it.
pub(super) fn confine(kind: Kind, old: &Value, new: &mut Value, subresource: Option<&str>) {
    let Some(members) = new.as_object_mut() else { return };
    let keep = |members: &mut Map<String, Value>, member: &str| {
        match old.get(member) {
            Some(value) => members.insert(member.to_owned(), value.clone()),
            None => members.remove(member),
        };
    };
    match subresource {
        None if kind.resource().subresources.contains(&"status") => keep(members, "status"),
        None => {}
        Some("status") => {
            let names: Vec<String> =
                members.keys().chain(old.as_object().into_iter().flat_map(|o| o.keys())).cloned().collect();
            for member in names.iter().filter(|name| !matches!(name.as_str(), "metadata" | "status")) {
                keep(members, member);
            }
        }
        // `finalize` writes `spec.finalizers` of a namespace.
        Some(_) => keep(members, "status"),
    }
    if kind == Kind::Namespace && subresource != Some("finalize") {
        let finalizers = old.pointer("/spec/finalizers").cloned();
        let spec = members.entry("spec").or_insert_with(|| Value::Object(Map::new()));
        if let (Some(spec), Some(finalizers)) = (spec.as_object_mut(), finalizers) {
            spec.insert("finalizers".to_owned(), finalizers);
        }
    }
}

/// Whether two states differ in nothing a watcher would want to know: the
/// revision and the times of field ownership aside.
pub(super) fn same(old: &Value, new: &Value) -> bool {
    fn bare(value: &Value) -> Value {
        let mut value = value.clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("time");
                }
            }
        }
        value
    }
    bare(old) == bare(new)
}

/// Raises the generation if the kind counts this change.
pub(super) fn raise_generation(kind: Kind, old: &Value, new: &mut Value) {
    if !kind.resource().generation {
        return;
    }
    let changed = if kind == Kind::EndpointSlice {
        let content = |value: &Value| {
            let mut value = value.clone();
            let labels = value.pointer("/metadata/labels").cloned();
            if let Some(members) = value.as_object_mut() {
                members.insert("metadata".to_owned(), labels.unwrap_or_default());
            }
            value
        };
        content(old) != content(new)
    } else {
        old.get("spec") != new.get("spec")
    };
    let generation = old.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("generation".to_owned(), (generation + u64::from(changed)).into());
    }
}

/// Whether nothing keeps a deleting object any more.
pub(super) fn ready_to_go(kind: Kind, value: &Value) -> bool {
    let grace = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
    let content = value.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    deleting(value) && finalizers(value).is_empty() && grace == 0 && !(kind == Kind::Namespace && content)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generated_names_use_the_fixed_alphabet() {
        let name = generated_name(&"x".repeat(80));
        assert_eq!(name.len(), GENERATE_BASE_MAX + SUFFIX_LENGTH);
        assert!(name.bytes().skip(GENERATE_BASE_MAX).all(|letter| SUFFIX_LETTERS.contains(&letter)));
    }

    #[test]
    fn a_change_of_ownership_times_alone_is_none() {
        let object = |time, revision| json!({"metadata": {"resourceVersion": revision, "managedFields": [{"manager": "m", "time": time}]}});
        assert!(same(&object("a", "1"), &object("b", "2")));
        assert!(!same(&object("a", "1"), &json!({"metadata": {}})));
    }

    #[test]
    fn a_status_write_changes_status_and_metadata_only() {
        let old = json!({"metadata": {}, "spec": {"a": 1}, "status": {"x": 1}});
        let mut new = json!({"metadata": {}, "spec": {"a": 2}, "status": {"x": 2}, "extra": 1});
        confine(Kind::Service, &old, &mut new, Some("status"));
        assert_eq!(new, json!({"metadata": {}, "spec": {"a": 1}, "status": {"x": 2}}));
        let mut new = json!({"metadata": {}, "spec": {"a": 2}});
        confine(Kind::Service, &old, &mut new, None);
        assert_eq!(new, json!({"metadata": {}, "spec": {"a": 2}, "status": {"x": 1}}));
    }
}
