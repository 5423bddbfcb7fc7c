//! Bodies of requests: read within the limits, decoded by their Content-Type.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::Value;

use super::super::codec::{self, DecodeError, Decoded, protobuf};
use super::super::status::ApiError;
use super::accept::{ACCEPTED, JSON, PROTOBUF, YAML};
use super::limits::Limits;
use super::query::Validation;
use crate::model::schema::Type;

/// How much of a body is taken in although the answer is known without it.
const UNREAD_BYTES_MAX: usize = 256 * 1024;
/// How long that may take.
const UNREAD_WAIT_MAX: Duration = Duration::from_secs(2);

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// A body and how it is written.
pub(super) struct Payload {
    pub(super) format: Format,
    pub(super) bytes: Bytes,
}

/// The media type without its parameters.
pub(super) fn media(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The format a Content-Type names; JSON when there is none.
pub(super) fn format(content_type: Option<&str>) -> Result<Format, ApiError> {
    match content_type.map(media) {
        None | Some("" | JSON) => Ok(Format::Json),
        Some(YAML) => Ok(Format::Yaml),
        Some(PROTOBUF) => Ok(Format::Protobuf),
        Some(_) => Err(ApiError::unsupported_media_type(&ACCEPTED)),
    }
}

/// What bodies are counted in: coarse enough for 32 bits.
const UNIT_BYTES: usize = 1024;

/// How many units of the pool of bodies a body takes: what it says, or the most it
/// may be when it does not say.
pub(super) fn units(incoming: &Incoming, limits: &Limits) -> Result<u32, ApiError> {
    let said = incoming.size_hint();
    if said.lower() > limits.body_bytes as u64 {
        return Err(too_large(limits));
    }
    let bytes = said.exact().map_or(limits.body_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(units_of(bytes))
}

/// Bytes in the units bodies are counted in, rounded up.
pub(super) fn units_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

fn too_large(limits: &Limits) -> ApiError {
    ApiError::too_large(format!("Request entity too large: limit is {}", limits.body_bytes))
}

/// Reads a whole body, within its size and its deadline.
pub(super) async fn read(incoming: Incoming, limits: &Limits) -> Result<Bytes, ApiError> {
    let collected = Limited::new(incoming, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_deadline, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(error)) => Err(ApiError::bad_request(format!("the body of the request ended early: {error}"))),
        Err(_) => Err(ApiError::new(408, "Timeout", "the body of the request did not come in time")),
    }
}

/// Takes in what nobody read, within [`UNREAD_BYTES_MAX`]: a client that is still
/// sending would find its connection broken instead of the answer.
pub(super) async fn discard(incoming: Incoming, limits: &Limits) {
    if incoming.is_end_stream() {
        return;
    }
    let rest = Limited::new(incoming, UNREAD_BYTES_MAX.min(limits.body_bytes)).collect();
    if tokio::time::timeout(UNREAD_WAIT_MAX.min(limits.body_deadline), rest).await.is_err() {
        tracing::debug!("a client did not send the rest of its body");
    }
}

/// Decodes an object. Its `apiVersion` and `kind` are part of the value, wherever
/// the format keeps them.
pub(super) fn decode(ty: &'static Type, payload: &Payload) -> Result<Decoded, ApiError> {
    let bytes = &payload.bytes;
    let decoded = match payload.format {
        Format::Json => codec::decode_json(ty, bytes),
        Format::Yaml => codec::decode_yaml(ty, bytes),
        Format::Protobuf => protobuf_object(ty, bytes),
    };
    decoded.map_err(|error| not_decoded(ty, &error))
}

/// The 400 for a body that is no object of this type.
pub(super) fn not_decoded(ty: &Type, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("{} in version \"v1\" cannot be handled as a {}: {error}", ty.kind(), ty.kind()))
}

fn protobuf_object(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let envelope = protobuf::open_envelope(bytes)?;
    let mut value = if envelope.kind.is_empty() || envelope.kind == ty.kind() {
        protobuf::decode(ty, envelope.raw)?
    } else {
        // Another kind's bytes: the caller refuses it by its name.
        Value::Object(serde_json::Map::new())
    };
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), Value::from(envelope.api_version));
        members.insert("kind".to_owned(), Value::from(envelope.kind));
    }
    Ok(Decoded { value, problems: Vec::new() })
}

/// What strict validation complains of: refused, told as warnings, or ignored.
pub(super) fn judge(
    problems: &[codec::FieldProblem],
    validation: Validation,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    if problems.is_empty() || validation == Validation::Ignore {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if validation == Validation::Strict {
        return Err(format!("strict decoding error: {}", lines.join(", ")));
    }
    warnings.extend(lines);
    Ok(())
}
