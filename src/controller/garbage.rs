//! Garbage collection by `ownerReferences[].uid` (spec/api.md section 10).

use serde_json::{Value, json};

use super::Scene;
use super::draft;
use crate::model::object::ParseError;
use crate::model::{Kind, Object, ObjectKey};
use crate::store::Op;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub(super) fn reconcile(scene: &mut Scene<'_>, kind: Kind, key: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let Some(object) = scene.snapshot.get(kind, key) else { return Ok(Vec::new()) };
    if !object.meta.deleting {
        return if owners_are_gone(scene, object) { end(scene, object) } else { Ok(Vec::new()) };
    }
    if !object.meta.finalizers {
        return Ok(Vec::new());
    }
    let mut value = object.value();
    let mut finalizers = list(&value, "/metadata/finalizers");
    let mut ops = Vec::new();
    if finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
        for dependent in dependents(scene, object) {
            ops.push(disown(dependent, &object.meta.uid)?);
        }
        finalizers.retain(|finalizer| finalizer != ORPHAN);
    } else if finalizers.iter().any(|finalizer| finalizer == FOREGROUND) {
        let held = dependents(scene, object);
        for dependent in held.iter().filter(|dependent| !dependent.meta.deleting) {
            ops.extend(end(scene, dependent)?);
        }
        if held.is_empty() {
            finalizers.retain(|finalizer| finalizer != FOREGROUND);
        }
    }
    if finalizers.len() == list(&value, "/metadata/finalizers").len() {
        return Ok(ops);
    }
    if finalizers.is_empty() {
        ops.push(draft::delete(object));
    } else if let Some(metadata) = value.get_mut("metadata") {
        draft::set(metadata, "finalizers", json!(finalizers));
        ops.push(draft::replace(object, &value)?);
    }
    Ok(ops)
}

/// Every owner is gone. An owner that is another object of the same name counts
/// as gone; one of a kind we do not serve cannot be looked up and stays.
fn owners_are_gone(scene: &Scene<'_>, object: &Object) -> bool {
    if object.meta.owners.is_empty() {
        return false;
    }
    list(&object.value(), "/metadata/ownerReferences").iter().all(|reference| {
        let text = |member: &str| reference.get(member).and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = Kind::from_type_meta(text("apiVersion"), text("kind")) else { return false };
        let namespace = if kind.resource().namespaced { &*object.key.namespace } else { "" };
        let owner = scene.snapshot.get(kind, &ObjectKey::new(namespace, text("name")));
        owner.is_none_or(|owner| &*owner.meta.uid != text("uid"))
    })
}

/// Namespaced owners have dependents in their namespace only.
fn dependents<'a>(scene: &Scene<'a>, owner: &Object) -> Vec<&'a Object> {
    let namespace = Some(&*owner.key.namespace).filter(|namespace| !namespace.is_empty());
    let all = Kind::ALL.into_iter().flat_map(|kind| scene.snapshot.list(kind, namespace));
    all.filter(|object| object.meta.owners.iter().any(|uid| **uid == *owner.meta.uid)).map(|o| &**o).collect()
}

fn end(scene: &Scene<'_>, object: &Object) -> Result<Vec<Op>, ParseError> {
    if !object.meta.finalizers {
        return Ok(vec![draft::delete(object)]);
    }
    let mut value = object.value();
    if let Some(metadata) = value.get_mut("metadata") {
        draft::set(metadata, "deletionTimestamp", Value::from(crate::clock::rfc3339(scene.now)));
        draft::set(metadata, "deletionGracePeriodSeconds", json!(0));
    }
    Ok(vec![draft::replace(object, &value)?])
}

fn disown(object: &Object, uid: &str) -> Result<Op, ParseError> {
    let mut value = object.value();
    let mut references = list(&value, "/metadata/ownerReferences");
    references.retain(|reference| reference.get("uid").and_then(Value::as_str) != Some(uid));
    if let Some(metadata) = value.get_mut("metadata") {
        let content = if references.is_empty() { Value::Null } else { Value::from(references) };
        draft::set(metadata, "ownerReferences", content);
    }
    draft::replace(object, &value)
}

fn list(value: &Value, pointer: &str) -> Vec<Value> {
    value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}
