//! `/edgesvc/v1/repair`: compares the claims on flash with the objects, and puts
//! right what is wrong. For administrators: no role but cluster-admin has a rule
//! for this path.

use hyper::Method;
use serde_json::{Value, json};

use super::super::status::ApiError;
use super::answer::{Answer, Outcome};
use super::handle::Call;
use super::query::WriteOptions;
use crate::store::Fault;

/// POST: finds and mends; with `dryRun=All` it only finds.
pub(super) async fn repair(call: &Call, method: &Method) -> Outcome {
    if *method != Method::POST {
        return Err(ApiError::method_not_allowed());
    }
    let options = WriteOptions::parse(&call.query, "UpdateOptions", &call.agent, false)?;
    let faults = call.api.store.audit(!options.dry_run).await;
    let faults = faults.map_err(|error| ApiError::unavailable(&error.to_string()))?;
    for fault in &faults {
        tracing::warn!(%fault, mended = !options.dry_run, by = call.user.name, "a claim is wrong");
    }
    if !options.dry_run && !faults.is_empty() {
        // Before the answer: who reads it may look for the Events at once.
        (call.api.report_faults)(faults.clone()).await;
    }
    let shown: Vec<Value> = faults.iter().map(shown).collect();
    Ok(Answer::value(200, call.accepted, &json!({"mended": !options.dry_run, "faults": shown})))
}

fn shown(fault: &Fault) -> Value {
    json!({"claim": fault.claim, "owner": fault.owner, "message": fault.to_string()})
}
