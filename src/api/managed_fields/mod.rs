//! Who owns which field: `metadata.managedFields`, and server-side apply, which
//! is decided by it. Pure: the time of a write comes with its [`Writer`].

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::api::patch::limit::{JSON_DEPTH_MAX, is_shallow};
use crate::api::patch::lookup;
use crate::model::schema::Type;
use compare::compare;
use entry::{Identity, Managers, Operation, Owned};
use path::Element;
use set::Set;
use shape::Atom;

mod apply;
mod compare;
mod entry;
#[cfg(test)]
mod laws;
mod merge;
mod path;
mod set;
mod shape;
#[cfg(test)]
mod tests;

/// Metadata that is in no set: identity, and what the server writes.
const STRIPPED: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Who writes, through which version and subresource, and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The `fieldManager` of the request, or the product in its User-Agent.
    pub manager: &'a str,
    /// The apiVersion written through, for instance `v1`.
    pub api_version: &'a str,
    /// The subresource written to, for instance `status`.
    pub subresource: Option<&'a str>,
    /// Now, RFC 3339 in seconds.
    pub time: &'a str,
}

/// A field another manager owns with a different value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The field's path, for instance `.data.a` or `.spec.ports[port=80,protocol="TCP"].name`.
    pub field: String,
    /// The manager that owns it.
    pub manager: String,
    /// Its subresource, if it writes through one.
    pub subresource: Option<String>,
    /// The apiVersion it wrote through, when it is an Update manager.
    pub via: Option<String>,
}

impl fmt::Display for Conflict {
    /// The message of the cause in the API's answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conflict with {:?}", self.manager)?;
        if let Some(subresource) = &self.subresource {
            write!(f, " with subresource {subresource:?}")?;
        }
        match &self.via {
            Some(version) => write!(f, " using {version}"),
            None => Ok(()),
        }
    }
}

/// Why an applied configuration was refused; each variant is one answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields with other values: 409, one cause each.
    #[error("{}", conflict_message(.0))]
    Conflict(Vec<Conflict>),
    /// The configuration is not one that can be applied: 400.
    #[error("{message}")]
    BadRequest {
        /// What is wrong with it.
        message: String,
    },
    /// The configuration contradicts the schema, for instance by two list items with one key: 422.
    #[error("{field}: {message}")]
    Invalid {
        /// The field's path.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {one}: {}", one.field);
    }
    let mut by_manager: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        let manager = conflict.to_string().replacen("conflict", "conflicts", 1);
        by_manager.entry(manager).or_default().push(&conflict.field);
    }
    let lines: Vec<String> = by_manager
        .into_iter()
        .flat_map(|(manager, fields)| {
            std::iter::once(format!("{manager}:")).chain(fields.into_iter().map(|field| format!("- {field}")))
        })
        .collect();
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Rewrites `new.metadata.managedFields` after a create or update.
///
/// `live` is the stored object (`None` on create), `decoded` what the client sent
/// or patched after static defaulting and before anything the server allocates,
/// `new` the object about to be stored. Static defaults are owned by who wrote the
/// object, allocations by nobody.
pub fn track_update(ty: &Type, live: Option<&Value>, decoded: &Value, new: &mut Value, writer: &Writer<'_>) {
    let sent = metadata(decoded, "managedFields");
    let mut managers = starting_managers(ty, live, sent, writer);
    take_fields(new);
    // Who cleared the entries of a stored object wants them gone until an apply.
    if managers.0.is_empty() && live.is_some() {
        return;
    }
    let empty = Value::Object(Map::new());
    written_by(ty, live.unwrap_or(&empty), decoded, &mut managers, writer);
    managers.cap();
    put_fields(new, &managers);
}

/// The entries a write starts from: those the client sent, or the stored ones when
/// it sent none, sent nonsense, or writes through a subresource.
fn starting_managers(ty: &Type, live: Option<&Value>, sent: Option<&Value>, writer: &Writer<'_>) -> Managers {
    let stored = || fitted(ty, live.and_then(|live| metadata(live, "managedFields"))).unwrap_or_default();
    match sent {
        Some(Value::Array(entries)) if writer.subresource.is_none() => {
            if is_reset(entries) {
                return Managers::default();
            }
            fitted(ty, sent).unwrap_or_else(stored)
        }
        _ => stored(),
    }
}

fn fitted(ty: &Type, list: Option<&Value>) -> Option<Managers> {
    let mut managers = Managers::decode(list).ok()?;
    for owned in managers.0.values_mut() {
        owned.set = shape::fit(&owned.set, Atom::Struct(ty));
    }
    Some(managers)
}

/// `[]` and `[{}]` clear the entries.
fn is_reset(entries: &[Value]) -> bool {
    match entries {
        [] => true,
        [Value::Object(entry)] => entry.is_empty(),
        _ => false,
    }
}

/// Gives `writer` what it changed between `old` and `new`, and takes it, and what
/// was removed, from everybody else.
fn written_by(ty: &Type, old: &Value, new: &Value, managers: &mut Managers, writer: &Writer<'_>) {
    let changes = compare(ty, old, new).ignoring(&reset_fields(ty, writer.subresource));
    let written = changes.written();
    for owned in managers.0.values_mut() {
        owned.set = owned.set.difference(&written).difference(&changes.removed);
    }
    let gained = stripped(&written);
    let identity = Identity::new(Operation::Update, writer.manager, writer.api_version, writer.subresource);
    if !gained.is_empty() {
        let before = managers.0.get(&identity).map(|owned| owned.set.clone()).unwrap_or_default();
        let time = Some(writer.time.to_owned());
        let owned = Owned { set: before.union(&gained), api_version: writer.api_version.to_owned(), time };
        managers.0.insert(identity, owned);
    }
    managers.0.retain(|_, owned| !owned.set.is_empty());
}

/// What a write through this (sub)resource cannot change: the main resource of a
/// kind with a status leaves the status alone, and the other way round.
fn reset_fields(ty: &Type, subresource: Option<&str>) -> Set {
    let paths: &[&[&str]] = match subresource {
        None | Some("finalize") if lookup::field(ty, "status").is_some() => &[&["status"]],
        Some("status") if ty.name == "Pod" => {
            &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
        }
        Some("status") => &[&["spec"]],
        _ => &[],
    };
    paths.iter().map(|path| path.iter().map(|name| Element::field(name)).collect()).collect()
}

/// The set without [`STRIPPED`], type and metadata itself.
fn stripped(set: &Set) -> Set {
    let tops = ["apiVersion", "kind", "metadata"].into_iter().map(|name| vec![Element::field(name)]);
    let metadata = STRIPPED.iter().map(|name| vec![Element::field("metadata"), Element::field(name)]);
    set.difference(&tops.chain(metadata).collect())
}

/// A member of the object's metadata; null is none.
fn metadata<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(name).filter(|value| !value.is_null())
}

fn take_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

fn put_fields(object: &mut Value, managers: &Managers) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(metadata), Some(fields)) = (metadata, managers.encode()) {
        metadata.insert("managedFields".to_owned(), fields);
    }
}

/// Server-side apply: merges `applied` into `live` and returns the object with its
/// `managedFields`, equal to `live` when nothing changes. Static defaults and
/// allocations are left to the caller.
pub fn apply(
    ty: &Type,
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    admit(ty, applied, writer)?;
    let mut base = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let stored = fitted(ty, metadata(&base, "managedFields")).unwrap_or_default();
    take_fields(&mut base);
    let base = shape::tidy(ty, &base);
    let managers = match live {
        Some(live) if stored.0.is_empty() => apply::before_first_apply(ty, live, writer),
        _ => stored.clone(),
    };
    let mut after = apply::apply(ty, &base, &managers, applied, writer, force)?;
    apply::refresh_last_applied(&mut after.object, applied, writer);
    if let (Some(live), true) = (live, after.object == base && after.managers.same_but_times(&stored)) {
        return Ok(live.clone());
    }
    put_fields(&mut after.object, &after.managers);
    Ok(after.object)
}

fn admit(ty: &Type, applied: &Value, writer: &Writer<'_>) -> Result<(), ApplyError> {
    let bad = |message: String| Err(ApplyError::BadRequest { message });
    if !applied.is_object() || !is_shallow(applied) {
        return bad(format!("the applied configuration must be an object nested at most {JSON_DEPTH_MAX} deep"));
    }
    if metadata(applied, "managedFields").is_some() {
        return bad("metadata.managedFields must be nil".to_owned());
    }
    match applied.get("apiVersion").and_then(Value::as_str) {
        Some(version) if version == writer.api_version => {}
        Some(version) => {
            let expected = writer.api_version;
            return bad(format!(
                "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {expected}"
            ));
        }
        None => return bad("Object 'apiVersion' is missing".to_owned()),
    }
    merge::check(ty, applied).map_err(|item| ApplyError::Invalid {
        field: item.field.trim_start_matches('.').to_owned(),
        message: item.message,
    })
}
