//! Events: what the controllers report, and the end of every report.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::draft;
use super::{Decision, Scene};
use crate::clock::rfc3339_micro;
use crate::model::object::ParseError;
use crate::model::{Kind, Object, ObjectKey};
use crate::store::Op;

/// How long an event is kept after its last write: the real server's default.
const KEPT: Duration = Duration::hours(1);
/// Most events at once: an hour of a box that is not well, in a few MB. Beyond, the
/// oldest go.
const EVENTS_MAX: usize = 2000;
/// Events removed in one write.
const DELETES_MAX: usize = 500;

/// What is reported of an object.
pub(super) struct Report<'a> {
    pub(super) controller: &'a str,
    pub(super) action: &'a str,
    pub(super) reason: &'a str,
    pub(super) note: String,
}

/// A warning about an object; of one without a namespace it stands in `default`.
pub(super) fn warning(scene: &mut Scene<'_>, about: &Object, report: &Report<'_>) -> Result<Op, ParseError> {
    let namespace = if about.key.namespace.is_empty() { "default" } else { &*about.key.namespace };
    let name = format!("{}.{:x}", about.key.name, scene.now.unix_timestamp_nanos());
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
