//! `edgesvc get`: tables, documents, names, and watching.

use http_body_util::BodyExt as _;
use serde_json::Value;

use super::client::{Ask, AskError, Client, JSON, Refusal, TABLE, whole};
use super::exit::{Code, Failure};
use super::output::{self, Columns, Format, TableStyle};
use super::resource::{self, Named};
use crate::model::Kind;

/// Bytes of one watch event: an object is at most 3 MiB, and escapes may double it.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What `get` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) things: Vec<Named>,
    pub(super) namespace: Option<String>,
    pub(super) all_namespaces: bool,
    pub(super) selector: Option<String>,
    pub(super) field_selector: Option<String>,
    pub(super) format: Format,
    pub(super) watch: bool,
    pub(super) no_headers: bool,
    pub(super) ignore_not_found: bool,
}

impl Options {
    fn namespace_of(&self, kind: Kind) -> Option<&str> {
        if self.all_namespaces || !kind.resource().namespaced {
            return None;
        }
        Some(self.namespace.as_deref().unwrap_or("default"))
    }

    fn query(&self) -> Vec<String> {
        let pair = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={}", resource::escaped(value)))
        };
        pair("labelSelector", &self.selector).into_iter().chain(pair("fieldSelector", &self.field_selector)).collect()
    }

    fn style(&self, kind: Kind) -> TableStyle {
        let kinds: std::collections::BTreeSet<Kind> = self.things.iter().map(|thing| thing.kind).collect();
        TableStyle {
            wide: self.format == Format::Wide,
            namespaces: self.all_namespaces && kind.resource().namespaced,
            kind: (kinds.len() > 1).then_some(kind),
            header: !self.no_headers,
        }
    }
}

/// Gets everything named.
pub(super) async fn get(client: &mut Client, options: &Options) -> Result<(), Failure> {
    check(options)?;
    if options.watch {
        return watch(client, options).await;
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
    if options.watch && options.things.len() != 1 {
        return usage("error: you may only specify a single resource type with --watch");
    }
    Ok(())
}

/// One request: a named object, or a collection.
fn path(thing: &Named, options: &Options) -> String {
    let namespace = options.namespace_of(thing.kind);
    match &thing.name {
        Some(name) => resource::object(thing.kind, namespace.unwrap_or_default(), name),
        None => with_query(resource::collection(thing.kind, namespace), &options.query()),
    }
}

fn with_query(path: String, pairs: &[String]) -> String {
    if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
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
    let mut printed: Option<Kind> = None;
    let mut columns = Columns::default();
    let mut anything = false;
    for thing in &options.things {
        let path = path(thing, options);
        let table = match client.ask(Ask { accept: TABLE, ..Ask::get(&path) }).await {
            Ok(answer) => answer,
            Err(error) => {
                noted(error, options, refusals)?;
                continue;
            }
        };
        table.warnings.iter().for_each(|text| output::note(&format!("Warning: {text}")));
        if table.value.get("rows").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            continue;
        }
        anything = true;
        let mut style = options.style(thing.kind);
        // Rows of one kind asked for by name stand under one header.
        if printed == Some(thing.kind) {
            style.header = false;
        } else {
            columns = Columns::default();
            if printed.is_some() {
                output::line("")?;
            }
        }
        printed = Some(thing.kind);
        columns.learn(&table.value, style);
        output::print(&columns.render(&table.value, style))?;
    }
    if !anything && refusals.is_empty() && !options.ignore_not_found {
        let first = options.things.first().and_then(|thing| options.namespace_of(thing.kind));
        output::note(&match first {
            Some(namespace) => format!("No resources found in {namespace} namespace."),
            None => "No resources found".to_owned(),
        });
    }
    Ok(())
}

async fn documents(client: &mut Client, options: &Options, refusals: &mut Vec<String>) -> Result<(), Failure> {
    let single = options.things.len() == 1 && options.things.iter().all(|thing| thing.name.is_some());
    let mut found: Vec<(Kind, Value)> = Vec::new();
    for thing in &options.things {
        match client.ask(Ask::get(&path(thing, options))).await {
            Ok(answer) if thing.name.is_some() => found.push((thing.kind, answer.value)),
            Ok(mut answer) => {
                let items = answer.value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
                found.extend(items.unwrap_or_default().into_iter().map(|item| (thing.kind, typed(thing.kind, item))));
            }
            Err(error) => noted(error, options, refusals)?,
        }
    }
    if options.format == Format::Name {
        for (kind, object) in &found {
            output::line(&output::name_of(*kind, object))?;
        }
        return Ok(());
    }
    if single && found.is_empty() {
        return Ok(());
    }
    let mut objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    let value = if single { objects.pop().unwrap_or_default() } else { output::list(objects) };
    output::print(&output::document(&value, options.format)?)
}

/// Items of a list carry no type; alone they need one.
fn typed(kind: Kind, mut item: Value) -> Value {
    if let Some(members) = item.as_object_mut() {
        members.insert("apiVersion".to_owned(), kind.api_version().into());
        members.insert("kind".to_owned(), kind.resource().kind.into());
    }
    item
}

/// Prints what is there and then every change, until the server or the user ends it.
async fn watch(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let Some(thing) = options.things.first() else { return Ok(()) };
    let mut query = options.query();
    if let Some(name) = &thing.name {
        query.push(format!("fieldSelector=metadata.name%3D{}", resource::escaped(name)));
    }
    query.push("watch=true".to_owned());
    let path = with_query(resource::collection(thing.kind, options.namespace_of(thing.kind)), &query);
    let accept = if options.format.is_table() { TABLE } else { JSON };
    let response = client.send(Ask { accept, ..Ask::get(&path) }).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let bytes = whole(body).await?;
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        return Err(AskError::Refused(Refusal::of(status, value, &bytes)).into());
    }
    let mut printer =
        Printer { style: options.style(thing.kind), columns: Columns::default(), options, kind: thing.kind };
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_error(Code::Unreachable, "the watch broke off", &error))?;
        let Ok(data) = frame.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            printer.event(&line)?;
        }
        if rest.len() > EVENT_BYTES_MAX {
            return Err(Failure::new(Code::Io, format!("a watch event is larger than {EVENT_BYTES_MAX} bytes")));
        }
    }
    Ok(())
}

struct Printer<'a> {
    style: TableStyle,
    columns: Columns,
    options: &'a Options,
    kind: Kind,
}

impl Printer<'_> {
    fn event(&mut self, line: &[u8]) -> Result<(), Failure> {
        let event: Value =
            serde_json::from_slice(line).map_err(|error| Failure::from_error(Code::Io, "a watch event", &error))?;
        let object = event.get("object").unwrap_or(&Value::Null);
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "BOOKMARK" => return Ok(()),
            "ERROR" => {
                let code = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
                let status = hyper::StatusCode::from_u16(code.unwrap_or(500)).unwrap_or_default();
                return Err(AskError::Refused(Refusal::of(status, object.clone(), b"")).into());
            }
            _ => {}
        }
        match self.options.format {
            Format::Table | Format::Wide => {
                self.columns.learn(object, self.style);
                output::print(&self.columns.render(object, self.style))?;
                self.style.header = false;
                Ok(())
            }
            Format::Name => output::line(&output::name_of(self.kind, object)),
            Format::Yaml => output::print(&format!("---\n{}", output::document(object, Format::Yaml)?)),
            Format::Json => output::print(&output::document(object, Format::Json)?),
        }
    }
}
