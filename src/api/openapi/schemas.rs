//! The schemas: one for each type that the kinds of a document reach.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Served, Version, operations};
use crate::model::review::TOKEN_REQUEST;
use crate::model::schema::{Field, ListType, Patch, Shape, Type, Zero, find};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const FIELDS_V1: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
/// Types of which one member may be set: the type, the field that says which one, the
/// member and its name in Go.
const UNIONS: [(&str, Option<&str>, &str, &str); 3] = [
    ("AppArmorProfile", Some("type"), "localhostProfile", "LocalhostProfile"),
    ("PodSchedulingGroup", None, "podGroupName", "PodGroupName"),
    ("SeccompProfile", Some("type"), "localhostProfile", "LocalhostProfile"),
];
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// All schemas of a document, one after the other.
pub(super) fn write(all: &[Served], version: Version, out: &mut dyn FnMut(&str, &Value)) {
    let mut names = BTreeSet::new();
    for served in all {
        reach(served.ty, &mut names);
        for more in [served.list, operations::tokens(served.row)].into_iter().flatten() {
            reach(more, &mut names);
        }
    }
    for options in ["DeleteOptions", "Status"].into_iter().filter_map(find) {
        reach(options, &mut names);
    }
    scalars(version).iter().for_each(|(name, schema)| out(name, schema));
    for ty in names.into_iter().filter_map(find) {
        out(ty.openapi, &schema(ty, all, version));
    }
}

/// A reference to a schema.
pub(super) fn reference(openapi: &str, version: Version) -> Value {
    let place = if version == Version::V3 { "components/schemas" } else { "definitions" };
    json!({ "$ref": format!("#/{place}/{openapi}") })
}

fn reach(ty: &'static Type, names: &mut BTreeSet<&'static str>) {
    if names.insert(ty.name) {
        for field in ty.members() {
            reach_shape(field.shape, names);
        }
    }
}

fn reach_shape(shape: Shape, names: &mut BTreeSet<&'static str>) {
    match shape {
        Shape::Object(name) => {
            if let Some(ty) = find(name) {
                reach(ty, names);
            }
        }
        Shape::List(item) | Shape::Map(item) => reach_shape(*item, names),
        _ => {}
    }
}

/// Types that are scalars in JSON, and the body of a PATCH.
fn scalars(version: Version) -> Map<String, Value> {
    let v3 = version == Version::V3;
    let quantity =
        if v3 { json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }) } else { json!({ "type": "string" }) };
    let int_or_string = if v3 {
        json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
    } else {
        json!({ "format": "int-or-string", "type": "string" })
    };
    let time = json!({ "type": "string", "format": "date-time" });
    let object = json!({ "type": "object" });
    [
        (TIME, time.clone(), "A time in RFC 3339, to the second."),
        (MICRO_TIME, time, "A time in RFC 3339, with six decimals."),
        (FIELDS_V1, object.clone(), "A set of fields: f:name, k:{keys}, v:value, i:index; a dot is the item itself."),
        (PATCH, object.clone(), "The body of a PATCH; the content type names its form."),
        (QUANTITY, quantity, "A number with an optional unit: 100m, 2, 512Mi, 1e3."),
        (INT_OR_STRING, int_or_string, "A number or a name."),
        (RAW, object, "Any object."),
    ]
    .into_iter()
    .map(|(name, mut schema, description)| {
        if let Value::Object(members) = &mut schema {
            members.insert("description".to_owned(), description.into());
        }
        (name.to_owned(), schema)
    })
    .collect()
}

fn schema(ty: &'static Type, all: &[Served], version: Version) -> Value {
    let mut properties = Map::new();
    if ty.top {
        let kind = "Name of the object's kind in CamelCase; cannot be changed.";
        let api_version = "Group and version of the schema, for instance v1.";
        properties.insert("kind".to_owned(), json!({ "type": "string", "description": kind }));
        properties.insert("apiVersion".to_owned(), json!({ "type": "string", "description": api_version }));
    }
    properties.extend(ty.members().map(|field| (field.name.to_owned(), property(field, version))));
    let required: Vec<&str> = ty.members().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("description".to_owned(), ty.description.into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    if ty.atomic {
        schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    if let Some((_, discriminator, member, go_name)) = UNIONS.iter().find(|(name, ..)| *name == ty.name) {
        let mut union = json!({ "fields-to-discriminateBy": { *member: go_name } });
        if let (Some(discriminator), Some(members)) = (discriminator, union.as_object_mut()) {
            members.insert("discriminator".to_owned(), (*discriminator).into());
        }
        schema.insert("x-kubernetes-unions".to_owned(), json!([union]));
    }
    if ty.top {
        schema.insert("x-kubernetes-group-version-kind".to_owned(), Value::Array(group_version_kinds(ty, all)));
    }
    Value::Object(schema)
}

fn group_version_kinds(ty: &Type, all: &[Served]) -> Vec<Value> {
    let name = ty.name.strip_suffix("List").unwrap_or(ty.name);
    let own = all.iter().find(|served| served.ty.name == name).map(|served| served.row);
    let mut versions: BTreeSet<(&str, &str)> = match own {
        Some(row) => [(row.group, row.version)].into(),
        None if ty.name == TOKEN_REQUEST.kind => [(TOKEN_REQUEST.group, TOKEN_REQUEST.version)].into(),
        None => [("", "v1")].into(),
    };
    // DeleteOptions is a kind of every group.
    if own.is_none() && ty.name == "DeleteOptions" {
        versions.extend(all.iter().map(|served| (served.row.group, served.row.version)));
    }
    versions
        .into_iter()
        .map(|(group, version)| json!({ "group": group, "version": version, "kind": ty.kind() }))
        .collect()
}

fn property(field: &Field, version: Version) -> Value {
    let mut property = match shape(field.shape, version) {
        // Beside a $ref other members do not count in v3.
        Value::Object(members) if members.contains_key("$ref") && version == Version::V3 => {
            Map::from_iter([("allOf".to_owned(), Value::Array(vec![Value::Object(members)]))])
        }
        Value::Object(members) => members,
        _ => Map::new(),
    };
    property.insert("description".to_owned(), field.description.into());
    if !field.values.is_empty() {
        match property.get_mut("items").and_then(Value::as_object_mut) {
            Some(items) => items.insert("enum".to_owned(), field.values.into()),
            None => property.insert("enum".to_owned(), field.values.into()),
        };
    }
    // v2 tells no defaults, as the real one.
    if version == Version::V3
        && let Some(default) = default(field)
    {
        property.insert("default".to_owned(), default);
    }
    let (strategy, key) = match field.patch {
        Patch::Default => (None, None),
        Patch::Replace => (Some("replace"), None),
        Patch::RetainKeys => (Some("retainKeys"), None),
        Patch::MergeSet => (Some("merge"), None),
        Patch::Merge(key) => (Some("merge"), Some(key)),
        Patch::MergeRetainKeys(key) => (Some("merge,retainKeys"), Some(key)),
    };
    let mut extension = |name: &str, value: Value| property.insert(format!("x-kubernetes-{name}"), value);
    if let Some(strategy) = strategy {
        extension("patch-strategy", strategy.into());
    }
    if let Some(key) = key {
        extension("patch-merge-key", key.into());
    }
    match (field.list, field.shape) {
        (ListType::Default, _) => {}
        (ListType::Atomic, Shape::List(_)) => {
            extension("list-type", "atomic".into());
        }
        (ListType::Atomic, _) => {
            extension("map-type", "atomic".into());
        }
        (ListType::Set, _) => {
            extension("list-type", "set".into());
        }
        (ListType::Map(keys), _) => {
            extension("list-type", "map".into());
            extension("list-map-keys", keys.into());
        }
    }
    Value::Object(property)
}

/// What is said of an absent field: its own default, or what Go's zero of a field that
/// is always written looks like.
fn default(field: &Field) -> Option<Value> {
    match (field.shape, field.default) {
        (Shape::Bool, Some(text)) => Some(Value::Bool(text == "true")),
        (_, Some(text)) => Some(text.into()),
        (shape, None) if field.zero == Zero::Written => match shape {
            Shape::String => Some("".into()),
            Shape::Int32 | Shape::Int64 | Shape::Double => Some(0.into()),
            Shape::Bool => Some(false.into()),
            Shape::Object(_) => Some(json!({})),
            _ => None,
        },
        (_, None) => None,
    }
}

fn shape(shape: Shape, version: Version) -> Value {
    match shape {
        Shape::String => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int32 => json!({ "type": "integer", "format": "int32" }),
        Shape::Int64 => json!({ "type": "integer", "format": "int64" }),
        Shape::Double => json!({ "type": "number", "format": "double" }),
        Shape::Bytes => json!({ "type": "string", "format": "byte" }),
        Shape::Quantity => reference(QUANTITY, version),
        Shape::IntOrString => reference(INT_OR_STRING, version),
        Shape::Time => reference(TIME, version),
        Shape::MicroTime => reference(MICRO_TIME, version),
        Shape::FieldsV1 => reference(FIELDS_V1, version),
        Shape::Any => reference(RAW, version),
        Shape::Object(name) => match find(name) {
            Some(ty) => reference(ty.openapi, version),
            None => reference(&format!("{META}{name}"), version),
        },
        Shape::List(item) => json!({ "type": "array", "items": self::shape(*item, version) }),
        Shape::Map(item) => json!({ "type": "object", "additionalProperties": self::shape(*item, version) }),
    }
}
