//! The configuration file: a flat YAML mapping from settings to a value or a
//! list of values. Every fault is kept with its line; nothing stops at the first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Spanned, from_str_with_options};

use super::defaults;
use super::problem::{Problem, Source};
use super::setting::{self, Given, Layer};

/// Reads the text of a configuration file. What can be read is in the layer,
/// what cannot is among the problems.
pub(super) fn read(path: &Path, text: &str) -> (Layer, Vec<Problem>) {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX, max_aliases: 0 },
    };
    let entries = match from_str_with_options::<Entries>(text, options) {
        Ok(entries) => entries.0,
        Err(fault) => return (Layer::new(), vec![not_yaml(path, &fault)]),
    };
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (key, value) in entries {
        let source = Source::File { path: path.to_owned(), line: key.referenced.line(), key: key.value.clone() };
        let problem = |source, fault| Problem { source, value: None, fault };
        if let Some(first) = seen.insert(key.value.clone(), key.referenced.line()) {
            problems.push(problem(source, format!("stands there twice: first on line {first}")));
            continue;
        }
        let Some(known) = setting::find(&key.value) else {
            problems.push(problem(source, unknown(&key.value)));
            continue;
        };
        match given(path, &key.value, source, value) {
            Ok(Some(given)) => {
                layer.insert(known.name, given);
            }
            Ok(None) => {}
            Err(found) => problems.push(found),
        }
    }
    (layer, problems)
}

/// A flat mapping with lists has three levels; one more lets us name the key at fault.
const DEPTH_MAX: usize = 8;

/// Every setting as a full list, with room for the keys.
const NODES_MAX: usize = setting::SETTINGS.len() * (defaults::LIST_ENTRIES_MAX + 2);

fn not_yaml(path: &Path, fault: &serde_saphyr::Error) -> Problem {
    let line = fault.location().map_or(1, |at| at.line());
    let words = fault.without_snippet().to_string();
    let words = words.lines().next().unwrap_or_default().to_owned();
    let source = Source::File { path: path.to_owned(), line, key: "not a mapping of settings".to_owned() };
    Problem { source, value: None, fault: words }
}

fn unknown(key: &str) -> String {
    match setting::nearest(key) {
        Some(near) => format!("no such setting; did you mean {near}?"),
        None => "no such setting; `edgesvc run --help` lists them".to_owned(),
    }
}

fn given(path: &Path, key: &str, source: Source, value: Spanned<Entry>) -> Result<Option<Given>, Problem> {
    match value.value {
        // A key without a value is a key left out, as everywhere in YAML.
        Entry::Null => Ok(None),
        Entry::Scalar(text) => Ok(Some(Given::text(source, &text))),
        Entry::Mapping => Err(Problem { source, value: None, fault: "must be a value or a list of values".to_owned() }),
        Entry::List(items) => {
            let mut words = Vec::new();
            for item in items {
                let Entry::Scalar(text) = item.value else {
                    let source =
                        Source::File { path: path.to_owned(), line: item.referenced.line(), key: key.to_owned() };
                    let fault = "every entry of the list must be a plain value".to_owned();
                    return Err(Problem { source, value: None, fault });
                };
                words.push(text);
            }
            Ok(Some(Given { source, words }))
        }
    }
}

/// The entries of the top-level mapping, duplicates included.
struct Entries(Vec<(Spanned<String>, Spanned<Entry>)>);

/// What may stand behind a key.
enum Entry {
    Null,
    Scalar(String),
    List(Vec<Spanned<Entry>>),
    Mapping,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`setting: value` lines")
            }
            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_any(Top)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }
    fn visit_unit<E>(self) -> Result<Entry, E> {
        Ok(Entry::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Entry, E> {
        Ok(Entry::Scalar(value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Entry, E> {
        Ok(Entry::Scalar(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Entry, E> {
        Ok(Entry::Scalar(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Entry, E> {
        Ok(Entry::Scalar(value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Entry, E> {
        Ok(Entry::Scalar(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Entry::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(Entry::Mapping)
    }
}
