//! Reading and writing JSON values whose shape the codec has checked. Absent and
//! empty are one, as they are for Kubernetes' own types.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// The text at a JSON pointer, empty when absent.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer, 0 when absent.
pub(super) fn int(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a JSON pointer, empty when absent.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The list at a JSON pointer, to change.
pub(super) fn list_mut<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// The texts of the list at a JSON pointer.
pub(super) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// The pairs of the map at a JSON pointer.
pub(super) fn pairs<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// Something other than absent, null, or empty stands there.
pub(super) fn present(value: &Value, pointer: &str) -> bool {
    match value.pointer(pointer) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => true,
    }
}

/// Sets a member of an object; nothing happens to other values.
pub(super) fn set(value: &mut Value, member: &str, content: impl Into<Value>) {
    if let Some(object) = value.as_object_mut() {
        object.insert(member.to_owned(), content.into());
    }
}

/// Removes a member of an object.
pub(super) fn unset(value: &mut Value, member: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
}

/// Sets a member unless something stands there.
pub(super) fn set_default(value: &mut Value, member: &str, content: impl Into<Value>) {
    if !present(value, &format!("/{member}")) {
        set(value, member, content);
    }
}

/// The object under `member`, made when absent.
pub(super) fn within<'a>(value: &'a mut Value, member: &str) -> Option<&'a mut Value> {
    let object = value.as_object_mut()?;
    let inner = object.entry(member).or_insert_with(|| Map::new().into());
    if inner.is_null() {
        *inner = Map::new().into();
    }
    Some(inner)
}

/// Why an address cannot be an endpoint or an external IP; none when it can.
pub(super) fn special(addr: IpAddr) -> Option<&'static str> {
    let (link_local, link_local_multicast) = match addr {
        IpAddr::V4(v4) => (v4.is_link_local(), matches!(v4.octets(), [224, 0, 0, _])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments().first() == Some(&0xff02)),
    };
    if addr.is_unspecified() {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if addr.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if link_local_multicast {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else {
        None
    }
}
