//! Answers: values, stored bytes and refusals to HTTP responses with the headers
//! every response carries (spec/api.md section 3).

use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WARNING};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::super::codec::protobuf;
use super::super::status::ApiError;
use super::accept::{Accepted, Encoding, JSON, PROTOBUF, YAML};
use super::stream::AnswerBody;
use crate::model::schema;

/// Warnings of one response; more are cut so that headers stay small.
const WARNINGS_MAX: usize = 32;
/// Bytes of one warning.
const WARNING_BYTES_MAX: usize = 512;

/// A response in the making.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) content_type: String,
    pub(super) body: AnswerBody,
    pub(super) headers: Vec<(HeaderName, String)>,
}

/// What every verb gives back.
pub(super) type Outcome = Result<Answer, ApiError>;

impl Answer {
    pub(super) fn new(code: u16, content_type: impl Into<String>, body: impl Into<AnswerBody>) -> Answer {
        Answer { code, content_type: content_type.into(), body: body.into(), headers: Vec::new() }
    }

    pub(super) fn text(code: u16, text: impl Into<String>) -> Answer {
        let answer = Answer::new(code, "text/plain; charset=utf-8", text.into().into_bytes());
        answer.header(HeaderName::from_static("x-content-type-options"), "nosniff")
    }

    /// A value in the form the client accepts. Protobuf needs a type of the
    /// schema; a value without one is answered as JSON.
    pub(super) fn value(code: u16, accepted: Accepted, value: &Value) -> Answer {
        match accepted.encoding {
            Encoding::Json if accepted.pretty => {
                let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
                bytes.push(b'\n');
                Answer::new(code, JSON, bytes)
            }
            Encoding::Yaml => Answer::new(code, YAML, crate::manifest::yaml::to_string(value).into_bytes()),
            Encoding::Protobuf => match sealed(value) {
                Some(bytes) => Answer::new(code, PROTOBUF, bytes),
                None => Answer::new(code, JSON, line(value)),
            },
            Encoding::Json => Answer::new(code, JSON, line(value)),
        }
    }

    /// A stored object: its own bytes wherever the client takes plain JSON.
    pub(super) fn object(code: u16, accepted: Accepted, json: &Bytes) -> Answer {
        if accepted.encoding == Encoding::Json && !accepted.pretty {
            return Answer::new(code, JSON, json.clone());
        }
        let value: Value = serde_json::from_slice(json).unwrap_or_default();
        Answer::value(code, accepted, &value)
    }

    pub(super) fn error(error: &ApiError, accepted: Accepted) -> Answer {
        let answer = Answer::value(error.code, accepted, &error.to_value());
        match error.details.as_ref().map_or(0, |details| details.retry_after) {
            0 => answer,
            seconds => answer.header(RETRY_AFTER, seconds.to_string()),
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn warn(mut self, warnings: &[String]) -> Answer {
        for warning in warnings.iter().take(WARNINGS_MAX) {
            self.headers.push((WARNING, format!("299 - \"{}\"", quoted(warning))));
        }
        self
    }

    /// The answer to HEAD: its length in place of its body. Over HTTP/2 nobody else
    /// takes the body away, and clients call such an answer broken.
    pub(super) fn without_body(mut self) -> Answer {
        if let Some(length) = self.body.size_hint().exact() {
            self.headers.push((CONTENT_LENGTH, length.to_string()));
        }
        self.body = AnswerBody::Ended;
        self
    }

    /// The response. Headers that HTTP cannot carry are dropped, not fatal.
    pub(super) fn into_response(self) -> Response<AnswerBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if let Ok(value) = HeaderValue::try_from(self.content_type) {
            headers.insert(CONTENT_TYPE, value);
        }
        if let Ok(value) = HeaderValue::try_from(uuid::Uuid::new_v4().to_string()) {
            headers.insert(HeaderName::from_static("audit-id"), value);
        }
        for (name, value) in self.headers {
            let Ok(value) = HeaderValue::try_from(value) else { continue };
            if name == CACHE_CONTROL {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
        response
    }
}

/// Compact JSON. `Value` to memory cannot fail.
pub(super) fn line(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The value in the Kubernetes protobuf envelope, if the schema has its type.
pub(super) fn sealed(value: &Value) -> Option<Vec<u8>> {
    let text = |member| value.get(member).and_then(Value::as_str);
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let raw = protobuf::encode(schema::named(api_version, kind)?, value);
    Some(protobuf::seal_envelope(api_version, kind, &raw))
}

/// A warning's text inside quotes: escaped, on one line, of bounded length.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= WARNING_BYTES_MAX {
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_carries_the_common_headers() {
        let response = Answer::error(&ApiError::too_many_requests(), Accepted::JSON)
            .warn(&["unknown field \"spec.foo\"".to_owned()])
            .into_response();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("cache-control"), "no-cache, private");
        assert_eq!(header("retry-after"), "1");
        assert_eq!(header("warning"), "299 - \"unknown field \\\"spec.foo\\\"\"");
        assert!(!header("audit-id").is_empty());
    }

    #[test]
    fn a_warning_stays_on_one_short_line() {
        assert_eq!(quoted("a\nb"), "a b");
        assert!(quoted(&"x".repeat(10_000)).len() <= WARNING_BYTES_MAX + 1);
    }
}
