//! `v1` Event. An event with `eventTime` is one of the newer form and is held to
//! its rules; the others are taken nearly as they are.

use serde_json::Value;

use super::read::{present, text};
use crate::model::{Cause, name};

/// Characters of `action`, `reason` and `reportingInstance`.
const WORD_MAX: usize = 128;
/// Bytes of `message`.
const MESSAGE_MAX: usize = 1024;

/// Checks an event.
pub(super) fn validate(value: &Value) -> Vec<Cause> {
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
        newer_form(value, &mut causes);
    }
    causes
}

fn newer_form(value: &Value, causes: &mut Vec<Cause>) {
    let reporter = text(value, "/reportingComponent");
    if reporter.is_empty() {
        causes.push(Cause::required("reportingComponent", ""));
    }
    let faults = name::qualified_name(reporter);
    causes.extend(faults.iter().map(|fault| Cause::invalid("reportingComponent", &reporter.into(), fault)));
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
