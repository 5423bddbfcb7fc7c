//! `/edgesvc/v1/settings`: what this daemon was told at its start, as flags would say it.
//! For administrators, as `repair`: commands that act on the box beside the daemon ask
//! here, as another shell has neither its flags nor its environment.

use std::collections::BTreeMap;

use serde_json::json;

use super::answer::Answer;
use super::handle::Call;

/// Values by the names of settings.
pub type Settings = BTreeMap<&'static str, String>;

/// Answers them.
pub(super) fn settings(call: &Call) -> Answer {
    Answer::value(200, call.accepted, &json!({ "settings": call.api.settings }))
}
