//! The shape of every served kind as one table: field names, types, protobuf
//! numbers, merge keys and list types. It drives pruning and strict field
//! validation, protobuf decoding, strategic merge and server-side apply, and the
//! OpenAPI documents. Pure.

#[macro_use]
mod build;

mod coordination;
mod core_config;
mod core_container;
mod core_node;
mod core_pod;
mod core_scheduling;
mod core_service;
mod core_status;
mod core_storage;
mod core_volume;
mod discovery;
mod events;
mod meta;
mod networking;
mod rbac;
mod review;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::model::kind::Kind;

/// The table's files, in the order of `find`.
static TABLES: &[&[Type]] = &[
    meta::TYPES,
    core_node::TYPES,
    core_service::TYPES,
    discovery::TYPES,
    coordination::TYPES,
    events::TYPES,
    networking::TYPES,
    rbac::TYPES,
    core_config::TYPES,
    core_pod::TYPES,
    core_container::TYPES,
    core_status::TYPES,
    core_scheduling::TYPES,
    core_volume::TYPES,
    core_storage::TYPES,
    review::TYPES,
];

static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Type>> =
    LazyLock::new(|| TABLES.iter().flat_map(|table| table.iter()).map(|ty| (ty.name, ty)).collect());

/// Never met: a test holds that every kind stands in the table.
static ABSENT: Type = Type { name: "", openapi: "", description: "", fields: &[], atomic: false, top: false };

/// The root type of a served kind.
pub fn type_of(kind: Kind) -> &'static Type {
    find(name_of(kind)).unwrap_or(&ABSENT)
}

/// The type of a served kind's list.
pub fn list_of(kind: Kind) -> Option<&'static Type> {
    find(&format!("{}List", name_of(kind)))
}

/// The type of a value, by its `apiVersion` and `kind`.
pub fn named(api_version: &str, kind: &str) -> Option<&'static Type> {
    let of = |served: Kind| served.api_version() == api_version;
    let own = |served: &Kind| of(*served) && (type_of(*served).kind() == kind);
    let list = |served: &Kind| of(*served) && list_of(*served).is_some_and(|ty| ty.kind() == kind);
    let served = Kind::ALL.into_iter();
    served.clone().find(own).map(type_of).or_else(|| served.clone().find(list).and_then(list_of)).or_else(|| find(kind))
}

/// Of two kinds alike the second carries its group.
fn name_of(kind: Kind) -> &'static str {
    if kind == Kind::EventsEvent { "events.Event" } else { kind.resource().kind }
}

/// A type by its Go name, for instance `ServiceSpec` or `DeleteOptions`.
pub fn find(name: &str) -> Option<&'static Type> {
    BY_NAME.get(name).copied()
}

/// Every type of the table, by name.
pub fn all() -> impl Iterator<Item = &'static Type> {
    BY_NAME.values().copied()
}

/// A structured type, for instance `ServiceSpec`.
#[derive(Debug)]
pub struct Type {
    /// The Go type's name, for instance `ServiceSpec`; of two alike the second is
    /// `discovery.EndpointPort`.
    pub name: &'static str,
    /// The OpenAPI name, for instance `io.k8s.api.core.v1.ServiceSpec`.
    pub openapi: &'static str,
    /// What it is, one or two sentences.
    pub description: &'static str,
    /// The fields in protobuf order. Inlined structs are flattened for JSON; see
    /// [`Field::inline`].
    pub fields: &'static [Field],
    /// Server-side apply treats the whole value as one (`structType=atomic`).
    pub atomic: bool,
    /// `kind` and `apiVersion` stand beside the fields: an object, list or options.
    pub top: bool,
}

impl Type {
    /// The name in messages and in `kind`: without the group.
    pub fn kind(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The fields as JSON has them: those of inlined structs stand in the parent.
    pub fn members(&'static self) -> impl Iterator<Item = &'static Field> {
        let own = |field: &'static Field| match (field.inline, field.shape) {
            (true, Shape::Object(name)) => find(name).map_or(&[][..], |inlined| inlined.fields),
            _ => std::slice::from_ref(field),
        };
        self.fields.iter().flat_map(own)
    }

    /// The field of a JSON member, by its exact name.
    pub fn member(&'static self, name: &str) -> Option<&'static Field> {
        self.members().find(|field| field.name == name)
    }
}

/// One field of a [`Type`].
#[derive(Debug)]
pub struct Field {
    /// The JSON (and protobuf) name.
    pub name: &'static str,
    /// The protobuf field number.
    pub number: u32,
    /// What values look like.
    pub shape: Shape,
    /// Required in OpenAPI (no `omitempty`, not `+optional`).
    pub required: bool,
    /// What an empty value (`""`, 0, `false`, `[]`, `{}`) means.
    pub zero: Zero,
    /// The Go struct is embedded: in JSON its fields stand in the parent, in
    /// protobuf they are a message under `number`.
    pub inline: bool,
    /// `x-kubernetes-patch-strategy`, with the merge key of `merge`.
    pub patch: Patch,
    /// `x-kubernetes-list-type` / `x-kubernetes-map-type`.
    pub list: ListType,
    /// The value of an absent field, as OpenAPI's `default` tells it; of a merge key
    /// it counts.
    pub default: Option<&'static str>,
    /// The only values of a string, or of a list's items, as OpenAPI's `enum` tells
    /// them; nothing is said where it is empty.
    pub values: &'static [&'static str],
    /// What it is, one or two sentences.
    pub description: &'static str,
}

/// What an empty value of a field means, as Go's `omitempty` and pointers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// The same as absent, and dropped (`omitempty`).
    Dropped,
    /// Told apart from absent (a pointer): kept as sent.
    Kept,
    /// Written even when the client left it out (no `omitempty`, or a struct).
    Written,
}

/// What values of a field look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String,
    /// `true` or `false`.
    Bool,
    /// A 32-bit signed integer.
    Int32,
    /// A 64-bit signed integer.
    Int64,
    /// A double.
    Double,
    /// Base64 text in JSON, bytes in protobuf.
    Bytes,
    /// `resource.Quantity`: number or string in JSON, message{1: string} in protobuf.
    Quantity,
    /// A number or a string (`intstr.IntOrString`).
    IntOrString,
    /// `metav1.Time`, RFC 3339 seconds; null allowed.
    Time,
    /// `metav1.MicroTime`, RFC 3339 with six decimals; null allowed.
    MicroTime,
    /// `metav1.FieldsV1`: a raw JSON object in JSON, message{1: bytes} in protobuf.
    FieldsV1,
    /// Any JSON (`runtime.RawExtension`).
    Any,
    /// Another type of the table.
    Object(&'static str),
    /// A list.
    List(&'static Shape),
    /// A map from strings.
    Map(&'static Shape),
}

/// Strategic-merge behaviour of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// Lists are replaced, objects merged: no tag.
    Default,
    /// `patchStrategy: replace` (or `retainKeys` alone): replaced whole.
    Replace,
    /// `retainKeys`: merged, and keys absent from `$retainKeys` are removed.
    RetainKeys,
    /// `merge` of a list of primitives: a set.
    MergeSet,
    /// `merge` of a list of objects by this key.
    Merge(&'static str),
    /// `merge,retainKeys` of a list of objects by this key.
    MergeRetainKeys(&'static str),
}

/// Server-side-apply behaviour of a list or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// Lists atomic, maps and objects granular: no marker.
    Default,
    /// Owned as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// A list of objects with these keys.
    Map(&'static [&'static str]),
}
