//! PUT: a whole object in the place of another (spec/api.md section 4).

use serde_json::Value;

use super::super::status::ApiError;
use super::amend::{self, Amendment};
use super::answer::Outcome;
use super::body::{self, Payload};
use super::create::{self, Ownership};
use super::handle::Call;
use super::persist::{self, Attempt};
use super::query::WriteOptions;
use super::route::Target;
use super::{list, metadata, show};
use crate::model::{Cause, schema};

/// PUT to an object or its subresource.
pub(super) async fn put(call: &mut Call, target: &Target, payload: &Payload) -> Outcome {
    let kind = target.kind;
    let name = target.name.as_deref().unwrap_or_default();
    let options = WriteOptions::parse(&call.query, "UpdateOptions", &call.agent, false)?;
    let ty = schema::type_of(kind);
    let decoded = body::decode(ty, payload)?;
    body::judge(&decoded.problems, options.validation, &mut call.warnings)
        .map_err(|strict| body::not_decoded(ty, &strict))?;
    let mut value = decoded.value;
    metadata::check_type(kind, &mut value)?;
    if metadata::text(&value, "name").is_empty() {
        let message = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(ApiError::bad_request(message));
    }
    metadata::check_key(kind, target.namespace.as_deref(), Some(name), &mut value)?;
    let expected = expected_revision(&value)?;
    let mut failure = ApiError::modified(kind, name);
    for _ in 0..persist::ATTEMPTS_MAX {
        let snapshot = call.api.store.snapshot();
        let live = match list::find(&snapshot, target) {
            Ok(live) => live,
            Err(_) if kind.resource().create_on_put && target.subresource.is_none() && expected.is_none() => {
                return create::create(call, target, value, &options, Ownership::Update).await;
            }
            Err(missing) => return Err(missing),
        };
        if expected.is_some_and(|expected| expected != live.revision.0) {
            return Err(ApiError::modified(kind, name));
        }
        if expected.is_none() && kind.resource().conditional_update {
            let cause = Cause::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
            return Err(ApiError::invalid_resource(kind, name, &[cause]));
        }
        let amendment = Amendment {
            wanted: value.clone(),
            subresource: target.subresource.as_deref(),
            patched: false,
            applied: false,
        };
        match amend::amend(call, &snapshot, &live, amendment, &options).await? {
            Attempt::Done(object) => return show::object(200, call.accepted, &call.query, &object),
            Attempt::Again(error) => failure = error,
        }
    }
    Err(failure)
}

/// The revision an object must be at; none or `0` is any.
pub(super) fn expected_revision(value: &Value) -> Result<Option<u64>, ApiError> {
    match metadata::text(value, "resourceVersion") {
        "" | "0" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            ApiError::internal(format!("invalid resourceVersion \"{text}\": strconv.ParseUint: invalid syntax"))
        }),
    }
}
