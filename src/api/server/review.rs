//! Reviews: questions about the caller, answered and never stored. `kubectl auth
//! can-i` and `kubectl auth whoami` ask them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::status::ApiError;
use super::action;
use super::answer::{Answer, Outcome};
use super::body::{self, Format, Payload};
use super::handle::Call;
use super::roles;
use super::route::Review;
use crate::model::schema;

/// Creates a review: the answer is in its status.
pub(super) fn create(call: &Call, review: Review, bytes: &Bytes) -> Outcome {
    let (group, kind, ..) = review.names();
    let payload = Payload { format: body::format(call.content_type.as_deref())?, bytes: bytes.clone() };
    let mut value = decoded(kind, &payload)?;
    let status = match review {
        Review::Access => access(call, &value),
        Review::Subject => json!({"userInfo": call.user.info()}),
    };
    let members = value.as_object_mut().ok_or_else(|| ApiError::bad_request("the review is not a JSON object"))?;
    members.insert("apiVersion".to_owned(), format!("{group}/v1").into());
    members.insert("kind".to_owned(), kind.into());
    members.entry("metadata").or_insert_with(|| json!({}));
    members.insert("status".to_owned(), status);
    Ok(Answer::value(201, call.accepted, &value))
}

fn access(call: &Call, value: &Value) -> Value {
    let asked = value.get("spec").and_then(action::asked);
    json!({"allowed": asked.is_some_and(|action| roles::allows(&call.user.groups, &action))})
}

fn decoded(kind: &str, payload: &Payload) -> Result<Value, ApiError> {
    if let Some(ty) = schema::find(kind) {
        return Ok(body::decode(ty, payload)?.value);
    }
    if payload.format != Format::Json {
        return Err(ApiError::unsupported_media_type(&[super::accept::JSON]));
    }
    serde_json::from_slice(&payload.bytes).map_err(|error| ApiError::bad_request(error.to_string()))
}
