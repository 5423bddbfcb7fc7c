//! `edgesvc get --watch`: what is there, and then every change until the server
//! or the user ends it.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use super::client::{Ask, AskError, Client, JSON, Refusal, TABLE, whole};
use super::exit::{Code, Failure};
use super::format::Format;
use super::get::{self, Options, Watch, with_query};
use super::output;
use super::resource::{self, Named};
use super::table::{Columns, TableStyle};

/// Bytes of one watch event: an object is at most 3 MiB, and escapes may double it.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Prints what is there, unless only changes are wanted, and then every change.
pub(super) async fn watch(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let Some(thing) = options.things.first() else { return Ok(()) };
    let accept = if options.format.is_table() { TABLE } else { JSON };
    let path = get::path(thing, options);
    let before = client.ask(Ask { accept, ..Ask::get(&path) }).await?;
    output::warn(&before.warnings);
    let mut printer = Printer::new(options, thing);
    if options.watch == Watch::AndList {
        printer.there(&before.value)?;
    } else {
        printer.columns.learn(&before.value, &printer.style);
    }
    // Of one object the table's metadata has no list revision; its row's object does.
    let revision = before.value.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let mut query = options.query();
    if let Some(name) = &thing.name {
        query.push(format!("fieldSelector=metadata.name%3D{}", resource::escaped(name)));
    }
    query.push("watch=true".to_owned());
    query.extend(revision.filter(|text| !text.is_empty()).map(|text| format!("resourceVersion={text}")));
    let path = with_query(resource::collection(thing.kind, options.namespace_of(thing)), &query);
    let mut events = Events::open(client, &path, accept).await?;
    while let Some((what, object)) = events.next().await? {
        printer.event(&what, &object)?;
    }
    Ok(())
}

/// The events of a watch.
pub(super) struct Events {
    body: Incoming,
    rest: Vec<u8>,
}

impl Events {
    /// Opens a watch; what the server refuses is an error.
    pub(super) async fn open(client: &mut Client, path: &str, accept: &str) -> Result<Events, Failure> {
        let response = client.send(Ask { accept, ..Ask::get(path) }).await?;
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(Events { body, rest: Vec::new() });
        }
        let bytes = whole(body).await?;
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(AskError::Refused(Refusal::of(status, value, &bytes)).into())
    }

    /// The next change: its word and its object; nothing when the server ended the watch.
    pub(super) async fn next(&mut self) -> Result<Option<(String, Value)>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                match understood(&line)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if self.rest.len() > EVENT_BYTES_MAX {
                return Err(Failure::new(Code::Io, format!("a watch event is larger than {EVENT_BYTES_MAX} bytes")));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Failure::from_error(Code::Unreachable, "the watch broke off", &error))?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

/// A line of a watch; bookmarks are nothing to anybody here.
fn understood(line: &[u8]) -> Result<Option<(String, Value)>, Failure> {
    let mut event: Value =
        serde_json::from_slice(line).map_err(|error| Failure::from_error(Code::Io, "a watch event", &error))?;
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    match event.get("type").and_then(Value::as_str).unwrap_or_default() {
        "BOOKMARK" => Ok(None),
        "ERROR" => {
            let code = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = hyper::StatusCode::from_u16(code.unwrap_or(500)).unwrap_or_default();
            Err(AskError::Refused(Refusal::of(status, object, b"")).into())
        }
        what => Ok(Some((what.to_owned(), object))),
    }
}

struct Printer<'a> {
    style: TableStyle,
    columns: Columns,
    options: &'a Options,
    thing: &'a Named,
}

impl<'a> Printer<'a> {
    fn new(options: &'a Options, thing: &'a Named) -> Printer<'a> {
        Printer { style: options.style(thing), columns: Columns::default(), options, thing }
    }

    /// What was there before the watch began.
    fn there(&mut self, value: &Value) -> Result<(), Failure> {
        if self.options.format.is_table() {
            self.columns.learn(value, &self.style);
            if value.get("rows").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return Ok(());
            }
            return self.event("ADDED", value);
        }
        match value.get("items").and_then(Value::as_array) {
            Some(items) => {
                for item in items {
                    self.event("ADDED", &get::typed(self.thing.kind, item.clone()))?;
                }
                Ok(())
            }
            None => self.event("ADDED", value),
        }
    }

    fn event(&mut self, what: &str, object: &Value) -> Result<(), Failure> {
        let format = &self.options.format;
        if format.is_table() {
            self.style.event = self.options.watch_events.then(|| what.to_owned());
            self.columns.learn(object, &self.style);
            output::print(&self.columns.render(object, &self.style))?;
            self.style.header = false;
            return Ok(());
        }
        if self.options.watch_events && matches!(format, Format::Yaml | Format::Json) {
            let event = serde_json::json!({"object": object, "type": what});
            return output::print(&output::document(&event, format)?);
        }
        match format {
            Format::Name => output::line(&output::name_of(self.thing.kind, object)),
            Format::Yaml => output::print(&format!("---\n{}", output::document(object, format)?)),
            _ => {
                let text = output::rendered(object, std::slice::from_ref(object), format, self.style.header)?;
                self.style.header = false;
                output::print(&text)
            }
        }
    }
}
