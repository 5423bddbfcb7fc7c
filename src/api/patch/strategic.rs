//! Strategic merge of objects: a patch in the shape of the object itself, told by
//! the schema where lists have a merge key, and by `$` directives what to do else.
//! Documents are measured before they come here, so recursion is bounded.

use serde_json::{Map, Value};

use super::{PatchError, list, lookup};
use crate::model::schema::{Patch, Shape, Type, find};

/// In an object or list item: `delete` or `replace`.
pub(super) const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

/// What holds the members of an object.
#[derive(Clone, Copy)]
pub(super) enum Holder<'a> {
    /// A struct of the schema.
    Struct(&'a Type),
    /// A map from strings to values of this shape.
    Map(Shape),
    /// Unknown to the schema: members are merged, lists replaced.
    Unknown,
}

/// How one member is merged.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) inner: Holder<'a>,
    pub(super) patch: Patch,
}

impl<'a> Holder<'a> {
    pub(super) fn of(shape: Shape) -> Holder<'a> {
        match shape {
            Shape::Object(name) => find(name).map_or(Holder::Unknown, Holder::Struct),
            Shape::Map(inner) => Holder::Map(*inner),
            Shape::List(inner) => Holder::of(*inner),
            _ => Holder::Unknown,
        }
    }

    fn member(self, name: &str) -> Member<'a> {
        let (inner, patch) = match self {
            Holder::Struct(ty) => lookup::field(ty, name)
                .map_or((Holder::Unknown, Patch::Default), |field| (Holder::of(field.shape), field.patch)),
            Holder::Map(shape) => (Holder::of(shape), Patch::Default),
            Holder::Unknown => (Holder::Unknown, Patch::Default),
        };
        Member { inner, patch }
    }
}

/// Patches an object of type `ty`.
pub(super) fn patch_object(ty: &Type, current: &Value, patch: &Value) -> Result<Value, PatchError> {
    let empty = Map::new();
    let (current, patch) = (current.as_object().unwrap_or(&empty), patch.as_object().unwrap_or(&empty));
    merge_object(Holder::Struct(ty), current.clone(), patch, "").map(Value::Object)
}

/// Merges `patch` into `current`, both members of `holder`; `path` is for errors.
pub(super) fn merge_object(
    holder: Holder<'_>,
    mut current: Map<String, Value>,
    patch: &Map<String, Value>,
    path: &str,
) -> Result<Map<String, Value>, PatchError> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => return Ok(clean_members(patch)),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
        Some(directive) => return Err(unknown_directive(directive, path)),
    }
    retain_keys(&mut current, patch, path)?;
    let ordered = order_lists(holder, &mut current, patch, path)?;
    for (name, value) in patch {
        if ordered.contains(&name.as_str()) || name == RETAIN_KEYS || directive_target(name, ORDER_PREFIX).is_some() {
            continue;
        }
        if let Some(target) = directive_target(name, DELETE_PREFIX) {
            delete_primitives(&mut current, target, value, path)?;
            continue;
        }
        // A map's keys are data: only in structs is an unknown `$name` a mistake.
        if matches!(holder, Holder::Struct(_)) && name.starts_with('$') {
            return Err(PatchError::bad_request(format!("unknown directive {}", join(path, name))));
        }
        merge_member(&mut current, name, value, holder.member(name), &join(path, name))?;
    }
    Ok(current)
}

fn merge_member(
    current: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    member: Member<'_>,
    path: &str,
) -> Result<(), PatchError> {
    let merged = match (current.remove(name), value) {
        (_, Value::Null) => None,
        (Some(Value::Object(old)), Value::Object(new)) if member.patch != Patch::Replace => {
            Some(Value::Object(merge_object(member.inner, old, new, path)?))
        }
        (Some(Value::Array(old)), Value::Array(new)) => Some(Value::Array(list::merge(member, old, new, path)?)),
        (_, new) => clean(new),
    };
    if let Some(merged) = merged {
        current.insert(name.to_owned(), merged);
    }
    Ok(())
}

/// Removes what `$retainKeys` does not name, as unions need it.
fn retain_keys(current: &mut Map<String, Value>, patch: &Map<String, Value>, path: &str) -> Result<(), PatchError> {
    let Some(retained) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad = || {
        let at = join(path, RETAIN_KEYS);
        PatchError::bad_request(format!("invalid patch format of retainKeys: {at} must list every field of the patch"))
    };
    let retained: Vec<&str> =
        retained.as_array().ok_or_else(bad)?.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(bad)?;
    for (name, value) in patch {
        if !value.is_null() && !name.starts_with('$') && !retained.contains(&name.as_str()) {
            return Err(bad());
        }
    }
    current.retain(|name, _| retained.contains(&name.as_str()));
    Ok(())
}

/// Merges and orders the lists named by `$setElementOrder/`; returns their names.
fn order_lists<'a>(
    holder: Holder<'_>,
    current: &mut Map<String, Value>,
    patch: &'a Map<String, Value>,
    path: &str,
) -> Result<Vec<&'a str>, PatchError> {
    let mut done = Vec::new();
    for (directive, order) in patch {
        let Some(name) = directive_target(directive, ORDER_PREFIX) else {
            continue;
        };
        let at = join(path, directive);
        let order = match order.as_array() {
            Some(order) if !name.is_empty() => order,
            _ => return Err(PatchError::bad_request(format!("invalid patch format of setElementOrder list: {at}"))),
        };
        let changed = match patch.get(name) {
            Some(Value::Array(items)) => Some(items),
            None | Some(Value::Null) => None,
            Some(_) => return Err(PatchError::bad_request(format!("{} must be a list", join(path, name)))),
        };
        let old = match current.get(name) {
            Some(Value::Array(items)) => Some(items.clone()),
            _ => None,
        };
        if let Some(merged) = list::merge_ordered(holder.member(name), old, changed, order, &join(path, name))? {
            current.insert(name.to_owned(), Value::Array(merged));
        }
        if changed.is_some() {
            done.push(name);
        }
    }
    Ok(done)
}

fn delete_primitives(
    current: &mut Map<String, Value>,
    name: &str,
    doomed: &Value,
    path: &str,
) -> Result<(), PatchError> {
    let doomed = match doomed.as_array() {
        Some(doomed) if !name.is_empty() && doomed.iter().all(is_primitive) => doomed,
        _ => {
            let at = join(path, &format!("{DELETE_PREFIX}/{name}"));
            return Err(PatchError::bad_request(format!("invalid patch format of primitive list: {at}")));
        }
    };
    list::require_size(doomed, &join(path, name))?;
    if let Some(Value::Array(items)) = current.get_mut(name) {
        items.retain(|item| !doomed.contains(item));
    }
    Ok(())
}

/// `f` of `$setElementOrder/f`; empty when the name is missing.
fn directive_target<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    Some(rest.strip_prefix('/').unwrap_or_default())
}

/// A value of a patch that has nothing to merge with: without directives and nulls.
/// `None` when the value itself is to be deleted.
pub(super) fn clean(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) if members.contains_key(PATCH) => None,
        Value::Object(members) => Some(Value::Object(clean_members(members))),
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(clean).collect())),
        _ => Some(value.clone()),
    }
}

/// Members without directives and nulls.
pub(super) fn clean_members(members: &Map<String, Value>) -> Map<String, Value> {
    let is_directive = |name: &str| {
        name == PATCH || name == RETAIN_KEYS || name.starts_with(DELETE_PREFIX) || name.starts_with(ORDER_PREFIX)
    };
    members
        .iter()
        .filter(|(name, _)| !is_directive(name))
        .filter_map(|(name, value)| Some((name.clone(), clean(value)?)))
        .collect()
}

pub(super) fn is_primitive(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Array(_) | Value::Object(_))
}

pub(super) fn unknown_directive(directive: &Value, path: &str) -> PatchError {
    PatchError::bad_request(format!("unknown patch type {directive} in {}", join(path, PATCH)))
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
