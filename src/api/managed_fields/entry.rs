//! The entries of `metadata.managedFields`: who owns what since when.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::set::Set;

/// Most Update entries of one object; the oldest beyond it become one.
pub(super) const UPDATE_ENTRIES_MAX: usize = 10;

/// The manager that holds what the oldest Update managers held.
const ANCIENT: &str = "ancient-changes";

/// How fields were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// What makes an entry one. Apply managers are one across versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Empty for Apply.
    pub(super) version: String,
    pub(super) subresource: String,
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) set: Set,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
}

/// All entries of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Managers(pub(super) BTreeMap<Identity, Owned>);

/// Entries that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Identity {
    pub(super) fn new(operation: Operation, manager: &str, api_version: &str, subresource: Option<&str>) -> Identity {
        let version = match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.to_owned(),
        };
        let manager = if manager.is_empty() { "unknown" } else { manager };
        Identity {
            manager: manager.to_owned(),
            operation,
            version,
            subresource: subresource.unwrap_or_default().to_owned(),
        }
    }
}

impl Managers {
    /// Reads `metadata.managedFields`; absent is no entry.
    pub(super) fn decode(list: Option<&Value>) -> Result<Managers, Unreadable> {
        let mut managers = Managers::default();
        let entries = match list {
            None | Some(Value::Null) => return Ok(managers),
            Some(list) => list.as_array().ok_or(Unreadable)?,
        };
        for entry in entries {
            let (identity, owned) = decode_entry(entry)?;
            managers.0.insert(identity, owned);
        }
        Ok(managers)
    }

    /// As `metadata.managedFields`, oldest first; `None` without entries.
    pub(super) fn encode(&self) -> Option<Value> {
        let mut entries: Vec<(&Identity, &Owned)> = self.0.iter().filter(|(_, owned)| !owned.set.is_empty()).collect();
        entries.sort_by_cached_key(|(identity, owned)| {
            let Identity { manager, operation, subresource, .. } = identity;
            (*operation, owned.seconds(), manager.clone(), owned.api_version.clone(), subresource.clone())
        });
        let list: Vec<Value> = entries.into_iter().map(|(identity, owned)| encode_entry(identity, owned)).collect();
        (!list.is_empty()).then_some(Value::Array(list))
    }

    /// Folds the oldest Update entries of one version into [`ANCIENT`] until there
    /// are at most [`UPDATE_ENTRIES_MAX`].
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<Identity> =
            self.0.keys().filter(|identity| identity.operation == Operation::Update).cloned().collect();
        updates.sort_by_cached_key(|identity| (self.0.get(identity).map(Owned::seconds), identity.clone()));
        let mut excess = updates.len().saturating_sub(UPDATE_ENTRIES_MAX);
        let mut first_of_version: BTreeMap<String, Identity> = BTreeMap::new();
        for identity in updates {
            if excess == 0 {
                return;
            }
            let Some(first) = first_of_version.get(&identity.version).cloned() else {
                first_of_version.insert(identity.version.clone(), identity);
                continue;
            };
            let bucket = Identity::new(Operation::Update, ANCIENT, &identity.version, None);
            let Some(owned) = self.0.remove(&identity) else {
                continue;
            };
            let base = self.0.remove(&bucket).or_else(|| self.0.remove(&first));
            let set = base.map_or_else(|| owned.set.clone(), |base| base.set.union(&owned.set));
            self.0.insert(bucket, Owned { set, ..owned });
            excess -= 1;
        }
    }

    /// Whether both say the same but for times.
    pub(super) fn same_but_times(&self, other: &Managers) -> bool {
        let sets = |managers: &Managers| -> BTreeMap<Identity, Set> {
            managers.0.iter().map(|(identity, owned)| (identity.clone(), owned.set.clone())).collect()
        };
        sets(self) == sets(other)
    }
}

impl Owned {
    fn seconds(&self) -> i64 {
        let parsed = self.time.as_deref().and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
        parsed.map_or(0, OffsetDateTime::unix_timestamp)
    }
}

fn decode_entry(entry: &Value) -> Result<(Identity, Owned), Unreadable> {
    let text = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(value) => value.as_str().ok_or(Unreadable),
    };
    let operation = match text("operation")? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(Unreadable),
    };
    let api_version = text("apiVersion")?;
    if api_version.is_empty() || text("fieldsType")? != "FieldsV1" {
        return Err(Unreadable);
    }
    let set = match entry.get("fieldsV1") {
        None | Some(Value::Null) => Set::default(),
        Some(fields) => Set::decode(fields).map_err(|_| Unreadable)?,
    };
    let time = match text("time")? {
        "" => None,
        time => Some(time.to_owned()),
    };
    let subresource = text("subresource")?;
    // The manager stays as written, empty too: it only has to be found again.
    let version = if operation == Operation::Update { api_version.to_owned() } else { String::new() };
    let identity =
        Identity { manager: text("manager")?.to_owned(), operation, version, subresource: subresource.to_owned() };
    Ok((identity, Owned { set, api_version: api_version.to_owned(), time }))
}

fn encode_entry(identity: &Identity, owned: &Owned) -> Value {
    let mut entry = Map::new();
    let operation = match identity.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut put = |name: &str, value: Value| {
        entry.insert(name.to_owned(), value);
    };
    if !identity.manager.is_empty() {
        put("manager", json!(identity.manager));
    }
    put("operation", json!(operation));
    put("apiVersion", json!(owned.api_version));
    if let Some(time) = &owned.time {
        put("time", json!(time));
    }
    put("fieldsType", json!("FieldsV1"));
    put("fieldsV1", owned.set.encode());
    if !identity.subresource.is_empty() {
        put("subresource", json!(identity.subresource));
    }
    Value::Object(entry)
}
