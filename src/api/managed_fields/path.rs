//! One step of a path into an object, as FieldsV1 writes it and as people read it.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

/// A step: into a member, into a list item by its keys or by its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// `f:name`: a member of an object.
    Field(String),
    /// `k:{...}`: the list item with these keys, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// `v:...`: the item of a set.
    Item(Scalar),
    /// `i:0`: the item at a position. Read and kept, never made.
    Index(i64),
}

/// A JSON value with a total order, so that it can be a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar(pub(super) Value);

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Scalar) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(left), Value::Number(right)) => order_numbers(left, right),
            (Value::String(left), Value::String(right)) => left.cmp(right),
            (left, right) => rank(left).cmp(&rank(right)).then_with(|| left.to_string().cmp(&right.to_string())),
        }
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn order_numbers(left: &Number, right: &Number) -> Ordering {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.as_f64().unwrap_or(0.0).total_cmp(&right.as_f64().unwrap_or(0.0)),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// A member's name of FieldsV1 that is no step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnElement;

impl Element {
    /// The step to a member.
    pub(super) fn field(name: &str) -> Element {
        Element::Field(name.to_owned())
    }

    /// The member's name in FieldsV1.
    pub(super) fn encode(&self) -> String {
        match self {
            Element::Field(name) => format!("f:{name}"),
            Element::Key(keys) => {
                let keys: Map<String, Value> =
                    keys.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
                format!("k:{}", Value::Object(keys))
            }
            Element::Item(value) => format!("v:{}", value.0),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads a member's name of FieldsV1. Steps of a kind from a later version are
    /// `None`: the real server drops them too.
    pub(super) fn decode(text: &str) -> Result<Option<Element>, NotAnElement> {
        let (kind, content) = text.split_once(':').ok_or(NotAnElement)?;
        let element = match kind {
            "f" => Element::field(content),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(content).map_err(|_| NotAnElement)?;
                let mut keys: Vec<_> = keys.into_iter().map(|(name, value)| (name, Scalar(value))).collect();
                keys.sort();
                Element::Key(keys)
            }
            "v" => Element::Item(Scalar(serde_json::from_str(content).map_err(|_| NotAnElement)?)),
            "i" => Element::Index(content.parse().map_err(|_| NotAnElement)?),
            kind if kind.len() == 1 => return Ok(None),
            _ => return Err(NotAnElement),
        };
        Ok(Some(element))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={}", value.0)?;
                }
                f.write_str("]")
            }
            Element::Item(value) => write!(f, "[={}]", value.0),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as conflicts and errors show it, for instance `.spec.ports[port=80,protocol="TCP"].name`.
pub(super) fn display(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}
