//! POST: a body to a stored object (spec/api.md sections 4 and 8).

use serde_json::Value;

use super::super::managed_fields::{self, Writer};
use super::super::status::{ApiError, StatusCause};
use super::super::{codec, kinds};
use super::answer::Outcome;
use super::body::{self, Payload};
use super::handle::Call;
use super::persist::{self, Attempt};
use super::query::WriteOptions;
use super::route::Target;
use super::{metadata, show};
use crate::model::{Kind, ObjectKey, Revision, schema};
use crate::store::{Expect, Snapshot};

/// How often a generated name that is taken is drawn anew.
const NAME_ATTEMPTS_MAX: usize = 8;

/// POST to a collection.
pub(super) async fn post(call: &mut Call, target: &Target, payload: &Payload) -> Outcome {
    let options = WriteOptions::parse(&call.query, "CreateOptions", &call.agent, false)?;
    let ty = schema::type_of(target.kind);
    let decoded = body::decode(ty, payload)?;
    body::judge(&decoded.problems, options.validation, &mut call.warnings)
        .map_err(|strict| body::not_decoded(ty, &strict))?;
    let mut value = decoded.value;
    metadata::check_type(target.kind, &mut value)?;
    metadata::check_key(target.kind, target.namespace.as_deref(), None, &mut value)?;
    create(call, target, value, &options, Ownership::Update).await
}

/// How the new object's fields come to be owned.
pub(super) enum Ownership {
    /// By whoever wrote them.
    Update,
    /// `managedFields` is in the value already: server-side apply.
    Applied,
}

/// Creates an object whose type and key are checked.
pub(super) async fn create(
    call: &mut Call,
    target: &Target,
    mut value: Value,
    options: &WriteOptions,
    ownership: Ownership,
) -> Outcome {
    let kind = target.kind;
    if !metadata::text(&value, "resourceVersion").is_empty() {
        return Err(ApiError::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let now = crate::clock::rfc3339(crate::clock::now());
    if matches!(ownership, Ownership::Update) {
        metadata::of(&mut value)?.remove("managedFields");
    }
    kinds::default(kind, &mut value);
    let sent = value.clone();
    codec::fill(schema::type_of(kind), &mut value);
    metadata::stamp(kind, &mut value, &now)?;
    let base = metadata::text(&value, "generateName").to_owned();
    let generated = metadata::text(&value, "name").is_empty() && !base.is_empty();
    let mut names_left = if generated { NAME_ATTEMPTS_MAX } else { 1 };
    let mut failure = ApiError::internal("no attempt was made");
    for _ in 0..persist::ATTEMPTS_MAX {
        if generated {
            // An address has its one name: nothing is added.
            let name = if kind == Kind::IpAddress { base.clone() } else { metadata::generated_name(&base) };
            metadata::of(&mut value)?.insert("name".to_owned(), name.into());
        }
        let snapshot = call.api.store.snapshot();
        check_namespace(&snapshot, target)?;
        let name = metadata::text(&value, "name").to_owned();
        let key = ObjectKey::new(target.namespace.as_deref().unwrap_or_default(), &name);
        let mut new = value.clone();
        // The rules first, as the real server: a fault is told even when the name is taken.
        let prepared = kinds::create(kind, &persist::scene(call, &snapshot, options.dry_run), &mut new)
            .map_err(|rejection| persist::rejected(kind, &name, rejection))?;
        if let Some(found) = snapshot.get(kind.stored(), &key) {
            failure = ApiError::already_exists(kind, &name, found.meta.deleting);
            names_left -= 1;
            if names_left == 0 {
                // Told before anybody looks whether the name is free.
                call.warnings.extend(prepared.warnings);
                return Err(failure);
            }
            continue;
        }
        if matches!(ownership, Ownership::Update) {
            let api_version = kind.api_version();
            let writer = Writer { manager: &options.manager, api_version: &api_version, subresource: None, time: &now };
            managed_fields::track_update(schema::type_of(kind), None, &sent, &mut new, &writer);
        }
        let dry_run = options.dry_run.then_some(Revision(0));
        let draft = persist::draft(kind, &new)?;
        match persist::put(call, draft, Expect::Absent, prepared.claims, dry_run).await? {
            Attempt::Done(object) => {
                call.warnings.extend(prepared.warnings);
                if options.dry_run {
                    return show::not_stored(201, call.accepted, &call.query, &object);
                }
                return show::object(201, call.accepted, &call.query, &object);
            }
            Attempt::Again(error) => failure = error,
        }
    }
    Err(failure)
}

/// The namespace must be there, and stay.
fn check_namespace(snapshot: &Snapshot, target: &Target) -> Result<(), ApiError> {
    let Some(namespace) = &target.namespace else { return Ok(()) };
    let Some(found) = snapshot.get(Kind::Namespace, &ObjectKey::new("", namespace)) else {
        return Err(ApiError::not_found(Kind::Namespace, namespace));
    };
    if !found.meta.deleting {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(target.kind, target.name.as_deref().unwrap_or_default(), &why);
    if let Some(details) = &mut error.details {
        details.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(error)
}
