//! The OpenAPI documents that kubectl validates, explains and merges with,
//! written from the schema table and the kinds' table. Built once, when first
//! asked for; the same build gives the same bytes.

mod operations;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::model::kind::Resource;
use crate::model::schema::{Type, find, list_of, type_of};
use crate::model::{Kind, review};

/// An OpenAPI v3 document of one group version.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document.
    pub json: Bytes,
    /// Names its content, for caching.
    pub hash: String,
}

/// Which of the two OpenAPI versions is written; they differ in where schemas
/// stand and how parameters and bodies are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V2,
    V3,
}

/// What a document tells of: a kind, or a review.
#[derive(Clone, Copy, Debug)]
struct Served {
    row: &'static Resource,
    ty: &'static Type,
    /// None of a review: there is nothing to list.
    list: Option<&'static Type>,
}

fn served() -> impl Iterator<Item = Served> {
    let kinds =
        Kind::ALL.into_iter().map(|kind| Served { row: kind.resource(), ty: type_of(kind), list: list_of(kind) });
    let reviews = review::ALL.into_iter().filter_map(|row| Some(Served { row, ty: find(row.kind)?, list: None }));
    kinds.chain(reviews)
}

static V3: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    let mut groups: BTreeMap<String, Vec<Served>> = BTreeMap::new();
    for served in served() {
        groups.entry(group_path(served.row)).or_default().push(served);
    }
    groups.into_iter().map(|(path, served)| (path, document(write(&served, Version::V3)))).collect()
});

static V2: LazyLock<Bytes> = LazyLock::new(|| {
    let all: Vec<Served> = served().collect();
    write(&all, Version::V2)
});

/// `GET /openapi/v3`: the documents there are, each under a URL that names its
/// content.
pub fn v3_index() -> Bytes {
    let paths: Map<String, Value> = V3
        .iter()
        .map(|(path, document)| {
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    Bytes::from(json!({ "paths": paths }).to_string())
}

/// `GET /openapi/v3/PATH`, for instance `api/v1`.
pub fn v3(path: &str) -> Option<Document> {
    V3.get(path).cloned()
}

/// `GET /openapi/v2` as JSON. Clients that want it as protobuf are answered 406
/// by the server; kubectl asks for it only where v3 is missing.
pub fn v2_json() -> Bytes {
    V2.clone()
}

/// `api/v1` or `apis/discovery.k8s.io/v1`.
fn group_path(row: &Resource) -> String {
    match row.group {
        "" => format!("api/{}", row.version),
        group => format!("apis/{group}/{}", row.version),
    }
}

fn document(json: Bytes) -> Document {
    let hash = format!("{:016X}", fnv1a(&json));
    Document { json, hash }
}

/// FNV-1a: tells documents of different builds apart; nobody attacks it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes a document member by member: as one tree of values it would take ten
/// times its bytes, which a small box then does not get back.
fn write(all: &[Served], version: Version) -> Bytes {
    let info = json!({ "title": "edgesvc", "version": env!("CARGO_PKG_VERSION") });
    let bearer = json!({ "BearerToken": {
        "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer token",
    } });
    let (head, middle, tail) = match version {
        Version::V3 => (
            format!("{{\"openapi\":\"3.0.0\",\"info\":{info},\"paths\":{{"),
            "},\"components\":{\"schemas\":{",
            format!("}},\"securitySchemes\":{bearer}}}}}"),
        ),
        Version::V2 => (
            format!("{{\"swagger\":\"2.0\",\"info\":{info},\"paths\":{{"),
            "},\"definitions\":{",
            format!("}},\"securityDefinitions\":{bearer},\"security\":[{{\"BearerToken\":[]}}]}}"),
        ),
    };
    let mut out = head;
    let mut first = true;
    for served in all {
        let mut paths = Map::new();
        operations::write(*served, version, &mut paths);
        paths.iter().for_each(|(path, value)| member(&mut out, &mut first, path, value));
    }
    out.push_str(middle);
    first = true;
    schemas::write(all, version, &mut |name, schema| member(&mut out, &mut first, name, schema));
    out.push_str(&tail);
    out.shrink_to_fit();
    Bytes::from(out)
}

fn member(out: &mut String, first: &mut bool, name: &str, value: &Value) {
    if !std::mem::take(first) {
        out.push(',');
    }
    out.push_str(&Value::from(name).to_string());
    out.push(':');
    out.push_str(&value.to_string());
}
