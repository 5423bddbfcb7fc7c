//! `serviceaccounts/token`: a token for an account, as `kubectl create token` asks
//! for one. Nothing of it is stored.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::super::codec;
use super::super::super::kinds::token_request_faults;
use super::super::super::status::{ApiError, Details};
use super::super::answer::{Answer, Outcome};
use super::super::body::{self, Payload};
use super::super::handle::Call;
use super::super::pki::BUILD_DATE;
use super::super::query::WriteOptions;
use super::super::{metadata, review};
use super::jwt::{self, Bound, Claims, Reference, TOKEN_BYTES_MAX};
use crate::clock;
use crate::model::review::TOKEN_REQUEST;
use crate::model::{Cause, Kind, Object, ObjectKey, role, schema, service_account};
use crate::store::Snapshot;

/// How long a token is good that does not say.
const EXPIRATION_SECONDS: i64 = 3_600;

/// POST below an account.
pub(in super::super) fn create(call: &mut Call, namespace: &str, name: &str, payload: &Payload) -> Outcome {
    let options = WriteOptions::parse(&call.query, "CreateOptions", &call.agent, false)?;
    let ty = schema::find(TOKEN_REQUEST.kind).ok_or_else(ApiError::no_resource)?;
    let decoded = body::decode(ty, payload)?;
    body::judge(&decoded.problems, options.validation, &mut call.warnings)
        .map_err(|strict| body::not_decoded(ty, &strict))?;
    let mut value = decoded.value;
    review::check_type(TOKEN_REQUEST.group, TOKEN_REQUEST.kind, &mut value)?;
    review::place(namespace, &mut value)?;
    let snapshot = call.api.store.snapshot();
    let account = account(&snapshot, namespace, name, &value)?;
    let groups = call.api.accounts.grants.newest().groups(namespace, name);
    if !role::include(&call.user.groups, &groups) {
        let why = format!(
            "user \"{}\" may not make a token of an account that may more than he: {}",
            call.user.name,
            groups.join(", ")
        );
        return Err(ApiError::forbidden(Kind::ServiceAccount, name, &why));
    }
    complete(&mut value, account, call.api.accounts.audiences())?;
    let causes = token_request_faults(&value);
    if !causes.is_empty() {
        return Err(invalid("", &causes));
    }
    let bound = bound(&snapshot, account, &value)?;
    let now = clock::now();
    if now < BUILD_DATE {
        let text = clock::rfc3339(now);
        call.warnings.push(format!("the clock of this box says {text}: the token ends when it is set"));
    }
    let mut claims = claims(&value, bound, groups, now);
    claims.iss.clone_from(&call.api.accounts.issuer);
    let token = jwt::seal(&claims, call.api.accounts.key()?).map_err(ApiError::internal)?;
    if token.len() > TOKEN_BYTES_MAX {
        let causes = [Cause::too_long("spec.audiences", TOKEN_BYTES_MAX)];
        return Err(invalid("", &causes));
    }
    let (id, by) = (&claims.jti, &call.user.name);
    tracing::info!(namespace, name, id, by, "token of a ServiceAccount made");
    let ends = clock::rfc3339(now + Duration::seconds(claims.exp - claims.iat));
    metadata::of(&mut value)?.insert("creationTimestamp".to_owned(), clock::rfc3339(now).into());
    if let Some(members) = value.as_object_mut() {
        members.insert("status".to_owned(), json!({"token": token, "expirationTimestamp": ends}));
    }
    codec::fill(ty, &mut value);
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        // Told even when it is not there.
        spec.entry("boundObjectRef").or_insert(Value::Null);
    }
    Ok(Answer::value(201, call.accepted, &value))
}

/// The account asked for, if the body means no other.
fn account<'a>(snapshot: &'a Snapshot, namespace: &str, name: &str, value: &Value) -> Result<&'a Object, ApiError> {
    let said = metadata::text(value, "name");
    if !said.is_empty() && said != name {
        let why = "must match the service account name if specified";
        return Err(invalid(name, &[Cause::invalid("metadata.name", &said.into(), why)]));
    }
    let account = find(snapshot, Kind::ServiceAccount, namespace, name)?;
    let uid = metadata::text(value, "uid");
    if !uid.is_empty() && *uid != *account.meta.uid {
        let own = &account.meta.uid;
        let why = format!("the UID in the token request ({uid}) does not match the UID of the service account ({own})");
        return Err(conflict(TOKEN_REQUEST.group, TOKEN_REQUEST.kind, name, &why));
    }
    Ok(account)
}

fn find<'a>(snapshot: &'a Snapshot, kind: Kind, namespace: &str, name: &str) -> Result<&'a Object, ApiError> {
    let found = snapshot.get(kind, &ObjectKey::new(namespace, name));
    found.map(|object| &**object).ok_or_else(|| ApiError::not_found(kind, name))
}

/// Says what the body left open.
fn complete(value: &mut Value, account: &Object, audiences: &[String]) -> Result<(), ApiError> {
    let members = metadata::of(value)?;
    members.remove("managedFields");
    members.insert("name".to_owned(), (*account.key.name).into());
    members.insert("uid".to_owned(), (*account.meta.uid).into());
    let Some(members) = value.as_object_mut() else { return Ok(()) };
    let spec = members.entry("spec").or_insert_with(|| json!({}));
    let Some(spec) = spec.as_object_mut() else { return Ok(()) };
    if spec.get("audiences").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("audiences".to_owned(), json!(audiences));
    }
    if spec.get("expirationSeconds").is_none_or(Value::is_null) {
        spec.insert("expirationSeconds".to_owned(), EXPIRATION_SECONDS.into());
    }
    Ok(())
}

/// What the token is good with.
fn bound(snapshot: &Snapshot, account: &Object, value: &Value) -> Result<Bound, ApiError> {
    let namespace = &*account.key.namespace;
    let of = |object: &Object| Reference { name: object.key.name.to_string(), uid: object.meta.uid.to_string() };
    let mut bound =
        Bound { namespace: namespace.to_owned(), node: None, pod: None, secret: None, account: of(account) };
    let Some(reference) = value.pointer("/spec/boundObjectRef").filter(|reference| reference.is_object()) else {
        return Ok(bound);
    };
    let text = |member: &str| reference.get(member).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = match text("apiVersion").split_once('/') {
        // No version of any group.
        Some((_, rest)) if rest.contains('/') => ("", ""),
        Some(parts) => parts,
        None => ("", text("apiVersion")),
    };
    let (kind, place) = match (group, text("kind")) {
        ("", "Pod") => (Kind::Pod, namespace),
        ("", "Secret") => (Kind::Secret, namespace),
        ("", "Node") => (Kind::Node, ""),
        (group, other) => {
            let what = format!("cannot bind token to object of type {group}/{version}, Kind={other}");
            return Err(ApiError::bad_request(what));
        }
    };
    let name = text("name");
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    let object = find(snapshot, kind, place, name)?;
    match kind {
        Kind::Pod => {
            bound.node = node_of(snapshot, account, object)?;
            bound.pod = Some(of(object));
        }
        Kind::Node => bound.node = Some(of(object)),
        _ => bound.secret = Some(of(object)),
    }
    if !text("uid").is_empty() && *text("uid") != *object.meta.uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(conflict(group, text("kind"), name, &why));
    }
    Ok(bound)
}

/// Where a Pod of the account is, as far as is known.
fn node_of(snapshot: &Snapshot, account: &Object, pod: &Object) -> Result<Option<Reference>, ApiError> {
    let value = pod.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // Whoever says nothing runs as `default`.
    let own = Some(text("/spec/serviceAccountName")).filter(|name| !name.is_empty()).unwrap_or("default");
    if own != &*account.key.name {
        let name = &account.key.name;
        let why =
            format!("cannot bind token for serviceaccount {name:?} to pod running with different serviceaccount name.");
        return Err(ApiError::bad_request(why));
    }
    let name = text("/spec/nodeName");
    let node = snapshot.get(Kind::Node, &ObjectKey::new("", name));
    let uid = node.map(|node| node.meta.uid.to_string()).unwrap_or_default();
    Ok((!name.is_empty()).then(|| Reference { name: name.to_owned(), uid }))
}

fn claims(value: &Value, bound: Bound, groups: Vec<String>, now: OffsetDateTime) -> Claims {
    let words = |pointer: &str| {
        let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let seconds = value.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(EXPIRATION_SECONDS);
    let at = now.unix_timestamp();
    Claims {
        aud: words("/spec/audiences"),
        groups,
        exp: at.saturating_add(seconds),
        iat: at,
        iss: String::new(),
        jti: uuid::Uuid::new_v4().to_string(),
        sub: service_account::username(&bound.namespace, &bound.account.name),
        bound,
        nbf: at,
    }
}

fn invalid(name: &str, causes: &[Cause]) -> ApiError {
    let qualified = format!("{}.{}", TOKEN_REQUEST.kind, TOKEN_REQUEST.group);
    ApiError::invalid_kind(&qualified, TOKEN_REQUEST.group, TOKEN_REQUEST.kind, name, causes)
}

fn conflict(group: &str, kind: &str, name: &str, why: &str) -> ApiError {
    let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
    ApiError::new(409, "Conflict", message).with(Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        ..Details::default()
    })
}
