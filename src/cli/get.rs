//! `edgesvc get`: tables, documents, names and templates.

use serde_json::Value;

use super::client::{Ask, AskError, Client, TABLE, whole};
use super::exit::{Code, Failure};
use super::format::Format;
use super::jsonpath::Template;
use super::output;
use super::resource::{self, Named};
use super::sort;
use super::table::{Columns, TableStyle};
use super::watch;
use crate::model::Kind;

/// What `get` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) things: Vec<Named>,
    pub(super) namespace: String,
    pub(super) all_namespaces: bool,
    pub(super) selector: Option<String>,
    pub(super) field_selector: Option<String>,
    pub(super) format: Format,
    pub(super) watch: Watch,
    pub(super) watch_events: bool,
    pub(super) no_headers: bool,
    pub(super) ignore_not_found: bool,
    pub(super) show_kind: bool,
    pub(super) show_labels: bool,
    pub(super) label_columns: Vec<String>,
    pub(super) sort_by: Option<(Template, String)>,
    pub(super) subresource: Option<String>,
    pub(super) managed_fields: bool,
}

/// Whether to go on after what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    No,
    AndList,
    Only,
}

impl Options {
    pub(super) fn namespace_of<'a>(&'a self, thing: &'a Named) -> Option<&'a str> {
        if self.all_namespaces || !thing.kind.resource().namespaced {
            return None;
        }
        Some(thing.namespace.as_deref().unwrap_or(&self.namespace))
    }

    pub(super) fn query(&self) -> Vec<String> {
        let pair = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={}", resource::escaped(value)))
        };
        pair("labelSelector", &self.selector).into_iter().chain(pair("fieldSelector", &self.field_selector)).collect()
    }

    pub(super) fn style(&self, thing: &Named) -> TableStyle {
        let kinds: std::collections::BTreeSet<Kind> = self.things.iter().map(|thing| thing.kind).collect();
        TableStyle {
            wide: self.format == Format::Wide,
            namespaces: self.all_namespaces && thing.kind.resource().namespaced,
            kind: (self.show_kind || kinds.len() > 1).then_some(thing.kind),
            header: !self.no_headers,
            event: None,
            label_columns: self.label_columns.clone(),
            labels: self.show_labels,
        }
    }
}

/// `get --raw`: what a path answers, as it is.
pub(super) async fn raw(client: &mut Client, path: &str) -> Result<(), Failure> {
    if !path.starts_with('/') {
        return Err(Failure::new(
            Code::Usage,
            format!("error: --raw must be a valid URL path: {path:?} has no / in front"),
        ));
    }
    let response = client.send(Ask { accept: "*/*", ..Ask::get(path) }).await?;
    let status = response.status();
    let body = whole(response.into_body()).await?;
    let text = String::from_utf8_lossy(&body);
    if status.is_success() {
        return output::print(&text);
    }
    let value = serde_json::from_slice(&body).unwrap_or_default();
    Err(AskError::Refused(super::client::Refusal::of(status, value, &body)).into())
}

/// Gets everything named.
pub(super) async fn get(client: &mut Client, options: &Options) -> Result<(), Failure> {
    check(options)?;
    if options.watch != Watch::No {
        if options.sort_by.is_some() {
            output::note("warning: --watch requested, --sort-by will be ignored for watch events received");
        }
        return watch::watch(client, options).await;
    }
    let mut refusals = Vec::new();
    if options.format.is_table() {
        tables(client, options, &mut refusals).await?;
    } else {
        documents(client, options, &mut refusals).await?;
    }
    if refusals.is_empty() { Ok(()) } else { Err(Failure::new(Code::Refused, refusals.join("\n"))) }
}

fn check(options: &Options) -> Result<(), Failure> {
    let usage = |message: &str| Err(Failure::new(Code::Usage, message));
    let named = options.things.iter().any(|thing| thing.name.is_some());
    if named && options.all_namespaces {
        return usage("error: a resource cannot be retrieved by name across all namespaces");
    }
    if named && (options.selector.is_some() || options.field_selector.is_some()) {
        return usage("error: name cannot be provided when a selector is specified");
    }
    if options.watch != Watch::No && options.things.len() != 1 {
        return usage("error: you may only specify a single resource type");
    }
    if options.watch_events && options.watch == Watch::No {
        return usage("error: --output-watch-events option can only be used with --watch or --watch-only");
    }
    if options.show_labels && !options.format.is_table() {
        return usage("error: --show-labels option cannot be used with this output format: it needs columns");
    }
    Ok(())
}

/// One request: a named object, or a collection.
pub(super) fn path(thing: &Named, options: &Options) -> String {
    let namespace = options.namespace_of(thing);
    let sub = options.subresource.as_ref().map(|name| format!("/{}", resource::escaped(name))).unwrap_or_default();
    match &thing.name {
        Some(name) => format!("{}{sub}", resource::object(thing.kind, namespace.unwrap_or_default(), name)),
        None => with_query(resource::collection(thing.kind, namespace), &options.query()),
    }
}

pub(super) fn with_query(path: String, pairs: &[String]) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    if pairs.is_empty() { path } else { format!("{path}{mark}{}", pairs.join("&")) }
}

/// Keeps a refusal for the end, so that one missing name does not hide the others.
fn noted(error: AskError, options: &Options, refusals: &mut Vec<String>) -> Result<(), Failure> {
    match error {
        AskError::Refused(refusal) => {
            if !(options.ignore_not_found && refusal.is_not_found()) {
                refusals.push(refusal.to_string());
            }
            Ok(())
        }
        AskError::Failed(failure) => Err(failure),
    }
}

async fn tables(client: &mut Client, options: &Options, refusals: &mut Vec<String>) -> Result<(), Failure> {
    let mut found: Vec<(usize, Value)> = Vec::new();
    for (index, thing) in options.things.iter().enumerate() {
        let mut path = path(thing, options);
        if options.sort_by.is_some() {
            path = with_query(path, &["includeObject=Object".to_owned()]);
        }
        let answer = match client.ask(Ask { accept: TABLE, ..Ask::get(&path) }).await {
            Ok(answer) => answer,
            Err(error) => {
                noted(error, options, refusals)?;
                continue;
            }
        };
        output::warn(&answer.warnings);
        if answer.value.get("rows").and_then(Value::as_array).is_some_and(|rows| !rows.is_empty()) {
            found.push((index, answer.value));
        }
    }
    let found = merged(found, options);
    let mut before = false;
    for (index, mut table) in found.clone() {
        let Some(thing) = options.things.get(index) else { continue };
        if let (Some((template, text)), Some(rows)) =
            (&options.sort_by, table.get_mut("rows").and_then(Value::as_array_mut))
        {
            sort::rows(rows, template, text)?;
        }
        if before && !options.no_headers {
            output::line("")?;
        }
        before = true;
        let style = options.style(thing);
        let mut columns = Columns::default();
        columns.learn(&table, &style);
        output::print(&columns.render(&table, &style))?;
    }
    if found.is_empty() && refusals.is_empty() && !options.ignore_not_found {
        output::note(&nothing(options.things.first().and_then(|thing| options.namespace_of(thing))));
    }
    Ok(())
}

/// Rows of one kind that follow one another stand under one header.
fn merged(tables: Vec<(usize, Value)>, options: &Options) -> Vec<(usize, Value)> {
    let kind = |index: usize| options.things.get(index).map(|thing| thing.kind);
    let mut out: Vec<(usize, Value)> = Vec::new();
    for (index, mut table) in tables {
        let rows = table.get_mut("rows").and_then(Value::as_array_mut);
        match (out.last_mut(), rows) {
            (Some((last, known)), Some(rows)) if kind(*last) == kind(index) => {
                if let Some(all) = known.get_mut("rows").and_then(Value::as_array_mut) {
                    all.append(rows);
                }
            }
            _ => out.push((index, table)),
        }
    }
    out
}

/// kubectl's words for nothing.
pub(super) fn nothing(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("No resources found in {namespace} namespace."),
        None => "No resources found".to_owned(),
    }
}

async fn documents(client: &mut Client, options: &Options, refusals: &mut Vec<String>) -> Result<(), Failure> {
    let single = options.things.len() == 1 && options.things.iter().all(|thing| thing.name.is_some());
    let mut found: Vec<(Kind, Value)> = Vec::new();
    for thing in &options.things {
        match client.ask(Ask::get(&path(thing, options))).await {
            Ok(answer) if thing.name.is_some() => {
                output::warn(&answer.warnings);
                found.push((thing.kind, answer.value));
            }
            Ok(mut answer) => {
                output::warn(&answer.warnings);
                let items = answer.value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
                found.extend(items.unwrap_or_default().into_iter().map(|item| (thing.kind, typed(thing.kind, item))));
            }
            Err(error) => noted(error, options, refusals)?,
        }
    }
    if let Some((template, text)) = &options.sort_by {
        sort::objects(&mut found, template, text)?;
    }
    if options.format == Format::Name {
        for (kind, object) in &found {
            output::line(&output::name_of(*kind, object))?;
        }
        return Ok(());
    }
    if single && found.is_empty() || options.ignore_not_found && found.is_empty() {
        return Ok(());
    }
    let objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    let value = if single { objects.first().cloned().unwrap_or_default() } else { output::list(objects.clone()) };
    if options.managed_fields && matches!(options.format, Format::Yaml | Format::Json) {
        return output::print(&output::whole_document(&value, &options.format)?);
    }
    output::print(&output::rendered(&value, &objects, &options.format, !options.no_headers)?)
}

/// Items of a list carry no type; alone they need one.
pub(super) fn typed(kind: Kind, mut item: Value) -> Value {
    if let Some(members) = item.as_object_mut() {
        members.insert("apiVersion".to_owned(), kind.api_version().into());
        members.insert("kind".to_owned(), kind.resource().kind.into());
    }
    item
}
