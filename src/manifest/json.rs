//! JSON manifests: one object after another. JSON is read by the rules of JSON
//! (escapes, numbers), and refused where a key stands twice.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::place::Place;
use super::scalar;

/// A JSON value and where its text lies.
pub(super) struct Chunk<'a> {
    pub(super) value: Value,
    pub(super) text: &'a str,
    /// Lines of the file before the text.
    pub(super) lines_before: u64,
    /// Paths of keys that stand twice.
    pub(super) duplicates: Vec<String>,
}

/// Whether a text begins like JSON.
pub(super) fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The values of a text of JSON values, or where it stops being one.
pub(super) fn chunks(text: &str) -> Result<Vec<Chunk<'_>>, (Place, String)> {
    let mut found = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut start = 0;
    while let Some(next) = stream.next() {
        let mut value = next.map_err(|fault| (place(&fault), message(&fault)))?;
        normalize(&mut value);
        let end = stream.byte_offset();
        let raw = text.get(start..end).unwrap_or_default();
        let skipped = raw.len() - raw.trim_start().len();
        let before = text.get(..start + skipped).unwrap_or_default();
        let chunk = raw.trim_start();
        let duplicates = serde_json::from_str::<Twice>(chunk).map(|twice| twice.0).unwrap_or_default();
        let lines_before = before.bytes().filter(|&b| b == b'\n').count() as u64;
        found.push(Chunk { value, text: chunk, lines_before, duplicates });
        start = end;
    }
    Ok(found)
}

/// `80.0` is 80, as in YAML and behind kubectl.
fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => *number = scalar::normal(number.clone()),
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn place(fault: &serde_json::Error) -> Place {
    Place { line: fault.line().max(1) as u64, column: fault.column().max(1) as u64 }
}

// The library repeats the position; ours stands in front already.
fn message(fault: &serde_json::Error) -> String {
    let words = fault.to_string();
    words.split(" at line ").next().unwrap_or(&words).to_owned()
}

/// The paths of keys that stand twice.
struct Twice(Vec<String>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TwiceVisitor)
    }
}

struct TwiceVisitor;

impl<'de> Visitor<'de> for TwiceVisitor {
    type Value = Twice;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_str<E>(self, _: &str) -> Result<Twice, E> {
        Ok(Twice(Vec::new()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Twice, A::Error> {
        let (mut paths, mut index) = (Vec::new(), 0_usize);
        while let Some(Twice(inner)) = seq.next_element()? {
            paths.extend(inner.into_iter().map(|path| join(&format!("[{index}]"), &path)));
            index += 1;
        }
        Ok(Twice(paths))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Twice, A::Error> {
        let (mut paths, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                map.next_value::<IgnoredAny>()?;
                paths.push(key);
                continue;
            }
            let Twice(inner) = map.next_value()?;
            paths.extend(inner.into_iter().map(|path| join(&key, &path)));
            seen.insert(key);
        }
        Ok(Twice(paths))
    }
}

fn join(parent: &str, path: &str) -> String {
    let dot = if path.starts_with('[') { "" } else { "." };
    format!("{parent}{dot}{path}")
}
