//! A small schema for tests of patches and field ownership.

use crate::model::schema::{Field, ListType, Patch, Shape, Type, Zero};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        number: 1,
        shape,
        required: false,
        zero: Zero::Dropped,
        inline: false,
        patch: Patch::Default,
        list: ListType::Default,
        description: "",
    }
}

const fn written(field: Field) -> Field {
    Field { zero: Zero::Written, ..field }
}

const fn patched(field: Field, patch: Patch) -> Field {
    Field { patch, ..field }
}

const fn listed(field: Field, list: ListType) -> Field {
    Field { list, ..field }
}

const fn ty(name: &'static str, fields: &'static [Field]) -> Type {
    Type { name, openapi: name, description: "", fields, atomic: false }
}

const STRINGS: Shape = Shape::Map(&Shape::String);
const LIST: Shape = Shape::List(&Shape::String);
const INLINE: Field = Field { inline: true, ..field("typeMeta", Shape::Object("TestTypeMeta")) };

static TYPES: &[Type] = &[
    ty("TestTypeMeta", &[field("kind", Shape::String), field("apiVersion", Shape::String)]),
    ty(
        "TestMeta",
        &[
            field("name", Shape::String),
            field("namespace", Shape::String),
            field("uid", Shape::String),
            field("resourceVersion", Shape::String),
            field("creationTimestamp", Shape::Time),
            field("labels", STRINGS),
            field("annotations", STRINGS),
            listed(patched(field("finalizers", LIST), Patch::MergeSet), ListType::Set),
            field("managedFields", Shape::List(&Shape::Any)),
        ],
    ),
    ty(
        "TestService",
        &[
            INLINE,
            written(field("metadata", Shape::Object("TestMeta"))),
            written(field("spec", Shape::Object("TestServiceSpec"))),
            written(field("status", Shape::Object("TestServiceStatus"))),
        ],
    ),
    ty(
        "TestServiceSpec",
        &[
            listed(
                patched(field("ports", Shape::List(&Shape::Object("TestPort"))), Patch::Merge("port")),
                ListType::Map(&["port", "protocol"]),
            ),
            listed(field("selector", STRINGS), ListType::Atomic),
            field("clusterIP", Shape::String),
            listed(field("clusterIPs", LIST), ListType::Atomic),
            field("type", Shape::String),
            field("sessionAffinity", Shape::String),
            patched(field("affinityConfig", Shape::Object("TestAffinity")), Patch::RetainKeys),
        ],
    ),
    ty("TestAffinity", &[field("clientIP", Shape::Int32), field("cookie", Shape::Int32)]),
    ty(
        "TestPort",
        &[
            field("name", Shape::String),
            field("protocol", Shape::String),
            field("port", Shape::Int32),
            field("targetPort", Shape::IntOrString),
        ],
    ),
    ty("TestServiceStatus", &[field("loadBalancer", Shape::String)]),
    ty("TestConfigMap", &[INLINE, written(field("metadata", Shape::Object("TestMeta"))), field("data", STRINGS)]),
];

/// A type of the small schema.
pub(in crate::api) fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|ty| ty.name == name)
}
