//! Field selectors (spec/api.md section 6).

use serde_json::Value;

use super::event;
use super::read::text;
use crate::model::{Kind, Object};

/// Whether a kind can be selected by a field, beside name and namespace.
pub fn field_supported(kind: Kind, path: &str) -> bool {
    if kind == Kind::EventsEvent {
        let core = event::core_path(path);
        return core.is_some_and(|core| field_supported(Kind::Event, &core));
    }
    let own = own_fields(kind).contains(&path);
    own || path == "metadata.name" || (path == "metadata.namespace" && kind.resource().namespaced)
}

/// Whether a kind has selectable fields beside name and namespace.
pub fn has_own_fields(kind: Kind) -> bool {
    !own_fields(kind.stored()).is_empty()
}

fn own_fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Service => &["spec.type", "spec.clusterIP"],
        Kind::Pod => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        Kind::Node => &["spec.unschedulable"],
        Kind::Namespace => &["status.phase"],
        Kind::Secret => &["type"],
        Kind::Event => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

/// The text a field selector compares; none when the field is not supported.
pub fn field(kind: Kind, object: &Object, path: &str) -> Option<String> {
    if !field_supported(kind, path) {
        return None;
    }
    match path {
        "metadata.name" => return Some(object.key.name.to_string()),
        "metadata.namespace" => return Some(object.key.namespace.to_string()),
        _ => {}
    }
    // Two places may say it; the first that does counts.
    let places: Option<[&str; 2]> = match (kind, path) {
        (Kind::Event, "source") => Some(["/source/component", "/reportingComponent"]),
        (Kind::Pod, "status.podIP") => Some(["/status/podIPs/0/ip", "/status/podIP"]),
        _ => None,
    };
    let value = object.value();
    if let Some(places) = places {
        let found = places.into_iter().map(|place| text(&value, place)).find(|own| !own.is_empty());
        return Some(found.unwrap_or_default().to_owned());
    }
    let member = format!("/{}", path.replace('.', "/"));
    let boolean = matches!(path, "spec.hostNetwork" | "spec.unschedulable");
    Some(match value.pointer(&member) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(on)) => on.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) if boolean => "false".to_owned(),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => String::new(),
    })
}
