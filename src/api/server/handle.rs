//! One request: identity, route, permission, limits, then the verb.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};

use super::super::status::ApiError;
use super::accept::{self, Accepted};
use super::answer::{Answer, Outcome};
use super::body::{self, Payload};
use super::identity::{self, User};
use super::query::Query;
use super::route::{self, Route, Target};
use super::stream::AnswerBody;
use super::{Api, create, delete, discovery, health, list, openapi, patch, replace, review, scrape, watch};
use crate::model::Kind;

/// What every request to the deprecated Endpoints is told.
const ENDPOINTS_WARNING: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
/// Who wrote, when the client does not say.
const UNKNOWN_AGENT: &str = "unknown";

/// A request on its way to a verb.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) user: User,
    pub(super) query: Query,
    pub(super) accepted: Accepted,
    /// The Accept header as sent, for documents with types of their own.
    pub(super) accept: String,
    /// The product of the User-Agent: who owns the fields written.
    pub(super) agent: String,
    pub(super) content_type: Option<String>,
    pub(super) if_none_match: Option<String>,
    /// What the client is told beside the answer.
    pub(super) warnings: Vec<String>,
}

/// Answers a request. Never fails: a refusal is an answer.
pub(super) async fn handle(api: Arc<Api>, user: User, request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, incoming) = request.into_parts();
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let text = |name| header(&head.headers, name);
    let agent = text(USER_AGENT).unwrap_or_default();
    let pretty = accept::pretty(query.flag("pretty"), &agent);
    let accept = text(ACCEPT).unwrap_or_default();
    let mut call = Call {
        api,
        user,
        accepted: Accepted { pretty, ..Accepted::JSON },
        accept,
        agent: agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_AGENT).to_owned(),
        content_type: text(CONTENT_TYPE),
        if_none_match: text(IF_NONE_MATCH),
        query,
        warnings: Vec::new(),
    };
    let path = head.uri.path();
    let mut incoming = Some(incoming);
    let outcome = respond(&mut call, &head.method, path, &head.headers, &mut incoming).await;
    if let Some(unread) = incoming {
        body::discard(unread, &call.api.limits).await;
    }
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            if error.code >= 500 {
                tracing::warn!(method = %head.method, path, code = error.code, message = error.message, "request failed");
            }
            Answer::error(&error, call.accepted)
        }
    };
    answer.warn(&call.warnings).into_response()
}

fn header(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Whoever reads the body takes it.
async fn respond(
    call: &mut Call,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    incoming: &mut Option<Incoming>,
) -> Outcome {
    let route = route::route(path);
    // No bearer token is known to us yet, so each is a bad one.
    if headers.contains_key(AUTHORIZATION) {
        return Err(ApiError::unauthorized());
    }
    if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Err(ApiError::new(403, "Forbidden", "edgesvc does not serve impersonation"));
    }
    let verb = verb(call, method, &route);
    identity::authorize(&call.user, verb, &route, path)?;
    if let Route::Objects(target) = &route {
        if target.kind == Kind::Endpoints {
            call.warnings.push(ENDPOINTS_WARNING.to_owned());
        }
        call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
        return objects(call, verb, target, incoming).await;
    }
    match (&route, method.as_str()) {
        (Route::Review(kind, namespace), "POST") => {
            call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
            let bytes = whole(call, incoming).await?;
            review::create(call, *kind, namespace.as_deref(), &bytes)
        }
        (Route::Unserved(what), _) => Err(ApiError::not_implemented(what)),
        (Route::NoResource, _) => Err(ApiError::no_resource()),
        (Route::NotFound, _) => Ok(Answer::text(404, "404 page not found\n")),
        (_, "GET" | "HEAD") => documents(call, &route),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// What is not an object: discovery, health, OpenAPI, metrics.
fn documents(call: &mut Call, route: &Route) -> Outcome {
    match route {
        Route::Root => Ok(discovery::root(call)),
        Route::Version => Ok(discovery::version(call)),
        Route::Health { endpoint, check } => Ok(health::answer(call, endpoint, check.as_deref())),
        Route::Metrics => Ok(scrape::metrics(&call.api)),
        Route::OpenApiV2 => openapi::v2(call),
        Route::OpenApiV3Index => Ok(openapi::v3_index(call)),
        Route::OpenApiV3(path) => openapi::v3(call, path),
        Route::CoreVersions => discovery::core_versions(call),
        Route::Groups => discovery::groups(call),
        Route::Group(group) => discovery::group(call, group),
        Route::Resources { group, version } => discovery::resources(call, group, version),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The verb of a request, as permissions and refusals name it.
fn verb(call: &Call, method: &Method, route: &Route) -> &'static str {
    let Route::Objects(target) = route else {
        return match *method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "create",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "use",
        };
    };
    match *method {
        Method::GET if target.subresource.is_some() => "get",
        Method::GET if target.watch || call.query.flag("watch") == Some(true) => "watch",
        Method::GET if target.name.is_none() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if target.name.is_none() => "deletecollection",
        Method::DELETE => "delete",
        _ => "use",
    }
}

async fn objects(call: &mut Call, verb: &str, target: &Target, incoming: &mut Option<Incoming>) -> Outcome {
    // GET of one object with ?watch=1 is a GET in Kubernetes only without the flag.
    if verb == "watch" {
        return watch::watch(call, target);
    }
    let permit = Arc::clone(&call.api.requests).try_acquire_owned();
    let _permit = permit.map_err(|_| ApiError::too_many_requests())?;
    let row = target.kind.resource();
    if row.read_only && !matches!(verb, "get" | "list") {
        return Err(ApiError::read_only(target.kind));
    }
    let (subresource, collection) = (target.subresource.as_deref(), target.name.is_none());
    match verb {
        "get" if !collection => list::get(call, target).await,
        "list" => list::list(call, target).await,
        "create" if collection && (target.namespace.is_some() || !row.namespaced) => {
            let payload = payload(call, incoming).await?;
            create::post(call, target, &payload).await
        }
        "update" if !collection => {
            let payload = payload(call, incoming).await?;
            replace::put(call, target, &payload).await
        }
        "patch" if !collection && subresource != Some("finalize") => {
            let bytes = whole(call, incoming).await?;
            patch::patch(call, target, &bytes).await
        }
        "delete" if subresource.is_none() => {
            let bytes = whole(call, incoming).await?;
            delete::one(call, target, &bytes).await
        }
        "deletecollection" if row.delete_collection && (target.namespace.is_some() || !row.namespaced) => {
            let bytes = whole(call, incoming).await?;
            delete::collection(call, target, &bytes).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

async fn payload(call: &Call, incoming: &mut Option<Incoming>) -> Result<Payload, ApiError> {
    // The type first: a body that nobody will read is not waited for.
    let format = body::format(call.content_type.as_deref())?;
    let bytes = whole(call, incoming).await?;
    Ok(Payload { format, bytes })
}

async fn whole(call: &Call, incoming: &mut Option<Incoming>) -> Result<Bytes, ApiError> {
    match incoming.take() {
        Some(incoming) => body::read(incoming, &call.api.limits).await,
        None => Ok(Bytes::new()),
    }
}
