//! What is wrong with a question about who may do what
//! (`authorization.k8s.io/v1`), and with a wish for a token.

use serde_json::{Map, Value, json};

use super::read::{list, present, text};
use crate::model::Cause;

/// Checks a review by its kind; `metadata.namespace` is that of the path.
pub fn review_faults(kind: &str, value: &Value) -> Vec<Cause> {
    match kind {
        "SelfSubjectAccessReview" => {
            let mut causes = attributes(value);
            causes.extend(selectors(value));
            causes.extend(metadata(value, "must be empty", &[]));
            causes
        }
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let mut causes = attributes(value);
            if !present(value, "/spec/user") && !present(value, "/spec/groups") {
                let detail = "at least one of user or group must be specified";
                causes.push(Cause::invalid("spec.user", &"".into(), detail));
            }
            causes.extend(selectors(value));
            if kind == "LocalSubjectAccessReview" {
                causes.extend(metadata(value, "must be empty except for namespace", &["namespace"]));
                causes.extend(locality(value));
            } else {
                causes.extend(metadata(value, "must be empty", &[]));
            }
            causes
        }
        _ => Vec::new(),
    }
}

/// Bounds of how long a token may be good, in seconds.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// Checks a wish for a token, defaults filled in.
pub fn token_request_faults(value: &Value) -> Vec<Cause> {
    let Some(seconds) = value.pointer("/spec/expirationSeconds") else { return Vec::new() };
    let detail = match seconds.as_i64().unwrap_or_default() {
        few if few < *TOKEN_SECONDS.start() => "may not specify a duration less than 10 minutes",
        many if many > *TOKEN_SECONDS.end() => "may not specify a duration larger than 2^32 seconds",
        _ => return Vec::new(),
    };
    vec![Cause::invalid("spec.expirationSeconds", seconds, detail)]
}

fn part<'a>(value: &'a Value, member: &str) -> Option<&'a Value> {
    value.pointer(&format!("/spec/{member}")).filter(|part| part.is_object())
}

/// One of the two kinds of action.
fn attributes(value: &Value) -> Vec<Cause> {
    match (part(value, "resourceAttributes"), part(value, "nonResourceAttributes")) {
        (Some(_), Some(path)) => {
            vec![bad_path(path, "cannot be specified in combination with resourceAttributes")]
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![Cause::invalid("spec.resourceAttributes", &Value::Null, detail)]
        }
        _ => Vec::new(),
    }
}

/// The path is shown as Kubernetes' own type has it.
fn bad_path(path: &Value, detail: &str) -> Cause {
    let mut cause = Cause::invalid("spec.nonResourceAttributes", path, detail);
    let shown = [("Path", "/path"), ("Verb", "/verb")];
    let shown = shown.map(|(go, pointer)| format!("\"{go}\":{}", json!(text(path, pointer))));
    cause.message = format!("Invalid value: {{{}}}: {detail}", shown.join(","));
    cause
}

/// A selector is given as text or in parts.
fn selectors(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for member in ["fieldSelector", "labelSelector"] {
        let Some(selector) = part(value, &format!("resourceAttributes/{member}")) else { continue };
        let field = format!("spec.resourceAttributes.{member}");
        let (raw, parts) = (text(selector, "/rawSelector"), list(selector, "/requirements"));
        if !raw.is_empty() && !parts.is_empty() {
            let detail = "may not specified at the same time as requirements";
            causes.push(Cause::invalid(format!("{field}.rawSelector"), &raw.into(), detail));
        }
        if raw.is_empty() && parts.is_empty() {
            let detail = format!("when {field} is specified, requirements or rawSelector is required");
            causes.push(Cause::required(format!("{field}.requirements"), &detail));
        }
    }
    causes
}

fn metadata(value: &Value, detail: &str, but: &[&str]) -> Option<Cause> {
    let members = value.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let kept = |member: &str| !but.contains(&member) && !matches!(member, "managedFields" | "creationTimestamp");
    let own: Map<String, Value> = members.into_iter().filter(|(member, _)| kept(member)).collect();
    (!own.is_empty()).then(|| Cause::invalid("metadata", &Value::Object(own), detail))
}

/// What is asked lies in the namespace of the review.
fn locality(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(resource) = part(value, "resourceAttributes") {
        let asked = text(resource, "/namespace");
        if asked != text(value, "/metadata/namespace") {
            let detail = "must match metadata.namespace";
            causes.push(Cause::invalid("spec.resourceAttributes.namespace", &asked.into(), detail));
        }
    }
    if let Some(path) = part(value, "nonResourceAttributes") {
        causes.push(bad_path(path, "disallowed on this kind of request"));
    }
    causes
}
