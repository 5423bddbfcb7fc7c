//! The end of a namespace: content first, then the `kubernetes` finalizer.

use serde_json::{Value, json};

use super::Scene;
use super::draft;
use crate::model::object::ParseError;
use crate::model::{Kind, ObjectKey};
use crate::store::Op;

/// Most objects removed in one write; the next change brings the task back.
const DELETES_MAX: usize = 500;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let found = scene.snapshot.get(Kind::Namespace, key).filter(|namespace| namespace.meta.deleting);
    let Some(namespace) = found else { return Ok(Vec::new()) };
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.resource().namespaced);
    let content: Vec<_> = kinds.flat_map(|kind| scene.snapshot.list(kind, Some(&key.name))).take(DELETES_MAX).collect();
    let mut ops = Vec::new();
    for object in &content {
        if !object.meta.finalizers {
            ops.push(draft::delete(object));
        } else if !object.meta.deleting {
            // Somebody's finalizer holds it: ask for its end and wait.
            let mut value = object.value();
            if let Some(metadata) = value.get_mut("metadata") {
                draft::set(metadata, "deletionTimestamp", Value::from(crate::clock::rfc3339(scene.now)));
                draft::set(metadata, "deletionGracePeriodSeconds", json!(0));
            }
            ops.push(draft::replace(object, &value)?);
        }
    }
    if !content.is_empty() {
        return Ok(ops);
    }
    let mut value = namespace.value();
    let mut finalizers = value.pointer("/spec/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != "kubernetes");
    if finalizers.is_empty() && !namespace.meta.finalizers {
        return Ok(vec![draft::delete(namespace)]);
    }
    if value.pointer("/spec/finalizers").and_then(Value::as_array).map(Vec::len) == Some(finalizers.len()) {
        return Ok(Vec::new());
    }
    draft::set(&mut value, "spec", json!({"finalizers": finalizers}));
    Ok(vec![draft::replace(namespace, &value)?])
}
