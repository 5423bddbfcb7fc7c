//! One fault of one field, as `details.causes[]` of a Status shows it
//! (spec/service.md, head; spec/api.md section 5).

use std::fmt;

/// Why a field was refused: the `reason` of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueTooMany`
    TooMany,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
}

impl Reason {
    /// The machine-readable word of `details.causes[].reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Invalid => "FieldValueInvalid",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooMany => "FieldValueTooMany",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Reason::Invalid => "Invalid value",
            Reason::Required => "Required value",
            Reason::Duplicate => "Duplicate value",
            Reason::NotSupported => "Unsupported value",
            Reason::Forbidden => "Forbidden",
            Reason::TooMany => "Too many",
            Reason::TooLong => "Too long",
            Reason::TypeInvalid => "Invalid value",
        }
    }
}

/// A fault of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Why.
    pub reason: Reason,
    /// Where, for instance `spec.ports[0].name`.
    pub field: String,
    /// `Invalid value: "x": must be …`, without the field.
    pub message: String,
}

impl Cause {
    fn with(reason: Reason, field: impl Into<String>, value: Option<String>, detail: &str) -> Cause {
        let mut message = reason.words().to_owned();
        for part in value.as_deref().into_iter().chain(Some(detail).filter(|d| !d.is_empty())) {
            message.push_str(": ");
            message.push_str(part);
        }
        Cause { reason, field: field.into(), message }
    }

    /// The value breaks a rule. `value` is printed as JSON.
    pub fn invalid(field: impl Into<String>, value: &serde_json::Value, detail: &str) -> Cause {
        Cause::with(Reason::Invalid, field, Some(value.to_string()), detail)
    }

    /// The value is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Cause {
        Cause::with(Reason::Required, field, None, detail)
    }

    /// The value stands there twice.
    pub fn duplicate(field: impl Into<String>, value: &serde_json::Value) -> Cause {
        Cause::with(Reason::Duplicate, field, Some(value.to_string()), "")
    }

    /// The value is not one of `allowed`, which is printed in the order given.
    pub fn not_supported(field: impl Into<String>, value: &serde_json::Value, allowed: &[&str]) -> Cause {
        let quoted: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        Cause::with(Reason::NotSupported, field, Some(value.to_string()), &detail)
    }

    /// The field may not be set (or changed) here.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause::with(Reason::Forbidden, field, None, detail)
    }

    /// More items than the limit.
    pub fn too_many(field: impl Into<String>, actual: usize, limit: usize) -> Cause {
        Cause::with(Reason::TooMany, field, Some(actual.to_string()), &format!("must have at most {limit} items"))
    }

    /// Longer than the limit.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Cause {
        Cause::with(Reason::TooLong, field, None, &format!("may not be more than {limit} bytes"))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
