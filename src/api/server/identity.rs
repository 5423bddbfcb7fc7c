//! Who asks, and whether they may (spec/api.md section 11). A client is the peer
//! of a Unix socket or the subject of a certificate our own CA signed; the
//! administrators' group may do everything, everybody else only what is public.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::status::{ApiError, Details};
use super::route::{Route, Target};

/// The group that may do everything.
pub(super) const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

impl User {
    /// Nobody in particular.
    pub(super) fn anonymous() -> User {
        User { name: "system:anonymous".to_owned(), groups: vec![UNAUTHENTICATED.to_owned()] }
    }

    /// The peer of the Unix socket: root and the daemon's own user administer the
    /// box; others are known by their number and may do nothing yet.
    pub(super) fn local(uid: u32, own_uid: u32) -> User {
        if uid == 0 || uid == own_uid {
            return User::named("system:admin".to_owned(), vec![MASTERS.to_owned()]);
        }
        User::named(format!("uid:{uid}"), Vec::new())
    }

    /// The subject of a client certificate: CN is the user, each O a group.
    pub(super) fn of_certificate(der: &[u8]) -> Option<User> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| Some(group.as_str().ok()?.to_owned()));
        let groups = groups.collect();
        Some(User::named(name, groups))
    }

    fn named(name: String, mut groups: Vec<String>) -> User {
        groups.push(AUTHENTICATED.to_owned());
        User { name, groups }
    }

    pub(super) fn is_admin(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// Paths everybody may read.
pub(super) const PUBLIC_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];
/// Reviews anybody known may create: group and resource.
pub(super) const OWN_REVIEWS: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

/// Whether somebody of these groups may do something, as [`authorize`] decides it
/// for requests. `resource` is group and resource, `path` any other path.
pub(super) fn may(groups: &[String], verb: &str, resource: Option<(&str, &str)>, path: &str) -> bool {
    let has = |wanted: &str| groups.iter().any(|group| group == wanted);
    if has(MASTERS) {
        return true;
    }
    match resource {
        Some(resource) => has(AUTHENTICATED) && verb == "create" && OWN_REVIEWS.contains(&resource),
        None => {
            let known = has(AUTHENTICATED) || has(UNAUTHENTICATED);
            known && verb == "get" && PUBLIC_PATHS.contains(&path.trim_end_matches('/'))
        }
    }
}

/// Whether `user` may send this request; 403 in Kubernetes' words if not.
pub(super) fn authorize(user: &User, verb: &str, route: &Route, path: &str) -> Result<(), ApiError> {
    if user.is_admin() || matches!(route, Route::Version | Route::Health { .. }) {
        return Ok(());
    }
    let authenticated = user.groups.iter().any(|group| group == AUTHENTICATED);
    match route {
        // Whoever is somebody may ask what they may.
        Route::Review(review, _) if authenticated && review.is_own() => Ok(()),
        Route::Review(review, namespace) => {
            let (group, plural) = (review.resource().group, review.resource().plural);
            let place = place(namespace.as_deref());
            let message = format!(
                "{plural}.{group} is forbidden: User \"{}\" cannot {verb} resource \"{plural}\" in API group \"{group}\" {place}",
                user.name
            );
            let details = Details { group: group.to_owned(), kind: plural.to_owned(), ..Details::default() };
            Err(ApiError::new(403, "Forbidden", message).with(details))
        }
        Route::Objects(target) => Err(forbidden_objects(user, verb, target)),
        _ => Err(forbidden_path(user, verb, path)),
    }
}

fn forbidden_objects(user: &User, verb: &str, target: &Target) -> ApiError {
    let row = target.kind.resource();
    let resource = match &target.subresource {
        Some(subresource) => format!("{}/{subresource}", row.plural),
        None => row.plural.to_owned(),
    };
    let place = place(target.namespace.as_deref());
    let subject = match &target.name {
        Some(name) => format!("{} \"{name}\"", target.kind.qualified_resource()),
        None => target.kind.qualified_resource(),
    };
    let message = format!(
        "{subject} is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
        user.name, row.group
    );
    let name = target.name.as_deref().unwrap_or_default();
    ApiError::new(403, "Forbidden", message).with(Details::resource(target.kind, name))
}

fn place(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    }
}

fn forbidden_path(user: &User, verb: &str, path: &str) -> ApiError {
    let message = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", user.name);
    ApiError::new(403, "Forbidden", message).with(Details::default())
}

#[cfg(test)]
mod tests {
    use super::super::route::route;
    use super::*;

    #[test]
    fn the_public_sees_health_and_version_only() {
        let nobody = User::anonymous();
        for path in ["/version", "/healthz", "/livez/ping", "/readyz"] {
            assert!(authorize(&nobody, "get", &route(path), path).is_ok(), "{path}");
        }
        let refused = authorize(&nobody, "list", &route("/api/v1/namespaces/n/services"), "").unwrap_err();
        assert_eq!(refused.code, 403);
        assert_eq!(
            refused.message,
            "services is forbidden: User \"system:anonymous\" cannot list resource \"services\" in API group \"\" in the namespace \"n\""
        );
        let refused = authorize(&nobody, "get", &route("/api"), "/api").unwrap_err();
        assert_eq!(refused.message, "forbidden: User \"system:anonymous\" cannot get path \"/api\"");
    }

    #[test]
    fn only_root_and_the_daemons_user_administer() {
        assert!(User::local(0, 990).is_admin());
        assert!(User::local(990, 990).is_admin());
        assert!(!User::local(1000, 990).is_admin());
    }
}
