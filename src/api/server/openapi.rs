//! `/openapi/v2` and `/openapi/v3`: the documents kubectl validates and explains with.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, VARY};

use super::super::openapi as documents;
use super::super::status::ApiError;
use super::accept::{self, JSON};
use super::answer::{Answer, Outcome};
use super::handle::Call;

/// `GET /openapi/v2`
pub(super) fn v2(call: &Call) -> Outcome {
    let accepted = |media: &str| accept::entries(&call.accept).any(|entry| entry.media == media);
    let json = call.accept.trim().is_empty() || accepted(JSON) || accepted("*/*") || accepted("application/*");
    if !json {
        // Only clients older than OpenAPI v3 ask for protobuf alone; they fall back.
        return Err(ApiError::not_acceptable(&[JSON]));
    }
    Ok(Answer::new(200, JSON, documents::v2_json()).header(VARY, "Accept"))
}

/// `GET /openapi/v3`
pub(super) fn v3_index(_call: &Call) -> Answer {
    Answer::new(200, JSON, documents::v3_index())
}

/// `GET /openapi/v3/api/v1`: with the hash of the index it never changes.
pub(super) fn v3(call: &Call, path: &str) -> Outcome {
    let Some(document) = documents::v3(path) else {
        return Ok(Answer::text(404, "404 page not found\n"));
    };
    let etag = format!("\"{}\"", document.hash);
    if call.if_none_match.as_deref() == Some(&etag) {
        return Ok(Answer::new(304, JSON, Bytes::new()).header(ETAG, etag));
    }
    let answer = Answer::new(200, JSON, document.json).header(ETAG, etag).header(VARY, "Accept");
    Ok(match call.query.get("hash") {
        Some(hash) if hash == document.hash => answer.header(CACHE_CONTROL, "public, immutable, max-age=31536000"),
        _ => answer,
    })
}
