//! ServiceAccounts as users: tokens that name them, what they were granted, and the
//! documents by which others tell our tokens.
//!
//! A token is worth something while its account, and the object it is bound to, are
//! the very ones it was made for. It holds the roles its account was granted when it
//! was made and still is. Nothing of it is kept: who has the key has them all.

mod discovery;
mod give;
mod grant;
mod jwt;
mod key;
mod request;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::identity::User;
use super::kept::Kept;
use super::pki;
use crate::model::{Kind, ObjectKey, service_account};
use crate::store::Snapshot;
use jwt::{Claims, LEEWAY, Reference};
use key::SigningKey;

pub(super) use discovery::{configuration, keys};
pub(super) use give::{one, several};
pub(super) use grant::Grants;
pub(super) use jwt::Refusal;
pub(super) use request::create;

/// Where others find our keys.
const KEYS_PATH: &str = "/openid/v1/jwks";
/// What the facts of a token's user are called.
const EXTRA: &str = "authentication.kubernetes.io/";

/// What tokens are made and read with.
pub(super) struct Accounts {
    /// Or why there is none: then no token is made and none is known.
    key: Result<SigningKey, String>,
    /// What the API calls itself, as maker of tokens and as their audience.
    issuer: String,
    keys_url: String,
    pub(super) grants: Arc<Kept<Grants>>,
}

/// An account by a token that was good when it was shown.
#[derive(Debug)]
pub(super) struct Account {
    claims: Claims,
    /// The groups that hold its roles.
    groups: Vec<String>,
}

impl Accounts {
    /// Finds or makes the key and reads the grants. Blocking.
    pub(super) fn open(data_dir: &Path, domain: &str, address: Option<SocketAddr>) -> Accounts {
        let key = SigningKey::open(data_dir);
        if let Err(why) = &key {
            tracing::error!(why, "no token of a ServiceAccount is known until this file is mended or removed");
        }
        let issuer = format!("https://kubernetes.default.svc.{domain}");
        let base = address.map_or_else(|| issuer.clone(), |at| format!("https://{}", pki::reachable(at)));
        let keys_url = format!("{base}{KEYS_PATH}");
        Accounts { key, issuer, keys_url, grants: Arc::new(Kept::open(data_dir)) }
    }

    /// Whom tokens are for that say nothing else: this API.
    pub(super) fn audiences(&self) -> &[String] {
        std::slice::from_ref(&self.issuer)
    }

    /// The account a token names, and those of the audiences it is for.
    pub(super) fn find(
        &self,
        token: &str,
        audiences: &[String],
        (grants, snapshot): (&Grants, &Snapshot),
        now: OffsetDateTime,
    ) -> Result<(Account, Vec<String>), Refusal> {
        let claims = jwt::open(token, self.key.as_ref().map_err(|_| Refusal::Unknown)?, &self.issuer)?;
        let common = claims.common(audiences)?;
        claims.in_time(now)?;
        still_there(&claims, snapshot, now)?;
        let granted = grants.groups(&claims.bound.namespace, &claims.bound.account.name);
        let groups = claims.groups.iter().filter(|group| granted.contains(group)).cloned().collect();
        Ok((Account { claims, groups }, common))
    }
}

impl Account {
    /// As a user.
    pub(super) fn user(&self) -> User {
        let Claims { bound, jti, .. } = &self.claims;
        let mut groups = service_account::groups(&bound.namespace);
        groups.extend(self.groups.iter().cloned());
        let mut user = User::named(service_account::username(&bound.namespace, &bound.account.name), groups);
        user.uid = bound.account.uid.clone();
        let mut facts = BTreeMap::from([("credential-id", format!("JTI={jti}"))]);
        for (what, object) in [(["pod-name", "pod-uid"], &bound.pod), (["node-name", "node-uid"], &bound.node)] {
            let facts_of = |object: &Reference| [object.name.clone(), object.uid.clone()];
            let told = object.as_ref().map(facts_of).into_iter().flatten();
            facts.extend(what.into_iter().zip(told).filter(|(_, fact)| !fact.is_empty()));
        }
        user.extra = facts.into_iter().map(|(name, fact)| (format!("{EXTRA}{name}"), vec![fact])).collect();
        user
    }

    /// Whether both are shown by the same token.
    pub(super) fn is(&self, other: &Account) -> bool {
        self.claims.jti == other.claims.jti
    }

    /// From when on the token is worth nothing.
    pub(super) fn expires(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.claims.exp).ok()?.checked_add(LEEWAY)
    }

    /// Whether the token is still good for what it was good for.
    pub(super) fn is_good(&self, grants: &Grants, snapshot: &Snapshot, now: OffsetDateTime) -> bool {
        let granted = grants.groups(&self.claims.bound.namespace, &self.claims.bound.account.name);
        self.groups.iter().all(|group| granted.contains(group)) && still_there(&self.claims, snapshot, now).is_ok()
    }
}

/// Whether the account and what the token is bound to are those it was made for.
fn still_there(claims: &Claims, snapshot: &Snapshot, now: OffsetDateTime) -> Result<(), Refusal> {
    let bound = &claims.bound;
    let key = ObjectKey::new(&bound.namespace, &bound.account.name);
    let account = snapshot.get(Kind::ServiceAccount, &key);
    let account =
        account.ok_or_else(|| Refusal::because(format!("serviceaccounts \"{}\" not found", bound.account.name)))?;
    if *account.meta.uid != *bound.account.uid {
        let (own, said) = (&account.meta.uid, &bound.account.uid);
        return Err(Refusal::because(format!("service account UID ({own}) does not match claim ({said})")));
    }
    if account.meta.deleting && is_over(&account.value(), now) {
        return Err(Refusal::because(format!("service account {key} has been deleted")));
    }
    // The node of a Pod is only told of, not relied on.
    let node = bound.node.as_ref().filter(|_| bound.pod.is_none());
    let namespace = bound.namespace.as_str();
    for (kind, namespace, object) in [
        (Kind::Secret, namespace, bound.secret.as_ref()),
        (Kind::Pod, namespace, bound.pod.as_ref()),
        (Kind::Node, "", node),
    ] {
        let Some(object) = object else { continue };
        let found = snapshot.get(kind, &ObjectKey::new(namespace, &object.name));
        let found = found.filter(|found| !(found.meta.deleting && is_over(&found.value(), now)));
        let found = found.ok_or_else(|| Refusal::because("service account token has been invalidated"))?;
        if *found.meta.uid != *object.uid {
            let word = kind.resource().singular;
            let what = if kind == Kind::Secret { word.to_owned() } else { kind.to_string() };
            let (own, said) = (&found.meta.uid, &object.uid);
            return Err(Refusal::because(format!(
                "{what} UID ({own}) does not match service account {word} ref claim ({said})"
            )));
        }
    }
    Ok(())
}

/// Whether the time an object was given to end in is over.
fn is_over(value: &serde_json::Value, now: OffsetDateTime) -> bool {
    let at = value.pointer("/metadata/deletionTimestamp").and_then(serde_json::Value::as_str).unwrap_or_default();
    OffsetDateTime::parse(at, &Rfc3339).is_ok_and(|at| at < now - LEEWAY)
}
