//! What the schema says of a value's ownership: one leaf, members of its own, or
//! items told apart by key or value.

use serde_json::Value;

use super::path::{Element, Scalar};
use super::set::{Node, Set};
use crate::api::patch::lookup;
use crate::model::schema::{Field, ListType, Shape, Type, Zero, find};

/// How a value is owned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Atom<'a> {
    /// As a whole: scalars, atomic lists, maps and structs, and what the schema leaves open.
    Leaf,
    /// Field by field.
    Struct(&'a Type),
    /// Key by key.
    Map(Shape),
    /// A list of scalars, each by its value.
    Set,
    /// A list of structs, each by the values of these fields.
    Keyed(&'a Type, &'a [&'static str]),
}

/// What a value left out stands for, when its holder is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing.
    Absent,
    /// An empty list or map the server always writes.
    Null,
    /// A struct held by value.
    Empty,
}

impl<'a> Atom<'a> {
    fn of(shape: Shape, list: ListType) -> Atom<'a> {
        match (shape, list) {
            (_, ListType::Atomic) => Atom::Leaf,
            (Shape::Object(name), _) => match find(name) {
                Some(ty) if !ty.atomic => Atom::Struct(ty),
                _ => Atom::Leaf,
            },
            (Shape::Map(inner), _) => Atom::Map(*inner),
            (Shape::List(_), ListType::Set) => Atom::Set,
            (Shape::List(Shape::Object(name)), ListType::Map(keys)) => {
                find(name).map_or(Atom::Leaf, |ty| Atom::Keyed(ty, keys))
            }
            _ => Atom::Leaf,
        }
    }

    /// The member called `name`, and what leaving it out means.
    pub(super) fn member(self, name: &str) -> (Atom<'a>, Missing) {
        match self {
            Atom::Struct(ty) => lookup::field(ty, name)
                .map_or((Atom::Leaf, Missing::Absent), |field| (Atom::of(field.shape, field.list), missing(field))),
            Atom::Map(shape) => (Atom::of(shape, ListType::Default), Missing::Absent),
            Atom::Leaf | Atom::Set | Atom::Keyed(..) => (Atom::Leaf, Missing::Absent),
        }
    }

    /// The items of a list.
    pub(super) fn item(self) -> Atom<'a> {
        match self {
            Atom::Keyed(ty, _) if !ty.atomic => Atom::Struct(ty),
            _ => Atom::Leaf,
        }
    }

    fn below(self, element: &Element) -> Atom<'a> {
        match element {
            Element::Field(name) => self.member(name).0,
            Element::Key(_) | Element::Item(_) | Element::Index(_) => self.item(),
        }
    }

    /// How an item of this list is told apart; `None` when it cannot be.
    pub(super) fn element(self, item: &Value) -> Option<Element> {
        match self {
            Atom::Set => match item {
                Value::Null | Value::Array(_) | Value::Object(_) => None,
                scalar => Some(Element::Item(Scalar(scalar.clone()))),
            },
            Atom::Keyed(ty, names) => {
                let members = item.as_object()?;
                let mut keys: Vec<_> = names
                    .iter()
                    .filter_map(|name| {
                        let value = members.get(*name).cloned().or_else(|| key_default(ty, name))?;
                        Some(((*name).to_owned(), Scalar(value)))
                    })
                    .collect();
                keys.sort();
                (!keys.is_empty()).then_some(Element::Key(keys))
            }
            Atom::Leaf | Atom::Struct(_) | Atom::Map(_) => None,
        }
    }

    /// How every item of this list is told apart; `None` when one cannot be.
    pub(super) fn elements(self, items: &[Value]) -> Option<Vec<Element>> {
        items.iter().map(|item| self.element(item)).collect()
    }
}

/// An item without the field is the item with the default.
fn key_default(ty: &Type, name: &str) -> Option<Value> {
    lookup::field(ty, name).and_then(|field| field.default).map(Value::from)
}

fn missing(field: &Field) -> Missing {
    match (field.zero, field.shape) {
        (Zero::Written, Shape::List(_) | Shape::Map(_)) => Missing::Null,
        (Zero::Written, Shape::Object(_)) => Missing::Empty,
        _ => Missing::Absent,
    }
}

/// The value as it is stored: without empty members that the schema takes for absent.
pub(super) fn tidy(ty: &Type, value: &Value) -> Value {
    tidy_value(Atom::Struct(ty), value)
}

fn tidy_value(atom: Atom<'_>, value: &Value) -> Value {
    match (atom, value) {
        (Atom::Struct(ty), Value::Object(members)) => {
            let dropped = |name: &str, value: &Value| {
                let zero = lookup::field(ty, name).map(|field| field.zero);
                zero == Some(Zero::Dropped) && is_zero(value)
            };
            let tidied = members.iter().map(|(name, member)| (name.clone(), tidy_value(atom.member(name).0, member)));
            Value::Object(tidied.filter(|(name, member)| !dropped(name, member)).collect())
        }
        (Atom::Map(_), Value::Object(members)) => {
            let tidied = members.iter().map(|(name, member)| (name.clone(), tidy_value(atom.member(name).0, member)));
            Value::Object(tidied.collect())
        }
        (Atom::Keyed(..), Value::Array(items)) => {
            Value::Array(items.iter().map(|item| tidy_value(atom.item(), item)).collect())
        }
        _ => value.clone(),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// The set with every struct field that leads to a member made one itself. Pruning
/// needs it: who owned everything in a field owned the field.
pub(super) fn with_named_fields(set: &Set, atom: Atom<'_>) -> Set {
    let mut named = Set::default();
    for (element, node) in set.nodes() {
        let known = match (atom, element) {
            (Atom::Struct(ty), Element::Field(name)) => lookup::field(ty, name).is_some(),
            _ => false,
        };
        let below = with_named_fields(&node.below, atom.below(element));
        named.put(element.clone(), Node { member: node.member || known, below });
    }
    named
}

/// The set as the schema has it today: what is owned inside a leaf owns the leaf.
pub(super) fn fit(set: &Set, atom: Atom<'_>) -> Set {
    let mut fitted = Set::default();
    for (element, node) in set.nodes() {
        let inner = atom.below(element);
        let node = match inner {
            Atom::Leaf => Node { member: true, below: Set::default() },
            _ => Node { member: node.member, below: fit(&node.below, inner) },
        };
        fitted.put(element.clone(), node);
    }
    fitted
}

/// The fields an applied configuration names.
pub(super) fn fields_of(ty: &Type, value: &Value) -> Set {
    let mut set = Set::default();
    collect(Atom::Struct(ty), value, &mut Vec::new(), &mut set);
    set
}

fn collect(atom: Atom<'_>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    match (atom, value) {
        (Atom::Struct(_) | Atom::Map(_), Value::Object(members)) => {
            for (name, member) in members {
                path.push(Element::field(name));
                collect(atom.member(name).0, member, path, set);
                let is_empty = member.is_null() || member.as_object().is_some_and(serde_json::Map::is_empty);
                if is_empty || matches!(atom, Atom::Map(_)) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Atom::Set | Atom::Keyed(..), Value::Array(items)) => {
            for item in items {
                let Some(element) = atom.element(item) else {
                    continue;
                };
                path.push(element);
                collect(atom.item(), item, path, set);
                set.insert(path);
                path.pop();
            }
        }
        (Atom::Struct(_) | Atom::Map(_) | Atom::Set | Atom::Keyed(..), Value::Null) => {}
        _ => set.insert(path),
    }
}
