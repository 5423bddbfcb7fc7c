//! What a request wants to do, in the words that permissions and refusals use: a
//! verb on a resource, or on a path that names no resource. Pure.

use std::borrow::Cow;

use hyper::Method;
use serde_json::Value;

use super::query::Query;
use super::route::{Review, Route, Target};
use crate::model::Kind;
use crate::model::review::TOKEN_REQUEST;

/// What is asked for. Two requests with the same action are answered alike by
/// every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Something of the API's tree of resources.
    Resource {
        verb: Cow<'a, str>,
        group: Cow<'a, str>,
        /// The plural, with its subresource: `pods/status`.
        resource: Cow<'a, str>,
        /// `None` is all namespaces, or the cluster.
        namespace: Option<Cow<'a, str>>,
        /// `None` is the collection.
        name: Option<Cow<'a, str>>,
    },
    /// Any other path; the verb is the method in lower case.
    Path { verb: Cow<'a, str>, path: Cow<'a, str> },
}

/// The action of a request. What decides about served objects is the very target
/// that the verbs act on: a second reading of the path could be fooled into
/// allowing one thing and doing another.
pub(super) fn action<'a>(method: &Method, route: &'a Route, path: &'a str, query: &'a Query) -> Action<'a> {
    match route {
        Route::Objects(target) => of_target(method, target, query),
        Route::Review(review, namespace) => of_review(method, *review, namespace.as_deref()),
        Route::TokenRequest { namespace, name } => Action::Resource {
            verb: verb(method, true, false, query).into(),
            group: "".into(),
            resource: TOKEN_REQUEST.plural.into(),
            namespace: Some(Cow::from(namespace)),
            name: Some(Cow::from(name)),
        },
        // Nothing stands there, so only the words of a refusal depend on it.
        Route::NoResource | Route::Unserved(_) | Route::NotFound => {
            of_segments(method, path, query).unwrap_or_else(|| of_path(method, path))
        }
        _ => of_path(method, path),
    }
}

/// The action that the spec of an access review asks about.
pub(super) fn asked(spec: &Value) -> Option<Action<'static>> {
    let text = |attributes: &Value, member: &str| -> Option<String> {
        let text = attributes.get(member).and_then(Value::as_str)?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let of = |member: &str| spec.get(member).filter(|attributes| attributes.is_object());
    if let Some(attributes) = of("resourceAttributes") {
        let word = |member: &str| text(attributes, member).unwrap_or_default();
        let resource = match text(attributes, "subresource") {
            Some(subresource) => format!("{}/{subresource}", word("resource")),
            None => word("resource"),
        };
        return Some(Action::Resource {
            verb: word("verb").into(),
            group: word("group").into(),
            resource: resource.into(),
            namespace: text(attributes, "namespace").map(Cow::from),
            name: text(attributes, "name").map(Cow::from),
        });
    }
    let attributes = of("nonResourceAttributes")?;
    let word = |member: &str| text(attributes, member).unwrap_or_default();
    Some(Action::Path { verb: word("verb").into(), path: word("path").into() })
}

/// The verb alone, for the log.
pub(super) fn verb_of(method: &Method, path: &str, query: &Query) -> String {
    match of_segments(method, path, query).unwrap_or_else(|| of_path(method, path)) {
        Action::Resource { verb, .. } | Action::Path { verb, .. } => verb.into_owned(),
    }
}

fn of_path<'a>(method: &Method, path: &'a str) -> Action<'a> {
    Action::Path { verb: method.as_str().to_ascii_lowercase().into(), path: path.into() }
}

fn of_target<'a>(method: &Method, target: &'a Target, query: &'a Query) -> Action<'a> {
    let row = target.kind.resource();
    let resource = match &target.subresource {
        Some(subresource) => format!("{}/{subresource}", row.plural).into(),
        None => row.plural.into(),
    };
    let name = target.name.as_deref().or_else(|| query.selected_name());
    let namespace = match target.kind {
        // A namespace lies in itself: whoever may read what is in it may read it.
        Kind::Namespace => target.name.as_deref(),
        _ => target.namespace.as_deref(),
    };
    Action::Resource {
        verb: verb(method, target.name.is_some(), target.watch, query).into(),
        group: row.group.into(),
        resource,
        namespace: namespace.map(Cow::from),
        name: name.map(Cow::from),
    }
}

fn of_review<'a>(method: &Method, review: Review, namespace: Option<&'a str>) -> Action<'a> {
    let row = review.resource();
    Action::Resource {
        verb: if *method == Method::POST { "create" } else { "list" }.into(),
        group: row.group.into(),
        resource: row.plural.into(),
        namespace: namespace.map(Cow::from),
        name: None,
    }
}

/// The verb on a resource.
fn verb(method: &Method, named: bool, watch: bool, query: &Query) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if watch || query.flag("watch") == Some(true) => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "",
    }
}

/// The action on a resource of a shape that is not served, read from the path:
/// `/api/VERSION/…` and `/apis/GROUP/VERSION/…`.
fn of_segments<'a>(method: &Method, path: &'a str, query: &'a Query) -> Option<Action<'a>> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match segments.as_slice() {
        ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
        ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
        _ => return None,
    };
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, "status" | "finalize", ..] | ["namespaces", namespace] => (Some(*namespace), rest),
        ["namespaces", namespace, rest @ ..] => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (plural, rest) = rest.split_first()?;
    let resource = match rest.get(1) {
        Some(subresource) => format!("{plural}/{subresource}").into(),
        None => Cow::from(*plural),
    };
    let name = rest.first().copied();
    Some(Action::Resource {
        verb: verb(method, name.is_some(), watch, query).into(),
        group: group.into(),
        resource,
        namespace: namespace.filter(|namespace| !namespace.is_empty()).map(Cow::from),
        name: name.or_else(|| query.selected_name()).map(Cow::from),
    })
}

#[cfg(test)]
mod tests {
    use super::super::route::route;
    use super::*;

    /// `verb group resource namespace name`, or `verb path`.
    fn words(method: &Method, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (route, query) = (route(path), Query::parse(query));
        match action(method, &route, path, &query) {
            Action::Path { verb, path } => format!("{verb} {path}"),
            Action::Resource { verb, group, resource, namespace, name } => {
                let [namespace, name] = [namespace, name].map(|part| part.unwrap_or_else(|| "-".into()));
                format!("{verb} [{group}] {resource} {namespace} {name}")
            }
        }
    }

    #[test]
    fn a_review_asks_about_the_same_actions() {
        let spec = serde_json::json!({"resourceAttributes": {
            "verb": "update", "resource": "pods", "subresource": "status", "namespace": "n", "name": "",
        }});
        let expected = Action::Resource {
            verb: "update".into(),
            group: "".into(),
            resource: "pods/status".into(),
            namespace: Some("n".into()),
            name: None,
        };
        assert_eq!(asked(&spec), Some(expected));
        let spec = serde_json::json!({"nonResourceAttributes": {"verb": "get", "path": "/api"}});
        assert_eq!(asked(&spec), Some(Action::Path { verb: "get".into(), path: "/api".into() }));
        assert_eq!(asked(&serde_json::json!({})), None);
    }

    #[test]
    fn requests_are_verbs_on_resources() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/services", "list [] services - -"),
            (Method::HEAD, "/api/v1/services", "list [] services - -"),
            (Method::GET, "/api/v1/namespaces/n/services?watch=1", "watch [] services n -"),
            (Method::GET, "/api/v1/watch/namespaces/n/services/x", "watch [] services n x"),
            (Method::GET, "/api/v1/namespaces/n/services?fieldSelector=metadata.name%3Dx", "list [] services n x"),
            (Method::PUT, "/api/v1/namespaces/n/services/x/status", "update [] services/status n x"),
            (Method::DELETE, "/api/v1/namespaces/n/services", "deletecollection [] services n -"),
            (Method::DELETE, "/api/v1/namespaces/n/services/x", "delete [] services n x"),
            (Method::GET, "/api/v1/namespaces/n", "get [] namespaces n n"),
            (Method::GET, "/api/v1/namespaces", "list [] namespaces - -"),
            (Method::GET, "/apis/discovery.k8s.io/v1/endpointslices", "list [discovery.k8s.io] endpointslices - -"),
            (Method::POST, "/api/v1/namespaces/n/serviceaccounts/a/token", "create [] serviceaccounts/token n a"),
            (Method::GET, "/api/v1/nosuch", "list [] nosuch - -"),
            (Method::GET, "/api/v1/namespaces/n/pods/p/log", "get [] pods/log n p"),
            (Method::GET, "/apis/apps/v1/namespaces/n/deployments/d", "get [apps] deployments n d"),
            (Method::GET, "/api/v1", "get /api/v1"),
            (Method::POST, "/metrics", "post /metrics"),
            (Method::GET, "/foo/bar", "get /foo/bar"),
        ] {
            assert_eq!(words(&method, path), expected, "{method} {path}");
        }
    }
}
