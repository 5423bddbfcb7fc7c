//! Every table of the kernel as it is, ours and foreign ones: what `nft list
//! ruleset` would show, also what iptables-nft made, without either program.
//!
//! Rules stay the bytes the kernel tells: whoever follows a packet reads them as
//! far as it understands them, and says where it does not.

use std::collections::BTreeMap;
use std::io;

use super::netlink::batch::{body, kind, message};
use super::netlink::{Attrs, Link, attrs};

/// Elements read of all sets together: 10,000 Services of 10 endpoints have a fifth of it.
const ELEMENTS_MAX: usize = 1 << 20;

/// All tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Ruleset {
    pub(super) tables: Vec<Table>,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// 1 inet, 2 ip, 7 bridge, 10 ip6.
    pub(super) family: u8,
    pub(super) name: String,
    pub(super) chains: Vec<Chain>,
    pub(super) sets: Vec<Set>,
}

/// One chain with its rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

/// Where packets enter a base chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Hook {
    /// 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub(super) number: u32,
    pub(super) priority: i32,
    pub(super) nat: bool,
    /// The policy is drop.
    pub(super) drops: bool,
}

/// One rule: the list of its expressions.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub(super) handle: u64,
    pub(super) body: Vec<u8>,
}

/// One set or map.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) interval: bool,
    /// Bytes of the fields of a concatenation that holds ranges.
    pub(super) fields: Vec<usize>,
    /// Elements by their first key.
    pub(super) elements: BTreeMap<Vec<u8>, Element>,
    /// Not all elements were read.
    pub(super) cut: bool,
}

/// One element.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    /// The last key of a range of concatenated fields.
    pub(super) last: Option<Vec<u8>>,
    /// Ends the range before it, in sets of plain ranges.
    pub(super) ends: bool,
    /// The data attribute of a map's element.
    pub(super) data: Option<Vec<u8>>,
}

impl Set {
    /// The element that holds a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Element> {
        if !self.interval {
            return self.elements.get(key);
        }
        if self.fields.is_empty() {
            let (_, below) = self.elements.range(..=key.to_vec()).next_back()?;
            return (!below.ends).then_some(below);
        }
        let within = |first: &[u8], last: &[u8]| {
            let mut at = 0;
            self.fields.iter().all(|len| {
                let field = at..at + len;
                at += len.next_multiple_of(4);
                match (key.get(field.clone()), first.get(field.clone()), last.get(field)) {
                    (Some(key), Some(first), Some(last)) => first <= key && key <= last,
                    _ => false,
                }
            })
        };
        self.elements.iter().find(|(first, e)| within(first, e.last.as_ref().unwrap_or(first))).map(|(_, e)| e)
    }
}

impl Table {
    /// How nft names it: `ip filter`.
    pub(super) fn title(&self) -> String {
        let family = match self.family {
            1 => "inet",
            2 => "ip",
            5 => "netdev",
            7 => "bridge",
            10 => "ip6",
            _ => "arp",
        };
        format!("{family} {}", self.name)
    }

    pub(super) fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    pub(super) fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

/// The messages of one dump: the family and the attributes of each.
fn dump(link: &mut Link, what: u16, family: u8, request: &Attrs) -> io::Result<Vec<(u8, Vec<u8>)>> {
    let answers = link.dump(kind(what), &body(family, request))?;
    let part = |message: super::netlink::Message| {
        let family = message.body.first().copied().unwrap_or_default();
        (family, message.body.get(4..).unwrap_or_default().to_vec())
    };
    Ok(answers.into_iter().map(part).collect())
}

/// Reads everything; with `elements` the content of sets too.
///
/// # Errors
/// No privilege, or the kernel has no nf_tables.
pub(super) fn read(link: &mut Link, elements: bool) -> io::Result<Ruleset> {
    let none = Attrs::new();
    let mut tables: Vec<Table> = Vec::new();
    for (family, content) in dump(link, message::GETTABLE, 0, &none)? {
        let name = attrs::text(&content, 1).unwrap_or_default().to_owned();
        tables.push(Table { family, name, ..Table::default() });
    }
    let mut ruleset = Ruleset { tables };
    for (family, content) in dump(link, message::GETCHAIN, 0, &none)? {
        if let Some(table) = ruleset.table_mut(family, attrs::text(&content, 1)) {
            table.chains.extend(chain(&content));
        }
    }
    for (family, content) in dump(link, message::GETRULE, 0, &none)? {
        let chain = attrs::text(&content, 2).unwrap_or_default();
        let table = ruleset.table_mut(family, attrs::text(&content, 1));
        if let Some(chain) = table.and_then(|table| table.chains.iter_mut().find(|known| known.name == chain)) {
            let body = attrs::find(&content, 4).unwrap_or_default().to_vec();
            chain.rules.push(Rule { handle: attrs::be64(&content, 3).unwrap_or_default(), body });
        }
    }
    if elements {
        read_sets(link, &mut ruleset)?;
    }
    Ok(ruleset)
}

impl Ruleset {
    fn table_mut(&mut self, family: u8, name: Option<&str>) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.family == family && Some(table.name.as_str()) == name)
    }
}

fn chain(content: &[u8]) -> Option<Chain> {
    let hook = attrs::find(content, 4).and_then(|place| {
        Some(Hook {
            number: attrs::be32(place, 1)?,
            priority: i32::from_be_bytes(attrs::find(place, 2)?.try_into().ok()?),
            nat: attrs::text(content, 7) == Some("nat"),
            drops: attrs::be32(content, 5) == Some(0),
        })
    });
    Some(Chain { name: attrs::text(content, 3)?.to_owned(), hook, rules: Vec::new() })
}

fn read_sets(link: &mut Link, ruleset: &mut Ruleset) -> io::Result<()> {
    let mut left = ELEMENTS_MAX;
    for (family, content) in dump(link, message::GETSET, 0, &Attrs::new())? {
        let (Some(table), Some(name)) = (attrs::text(&content, 1), attrs::text(&content, 2)) else { continue };
        let fields = attrs::find(&content, 9).and_then(|desc| attrs::find(desc, 2)).unwrap_or_default();
        let length = |(_, field): (u16, &[u8])| Some(usize::try_from(attrs::be32(field, 1)?).unwrap_or(usize::MAX));
        let mut set = Set {
            name: name.to_owned(),
            interval: attrs::be32(&content, 3).unwrap_or_default() & 4 != 0,
            fields: attrs::read(fields).filter_map(length).filter(|len| *len <= 64).collect(),
            ..Set::default()
        };
        let mut request = Attrs::new();
        request.text(1, table).text(2, name);
        for (_, content) in dump(link, message::GETSETELEM, family, &request)? {
            for (_, element) in attrs::read(attrs::find(&content, 3).unwrap_or_default()) {
                if left == 0 {
                    set.cut = true;
                    break;
                }
                left -= 1;
                set.elements.extend(self::element(element));
            }
        }
        if let Some(table) = ruleset.table_mut(family, Some(table)) {
            table.sets.push(set);
        }
    }
    Ok(())
}

fn element(content: &[u8]) -> Option<(Vec<u8>, Element)> {
    let bytes = |kind: u16| Some(attrs::find(attrs::find(content, kind)?, 1)?.to_vec());
    let ends = attrs::be32(content, 3).unwrap_or_default() & 1 != 0;
    let data = attrs::find(content, 2).map(<[u8]>::to_vec);
    Some((bytes(1)?, Element { last: bytes(10), ends, data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First key, last key, and whether it ends a range.
    type Row<'a> = (&'a [u8], Option<&'a [u8]>, bool);

    fn set(interval: bool, fields: &[usize], elements: &[Row<'_>]) -> Set {
        let element = |(key, last, ends): &Row<'_>| {
            (key.to_vec(), Element { last: last.map(<[u8]>::to_vec), ends: *ends, data: None })
        };
        Set { interval, fields: fields.to_vec(), elements: elements.iter().map(element).collect(), ..Set::default() }
    }

    #[test]
    fn a_key_is_found_as_the_kernel_finds_it() {
        let plain = set(false, &[], &[(&[1, 2], None, false)]);
        assert!(plain.find(&[1, 2]).is_some() && plain.find(&[1, 3]).is_none());
        // 10.0.0.0/8 is a start at 10.0.0.0 and an end at 11.0.0.0.
        let ranges =
            set(true, &[], &[(&[0; 4], None, true), (&[10, 0, 0, 0], None, false), (&[11, 0, 0, 0], None, true)]);
        assert!(ranges.find(&[10, 43, 0, 1]).is_some());
        assert!(ranges.find(&[11, 0, 0, 0]).is_none() && ranges.find(&[9, 255, 0, 0]).is_none());
        // Every field has to lie in its own range; fields fill whole words.
        let both = set(true, &[2, 1], &[(&[0, 5, 0, 0, 3, 0, 0, 0], Some(&[0, 9, 0, 0, 4, 0, 0, 0]), false)]);
        assert!(both.find(&[0, 7, 0, 0, 4, 0, 0, 0]).is_some());
        assert!(both.find(&[0, 7, 0, 0, 5, 0, 0, 0]).is_none());
    }
}
