//! The OpenAPI documents that kubectl validates, explains and merges with,
//! written from the schema table. Built once, when first asked for.

use bytes::Bytes;

/// An OpenAPI v3 document of one group version.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document.
    pub json: Bytes,
    /// Names its content, for caching.
    pub hash: String,
}

/// `GET /openapi/v3`: the documents there are.
pub fn v3_index() -> Bytes {
    Bytes::new()
}

/// `GET /openapi/v3/PATH`, for instance `api/v1`.
pub fn v3(_path: &str) -> Option<Document> {
    None
}

/// `GET /openapi/v2` as JSON.
pub fn v2_json() -> Bytes {
    Bytes::new()
}
