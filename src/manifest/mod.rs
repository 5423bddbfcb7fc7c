//! YAML and JSON text to documents with positions.
//!
//! In: the bytes of a file with any number of documents. Out: one [`Document`]
//! per object, lists taken apart, empty documents skipped; or every fault as
//! `file:line:column: message`. Holds always: pure; no text, however hostile,
//! makes it panic or take memory out of proportion; a document knows where each
//! of its fields stands, so that a fault the server finds can be shown in the file.

pub mod emit;
mod json;
mod place;
mod scalar;
#[cfg(test)]
mod tests;
pub mod yaml;

use std::sync::Arc;

use serde_json::Value;

use place::Places;
pub use place::{ManifestError, Place};

/// Bytes of one file: about 10,000 Services; more is a mistake or an attack.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Objects of one file, lists counted by their items.
pub const DOCUMENTS_MAX: usize = 50_000;

/// One object of a manifest.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object: always a mapping.
    pub value: Value,
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Where the object begins.
    pub place: Place,
    places: Places,
    lines_before: u64,
}

impl Document {
    /// Where a field stands (`spec.ports[0].name`), or where its nearest
    /// ancestor does when it is absent.
    pub fn place_of(&self, path: &str) -> Place {
        self.places.find(path).lines_down(self.lines_before)
    }

    /// `file:line` of a field.
    pub fn position(&self, path: &str) -> String {
        format!("{}:{}", self.file, self.place_of(path).line)
    }

    /// A fault of a field, as the manifest's own faults are.
    pub fn fault(&self, path: &str, message: impl Into<String>) -> ManifestError {
        ManifestError { file: self.file.clone(), place: self.place_of(path), message: message.into() }
    }
}

/// Reads the documents of one file.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Document>, Vec<ManifestError>> {
    let mut reader = Reader { file: file.into(), documents: Vec::new(), faults: Vec::new() };
    match std::str::from_utf8(bytes) {
        _ if bytes.len() > FILE_BYTES_MAX => {
            reader.fault(Place::START, format!("has more than {FILE_BYTES_MAX} bytes"));
        }
        Ok(text) => reader.text(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(fault) => {
            let good = bytes.get(..fault.valid_up_to()).unwrap_or_default();
            let line = 1 + good.iter().filter(|&&b| b == b'\n').count() as u64;
            reader.fault(Place { line, column: 1 }, "is not UTF-8 text".to_owned());
        }
    }
    if reader.documents.len() > DOCUMENTS_MAX {
        reader.fault(Place::START, format!("has more than {DOCUMENTS_MAX} objects"));
    }
    if reader.faults.is_empty() { Ok(reader.documents) } else { Err(reader.faults) }
}

struct Reader {
    file: Arc<str>,
    documents: Vec<Document>,
    faults: Vec<ManifestError>,
}

impl Reader {
    fn fault(&mut self, place: Place, message: String) {
        self.faults.push(ManifestError { file: self.file.clone(), place, message });
    }

    fn text(&mut self, text: &str) {
        if json::looks_like_json(text) {
            match json::chunks(text) {
                Ok(chunks) => return chunks.into_iter().for_each(|chunk| self.json(chunk)),
                // `{a: b}` and JSON documents parted by `---` are YAML; anything
                // else that begins like JSON is a slip in JSON, told as such.
                Err((place, message)) if is_no_yaml_either(text) => return self.fault(place, message),
                Err(_) => {}
            }
        }
        for (lines_before, chunk) in split(text) {
            match yaml::documents(chunk) {
                Ok(parsed) => parsed.into_iter().for_each(|parsed| self.yaml(parsed, lines_before)),
                Err(fault) => self.fault(fault.place.lines_down(lines_before), advice(chunk, &fault)),
            }
        }
    }

    fn json(&mut self, chunk: json::Chunk<'_>) {
        // Positions come from reading the same text as YAML; where that fails
        // (escapes only JSON has) faults are shown at the object's first line.
        let places = yaml::documents(chunk.text).ok().and_then(|mut all| all.pop()).map(|parsed| parsed.places);
        let places = places.unwrap_or_else(Places::unknown);
        for path in chunk.duplicates {
            let place = places.find(&path).lines_down(chunk.lines_before);
            self.fault(place, format!("duplicate key {path:?}"));
        }
        self.object(chunk.value, places, chunk.lines_before);
    }

    fn yaml(&mut self, parsed: yaml::Parsed, lines_before: u64) {
        for found in parsed.duplicates {
            self.fault(found.place.lines_down(lines_before), format!("duplicate key {:?}", found.path));
        }
        self.object(parsed.value, parsed.places, lines_before);
    }

    /// Takes an object, or the items of a list.
    fn object(&mut self, value: Value, places: Places, lines_before: u64) {
        let place = places.at.lines_down(lines_before);
        let Value::Object(mut members) = value else {
            return self.fault(place, "must be an object with apiVersion and kind".to_owned());
        };
        let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default();
        let item_kind = match (kind.strip_suffix("List"), members.get("items")) {
            (Some(item_kind), Some(Value::Array(_))) => item_kind.to_owned(),
            _ => {
                let value = Value::Object(members);
                self.documents.push(Document { value, file: self.file.clone(), place, places, lines_before });
                return;
            }
        };
        let version = members.get("apiVersion").cloned();
        let Some(Value::Array(items)) = members.remove("items") else { return };
        for (index, mut item) in items.into_iter().enumerate() {
            // A ServiceList's items need not say that they are Services.
            if let (Value::Object(item), false) = (&mut item, item_kind.is_empty()) {
                item.entry("kind").or_insert_with(|| Value::String(item_kind.clone()));
                item.entry("apiVersion").or_insert_with(|| version.clone().unwrap_or_default());
            }
            let places = places.item("items", index).cloned().unwrap_or_else(|| places.clone());
            self.object(item, places, lines_before);
        }
    }
}

fn is_no_yaml_either(text: &str) -> bool {
    split(text).into_iter().any(|(_, chunk)| yaml::documents(chunk).is_err())
}

/// Parts a text at its `---` lines, so that a fault in one document does not
/// hide those of the next. Answers with the lines before each part.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line) = (0, 0_u64);
    let (mut at, mut line) = (0, 0_u64);
    let mut only_head = true;
    for row in text.split_inclusive('\n') {
        let bare = row.trim_end();
        let marker =
            row.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        // Directives (%YAML) belong to the document behind the marker.
        if marker && !only_head {
            parts.push((start_line, text.get(start..at).unwrap_or_default()));
            (start, start_line) = (at, line);
        }
        only_head = !marker && only_head && (bare.is_empty() || bare.starts_with(['#', '%']));
        at += row.len();
        line += 1;
    }
    parts.push((start_line, text.get(start..).unwrap_or_default()));
    parts
}

/// The reader's words, with the mend for the commonest slip.
fn advice(text: &str, fault: &yaml::YamlError) -> String {
    let index = usize::try_from(fault.place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let blanks = |row: &str| row.len() - row.trim_start().len();
    let tab = text.lines().nth(index).is_some_and(|row| row.get(..blanks(row)).is_some_and(|lead| lead.contains('\t')));
    if tab {
        format!("{} (the line is indented with a tab; YAML wants blanks)", fault.message)
    } else {
        fault.message.clone()
    }
}
