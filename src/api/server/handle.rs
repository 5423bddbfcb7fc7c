//! One request: who, what, whether he may, his share, then the verb.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};

use super::super::status::ApiError;
use super::accept::{self, Accepted};
use super::answer::{Answer, Outcome};
use super::audit::Refused;
use super::body::{self, Payload};
use super::connection::Peer;
use super::credential::Known;
use super::identity::{self, User};
use super::query::Query;
use super::route::{self, Route, Target};
use super::share::{Held, Pool};
use super::traffic::Tracked;
use super::{
    Api, accounts, action, create, delete, discovery, health, kernel, list, openapi, patch, repair, replace, review,
    scrape, settings, tokens, watch,
};
use crate::model::Kind;

/// What every request to the deprecated Endpoints is told.
const ENDPOINTS_WARNING: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
/// Who wrote, when the client does not say.
const UNKNOWN_AGENT: &str = "unknown";

/// Headers of one request: HTTP/2 has no bound of its own on their number.
pub(super) const HEADERS_MAX: usize = 128;

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
    /// Whose share the request uses.
    client: String,
    /// The parts of it, until the answer is out.
    held: Vec<Held>,
}

/// Answers a request. Never fails: a refusal is an answer.
pub(super) async fn handle(api: Arc<Api>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Tracked> {
    let exchange = peer.traffic.begin();
    let (head, incoming) = request.into_parts();
    let caller = admit(&api, &peer, &head.headers);
    let mut call = Call::new(api, &head, caller.as_ref().map_or_else(|_| User::anonymous(), Clone::clone));
    call.client = if call.user.is_anonymous() { peer.source.clone() } else { call.user.name.clone() };
    let mut incoming = Some(incoming);
    let grants = call.api.accounts.grants.newest();
    let outcome = match caller.and_then(|user| identity::impersonate(user, &head.headers, &grants)) {
        Ok(user) => {
            call.user = user;
            respond(&mut call, &head, &mut incoming).await
        }
        Err(refused) => Err(refused),
    };
    if let Some(unread) = incoming {
        body::discard(unread, &call.api.limits).await;
    }
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            note(&call, &peer, &head, &error);
            // Refusals come in the client's language too, if it is one of ours.
            let accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty).unwrap_or(call.accepted);
            Answer::error(&error, accepted)
        }
    };
    let answer = if head.method == Method::HEAD { answer.without_body() } else { answer };
    let response = answer.warn(&call.warnings).into_response();
    response.map(|body| Tracked::new(body, exchange, call.held))
}

/// Who sends the request.
fn admit(api: &Api, peer: &Peer, headers: &HeaderMap) -> Result<User, ApiError> {
    let now = crate::clock::now();
    let caller = identity::authenticate(&peer.presented, headers, &Known::now(api), now)?;
    if let Some(credential) = &caller.credential {
        if !peer.traffic.uses(credential, now) {
            return Err(ApiError::too_many_requests());
        }
        // Written down first, looked up then: one taken away in between is found here
        // or by the connection, never by neither.
        if !Known::now(api).holds(credential, now) {
            return Err(ApiError::unauthorized());
        }
    }
    Ok(caller.user)
}

/// Says in the log what was refused, and what failed.
fn note(call: &Call, peer: &Peer, head: &Parts, error: &ApiError) {
    let path = head.uri.path();
    match error.code {
        401 | 403 | 429 => call.api.audit.refused(&Refused {
            // Who is not known by his credentials has no name.
            user: if error.code == 401 { "" } else { &call.user.name },
            verb: &action::verb_of(&head.method, path, &call.query),
            path,
            source: &peer.source,
            code: error.code,
            reason: &error.message,
        }),
        500.. => {
            tracing::warn!(method = %head.method, path, code = error.code, message = error.message, "request failed")
        }
        _ => {}
    }
}

impl Call {
    fn new(api: Arc<Api>, head: &Parts, user: User) -> Call {
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let text = |name| header(&head.headers, name);
        let agent = text(USER_AGENT).unwrap_or_default();
        let pretty = accept::pretty(query.flag("pretty"), &agent);
        Call {
            api,
            user,
            accepted: Accepted { pretty, ..Accepted::JSON },
            accept: text(ACCEPT).unwrap_or_default(),
            agent: agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_AGENT).to_owned(),
            content_type: text(CONTENT_TYPE),
            if_none_match: text(IF_NONE_MATCH),
            query,
            warnings: Vec::new(),
            client: String::new(),
            held: Vec::new(),
        }
    }

    /// Takes from a pool for as long as the answer takes.
    fn hold(&mut self, pool: &Arc<Pool>, amount: u32) -> Result<(), ApiError> {
        let held = pool.take(&self.client, amount).ok_or_else(ApiError::too_many_requests)?;
        self.held.push(held);
        Ok(())
    }
}

fn header(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Whoever reads the body takes it.
async fn respond(call: &mut Call, head: &Parts, incoming: &mut Option<Incoming>) -> Outcome {
    let (method, path) = (&head.method, head.uri.path());
    if head.headers.len() > HEADERS_MAX {
        return Err(ApiError::new(431, "", format!("more than {HEADERS_MAX} headers")));
    }
    let route = route::route(path);
    identity::authorize(&call.user, &action::action(method, &route, path, &call.query))?;
    let api = Arc::clone(&call.api);
    if let Route::Objects(target) = &route {
        if target.kind == Kind::Endpoints {
            call.warnings.push(ENDPOINTS_WARNING.to_owned());
        }
        call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
        let verb = verb(call, method, target);
        call.hold(if verb == "watch" { &api.watches } else { &api.requests }, 1)?;
        return objects(call, verb, target, incoming).await;
    }
    if !matches!(route, Route::Version | Route::Health { .. }) {
        call.hold(&api.requests, 1)?;
    }
    match (&route, method.as_str()) {
        (Route::Review(kind, namespace), "POST") => {
            call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
            let bytes = whole(call, incoming).await?;
            review::create(call, *kind, namespace.as_deref(), &bytes)
        }
        (Route::TokenRequest { namespace, name }, "POST") => {
            call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
            let payload = payload(call, incoming).await?;
            accounts::create(call, namespace, name, &payload)
        }
        (Route::Grants, _) => {
            let bytes = whole(call, incoming).await?;
            accounts::several(call, method, &bytes).await
        }
        (Route::Grant { namespace, name }, _) => accounts::one(call, method, namespace, name).await,
        (Route::Tokens, _) => {
            let bytes = whole(call, incoming).await?;
            tokens::several(call, method, &bytes).await
        }
        (Route::Metrics, "GET" | "HEAD") => Ok(scrape::metrics(&call.api).await),
        (Route::Repair, _) => repair::repair(call, method).await,
        (Route::Kernel(what), _) => {
            let bytes = whole(call, incoming).await?;
            kernel::kernel(call, method, what, &bytes).await
        }
        (Route::Token(name), _) => tokens::one(call, method, name).await,
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
        Route::Settings => Ok(settings::settings(call)),
        Route::Health { endpoint, check } => Ok(health::answer(call, endpoint, check.as_deref())),
        Route::Issuer => accounts::configuration(call),
        Route::IssuerKeys => accounts::keys(call),
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

/// What is to be done with objects. Permissions have words of their own (`action`).
fn verb(call: &Call, method: &Method, target: &Target) -> &'static str {
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

async fn payload(call: &mut Call, incoming: &mut Option<Incoming>) -> Result<Payload, ApiError> {
    // The type first: a body that nobody will read is not waited for.
    let format = body::format(call.content_type.as_deref())?;
    let bytes = whole(call, incoming).await?;
    Ok(Payload { format, bytes })
}

async fn whole(call: &mut Call, incoming: &mut Option<Incoming>) -> Result<Bytes, ApiError> {
    let api = Arc::clone(&call.api);
    let Some(body) = incoming.take() else { return Ok(Bytes::new()) };
    let held = body::units(&body, &api.limits).and_then(|units| call.hold(&api.bodies, units));
    if let Err(refused) = held {
        *incoming = Some(body);
        return Err(refused);
    }
    body::read(body, &api.limits).await
}
