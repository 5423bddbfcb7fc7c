//! Kubernetes protobuf by the schema table: what typed client-go sends. Field
//! numbers the table lacks are skipped, as protobuf wants it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::wire::{Reader, Wire, put_bytes, put_number, put_varint};
use super::{DEPTH_MAX, DecodeError, NODES_MAX, fit, scalar};
use crate::clock;
use crate::model::schema::{Field, Shape, Type, find};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// What `application/vnd.kubernetes.protobuf` wraps a message in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// For instance `v1`.
    pub api_version: String,
    /// For instance `Service`.
    pub kind: String,
    /// The message.
    pub raw: &'a [u8],
}

/// Decodes a message. The value carries no `kind` and `apiVersion`: they are
/// the envelope's.
///
/// # Errors
/// Bytes that are no such message, or values the schema refuses.
pub fn decode(ty: &'static Type, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut members = Map::new();
    Decoder { nodes: NODES_MAX }.message(ty, bytes, &mut members, 0)?;
    fit::prune(ty, Value::Object(members)).map(|decoded| decoded.value)
}

/// Encodes a value that fits the schema; members the schema lacks, and values
/// of another type, are left out.
pub fn encode(ty: &'static Type, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if let Value::Object(members) = value {
        put_message(&mut out, ty, members);
    }
    out
}

/// Takes an envelope apart.
///
/// # Errors
/// Bytes without the magic prefix, or no envelope.
pub fn open_envelope(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Protobuf("does not begin with k8s and a zero byte"))?;
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Bytes(type_meta)) => {
                let mut reader = Reader::new(type_meta);
                while let Some(field) = reader.next()? {
                    match field {
                        (1, Wire::Bytes(text)) => envelope.api_version = string(text)?.to_owned(),
                        (2, Wire::Bytes(text)) => envelope.kind = string(text)?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(raw)) => envelope.raw = raw,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(DecodeError::Protobuf("content encoding is not supported"));
            }
            _ => {}
        }
    }
    Ok(envelope)
}

/// Wraps a message.
pub fn seal_envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = MAGIC.to_vec();
    put_bytes(&mut out, 1, &type_meta);
    put_bytes(&mut out, 2, raw);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    out
}

struct Decoder {
    nodes: usize,
}

impl Decoder {
    /// Reads a message into members, which may hold some already: a field that
    /// comes twice is merged, and inlined structs share their parent's members.
    fn message(
        &mut self,
        ty: &'static Type,
        bytes: &[u8],
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::Protobuf("nested too deep"));
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            let Some(field) = ty.fields.iter().find(|field| field.number == number) else { continue };
            self.nodes = self.nodes.checked_sub(1).ok_or(DecodeError::Protobuf("too many values"))?;
            self.field(field, wire, into, depth)?;
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        match (field.shape, wire) {
            (Shape::Object(name), Wire::Bytes(bytes)) => {
                let ty = find(name).ok_or(DecodeError::Protobuf("unknown type"))?;
                if field.inline {
                    return self.message(ty, bytes, into, depth + 1);
                }
                let slot = into.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(members) = slot else { return Err(DecodeError::Protobuf("not a message")) };
                self.message(ty, bytes, members, depth + 1)
            }
            (Shape::List(item), wire) => {
                let slot = into.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = slot else { return Err(DecodeError::Protobuf("not a list")) };
                self.list(*item, wire, items, depth)
            }
            (Shape::Map(item), Wire::Bytes(bytes)) => {
                let slot = into.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(members) = slot else { return Err(DecodeError::Protobuf("not a map")) };
                let (key, value) = self.entry(*item, bytes, depth)?;
                members.insert(key, value);
                Ok(())
            }
            (shape, wire) => {
                if let Some(value) = self.value(shape, wire, depth)? {
                    into.insert(field.name.to_owned(), value);
                }
                Ok(())
            }
        }
    }

    fn list(&mut self, item: Shape, wire: Wire<'_>, items: &mut Vec<Value>, depth: usize) -> Result<(), DecodeError> {
        // Numbers may come packed into one field.
        if let (Shape::Int32 | Shape::Int64 | Shape::Bool, Wire::Bytes(bytes)) = (item, wire) {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                self.nodes = self.nodes.checked_sub(1).ok_or(DecodeError::Protobuf("too many values"))?;
                let wire = Wire::Varint(reader.varint()?);
                items.extend(self.value(item, wire, depth)?);
            }
            return Ok(());
        }
        items.push(self.value(item, wire, depth)?.unwrap_or_default());
        Ok(())
    }

    /// One entry of a map: message{1: key, 2: value}.
    fn entry(&mut self, item: Shape, bytes: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
        let (mut key, mut value) = (String::new(), Value::Null);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => key = string(bytes)?.to_owned(),
                (2, wire) => value = self.entry_value(item, wire, depth + 1)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// A list as a map's value is a message around it.
    fn entry_value(&mut self, shape: Shape, wire: Wire<'_>, depth: usize) -> Result<Value, DecodeError> {
        let (Shape::List(item), Wire::Bytes(bytes)) = (shape, &wire) else {
            return Ok(self.value(shape, wire, depth)?.unwrap_or_default());
        };
        let (mut items, mut reader) = (Vec::new(), Reader::new(bytes));
        while let Some((number, wire)) = reader.next()? {
            self.nodes = self.nodes.checked_sub(1).ok_or(DecodeError::Protobuf("too many values"))?;
            if number == 1 {
                self.list(*item, wire, &mut items, depth)?;
            }
        }
        Ok(Value::Array(items))
    }

    /// A single value; a time nobody set is none.
    fn value(&mut self, shape: Shape, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, DecodeError> {
        let value = match (shape, wire) {
            (Shape::String, Wire::Bytes(bytes)) => Value::from(string(bytes)?),
            (Shape::Bytes, Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
            (Shape::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
            (Shape::Int32, Wire::Varint(number)) => Value::from(low_half(number)),
            (Shape::Int64, Wire::Varint(number)) => Value::from(number.cast_signed()),
            (Shape::Double, Wire::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
            (Shape::Quantity, Wire::Bytes(bytes)) => {
                let text = inner_bytes(bytes)?;
                if text.is_empty() { Value::from("0") } else { Value::from(string(text)?) }
            }
            (Shape::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
            (Shape::Time, Wire::Bytes(bytes)) => {
                return Ok(instant(bytes)?.map(|at| Value::String(clock::rfc3339(at))));
            }
            (Shape::MicroTime, Wire::Bytes(bytes)) => {
                return Ok(instant(bytes)?.map(|at| Value::String(clock::rfc3339_micro(at))));
            }
            (Shape::FieldsV1 | Shape::Any, Wire::Bytes(bytes)) => {
                let raw = inner_bytes(bytes)?;
                if raw.is_empty() {
                    return Ok(None);
                }
                super::json::read(raw)?.value
            }
            // A list that is a map's value, as the `extra` of a user: message{1: items}.
            (Shape::List(item), Wire::Bytes(bytes)) => {
                let mut items = Vec::new();
                let mut reader = Reader::new(bytes);
                while let Some((number, wire)) = reader.next()? {
                    self.nodes = self.nodes.checked_sub(1).ok_or(DecodeError::Protobuf("too many values"))?;
                    if number == 1 {
                        self.list(*item, wire, &mut items, depth + 1)?;
                    }
                }
                Value::Array(items)
            }
            (Shape::Object(name), Wire::Bytes(bytes)) => {
                let ty = find(name).ok_or(DecodeError::Protobuf("unknown type"))?;
                let mut members = Map::new();
                self.message(ty, bytes, &mut members, depth + 1)?;
                Value::Object(members)
            }
            _ => return Err(DecodeError::Protobuf("wire type does not fit the field")),
        };
        Ok(Some(value))
    }
}

fn string(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Protobuf("string is no UTF-8"))
}

/// Negative int32 values come sign-extended to 64 bits; the low half counts.
fn low_half(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Field 1 of a message that has no other: Quantity, FieldsV1, RawExtension.
fn inner_bytes(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut inner: &[u8] = &[];
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        if let (1, Wire::Bytes(bytes)) = field {
            inner = bytes;
        }
    }
    Ok(inner)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, DecodeError> {
    let (mut is_string, mut number, mut text) = (false, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(kind)) => is_string = kind == 1,
            (2, Wire::Varint(value)) => number = low_half(value),
            (3, Wire::Bytes(bytes)) => text = string(bytes)?,
            _ => {}
        }
    }
    Ok(if is_string { Value::from(text) } else { Value::from(number) })
}

fn instant(bytes: &[u8]) -> Result<Option<OffsetDateTime>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(value)) => seconds = value.cast_signed(),
            (2, Wire::Varint(value)) => nanos = low_half(value),
            _ => {}
        }
    }
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let at = at.and_then(|at| at.checked_add(time::Duration::nanoseconds(i64::from(nanos))));
    at.and_then(scalar::writable).map(Some).ok_or(DecodeError::Protobuf("time out of range"))
}

fn put_message(out: &mut Vec<u8>, ty: &'static Type, members: &Map<String, Value>) {
    // Ascending numbers, as Go writes them: same object, same bytes.
    let mut fields: Vec<&'static Field> = ty.fields.iter().collect();
    fields.sort_by_key(|field| field.number);
    for field in fields {
        match (field.inline, field.shape) {
            (true, Shape::Object(name)) => {
                let mut message = Vec::new();
                if let Some(inlined) = find(name) {
                    put_message(&mut message, inlined, members);
                }
                put_bytes(out, field.number, &message);
            }
            _ => {
                if let Some(value) = members.get(field.name) {
                    put_value(out, field.number, field.shape, value);
                }
            }
        }
    }
}

fn put_value(out: &mut Vec<u8>, number: u32, shape: Shape, value: &Value) {
    match (shape, value) {
        (Shape::String, Value::String(text)) => put_bytes(out, number, text.as_bytes()),
        (Shape::Bytes, Value::String(text)) => {
            put_bytes(out, number, &scalar::bytes(text).unwrap_or_default());
        }
        (Shape::Bool, Value::Bool(value)) => put_number(out, number, i64::from(*value)),
        (Shape::Int32 | Shape::Int64, Value::Number(value)) => {
            put_number(out, number, value.as_i64().unwrap_or_default());
        }
        (Shape::Double, Value::Number(value)) => {
            put_varint(out, u64::from(number) << 3 | 1);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Shape::List(item), Value::Array(items)) => {
            for value in items {
                put_value(out, number, *item, value);
            }
        }
        (Shape::Map(item), Value::Object(members)) => {
            for (key, value) in members {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, key.as_bytes());
                if let (Shape::List(_), Value::Array(_)) = (*item, value) {
                    let mut message = Vec::new();
                    put_value(&mut message, 1, *item, value);
                    put_bytes(&mut entry, 2, &message);
                } else {
                    put_value(&mut entry, 2, *item, value);
                }
                put_bytes(out, number, &entry);
            }
        }
        (shape, value) => {
            if let Some(message) = submessage(shape, value) {
                put_bytes(out, number, &message);
            }
        }
    }
}

/// Values that are messages on the wire.
fn submessage(shape: Shape, value: &Value) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    match (shape, value) {
        (Shape::Object(name), Value::Object(members)) => put_message(&mut message, find(name)?, members),
        (Shape::Quantity, Value::String(text)) => put_bytes(&mut message, 1, text.as_bytes()),
        (Shape::IntOrString, Value::Number(value)) => {
            put_number(&mut message, 1, 0);
            put_number(&mut message, 2, value.as_i64().unwrap_or_default());
            put_bytes(&mut message, 3, b"");
        }
        (Shape::IntOrString, Value::String(text)) => {
            put_number(&mut message, 1, 1);
            put_number(&mut message, 2, 0);
            put_bytes(&mut message, 3, text.as_bytes());
        }
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            let at = scalar::time(text)?;
            put_number(&mut message, 1, at.unix_timestamp());
            let nanos = if shape == Shape::Time { 0 } else { at.nanosecond() };
            put_number(&mut message, 2, i64::from(nanos));
        }
        (Shape::FieldsV1 | Shape::Any, value) => put_bytes(&mut message, 1, value.to_string().as_bytes()),
        _ => return None,
    }
    Some(message)
}
