//! What is served: the old documents, aggregated discovery, and the version
//! (spec/api.md section 2).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, VARY};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::super::status::ApiError;
use super::accept::{self, JSON};
use super::answer::{Answer, Outcome, line};
use super::handle::Call;
use super::route;
use crate::model::kind::Resource;
use crate::model::review::TOKEN_REQUEST;
use crate::model::{Kind, review};

/// The Kubernetes whose behaviour this is.
const MAJOR: &str = "1";
/// Its minor version.
const MINOR: &str = "36";

/// Paths of `/` beside those of groups.
const PATHS: [&str; 15] = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/edgesvc/v1/grants",
    "/edgesvc/v1/repair",
    "/edgesvc/v1/settings",
    "/edgesvc/v1/tokens",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
];

/// `GET /`
pub(super) fn root(call: &Call) -> Answer {
    let mut paths: Vec<String> = PATHS.iter().map(|path| (*path).to_owned()).chain(["/version".to_owned()]).collect();
    for (group, version) in route::groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        paths.extend([format!("/apis/{group}"), format!("/apis/{group}/{version}")]);
    }
    paths.sort();
    Answer::value(200, call.accepted, &json!({ "paths": paths }))
}

/// `GET /version`
pub(super) fn version(call: &Call) -> Answer {
    let version = json!({
        "major": MAJOR, "minor": MINOR,
        "emulationMajor": MAJOR, "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR, "minCompatibilityMinor": "35",
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+edgesvc-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    });
    Answer::value(200, call.accepted, &version)
}

/// Go's word for the architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /api`
pub(super) fn core_versions(call: &mut Call) -> Outcome {
    let address = call.api.address.map_or_else(|| "localhost".to_owned(), |address| address.to_string());
    let plain = json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    });
    negotiated(call, &plain, |group| group.is_empty())
}

/// `GET /apis`
pub(super) fn groups(call: &mut Call) -> Outcome {
    let groups: Vec<Value> = named_groups().map(|(group, version)| group_body(group, version)).collect();
    let plain = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
    negotiated(call, &plain, |group| !group.is_empty())
}

/// `GET /apis/G`
pub(super) fn group(call: &mut Call, name: &str) -> Outcome {
    let (group, version) = named_groups().find(|(group, _)| *group == name).ok_or_else(ApiError::no_resource)?;
    let mut body = group_body(group, version);
    if let Some(members) = body.as_object_mut() {
        members.insert("kind".to_owned(), "APIGroup".into());
        members.insert("apiVersion".to_owned(), "v1".into());
    }
    plain(call, &body)
}

/// `GET /api/v1` and `GET /apis/G/V`
pub(super) fn resources(call: &mut Call, group: &str, version: &str) -> Outcome {
    let mut list = Vec::new();
    for row in rows(group) {
        list.push(resource(row));
        for subresource in row.subresources {
            list.push(json!({
                "name": format!("{}/{subresource}", row.plural), "singularName": "", "namespaced": row.namespaced,
                "kind": row.kind, "verbs": subresource_verbs(subresource),
            }));
        }
    }
    if group.is_empty() {
        list.push(json!({
            "name": TOKEN_REQUEST.plural, "singularName": "", "namespaced": true, "group": TOKEN_REQUEST.group,
            "version": TOKEN_REQUEST.version, "kind": TOKEN_REQUEST.kind, "verbs": ["create"],
        }));
    }
    for row in reviews(group) {
        list.push(json!({
            "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind,
            "verbs": ["create"],
        }));
    }
    list.sort_by_key(|resource| resource.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut body = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    if !group.is_empty()
        && let Some(members) = body.as_object_mut()
    {
        members.insert("apiVersion".to_owned(), "v1".into());
    }
    plain(call, &body)
}

fn plain(call: &mut Call, body: &Value) -> Outcome {
    call.accepted = accept::negotiate(Some(&call.accept), call.accepted.pretty)?;
    Ok(Answer::value(200, call.accepted, body))
}

fn named_groups() -> impl Iterator<Item = (&'static str, &'static str)> {
    route::groups().into_iter().filter(|(group, _)| !group.is_empty())
}

fn group_body(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn rows(group: &str) -> impl Iterator<Item = &'static Resource> {
    Kind::ALL.into_iter().map(Kind::resource).filter(move |row| row.group == group)
}

fn reviews(group: &str) -> impl Iterator<Item = &'static Resource> {
    review::ALL.into_iter().filter(move |row| row.group == group)
}

fn verbs(row: &Resource) -> Vec<&'static str> {
    if row.read_only {
        return vec!["get", "list", "watch"];
    }
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    verbs.into_iter().filter(|verb| *verb != "deletecollection" || row.delete_collection).collect()
}

fn subresource_verbs(subresource: &str) -> &'static [&'static str] {
    if subresource == "finalize" { &["update"] } else { &["get", "patch", "update"] }
}

fn resource(row: &Resource) -> Value {
    let mut body = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind,
        "verbs": verbs(row),
    });
    names(&mut body, row);
    if let Some(members) = body.as_object_mut() {
        members.insert("storageVersionHash".to_owned(), storage_version_hash(row).into());
    }
    body
}

/// Tells clients whether what is stored has changed its form: the first eight bytes of
/// the SHA-256 of `group/version/Kind` as it is stored. Events of both groups are one.
fn storage_version_hash(row: &Resource) -> String {
    let group = if row.kind == "Event" { "" } else { row.group };
    let digest = digest(&SHA256, format!("{group}/{}/{}", row.version, row.kind).as_bytes());
    STANDARD.encode(digest.as_ref().get(..8).unwrap_or_default())
}

fn names(body: &mut Value, row: &Resource) {
    if let Some(members) = body.as_object_mut() {
        for (member, words) in [("shortNames", row.short_names), ("categories", row.categories)] {
            if !words.is_empty() {
                members.insert(member.to_owned(), json!(words));
            }
        }
    }
}

/// The aggregated document if the client's list names it before plain JSON.
fn negotiated(call: &mut Call, body: &Value, belongs: impl Fn(&str) -> bool) -> Outcome {
    for entry in accept::entries(&call.accept) {
        match (entry.media, entry.parameter("as"), entry.parameter("g"), entry.parameter("v")) {
            (JSON, Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some(version @ ("v2" | "v2beta1"))) => {
                return Ok(aggregated(call, version, belongs));
            }
            (JSON | "*/*" | "application/*", None, ..) => break,
            _ => {}
        }
    }
    plain(call, body).map(|answer| answer.header(VARY, "Accept"))
}

fn aggregated(call: &Call, version: &str, belongs: impl Fn(&str) -> bool) -> Answer {
    let items: Vec<Value> =
        route::groups().into_iter().filter(|(group, _)| belongs(group)).map(aggregated_group).collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    });
    let bytes = Bytes::from(line(&list));
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let etag = format!("\"{:016X}\"", hasher.finish());
    let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    let answer = if call.if_none_match.as_deref() == Some(&etag) {
        Answer::new(304, media, Bytes::new())
    } else {
        Answer::new(200, media, bytes)
    };
    answer.header(ETAG, etag).header(VARY, "Accept").header(CACHE_CONTROL, "public")
}

fn aggregated_group((group, version): (&'static str, &'static str)) -> Value {
    let mut resources: Vec<Value> = rows(group).map(aggregated_resource).collect();
    for row in reviews(group) {
        resources.push(json!({
            "resource": row.plural, "responseKind": {"group": group, "version": version, "kind": row.kind},
            "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": row.singular, "verbs": ["create"],
        }));
    }
    resources.sort_by_key(|row| row.get("resource").and_then(Value::as_str).unwrap_or_default().to_owned());
    let mut metadata = Map::new();
    if !group.is_empty() {
        metadata.insert("name".to_owned(), group.into());
    }
    metadata.insert("creationTimestamp".to_owned(), Value::Null);
    json!({
        "metadata": metadata,
        "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
    })
}

fn aggregated_resource(row: &Resource) -> Value {
    let response_kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
    let mut body = json!({
        "resource": row.plural, "responseKind": response_kind,
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular, "verbs": verbs(row),
    });
    names(&mut body, row);
    let mut subresources: Vec<Value> = row
        .subresources
        .iter()
        .map(|sub| json!({"subresource": sub, "responseKind": response_kind, "verbs": subresource_verbs(sub)}))
        .collect();
    if let Some((plural, subresource)) = TOKEN_REQUEST.plural.split_once('/')
        && row.group.is_empty()
        && row.plural == plural
    {
        let Resource { group, version, kind, .. } = &TOKEN_REQUEST;
        subresources.push(json!({
            "subresource": subresource, "responseKind": {"group": group, "version": version, "kind": kind},
            "verbs": ["create"],
        }));
    }
    if !subresources.is_empty()
        && let Some(members) = body.as_object_mut()
    {
        members.insert("subresources".to_owned(), subresources.into());
    }
    body
}
