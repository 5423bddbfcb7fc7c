//! Who owns which field: `metadata.managedFields`, and server-side apply, which
//! is decided by it. Pure: the time of a write comes with its [`Writer`].

use std::fmt;

use serde_json::Value;

use crate::model::schema::Type;

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
    format!("Apply failed with {} conflicts", conflicts.len())
}

/// Rewrites `new.metadata.managedFields` after a create or update.
///
/// `live` is the stored object (`None` on create), `decoded` what the client sent
/// or patched after static defaulting and before anything the server allocates,
/// `new` the object about to be stored.
pub fn track_update(_ty: &Type, _live: Option<&Value>, _decoded: &Value, _new: &mut Value, _writer: &Writer<'_>) {}

/// Server-side apply: merges `applied` into `live` and returns the object with its
/// `managedFields`, equal to `live` when nothing changes.
pub fn apply(
    _ty: &Type,
    _live: Option<&Value>,
    applied: &Value,
    _writer: &Writer<'_>,
    _force: bool,
) -> Result<Value, ApplyError> {
    Ok(applied.clone())
}
