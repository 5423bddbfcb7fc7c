//! `/edgesvc/v1/tokens`: gives tokens and takes them away. Its callers are
//! administrators: no role but cluster-admin has a rule for this path.
//!
//! Not an object of the API, although Kubernetes has ServiceAccounts for programs
//! (`accounts`) and `CertificateSigningRequest`: the first are no people and the
//! second cannot be taken back. Not Secrets either: whoever may write Secrets
//! would make himself an administrator, and a restored backup would bring deleted
//! tokens back to life.

use hyper::Method;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::super::status::{ApiError, Details, StatusCause};
use super::super::answer::{Answer, Outcome};
use super::super::door::Front;
use super::super::handle::Call;
use super::super::{kept, pki};
use super::{Full, SECRET_BYTES, Token, Tokens, secret};
use crate::clock;
use crate::model::{Cause, name, role};

/// Longer is for ever: leave it out.
const EXPIRATION_SECONDS_MAX: i64 = 100 * 365 * 24 * 3600;
/// Shorter is gone before it is used.
const EXPIRATION_SECONDS_MIN: i64 = 60;
/// What refusals call it.
const PLURAL: &str = "tokens";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    namespace: Option<String>,
    expiration_seconds: Option<i64>,
}

/// GET and POST of all tokens.
pub(in super::super) async fn several(call: &Call, method: &Method, body: &[u8]) -> Outcome {
    match *method {
        Method::GET | Method::HEAD => {
            let tokens = call.api.tokens.newest();
            let items: Vec<Value> = tokens.iter().map(shown).collect();
            Ok(Answer::value(200, call.accepted, &json!({ "items": items })))
        }
        Method::POST => create(call, body).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// DELETE of one.
pub(in super::super) async fn one(call: &Call, method: &Method, name: &str) -> Outcome {
    if *method != Method::DELETE {
        return Err(ApiError::method_not_allowed());
    }
    let without = {
        let name = name.to_owned();
        move |tokens: &Tokens| tokens.without(&name).ok_or(())
    };
    kept::change(&call.api.tokens, without).await?.map_err(|()| named(404, "NotFound", name, "not found"))?;
    tracing::info!(name, by = call.user.name, "token deleted");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "kind": PLURAL},
    });
    Ok(Answer::value(200, call.accepted, &status))
}

async fn create(call: &Call, body: &[u8]) -> Outcome {
    let door = call.api.door.as_ref().ok_or_else(|| {
        ApiError::bad_request("edgesvc answers on its socket only: a token needs --listen to be used with")
    })?;
    let wish: Wish = serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let now = clock::now();
    let token = wish.token(now)?;
    let mut random = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| ApiError::internal("the kernel gives no random bytes"))?;
    let (fresh, clear) = (token.clone(), secret(&random));
    let with = {
        let clear = clear.clone();
        move |tokens: &Tokens| tokens.with(token, &clear, now)
    };
    kept::change(&call.api.tokens, with).await?.map_err(|full| match full {
        Full::Taken => named(409, "AlreadyExists", &fresh.name, "already exists"),
        Full::TooMany => ApiError::new(403, "Forbidden", "there are too many tokens: delete some"),
    })?;
    tracing::info!(
        name = fresh.name,
        role = fresh.role,
        namespace = fresh.namespace,
        by = call.user.name,
        "token made"
    );
    let front = door.front(now).await;
    Ok(Answer::value(201, call.accepted, &handed_out(&fresh, &clear, &front)))
}

/// The token with everything a kubeconfig needs; the only time it is told.
fn handed_out(token: &Token, clear: &str, front: &Front) -> Value {
    let mut value = shown(token);
    if let Some(members) = value.as_object_mut() {
        members.insert("token".to_owned(), clear.into());
        members.insert("server".to_owned(), format!("https://{}", pki::reachable(front.address)).into());
        members.insert("serverNames".to_owned(), front.names.clone().into());
        members.insert("certificateAuthority".to_owned(), front.ca_pem.clone().into());
    }
    value
}

fn shown(token: &Token) -> Value {
    let mut value = json!({"name": token.name, "role": token.role, "created": clock::rfc3339(token.created)});
    if let Some(members) = value.as_object_mut() {
        if let Some(namespace) = &token.namespace {
            members.insert("namespace".to_owned(), namespace.clone().into());
        }
        if let Some(expires) = token.expires {
            members.insert("expires".to_owned(), clock::rfc3339(expires).into());
        }
    }
    value
}

fn named(code: u16, reason: &'static str, name: &str, what: &str) -> ApiError {
    let details = Details { name: name.to_owned(), kind: PLURAL.to_owned(), ..Details::default() };
    ApiError::new(code, reason, format!("{PLURAL} \"{name}\" {what}")).with(details)
}

impl Wish {
    /// The token wished for, or everything that is wrong with the wish.
    fn token(self, now: OffsetDateTime) -> Result<Token, ApiError> {
        let mut causes = Vec::new();
        let mut check = |field: &str, value: &str, faults: Vec<String>| {
            causes.extend(faults.into_iter().map(|fault| Cause::invalid(field, &value.into(), &fault)));
        };
        check("name", &self.name, name::dns1123_subdomain(&self.name));
        if let Some(namespace) = &self.namespace {
            check("namespace", namespace, name::dns1123_label(namespace));
        }
        match (self.role.as_str(), &self.namespace) {
            ("edit" | "view", _) | ("admin", None) => {}
            ("admin", Some(namespace)) => {
                causes.push(Cause::invalid("namespace", &namespace.as_str().into(), "an admin has no namespace"));
            }
            (other, _) => {
                causes.push(Cause::invalid("role", &other.into(), "must be admin, edit or view"));
            }
        }
        let seconds = self.expiration_seconds;
        if let Some(seconds) = seconds.filter(|s| !(EXPIRATION_SECONDS_MIN..=EXPIRATION_SECONDS_MAX).contains(s)) {
            let why = format!("must be from {EXPIRATION_SECONDS_MIN} to {EXPIRATION_SECONDS_MAX}");
            causes.push(Cause::invalid("expirationSeconds", &seconds.into(), &why));
        }
        if seconds.is_some() && now < pki::BUILD_DATE {
            // It would be over as soon as the clock is set.
            let why = format!("the clock of this box says {}: set it first", clock::rfc3339(now));
            causes.push(Cause::forbidden("expirationSeconds", &why));
        }
        debug_assert!(!causes.is_empty() || role::group_of(&self.role, self.namespace.as_deref()).is_some());
        if !causes.is_empty() {
            return Err(invalid(&self.name, &causes));
        }
        Ok(Token {
            name: self.name,
            role: self.role,
            namespace: self.namespace,
            sha256: String::new(),
            created: now,
            expires: seconds.and_then(|seconds| now.checked_add(Duration::seconds(seconds))),
        })
    }
}

fn invalid(name: &str, causes: &[Cause]) -> ApiError {
    let lines: Vec<String> = causes.iter().map(ToString::to_string).collect();
    ApiError::new(422, "Invalid", format!("token \"{name}\" is invalid: {}", lines.join(", "))).with(Details {
        name: name.to_owned(),
        kind: PLURAL.to_owned(),
        causes: causes.iter().map(StatusCause::from).collect(),
        ..Details::default()
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 00:00 UTC);

    fn wish(body: Value) -> Result<Token, Vec<String>> {
        let wish: Wish = serde_json::from_value(body).unwrap();
        wish.token(NOW).map_err(|error| error.details.unwrap().causes.into_iter().map(|cause| cause.field).collect())
    }

    #[test]
    fn a_wish_becomes_a_token_or_all_its_faults() {
        let token = wish(json!({"name": "bob", "role": "edit", "namespace": "shop", "expirationSeconds": 86_400}));
        let token = token.unwrap();
        assert_eq!(token.expires, Some(NOW + Duration::DAY));
        assert_eq!(token.user().groups, ["edgesvc:edit:shop", "system:authenticated"]);
        assert_eq!(wish(json!({"name": "bob", "role": "admin"})).unwrap().user().groups[0], "system:masters");
        assert_eq!(
            wish(json!({"name": "system:x", "role": "root", "namespace": "a:b", "expirationSeconds": 0})).unwrap_err(),
            ["name", "namespace", "role", "expirationSeconds"]
        );
        assert_eq!(wish(json!({"name": "bob", "role": "admin", "namespace": "n"})).unwrap_err(), ["namespace"]);
        assert_eq!(wish(json!({})).unwrap_err(), ["name", "role"]);
    }

    #[test]
    fn an_end_is_not_counted_from_a_clock_that_was_never_set() {
        let wish =
            Wish { name: "b".to_owned(), role: "view".to_owned(), namespace: None, expiration_seconds: Some(90) };
        let refused = wish.token(datetime!(1970-01-01 00:05 UTC)).unwrap_err();
        assert!(refused.message.contains("1970-01-01"), "{}", refused.message);
    }
}
