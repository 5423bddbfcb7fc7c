//! Label and field selectors as queries write them (spec/api.md section 6). Pure.

use super::super::kinds;
use super::super::status::ApiError;
use crate::model::selector::LabelSelector;
use crate::model::{Kind, Object};

/// Longest selector text; a real one has a few dozen bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What an object must be to be listed or watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    namespace: Option<String>,
    labels: LabelSelector,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl Selection {
    /// Parses both selectors; 400 where one cannot be read.
    pub(super) fn parse(
        kind: Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Selection, ApiError> {
        if labels.map_or(0, str::len).max(fields.map_or(0, str::len)) > TEXT_BYTES_MAX {
            return Err(ApiError::bad_request(format!("selectors longer than {TEXT_BYTES_MAX} bytes are not served")));
        }
        Ok(Selection {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(labels.unwrap_or_default())
                .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?,
            fields: field_terms(kind, fields.unwrap_or_default())?,
        })
    }

    /// Restricts the selection to one name, as the legacy watch of one object does.
    pub(super) fn and_name(mut self, name: &str) -> Selection {
        self.fields.push(FieldTerm { path: "metadata.name".to_owned(), value: name.to_owned(), equal: true });
        self
    }

    /// Whether anything but the namespace selects.
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| *object.key.namespace == *namespace)
            && self.labels.matches(&object.meta.labels)
            && self.fields.iter().all(|term| term.holds(object))
    }
}

impl FieldTerm {
    fn holds(&self, object: &Object) -> bool {
        let actual = match self.path.as_str() {
            "metadata.name" => Some(object.key.name.to_string()),
            "metadata.namespace" => Some(object.key.namespace.to_string()),
            path => kinds::field(object.kind, object, path),
        };
        (actual.unwrap_or_default() == self.value) == self.equal
    }
}

fn field_terms(kind: Kind, text: &str) -> Result<Vec<FieldTerm>, ApiError> {
    let mut found = Vec::new();
    for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
        let (path, value, equal) = [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, equal)| term.split_once(operator).map(|(path, value)| (path, value, equal)))
            .ok_or_else(|| ApiError::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")))?;
        let has_namespace = kind.resource().namespaced || !kinds::has_own_fields(kind);
        let always = path == "metadata.name" || (path == "metadata.namespace" && has_namespace);
        if !always && !kinds::field_supported(kind, path) {
            return Err(ApiError::bad_request(unknown_field(kind, path)));
        }
        found.push(FieldTerm { path: kinds::stored_path(kind, path), value: value.to_owned(), equal });
    }
    Ok(found)
}

/// Kubernetes words it in two ways: for kinds with fields of their own, and others.
fn unknown_field(kind: Kind, path: &str) -> String {
    if kinds::has_own_fields(kind) {
        return format!("field label not supported: {path}");
    }
    format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
}
