//! The only user of the YAML library: YAML 1.1 as kubectl reads it (`on` is a
//! boolean, `0777` is octal, `<<` merges), every mapping key a string, every
//! duplicate key told, and budgets against documents that grow when expanded.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Options, Spanned};

use super::place::{Inner, Place, Places};

pub use super::emit::to_string;

/// Bytes of a request body: what the API reads of one (spec/api.md section 3).
pub const BODY_BYTES_MAX: usize = 3_145_728;

/// Levels of nesting: the deepest kind we serve has 14; each level costs up to
/// 40 KiB of stack in a debug build, and a thread has 2 MiB.
const DEPTH_MAX: usize = 32;
/// Scalars, lists and mappings of one document: 1,000 endpoints in a slice have about 12,000.
const NODES_MAX: usize = 500_000;
/// Nodes that aliases may add, so that nine lines cannot become a billion items.
const ALIAS_NODES_MAX: usize = 50_000;
/// Aliases inside aliased text, at once.
const ALIAS_DEPTH_MAX: usize = 16;

/// One YAML document as JSON, with what strict readers complain of.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The document; `Null` when there is none. Of a duplicate key the last value counts.
    pub value: Value,
    /// Keys that stand twice in one mapping, in the order of the text.
    pub duplicates: Vec<Duplicate>,
    pub(super) places: Places,
}

/// A key that stands twice in one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The field's path, for instance `spec.ports[0].port`.
    pub path: String,
    /// Where the later one stands.
    pub place: Place,
}

/// Why a text is not one YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", place.line, place.column)]
pub struct YamlError {
    /// Where the reader stopped.
    pub place: Place,
    /// What it found there.
    pub message: String,
}

/// Reads a request body: exactly one YAML document (JSON is one too).
///
/// # Errors
/// Bytes that are no UTF-8, no YAML, more than one document, or that break a budget.
pub fn from_slice(bytes: &[u8]) -> Result<Parsed, YamlError> {
    let refuse = |message: String| YamlError { place: Place::START, message };
    if bytes.len() > BODY_BYTES_MAX {
        return Err(refuse(format!("has more than {BODY_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|fault| refuse(fault.to_string()))?;
    let mut documents = documents(text)?;
    match (documents.pop(), documents.pop()) {
        (None, _) => Ok(Parsed { value: Value::Null, duplicates: Vec::new(), places: Places::unknown() }),
        (Some(only), None) => Ok(only),
        (Some(last), Some(_)) => {
            Err(YamlError { place: last.places.at, message: "must be one document, here begins another".to_owned() })
        }
    }
}

/// Every document of a text that is not empty.
pub(super) fn documents(text: &str) -> Result<Vec<Parsed>, YamlError> {
    let read: Result<Vec<Spanned<Node>>, _> = serde_saphyr::from_multiple_with_options(text, options());
    let nodes = read.map_err(|fault| {
        let message = fault.without_snippet().to_string();
        YamlError {
            place: fault.location().map_or(Place::START, Place::of),
            message: without_position(message.lines().next().unwrap_or_default()),
        }
    })?;
    Ok(nodes
        .into_iter()
        .map(|node| Parsed {
            places: Places { at: Place::of(node.referenced), inner: node.value.inner },
            value: node.value.value,
            duplicates: node.value.duplicates,
        })
        .filter(|parsed| !parsed.value.is_null())
        .collect())
}

fn options() -> Options {
    serde_saphyr::options! {
        // Kept and told with their path, so that all of them can be told at once.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIAS_NODES_MAX,
            max_replay_stack_depth: ALIAS_DEPTH_MAX,
        },
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_recorded_anchor_events: ALIAS_NODES_MAX,
        },
    }
}

// The library repeats the position in the text; ours stands in front already.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).trim_end_matches([',', ' ', ':']).to_owned()
}

/// A value with the places of what it holds.
struct Node {
    value: Value,
    inner: Inner,
    duplicates: Vec<Duplicate>,
}

impl Node {
    fn scalar(value: Value) -> Node {
        Node { value, inner: Inner::Scalar, duplicates: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a mapping")
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
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("infinity and .nan are not JSON"))?;
        Ok(Node::scalar(Value::Number(number)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::scalar(Value::String(value.to_owned())))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let (mut items, mut places, mut duplicates) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(item) = seq.next_element::<Spanned<Node>>()? {
            let index = items.len();
            duplicates.extend(item.value.duplicates.into_iter().map(|found| found.below(&format!("[{index}]"))));
            places.push(Places { at: Place::of(item.referenced), inner: item.value.inner });
            items.push(item.value.value);
        }
        Ok(Node { value: Value::Array(items), inner: Inner::List(places), duplicates })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (mut members, mut places, mut duplicates) = (Map::new(), BTreeMap::new(), Vec::new());
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node: Node = map.next_value()?;
            let (at, key) = (Place::of(key.referenced), key.value);
            duplicates.extend(node.duplicates.into_iter().map(|found| found.below(&key)));
            if places.insert(key.clone(), Places { at, inner: node.inner }).is_some() {
                duplicates.push(Duplicate { path: key.clone(), place: at });
            }
            members.insert(key, node.value);
        }
        Ok(Node { value: Value::Object(members), inner: Inner::Map(places), duplicates })
    }
}

impl Duplicate {
    fn below(self, parent: &str) -> Duplicate {
        let dot = if self.path.starts_with('[') { "" } else { "." };
        Duplicate { path: format!("{parent}{dot}{}", self.path), ..self }
    }
}
