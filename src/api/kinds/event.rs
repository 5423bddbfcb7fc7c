//! `v1` Event. An event with `eventTime` is one of the newer form and is held to
//! its rules; the others are taken nearly as they are. `events.k8s.io/v1` shows the
//! same objects under other names, and holds what is written through it to more.

use serde_json::{Map, Value, json};

use super::read::{int, present, text};
use crate::model::{Cause, Kind, name};

/// Characters of `action`, `reason` and `reportingInstance`.
const WORD_MAX: usize = 128;
/// Bytes of `message`.
const MESSAGE_MAX: usize = 1024;

/// Members with two names: the core group's, that of `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The same event in the words of `kind`, which is one of the two.
pub(super) fn converted(kind: Kind, value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let renamed = members.into_iter().map(|(member, content)| {
        let pair = NAMES.iter().find_map(|(core, newer)| match kind {
            Kind::EventsEvent => (*core == member).then_some(*newer),
            _ => (*newer == member).then_some(*core),
        });
        (pair.map_or(member, str::to_owned), content)
    });
    let mut members: Map<String, Value> = renamed.collect();
    if kind == Kind::EventsEvent {
        // The core group writes these even when empty.
        for member in ["reportingController", "reportingInstance"] {
            if members.get(member).and_then(Value::as_str) == Some("") {
                members.remove(member);
            }
        }
    }
    members.insert("apiVersion".to_owned(), kind.api_version().into());
    Value::Object(members)
}

/// The path of a field of `events.k8s.io` in the core group's words; none when it
/// cannot be selected by.
pub(super) fn core_path(path: &str) -> Option<String> {
    match path {
        "reason" | "type" | "metadata.name" | "metadata.namespace" => Some(path.to_owned()),
        "reportingController" => Some("reportingComponent".to_owned()),
        _ => path.strip_prefix("regarding.").map(|rest| format!("involvedObject.{rest}")),
    }
}

/// Checks a new event of `events.k8s.io`, given in the core group's words.
pub(super) fn validate_newer(value: &Value) -> Vec<Cause> {
    let mut causes = series(value);
    if !present(value, "/eventTime") {
        causes.push(Cause::required("eventTime", ""));
    }
    let kind = text(value, "/type");
    if !["Normal", "Warning"].contains(&kind) {
        causes.push(Cause::invalid("type", &"".into(), &format!("has invalid value: {kind}")));
    }
    for member in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let pointer = format!("/{member}");
        if present(value, &pointer) && (member != "count" || int(value, &pointer) != 0) {
            causes.push(Cause::invalid(member, &"".into(), "needs to be unset"));
        }
    }
    causes
}

fn series(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if value.get("series").is_some_and(Value::is_object) {
        if int(value, "/series/count") < 2 {
            causes.push(Cause::invalid("series.count", &"".into(), "should be at least 2"));
        }
        if !present(value, "/series/lastObservedTime") {
            causes.push(Cause::required("series.lastObservedTime", ""));
        }
    }
    causes
}

/// Checks what a write through `events.k8s.io` may not change: all but the series.
pub(super) fn validate_newer_change(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = if old.get("series") == new.get("series") { Vec::new() } else { series(new) };
    for member in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ] {
        let content = |value: &Value| value.get(member).cloned().filter(|own| *own != json!("") && !own.is_null());
        let after = content(new);
        if content(old) != after {
            let field = if member == "reportingComponent" { "reportingController" } else { member };
            causes.push(immutable(field, &after.unwrap_or_default()));
        }
    }
    causes
}

/// References are shown as Kubernetes' own type has them: every member, in capitals.
fn immutable(field: &str, shown: &Value) -> Cause {
    let mut cause = Cause::invalid(field, shown, "field is immutable");
    if matches!(field, "involvedObject" | "related") && shown.is_object() {
        let members = [
            ("Kind", "kind"),
            ("Namespace", "namespace"),
            ("Name", "name"),
            ("UID", "uid"),
            ("APIVersion", "apiVersion"),
            ("ResourceVersion", "resourceVersion"),
            ("FieldPath", "fieldPath"),
        ];
        let parts = members.map(|(go, own)| format!("\"{go}\":{}", json!(text(shown, &format!("/{own}")))));
        cause.message = format!("Invalid value: {{{}}}: field is immutable", parts.join(","));
    }
    cause
}

/// Checks an event in the core group's words; `kind` says through which group it
/// came.
pub(super) fn validate(kind: Kind, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (own, about) = (text(value, "/metadata/namespace"), text(value, "/involvedObject/namespace"));
    let newer = present(value, "/eventTime");
    // What has no namespace is told of in `default`.
    let agrees = match about {
        "" => own == "default" || (newer && own == "kube-system"),
        _ => newer || own == about,
    };
    if !agrees {
        causes.push(Cause::invalid("involvedObject.namespace", &about.into(), "does not match event.namespace"));
    }
    if newer {
        newer_form(kind, value, &mut causes);
    }
    causes
}

fn newer_form(kind: Kind, value: &Value, causes: &mut Vec<Cause>) {
    let reporter = text(value, "/reportingComponent");
    let field = if kind == Kind::EventsEvent { "reportingController" } else { "reportingComponent" };
    if reporter.is_empty() {
        causes.push(Cause::required(field, ""));
    }
    let faults = name::qualified_name(reporter);
    causes.extend(faults.iter().map(|fault| Cause::invalid(field, &reporter.into(), fault)));
    for member in ["reportingInstance", "action", "reason"] {
        let shown = text(value, &format!("/{member}"));
        if shown.is_empty() {
            causes.push(Cause::required(member, ""));
        }
        if shown.len() > WORD_MAX {
            causes.push(Cause::invalid(member, &"".into(), "can have at most 128 characters"));
        }
    }
    if text(value, "/message").len() > MESSAGE_MAX {
        causes.push(Cause::invalid("message", &"".into(), "can have at most 1024 characters"));
    }
}
