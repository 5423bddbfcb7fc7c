//! A set of fields of one object: the content of `fieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::path::Element;

/// Deepest path of a set that is accepted from outside.
const PATH_DEPTH_MAX: usize = 64;

/// The member that says that the holder itself belongs to the set.
const ITSELF: &str = ".";

/// Fields, as a tree. A node is a member of the set, or leads to members, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    nodes: BTreeMap<Element, Node>,
}

/// A field and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether the field itself is in the set.
    pub(super) member: bool,
    /// What is in the set below it.
    pub(super) below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// FieldsV1 that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotASet;

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.nodes.iter()
    }

    pub(super) fn node(&self, element: &Element) -> Option<&Node> {
        self.nodes.get(element)
    }

    /// Puts a node in place; an empty one is left out.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Adds one field. The object itself (an empty path) is in no set.
    pub(super) fn insert(&mut self, path: &[Element]) {
        let mut set = self;
        let Some((last, above)) = path.split_last() else {
            return;
        };
        for element in above {
            set = &mut set.nodes.entry(element.clone()).or_default().below;
        }
        set.nodes.entry(last.clone()).or_default().member = true;
    }

    pub(super) fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.node(first).is_some_and(|node| node.below.contains(rest)),
        }
    }

    pub(super) fn union(&self, other: &Set) -> Set {
        let mut united = self.clone();
        for (element, theirs) in &other.nodes {
            let node = united.nodes.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.below = node.below.union(&theirs.below);
        }
        united
    }

    /// The fields that are in both.
    pub(super) fn intersection(&self, other: &Set) -> Set {
        let mut common = Set::default();
        for (element, ours) in &self.nodes {
            if let Some(theirs) = other.node(element) {
                let below = ours.below.intersection(&theirs.below);
                common.put(element.clone(), Node { member: ours.member && theirs.member, below });
            }
        }
        common
    }

    /// The fields that are not in `other`. What is below a field of `other` stays.
    pub(super) fn difference(&self, other: &Set) -> Set {
        self.subtract(other, false)
    }

    /// The fields that are neither in `other` nor below a field of it.
    pub(super) fn without_trees(&self, other: &Set) -> Set {
        self.subtract(other, true)
    }

    fn subtract(&self, other: &Set, trees: bool) -> Set {
        let mut left = Set::default();
        for (element, ours) in &self.nodes {
            let node = match other.node(element) {
                None => ours.clone(),
                Some(theirs) if trees && theirs.member => continue,
                Some(theirs) => {
                    Node { member: ours.member && !theirs.member, below: ours.below.subtract(&theirs.below, trees) }
                }
            };
            left.put(element.clone(), node);
        }
        left
    }

    /// Every field, in order.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, path: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for (element, node) in &self.nodes {
            path.push(element.clone());
            if node.member {
                paths.push(path.clone());
            }
            node.below.collect_paths(path, paths);
            path.pop();
        }
    }

    /// As `fieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let mut members = Map::new();
        for (element, node) in &self.nodes {
            let mut below = node.below.encode();
            if let (true, false, Some(members)) = (node.member, node.below.is_empty(), below.as_object_mut()) {
                members.insert(ITSELF.to_owned(), Value::Object(Map::new()));
            }
            members.insert(element.encode(), below);
        }
        Value::Object(members)
    }

    /// From `fieldsV1`.
    pub(super) fn decode(value: &Value) -> Result<Set, NotASet> {
        Set::decode_within(value, PATH_DEPTH_MAX).map(|node| node.below)
    }

    fn decode_within(value: &Value, depth: usize) -> Result<Node, NotASet> {
        let depth = depth.checked_sub(1).ok_or(NotASet)?;
        let mut node = Node::default();
        for (name, below) in value.as_object().ok_or(NotASet)? {
            if name == ITSELF {
                node.member = true;
                continue;
            }
            if let Some(element) = Element::decode(name).map_err(|_| NotASet)? {
                node.below.put(element, Set::decode_within(below, depth)?);
            }
        }
        node.member |= node.below.is_empty();
        Ok(node)
    }
}

impl FromIterator<Vec<Element>> for Set {
    fn from_iter<I: IntoIterator<Item = Vec<Element>>>(paths: I) -> Set {
        let mut set = Set::default();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}
