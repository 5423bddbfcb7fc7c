//! Questions to the schema table, seeing through embedded structs.

use crate::model::schema::{Field, Shape, Type, find};

/// Embedded structs embed no deeper than this.
const INLINE_DEPTH_MAX: usize = 4;

/// The field called `name` in JSON. Fields of embedded structs stand in their parent.
pub(in crate::api) fn field<'a>(ty: &'a Type, name: &str) -> Option<&'a Field> {
    field_within(ty, name, INLINE_DEPTH_MAX)
}

fn field_within<'a>(ty: &'a Type, name: &str, depth: usize) -> Option<&'a Field> {
    if let Some(found) = ty.fields.iter().find(|field| !field.inline && field.name == name) {
        return Some(found);
    }
    let depth = depth.checked_sub(1)?;
    ty.fields.iter().filter(|field| field.inline).find_map(|field| match field.shape {
        Shape::Object(embedded) => field_within(find(embedded)?, name, depth),
        _ => None,
    })
}
