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

use crate::model::Kind;

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

static V3: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    let mut groups: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    for kind in Kind::ALL {
        groups.entry(group_path(kind)).or_default().push(kind);
    }
    groups.into_iter().map(|(path, kinds)| (path, document(&write(&kinds, Version::V3)))).collect()
});

static V2: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(write(&Kind::ALL, Version::V2).to_string()));

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
fn group_path(kind: Kind) -> String {
    let prefix = if kind.resource().group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", kind.api_version())
}

fn document(value: &Value) -> Document {
    let json = Bytes::from(value.to_string());
    let hash = format!("{:016X}", fnv1a(&json));
    Document { json, hash }
}

/// FNV-1a: tells documents of different builds apart; nobody attacks it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn write(kinds: &[Kind], version: Version) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        operations::write(*kind, version, &mut paths);
    }
    let schemas = schemas::write(kinds, version);
    let info = json!({ "title": "edgesvc", "version": env!("CARGO_PKG_VERSION") });
    let bearer = json!({ "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer token" });
    match version {
        Version::V3 => json!({
            "openapi": "3.0.0",
            "info": info,
            "paths": paths,
            "components": { "schemas": schemas, "securitySchemes": { "BearerToken": bearer } },
        }),
        Version::V2 => json!({
            "swagger": "2.0",
            "info": info,
            "paths": paths,
            "definitions": schemas,
            "securityDefinitions": { "BearerToken": bearer },
            "security": [{ "BearerToken": [] }],
        }),
    }
}
