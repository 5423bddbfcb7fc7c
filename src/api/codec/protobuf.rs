//! Kubernetes protobuf by the schema table.

use serde_json::Value;

use super::DecodeError;
use crate::model::schema::Type;

/// What `application/vnd.kubernetes.protobuf` wraps a message in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// For instance `v1`.
    pub api_version: String,
    /// For instance `Service`.
    pub kind: String,
    /// The message.
    pub raw: &'a [u8],
}

/// Decodes a message.
///
/// # Errors
/// Bytes that are no such message.
pub fn decode(_ty: &'static Type, _bytes: &[u8]) -> Result<Value, DecodeError> {
    Err(DecodeError::Protobuf("not served"))
}

/// Encodes a value that fits the schema; members the schema lacks are left out.
pub fn encode(_ty: &'static Type, _value: &Value) -> Vec<u8> {
    Vec::new()
}

/// Takes an envelope apart.
///
/// # Errors
/// Bytes without the magic prefix, or no envelope.
pub fn open_envelope(_bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    Err(DecodeError::Protobuf("not served"))
}

/// Wraps a message.
pub fn seal_envelope(_api_version: &str, _kind: &str, _raw: &[u8]) -> Vec<u8> {
    Vec::new()
}
