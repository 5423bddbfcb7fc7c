//! The server's tables as columns (spec/api.md section 9). Pure.

use serde_json::Value;

use super::resource::display;
use super::tabs::harmless;
use crate::model::Kind;

/// The least width of a column and the blanks behind it, as kubectl's tables have them.
const LEAST_WIDTH: usize = 6;
const PADDING: usize = 3;

/// How a table is shown.
#[derive(Clone, Debug)]
pub(super) struct TableStyle {
    pub(super) wide: bool,
    /// A first column with the namespace.
    pub(super) namespaces: bool,
    /// `TYPE/` before each name, for output of several kinds.
    pub(super) kind: Option<Kind>,
    pub(super) header: bool,
    /// A first column with what happened, for a watch.
    pub(super) event: Option<String>,
    /// Labels that have a column of their own.
    pub(super) label_columns: Vec<String>,
    /// A last column with all labels.
    pub(super) labels: bool,
}

/// The columns of a server's Table, kept because a watch sends them once.
#[derive(Debug, Default)]
pub(super) struct Columns {
    shown: Vec<(usize, String)>,
    widths: Vec<usize>,
}

impl Columns {
    /// Takes the columns of a Table, unless it has none (later watch events).
    pub(super) fn learn(&mut self, table: &Value, style: &TableStyle) {
        let definitions = table.get("columnDefinitions").and_then(Value::as_array).filter(|list| !list.is_empty());
        let Some(definitions) = definitions else { return };
        let important = |column: &Value| column.get("priority").and_then(Value::as_i64).unwrap_or_default() == 0;
        let title = |column: &Value| column.get("name").and_then(Value::as_str).unwrap_or_default().to_uppercase();
        let shown = definitions.iter().enumerate().filter(|(_, column)| style.wide || important(column));
        self.shown = shown.map(|(index, column)| (index, title(column))).collect();
    }

    /// The rows of a Table as text, with the header when `style` says so.
    pub(super) fn render(&mut self, table: &Value, style: &TableStyle) -> String {
        let rows = table.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if style.header {
            lines.push(self.titles(style));
        }
        lines.extend(rows.iter().map(|row| self.cells(row, style)));
        self.layout(&lines)
    }

    fn titles(&self, style: &TableStyle) -> Vec<String> {
        let event = style.event.as_ref().map(|_| "EVENT".to_owned());
        let namespace = style.namespaces.then(|| "NAMESPACE".to_owned());
        let labels = style.label_columns.iter().map(|key| key.rsplit('/').next().unwrap_or(key).to_uppercase());
        let shown = self.shown.iter().map(|(_, title)| title.clone());
        let all = style.labels.then(|| "LABELS".to_owned());
        event.into_iter().chain(namespace).chain(shown).chain(labels).chain(all).collect()
    }

    fn cells(&self, row: &Value, style: &TableStyle) -> Vec<String> {
        let cells = row.get("cells").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let namespace = row.pointer("/object/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        // Room for the longest, MODIFIED, as kubectl leaves it.
        let mut line: Vec<String> = style.event.iter().map(|event| format!("{event:<8}")).collect();
        line.extend(style.namespaces.then(|| namespace.to_owned()));
        for (position, (index, _)) in self.shown.iter().enumerate() {
            let text = cells.get(*index).map(cell).unwrap_or_default();
            line.push(match style.kind {
                Some(kind) if position == 0 => display(kind, &text),
                _ => text,
            });
        }
        let labels = row.pointer("/object/metadata/labels");
        let label = |key: &String| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        line.extend(style.label_columns.iter().map(|key| label(key).unwrap_or_default().to_owned()));
        line.extend(style.labels.then(|| pairs(labels)));
        line
    }

    /// Pads all but the last column; widths only grow, so that a watch stays aligned.
    fn layout(&mut self, lines: &[Vec<String>]) -> String {
        for line in lines {
            for (index, text) in line.iter().enumerate() {
                let width = (text.chars().count() + PADDING).max(LEAST_WIDTH);
                match self.widths.get_mut(index) {
                    Some(known) => *known = (*known).max(width),
                    None => self.widths.push(width),
                }
            }
        }
        let mut out = String::new();
        for line in lines {
            for (at, (text, width)) in line.iter().zip(&self.widths).enumerate() {
                out.push_str(text);
                if at + 1 < line.len() {
                    out.extend(std::iter::repeat_n(' ', width.saturating_sub(text.chars().count())));
                }
            }
            out.push('\n');
        }
        out
    }
}

/// `a=b,c=d`
fn pairs(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => match text.split_once(['\n', '\r', '\u{c}']) {
            // The rest would stand where the next row's cells do.
            Some((first, _)) => format!("{}...", harmless(first)),
            None => harmless(text).into_owned(),
        },
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Age", "priority": 0}, {"name": "Selector", "priority": 1}],
            "rows": [
                {"cells": ["a-long-name", "5s", "app=x"], "object": {"metadata": {"namespace": "n", "labels": {"x/t": "1"}}}},
                {"cells": ["b", "5m", null], "object": {"metadata": {"namespace": "other"}}}
            ]
        })
    }

    fn style(wide: bool, namespaces: bool) -> TableStyle {
        TableStyle { wide, namespaces, kind: None, header: true, event: None, label_columns: Vec::new(), labels: false }
    }

    fn rendered(style: &TableStyle) -> String {
        let mut columns = Columns::default();
        columns.learn(&table(), style);
        columns.render(&table(), style)
    }

    #[test]
    fn a_table_has_aligned_columns_and_the_last_is_not_padded() {
        assert_eq!(rendered(&style(false, false)), "NAME          AGE\na-long-name   5s\nb             5m\n");
    }

    #[test]
    fn wide_and_namespaces_add_columns() {
        let text = rendered(&style(true, true));
        assert!(text.starts_with("NAMESPACE   NAME          AGE   SELECTOR\n"), "{text}");
        assert!(text.contains("<none>"), "{text}");
    }

    #[test]
    fn a_watch_leaves_room_for_the_longest_event() {
        let text = rendered(&TableStyle { event: Some("ADDED".to_owned()), ..style(false, false) });
        assert!(text.starts_with("EVENT      NAME          AGE\nADDED      a-long-name   5s\n"), "{text}");
    }

    #[test]
    fn labels_stand_last() {
        let style = TableStyle { label_columns: vec!["x/t".to_owned()], labels: true, ..style(false, false) };
        let text = rendered(&style);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "AGE", "T", "LABELS"]);
        assert_eq!(rows[1], ["a-long-name", "5s", "1", "x/t=1"]);
        assert_eq!(rows[2], ["b", "5m", "<none>"], "a label that is not there is an empty cell");
    }
}
