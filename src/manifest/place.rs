//! Where each field of a document stands in its file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A position in a text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// The first character.
    pub const START: Place = Place { line: 1, column: 1 };

    pub(super) fn lines_down(self, lines: u64) -> Place {
        Place { line: self.line + lines, ..self }
    }
}

/// One fault of a manifest: `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file as the user named it; `-` is standard input.
    pub file: Arc<str>,
    /// Where in it.
    pub place: Place,
    /// What is wrong, and where it helps what is right.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.place.line, self.place.column, self.message)
    }
}

/// The places of a value and of all it holds, in the value's own shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) at: Place,
    pub(super) inner: Inner,
}

/// What a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    Scalar,
    /// Members; a member's place is that of its key.
    Map(BTreeMap<String, Places>),
    List(Vec<Places>),
}

impl Places {
    pub(super) fn unknown() -> Places {
        Places { at: Place::START, inner: Inner::Scalar }
    }

    /// The place of a field, or of the nearest ancestor that stands in the text:
    /// a required field that is absent is reported where it should have been.
    pub(super) fn find(&self, path: &str) -> Place {
        let mut here = self;
        for step in steps(path) {
            let next = match &here.inner {
                Inner::Scalar => None,
                Inner::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                Inner::Map(members) => members.get(step).or_else(|| {
                    // The server names some fields by their Go name: spec.LoadBalancerSourceRanges.
                    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(step)).map(|(_, places)| places)
                }),
            };
            match next {
                Some(places) => here = places,
                None => break,
            }
        }
        here.at
    }

    pub(super) fn item(&self, member: &str, index: usize) -> Option<&Places> {
        let Inner::Map(members) = &self.inner else { return None };
        let Inner::List(items) = &members.get(member)?.inner else { return None };
        items.get(index)
    }
}

/// `spec.ports[0].name` as `spec`, `ports`, `0`, `name`; a bracket may also hold
/// a key with dots, as in `metadata.annotations[example.com/a]`.
fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = inside.split_once(']').unwrap_or((inside, ""));
            steps.push(step.trim_matches('"'));
            rest = after.trim_start_matches('.');
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (step, after) = rest.split_at(end);
            steps.push(step);
            rest = after.strip_prefix('.').unwrap_or(after);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_walked_step_by_step() {
        assert_eq!(steps("spec.ports[0].name"), ["spec", "ports", "0", "name"]);
        assert_eq!(steps("metadata.annotations[example.com/a.b]"), ["metadata", "annotations", "example.com/a.b"]);
        assert_eq!(steps(".data.a"), ["data", "a"]);
        assert_eq!(steps(""), [""; 0]);
        assert_eq!(steps("a[b"), ["a", "b"]);
    }
}
