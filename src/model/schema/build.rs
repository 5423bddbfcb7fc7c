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
    /// `x-kubernetes-patch-strategy` and merge key.
    pub(super) const fn patch(self, patch: Patch) -> Field {
        Field { patch, ..self }
    }

    /// `x-kubernetes-list-type` with its keys, or `x-kubernetes-map-type`.
    pub(super) const fn list(self, list: ListType) -> Field {
        Field { list, ..self }
    }
}
