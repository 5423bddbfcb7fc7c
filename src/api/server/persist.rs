//! The way into the store: writes, and what its refusals mean to a client.

use std::sync::Arc;

use serde_json::Value;

use super::super::kinds::{Rejection, Scene};
use super::super::status::{ApiError, Details, StatusCause};
use super::super::{codec, kinds};
use super::handle::Call;
use super::{metadata, show};
use crate::model::ip_address::{self, Change};
use crate::model::{Claim, Draft, Kind, Object, ObjectKey, Revision, schema};
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
    let addresses = if kind == Kind::Service { addresses(call, &draft.key, &claims)? } else { Vec::new() };
    let op = Op::Put { draft: Box::new(stored(draft)?), expect, claims };
    let ops = [vec![op], addresses].concat();
    submit(call, kind, ops).await
}

/// The draft as it is stored: some kinds show the objects of another.
fn stored(draft: Draft) -> Result<Draft, ApiError> {
    let kind = draft.kind.stored();
    if kind == draft.kind {
        return Ok(draft);
    }
    let mut value = kinds::viewed(kind, draft.commit(Revision(0)).value());
    codec::fill(schema::type_of(kind), &mut value);
    self::draft(kind, &value)
}

/// What makes IPAddress objects follow the claims of a Service, in the same write:
/// clients look for them as soon as the Service is there.
fn addresses(call: &Call, owner: &ObjectKey, claims: &[Claim]) -> Result<Vec<Op>, ApiError> {
    let (snapshot, now) = (call.api.store.snapshot(), crate::clock::rfc3339(crate::clock::now()));
    let held = snapshot.held(Kind::Service, owner);
    let find = |key: &ObjectKey| snapshot.get(Kind::IpAddress, key).map(|object| &**object);
    let op = |change| match change {
        Change::Make(addr) => {
            let mut value = ip_address::content(addr, owner);
            metadata::stamp(Kind::IpAddress, &mut value, &now)?;
            let draft = Box::new(draft(Kind::IpAddress, &value)?);
            Ok(Op::Put { draft, expect: Expect::Any, claims: Vec::new() })
        }
        Change::Drop(key) => Ok(Op::Delete { kind: Kind::IpAddress, key, expect: Expect::Any }),
    };
    ip_address::changes(owner, held, claims, find).into_iter().map(op).collect()
}

/// Removes an object. The Endpoints and addresses of a Service go with it in the
/// same write.
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
    let mut ops = vec![delete(object.kind.stored(), &object.key, Expect::At(object.revision))];
    if object.kind == Kind::Service && snapshot.get(Kind::Endpoints, &object.key).is_some() {
        ops.push(delete(Kind::Endpoints, &object.key, Expect::Any));
    }
    if object.kind == Kind::Service {
        ops.extend(addresses(call, &object.key, &[])?);
    }
    submit(call, object.kind, ops).await
}

async fn submit(call: &Call, kind: Kind, ops: Vec<Op>) -> Result<Attempt, ApiError> {
    match call.api.store.submit(Write { ops, durability: durability(kind) }).await {
        Ok(committed) => {
            let object = committed.objects.into_iter().next();
            let shown = object.map(|object| Attempt::Done(show::viewed(kind, &object)));
            shown.ok_or_else(|| ApiError::internal("the store kept nothing"))
        }
        Err(WriteError::Exists { kind, key }) => Ok(Attempt::Again(ApiError::already_exists(kind, &key.name, false))),
        Err(WriteError::NotFound { kind, key }) => Ok(Attempt::Again(ApiError::not_found(kind, &key.name))),
        Err(WriteError::Conflict { kind, key }) => Ok(Attempt::Again(ApiError::modified(kind, &key.name))),
        // Made by hand for an address that a Service holds.
        Err(WriteError::ClaimTaken { claim: Claim::ClusterIp(addr), .. }) if kind == Kind::IpAddress => {
            Ok(Attempt::Again(ApiError::already_exists(kind, &addr.to_string(), false)))
        }
        Err(error @ WriteError::ClaimTaken { .. }) => Ok(Attempt::Again(ApiError::internal(error))),
        Err(error @ WriteError::Unavailable(_)) => Err(ApiError::unavailable(&error.to_string())),
        Err(WriteError::Busy) => Err(ApiError::too_many_requests()),
    }
}

/// A rejection of a kind's rules, as the client is told.
pub(super) fn rejected(kind: Kind, name: &str, rejection: Rejection) -> ApiError {
    match rejection {
        // Named as what is stored, as the real server names events of either group.
        Rejection::Invalid(causes) => ApiError::invalid(kind.stored(), name, &causes),
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
