//! The words the table is written in: one call a field, checked by the compiler.

use super::{Field, ListType, Patch, Shape, Zero};

/// A field with `omitempty`: empty is absent.
pub(super) const fn opt(number: u32, name: &'static str, shape: Shape, description: &'static str) -> Field {
    Field {
        name,
        number,
        shape,
        required: false,
        zero: Zero::Dropped,
        inline: false,
        patch: Patch::Default,
        list: ListType::Default,
        default: None,
        values: &[],
        description,
    }
}

/// A pointer: empty and absent differ.
pub(super) const fn ptr(number: u32, name: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { zero: Zero::Kept, ..opt(number, name, shape, description) }
}

/// Required, and written even when empty.
pub(super) const fn req(number: u32, name: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { zero: Zero::Written, required: true, ..opt(number, name, shape, description) }
}

/// Not required, but written even when empty: a struct held by value.
pub(super) const fn own(number: u32, name: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { zero: Zero::Written, ..opt(number, name, shape, description) }
}

/// An embedded struct: its fields stand in the parent in JSON.
pub(super) const fn inl(number: u32, name: &'static str, of: &'static str) -> Field {
    Field { inline: true, ..opt(number, name, Shape::Object(of), "") }
}

impl Field {
    /// `patchStrategy: merge` of objects by a key.
    pub(super) const fn merge(self, key: &'static str) -> Field {
        Field { patch: Patch::Merge(key), ..self }
    }

    /// `patchStrategy: merge` of scalars.
    pub(super) const fn merge_set(self) -> Field {
        Field { patch: Patch::MergeSet, ..self }
    }

    /// `patchStrategy: merge,retainKeys` of objects by a key.
    pub(super) const fn merge_retain_keys(self, key: &'static str) -> Field {
        Field { patch: Patch::MergeRetainKeys(key), ..self }
    }

    /// `listType: map` with its keys.
    pub(super) const fn keys(self, keys: &'static [&'static str]) -> Field {
        Field { list: ListType::Map(keys), ..self }
    }

    /// `listType: set`.
    pub(super) const fn set(self) -> Field {
        Field { list: ListType::Set, ..self }
    }

    /// Required in OpenAPI although absent when empty.
    pub(super) const fn required(self) -> Field {
        Field { required: true, ..self }
    }

    /// Not required in OpenAPI although written when empty.
    pub(super) const fn not_required(self) -> Field {
        Field { required: false, ..self }
    }

    /// `listType: atomic` or `mapType: atomic`.
    pub(super) const fn atomic(self) -> Field {
        Field { list: ListType::Atomic, ..self }
    }

    /// The only values it may have.
    pub(super) const fn one_of(self, values: &'static [&'static str]) -> Field {
        Field { values, ..self }
    }

    /// The value that counts when the field is absent.
    pub(super) const fn default(self, value: &'static str) -> Field {
        Field { default: Some(value), ..self }
    }
}

/// A type of a package: flags, name, description, fields.
macro_rules! in_package {
    ($package:literal, atomic $($rest:tt)*) => { in_package!(@ $package, true, false, $($rest)*) };
    ($package:literal, top $($rest:tt)*) => { in_package!(@ $package, false, true, $($rest)*) };
    ($package:literal, $($rest:tt)*) => { in_package!(@ $package, false, false, $($rest)*) };
    (@ $package:literal, $atomic:literal, $top:literal, $name:literal => $($rest:tt)*) => {
        in_package!(@ $package, $atomic, $top, $name as $name => $($rest)*)
    };
    (@ $package:literal, $atomic:literal, $top:literal, $name:literal as $go:literal => $text:literal, [$($field:expr),* $(,)?]) => {
        Type {
            name: $name,
            openapi: concat!($package, $go),
            description: $text,
            fields: &[$($field),*],
            atomic: $atomic,
            top: $top,
        }
    };
}

/// A type of `k8s.io/api/core/v1`.
macro_rules! core {
    ($($rest:tt)*) => { in_package!("io.k8s.api.core.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/discovery/v1`.
macro_rules! discovery {
    ($($rest:tt)*) => { in_package!("io.k8s.api.discovery.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/coordination/v1`.
macro_rules! coordination {
    ($($rest:tt)*) => { in_package!("io.k8s.api.coordination.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/events/v1`.
macro_rules! events {
    ($($rest:tt)*) => { in_package!("io.k8s.api.events.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/networking/v1`.
macro_rules! networking {
    ($($rest:tt)*) => { in_package!("io.k8s.api.networking.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/rbac/v1`.
macro_rules! rbac {
    ($($rest:tt)*) => { in_package!("io.k8s.api.rbac.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/authorization/v1`.
macro_rules! authorization {
    ($($rest:tt)*) => { in_package!("io.k8s.api.authorization.v1.", $($rest)*) };
}

/// A type of `k8s.io/api/authentication/v1`.
macro_rules! authentication {
    ($($rest:tt)*) => { in_package!("io.k8s.api.authentication.v1.", $($rest)*) };
}

/// A type of `k8s.io/apimachinery/pkg/apis/meta/v1`.
macro_rules! meta {
    ($($rest:tt)*) => {
        in_package!("io.k8s.apimachinery.pkg.apis.meta.v1.", $($rest)*)
    };
}
