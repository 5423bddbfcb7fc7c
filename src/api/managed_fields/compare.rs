//! The difference of two objects as sets of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::path::Element;
use super::set::Set;
use super::shape::{Atom, Missing};
use crate::model::schema::Type;

static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NULL: Value = Value::Null;

/// What a write did. No field is in more than one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// In the old object only.
    pub(super) removed: Set,
    /// In both with different values.
    pub(super) modified: Set,
    /// In the new object only.
    pub(super) added: Set,
}

impl Comparison {
    /// What the new object has that the old one had not.
    pub(super) fn written(&self) -> Set {
        self.modified.union(&self.added)
    }

    /// Without the fields of `reset` and what is below them.
    pub(super) fn ignoring(self, reset: &Set) -> Comparison {
        Comparison {
            removed: self.removed.without_trees(reset),
            modified: self.modified.without_trees(reset),
            added: self.added.without_trees(reset),
        }
    }
}

/// Compares two objects of type `ty`.
pub(super) fn compare(ty: &Type, old: &Value, new: &Value) -> Comparison {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.value(Atom::Struct(ty), Some(old), Some(new));
    walk.found
}

struct Walk {
    path: Vec<Element>,
    found: Comparison,
}

impl Walk {
    fn value(&mut self, atom: Atom<'_>, old: Option<&Value>, new: Option<&Value>) {
        let descended = match atom {
            Atom::Leaf => false,
            Atom::Struct(_) | Atom::Map(_) => self.members(atom, old, new),
            Atom::Set | Atom::Keyed(..) => self.items(atom, old, new),
        };
        if !descended {
            return self.leaf(old, new);
        }
        if old.is_none() {
            self.found.added.insert(&self.path);
        } else if new.is_none() {
            self.found.removed.insert(&self.path);
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => {}
            (None, Some(_)) => self.found.added.insert(&self.path),
            (Some(_), None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if old != new => self.found.modified.insert(&self.path),
            (Some(_), Some(_)) => {}
        }
    }

    fn below(&mut self, element: Element, atom: Atom<'_>, old: Option<&Value>, new: Option<&Value>) {
        self.path.push(element);
        self.value(atom, old, new);
        self.path.pop();
    }

    /// Compares members; false when both sides are empty or one is no object, and
    /// the value is then a leaf.
    fn members(&mut self, atom: Atom<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
        let (Some(old_members), Some(new_members)) = (members_of(old), members_of(new)) else {
            return false;
        };
        let names: BTreeSet<&String> = old_members.iter().chain(&new_members).flat_map(|m| m.keys()).collect();
        if names.is_empty() {
            return false;
        }
        for name in names {
            let (inner, missing) = atom.member(name);
            let old = member_of(old, old_members, name, missing);
            let new = member_of(new, new_members, name, missing);
            self.below(Element::field(name), inner, old, new);
        }
        true
    }

    /// Compares items by key or value; false as for members.
    fn items(&mut self, atom: Atom<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
        let (Some(old), Some(new)) = (items_of(old), items_of(new)) else {
            return false;
        };
        let (Some(old_keys), Some(new_keys)) = (atom.elements(old), atom.elements(new)) else {
            return false;
        };
        let mut pairs: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (element, item) in old_keys.into_iter().zip(old) {
            pairs.entry(element).or_default().0.push(item);
        }
        for (element, item) in new_keys.into_iter().zip(new) {
            pairs.entry(element).or_default().1.push(item);
        }
        let found_any = !pairs.is_empty();
        for (element, (old, new)) in pairs {
            self.pair(atom, element, &old, &new);
        }
        found_any
    }

    /// Compares the items under one key. Several items under one key are compared
    /// as one value: nothing tells them apart.
    fn pair(&mut self, atom: Atom<'_>, element: Element, old: &[&Value], new: &[&Value]) {
        let (old_first, new_first) = (old.first().copied(), new.first().copied());
        match (old.len() > 1, new.len() > 1) {
            (false, false) => self.below(element, atom.item(), old_first, new_first),
            (true, true) => {
                if old != new {
                    self.mark(element, |found| &mut found.modified);
                }
            }
            (true, false) => {
                if new_first.is_some() {
                    self.below(element.clone(), atom.item(), None, new_first);
                }
                self.mark(element, |found| &mut found.removed);
            }
            (false, true) => {
                if old_first.is_some() {
                    self.below(element.clone(), atom.item(), old_first, None);
                }
                self.mark(element, |found| &mut found.added);
            }
        }
    }

    fn mark(&mut self, element: Element, set: impl Fn(&mut Comparison) -> &mut Set) {
        self.path.push(element);
        set(&mut self.found).insert(&self.path);
        self.path.pop();
    }
}

/// The members of an object; none of an absent or null one; `None` of anything else.
fn members_of(value: Option<&Value>) -> Option<Option<&Map<String, Value>>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(members)) => Some(Some(members)),
        Some(_) => None,
    }
}

fn items_of(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::Array(items)) => Some(items),
        Some(_) => None,
    }
}

/// A member, or what its absence stands for when its holder is there.
fn member_of<'v>(
    holder: Option<&Value>,
    members: Option<&'v Map<String, Value>>,
    name: &str,
    missing: Missing,
) -> Option<&'v Value> {
    let present = members.and_then(|members| members.get(name));
    match missing {
        _ if present.is_some() || holder.is_none() => present,
        Missing::Absent => None,
        Missing::Null => Some(&NULL),
        Missing::Empty => Some(&EMPTY),
    }
}
