//! Who asks, and whether they may (spec/api.md section 11). A client is the peer
//! of a Unix socket, the subject of a certificate our own CA signed, or whom its
//! bearer token names; without any of them it is nobody. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::status::{ApiError, Details};
use super::accounts::Grants;
use super::action::Action;
use super::credential::{Credential, Known};
use super::roles;
use crate::model::role::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};
use crate::model::service_account;

/// The user of requests without credentials.
const ANONYMOUS: &str = "system:anonymous";
/// Where Kubernetes says which credential was used.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// Groups one request may ask to act with.
const IMPERSONATED_GROUPS_MAX: usize = 32;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    /// What tells two of one name apart, where there may be two; empty elsewhere.
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    /// Further facts, as `userInfo.extra` has them.
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// What a connection itself proves of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// Nothing.
    Nothing,
    /// A Unix peer.
    Peer(User),
    /// A certificate in force, and until when it is.
    Certificate(User, OffsetDateTime),
    /// A certificate that is not ours or not in force.
    BadCertificate,
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: User,
    /// The token that named the user, to end its streams when it is taken away.
    pub(super) credential: Option<Credential>,
}

impl User {
    /// Nobody in particular.
    pub(super) fn anonymous() -> User {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        User { name: ANONYMOUS.to_owned(), uid: String::new(), groups, extra: BTreeMap::new() }
    }

    /// The peer of the Unix socket: root and the daemon's own user administer the
    /// box; others are known by their number and may do what everybody may.
    pub(super) fn local(uid: u32, own_uid: u32) -> User {
        if uid == 0 || uid == own_uid {
            return User::named("system:admin".to_owned(), vec![MASTERS.to_owned()]);
        }
        User::named(format!("uid:{uid}"), Vec::new())
    }

    /// The subject of a client certificate: CN is the user, each O a group; and until
    /// when it counts.
    pub(super) fn of_certificate(der: &[u8]) -> Option<(User, OffsetDateTime)> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| Some(group.as_str().ok()?.to_owned()));
        let groups = groups.collect();
        let mut user = (!name.is_empty()).then(|| User::named(name, groups))?;
        let id =
            digest(&SHA256, der).as_ref().iter().fold("X509SHA256=".to_owned(), |id, byte| format!("{id}{byte:02x}"));
        user.extra.insert(CREDENTIAL_ID.to_owned(), vec![id]);
        Some((user, certificate.validity().not_after.to_datetime()))
    }

    /// A user whose credentials were good.
    pub(super) fn named(name: String, mut groups: Vec<String>) -> User {
        // Nobody's name proves nothing, whoever signed it.
        let told = groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
        if name != ANONYMOUS && !told {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name, uid: String::new(), groups, extra: BTreeMap::new() }
    }

    /// As `userInfo` of a review tells it.
    pub(super) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        let Some(members) = info.as_object_mut() else { return info };
        if !self.uid.is_empty() {
            members.insert("uid".to_owned(), self.uid.clone().into());
        }
        if !self.extra.is_empty() {
            members.insert("extra".to_owned(), json!(self.extra));
        }
        info
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }
}

/// Who sends a request. A certificate wins over a token, as in Kubernetes; on the
/// socket a token is the more deliberate of the two. A token that is not known is
/// a 401 even where nobody needs one: the client believes it is somebody.
pub(super) fn authenticate(
    presented: &Presented,
    headers: &HeaderMap,
    known: &Known<'_>,
    now: OffsetDateTime,
) -> Result<Caller, ApiError> {
    let plain = |user: &User| Caller { user: user.clone(), credential: None };
    if let Presented::Certificate(user, until) = presented
        && now <= *until
    {
        return Ok(plain(user));
    }
    let authorization = headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(secret) = authorization.as_deref().and_then(bearer) {
        let found = known.find(secret, &[], now).map_err(|refusal| {
            tracing::debug!(%refusal, "a token that does not count");
            ApiError::unauthorized()
        })?;
        return Ok(Caller { user: found.user, credential: Some(found.credential) });
    }
    match presented {
        Presented::Peer(user) => Ok(plain(user)),
        // A connection may outlive what opened it.
        Presented::BadCertificate | Presented::Certificate(..) => Err(ApiError::unauthorized()),
        Presented::Nothing => Ok(plain(&User::anonymous())),
    }
}

/// The token of `Bearer TOKEN`. Other schemes are no credentials of ours.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.split(' ').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whom the request acts as: its sender, or the user of its `Impersonate-` headers,
/// which only an administrator may be.
pub(super) fn impersonate(user: User, headers: &HeaderMap, grants: &Grants) -> Result<User, ApiError> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    let all = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.map(str::to_owned).collect()
    };
    let (name, mut groups) = (all("impersonate-user").into_iter().next().unwrap_or_default(), all("impersonate-group"));
    if name.is_empty() {
        return Err(ApiError::bad_request("requested to impersonate without a user name"));
    }
    if groups.len() > IMPERSONATED_GROUPS_MAX {
        return Err(ApiError::bad_request(format!("more than {IMPERSONATED_GROUPS_MAX} impersonated groups")));
    }
    let action = Action::Resource {
        verb: "impersonate".into(),
        group: "".into(),
        resource: "users".into(),
        namespace: None,
        name: Some(Cow::from(&name)),
    };
    authorize(&user, &action)?;
    if let Some((namespace, account)) = service_account::of_username(&name) {
        if groups.is_empty() {
            groups = service_account::groups(namespace);
        }
        groups.extend(grants.groups(namespace, account));
    }
    Ok(User::named(name, groups))
}

/// Whether `user` may do this; 403 in Kubernetes' words if not.
pub(super) fn authorize(user: &User, action: &Action<'_>) -> Result<(), ApiError> {
    if roles::allows(&user.groups, action) { Ok(()) } else { Err(forbidden(user, action)) }
}

fn forbidden(user: &User, action: &Action<'_>) -> ApiError {
    let user = &user.name;
    match action {
        Action::Path { verb, path } => {
            let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
            ApiError::new(403, "Forbidden", message).with(Details::default())
        }
        Action::Resource { verb, group, resource, namespace, name } => {
            let plural = resource.split('/').next().unwrap_or_default();
            let qualified = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
            let subject = match name {
                Some(name) => format!("{qualified} \"{name}\""),
                None => qualified,
            };
            let place = match namespace {
                Some(namespace) => format!("in the namespace \"{namespace}\""),
                None => "at the cluster scope".to_owned(),
            };
            let message = format!(
                "{subject} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
            );
            ApiError::new(403, "Forbidden", message).with(Details {
                name: name.as_deref().unwrap_or_default().to_owned(),
                group: group.clone().into_owned(),
                kind: plural.to_owned(),
                ..Details::default()
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::header::HeaderValue;
    use time::macros::datetime;

    use super::super::accounts::Accounts;
    use super::super::action::action;
    use super::super::kept::Document as _;
    use super::super::query::Query;
    use super::super::route::route;
    use super::super::tokens::Tokens;
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 00:00 UTC);

    fn refused(user: &User, method: &Method, path: &str) -> Option<ApiError> {
        let (route, query) = (route(path), Query::default());
        authorize(user, &action(method, &route, path, &query)).err()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn the_public_sees_health_and_version_only() {
        let nobody = User::anonymous();
        for path in ["/version", "/healthz", "/livez", "/readyz"] {
            assert_eq!(refused(&nobody, &Method::GET, path), None, "{path}");
        }
        let error = refused(&nobody, &Method::GET, "/api/v1/namespaces/n/services").unwrap();
        assert_eq!(error.code, 403);
        assert_eq!(
            error.message,
            "services is forbidden: User \"system:anonymous\" cannot list resource \"services\" in API group \"\" in the namespace \"n\""
        );
        let error = refused(&nobody, &Method::GET, "/api").unwrap();
        assert_eq!(error.message, "forbidden: User \"system:anonymous\" cannot get path \"/api\"");
    }

    #[test]
    fn a_refusal_is_worded_as_the_real_servers() {
        let bob = User::named("bob".to_owned(), Vec::new());
        for (method, path, message, details) in [
            (
                Method::GET,
                "/apis/discovery.k8s.io/v1/namespaces/n/endpointslices/x",
                "endpointslices.discovery.k8s.io \"x\" is forbidden: User \"bob\" cannot get resource \"endpointslices\" in API group \"discovery.k8s.io\" in the namespace \"n\"",
                ["x", "discovery.k8s.io", "endpointslices"],
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/n/services/x/status",
                "services \"x\" is forbidden: User \"bob\" cannot update resource \"services/status\" in API group \"\" in the namespace \"n\"",
                ["x", "", "services"],
            ),
            (
                Method::GET,
                "/api/v1/namespaces/n",
                "namespaces \"n\" is forbidden: User \"bob\" cannot get resource \"namespaces\" in API group \"\" in the namespace \"n\"",
                ["n", "", "namespaces"],
            ),
            (
                Method::POST,
                "/api/v1/nodes",
                "nodes is forbidden: User \"bob\" cannot create resource \"nodes\" in API group \"\" at the cluster scope",
                ["", "", "nodes"],
            ),
        ] {
            let error = refused(&bob, &method, path).unwrap();
            assert_eq!(error.message, message);
            let found = error.details.unwrap();
            assert_eq!([&*found.name, &found.group, &found.kind], details);
        }
    }

    #[test]
    fn only_root_and_the_daemons_user_administer() {
        let administers = |uid| User::local(uid, 990).groups.iter().any(|group| group == MASTERS);
        assert!(administers(0) && administers(990) && !administers(1000));
    }

    #[test]
    fn nobodys_name_is_not_somebody() {
        assert!(User::named(ANONYMOUS.to_owned(), Vec::new()).groups.is_empty());
        let told = User::named("x".to_owned(), vec![AUTHENTICATED.to_owned()]);
        assert_eq!(told.groups, [AUTHENTICATED]);
    }

    #[test]
    fn credentials_are_weighed_as_kubernetes_does() {
        let token = serde_json::json!({"format": 1, "tokens": [{
            "name": "bob", "role": "view", "created": "2026-01-01T00:00:00Z",
            // Of the token "good".
            "sha256": "dw5gdiTWiSZcpsRIhNCAfZsFTSPEc8EGxyvp3gi3N2w",
        }]});
        let tokens = Tokens::parse(token.to_string().as_bytes()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(dir.path(), "cluster.local", None);
        let known = Known::of(&accounts, tokens);
        let (root, carol) = (User::local(0, 0), User::named("carol".to_owned(), Vec::new()));
        let of = |presented: &Presented, authorization: &str| {
            let headers = headers(&[("authorization", authorization)]);
            let caller = authenticate(presented, &headers, &known, NOW);
            caller.map_or_else(|error| error.code.to_string(), |caller| caller.user.name)
        };
        let peer = Presented::Peer(root);
        let over = Presented::Certificate(carol.clone(), NOW - time::Duration::SECOND);
        for (presented, authorization, expected) in [
            (&Presented::Nothing, "Bearer good", "bob"),
            (&Presented::Nothing, " bearer good", "bob"),
            (&Presented::Nothing, "Bearer bad", "401"),
            (&Presented::Nothing, "Bearer g\u{f6}\u{f6}d", "401"),
            (&Presented::Nothing, "Bearer a.b.c", "401"),
            (&Presented::Nothing, "Bearer ", "system:anonymous"),
            (&Presented::Nothing, "Basic YTpi", "system:anonymous"),
            (&Presented::Certificate(carol, NOW), "Bearer bad", "carol"),
            (&over, "", "401"),
            (&over, "Bearer good", "bob"),
            (&Presented::BadCertificate, "", "401"),
            (&Presented::BadCertificate, "Bearer good", "bob"),
            (&peer, "", "system:admin"),
            (&peer, "Bearer good", "bob"),
            (&peer, "Bearer bad", "401"),
        ] {
            assert_eq!(of(presented, authorization), expected, "{presented:?} {authorization:?}");
        }
    }

    #[test]
    fn only_administrators_act_as_somebody_else() {
        let grants = Grants::default();
        let asked = headers(&[("impersonate-user", "eve"), ("impersonate-group", "edgesvc:view")]);
        let eve = impersonate(User::local(0, 0), &asked, &grants).unwrap();
        assert_eq!(eve.groups, ["edgesvc:view", AUTHENTICATED]);
        let account = headers(&[("impersonate-user", "system:serviceaccount:n:a")]);
        let account = impersonate(User::local(0, 0), &account, &grants).unwrap();
        assert_eq!(account.groups, ["system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED]);
        let bob = User::named("bob".to_owned(), vec!["edgesvc:edit".to_owned()]);
        let refused = impersonate(bob, &asked, &grants).unwrap_err();
        assert_eq!(
            refused.message,
            "users \"eve\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
        let nameless = headers(&[("impersonate-group", MASTERS)]);
        assert_eq!(impersonate(User::local(0, 0), &nameless, &grants).unwrap_err().code, 400);
    }
}
