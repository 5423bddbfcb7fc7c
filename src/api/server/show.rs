//! Objects in the form a client accepts: whole, as metadata only, or as a row of
//! a table (spec/api.md section 9).

use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::super::kinds;
use super::super::status::ApiError;
use super::accept::{Accepted, Form};
use super::answer::Answer;
use super::query::Query;
use crate::model::{Draft, Kind, Object};

/// What a table row carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub(super) fn parse(query: &Query) -> Result<Include, ApiError> {
        match query.get("includeObject") {
            None | Some("Metadata") => Ok(Include::Metadata),
            Some("None") => Ok(Include::None),
            Some("Object") => Ok(Include::Object),
            Some(other) => Err(ApiError::bad_request(format!("unrecognized includeObject value: \"{other}\""))),
        }
    }
}

/// A stored object in the words of `kind`, which may show another kind's objects.
pub(super) fn viewed(kind: Kind, object: &Arc<Object>) -> Arc<Object> {
    if kind == object.kind {
        return Arc::clone(object);
    }
    match Draft::new(kind, &kinds::viewed(kind, object.value())) {
        Ok(draft) => Arc::new(draft.commit(object.revision)),
        // Only a fault of ours can bring this about: better seen under the other names than not at all.
        Err(_) => Arc::clone(object),
    }
}

/// The answer that holds one object.
pub(super) fn object(code: u16, accepted: Accepted, query: &Query, object: &Object) -> Result<Answer, ApiError> {
    Ok(match accepted.form {
        Form::Object => Answer::object(code, accepted, &object.json()),
        Form::Metadata => Answer::value(code, accepted, &metadata_only(object)),
        Form::Table => {
            let rows = vec![row(object, Include::parse(query)?, crate::clock::now())];
            let metadata = json!({"resourceVersion": object.revision.to_string()});
            Answer::value(code, accepted, &table(object.kind, metadata, rows, true))
        }
    })
}

/// The answer to a dry run that would have created an object: no revision names it.
pub(super) fn not_stored(code: u16, accepted: Accepted, query: &Query, shown: &Object) -> Result<Answer, ApiError> {
    if accepted.form != Form::Object {
        return object(code, accepted, query, shown);
    }
    let mut value = shown.value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    Ok(Answer::value(code, accepted, &value))
}

/// `PartialObjectMetadata` of an object.
pub(super) fn metadata_only(object: &Object) -> Value {
    let metadata = object.value().get_mut("metadata").map(Value::take).unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// A `Table`. Later events of a watch leave the column definitions out.
pub(super) fn table(kind: Kind, metadata: Value, rows: Vec<Value>, definitions: bool) -> Value {
    let columns: Vec<Value> = if definitions { kinds::table(kind).iter().map(column).collect() } else { Vec::new() };
    let columns = if definitions { Value::from(columns) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

fn column(column: &kinds::Column) -> Value {
    json!({
        "name": column.name, "type": column.r#type, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

/// One row.
pub(super) fn row(object: &Object, include: Include, now: OffsetDateTime) -> Value {
    let mut row = Map::new();
    row.insert("cells".to_owned(), kinds::row(object.kind, object, now).into());
    let shown = match include {
        Include::None => Value::Null,
        Include::Metadata => metadata_only(object),
        Include::Object => object.value(),
    };
    row.insert("object".to_owned(), shown);
    Value::Object(row)
}

/// `Status` of a success, as a deletion answers.
pub(super) fn success(kind: Kind, name: &str, uid: &str) -> Value {
    let row = kind.resource();
    let mut details = Map::new();
    for (member, text) in [("name", name), ("group", row.group), ("kind", row.plural), ("uid", uid)] {
        if !text.is_empty() {
            details.insert(member.to_owned(), text.into());
        }
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
