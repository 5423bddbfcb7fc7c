//! What a document costs, measured without recursion so that measuring is safe on
//! any input. Everything else in the room may recurse once a document is measured.

use serde_json::Value;

/// Deepest nesting of an object or patch. The API's own kinds stay below 20.
pub(in crate::api) const JSON_DEPTH_MAX: usize = 64;

/// Largest object a patch may produce, and most bytes the copies and moves of one
/// JSON patch may touch: `copy` doubles a document with every operation.
pub(in crate::api) const OBJECT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Size of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Measure {
    /// Nesting of lists and objects; a scalar has none.
    pub(in crate::api) depth: usize,
    /// About the length of its compact JSON.
    pub(in crate::api) bytes: usize,
}

/// Measures `value`.
pub(in crate::api) fn measure(value: &Value) -> Measure {
    let mut total = Measure { depth: 0, bytes: 0 };
    let mut open = vec![(value, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => total.bytes += 5,
            Value::String(text) => total.bytes += text.len() + 3,
            Value::Array(items) => {
                total.bytes += 2;
                total.depth = total.depth.max(depth + 1);
                open.extend(items.iter().map(|item| (item, depth + 1)));
            }
            Value::Object(members) => {
                total.bytes += 2;
                total.depth = total.depth.max(depth + 1);
                for (name, member) in members {
                    total.bytes += name.len() + 4;
                    open.push((member, depth + 1));
                }
            }
        }
    }
    total
}

/// Whether `value` may be walked by recursion.
pub(in crate::api) fn is_shallow(value: &Value) -> bool {
    measure(value).depth <= JSON_DEPTH_MAX
}
