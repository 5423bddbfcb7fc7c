//! The only user of the YAML parser: its events to values as kubectl reads them
//! (`scalar` says what words mean, `<<` merges), every mapping key a string, every
//! duplicate key told, and budgets against documents that grow when expanded.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::place::{Inner, Place, Places};
use super::scalar;

pub use super::emit::to_string;

/// Bytes of a request body: what the API reads of one (spec/api.md section 3).
pub const BODY_BYTES_MAX: usize = 3_145_728;

/// Levels of nesting: the deepest kind we serve has 14, and reading calls itself for each.
const DEPTH_MAX: usize = 32;
/// Scalars, lists and mappings of one document: 1,000 endpoints in a slice have about 12,000.
const NODES_MAX: usize = 500_000;
/// Nodes that aliases may add, so that nine lines cannot become a billion items.
const ALIAS_NODES_MAX: usize = 50_000;

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
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, anchors: BTreeMap::new(), nodes: 0, alias_nodes: 0 };
    let mut parsed = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(parsed),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => reader.anchors.clear(),
            event => {
                let node = reader.node(event, span, 0)?;
                if !node.value.is_null() {
                    let places = Places { at: node.at, inner: node.inner };
                    parsed.push(Parsed { value: node.value, duplicates: node.duplicates, places });
                }
            }
        }
    }
}

/// A value with the places of what it holds.
#[derive(Clone)]
struct Node {
    value: Value,
    at: Place,
    inner: Inner,
    duplicates: Vec<Duplicate>,
    /// What it is as a key: scalars only.
    key: Option<Key>,
}

#[derive(Clone)]
enum Key {
    Text(String),
    /// A bare `<<`.
    Merge,
    /// Why it may not be one.
    Wrong(String),
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Nodes with an anchor, and how many nodes each holds.
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    alias_nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next_event() {
            Some(event) => event.map_err(|fault| refused(&fault)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that an event begins.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let at = place(&span);
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(fault(at, format!("is nested deeper than {DEPTH_MAX} levels")));
        }
        if self.nodes > NODES_MAX {
            return Err(fault(at, format!("has more than {NODES_MAX} values")));
        }
        let before = self.nodes + self.alias_nodes;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar_node(&text, style, tag.as_deref(), at)?),
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(at, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(at, depth)?),
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(fault(at, "expected a value".to_owned())),
        };
        if anchor != 0 {
            let size = 1 + self.nodes + self.alias_nodes - before;
            // An anchored text is kept twice, and anchors may stand inside each other.
            self.expanded(size, at)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    /// A copy of what an anchor names, standing where the alias does.
    fn alias(&mut self, anchor: usize, at: Place) -> Result<Node, YamlError> {
        // An anchor is known only behind its node, so that no value can hold itself.
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(fault(at, "an alias inside of what it names".to_owned()));
        };
        let (node, size) = (Node { at, duplicates: Vec::new(), ..node.clone() }, *size);
        self.expanded(size, at)?;
        Ok(node)
    }

    fn expanded(&mut self, nodes: usize, at: Place) -> Result<(), YamlError> {
        self.alias_nodes += nodes;
        if self.alias_nodes > ALIAS_NODES_MAX {
            return Err(fault(at, format!("aliases add more than {ALIAS_NODES_MAX} values")));
        }
        Ok(())
    }

    fn list(&mut self, at: Place, depth: usize) -> Result<Node, YamlError> {
        let (mut items, mut places, mut duplicates) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let (value, inner) = (Value::Array(items), Inner::List(places));
                return Ok(Node { value, at, inner, duplicates, key: None });
            }
            let item = self.node(event, span, depth + 1)?;
            let index = items.len();
            duplicates.extend(item.duplicates.into_iter().map(|found| found.below(&format!("[{index}]"))));
            places.push(Places { at: item.at, inner: item.inner });
            items.push(item.value);
        }
    }

    fn map(&mut self, at: Place, depth: usize) -> Result<Node, YamlError> {
        let mut map = Members::default();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let Members { values, places, duplicates, .. } = map;
                return Ok(Node { value: Value::Object(values), at, inner: Inner::Map(places), duplicates, key: None });
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let member = self.node(event, span, depth + 1)?;
            match key.key {
                Some(Key::Text(text)) => map.add(text, key.at, member),
                Some(Key::Merge) => map.merge(member)?,
                Some(Key::Wrong(why)) => return Err(fault(key.at, why)),
                None => return Err(fault(key.at, "a key may not be a list or a mapping".to_owned())),
            }
        }
    }
}

/// The members of a mapping as they come.
#[derive(Default)]
struct Members {
    values: Map<String, Value>,
    places: BTreeMap<String, Places>,
    duplicates: Vec<Duplicate>,
    /// Keys that only a merge set, which may be set again.
    merged: BTreeSet<String>,
}

impl Members {
    fn add(&mut self, key: String, at: Place, member: Node) {
        self.duplicates.extend(member.duplicates.into_iter().map(|found| found.below(&key)));
        let known = self.places.insert(key.clone(), Places { at, inner: member.inner }).is_some();
        if known && !self.merged.remove(&key) {
            self.duplicates.push(Duplicate { path: key.clone(), place: at });
        }
        self.values.insert(key, member.value);
    }

    /// `<<: *base`, or a list of them, of which the first counts most. What stands
    /// later in the text counts more than what stands before, merged or not: so it
    /// is in kubectl.
    fn merge(&mut self, from: Node) -> Result<(), YamlError> {
        let wanted = || fault(from.at, "map merge requires map or sequence of maps as the value".to_owned());
        let sources = match (from.value, from.inner) {
            (Value::Object(values), Inner::Map(places)) => vec![(Value::Object(values), Inner::Map(places))],
            (Value::Array(items), Inner::List(places)) => {
                items.into_iter().zip(places.into_iter().map(|places| places.inner)).rev().collect()
            }
            _ => return Err(wanted()),
        };
        for source in sources {
            let (Value::Object(values), Inner::Map(mut places)) = source else { return Err(wanted()) };
            for (key, value) in values {
                let place = places.remove(&key).unwrap_or(Places { at: from.at, inner: Inner::Scalar });
                self.places.insert(key.clone(), place);
                self.merged.insert(key.clone());
                self.values.insert(key, value);
            }
        }
        Ok(())
    }
}

fn scalar_node(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Place) -> Result<Node, YamlError> {
    let plain = style == ScalarStyle::Plain;
    // Of other tags only the text counts, as in kubectl; `!` alone means a text.
    let name = tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:").unwrap_or_else(|| "str".into()));
    let name = name.as_deref();
    let key = if text == "<<" && (plain && tag.is_none() || name == Some("merge")) {
        Key::Merge
    } else {
        scalar::key(text, plain, name).map_or_else(Key::Wrong, Key::Text)
    };
    let value = scalar::value(text, plain, name).map_err(|why| fault(at, why))?;
    Ok(Node { value, at, inner: Inner::Scalar, duplicates: Vec::new(), key: Some(key) })
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line().max(1) as u64, column: span.start.col() as u64 + 1 }
}

fn fault(place: Place, message: String) -> YamlError {
    YamlError { place, message }
}

fn refused(error: &ScanError) -> YamlError {
    let (line, column) = (error.marker().line().max(1) as u64, error.marker().col() as u64 + 1);
    let message = error.info();
    fault(Place { line, column }, message.lines().next().unwrap_or_default().to_owned())
}

impl Duplicate {
    fn below(self, parent: &str) -> Duplicate {
        let dot = if self.path.starts_with('[') { "" } else { "." };
        Duplicate { path: format!("{parent}{dot}{}", self.path), ..self }
    }
}
