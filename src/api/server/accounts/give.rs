//! `/edgesvc/v1/grants`: gives roles to ServiceAccounts and takes them away. Its
//! callers are administrators: no role but cluster-admin has a rule for this path.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::super::status::{ApiError, Details, StatusCause};
use super::super::answer::{Answer, Outcome};
use super::super::handle::Call;
use super::super::kept;
use super::grant::{Full, Grant, Grants};
use crate::clock;
use crate::model::{Cause, name, role};

/// What refusals call them.
const PLURAL: &str = "grants";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    role_namespace: Option<String>,
}

/// GET and POST of all grants.
pub(in super::super) async fn several(call: &Call, method: &Method, body: &[u8]) -> Outcome {
    match *method {
        Method::GET | Method::HEAD => {
            let grants = call.api.accounts.grants.newest();
            let items: Vec<Value> = grants.iter().map(shown).collect();
            Ok(Answer::value(200, call.accepted, &json!({ "items": items })))
        }
        Method::POST => {
            let wish: Wish = serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let grant = wish.grant(clock::now())?;
            let with = {
                let grant = grant.clone();
                move |grants: &Grants| grants.with(grant)
            };
            kept::change(&call.api.accounts.grants, with).await?.map_err(|full| match full {
                Full::Taken => named(409, "AlreadyExists", &grant.namespace, &grant.name, "already exists"),
                Full::TooMany => ApiError::new(403, "Forbidden", "there are too many grants: delete some"),
            })?;
            let Grant { namespace, name, role, role_namespace, .. } = &grant;
            tracing::info!(namespace, name, role, role_namespace, by = call.user.name, "role granted");
            Ok(Answer::value(201, call.accepted, &shown(&grant)))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// DELETE of all grants of one account.
pub(in super::super) async fn one(call: &Call, method: &Method, namespace: &str, name: &str) -> Outcome {
    if *method != Method::DELETE {
        return Err(ApiError::method_not_allowed());
    }
    let without = {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        move |grants: &Grants| grants.without(&namespace, &name).ok_or(())
    };
    let missing = |()| named(404, "NotFound", namespace, name, "not found");
    kept::change(&call.api.accounts.grants, without).await?.map_err(missing)?;
    tracing::info!(namespace, name, by = call.user.name, "roles taken away");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "kind": PLURAL},
    });
    Ok(Answer::value(200, call.accepted, &status))
}

fn shown(grant: &Grant) -> Value {
    let Grant { namespace, name, role, role_namespace, created } = grant;
    let created = clock::rfc3339(*created);
    let mut value = json!({"namespace": namespace, "name": name, "role": role, "created": created});
    if let (Some(place), Some(members)) = (role_namespace, value.as_object_mut()) {
        members.insert("roleNamespace".to_owned(), place.clone().into());
    }
    value
}

fn named(code: u16, reason: &'static str, namespace: &str, name: &str, what: &str) -> ApiError {
    let details = Details { name: name.to_owned(), kind: PLURAL.to_owned(), ..Details::default() };
    ApiError::new(code, reason, format!("{PLURAL} \"{namespace}/{name}\" {what}")).with(details)
}

impl Wish {
    /// The grant wished for, or everything that is wrong with the wish.
    fn grant(self, now: OffsetDateTime) -> Result<Grant, ApiError> {
        let mut causes = Vec::new();
        let mut check = |field: &str, value: &str, faults: Vec<String>| {
            causes.extend(faults.into_iter().map(|fault| Cause::invalid(field, &value.into(), &fault)));
        };
        check("namespace", &self.namespace, name::dns1123_label(&self.namespace));
        check("name", &self.name, name::dns1123_subdomain(&self.name));
        if let Some(place) = &self.role_namespace {
            check("roleNamespace", place, name::dns1123_label(place));
        }
        if role::group_of(&self.role, None).is_none() {
            let why = "must be admin, edit, view or auth-delegator";
            causes.push(Cause::invalid("role", &self.role.as_str().into(), why));
        } else if role::group_of(&self.role, self.role_namespace.as_deref()).is_none() {
            let why = format!("{} holds everywhere", self.role);
            causes.push(Cause::invalid("roleNamespace", &self.role_namespace.clone().into(), &why));
        }
        if !causes.is_empty() {
            return Err(invalid(&self.name, &causes));
        }
        let Wish { namespace, name, role, role_namespace } = self;
        Ok(Grant { namespace, name, role, role_namespace, created: now })
    }
}

fn invalid(name: &str, causes: &[Cause]) -> ApiError {
    let lines: Vec<String> = causes.iter().map(ToString::to_string).collect();
    ApiError::new(422, "Invalid", format!("grant \"{name}\" is invalid: {}", lines.join(", "))).with(Details {
        name: name.to_owned(),
        kind: PLURAL.to_owned(),
        causes: causes.iter().map(StatusCause::from).collect(),
        ..Details::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: Value) -> Vec<String> {
        let wish: Wish = serde_json::from_value(body).unwrap();
        let refused = wish.grant(OffsetDateTime::UNIX_EPOCH).map_err(|error| error.details.unwrap().causes);
        refused.map_or_else(|causes| causes.into_iter().map(|cause| cause.field).collect(), |_| Vec::new())
    }

    #[test]
    fn a_wish_becomes_a_grant_or_all_its_faults() {
        assert!(faults(json!({"namespace": "n", "name": "a", "role": "edit", "roleNamespace": "m"})).is_empty());
        assert!(faults(json!({"namespace": "n", "name": "a", "role": "admin"})).is_empty());
        assert!(faults(json!({"namespace": "n", "name": "a", "role": "auth-delegator"})).is_empty());
        assert_eq!(faults(json!({})), ["namespace", "name", "role"]);
        for role in ["admin", "auth-delegator"] {
            let body = json!({"namespace": "n", "name": "a", "role": role, "roleNamespace": "n"});
            assert_eq!(faults(body), ["roleNamespace"], "{role}");
        }
    }
}
