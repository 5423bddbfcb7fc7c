//! JSON text to a value, with the paths of keys that stand twice and limits on
//! depth and size.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{DEPTH_MAX, DecodeError, NODES_MAX, PROBLEMS_MAX};

/// A value as the text has it.
pub(super) struct Read {
    /// Of a key that stands twice the last value counts.
    pub(super) value: Value,
    /// At most [`PROBLEMS_MAX`].
    pub(super) duplicates: Vec<String>,
}

/// Reads one JSON value.
pub(super) fn read(bytes: &[u8]) -> Result<Read, DecodeError> {
    let mut budget = Budget { nodes: NODES_MAX, duplicates: PROBLEMS_MAX };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let read = Seed { budget: &mut budget, depth: 0 }.deserialize(&mut text);
    let node = read.and_then(|node| text.end().map(|()| node)).map_err(|fault| DecodeError::Json(fault.to_string()))?;
    Ok(Read { value: node.value, duplicates: node.duplicates })
}

struct Budget {
    nodes: usize,
    duplicates: usize,
}

struct Seed<'a> {
    budget: &'a mut Budget,
    depth: usize,
}

/// A value and the duplicates below it, named from here: a path is only
/// written when there is something to tell.
struct Node {
    value: Value,
    duplicates: Vec<String>,
}

impl Node {
    fn scalar(value: Value) -> Node {
        Node { value, duplicates: Vec::new() }
    }
}

impl Seed<'_> {
    fn below(&mut self) -> Seed<'_> {
        Seed { budget: self.budget, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom(format_args!("nested deeper than {DEPTH_MAX}")));
        }
        self.budget.nodes = self
            .budget
            .nodes
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format_args!("has more than {NODES_MAX} values")))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::scalar(Value::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::scalar(Value::Bool(value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::scalar(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::scalar(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::scalar(Value::String(value.to_owned())))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Node, A::Error> {
        let (mut items, mut duplicates) = (Vec::new(), Vec::new());
        while let Some(item) = seq.next_element_seed(self.below())? {
            let index = items.len();
            duplicates.extend(item.duplicates.into_iter().map(|path| join(&format!("[{index}]"), &path)));
            items.push(item.value);
        }
        Ok(Node { value: Value::Array(items), duplicates })
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Node, A::Error> {
        let (mut members, mut duplicates) = (Map::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            let node = map.next_value_seed(self.below())?;
            duplicates.extend(node.duplicates.into_iter().map(|path| join(&key, &path)));
            if members.contains_key(&key) && self.budget.duplicates > 0 {
                self.budget.duplicates -= 1;
                duplicates.push(key.clone());
            }
            members.insert(key, node.value);
        }
        Ok(Node { value: Value::Object(members), duplicates })
    }
}

fn join(parent: &str, path: &str) -> String {
    let dot = if path.starts_with('[') { "" } else { "." };
    format!("{parent}{dot}{path}")
}
