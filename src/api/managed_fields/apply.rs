//! Server-side apply: lay the configuration over the live object, take away what
//! the manager no longer names, refuse what another manager owns.

use serde_json::Value;

use super::compare::compare;
use super::entry::{Identity, Managers, Operation, Owned};
use super::set::Set;
use super::shape::{self, Atom};
use super::{ApplyError, Conflict, Writer, metadata, path};
use super::{merge, reset_fields, stripped, take_fields, written_by};
use crate::model::schema::Type;

/// The owner of everything in an object that nobody has owned so far.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager of kubectl's apply, for which the last applied configuration counts.
const KUBECTL: &str = "kubectl";

/// Where client-side apply keeps the last applied configuration.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object after an apply, without `managedFields`, and who owns it.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) object: Value,
    pub(super) managers: Managers,
}

/// Applies `applied`, which has been checked, to `live` (tidy and without `managedFields`).
pub(super) fn apply(
    ty: &Type,
    live: &Value,
    managers: &Managers,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Applied, ApplyError> {
    let applied = configuration(ty, applied, writer);
    let identity = Identity::new(Operation::Apply, writer.manager, writer.api_version, writer.subresource);
    let reset = reset_fields(ty, writer.subresource);
    let last = managers.0.get(&identity).cloned();
    let names = shape::fields_of(ty, &applied).without_trees(&reset);

    let mut after = managers.clone();
    let owned = Owned { set: names.clone(), api_version: writer.api_version.to_owned(), time: None };
    after.0.insert(identity.clone(), owned);
    let merged = merge::merge(ty, live, &applied);
    let object = match &last {
        Some(last) => prune(ty, merged, &after, &last.set),
        None => merged,
    };
    let object = shape::tidy(ty, &object);

    let changes = compare(ty, live, &object).ignoring(&reset);
    let written = changes.written();
    let conflicts = conflicts(&after, &identity, &written);
    if !force && !conflicts.is_empty() {
        let allowed = if writer.manager == KUBECTL { last_applied(ty, live, writer) } else { Set::default() };
        let left: Vec<Conflict> =
            conflicts.into_iter().filter(|(path, _)| !allowed.contains(path)).map(|(_, conflict)| conflict).collect();
        if !left.is_empty() {
            return Err(ApplyError::Conflict(left));
        }
    }
    for (other, owned) in &mut after.0 {
        if *other != identity {
            owned.set = owned.set.difference(&written).difference(&changes.removed);
        }
    }
    let set = stripped(&names);
    let changed = object != *live || last.as_ref().is_none_or(|last| last.set != set);
    let time = if changed { Some(writer.time.to_owned()) } else { last.and_then(|last| last.time) };
    after.0.insert(identity, Owned { set, api_version: writer.api_version.to_owned(), time });
    after.0.retain(|_, owned| !owned.set.is_empty());
    Ok(Applied { object, managers: after })
}

/// The configuration as far as it can be applied: null is absent, and what the
/// write cannot change (status, server-set metadata) would only make a no-op look
/// like a change.
fn configuration(ty: &Type, applied: &Value, writer: &Writer<'_>) -> Value {
    let mut applied = without_nulls(applied);
    let reset = reset_fields(ty, writer.subresource);
    applied = merge::remove(ty, &applied, &reset);
    if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in ["creationTimestamp", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            metadata.remove(name);
        }
    }
    applied
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name.clone(), without_nulls(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

/// Takes away what the manager applied last time (`last`) and neither it nor
/// anybody else owns now.
fn prune(ty: &Type, merged: Value, managers: &Managers, last: &Set) -> Value {
    let named = |set: &Set| shape::with_named_fields(set, Atom::Struct(ty));
    let last = named(last);
    let pruned = merge::remove(ty, &merged, &last);

    let all = named(&shape::fields_of(ty, &merged));
    let owned = managers.0.values().fold(Set::default(), |owned, manager| owned.union(&manager.set));
    let kept = named(&shape::fields_of(ty, &pruned)).union(&named(&owned));
    let pruned = merge::remove(ty, &merged, &all.difference(&kept));

    // Removing a list item takes what others left in it: only what we owned may go.
    let kept = named(&shape::fields_of(ty, &pruned));
    merge::remove(ty, &merged, &all.difference(&kept).intersection(&last))
}

fn conflicts(managers: &Managers, applier: &Identity, written: &Set) -> Vec<(Vec<path::Element>, Conflict)> {
    let mut conflicts = Vec::new();
    for (identity, owned) in managers.0.iter().filter(|(identity, _)| *identity != applier) {
        for path in owned.set.intersection(written).paths() {
            let conflict = Conflict {
                field: path::display(&path),
                manager: identity.manager.clone(),
                subresource: (!identity.subresource.is_empty()).then(|| identity.subresource.clone()),
                via: (identity.operation == Operation::Update).then(|| owned.api_version.clone()),
            };
            conflicts.push((path, conflict));
        }
    }
    conflicts
}

/// What kubectl's client-side apply set and nobody changed since: the user moves
/// from one apply to the other and owns it already.
fn last_applied(ty: &Type, live: &Value, writer: &Writer<'_>) -> Set {
    let Some(last) = last_applied_text(live).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Set::default();
    };
    if last.get("apiVersion").and_then(Value::as_str) != Some(writer.api_version) {
        return Set::default();
    }
    let last = without_nulls(&last);
    let since = compare(ty, &last, live);
    shape::fields_of(ty, &last).difference(&since.written()).difference(&since.removed)
}

fn last_applied_text(object: &Value) -> Option<&str> {
    let text = metadata(object, "annotations")?.get(LAST_APPLIED)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// Keeps the annotation of client-side apply true, so that the user can go back.
pub(super) fn refresh_last_applied(object: &mut Value, applied: &Value, writer: &Writer<'_>) {
    if writer.manager != KUBECTL || last_applied_text(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(annotation) = annotations.and_then(|annotations| annotations.get_mut(LAST_APPLIED)) {
        *annotation = Value::String(format!("{applied}\n"));
    }
}

/// Who owns `live` when nobody was tracked: one manager owns all of it.
pub(super) fn before_first_apply(ty: &Type, live: &Value, writer: &Writer<'_>) -> Managers {
    let mut managers = Managers::default();
    let empty = Value::Object(serde_json::Map::new());
    let owner = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
    let mut live = live.clone();
    take_fields(&mut live);
    written_by(ty, &empty, &live, &mut managers, &owner);
    managers
}
