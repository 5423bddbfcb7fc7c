//! The common end of PUT and PATCH: a new content for a stored object is carried
//! through the rules into the store, or deletes the object when it was the last
//! thing that kept it.

use std::sync::Arc;

use serde_json::Value;

use super::super::managed_fields::{self, Writer};
use super::super::status::ApiError;
use super::super::{codec, kinds};
use super::handle::Call;
use super::metadata;
use super::persist::{self, Attempt};
use super::query::WriteOptions;
use crate::model::{Object, schema};
use crate::store::{Expect, Snapshot};

/// A new content for an object.
pub(super) struct Amendment<'a> {
    /// What the client wants it to be, decoded, its key checked.
    pub(super) wanted: Value,
    pub(super) subresource: Option<&'a str>,
    /// It came as a patch: a wrong uid is a fault of a field, not a precondition.
    pub(super) patched: bool,
    /// `managedFields` is decided already: server-side apply.
    pub(super) applied: bool,
}

/// Tries once to make `live` what is wanted.
pub(super) async fn amend(
    call: &mut Call,
    snapshot: &Snapshot,
    live: &Arc<Object>,
    amendment: Amendment<'_>,
    options: &WriteOptions,
) -> Result<Attempt, ApiError> {
    let (kind, name) = (live.kind, live.key.name.to_string());
    let Amendment { wanted: mut new, subresource, patched, applied } = amendment;
    let ty = schema::type_of(kind);
    let mut old = live.value();
    // Who does not write through the API stores less: to a client that is no change.
    kinds::default(kind, &mut old);
    codec::fill(ty, &mut old);
    metadata::carry(live, &old, &mut new, patched)?;
    metadata::confine(kind, &old, &mut new, subresource);
    kinds::default(kind, &mut new);
    codec::fill(ty, &mut new);
    // Filled as the old one is: in a list that is owned whole, what the client left out
    // would look changed, and whoever applied the list would lose it.
    let sent = new.clone();
    let scene = persist::scene(call, snapshot, options.dry_run);
    let prepared = kinds::update(kind, &scene, &old, &mut new, subresource)
        .map_err(|rejection| persist::rejected(kind, &name, rejection))?;
    metadata::raise_generation(kind, &old, &mut new);
    if !applied {
        let (time, api_version) = (crate::clock::rfc3339(crate::clock::now()), kind.api_version());
        let writer = Writer { manager: &options.manager, api_version: &api_version, subresource, time: &time };
        managed_fields::track_update(ty, Some(&old), &sent, &mut new, &writer);
    }
    if metadata::same(&old, &new) && !metadata::ready_to_go(kind, &new) {
        call.warnings.extend(prepared.warnings);
        return Ok(Attempt::Done(Arc::clone(live)));
    }
    let draft = persist::draft(kind, &new)?;
    let attempt = if metadata::ready_to_go(kind, &new) {
        // The last finalizer is gone, and with it the object; the client sees it a last time.
        let last = draft.commit(live.revision);
        match persist::remove(call, snapshot, &last, options.dry_run).await? {
            Attempt::Done(gone) => Attempt::Done(Arc::new(draft.commit(gone.revision))),
            again @ Attempt::Again(_) => again,
        }
    } else {
        let dry_run = options.dry_run.then_some(live.revision);
        persist::put(call, draft, Expect::At(live.revision), prepared.claims, dry_run).await?
    };
    if matches!(attempt, Attempt::Done(_)) {
        call.warnings.extend(prepared.warnings);
    }
    Ok(attempt)
}
