//! Events: what the controllers report, and the end of every report.

use std::sync::Arc;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::draft;
use super::trigger::Triggers;
use super::worker::Truth;
use super::{Decision, Facts, Scene};
use crate::clock::{self, rfc3339_micro};
use crate::model::object::ParseError;
use crate::model::{Kind, Object, ObjectKey};
use crate::store::{Durability, Op, Write};

/// How long an event is kept after its last write: the real server's default.
const KEPT: Duration = Duration::hours(1);
/// Most events at once: an hour of a box that is not well, in a few MB. Beyond, the
/// oldest go.
const EVENTS_MAX: usize = 2000;
/// Events removed in one write.
const DELETES_MAX: usize = 500;

/// What is reported of an object.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Who reports.
    pub controller: &'a str,
    /// What was being done.
    pub action: &'a str,
    /// Why it is reported, in one word.
    pub reason: &'a str,
    /// The same for people.
    pub note: String,
}

/// Writes a warning about an object down, for a room that sees it go wrong. One that
/// an event says already, or of an object that is gone, is not repeated; a store
/// that refuses leaves it to the log.
pub async fn warn<T: Truth>(truth: &T, facts: &Facts, kind: Kind, about: &ObjectKey, report: &Report<'_>) {
    let snapshot = Arc::clone(&truth.subscribe().borrow());
    let (now, random, triggers) = (clock::now(), fastrand::Rng::new(), &mut Triggers::default());
    let mut scene = Scene { snapshot: &snapshot, facts, now, random, triggers };
    let Some(object) = snapshot.get(kind, about) else { return };
    if super::repair::is_told(&scene, object, report) {
        return;
    }
    let written = match warning(&mut scene, object, report) {
        Ok(op) => truth.submit(Write { ops: vec![op], durability: Durability::Memory }).await.map(drop),
        Err(error) => return tracing::error!(%error, "a report is malformed"),
    };
    if let Err(error) = written {
        tracing::warn!(%error, note = report.note, "a warning could not be written down");
    }
}

/// A warning about an object; of one without a namespace it stands in `default`.
pub(super) fn warning(scene: &mut Scene<'_>, about: &Object, report: &Report<'_>) -> Result<Op, ParseError> {
    let namespace = if about.key.namespace.is_empty() { "default" } else { &*about.key.namespace };
    // Two reports of one moment must not have one name.
    let moment = scene.now.unix_timestamp_nanos() + i128::from(scene.random.u32(..1_000_000));
    let name = format!("{}.{moment:x}", about.key.name);
    let mut involved = json!({"kind": about.kind.to_string(), "apiVersion": about.kind.api_version(),
        "name": &*about.key.name, "uid": &*about.meta.uid, "resourceVersion": about.revision.to_string()});
    if !about.key.namespace.is_empty() {
        draft::set(&mut involved, "namespace", Value::from(namespace));
    }
    let value = json!({
        "metadata": scene.metadata(&ObjectKey::new(namespace, &name)), "involvedObject": involved,
        "type": "Warning", "action": report.action, "reason": report.reason, "message": report.note,
        "eventTime": rfc3339_micro(scene.now), "firstTimestamp": null, "lastTimestamp": null, "source": {},
        "reportingComponent": report.controller,
        "reportingInstance": format!("{}-{}", report.controller, scene.facts.node_name),
    });
    draft::create(Kind::Event, &value, Vec::new())
}

/// Ends an event when its time is over, and the oldest when there are too many.
pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Decision {
    let snapshot = scene.snapshot;
    let Some(event) = snapshot.get(Kind::Event, key) else { return Decision::default() };
    let more = snapshot.count(Kind::Event).saturating_sub(EVENTS_MAX);
    if more > 0 {
        let mut all: Vec<_> = snapshot.list(Kind::Event, None).collect();
        all.sort_by_key(|event| event.revision);
        let ops = all.into_iter().take(more.min(DELETES_MAX)).map(|event| draft::delete(event)).collect();
        // With the oldest gone this one is looked at again.
        return Decision { ops, again: Some(scene.now + KEPT), ..Decision::default() };
    }
    let end = written(event).unwrap_or(scene.now) + KEPT;
    if end > scene.now {
        return Decision { again: Some(end), ..Decision::default() };
    }
    let ops = if event.meta.finalizers { Vec::new() } else { vec![draft::delete(event)] };
    Decision { ops, ..Decision::default() }
}

/// When it was written last, as far as it tells.
fn written(event: &Object) -> Option<OffsetDateTime> {
    let value = event.value();
    let fields = value.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let times = fields.filter_map(|entry| entry.get("time").and_then(Value::as_str));
    times.chain([event.meta.created.as_str()]).filter_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).max()
}
