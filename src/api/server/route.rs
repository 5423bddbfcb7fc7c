//! Paths to what they name (spec/api.md sections 1 and 2). Pure.

use super::query::percent_decoded;
use crate::model::kind::Resource;
use crate::model::{Kind, review};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`: the list of paths.
    Root,
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz`, with the name of one check.
    Health { endpoint: &'static str, check: Option<String> },
    /// `/metrics`
    Metrics,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3Index,
    /// `/openapi/v3/api/v1`
    OpenApiV3(String),
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/G`
    Group(String),
    /// `/api/v1` and `/apis/G/V`
    Resources { group: String, version: String },
    /// Objects of a served kind.
    Objects(Target),
    /// `/edgesvc/v1/tokens`
    Tokens,
    /// `/edgesvc/v1/tokens/NAME`
    Token(String),
    /// `/edgesvc/v1/grants`
    Grants,
    /// `/edgesvc/v1/grants/NAMESPACE/NAME`, the grants of one account
    Grant { namespace: String, name: String },
    /// `/.well-known/openid-configuration`
    Issuer,
    /// `/openid/v1/jwks`
    IssuerKeys,
    /// `serviceaccounts/NAME/token`: created, never stored.
    TokenRequest { namespace: String, name: String },
    /// `/edgesvc/v1/repair`
    Repair,
    /// `/edgesvc/v1/settings`
    Settings,
    /// `/edgesvc/v1/dataplane/WHAT`
    Kernel(String),
    /// A review: created, in a namespace or outside, never stored.
    Review(Review, Option<String>),
    /// Something of Kubernetes that edgesvc does not do, by name.
    Unserved(String),
    /// A path under a served group that names nothing.
    NoResource,
    /// Any other path.
    NotFound,
}

/// Objects a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// `None` is all namespaces, or a cluster-scoped kind.
    pub(super) namespace: Option<String>,
    /// `None` is the collection.
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    /// The legacy `/watch/` prefix.
    pub(super) watch: bool,
}

/// The virtual resources that answer a question about who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// `authorization.k8s.io/v1` SelfSubjectAccessReview: may I?
    Access,
    /// `authorization.k8s.io/v1` SelfSubjectRulesReview: what may I?
    Rules,
    /// `authorization.k8s.io/v1` SubjectAccessReview: may they?
    OtherAccess,
    /// `authorization.k8s.io/v1` LocalSubjectAccessReview: may they, in a namespace?
    LocalAccess,
    /// `authentication.k8s.io/v1` SelfSubjectReview: who am I?
    Subject,
    /// `authentication.k8s.io/v1` TokenReview: whose token is this?
    Token,
}

impl Review {
    pub(super) const ALL: [Review; 6] =
        [Review::Access, Review::Rules, Review::OtherAccess, Review::LocalAccess, Review::Subject, Review::Token];

    /// What discovery says of it.
    pub(super) fn resource(self) -> &'static Resource {
        match self {
            Review::Access => &review::SELF_ACCESS,
            Review::Rules => &review::SELF_RULES,
            Review::OtherAccess => &review::ACCESS,
            Review::LocalAccess => &review::LOCAL_ACCESS,
            Review::Subject => &review::SELF_SUBJECT,
            Review::Token => &review::TOKEN,
        }
    }
}

/// Subresources Kubernetes has and edgesvc does not, because it runs no containers.
const UNSERVED_SUBRESOURCES: [(Kind, &str); 9] = [
    (Kind::Pod, "log"),
    (Kind::Pod, "exec"),
    (Kind::Pod, "attach"),
    (Kind::Pod, "portforward"),
    (Kind::Pod, "proxy"),
    (Kind::Pod, "eviction"),
    (Kind::Pod, "binding"),
    (Kind::Pod, "ephemeralcontainers"),
    (Kind::Service, "proxy"),
];

/// The order in which groups are told: clients take the first that has a name.
const ORDER: [&str; 8] = [
    "",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
];

/// The API groups served: of objects and of reviews.
pub(super) fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    let objects = Kind::ALL.into_iter().map(|kind| (kind.resource().group, kind.resource().version));
    for group in objects.chain(Review::ALL.into_iter().map(|review| (review.resource().group, "v1"))) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.sort_by_key(|(group, _)| ORDER.iter().position(|known| known == group));
    groups
}

/// What `path` names. An empty segment is a namespace left out
/// (`namespaces//services`) and a trailing slash is nothing.
pub(super) fn route(path: &str) -> Route {
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    let decoded: Vec<String> = trimmed.split('/').map(|segment| percent_decoded(segment, false)).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [""] => Route::Root,
        ["version"] => Route::Version,
        ["metrics"] => Route::Metrics,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiV3Index,
        ["openapi", "v3", rest @ ..] => Route::OpenApiV3(rest.join("/")),
        ["edgesvc", "v1", "tokens"] => Route::Tokens,
        ["edgesvc", "v1", "tokens", name] => Route::Token((*name).to_owned()),
        ["edgesvc", "v1", "grants"] => Route::Grants,
        ["edgesvc", "v1", "grants", namespace, name] => {
            Route::Grant { namespace: (*namespace).to_owned(), name: (*name).to_owned() }
        }
        ["edgesvc", "v1", "repair"] => Route::Repair,
        ["edgesvc", "v1", "settings"] => Route::Settings,
        ["edgesvc", "v1", "dataplane", what] => Route::Kernel((*what).to_owned()),
        [".well-known", "openid-configuration"] => Route::Issuer,
        ["openid", "v1", "jwks"] => Route::IssuerKeys,
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["api", "v1", rest @ ..] => in_group("", "v1", rest),
        ["apis", group] if serves(group) => Route::Group((*group).to_owned()),
        ["apis", group, version, rest @ ..] if groups().contains(&(*group, *version)) => in_group(group, version, rest),
        ["apis", group, ..] if serves(group) => Route::NoResource,
        [endpoint, rest @ ..] => match health_endpoint(endpoint) {
            Some(endpoint) if rest.len() < 2 => {
                Route::Health { endpoint, check: rest.first().map(|name| (*name).to_owned()) }
            }
            _ => Route::NotFound,
        },
        [] => Route::NotFound,
    }
}

fn serves(group: &str) -> bool {
    !group.is_empty() && groups().iter().any(|(served, _)| *served == group)
}

fn health_endpoint(name: &str) -> Option<&'static str> {
    ["healthz", "livez", "readyz"].into_iter().find(|endpoint| *endpoint == name)
}

fn in_group(group: &str, version: &str, segments: &[&str]) -> Route {
    match segments {
        [] => Route::Resources { group: group.to_owned(), version: version.to_owned() },
        ["watch", rest @ ..] if !rest.is_empty() => objects(group, version, rest, true),
        _ => objects(group, version, segments, false),
    }
}

fn objects(group: &str, version: &str, segments: &[&str], watch: bool) -> Route {
    let (namespace, rest) = match segments {
        // `namespaces/x/status` is about the namespace, `namespaces/x/services` about what is in it.
        ["namespaces", _, sub] if Kind::Namespace.resource().subresources.contains(sub) => (None, segments),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, segments),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        [plural, name, "proxy", ..] => (*plural, Some(*name), Some("proxy")),
        _ => return Route::NoResource,
    };
    let of_path = |review: &Review| review.resource().group == group && review.resource().plural == plural;
    if let Some(review) = Review::ALL.into_iter().find(of_path) {
        let namespace = namespace.filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        let placed = namespace.is_some() == review.resource().namespaced && name.is_none();
        return if placed { Route::Review(review, namespace) } else { Route::NoResource };
    }
    let Some(kind) = Kind::from_path(group, version, plural) else { return Route::NoResource };
    let row = kind.resource();
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    if (namespace.is_some() && !row.namespaced) || (name.is_some() && namespace.is_none() && row.namespaced) {
        return Route::NoResource;
    }
    if let (Kind::ServiceAccount, Some(namespace), Some(name), Some("token"), false) =
        (kind, namespace, name, subresource, watch)
    {
        return Route::TokenRequest { namespace: namespace.to_owned(), name: name.to_owned() };
    }
    if let Some(subresource) = subresource.filter(|sub| !row.subresources.contains(sub)) {
        return match UNSERVED_SUBRESOURCES.iter().any(|(k, s)| *k == kind && *s == subresource) {
            true => Route::Unserved(format!("{plural}/{subresource}")),
            false => Route::NoResource,
        };
    }
    Route::Objects(Target {
        kind,
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
        watch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match route(path) {
            Route::Objects(target) => target,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn objects_are_named_by_namespace_name_and_subresource() {
        let service = target("/api/v1/namespaces/default/services/a/status");
        assert_eq!(service.kind, Kind::Service);
        assert_eq!(service.namespace.as_deref(), Some("default"));
        assert_eq!(service.name.as_deref(), Some("a"));
        assert_eq!(service.subresource.as_deref(), Some("status"));
        assert_eq!(target("/apis/discovery.k8s.io/v1/endpointslices/").kind, Kind::EndpointSlice);
        assert_eq!(target("/api/v1/namespaces//services").namespace, None);
        assert_eq!(target("/api/v1/namespaces/x").kind, Kind::Namespace);
        assert_eq!(target("/api/v1/namespaces/x/finalize").subresource.as_deref(), Some("finalize"));
        assert!(target("/api/v1/watch/namespaces/x/services/a").watch);
    }

    #[test]
    fn what_is_not_served_is_told_apart() {
        assert_eq!(route("/api/v1/nosuch"), Route::NoResource);
        assert_eq!(route("/foo/bar"), Route::NotFound);
        assert_eq!(route("/apis/apps/v1/deployments"), Route::NotFound);
        assert_eq!(route("/apis/discovery.k8s.io/v2/x"), Route::NoResource);
        assert_eq!(route("/api/v1/namespaces/n/pods/p/log"), Route::Unserved("pods/log".to_owned()));
        assert_eq!(route("/api/v1/namespaces/n/services/s/proxy/a/b"), Route::Unserved("services/proxy".to_owned()));
        assert_eq!(route("/api/v1/namespaces/n/nodes"), Route::NoResource);
        assert_eq!(route("/api/v1/services/s"), Route::NoResource);
    }

    #[test]
    fn the_rest_of_the_tree_has_its_places() {
        assert_eq!(route("/"), Route::Root);
        let (namespace, name) = ("n".to_owned(), "a".to_owned());
        assert_eq!(
            route("/api/v1/namespaces/n/serviceaccounts/a/token"),
            Route::TokenRequest { namespace: namespace.clone(), name: name.clone() }
        );
        assert_eq!(route("/edgesvc/v1/grants/n/a"), Route::Grant { namespace, name });
        assert_eq!(route("/.well-known/openid-configuration/"), Route::Issuer);
        assert_eq!(route("/openid/v1/jwks"), Route::IssuerKeys);
        assert_eq!(route("/livez/store"), Route::Health { endpoint: "livez", check: Some("store".to_owned()) });
        assert_eq!(
            route("/openapi/v3/apis/discovery.k8s.io/v1"),
            Route::OpenApiV3("apis/discovery.k8s.io/v1".to_owned())
        );
        assert_eq!(
            route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
            Route::Review(Review::Access, None)
        );
    }
}
