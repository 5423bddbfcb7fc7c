//! Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes'
//! strategic merge patch. In comes the current object and the patch, out goes the
//! patched object or the reason it was refused. Pure.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::model::schema::Type;
use limit::{JSON_DEPTH_MAX, OBJECT_BYTES_MAX, measure};

pub(in crate::api) mod limit;
mod list;
pub(in crate::api) mod lookup;
mod strategic;
#[cfg(test)]
mod tests;

/// Most operations of one JSON patch, as the real server has it.
const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;

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

impl PatchError {
    fn too_large(message: impl Into<String>) -> PatchError {
        PatchError::TooLarge { message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> PatchError {
        PatchError::BadRequest { message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> PatchError {
        PatchError::Invalid { message: message.into() }
    }
}

/// Applies an RFC 6902 patch, all operations or none.
pub fn json_patch(current: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(patch)
        .map_err(|error| PatchError::bad_request(format!("error decoding patch: {error}")))?;
    // A list of operations, only not of ones there are: that does not fit the object.
    let operations = Value::Array(operations.into_iter().map(Value::Object).collect());
    let patch: json_patch::Patch =
        serde_json::from_value(operations).map_err(|error| PatchError::invalid(error.to_string()))?;
    let count = patch.0.len();
    if count > JSON_PATCH_OPERATIONS_MAX {
        return Err(PatchError::too_large(format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {count}"
        )));
    }
    let mut patched = current.clone();
    let mut budget = OBJECT_BYTES_MAX;
    for operation in &patch.0 {
        admit(&patched, operation, &mut budget)?;
        if tests_for_absence(&patched, operation) {
            continue;
        }
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation))
            .map_err(|error| PatchError::invalid(format!("{operation}: {}", error.kind)))?;
    }
    finish(patched)
}

/// Whether the operation tests that a member which is not there is null: true
/// to Kubernetes, false to RFC 6902. Clients add their first finalizer so.
fn tests_for_absence(document: &Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let parent = test.path.parent().and_then(|parent| document.pointer(parent.as_str()));
    test.value.is_null() && document.pointer(test.path.as_str()).is_none() && parent.is_some_and(Value::is_object)
}

/// Refuses an operation that would nest too deep or, with those before it, copy too much.
fn admit(document: &Value, operation: &PatchOperation, budget: &mut usize) -> Result<(), PatchError> {
    let placed = match operation {
        PatchOperation::Add(add) => measure(&add.value),
        PatchOperation::Replace(replace) => measure(&replace.value),
        PatchOperation::Test(test) => measure(&test.value),
        PatchOperation::Remove(_) => return Ok(()),
        PatchOperation::Move(_) | PatchOperation::Copy(_) => {
            let Some(source) = source(operation).and_then(|from| document.pointer(from)) else {
                return Ok(());
            };
            let moved = measure(source);
            *budget = budget.checked_sub(moved.bytes).ok_or_else(|| {
                PatchError::too_large(format!("the copies in a JSON patch are limited to {OBJECT_BYTES_MAX} bytes"))
            })?;
            moved
        }
    };
    let above = operation.path().as_str().matches('/').count();
    if above + placed.depth > JSON_DEPTH_MAX { Err(too_deep()) } else { Ok(()) }
}

fn source(operation: &PatchOperation) -> Option<&str> {
    match operation {
        PatchOperation::Move(moved) => Some(moved.from.as_str()),
        PatchOperation::Copy(copied) => Some(copied.from.as_str()),
        PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Replace(_) | PatchOperation::Test(_) => {
            None
        }
    }
}

/// Applies an RFC 7386 merge patch.
pub fn merge_patch(current: &Value, patch: &Value) -> Result<Value, PatchError> {
    expect_object(patch)?;
    let mut patched = current.clone();
    json_patch::merge(&mut patched, patch);
    finish(patched)
}

/// Applies a strategic merge patch by the merge keys of `ty`.
pub fn strategic(ty: &Type, current: &Value, patch: &Value) -> Result<Value, PatchError> {
    expect_object(patch)?;
    if !limit::is_shallow(current) {
        return Err(too_deep());
    }
    finish(strategic::patch_object(ty, current, patch)?)
}

fn expect_object(patch: &Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::bad_request("Invalid JSON Patch: not an object"));
    }
    if limit::is_shallow(patch) { Ok(()) } else { Err(too_deep()) }
}

fn finish(patched: Value) -> Result<Value, PatchError> {
    if !patched.is_object() {
        return Err(PatchError::invalid("the patch leaves something that is not an object"));
    }
    if measure(&patched).bytes > OBJECT_BYTES_MAX {
        return Err(PatchError::too_large(format!("the patched object is limited to {OBJECT_BYTES_MAX} bytes")));
    }
    Ok(patched)
}

fn too_deep() -> PatchError {
    PatchError::bad_request(format!("exceeded max depth: {JSON_DEPTH_MAX}"))
}
