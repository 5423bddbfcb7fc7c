//! DELETE: at once, or marked until finalizers and graces are over (spec/api.md
//! section 10).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::kinds;
use super::super::status::{ApiError, Details};
use super::answer::{Answer, Outcome};
use super::body::{self, Payload};
use super::handle::Call;
use super::persist::{self, Attempt};
use super::query::{DeleteOptions, Propagation};
use super::route::Target;
use super::{list, metadata, show};
use crate::model::{Kind, Object, schema};
use crate::store::{Expect, Snapshot};

/// A Pod's grace when it does not say.
const POD_GRACE_SECONDS: i64 = 30;
/// What keeps an object until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// What keeps an object until its dependents are on their own.
const ORPHAN: &str = "orphan";

/// DELETE of one object.
pub(super) async fn one(call: &Call, target: &Target, bytes: &Bytes) -> Outcome {
    let options = options(call, bytes)?;
    let (object, gone) = delete(call, target, &options).await?;
    if target.kind.resource().delete_returns_object || !gone {
        return show::object(200, call.accepted, &call.query, &object);
    }
    Ok(Answer::value(200, call.accepted, &show::success(target.kind, &object.key.name, &object.meta.uid)))
}

/// DELETE of a collection: every object selected, one by one.
pub(super) async fn collection(call: &Call, target: &Target, bytes: &Bytes) -> Outcome {
    let options = options(call, bytes)?;
    let selection = list::selection(call, target)?;
    let snapshot = call.api.store.snapshot();
    let mut deleted = VecDeque::new();
    for object in
        snapshot.list(target.kind.stored(), target.namespace.as_deref()).filter(|object| selection.matches(object))
    {
        let one = Target { name: Some(object.key.name.to_string()), ..target.clone() };
        match delete(call, &one, &options).await {
            // As it was found: what became of it, a watch tells.
            Ok(_) => deleted.push_back(Arc::clone(object)),
            // Somebody else was faster.
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let metadata = json!({"resourceVersion": call.api.store.snapshot().revision().to_string()});
    list::shown(call, target.kind, &metadata, deleted)
}

fn options(call: &Call, bytes: &Bytes) -> Result<DeleteOptions, ApiError> {
    if bytes.is_empty() {
        return DeleteOptions::parse(&call.query, None);
    }
    let payload = Payload { format: body::format(call.content_type.as_deref())?, bytes: bytes.clone() };
    let body = match schema::find("DeleteOptions") {
        Some(ty) => body::decode(ty, &payload)?.value,
        None => serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?,
    };
    DeleteOptions::parse(&call.query, Some(&body))
}

/// Deletes or marks; says whether the object is gone.
async fn delete(call: &Call, target: &Target, options: &DeleteOptions) -> Result<(Arc<Object>, bool), ApiError> {
    let (kind, name) = (target.kind, target.name.as_deref().unwrap_or_default());
    let mut failure = ApiError::modified(kind, name);
    for _ in 0..persist::ATTEMPTS_MAX {
        let snapshot = call.api.store.snapshot();
        let live = list::find(&snapshot, target)?;
        kinds::may_delete(kind, &live).map_err(|rejection| persist::rejected(kind, name, rejection))?;
        preconditions(&live, options)?;
        match step(call, &snapshot, &live, options).await? {
            (Attempt::Done(object), gone) => return Ok((object, gone)),
            (Attempt::Again(error), _) => failure = error,
        }
    }
    Err(failure)
}

fn preconditions(live: &Object, options: &DeleteOptions) -> Result<(), ApiError> {
    let failed = |what: &str, asked: &str, found: &str, happened: &str| {
        let kind = live.kind.qualified_kind();
        let message = format!(
            "Operation cannot be fulfilled on {kind} \"{}\": the {what} in the precondition ({asked}) does not match the \
             {what} in record ({found}). The object might have been {happened}",
            live.key.name
        );
        // Here, unlike elsewhere, Kubernetes names the kind, not the resource.
        let row = live.kind.resource();
        let details = Details { kind: row.kind.to_owned(), ..Details::resource(live.kind, &live.key.name) };
        ApiError::new(409, "Conflict", message).with(details)
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| **uid != *live.meta.uid) {
        return Err(failed("UID", uid, &live.meta.uid, "deleted and then recreated"));
    }
    let revision = live.revision.to_string();
    if let Some(asked) = options.revision.as_deref().filter(|asked| **asked != revision) {
        return Err(failed("ResourceVersion", asked, &revision, "modified"));
    }
    Ok(())
}

/// One try: remove, or mark and keep.
async fn step(
    call: &Call,
    snapshot: &Snapshot,
    live: &Arc<Object>,
    options: &DeleteOptions,
) -> Result<(Attempt, bool), ApiError> {
    let old = live.value();
    let mut new = old.clone();
    mark(live.kind, &mut new, options)?;
    if metadata::ready_to_go(live.kind, &new) {
        let last = persist::draft(live.kind, &new)?;
        let attempt = match persist::remove(call, snapshot, live, options.dry_run).await? {
            Attempt::Done(gone) if live.kind == Kind::Pod => Attempt::Done(Arc::new(last.commit(gone.revision))),
            attempt => attempt,
        };
        return Ok((attempt, true));
    }
    if metadata::same(&old, &new) {
        return Ok((Attempt::Done(Arc::clone(live)), false));
    }
    let draft = persist::draft(live.kind, &new)?;
    let dry_run = options.dry_run.then_some(live.revision);
    let claims = kinds::held_claims(live.kind, &new);
    Ok((persist::put(call, draft, Expect::At(live.revision), claims, dry_run).await?, false))
}

/// Sets what says that an object is on its way out. A repeated deletion may only
/// shorten the grace.
fn mark(kind: Kind, value: &mut Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let grace = grace(kind, value, options);
    if kind == Kind::Namespace
        && let Some(members) = value.as_object_mut()
    {
        let status = members.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.insert("phase".to_owned(), "Terminating".into());
        }
    }
    let mut finalizers = metadata::finalizers(value);
    let metadata = metadata::of(value)?;
    // A namespace waits for its content in any case.
    if let Some(policy) = options.propagation.filter(|_| kind != Kind::Namespace) {
        finalizers.retain(|name| name != FOREGROUND && name != ORPHAN);
        match policy {
            Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
            Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
            Propagation::Background => {}
        }
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        }
    }
    let found = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    let marked = metadata.contains_key("deletionTimestamp");
    let generation = metadata.get("generation").and_then(Value::as_u64).unwrap_or_default();
    if !marked && generation > 0 {
        // That it is to go is a change of what is wanted.
        metadata.insert("generation".to_owned(), (generation + 1).into());
    }
    if !marked || found.is_some_and(|found| grace < found) {
        let at = crate::clock::now() + time::Duration::seconds(grace);
        metadata.insert("deletionTimestamp".to_owned(), crate::clock::rfc3339(at).into());
        // Of a namespace the real server says no grace.
        if kind != Kind::Namespace {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        }
    }
    Ok(())
}

/// Only a Pod somebody runs has a grace.
fn grace(kind: Kind, value: &Value, options: &DeleteOptions) -> i64 {
    let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let running = !text("/spec/nodeName").is_empty() && !matches!(text("/status/phase"), "Succeeded" | "Failed");
    if kind != Kind::Pod || !running {
        return 0;
    }
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    options.grace_seconds.or(own).unwrap_or(POD_GRACE_SECONDS).max(0)
}
