//! WATCH: changes as they are published (spec/api.md section 7). A watch holds no
//! queue: it knows the revision it has told and, whenever its connection can take
//! more, reads on from the store's bounded history. One that falls behind that
//! history is told 410 and ended; nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch as latest;
use tokio::time::{Instant, sleep_until};

use super::super::status::ApiError;
use super::accept::{Accepted, Encoding, Form, JSON, PROTOBUF};
use super::answer::{Answer, Outcome, line, sealed};
use super::handle::Call;
use super::list;
use super::route::Target;
use super::selector::Selection;
use super::show::{self, Include};
use super::stream::{AnswerBody, Chunks, NextChunk};
use crate::model::{Cause, Kind, Object, Revision};
use crate::store::{Event, EventType, Snapshot};

/// Watches without a timeout end after this and up to as long again, so that
/// clients that came together do not come back together.
const TIMEOUT_MIN_SECONDS: u64 = 1_800;
/// No watch lives longer.
const TIMEOUT_MAX_SECONDS: u64 = 24 * 3_600;
/// How often a watch that saw something is told how far it is.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes gathered into one chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// The state of one watch.
struct Watch {
    kind: Kind,
    selection: Selection,
    accepted: Accepted,
    include: Include,
    newest: latest::Receiver<Arc<Snapshot>>,
    shutdown: latest::Receiver<bool>,
    /// Objects of the initial state still to be told.
    initial: VecDeque<Arc<Object>>,
    /// What ends the initial state, if the client wants to know.
    initial_end: Option<Revision>,
    /// Everything up to here is told.
    seen: Revision,
    bookmarks: bool,
    /// Something was told since the last bookmark.
    told: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Table definitions go with the first event only.
    definitions_told: bool,
    ended: bool,
}

/// Opens a watch.
pub(super) fn watch(call: &Call, target: &Target) -> Outcome {
    let query = &call.query;
    let selection = list::selection(call, target)?;
    let revision = query.revision()?;
    let bookmarks = query.flag("allowWatchBookmarks") == Some(true);
    let initial_events = initial_events(call)?;
    let seconds = match query.integer("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => u64::try_from(seconds).unwrap_or(u64::MAX).min(TIMEOUT_MAX_SECONDS),
        _ => fastrand::u64(TIMEOUT_MIN_SECONDS..=2 * TIMEOUT_MIN_SECONDS),
    };
    let include = Include::parse(query)?;
    let mut newest = call.api.store.subscribe();
    let snapshot = Arc::clone(&newest.borrow_and_update());
    let from_state = initial_events.unwrap_or(matches!(revision, None | Some(0)));
    let initial: VecDeque<Arc<Object>> = if from_state {
        let objects = snapshot.list(target.kind.stored(), target.namespace.as_deref());
        objects.filter(|object| selection.matches(object)).cloned().collect()
    } else {
        VecDeque::new()
    };
    let seen = match revision {
        Some(revision) if !from_state && revision != 0 => Revision(revision),
        _ => snapshot.revision(),
    };
    let now = Instant::now();
    let watch = Watch {
        kind: target.kind,
        selection,
        accepted: call.accepted,
        include,
        newest,
        shutdown: call.api.shutdown.clone(),
        initial,
        initial_end: (initial_events == Some(true) && bookmarks).then_some(seen),
        seen,
        bookmarks,
        told: false,
        next_bookmark: now + BOOKMARK_INTERVAL,
        deadline: now + Duration::from_secs(seconds),
        definitions_told: false,
        ended: false,
    };
    let media = match call.accepted.encoding {
        Encoding::Protobuf => format!("{PROTOBUF};stream=watch"),
        Encoding::Json | Encoding::Yaml => JSON.to_owned(),
    };
    Ok(Answer::new(200, media, AnswerBody::chunks(watch)))
}

/// `sendInitialEvents`, if its companions fit.
fn initial_events(call: &Call) -> Result<Option<bool>, ApiError> {
    let asked = call.query.flag("sendInitialEvents");
    let revision_match = call.query.get("resourceVersionMatch");
    let cause = match (asked, revision_match) {
        (None, None) | (Some(_), Some("NotOlderThan")) => return Ok(asked),
        (None, Some(_)) => Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (Some(_), None) => Cause::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (Some(_), Some(other)) => Cause::not_supported("resourceVersionMatch", &other.into(), &["NotOlderThan"]),
    };
    Err(ApiError::invalid_options("ListOptions", &[cause]))
}

impl Chunks for Watch {
    fn next(mut self: Box<Self>) -> NextChunk {
        Box::pin(async move {
            let chunk = self.chunk().await?;
            Some((chunk, self as Box<dyn Chunks>))
        })
    }
}

impl Watch {
    /// The next bytes; `None` ends the watch.
    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            let mut out = Vec::new();
            self.tell_initial(&mut out);
            if out.is_empty() {
                self.tell_changes(&mut out);
            }
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
            let bookmark_at = if self.bookmarks && self.told { self.next_bookmark } else { self.deadline };
            tokio::select! {
                biased;
                () = super::stopped(&mut self.shutdown) => return None,
                () = sleep_until(self.deadline) => return None,
                changed = self.newest.changed() => {
                    changed.ok()?;
                    continue;
                }
                () = sleep_until(bookmark_at) => {
                    self.told = false;
                    self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                }
            }
            let line = self.bookmark(self.seen, false);
            return Some(Bytes::from(line));
        }
    }

    fn tell_initial(&mut self, out: &mut Vec<u8>) {
        while out.len() < CHUNK_BYTES
            && let Some(object) = self.initial.pop_front()
        {
            self.tell(out, "ADDED", &object);
        }
        if self.initial.is_empty()
            && let Some(revision) = self.initial_end.take()
        {
            let line = self.bookmark(revision, true);
            out.extend_from_slice(&line);
        }
    }

    /// Tells what happened since, up to a chunk.
    fn tell_changes(&mut self, out: &mut Vec<u8>) {
        let snapshot = Arc::clone(&self.newest.borrow_and_update());
        if self.seen > snapshot.revision() {
            return;
        }
        let events = match snapshot.events_since(self.kind.stored(), self.seen) {
            Ok(events) => events,
            Err(expired) => {
                self.ended = true;
                let status = ApiError::expired(expired.to_string()).to_value();
                out.extend_from_slice(&self.frame("ERROR", &line(&status), || sealed(&status).unwrap_or_default()));
                return;
            }
        };
        for event in events {
            self.tell_event(out, &event);
            self.seen = event.object.revision;
            if out.len() >= CHUNK_BYTES {
                // The rest is read when this is taken.
                return;
            }
        }
        self.seen = self.seen.max(snapshot.revision());
    }

    /// An object that comes into view was added, one that leaves it is deleted.
    fn tell_event(&mut self, out: &mut Vec<u8>, event: &Event) {
        let previous = event.previous.as_ref().filter(|object| self.selection.matches(object));
        let after = event.r#type != EventType::Deleted && self.selection.matches(&event.object);
        match (previous, after) {
            (None, false) => {}
            (None, true) => self.tell(out, "ADDED", &event.object),
            (Some(_), true) => self.tell(out, "MODIFIED", &event.object),
            (Some(_), false) if event.r#type == EventType::Deleted => self.tell(out, "DELETED", &event.object),
            // Who selects is shown the last state that fitted, not the one that does not.
            (Some(previous), false) => self.tell(out, "DELETED", &Arc::new(previous.at(event.object.revision))),
        }
    }

    fn tell(&mut self, out: &mut Vec<u8>, r#type: &str, object: &Arc<Object>) {
        self.told = true;
        let object = &*show::viewed(self.kind, object);
        let bytes = match self.accepted.form {
            Form::Object => self.frame(r#type, &object.json(), || list::sealed_object(object)),
            Form::Metadata => self.frame(r#type, &line(&show::metadata_only(object)), Vec::new),
            Form::Table => {
                let rows = vec![show::row(object, self.include, crate::clock::now())];
                let metadata = json!({"resourceVersion": object.revision.to_string()});
                let table = show::table(self.kind, metadata, rows, !self.definitions_told);
                self.definitions_told = true;
                self.frame(r#type, &line(&table), Vec::new)
            }
        };
        out.extend_from_slice(&bytes);
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end && let Some(members) = metadata.as_object_mut() {
            members.insert("annotations".to_owned(), json!({"k8s.io/initial-events-end": "true"}));
        }
        let object = match self.accepted.form {
            Form::Object => {
                json!({"kind": self.kind.resource().kind, "apiVersion": self.kind.api_version(), "metadata": metadata})
            }
            Form::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Table => {
                let shown = json!({
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                });
                let rows = vec![json!({"cells": Value::Array(Vec::new()), "object": shown})];
                show::table(self.kind, json!({"resourceVersion": revision.to_string()}), rows, false)
            }
        };
        self.frame("BOOKMARK", &line(&object), || sealed(&object).unwrap_or_default())
    }

    /// One event on the wire: a line of JSON, or length and WatchEvent
    /// {1: type, 2: RawExtension {1: raw}}.
    fn frame(&self, r#type: &str, json: &[u8], protobuf: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        if self.accepted.encoding == Encoding::Protobuf {
            let mut raw = Vec::new();
            list::message_field(&mut raw, 1, &protobuf());
            let mut event = Vec::new();
            list::message_field(&mut event, 1, r#type.as_bytes());
            list::message_field(&mut event, 2, &raw);
            let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
            return [length.to_be_bytes().as_slice(), &event].concat();
        }
        [b"{\"type\":\"", r#type.as_bytes(), b"\",\"object\":", json, b"}\n"].concat()
    }
}
