//! Label and field selectors as queries write them (spec/api.md section 6). Pure.

use super::super::kinds;
use super::super::status::ApiError;
use crate::model::{Kind, Labels, Object, name};

/// Longest selector text; a real one has a few dozen bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What an object must be to be listed or watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
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
            labels: label_requirements(labels.unwrap_or_default())
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
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| *object.key.namespace == *namespace)
            && self.labels.iter().all(|requirement| requirement.holds(&object.meta.labels))
            && self.fields.iter().all(|term| term.holds(object))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let is_in = |values: &[String], value: Option<&str>| values.iter().any(|held| Some(held.as_str()) == value);
        let number = |key: &String| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
            Requirement::In(key, values) => is_in(values, labels.get(key)),
            Requirement::NotIn(key, values) => !is_in(values, labels.get(key)),
            Requirement::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
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

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn label_requirements(text: &str) -> Result<Vec<Requirement>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    terms(text).into_iter().map(requirement).collect()
}

fn requirement(term: &str) -> Result<Requirement, String> {
    if let Some(key) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(checked_key(key)?));
    }
    // `!=` first: `a!=b` also holds an `=`.
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = term.split_once(operator) {
            let (key, values) = (checked_key(key)?, vec![checked_value(value)?]);
            return Ok(if negated { Requirement::NotIn(key, values) } else { Requirement::In(key, values) });
        }
    }
    if let Some((key, bound)) = term.split_once('>') {
        return Ok(Requirement::Greater(checked_key(key)?, checked_number(bound)?));
    }
    if let Some((key, bound)) = term.split_once('<') {
        return Ok(Requirement::Less(checked_key(key)?, checked_number(bound)?));
    }
    if let Some((head, set)) = term.split_once('(') {
        let set = set.trim_end().strip_suffix(')').ok_or_else(|| format!("found '{term}', expected: ')'"))?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let values: Vec<String> = set.split(',').map(checked_value).collect::<Result<_, _>>()?;
        return match (operator, words.next()) {
            ("in", None) => Ok(Requirement::In(checked_key(key)?, values)),
            ("notin", None) => Ok(Requirement::NotIn(checked_key(key)?, values)),
            _ => Err(format!("found '{operator}', expected: in, notin, =, ==, !=, gt, lt")),
        };
    }
    Ok(Requirement::Exists(checked_key(term)?))
}

fn checked_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    let faults = name::qualified_name(key);
    if faults.is_empty() {
        Ok(key.to_owned())
    } else {
        Err(format!("key: Invalid value: \"{key}\": {}", faults.join("; ")))
    }
}

fn checked_value(value: &str) -> Result<String, String> {
    let value = value.trim();
    let faults = name::label_value(value);
    if faults.is_empty() {
        Ok(value.to_owned())
    } else {
        Err(format!("values[0]: Invalid value: \"{value}\": {}", faults.join("; ")))
    }
}

fn checked_number(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: \"{text}\""))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().copied().collect();
        label_requirements(selector).unwrap().iter().all(|requirement| requirement.holds(&labels))
    }

    #[test]
    fn every_operator_selects_as_kubernetes_does() {
        let web = [("app", "web"), ("tier", "2")];
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("none!=x", true),
            ("app in (db, web)", true),
            ("app notin (web)", false),
            ("none notin (web)", true),
            ("!app", false),
            ("!none", true),
            ("tier>1", true),
            ("tier<2", false),
            ("", true),
        ] {
            assert_eq!(holds(selector, &web), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in ["app in (a", "app like (a)", "=a", "a=b c", "a,,b", "app=-"] {
            assert!(label_requirements(selector).is_err(), "{selector}");
        }
    }
}
