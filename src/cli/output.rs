//! What the user reads: tables, YAML, JSON and names, as kubectl prints them.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::exit::{Code, Failure};
use super::resource::display;
use crate::manifest::emit;
use crate::model::Kind;

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns.
    #[default]
    #[value(skip)]
    Table,
    /// Columns, the less important ones too.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `TYPE/NAME`, a line each.
    Name,
}

impl Format {
    /// Whether the server's table is wanted.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }
}

/// Prints to standard output. Whoever closed the pipe wants no more.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::new(Code::Io, "")),
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

/// A value as YAML or JSON. `managedFields` are left out, as kubectl does.
pub(super) fn document(value: &Value, format: Format) -> Result<String, Failure> {
    let mut value = value.clone();
    forget_managed_fields(&mut value);
    if format == Format::Yaml {
        return Ok(emit::to_string(&value));
    }
    let text = serde_json::to_string_pretty(&value).map_err(|error| Failure::from_error(Code::Bug, "", &error))?;
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

/// How a table is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableStyle {
    pub(super) wide: bool,
    /// A first column with the namespace.
    pub(super) namespaces: bool,
    /// `TYPE/` before each name, for output of several kinds.
    pub(super) kind: Option<Kind>,
    pub(super) header: bool,
}

/// The columns of a server's Table, kept because a watch sends them once.
#[derive(Debug, Default)]
pub(super) struct Columns {
    shown: Vec<(usize, String)>,
    widths: Vec<usize>,
}

impl Columns {
    /// Takes the columns of a Table, unless it has none (later watch events).
    pub(super) fn learn(&mut self, table: &Value, style: TableStyle) {
        let definitions = table.get("columnDefinitions").and_then(Value::as_array).filter(|list| !list.is_empty());
        let Some(definitions) = definitions else { return };
        let important = |column: &Value| column.get("priority").and_then(Value::as_i64).unwrap_or_default() == 0;
        let title = |column: &Value| column.get("name").and_then(Value::as_str).unwrap_or_default().to_uppercase();
        let shown = definitions.iter().enumerate().filter(|(_, column)| style.wide || important(column));
        self.shown = shown.map(|(index, column)| (index, title(column))).collect();
        self.widths.clear();
    }

    /// The rows of a Table as text, with the header when `style` says so.
    pub(super) fn render(&mut self, table: &Value, style: TableStyle) -> String {
        let mut lines = Vec::new();
        if style.header {
            let namespace = style.namespaces.then(|| "NAMESPACE".to_owned());
            lines.push(namespace.into_iter().chain(self.shown.iter().map(|(_, title)| title.clone())).collect());
        }
        let rows = table.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        lines.extend(rows.iter().map(|row| self.cells(row, style)));
        self.layout(&lines)
    }

    fn cells(&self, row: &Value, style: TableStyle) -> Vec<String> {
        let cells = row.get("cells").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let namespace = row.pointer("/object/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let mut line: Vec<String> = style.namespaces.then(|| namespace.to_owned()).into_iter().collect();
        for (position, (index, _)) in self.shown.iter().enumerate() {
            let text = cells.get(*index).map(cell).unwrap_or_default();
            line.push(match style.kind {
                Some(kind) if position == 0 => display(kind, &text),
                _ => text,
            });
        }
        line
    }

    /// Pads all but the last column; widths only grow, so that a watch stays aligned.
    fn layout(&mut self, lines: &[Vec<String>]) -> String {
        for line in lines {
            for (index, text) in line.iter().enumerate() {
                let width = text.chars().count();
                match self.widths.get_mut(index) {
                    Some(known) => *known = (*known).max(width),
                    None => self.widths.push(width),
                }
            }
        }
        let mut out = String::new();
        for line in lines {
            let mut row = String::new();
            for (text, width) in line.iter().zip(&self.widths) {
                row.push_str(text);
                row.push_str(&" ".repeat(width - text.chars().count() + 3));
            }
            out.push_str(row.trim_end());
            out.push('\n');
        }
        out
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Value {
        json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Age", "priority": 0}, {"name": "Selector", "priority": 1}],
            "rows": [
                {"cells": ["a-long-name", "5s", "app=x"], "object": {"metadata": {"namespace": "n"}}},
                {"cells": ["b", "5m", null], "object": {"metadata": {"namespace": "other"}}}
            ]
        })
    }

    fn style(wide: bool, namespaces: bool) -> TableStyle {
        TableStyle { wide, namespaces, kind: None, header: true }
    }

    #[test]
    fn a_table_has_aligned_columns_and_no_trailing_blanks() {
        let mut columns = Columns::default();
        columns.learn(&table(), style(false, false));
        let text = columns.render(&table(), style(false, false));
        assert_eq!(text, "NAME          AGE\na-long-name   5s\nb             5m\n");
    }

    #[test]
    fn wide_and_namespaces_add_columns() {
        let mut columns = Columns::default();
        columns.learn(&table(), style(true, true));
        let text = columns.render(&table(), style(true, true));
        assert!(text.starts_with("NAMESPACE   NAME          AGE   SELECTOR\n"), "{text}");
        assert!(text.contains("<none>"), "{text}");
    }

    #[test]
    fn documents_have_no_managed_fields_and_kubectls_indent() {
        let value = json!({"metadata": {"managedFields": [1], "name": "a"}});
        let text = document(&value, Format::Json).unwrap();
        assert_eq!(text, "{\n    \"metadata\": {\n        \"name\": \"a\"\n    }\n}\n");
    }
}
