//! Sets and elements in libnftables' words. Pure.

use std::net::IpAddr;

use nftables::expr::{
    Expression, Meta, MetaKey, NamedExpression, NgMode, Numgen, Payload, PayloadField, Prefix, Range,
};
use nftables::schema::{Map, NfListObject, Set, SetTypeValue};
use nftables::types::NfFamily;
use serde_json::{Value, json};

use crate::dataplane::kernel::Found;
use crate::dataplane::table::{Data, Field, Key, Maps, SetName, Verdict, address, octets, shape};
use crate::model::IpFamily;

/// Answers the name of a link.
pub(super) type LinkName<'a> = &'a dyn Fn(u32) -> String;

pub(super) fn nf_family(family: IpFamily) -> NfFamily {
    match family {
        IpFamily::V4 => NfFamily::IP,
        IpFamily::V6 => NfFamily::IP6,
    }
}

pub(super) fn word(text: impl Into<String>) -> Expression<'static> {
    Expression::String(text.into().into())
}

/// One expression as it is, several as a concatenation.
pub(super) fn joined(mut parts: Vec<Expression<'static>>) -> Expression<'static> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => Expression::Named(NamedExpression::Concat(parts.into_iter().chain(last).collect())),
    }
}

/// The network `addr/len`; a whole address is written without its length.
pub(super) fn network(addr: IpAddr, len: u32) -> Expression<'static> {
    let whole = if addr.is_ipv4() { 32 } else { 128 };
    let addr = word(addr.to_string());
    if len == whole { addr } else { Expression::Named(NamedExpression::Prefix(Prefix { addr: Box::new(addr), len })) }
}

pub(super) fn protocol(number: u8) -> Expression<'static> {
    match number {
        1 => word("icmp"),
        6 => word("tcp"),
        17 => word("udp"),
        132 => word("sctp"),
        other => Expression::Number(u32::from(other)),
    }
}

/// One field of a key or of a value.
fn field(field: Field, bytes: &[u8], link: LinkName<'_>) -> Option<Expression<'static>> {
    Some(match field {
        Field::Ipv4 | Field::Ipv6 => word(address(bytes)?.to_string()),
        Field::Protocol => protocol(*bytes.first()?),
        Field::Port => Expression::Number(u32::from(u16::from_be_bytes(bytes.try_into().ok()?))),
        Field::Mark => Expression::Number(u32::from_ne_bytes(bytes.try_into().ok()?)),
        Field::Link => word(link(u32::from_ne_bytes(bytes.try_into().ok()?))),
    })
}

/// The bytes of every field: each begins at a whole word.
fn split<'a>(fields: &'a [Field], bytes: &'a [u8]) -> impl Iterator<Item = Option<(Field, &'a [u8])>> {
    fields.iter().scan(0, |at, field| {
        let found = bytes.get(*at..*at + field.len());
        *at += field.len().next_multiple_of(4);
        Some(found.map(|bytes| (*field, bytes)))
    })
}

fn concatenated(fields: &[Field], bytes: &[u8], link: LinkName<'_>) -> Option<Expression<'static>> {
    let parts: Option<Vec<_>> =
        split(fields, bytes).map(|part| part.and_then(|(kind, b)| field(kind, b, link))).collect();
    parts.map(joined)
}

/// A field of an interval: one value, a network, or from one value to another.
fn interval(kind: Field, start: &[u8], end: &[u8], link: LinkName<'_>) -> Option<Expression<'static>> {
    if start == end {
        return field(kind, start, link);
    }
    let (from, to) = (address(start)?, address(end)?);
    let fixed: u32 = start.iter().zip(end).map(|(a, b)| (a ^ b).leading_zeros()).scan(true, shared_bits).sum();
    let len = u8::try_from(fixed).ok()?;
    let net = ipnet::IpNet::new(from, len).ok()?;
    if octets(net.network()) == start && octets(net.broadcast()) == end {
        return Some(network(from, fixed));
    }
    let range = [word(from.to_string()), word(to.to_string())];
    Some(Expression::Range(Box::new(Range { range })))
}

/// Counts the equal bits of bytes up to the first that differ.
fn shared_bits(still: &mut bool, zeros: u32) -> Option<u32> {
    let counted = still.then_some(zeros);
    *still &= zeros == 8;
    counted
}

fn key(fields: &[Field], key: &Key, link: LinkName<'_>) -> Option<Expression<'static>> {
    let Some(end) = &key.end else { return concatenated(fields, &key.start, link) };
    let pairs = split(fields, &key.start).zip(split(fields, end));
    let parts: Option<Vec<_>> = pairs
        .map(|(start, end)| {
            let ((kind, start), (_, end)) = (start?, end?);
            interval(kind, start, end, link)
        })
        .collect();
    parts.map(joined)
}

/// A verdict as nft prints it; the crate's `drop` and `return` are bare words,
/// which nft takes for names.
pub(super) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Drop => json!({ "drop": null }),
        Verdict::Return => json!({ "return": null }),
        Verdict::Jump(chain) => json!({ "jump": { "target": chain } }),
        Verdict::Goto(chain) => json!({ "goto": { "target": chain } }),
    }
}

/// One element, or `None` where it has not the shape of its set.
fn element(found: &Found, family: IpFamily, link: LinkName<'_>) -> Option<Result<Value, serde_json::Error>> {
    let shape = shape(found.slot.set, family);
    let mut left = match serde_json::to_value(key(&shape.fields, &found.slot.key, link)?) {
        Ok(left) => left,
        Err(error) => return Some(Err(error)),
    };
    if let (Some(timeout), Some(left_ms)) = (found.timeout_ms, found.expires_ms) {
        left = json!({ "elem": { "val": left, "timeout": timeout / 1000, "expires": left_ms / 1000 } });
    }
    Some(match &found.data {
        Data::Nothing => Ok(left),
        Data::Verdict(found) => Ok(json!([left, verdict(found)])),
        Data::Bytes(bytes) => {
            serde_json::to_value(concatenated(&endpoint_fields(family), bytes, link)?).map(|right| json!([left, right]))
        }
    })
}

fn endpoint_fields(family: IpFamily) -> [Field; 2] {
    [Field::addr(family), Field::Port]
}

/// Types by example. nft takes no random number for a key that is declared to end
/// in a mark, though it prints it so; by example it does, if the value is told the
/// same way (nft 1.1.3 aborts on one without the other).
fn type_of(fields: &[Field], family: IpFamily) -> Result<Value, serde_json::Error> {
    let example = |field: &Field| match field {
        Field::Ipv4 | Field::Ipv6 => header(if family == IpFamily::V4 { "ip" } else { "ip6" }, "daddr"),
        Field::Protocol => Expression::Named(NamedExpression::Meta(Meta { key: MetaKey::L4proto })),
        Field::Port => header("th", "dport"),
        Field::Mark => numgen(NgMode::Random, 2, 0),
        Field::Link => Expression::Named(NamedExpression::Meta(Meta { key: MetaKey::Iif })),
    };
    Ok(json!({ "typeof": serde_json::to_value(joined(fields.iter().map(example).collect()))? }))
}

/// A field of a protocol's header.
pub(super) fn header(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

/// A number below `below`, and `offset` more.
pub(super) fn numgen(mode: NgMode, below: u32, offset: u32) -> Expression<'static> {
    Expression::Named(NamedExpression::Numgen(Numgen { mode, ng_mod: below, offset: Some(offset) }))
}

/// A set or map with its elements.
pub(super) fn set(
    table: &str,
    family: IpFamily,
    name: SetName,
    elements: &[Found],
    link: LinkName<'_>,
) -> Result<Value, serde_json::Error> {
    let shape = shape(name, family);
    let words = |fields: &[Field]| match fields {
        [only] => json!(only.as_str()),
        several => several.iter().map(|field| field.as_str()).collect(),
    };
    // The crate's types know neither `iface_index` nor `verdict`: type and map are put in as text.
    let (nf, table, set_type) = (nf_family(family), table.to_owned().into(), SetTypeValue::Concatenated((&[]).into()));
    let (kind, mut object) = if shape.maps == Maps::Nothing {
        let set = Set { family: nf, table, name: name.as_str().into(), set_type, size: shape.size, ..Set::default() };
        ("set", serde_json::to_value(NfListObject::Set(Box::new(set)))?)
    } else {
        let map = set_type.clone();
        let map =
            Map { family: nf, table, name: name.as_str().into(), set_type, map, size: shape.size, ..Map::default() };
        ("map", serde_json::to_value(NfListObject::Map(Box::new(map)))?)
    };
    let Some(content) = object.get_mut(kind).and_then(Value::as_object_mut) else { return Ok(object) };
    content.insert("type".to_owned(), words(&shape.fields));
    match shape.maps {
        Maps::Nothing => {}
        Maps::Verdict => drop(content.insert("map".to_owned(), json!("verdict"))),
        Maps::Endpoint => drop(content.insert("map".to_owned(), words(&endpoint_fields(family)))),
    }
    if shape.fields.contains(&Field::Mark) {
        content.insert("type".to_owned(), type_of(&shape.fields, family)?);
        content.insert("map".to_owned(), type_of(&endpoint_fields(family), family)?);
    }
    let flags: &[&str] = match (shape.interval, name.is_dynamic()) {
        (true, _) => &["interval"],
        (false, true) => &["timeout", "dynamic"],
        (false, false) => &[],
    };
    if !flags.is_empty() {
        content.insert("flags".to_owned(), json!(flags));
    }
    if shape.counted {
        content.insert("stmt".to_owned(), json!([{ "counter": null }]));
    }
    let listed = elements.iter().filter_map(|found| element(found, family, link)).collect::<Result<Vec<_>, _>>()?;
    if !listed.is_empty() {
        content.insert("elem".to_owned(), Value::Array(listed));
    }
    Ok(object)
}
