//! The paper of a page: lines with tabs, aligned when they are read.

use serde_json::Value;

use super::super::tabs;

/// Bytes of an annotation's line; longer ones stand below their key.
const ANNOTATION_BYTES_MAX: usize = 140;

/// What was written so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    done: String,
    open: String,
}

impl Page {
    /// Writes a line, `level` steps in.
    pub(super) fn line(&mut self, level: usize, text: &str) {
        self.open.extend(std::iter::repeat_n("  ", level));
        self.open.push_str(&tabs::harmless(text));
        self.open.push('\n');
    }

    /// Writes `label:` and its value.
    pub(super) fn row(&mut self, level: usize, label: &str, value: &str) {
        self.line(level, &format!("{label}:\t{value}"));
    }

    /// Writes `label:` and its value where there is one.
    pub(super) fn optional(&mut self, level: usize, label: &str, value: &str) {
        if !value.is_empty() {
            self.row(level, label, value);
        }
    }

    /// Ends the columns of what was written.
    pub(super) fn flush(&mut self) {
        self.done.push_str(&tabs::align(&self.open, 0, 2));
        self.open.clear();
    }

    /// The page as text.
    pub(super) fn text(mut self) -> String {
        self.flush();
        self.done
    }

    /// Name, namespace, labels and annotations.
    pub(super) fn head(&mut self, object: &Value) {
        self.row(0, "Name", text_at(object, "/metadata/name"));
        self.row(0, "Namespace", text_at(object, "/metadata/namespace"));
        self.labels_and_annotations(object);
    }

    pub(super) fn labels_and_annotations(&mut self, object: &Value) {
        self.pairs("Labels", object.pointer("/metadata/labels"));
        self.annotations(object.pointer("/metadata/annotations"));
    }

    /// `a=b`, a line each.
    pub(super) fn pairs(&mut self, label: &str, map: Option<&Value>) {
        let pairs: Vec<String> = members(map).map(|(key, value)| format!("{key}={value}")).collect();
        self.many(label, &pairs);
    }

    /// Values under one label, a line each.
    pub(super) fn many(&mut self, label: &str, values: &[String]) {
        let (first, rest) = values.split_first().map_or(("<none>", &[][..]), |(first, rest)| (first.as_str(), rest));
        self.row(0, label, first);
        for value in rest {
            self.line(0, &format!("\t{value}"));
        }
    }

    pub(super) fn annotations(&mut self, map: Option<&Value>) {
        // What kubectl stores for itself would fill the screen.
        let shown = members(map).filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration");
        let mut first = true;
        for (key, value) in shown {
            let start = if first { "Annotations:\t" } else { "\t" };
            first = false;
            let value = value.strip_suffix('\n').unwrap_or(value);
            if key.len() + value.len() + 2 <= ANNOTATION_BYTES_MAX && !value.contains('\n') {
                self.line(0, &format!("{start}{key}: {value}"));
                continue;
            }
            self.line(0, &format!("{start}{key}:"));
            for line in value.split('\n') {
                self.line(0, &format!("\t  {}", shortened(line)));
            }
        }
        if first {
            self.row(0, "Annotations", "<none>");
        }
    }
}

fn shortened(line: &str) -> String {
    let limit = ANNOTATION_BYTES_MAX - 2;
    if line.len() <= limit {
        return line.to_owned();
    }
    let end = (0..=limit).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default();
    format!("{}...", line.get(..end).unwrap_or_default())
}

/// The members of a map of texts, in their order.
pub(super) fn members(map: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

pub(super) fn text_at<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list_at<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn number_at(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// Texts of a list with commas between; `<none>` for none.
pub(super) fn joined(values: &[Value], between: &str) -> String {
    let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    or_none(&words.join(between)).to_owned()
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

pub(super) fn or_unset(text: &str) -> &str {
    if text.is_empty() { "<unset>" } else { text }
}

/// A port or another value that may be a number or a name.
pub(super) fn number_or_name(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_annotations_stand_below_their_key() {
        let mut page = Page::default();
        let object = json!({"metadata": {"name": "a", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}", "lines": "a\nb\n", "long": "x".repeat(150), "short": "y"}}});
        page.labels_and_annotations(&object);
        let cut = format!("{}...", "x".repeat(138));
        let text = format!(
            "Labels:       <none>\nAnnotations:  lines:\n                a\n                b\n              long:\n                {cut}\n              short: y\n"
        );
        assert_eq!(page.text(), text);
    }
}
