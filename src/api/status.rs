//! Refusals as `metav1.Status` (spec/api.md section 5): the code, the reason a
//! program reads, the sentence a person reads, and the details of both.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::{Cause, Kind};

/// A request that was refused or failed, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, for instance `NotFound`.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// What it is about; boxed because most results carry no error.
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: how a list goes on after an expired token.
    pub continue_token: Option<String>,
}

/// What a Status is about. Empty members are left out of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The plural resource (404, 409, 403) or the kind (422).
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// Faults of single fields and other causes.
    pub causes: Vec<StatusCause>,
    /// When to come back, in seconds.
    pub retry_after: u32,
}

/// One entry of `details.causes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCause {
    /// For instance `FieldValueInvalid`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// The field, empty when it is about the whole.
    pub field: String,
}

impl From<&Cause> for StatusCause {
    fn from(cause: &Cause) -> StatusCause {
        StatusCause {
            reason: cause.reason.as_str().to_owned(),
            message: cause.message.clone(),
            field: cause.field.clone(),
        }
    }
}

impl ApiError {
    /// An error without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, reason, message: message.into(), details: None, continue_token: None }
    }

    /// The same error with details.
    pub fn with(mut self, details: Details) -> ApiError {
        self.details = Some(Box::new(details));
        self
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    /// 401: credentials that are not valid.
    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 about an object: `services "x" is forbidden: …`.
    pub fn forbidden(kind: Kind, name: &str, why: &str) -> ApiError {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.qualified_resource());
        ApiError::new(403, "Forbidden", message).with(Details::resource(kind, name))
    }

    /// 404 for an object of a served kind.
    pub fn not_found(kind: Kind, name: &str) -> ApiError {
        let message = format!("{} \"{name}\" not found", kind.qualified_resource());
        ApiError::new(404, "NotFound", message).with(Details::resource(kind, name))
    }

    /// 404 for a path under a served group that names nothing.
    pub fn no_resource() -> ApiError {
        ApiError::new(404, "NotFound", "the server could not find the requested resource").with(Details::default())
    }

    /// 405.
    pub fn method_not_allowed() -> ApiError {
        ApiError::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with(Details::default())
    }

    /// 422 about a patch whose outcome is no object of its kind. It names the field
    /// `patch` and no object, as the real server does.
    pub fn invalid_patch(patched: &str, why: &str) -> ApiError {
        let cause = Cause::invalid("patch", &patched.into(), why);
        ApiError::invalid_kind("", "", "", "", std::slice::from_ref(&cause))
    }

    /// 422 for a JSON patch that does not apply.
    pub fn unprocessable() -> ApiError {
        let message = "the server rejected our request due to an error in our request";
        ApiError::new(422, "Invalid", message).with(Details::default())
    }

    /// 405 for objects that can only be read.
    pub fn read_only(kind: Kind) -> ApiError {
        let what = kind.qualified_resource();
        let message =
            format!("edgesvc does not serve changes of {what}: what there is is built in and can only be read");
        ApiError::new(405, "MethodNotAllowed", message).with(Details::resource(kind, ""))
    }

    /// 422 about a review: Kubernetes names its group alone.
    pub fn invalid_review(group: &str, causes: &[Cause]) -> ApiError {
        ApiError::invalid_kind(&format!(".{group}"), group, "", "", causes)
    }

    /// 406.
    pub fn not_acceptable(accepted: &[&str]) -> ApiError {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        ApiError::new(406, "NotAcceptable", message)
    }

    /// 409: it is there already.
    pub fn already_exists(kind: Kind, name: &str, deleting: bool) -> ApiError {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{prefix}{} \"{name}\" already exists", kind.qualified_resource());
        ApiError::new(409, "AlreadyExists", message).with(Details::resource(kind, name))
    }

    /// 409: the object moved on, or a precondition does not hold.
    pub fn conflict(kind: Kind, name: &str, why: &str) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified_resource());
        ApiError::new(409, "Conflict", message).with(Details::resource(kind, name))
    }

    /// 409 in the words every client knows.
    pub fn modified(kind: Kind, name: &str) -> ApiError {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        ApiError::conflict(kind, name, why)
    }

    /// 410: the history does not reach back that far.
    pub fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> ApiError {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// 422 about an object of a served kind.
    pub fn invalid(kind: Kind, name: &str, causes: &[Cause]) -> ApiError {
        let row = kind.resource();
        ApiError::invalid_kind(&kind.qualified_kind(), row.group, row.kind, name, causes)
    }

    /// 422 that names the resource instead of the kind, as Kubernetes does where its
    /// store, not the kind's rules, finds the fault.
    pub fn invalid_resource(kind: Kind, name: &str, causes: &[Cause]) -> ApiError {
        let row = kind.resource();
        ApiError::invalid_kind(&kind.qualified_resource(), row.group, row.plural, name, causes)
    }

    /// 422 about options of a request: `ListOptions`, `PatchOptions`, …
    pub fn invalid_options(options: &str, causes: &[Cause]) -> ApiError {
        let qualified = format!("{options}.meta.k8s.io");
        ApiError::invalid_kind(&qualified, "meta.k8s.io", options, "", causes)
    }

    /// 422 about anything else that has fields.
    pub fn invalid_kind(qualified: &str, group: &str, kind: &str, name: &str, causes: &[Cause]) -> ApiError {
        // The sentence says each fault once, however often the causes list it.
        let mut said = BTreeSet::new();
        let lines: Vec<String> =
            causes.iter().map(ToString::to_string).filter(|line| said.insert(line.clone())).collect();
        let body = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        ApiError::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {body}")).with(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: causes.iter().map(StatusCause::from).collect(),
            ..Details::default()
        })
    }

    /// 429: come back in a second.
    pub fn too_many_requests() -> ApiError {
        let message = "the server has received too many requests and has asked us to try again later";
        ApiError::new(429, "TooManyRequests", message).with(Details { retry_after: 1, ..Details::default() })
    }

    /// 500: our fault.
    pub fn internal(message: impl std::fmt::Display) -> ApiError {
        ApiError::new(500, "InternalError", format!("Internal error occurred: {message}")).with(Details {
            causes: vec![StatusCause { reason: String::new(), message: message.to_string(), field: String::new() }],
            ..Details::default()
        })
    }

    /// 501: Kubernetes has it, edgesvc does not.
    pub fn not_implemented(what: &str) -> ApiError {
        ApiError::new(501, "NotImplemented", format!("edgesvc does not serve {what}"))
    }

    /// 503: writes are refused until the disk is well again.
    pub fn unavailable(why: &str) -> ApiError {
        ApiError::new(503, "ServiceUnavailable", why.to_owned()).with(Details { retry_after: 1, ..Details::default() })
    }

    /// 504: a revision that does not exist yet.
    pub fn future_revision(asked: u64, current: u64) -> ApiError {
        let message = format!("Too large resource version: {asked}, current: {current}");
        ApiError::new(504, "Timeout", format!("Timeout: {message}")).with(Details {
            causes: vec![StatusCause {
                reason: "ResourceVersionTooLarge".to_owned(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            }],
            retry_after: 1,
            ..Details::default()
        })
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), Value::from(token.clone()));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": self.message,
        });
        if let Some(members) = status.as_object_mut() {
            if !self.reason.is_empty() {
                members.insert("reason".to_owned(), Value::from(self.reason));
            }
            if let Some(details) = &self.details {
                members.insert("details".to_owned(), details.to_value());
            }
            members.insert("code".to_owned(), Value::from(self.code));
        }
        status
    }
}

impl Details {
    /// Details of an object of a served kind, naming the plural resource.
    pub fn resource(kind: Kind, name: &str) -> Details {
        let row = kind.resource();
        Details {
            name: name.to_owned(),
            group: row.group.to_owned(),
            kind: row.plural.to_owned(),
            ..Details::default()
        }
    }

    /// The JSON of `details`.
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        for (member, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                members.insert(member.to_owned(), Value::from(text.clone()));
            }
        }
        if !self.causes.is_empty() {
            members.insert("causes".to_owned(), self.causes.iter().map(StatusCause::to_value).collect());
        }
        if self.retry_after > 0 {
            members.insert("retryAfterSeconds".to_owned(), Value::from(self.retry_after));
        }
        Value::Object(members)
    }
}

impl StatusCause {
    fn to_value(&self) -> Value {
        let mut members = Map::new();
        for (member, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                members.insert(member.to_owned(), Value::from(text.clone()));
            }
        }
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_leaves_out_what_is_empty() {
        let status = ApiError::not_found(Kind::EndpointSlice, "x").to_value();
        assert_eq!(status["message"], "endpointslices.discovery.k8s.io \"x\" not found");
        assert_eq!(status["details"], json!({"name": "x", "group": "discovery.k8s.io", "kind": "endpointslices"}));
        assert_eq!(ApiError::no_resource().to_value()["details"], json!({}));
        assert!(ApiError::unauthorized().to_value().get("details").is_none());
    }

    #[test]
    fn several_causes_stand_in_brackets() {
        let causes = [Cause::required("spec.ports", ""), Cause::required("spec.x", "why")];
        let message = ApiError::invalid(Kind::Service, "s", &causes).message;
        assert_eq!(message, "Service \"s\" is invalid: [spec.ports: Required value, spec.x: Required value: why]");
    }

    #[test]
    fn a_fault_told_twice_is_said_once() {
        let causes = [Cause::required("spec.ports", ""), Cause::required("spec.ports", "")];
        let error = ApiError::invalid(Kind::Service, "s", &causes);
        assert_eq!(error.message, "Service \"s\" is invalid: spec.ports: Required value");
        assert_eq!(error.details.unwrap().causes.len(), 2);
    }
}
