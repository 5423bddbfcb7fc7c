//! Reading and writing JSON values whose shape the codec has checked. Absent and
//! empty are one, as they are for Kubernetes' own types.

use serde_json::{Map, Value};

use crate::model::Cause;

/// Faults of one part of an object that are told: a body of millions of them is
/// not answered with gigabytes.
pub(super) const FAULTS_MAX: usize = 1000;

/// Enough faults were found.
pub(super) fn enough(causes: &[Cause]) -> bool {
    causes.len() >= FAULTS_MAX
}

/// The text at a JSON pointer, empty when absent.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer, 0 when absent.
pub(super) fn int(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a JSON pointer, empty when absent.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The list at a JSON pointer, to change.
pub(super) fn list_mut<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// The texts of the list at a JSON pointer.
pub(super) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// The pairs of the map at a JSON pointer.
pub(super) fn pairs<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// The text at a JSON pointer, none when absent: for what Kubernetes holds by
/// pointer, where the empty text is a value.
pub(super) fn given<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// An annotation.
pub(super) fn annotation<'a>(value: &'a Value, wanted: &str) -> Option<&'a str> {
    value.pointer("/metadata/annotations").and_then(|all| all.get(wanted)).and_then(Value::as_str)
}

/// Something other than absent, null, or empty stands there.
pub(super) fn present(value: &Value, pointer: &str) -> bool {
    match value.pointer(pointer) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => true,
    }
}

/// Sets a member of an object; nothing happens to other values.
pub(super) fn set(value: &mut Value, member: &str, content: impl Into<Value>) {
    if let Some(object) = value.as_object_mut() {
        object.insert(member.to_owned(), content.into());
    }
}

/// Removes a member of an object.
pub(super) fn unset(value: &mut Value, member: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
}

/// Sets a member unless something stands there.
pub(super) fn set_default(value: &mut Value, member: &str, content: impl Into<Value>) {
    if !present(value, &format!("/{member}")) {
        set(value, member, content);
    }
}

/// The object under `member`, made when absent.
pub(super) fn within<'a>(value: &'a mut Value, member: &str) -> Option<&'a mut Value> {
    let object = value.as_object_mut()?;
    let inner = object.entry(member).or_insert_with(|| Map::new().into());
    if inner.is_null() {
        *inner = Map::new().into();
    }
    Some(inner)
}
