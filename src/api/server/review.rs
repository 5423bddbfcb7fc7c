//! Reviews: questions about who may do what, answered and never stored. `kubectl
//! auth can-i` and `kubectl auth whoami` ask them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::status::ApiError;
use super::super::{codec, kinds};
use super::action;
use super::answer::{Answer, Outcome};
use super::body::{self, Payload};
use super::credential::Known;
use super::handle::Call;
use super::metadata;
use super::query::WriteOptions;
use super::roles;
use super::route::Review;
use crate::model::role::Rule;
use crate::model::schema;

/// Creates a review: the answer is in its status.
pub(super) fn create(call: &mut Call, review: Review, namespace: Option<&str>, bytes: &Bytes) -> Outcome {
    let (group, kind) = (review.resource().group, review.resource().kind);
    let ty = schema::find(kind).ok_or_else(ApiError::no_resource)?;
    let options = WriteOptions::parse(&call.query, "CreateOptions", &call.agent, false)?;
    let payload = Payload { format: body::format(call.content_type.as_deref())?, bytes: bytes.clone() };
    let decoded = body::decode(ty, &payload)?;
    body::judge(&decoded.problems, options.validation, &mut call.warnings)
        .map_err(|strict| body::not_decoded(ty, &strict))?;
    let mut value = decoded.value;
    check_type(group, kind, &mut value)?;
    if let Some(namespace) = namespace {
        place(namespace, &mut value)?;
    }
    let causes = kinds::review_faults(kind, &value);
    if !causes.is_empty() {
        return Err(ApiError::invalid_review(group, &causes));
    }
    let status = match review {
        Review::Access => access(&call.user.groups, &value),
        Review::OtherAccess | Review::LocalAccess => access(&groups(call, &value), &value),
        Review::Token => token(call, &value)?,
        Review::Rules => rules(call, &mut value)?,
        Review::Subject => {
            // Of the question nothing is kept.
            let now = crate::clock::rfc3339(crate::clock::now());
            value = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"creationTimestamp": now}});
            json!({"userInfo": call.user.info()})
        }
    };
    if let Some(members) = value.as_object_mut() {
        members.insert("status".to_owned(), status);
    }
    codec::fill(ty, &mut value);
    Ok(Answer::value(201, call.accepted, &value))
}

/// The body may leave its type out, and may not claim another.
pub(super) fn check_type(group: &str, kind: &str, value: &mut Value) -> Result<(), ApiError> {
    let api_version = format!("{group}/v1");
    let text = |member| value.get(member).and_then(Value::as_str).unwrap_or_default();
    let (found_version, found_kind) = (text("apiVersion"), text("kind"));
    if (!found_version.is_empty() && found_version != api_version) || (!found_kind.is_empty() && found_kind != kind) {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): it is {found_version}, Kind={found_kind}"
        )));
    }
    let members = value.as_object_mut().ok_or_else(|| ApiError::bad_request("the review is not a JSON object"))?;
    members.insert("apiVersion".to_owned(), api_version.into());
    members.insert("kind".to_owned(), kind.into());
    Ok(())
}

/// The namespace of the path is that of the review.
pub(super) fn place(namespace: &str, value: &mut Value) -> Result<(), ApiError> {
    let own = metadata::text(value, "namespace").to_owned();
    if !own.is_empty() && own != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata::of(value)?.insert("namespace".to_owned(), namespace.into());
    Ok(())
}

/// The groups a review asks about, and those that hold the roles of an account.
/// Whoever is named there counts as known.
fn groups(call: &Call, value: &Value) -> Vec<String> {
    let user = value.pointer("/spec/user").and_then(Value::as_str).unwrap_or_default();
    let granted = call.api.accounts.grants.newest().groups_of_user(user);
    words(value, "/spec/groups").chain(granted).collect()
}

fn words(value: &Value, pointer: &str) -> impl Iterator<Item = String> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|word| word.as_str().map(str::to_owned))
}

/// Whom a token names.
fn token(call: &Call, value: &Value) -> Result<Value, ApiError> {
    let token = value.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> = words(value, "/spec/audiences").collect();
    Ok(match Known::now(&call.api).find(token, &audiences, crate::clock::now()) {
        Ok(found) => json!({"authenticated": true, "user": found.user.info(), "audiences": found.audiences}),
        Err(refusal) => json!({"user": {}, "error": refusal.to_string()}),
    })
}

fn access(groups: &[String], value: &Value) -> Value {
    let asked = value.get("spec").and_then(action::asked);
    json!({ "allowed": asked.is_some_and(|action| roles::allows(groups, &action)) })
}

/// What the caller may do in a namespace: the rules of all roles held there.
fn rules(call: &Call, value: &mut Value) -> Result<Value, ApiError> {
    let namespace = value.pointer("/spec/namespace").and_then(Value::as_str).filter(|namespace| !namespace.is_empty());
    let namespace = namespace.ok_or_else(|| ApiError::bad_request("no namespace on request"))?;
    let held = roles::rules_in(&call.user.groups, namespace);
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) = held.into_iter().partition(|rule| rule.resources.is_empty());
    let status = json!({
        "resourceRules": resources.into_iter().map(Rule::to_value).collect::<Value>(),
        "nonResourceRules": paths.into_iter().map(Rule::to_value).collect::<Value>(),
        "incomplete": false,
    });
    // The real server answers without the question.
    if let Some(members) = value.as_object_mut() {
        members.insert("spec".to_owned(), json!({}));
    }
    Ok(status)
}
