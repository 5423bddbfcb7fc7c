//! Scalars: what JSON a field takes, and how the server writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::quantity;
use crate::clock;
use crate::model::schema::Shape;

/// Characters of a refused value that are shown.
const SHOWN_CHARS_MAX: usize = 64;

/// The value as the server writes it, or itself with the type it should have.
pub(super) fn fit(shape: Shape, value: Value) -> Result<Value, (Value, &'static str)> {
    let fitted = match (shape, &value) {
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Any, _) => return Ok(value),
        (Shape::FieldsV1, Value::Object(_)) | (Shape::Double, Value::Number(_)) => return Ok(value),
        (Shape::Int32, Value::Number(number)) => int32(number).map(Value::from),
        (Shape::Int64, Value::Number(number)) => number.as_i64().map(Value::from),
        (Shape::IntOrString, Value::Number(number)) => int32(number).map(Value::from),
        (Shape::IntOrString, Value::String(_)) => return Ok(value),
        (Shape::Bytes, Value::String(text)) => bytes(text).map(|bytes| Value::String(STANDARD.encode(bytes))),
        (Shape::Quantity, Value::String(text)) => quantity::canonical(text).map(Value::String),
        (Shape::Quantity, Value::Number(number)) => quantity::canonical(&number.to_string()).map(Value::String),
        (Shape::Time, Value::String(text)) => time(text).map(|at| Value::String(clock::rfc3339(at))),
        (Shape::MicroTime, Value::String(text)) => micro_time(text).map(|at| Value::String(clock::rfc3339_micro(at))),
        _ => None,
    };
    fitted.ok_or_else(|| (value, expected(shape)))
}

fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::String => "string",
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        Shape::Double => "float64",
        Shape::Bytes => "base64 string",
        Shape::Quantity => "quantity",
        Shape::IntOrString => "int32 or string",
        Shape::Time => "RFC 3339 time",
        Shape::MicroTime => "RFC 3339 time with six decimals",
        Shape::FieldsV1 | Shape::Object(_) => "object",
        Shape::Any => "any",
        Shape::List(_) => "list",
        Shape::Map(_) => "map",
    }
}

/// What was found: the value where the JSON type is right, else the type.
pub(super) fn found(value: &Value, expected: &str) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(text) if expected.contains("string") || expected.contains("time") || expected == "quantity" => {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            format!("string {shown:?}")
        }
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

fn int32(number: &serde_json::Number) -> Option<i32> {
    number.as_i64().and_then(|wide| i32::try_from(wide).ok())
}

/// Standard base64; line ends inside are skipped, as Go does.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return STANDARD.decode(joined).ok();
    }
    STANDARD.decode(text).ok()
}

/// An RFC 3339 time of a year that RFC 3339 can write.
pub(super) fn time(text: &str) -> Option<OffsetDateTime> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    writable(at)
}

/// Whether the year in UTC has four digits.
pub(super) fn writable(at: OffsetDateTime) -> Option<OffsetDateTime> {
    let utc = at.checked_to_offset(time::UtcOffset::UTC)?;
    (1..=9999).contains(&utc.year()).then_some(utc)
}

/// As [`time`], with exactly six decimals.
fn micro_time(text: &str) -> Option<OffsetDateTime> {
    let (_, fraction) = text.split_once('.')?;
    let decimals = fraction.bytes().take_while(u8::is_ascii_digit).count();
    (decimals == 6).then(|| time(text)).flatten()
}
