//! `edgesvc explain`: fields and their meaning, from the server's OpenAPI v3.

use serde_json::{Map, Value};

use super::client::{Ask, Client};
use super::exit::{Code, Failure};
use super::output;
use super::resource;
use crate::model::Kind;

/// Columns of a description.
const WIDTH: usize = 76;
/// How many values a list of fields shows of each.
const VALUES_MAX: usize = 4;
/// How deep types may hold themselves.
const DEPTH_MAX: usize = 24;

/// Prints what a field means: `service.spec.ports`.
pub(super) async fn explain(client: &mut Client, path: &str, recursive: bool) -> Result<(), Failure> {
    // One dot at the end is nothing, as with kubectl.
    let mut words = path.strip_suffix('.').unwrap_or(path).split('.');
    let Some(word) = words.next().filter(|word| !word.is_empty()) else {
        return Err(Failure::new(Code::Usage, "error: say which type, for instance `service.spec`"));
    };
    if words.clone().any(str::is_empty) {
        return Err(Failure::new(Code::Usage, format!("error: {path:?}: between two dots stands the name of a field")));
    }
    let kind = resource::kind(word)?;
    let document = document(client, kind).await?;
    let page = Page { document: &document, recursive };
    let fields: Vec<&str> = words.collect();
    match page.text(kind, &fields) {
        Ok(text) => output::print(&text),
        Err(message) => Err(Failure::new(Code::Refused, message)),
    }
}

async fn document(client: &mut Client, kind: Kind) -> Result<Value, Failure> {
    let row = kind.resource();
    let key = if row.group.is_empty() {
        format!("api/{}", row.version)
    } else {
        format!("apis/{}/{}", row.group, row.version)
    };
    let index = client.ask(Ask::get("/openapi/v3")).await?.value;
    let path = index.get("paths").and_then(|paths| paths.get(&key)).and_then(|entry| entry.get("serverRelativeURL"));
    let path = path.and_then(Value::as_str).ok_or_else(|| {
        Failure::new(Code::Refused, format!("error: the server has no OpenAPI v3 document for {key}"))
    })?;
    Ok(client.ask(Ask::get(path)).await?.value)
}

struct Page<'a> {
    document: &'a Value,
    recursive: bool,
}

impl<'a> Page<'a> {
    fn text(&self, kind: Kind, fields: &[&str]) -> Result<String, String> {
        let row = kind.resource();
        let mut out = String::new();
        if !row.group.is_empty() {
            out.push_str(&format!("GROUP:      {}\n", row.group));
        }
        out.push_str(&format!("KIND:       {}\nVERSION:    {}\n\n", row.kind, row.version));
        let root = self.root(kind).ok_or_else(|| format!("error: the server's OpenAPI has no {}", row.kind))?;
        let mut schema = root;
        for field in fields {
            let holder = self.holder(schema);
            schema = properties(holder)
                .and_then(|map| map.get(*field))
                .ok_or_else(|| format!("error: field \"{field}\" does not exist"))?;
        }
        if let Some(field) = fields.last() {
            let values: String = values(schema).iter().map(|value| format!("\n    {value}")).collect();
            let values = if values.is_empty() { values } else { format!("ENUM:{values}") };
            out.push_str(&format!("FIELD: {field} <{}>\n{values}\n\n", self.type_of(schema)));
        }
        out.push_str("DESCRIPTION:\n");
        self.descriptions(schema, &mut out);
        out.push_str("    \n");
        let holder = self.holder(schema);
        if properties(holder).is_some_and(|map| !map.is_empty()) {
            out.push_str("FIELDS:\n");
            self.fields(holder, 1, &mut Vec::new(), &mut out);
        }
        out.push('\n');
        Ok(out)
    }

    fn root(&self, kind: Kind) -> Option<&'a Value> {
        let row = kind.resource();
        let schemas = self.document.pointer("/components/schemas")?.as_object()?;
        schemas.values().find(|schema| {
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            kinds.into_iter().flatten().any(|entry| {
                let is = |member: &str, text: &str| entry.get(member).and_then(Value::as_str) == Some(text);
                is("group", row.group) && is("version", row.version) && is("kind", row.kind)
            })
        })
    }

    /// What a reference means, or the schema itself.
    fn resolved(&self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let alone = schema.get("allOf").and_then(|all| all.get(0)).unwrap_or(schema);
        let name = alone.get("$ref")?.as_str()?.rsplit('/').next()?;
        Some((name, self.document.pointer("/components/schemas")?.get(name)?))
    }

    /// The schema that has the fields: behind references, lists and maps.
    fn holder(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..DEPTH_MAX {
            let next = self.resolved(schema).map(|(_, schema)| schema);
            let inner =
                schema.get("items").or_else(|| schema.get("additionalProperties").filter(|inner| inner.is_object()));
            match next.or(inner) {
                Some(inner) => schema = inner,
                None => break,
            }
        }
        schema
    }

    /// `string`, `[]ServicePort`, `map[string]string`.
    fn type_of(&self, schema: &'a Value) -> String {
        if let Some((name, behind)) = self.resolved(schema) {
            // A name for a plain value (Time) says less than what it is.
            return match behind.get("type").and_then(Value::as_str) {
                Some(plain) if plain != "object" => plain.to_owned(),
                _ => name.rsplit('.').next().unwrap_or(name).to_owned(),
            };
        }
        if let Some(items) = schema.get("items") {
            return format!("[]{}", self.type_of(items));
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            return format!("map[string]{}", self.type_of(values));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") | None => "Object".to_owned(),
            Some(word) => word.to_owned(),
        }
    }

    /// The description of a field, and below it that of its type.
    fn descriptions(&self, schema: &'a Value, out: &mut String) {
        let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let mut any = false;
        if !described.is_empty() {
            wrapped(described, 4, out);
            any = true;
        }
        let inner =
            schema.get("items").or_else(|| schema.get("additionalProperties").filter(|inner| inner.is_object()));
        let next = self.resolved(schema).map(|(_, schema)| schema).or(inner);
        match next {
            Some(inner) => self.descriptions(inner, out),
            None if !any && described.is_empty() && schema.get("properties").is_some() => {
                wrapped("<empty>", 4, out);
            }
            None => {}
        }
    }

    fn fields(&self, holder: &'a Value, level: usize, above: &mut Vec<&'a Value>, out: &mut String) {
        for (name, schema) in properties(holder).into_iter().flatten() {
            let mark = if is_required(holder, name) { " -required-" } else { "" };
            let indent = "  ".repeat(level);
            out.push_str(&format!("{indent}{name}\t<{}>{mark}\n", self.type_of(schema)));
            let values = values(schema);
            if !values.is_empty() {
                let more = if values.len() > VALUES_MAX { ", ...." } else { "" };
                let shown: Vec<&str> = values.iter().take(VALUES_MAX).map(String::as_str).collect();
                out.push_str(&format!("{indent}enum: {}{more}\n", shown.join(", ")));
            }
            if !self.recursive {
                let described = self.described(schema);
                wrapped(described, 4, out);
                out.push('\n');
                continue;
            }
            let inner = self.holder(schema);
            let within = above.iter().any(|known| std::ptr::eq(*known, inner)) || std::ptr::eq(holder, inner);
            if properties(inner).is_some() && !within && above.len() < DEPTH_MAX {
                above.push(holder);
                self.fields(inner, level + 1, above, out);
                above.pop();
            }
        }
    }

    fn described(&self, schema: &'a Value) -> &'a str {
        let own = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        if !own.is_empty() {
            return own;
        }
        let behind = self.resolved(schema).and_then(|(_, schema)| schema.get("description")).and_then(Value::as_str);
        behind.unwrap_or("<no description>")
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The only values of a field, the empty one as `""`.
fn values(schema: &Value) -> Vec<String> {
    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    values.map(|value| if value.is_empty() { "\"\"".to_owned() } else { value.to_owned() }).collect()
}

fn is_required(holder: &Value, field: &str) -> bool {
    let required = holder.get("required").and_then(Value::as_array).into_iter().flatten();
    required.filter_map(Value::as_str).any(|name| name == field)
}

/// Words in lines of [`WIDTH`] columns.
fn wrapped(text: &str, indent: usize, out: &mut String) {
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                out.push_str(&format!("{:indent$}{line}\n", ""));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push_str(&format!("{:indent$}{line}\n", ""));
    }
}
