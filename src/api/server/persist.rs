//! The way into the store: writes, and what its refusals mean to a client.

use std::sync::Arc;

use serde_json::Value;

use super::super::kinds::{Rejection, Scene};
use super::super::status::{ApiError, Details, StatusCause};
use super::handle::Call;
use crate::model::{Claim, Draft, Kind, Object, ObjectKey, Revision};
use crate::store::{Durability, Expect, Op, Snapshot, Write, WriteError};

/// How often a write is prepared anew because another took the value it chose,
/// or changed the object first.
pub(super) const ATTEMPTS_MAX: usize = 16;

/// What came of an attempt to write.
pub(super) enum Attempt {
    /// Stored (or, in a dry run, as it would have been).
    Done(Arc<Object>),
    /// A value was taken or the object moved on: prepare anew on a fresh snapshot.
    Again(ApiError),
}

/// What the rules of a kind see.
pub(super) fn scene<'a>(call: &'a Call, snapshot: &'a Snapshot, dry_run: bool) -> Scene<'a> {
    Scene { snapshot, rules: &call.api.rules, dry_run, now: crate::clock::now() }
}

/// Where a client's write to this kind lives: flash, but for what is renewed
/// all the time or derived.
pub(super) fn durability(kind: Kind) -> Durability {
    if kind.resource().in_memory { Durability::Memory } else { Durability::Flash }
}

/// The draft of a prepared value.
pub(super) fn draft(kind: Kind, value: &Value) -> Result<Draft, ApiError> {
    Draft::new(kind, value).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Stores an object, or in a dry run shows it at `shown`.
pub(super) async fn put(
    call: &Call,
    draft: Draft,
    expect: Expect,
    claims: Vec<Claim>,
    dry_run: Option<Revision>,
) -> Result<Attempt, ApiError> {
    if let Some(shown) = dry_run {
        return Ok(Attempt::Done(Arc::new(draft.commit(shown))));
    }
    let kind = draft.kind;
    let op = Op::Put { draft: Box::new(draft), expect, claims };
    submit(call, kind, vec![op]).await
}

/// Removes an object. The Endpoints of a Service go with it in the same write.
pub(super) async fn remove(
    call: &Call,
    snapshot: &Snapshot,
    object: &Object,
    dry_run: bool,
) -> Result<Attempt, ApiError> {
    if dry_run {
        return Ok(Attempt::Done(Arc::new(object.clone())));
    }
    let delete = |kind: Kind, key: &ObjectKey, expect| Op::Delete { kind, key: key.clone(), expect };
    let mut ops = vec![delete(object.kind, &object.key, Expect::At(object.revision))];
    if object.kind == Kind::Service && snapshot.get(Kind::Endpoints, &object.key).is_some() {
        ops.push(delete(Kind::Endpoints, &object.key, Expect::Any));
    }
    submit(call, object.kind, ops).await
}

async fn submit(call: &Call, kind: Kind, ops: Vec<Op>) -> Result<Attempt, ApiError> {
    match call.api.store.submit(Write { ops, durability: durability(kind) }).await {
        Ok(committed) => {
            let object = committed.objects.into_iter().next();
            object.map(Attempt::Done).ok_or_else(|| ApiError::internal("the store kept nothing"))
        }
        Err(WriteError::Exists { kind, key }) => Ok(Attempt::Again(ApiError::already_exists(kind, &key.name, false))),
        Err(WriteError::NotFound { kind, key }) => Ok(Attempt::Again(ApiError::not_found(kind, &key.name))),
        Err(WriteError::Conflict { kind, key }) => Ok(Attempt::Again(ApiError::modified(kind, &key.name))),
        Err(error @ WriteError::ClaimTaken { .. }) => Ok(Attempt::Again(ApiError::internal(error))),
        Err(error @ WriteError::Unavailable(_)) => Err(ApiError::unavailable(&error.to_string())),
        Err(WriteError::Busy) => Err(ApiError::too_many_requests()),
    }
}

/// A rejection of a kind's rules, as the client is told.
pub(super) fn rejected(kind: Kind, name: &str, rejection: Rejection) -> ApiError {
    match rejection {
        Rejection::Invalid(causes) => ApiError::invalid(kind, name, &causes),
        Rejection::Forbidden { message, causes } => {
            let mut error = ApiError::forbidden(kind, name, &message);
            if let Some(details) = &mut error.details {
                details.causes = causes.iter().map(StatusCause::from).collect();
            }
            error
        }
        Rejection::BadRequest(message) => ApiError::bad_request(message),
        Rejection::Internal(message) => ApiError::internal(message),
        Rejection::NotFound(message) => ApiError::new(404, "NotFound", message).with(Details::resource(kind, name)),
        Rejection::Conflict(message) => ApiError::conflict(kind, name, &message),
    }
}
