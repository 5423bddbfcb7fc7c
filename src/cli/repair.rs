//! `edgesvc repair`: has the daemon compare the addresses and ports recorded on
//! flash with the Services that hold them, and put right what is wrong.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::client::{Ask, Client, JSON};
use super::exit::Failure;
use super::output;

/// Asks, and says what was found, a line each.
pub(super) async fn repair(client: &mut Client, dry_run: bool) -> Result<(), Failure> {
    let path = if dry_run { "/edgesvc/v1/repair?dryRun=All" } else { "/edgesvc/v1/repair" };
    let ask = Ask { method: Method::POST, path, accept: JSON, content_type: JSON, body: Bytes::new() };
    let answer = client.ask(ask).await?.value;
    let faults = answer.get("faults").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for fault in faults {
        output::line(fault.get("message").and_then(Value::as_str).unwrap_or_default())?;
    }
    output::line(&match (faults.len(), dry_run) {
        (0, _) => "nothing to repair".to_owned(),
        (count, true) => format!("{count} found (dry run)"),
        (count, false) => format!("{count} repaired"),
    })
}
