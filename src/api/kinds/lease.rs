//! `coordination.k8s.io/v1` Lease. Coordinated election is off in Kubernetes 1.36
//! by default, so its two members are dropped.

use serde_json::Value;

use super::read::{int, unset};
use crate::model::Cause;

/// Drops what only coordinated election uses.
pub(super) fn begin(value: &mut Value) {
    if let Some(spec) = value.get_mut("spec") {
        unset(spec, "strategy");
        unset(spec, "preferredHolder");
    }
}

/// Checks a Lease.
pub(super) fn validate(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (member, least, detail) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        let pointer = format!("/spec/{member}");
        if value.pointer(&pointer).is_some_and(Value::is_number) && int(value, &pointer) < least {
            causes.push(Cause::invalid(format!("spec.{member}"), &int(value, &pointer).into(), detail));
        }
    }
    causes
}
