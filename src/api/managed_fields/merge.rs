//! Laying an applied configuration over the live object, and taking fields away.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::path::{self, Element};
use super::set::Set;
use super::shape::Atom;
use crate::model::schema::Type;

/// A list item that cannot stand in its list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadItem {
    /// The list's path.
    pub(super) field: String,
    /// What is wrong.
    pub(super) message: String,
}

/// Lists of a configuration must be told apart by their keys, each key once.
pub(super) fn check(ty: &Type, applied: &Value) -> Result<(), BadItem> {
    check_value(Atom::Struct(ty), applied, &mut Vec::new())
}

fn check_value(atom: Atom<'_>, value: &Value, path: &mut Vec<Element>) -> Result<(), BadItem> {
    match (atom, value) {
        (Atom::Struct(_) | Atom::Map(_), Value::Object(members)) => {
            for (name, member) in members {
                path.push(Element::field(name));
                check_value(atom.member(name).0, member, path)?;
                path.pop();
            }
        }
        (Atom::Set | Atom::Keyed(..), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let bad = |message: String| BadItem { field: path::display(path), message };
                let element =
                    atom.element(item).ok_or_else(|| bad(format!("element {index}: omits all key fields")))?;
                if !seen.insert(element.clone()) {
                    return Err(bad(format!("duplicate entries for key {element}")));
                }
                path.push(element);
                check_value(atom.item(), item, path)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// `live` with `applied` laid over it.
pub(super) fn merge(ty: &Type, live: &Value, applied: &Value) -> Value {
    merge_value(Atom::Struct(ty), live, applied)
}

fn merge_value(atom: Atom<'_>, live: &Value, applied: &Value) -> Value {
    match (atom, live, applied) {
        (Atom::Struct(_) | Atom::Map(_), Value::Object(live), Value::Object(applied)) => {
            let mut merged = live.clone();
            for (name, new) in applied {
                let value = match live.get(name) {
                    Some(old) => merge_value(atom.member(name).0, old, new),
                    None => new.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Atom::Set | Atom::Keyed(..), Value::Array(live), Value::Array(applied)) => {
            match (atom.elements(live), atom.elements(applied)) {
                (Some(live_keys), Some(applied_keys)) => {
                    Value::Array(merge_items(atom, (&live_keys, live), (&applied_keys, applied)))
                }
                _ => Value::Array(applied.clone()),
            }
        }
        _ => applied.clone(),
    }
}

/// Merges two lists. Applied items keep their order; items only the live object has
/// stay where they stand between the shared ones, and before applied items that
/// follow the last shared one.
fn merge_items(atom: Atom<'_>, live: (&[Element], &[Value]), applied: (&[Element], &[Value])) -> Vec<Value> {
    let mut old: BTreeMap<&Element, Vec<&Value>> = BTreeMap::new();
    for (element, item) in live.0.iter().zip(live.1) {
        old.entry(element).or_default().push(item);
    }
    let wanted: BTreeSet<&Element> = applied.0.iter().collect();
    let mut shared = applied.0.iter().filter(|element| old.contains_key(element)).peekable();
    let mut live = live.0.iter().zip(live.1).peekable();
    let mut merged = Vec::with_capacity(live.len().max(applied.1.len()));
    for (element, new) in applied.0.iter().zip(applied.1) {
        let next_shared = shared.peek().copied();
        while let Some((key, item)) = live.next_if(|(key, _)| Some(*key) != next_shared) {
            if !wanted.contains(key) {
                merged.push(item.clone());
            }
        }
        live.next_if(|(key, _)| *key == element);
        shared.next_if(|key| *key == element);
        merged.push(match old.get(element).map(Vec::as_slice) {
            // Items that share a key cannot be merged with one.
            Some([one]) => merge_value(atom.item(), one, new),
            _ => new.clone(),
        });
    }
    merged.extend(live.filter(|(key, _)| !wanted.contains(key)).map(|(_, item)| item.clone()));
    merged
}

/// `value` without the fields of `doomed`. Emptied lists and maps stay, empty.
pub(super) fn remove(ty: &Type, value: &Value, doomed: &Set) -> Value {
    remove_from(Atom::Struct(ty), value, doomed)
}

fn remove_from(atom: Atom<'_>, value: &Value, doomed: &Set) -> Value {
    match (atom, value) {
        (Atom::Struct(_) | Atom::Map(_), Value::Object(members)) => {
            let mut left = Map::new();
            for (name, member) in members {
                let inner = atom.member(name).0;
                if let Some(kept) = keep(inner, member, doomed, &Element::field(name)) {
                    left.insert(name.clone(), kept);
                }
            }
            Value::Object(left)
        }
        (Atom::Set | Atom::Keyed(..), Value::Array(items)) => {
            let kept = |item: &Value| match atom.element(item) {
                Some(element) => keep(atom.item(), item, doomed, &element),
                None => Some(item.clone()),
            };
            Value::Array(items.iter().filter_map(kept).collect())
        }
        _ => value.clone(),
    }
}

fn keep(atom: Atom<'_>, value: &Value, doomed: &Set, element: &Element) -> Option<Value> {
    match doomed.node(element) {
        None => Some(value.clone()),
        Some(node) if node.member => None,
        Some(node) => Some(remove_from(atom, value, &node.below)),
    }
}
