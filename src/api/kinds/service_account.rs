//! `v1` ServiceAccount: a name, and whom tokens name (`server/accounts`).

use serde_json::{Value, json};

use super::read::{annotation, list_mut, text};

/// Deprecated, and without effect here: no Pod is given anything to mount.
const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Of a Secret referred to only the name is kept, as the real server does.
pub(super) fn default(value: &mut Value) {
    for reference in list_mut(value, "/secrets") {
        let name = text(reference, "/name").to_owned();
        *reference = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    }
}

/// What the client should hear of an account that is accepted.
pub(super) fn warnings(value: &Value, old: Option<&Value>) -> Vec<String> {
    let set = |value: &Value| annotation(value, ENFORCE_MOUNTABLE).is_some();
    let anew = set(value) && !old.is_some_and(set);
    let text = || {
        format!(
            "metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )
    };
    anew.then(text).into_iter().collect()
}
