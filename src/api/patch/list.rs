//! Strategic merge of lists. Lists of objects merge by the field's merge key, lists
//! of primitives as sets, all others are replaced. The order of the result: what
//! the patch names stands in the patch's order, the rest in the order of the
//! current list, and both are interleaved as the current list has them, new items
//! first.

use serde_json::{Map, Value};

use super::PatchError;
use super::strategic::{self, Member, PATCH};
use crate::model::schema::Patch;

/// Most items of a merged list. Items are found by walking the list, so the work
/// grows with the square; real lists of these kinds hold dozens.
const MERGED_ITEMS_MAX: usize = 4096;

/// By what items are told apart.
#[derive(Clone, Copy)]
enum Key {
    /// The value of this field.
    Field(&'static str),
    /// The item itself.
    Whole,
}

impl Key {
    fn of(member: Member<'_>) -> Option<Key> {
        match member.patch {
            Patch::Merge(key) | Patch::MergeRetainKeys(key) => Some(Key::Field(key)),
            Patch::MergeSet => Some(Key::Whole),
            Patch::Default | Patch::Replace | Patch::RetainKeys => None,
        }
    }

    fn read(self, item: &Value) -> Option<&Value> {
        match self {
            Key::Field(name) => item.as_object()?.get(name),
            Key::Whole => strategic::is_primitive(item).then_some(item),
        }
    }

    fn require<'v>(self, item: &'v Value, path: &str) -> Result<&'v Value, PatchError> {
        self.read(item).ok_or_else(|| {
            PatchError::invalid(match self {
                Key::Field(name) => format!("{path}: {item} does not contain declared merge key: {name}"),
                Key::Whole => format!("{path}: list element types are not identical: {item}"),
            })
        })
    }

    fn position(self, list: &[Value], key: Option<&Value>) -> Option<usize> {
        key.and_then(|key| list.iter().position(|item| self.read(item) == Some(key)))
    }
}

/// Merges `patch` into `current`.
pub(super) fn merge(
    member: Member<'_>,
    current: Vec<Value>,
    patch: &[Value],
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    let Some(key) = Key::of(member) else {
        return Ok(patch.iter().filter_map(strategic::clean).collect());
    };
    require_size(&current, path)?;
    require_size(patch, path)?;
    let (current, patch) = match key {
        Key::Field(_) => special_items(key, current, patch, path)?,
        Key::Whole => (current, patch.to_vec()),
    };
    require_all(key, &current, path)?;
    require_all(key, &patch, path)?;
    let merged = match key {
        Key::Field(_) => merge_items(member, key, current.clone(), &patch, path)?,
        Key::Whole => unite(&current, &patch),
    };
    Ok(arrange(key, merged, &patch, &current))
}

/// Merges as [`merge`], then orders by `order`, the list of `$setElementOrder/`.
/// `None` when there is nothing to order.
pub(super) fn merge_ordered(
    member: Member<'_>,
    current: Option<Vec<Value>>,
    patch: Option<&Vec<Value>>,
    order: &[Value],
    path: &str,
) -> Result<Option<Vec<Value>>, PatchError> {
    let key = Key::of(member).unwrap_or(Key::Whole);
    require_all(key, order, path)?;
    if let Some(patch) = patch {
        follow(key, patch, order, path)?;
    }
    let server = current.clone().unwrap_or_default();
    let merged = match (current, patch) {
        (None, None) => return Ok(None),
        (Some(current), None) => current,
        (None, Some(patch)) => patch.iter().filter_map(strategic::clean).collect(),
        (Some(current), Some(patch)) => merge(member, current, patch, path)?,
    };
    require_all(key, &merged, path)?;
    Ok(Some(arrange(key, merged, order, &server)))
}

/// The items of the patch must stand in the order's order, and all be in it.
fn follow(key: Key, patch: &[Value], order: &[Value], path: &str) -> Result<(), PatchError> {
    if order.is_empty() {
        return Ok(());
    }
    let mut ordered = order.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        let wanted = key.require(item, path)?;
        if !ordered.any(|other| key.read(other) == Some(wanted)) {
            return Err(PatchError::invalid(format!("{path}: the order in the patch does not match $setElementOrder")));
        }
    }
    Ok(())
}

fn require_all(key: Key, items: &[Value], path: &str) -> Result<(), PatchError> {
    require_size(items, path)?;
    items.iter().try_for_each(|item| key.require(item, path).map(drop))
}

/// Refuses a list that is too long to be searched item by item.
pub(super) fn require_size(items: &[Value], path: &str) -> Result<(), PatchError> {
    if items.len() > MERGED_ITEMS_MAX {
        return Err(PatchError::too_large(format!("{path}: merged lists are limited to {MERGED_ITEMS_MAX} items")));
    }
    Ok(())
}

/// Obeys the `$patch` items and returns what is left of both lists.
fn special_items(
    key: Key,
    mut current: Vec<Value>,
    patch: &[Value],
    path: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::new();
    let mut replace = false;
    for item in patch {
        match item.get(PATCH) {
            None => plain.push(item.clone()),
            Some(Value::String(directive)) if directive == "delete" => {
                let doomed = key.require(item, path)?;
                current.retain(|other| key.read(other) != Some(doomed));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(PatchError::invalid(format!("{path}: merging lists cannot yet be specified in the patch")));
            }
            Some(directive) => return Err(strategic::unknown_directive(directive, path)),
        }
    }
    if replace {
        let replaced = plain.iter().filter_map(strategic::clean).collect();
        return Ok((replaced, Vec::new()));
    }
    Ok((current, plain))
}

fn merge_items(
    member: Member<'_>,
    key: Key,
    mut merged: Vec<Value>,
    patch: &[Value],
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    for item in patch {
        let wanted = key.require(item, path)?;
        let found = merged.iter_mut().find(|other| key.read(other) == Some(wanted));
        match (found, item) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let at = format!("{path}[{wanted}]");
                let before: Map<String, Value> = std::mem::take(old);
                *old = strategic::merge_object(member.inner, before, new, &at)?;
            }
            (Some(_), _) | (None, _) => merged.extend(strategic::clean(item)),
        }
    }
    Ok(merged)
}

fn unite(current: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut both: Vec<Value> = Vec::with_capacity(current.len() + patch.len());
    for item in current.iter().chain(patch) {
        if !both.contains(item) {
            both.push(item.clone());
        }
    }
    both
}

/// Orders `merged`: items of `first` in its order, the others in that of `server`,
/// interleaved by `server`.
fn arrange(key: Key, merged: Vec<Value>, first: &[Value], server: &[Value]) -> Vec<Value> {
    let rank = |list: &[Value], item: &Value| key.position(list, key.read(item));
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| rank(first, item).is_some());
    named.sort_by_cached_key(|item| rank(first, item));
    rest.sort_by_cached_key(|item| rank(server, item).unwrap_or(usize::MAX));

    let mut arranged = Vec::with_capacity(named.len() + rest.len());
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    loop {
        let rest_first = match (rest.peek(), named.peek()) {
            (None, None) => return arranged,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(left), Some(right)) => {
                matches!((rank(server, left), rank(server, right)), (Some(left), Some(right)) if left < right)
            }
        };
        arranged.extend(if rest_first { rest.next() } else { named.next() });
    }
}
