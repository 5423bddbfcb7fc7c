//! What the user reads: tables, YAML, JSON and names, as kubectl prints them.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::exit::{Code, Failure};
use super::format::{self, Format};
use super::resource::display;
use crate::manifest::emit;
use crate::model::Kind;

/// Prints to standard output. Whoever closed the pipe wants no more.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::closed_pipe()),
        other => other.map_err(Failure::from),
    }
}

/// Prints a line to standard output.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints a line to standard error; when that is gone there is nobody to tell.
pub(super) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints the server's warnings.
pub(super) fn warn(warnings: &[String]) {
    warnings.iter().for_each(|text| note(&format!("Warning: {text}")));
}

/// Prints objects that a command changed: the word for it line by line, or the
/// objects themselves when the format asks for them. Made for one command.
#[derive(Debug)]
pub(super) struct Report {
    format: Format,
    printed: usize,
}

impl Report {
    pub(super) fn new(format: Format) -> Report {
        Report { format, printed: 0 }
    }

    /// A report behind so many objects that were printed already.
    pub(super) fn following(format: Format, printed: usize) -> Report {
        Report { format, printed }
    }

    /// Tells of one object, for instance `service/web` and `labeled`.
    pub(super) fn tell(&mut self, kind: Kind, object: &Value, word: &str) -> Result<(), Failure> {
        self.printed += 1;
        let name = name_of(kind, object);
        match &self.format {
            Format::Table | Format::Wide if word.is_empty() => Ok(()),
            Format::Table | Format::Wide => line(&format!("{name} {word}")),
            Format::Name => line(&name),
            Format::Yaml if self.printed > 1 => print(&format!("---\n{}", document(object, &self.format)?)),
            Format::Yaml | Format::Json => print(&document(object, &self.format)?),
            format => print(&rendered(object, std::slice::from_ref(object), format, self.printed == 1)?),
        }
    }
}

/// A value as the format says; `rows` are its objects, for columns.
pub(super) fn rendered(value: &Value, rows: &[Value], format: &Format, header: bool) -> Result<String, Failure> {
    match format {
        Format::JsonPath(template, text) => format::filled(template, text, value),
        Format::JsonPathJson(template, text) => document(&format::filled_json(template, text, value)?, &Format::Json),
        Format::Custom(columns) => columns.render(rows, header),
        _ => document(value, format),
    }
}

/// A value as YAML or JSON. `managedFields` are left out, as kubectl does.
pub(super) fn document(value: &Value, format: &Format) -> Result<String, Failure> {
    let mut value = value.clone();
    forget_managed_fields(&mut value);
    whole_document(&value, format)
}

/// A value as YAML or JSON, with everything in it.
pub(super) fn whole_document(value: &Value, format: &Format) -> Result<String, Failure> {
    if *format == Format::Yaml {
        return Ok(emit::to_string(value));
    }
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::from_error(Code::Bug, "", &error))?;
    // kubectl indents by four blanks.
    let mut out = String::with_capacity(text.len() * 2);
    for row in text.lines() {
        let bare = row.trim_start();
        out.push_str(&" ".repeat((row.len() - bare.len()) * 2));
        out.push_str(bare);
        out.push('\n');
    }
    Ok(out)
}

fn forget_managed_fields(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(forget_managed_fields);
    }
}

/// Several objects as one List, as `kubectl get -o yaml` of several prints them.
pub(super) fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// `service/web`.
pub(super) fn name_of(kind: Kind, object: &Value) -> String {
    display(kind, object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_no_managed_fields_and_kubectls_indent() {
        let value = json!({"metadata": {"managedFields": [1], "name": "a"}});
        let text = document(&value, &Format::Json).unwrap();
        assert_eq!(text, "{\n    \"metadata\": {\n        \"name\": \"a\"\n    }\n}\n");
    }
}
