//! The page of a kind without a form of its own: every field under a readable label.

use serde_json::{Map, Value};

use super::super::jsonpath::go_text;
use super::page::Page;

/// What stands elsewhere on the page, or helps nobody.
const SKIPPED: [&str; 5] =
    [".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations", ".metadata.managedFields"];
/// Words written in capitals.
const ACRONYMS: [&str; 5] = ["API", "URL", "UID", "OSB", "GUID"];

pub(super) fn page(page: &mut Page, object: &Value) {
    page.head(object);
    if let Some(members) = object.as_object() {
        fields(page, 0, members, "");
    }
}

fn fields(page: &mut Page, level: usize, members: &Map<String, Value>, above: &str) {
    for (field, value) in members {
        let path = format!("{above}.{field}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let label = label(field);
        match value {
            Value::Object(inner) => {
                page.line(level, &format!("{label}:"));
                fields(page, level + 1, inner, &path);
            }
            Value::Array(items) => {
                page.line(level, &format!("{label}:"));
                for item in items {
                    match item {
                        Value::Object(inner) => fields(page, level + 1, inner, &path),
                        other => page.line(level + 1, &go_text(other)),
                    }
                }
            }
            other => page.row(level, &label, &go_text(other)),
        }
    }
}

/// `firstTimestamp` as `First Timestamp`.
fn label(field: &str) -> String {
    if field.chars().any(|c| !c.is_alphabetic() && c != '-') {
        return field.to_owned();
    }
    let words = words(field).into_iter().map(|word| {
        let upper = word.to_uppercase();
        if ACRONYMS.contains(&upper.as_str()) {
            return upper;
        }
        let mut chars = word.chars();
        chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The words of a camel-cased name; of several capitals the last begins a word.
fn words(field: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for c in field.chars() {
        let class = if c.is_lowercase() {
            1
        } else if c.is_uppercase() {
            2
        } else {
            3
        };
        match (words.last_mut(), before) {
            (Some(word), Some(last)) if last == class => word.push(c),
            (Some(word), Some(2)) if class == 1 => {
                let capital = word.pop();
                if word.is_empty() {
                    words.pop();
                }
                words.push(capital.into_iter().chain([c]).collect());
            }
            _ => words.push(c.to_string()),
        }
        before = Some(class);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_readable_labels() {
        for (field, text) in [
            ("firstTimestamp", "First Timestamp"),
            ("apiVersion", "API Version"),
            ("uid", "UID"),
            ("hostIP", "Host IP"),
            ("PDFLoader", "PDF Loader"),
            ("a.b/c", "a.b/c"),
        ] {
            assert_eq!(label(field), text);
        }
    }
}
