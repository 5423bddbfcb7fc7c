//! Bytes of a request to JSON values that fit the schema table, and back.
//!
//! In: JSON, YAML or protobuf of untrusted origin. Out: a value in which every
//! member is known, has its field's JSON type and is written as the real server
//! writes it; or the first fault with its path. Pure; nothing a client sends
//! makes it panic or recurse without bound.

mod fit;
#[cfg(test)]
pub(crate) mod generated;
mod json;
pub mod protobuf;
mod quantity;
mod scalar;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use serde_json::Value;

use crate::model::schema::Type;

pub use fit::{fill, prune};

/// Levels of nesting of a body: the deepest served kind has 14.
pub const DEPTH_MAX: usize = 64;

/// Scalars, lists and objects of one body: 1,000 endpoints in a slice have about 12,000.
pub const NODES_MAX: usize = 500_000;

/// Unknown and duplicate fields that are told of one body.
pub const PROBLEMS_MAX: usize = 100;

/// A decoded body and what strict field validation complains of.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value, pruned to the schema.
    pub value: Value,
    /// Duplicate fields, then unknown ones; at most [`PROBLEMS_MAX`].
    pub problems: Vec<FieldProblem>,
}

/// A field that strict validation refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// The schema has no such field; it was dropped.
    Unknown {
        /// For instance `spec.ports[0].foo`.
        path: String,
    },
    /// The key stands twice; the last one counts.
    Duplicate {
        /// For instance `spec.type`.
        path: String,
    },
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldProblem::Unknown { path } => write!(f, "unknown field \"{path}\""),
            FieldProblem::Duplicate { path } => write!(f, "duplicate field \"{path}\""),
        }
    }
}

/// Why a body could not be decoded: always the client's fault (400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no JSON.
    #[error("{0}")]
    Json(String),
    /// The bytes are no YAML document.
    #[error("{0}")]
    Yaml(String),
    /// A member has another JSON type than its field.
    #[error("cannot decode {found} into field {path} of type {expected}")]
    Shape {
        /// Where; the type's name for the whole body.
        path: String,
        /// The JSON type found, or the value where its type is right.
        found: String,
        /// The field's type.
        expected: &'static str,
    },
    /// Deeper or larger than a body may be.
    #[error("{0}")]
    Limit(String),
    /// The bytes are no protobuf of this type.
    #[error("protobuf: {0}")]
    Protobuf(&'static str),
}

/// Decodes a JSON body.
///
/// # Errors
/// No JSON, or a member of the wrong type.
pub fn decode_json(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let read = json::read(bytes)?;
    with_duplicates(prune(ty, read.value)?, read.duplicates.into_iter())
}

/// Decodes a YAML body (YAML 1.1, as kubectl reads it).
///
/// # Errors
/// No YAML, more than one document, or a member of the wrong type.
pub fn decode_yaml(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let parsed = crate::manifest::yaml::from_slice(bytes).map_err(|fault| DecodeError::Yaml(fault.to_string()))?;
    with_duplicates(prune(ty, parsed.value)?, parsed.duplicates.into_iter().map(|found| found.path))
}

/// Reads JSON that no table describes, with duplicate keys and the same limits:
/// merge patches and JSON patches.
///
/// # Errors
/// No JSON, or too deep or large.
pub fn read_json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let read = json::read(bytes)?;
    with_duplicates(Decoded { value: read.value, problems: Vec::new() }, read.duplicates.into_iter())
}

fn with_duplicates(decoded: Decoded, paths: impl Iterator<Item = String>) -> Result<Decoded, DecodeError> {
    let duplicates = paths.map(|path| FieldProblem::Duplicate { path });
    let problems = duplicates.chain(decoded.problems).take(PROBLEMS_MAX).collect();
    Ok(Decoded { value: decoded.value, problems })
}
