//! PATCH: the three patches and server-side apply (spec/api.md section 8).

use bytes::Bytes;
use serde_json::Value;

use super::super::codec::{self, Decoded, FieldProblem};
use super::super::managed_fields::{self, ApplyError, Writer};
use super::super::patch::{self as patches, PatchError};
use super::super::status::{ApiError, Details, StatusCause};
use super::amend::{self, Amendment};
use super::answer::Outcome;
use super::body;
use super::create::{self, Ownership};
use super::handle::Call;
use super::persist::{self, Attempt};
use super::query::WriteOptions;
use super::replace::expected_revision;
use super::route::Target;
use super::{list, metadata, show};
use crate::model::{Cause, Kind, schema};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// What a refusal names.
const ACCEPTED: [&str; 4] = [JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY];

/// A patch, read as far as it can be without the object.
enum Patch {
    Operations(Bytes),
    Merge(Value),
    Strategic(Value),
}

/// PATCH of an object or its subresource.
pub(super) async fn patch(call: &mut Call, target: &Target, bytes: &Bytes) -> Outcome {
    let media = call.content_type.as_deref().map(body::media).unwrap_or_default().to_owned();
    if !ACCEPTED.contains(&media.as_str()) {
        return Err(ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with(Details::default()));
    }
    let options = WriteOptions::parse(&call.query, "PatchOptions", &call.agent, media == APPLY)?;
    if media == APPLY {
        return apply(call, target, bytes, &options).await;
    }
    let json = || {
        serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
    };
    let parsed = match media.as_str() {
        JSON_PATCH => Patch::Operations(bytes.clone()),
        MERGE_PATCH => Patch::Merge(json()?),
        _ => Patch::Strategic(json()?),
    };
    let (kind, name) = (target.kind, target.name.as_deref().unwrap_or_default());
    let ty = schema::type_of(kind);
    let mut failure = ApiError::modified(kind, name);
    for _ in 0..persist::ATTEMPTS_MAX {
        let snapshot = call.api.store.snapshot();
        let live = list::find(&snapshot, target)?;
        let current = live.value();
        let patched = match &parsed {
            Patch::Operations(operations) => patches::json_patch(&current, operations),
            Patch::Merge(patch) => patches::merge_patch(&current, patch),
            Patch::Strategic(patch) => patches::strategic(ty, &current, patch),
        };
        let patched = patched.map_err(refused)?;
        let whole = match parsed {
            Patch::Strategic(_) => String::from_utf8_lossy(bytes).into_owned(),
            Patch::Operations(_) | Patch::Merge(_) => patched.to_string(),
        };
        let Decoded { value: mut wanted, problems } =
            codec::prune(ty, patched).map_err(|error| ApiError::invalid_patch(&whole, &error.to_string()))?;
        let mut warnings = Vec::new();
        body::judge(&problems, options.validation, &mut warnings)
            .map_err(|strict| ApiError::invalid_patch(&whole, &strict))?;
        metadata::check_type(kind, &mut wanted).map_err(|error| ApiError::invalid_patch(&whole, &error.message))?;
        check_same_key(target, &wanted)?;
        metadata::check_key(kind, target.namespace.as_deref(), Some(name), &mut wanted)?;
        let expected = expected_revision(&wanted)?;
        if expected.is_some_and(|expected| expected != live.revision.0) {
            return Err(ApiError::modified(kind, name));
        }
        let subresource = target.subresource.as_deref();
        let amendment = Amendment { wanted, subresource, patched: true, applied: false };
        match amend::amend(call, &snapshot, &live, amendment, &options).await? {
            Attempt::Done(object) => {
                call.warnings.extend(warnings);
                return show::object(200, call.accepted, &call.query, &object);
            }
            Attempt::Again(error) => failure = error,
        }
    }
    Err(failure)
}

/// A patch cannot rename an object.
fn check_same_key(target: &Target, wanted: &Value) -> Result<(), ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    match metadata::text(wanted, "name") {
        found if found == name => Ok(()),
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        found => Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        ))),
    }
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::TooLarge { message } => ApiError::too_large(message),
        PatchError::BadRequest { message } => ApiError::bad_request(message),
        PatchError::Invalid { message } => {
            // The client is told no more than the real server tells it.
            tracing::debug!(message, "a JSON patch does not apply");
            ApiError::unprocessable()
        }
    }
}

/// Server-side apply: creates what is missing.
async fn apply(call: &mut Call, target: &Target, bytes: &Bytes, options: &WriteOptions) -> Outcome {
    let (kind, name) = (target.kind, target.name.as_deref().unwrap_or_default());
    let ty = schema::type_of(kind);
    let subresource = target.subresource.as_deref();
    let Decoded { value: mut applied, problems } =
        codec::decode_yaml(ty, bytes).map_err(|error| body::not_decoded(ty, &error))?;
    if applied.get("apiVersion").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(ApiError::bad_request("invalid object type: apiVersion must be set"));
    }
    body::judge(&problems, options.validation, &mut call.warnings).map_err(ApiError::bad_request)?;
    metadata::check_type(kind, &mut applied)?;
    // What the schema does not have, nobody can own.
    let unknown = problems.iter().find_map(|problem| match problem {
        FieldProblem::Unknown { path } => Some(path),
        FieldProblem::Duplicate { .. } => None,
    });
    if let Some(unknown) = unknown {
        let (row, namespace) = (kind.resource(), metadata::text(&applied, "namespace"));
        let object = format!("{namespace}/{name}; {}/{}, Kind={}", row.group, row.version, row.kind);
        let message =
            format!("failed to create typed patch object ({object}): .{unknown}: field not declared in schema");
        return Err(ApiError::new(500, "", message));
    }
    metadata::check_key(kind, target.namespace.as_deref(), Some(name), &mut applied)?;
    if applied.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let expected = expected_revision(&applied)?;
    let api_version = kind.api_version();
    let mut failure = ApiError::modified(kind, name);
    for _ in 0..persist::ATTEMPTS_MAX {
        let snapshot = call.api.store.snapshot();
        let time = crate::clock::rfc3339(crate::clock::now());
        let writer = Writer { manager: &options.manager, api_version: &api_version, subresource, time: &time };
        let live = match list::find(&snapshot, target) {
            Ok(live) => live,
            Err(missing) if subresource.is_some() => return Err(missing),
            Err(_) => {
                let uid = metadata::text(&applied, "uid");
                if !uid.is_empty() || expected.is_some() {
                    let why = "uid mismatch: the provided object specified a uid or resourceVersion, and no existing object was found";
                    return Err(ApiError::conflict(kind, name, why));
                }
                let value = managed_fields::apply(ty, None, &applied, &writer, options.force)
                    .map_err(|error| not_applied(kind, name, error))?;
                return create::create(call, target, value, options, Ownership::Applied).await;
            }
        };
        if expected.is_some_and(|expected| expected != live.revision.0) {
            return Err(ApiError::modified(kind, name));
        }
        let mut wanted = managed_fields::apply(ty, Some(&live.value()), &applied, &writer, options.force)
            .map_err(|error| not_applied(kind, name, error))?;
        metadata::check_type(kind, &mut wanted)?;
        let amendment = Amendment { wanted, subresource, patched: true, applied: true };
        match amend::amend(call, &snapshot, &live, amendment, options).await? {
            Attempt::Done(object) => return show::object(200, call.accepted, &call.query, &object),
            Attempt::Again(error) => failure = error,
        }
    }
    Err(failure)
}

fn not_applied(kind: Kind, name: &str, error: ApplyError) -> ApiError {
    let message = error.to_string();
    match error {
        ApplyError::BadRequest { message } => ApiError::bad_request(message),
        ApplyError::Invalid { field, message } => ApiError::invalid(kind, name, &[Cause::forbidden(field, &message)]),
        ApplyError::Conflict(conflicts) => ApiError::new(409, "Conflict", message).with(Details {
            causes: conflicts
                .iter()
                .map(|conflict| StatusCause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: conflict.to_string(),
                    field: conflict.field.clone(),
                })
                .collect(),
            ..Details::default()
        }),
    }
}
