//! The kernel's tables: read them, write them. Thin: what to write is decided in
//! [`table`](super::table).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Options;
use super::netlink::batch::{APPEND, CREATE, CommitError, Op, Stages, body, commit, kind, message};
use super::netlink::{Attrs, Link, attrs};
use super::table::{
    ANCHOR, Chain, ChainName, Data, Edit, Expr, Field, Key, Maps, STAND_IN, SetName, Slot, TABLE, Verdict,
    anchor_chain, dynamic_chain, nfproto, rule_body, shape, static_chains,
};
use crate::model::IpFamily;

/// `owner | persist`: nobody else can change the table, and it outlives us.
const OWNED: u32 = OWNER | 4;
/// `owner` alone: the table goes with the process.
const OWNER: u32 = 2;
/// Elements of one message: nested attributes have 16-bit lengths.
const ELEMENTS_BYTES_MAX: usize = 48 << 10;
/// The table of the preflight; never committed for longer than its transaction.
const PROBE: &str = "edgesvc-probe";
/// The chain whose name says which layout the table has.
const MARKER: &str = "shape-";

/// What the kernel holds of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) layout: Option<String>,
    pub(super) owner: bool,
    pub(super) persist: bool,
    pub(super) anchored: bool,
    /// A table stands in for one that was replaced.
    pub(super) stood_in: bool,
    pub(super) present: bool,
    pub(super) chains: BTreeSet<ChainName>,
    pub(super) rules: usize,
}

fn table_attrs(table: &str) -> Attrs {
    let mut a = Attrs::new();
    a.text(1, table);
    a
}

pub(super) fn new_table(table: &str, family: IpFamily, flags: u32) -> Op {
    let mut a = table_attrs(table);
    a.be32(2, flags);
    Op::new(message::NEWTABLE, CREATE, nfproto(family), a, format!("add table {} {table}", word(family)))
}

pub(super) fn delete_table(table: &str, family: IpFamily) -> Op {
    let what = format!("delete table {} {table}", word(family));
    Op::new(message::DELTABLE, 0, nfproto(family), table_attrs(table), what)
}

/// The family's name in nft.
pub(super) fn word(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}

fn field_len(field: Field) -> u32 {
    u32::try_from(field.len()).unwrap_or(u32::MAX)
}

fn new_set(table: &str, family: IpFamily, name: SetName) -> Op {
    let shape = shape(name, family);
    let mut flags = 0;
    let mut a = table_attrs(table);
    let key_type = shape.fields.iter().fold(0u32, |key, field| key << 6 | field.number());
    let key_len: u32 = shape.fields.iter().map(|field| field_len(*field).next_multiple_of(4)).sum();
    let mut desc = Attrs::new();
    if let Some(size) = shape.size {
        desc.be32(1, size);
        flags |= 0x10 | 0x20;
    }
    if shape.interval {
        flags |= 4 | 0x80;
        let mut fields = Attrs::new();
        for field in &shape.fields {
            let mut described = Attrs::new();
            described.be32(1, field_len(*field));
            fields.nest(1, &described);
        }
        desc.nest(2, &fields);
    }
    a.text(2, name.as_str());
    match shape.maps {
        Maps::Nothing => {}
        Maps::Verdict => {
            flags |= 8;
            a.be32(6, 0xffff_ff00).be32(7, 16);
        }
        Maps::Endpoint => {
            flags |= 8;
            let (ip, len) = if family == IpFamily::V4 { (7, 8) } else { (8, 20) };
            a.be32(6, ip << 6 | 13).be32(7, len);
        }
    }
    a.be32(3, flags).be32(4, key_type).be32(5, key_len).be32(10, 1);
    if !desc.is_empty() {
        a.nest(9, &desc);
    }
    if shape.counted {
        let mut counter = Attrs::new();
        counter.text(1, "counter").nest(2, &Attrs::new());
        a.nest(17, &counter);
    }
    let what = format!("add set {} {table} {}", word(family), name.as_str());
    Op::new(message::NEWSET, CREATE, nfproto(family), a, what)
}

pub(super) fn new_chain(table: &str, family: IpFamily, chain: &Chain) -> Vec<Op> {
    let mut a = table_attrs(table);
    a.text(3, &chain.name);
    if let Some(hook) = chain.hook {
        let mut place = Attrs::new();
        place.be32(1, hook.number).bytes(2, &hook.priority.to_be_bytes());
        a.nest(4, &place).text(7, hook.kind);
    }
    let at = format!("{} {table} {}", word(family), chain.name);
    let mut ops = vec![Op::new(message::NEWCHAIN, CREATE, nfproto(family), a, format!("add chain {at}"))];
    for (number, exprs) in chain.rules.iter().enumerate() {
        let mut a = table_attrs(table);
        a.text(2, &chain.name).nest(4, &rule_body(exprs));
        let what = format!("add rule {at} number {}", number + 1);
        ops.push(Op::new(message::NEWRULE, CREATE | APPEND, nfproto(family), a, what));
    }
    ops
}

/// Puts a chain's rules in anew, and so what they count begins again.
pub(super) fn restart_chain(family: IpFamily, name: ChainName, options: &Options) -> Vec<Op> {
    let [emptied, _] = remove_chain(TABLE, family, &name.to_string());
    let rules = new_chain(TABLE, family, &dynamic_chain(family, name, options)).into_iter().skip(1);
    std::iter::once(emptied).chain(rules).collect()
}

fn remove_chain(table: &str, family: IpFamily, name: &str) -> [Op; 2] {
    let what = format!("delete chain {} {table} {name}", word(family));
    let mut rules = table_attrs(table);
    rules.text(2, name);
    let mut chain = table_attrs(table);
    chain.text(3, name);
    [
        Op::new(message::DELRULE, 0, nfproto(family), rules, what.clone()),
        Op::new(message::DELCHAIN, 0, nfproto(family), chain, what),
    ]
}

/// The name of the marker chain: a digest of everything static.
fn marker(family: IpFamily, options: &Options) -> String {
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in SetName::ALL {
        eat(format!("{:?}", shape(name, family)).as_bytes());
    }
    let dynamic = ChainName::samples(2).into_iter().map(|name| dynamic_chain(family, name, options));
    for chain in static_chains(family, options).into_iter().chain(dynamic) {
        eat(format!("{} {:?}", chain.name, chain.hook).as_bytes());
        for rule in &chain.rules {
            eat(rule_body(rule).as_bytes());
        }
    }
    format!("{MARKER}{digest:016x}")
}

/// The operations that make a table: ahead what no packet meets (sets, and chains without a
/// hook); then the chains that packets meet.
fn table_ops(table: &str, family: IpFamily, flags: u32, chains: &[Chain]) -> Stages {
    let mut stages = Stages::default();
    let Stages { ahead, switch, .. } = &mut stages;
    ahead.push(new_table(table, family, flags));
    ahead.extend(SetName::ALL.map(|name| new_set(table, family, name)));
    for chain in chains {
        let part = if chain.hook.is_some() { &mut *switch } else { &mut *ahead };
        part.extend(new_chain(table, family, chain));
    }
    stages
}

/// The same with the marker that says the table is whole.
fn static_ops(table: &str, family: IpFamily, options: &Options, flags: u32) -> Stages {
    let mut stages = table_ops(table, family, flags, &static_chains(family, options));
    let marker = Chain { name: marker(family, options), hook: None, rules: Vec::new() };
    stages.switch.extend(new_chain(table, family, &marker));
    stages
}

/// The operations that make the table that stands in for the one of `family`, with what
/// `edit` puts there. Its chains come before those of ours at every hook: what it
/// translates is settled when ours is replaced.
pub(super) fn stand_in(family: IpFamily, edit: &Edit, options: &Options, owned: bool) -> Stages {
    let chains: Vec<Chain> = static_chains(family, options).into_iter().map(before_ours).collect();
    let mut stages = table_ops(STAND_IN, family, if owned { OWNER } else { 0 }, &chains);
    stages.ahead.extend(edit_ops_of(STAND_IN, edit, options));
    stages
}

/// A chain of the table that stands in.
fn before_ours(mut chain: Chain) -> Chain {
    chain.hook.iter_mut().for_each(|hook| hook.priority -= 1);
    chain
}

/// The operations that take the table that stands in, with what `edit` put there, away
/// from the packets.
pub(super) fn step_back(family: IpFamily, edit: &Edit, options: &Options) -> Vec<Op> {
    let dynamic = edit.chains_added().map(|(family, name)| dynamic_chain(family, name, options));
    let hooked = static_chains(family, options).into_iter().chain(dynamic).filter(|chain| chain.hook.is_some());
    hooked.flat_map(|chain| remove_chain(STAND_IN, family, &chain.name)).collect()
}

/// Whether the kernel has the `fib` expression: the only thing we can do without.
pub(super) fn has_fib(link: &mut Link, options: &Options) -> bool {
    IpFamily::BOTH.into_iter().all(|family| {
        let with = |address_sets| {
            let options = Options { address_sets, ..options.clone() };
            let mut ops = static_ops(PROBE, family, &options, 0).in_one();
            ops.push(delete_table(PROBE, family));
            ops
        };
        // Where both fail something else is missing, and the preflight tells what.
        commit(link, &with(false)).is_ok() || commit(link, &with(true)).is_err()
    })
}

/// Whether the kernel has the `hash` expression. Without it addresses do not choose.
pub(super) fn has_hash(link: &mut Link) -> bool {
    let hash = Expr::Hash { from: 0, len: 4, below: 2, offset: 0, seed: 1, word: 0 };
    let rules = vec![vec![Expr::Immediate { word: 0, value: vec![0; 4] }, hash]];
    let mut ops = vec![new_table(PROBE, IpFamily::V4, 0)];
    ops.extend(new_chain(PROBE, IpFamily::V4, &Chain { name: "hash".to_owned(), hook: None, rules }));
    ops.push(delete_table(PROBE, IpFamily::V4));
    // Without privilege all is refused, and the preflight tells why.
    commit(link, &ops).map_or_else(|error| error.errno() != Some(nix::libc::ENOENT), |()| true)
}

/// Tries everything we need in a transaction that leaves nothing. Answers
/// whether tables can be owned.
pub(super) fn preflight(link: &mut Link, family: IpFamily, options: &Options) -> Result<bool, CommitError> {
    let probe = |flags| {
        let mut ops = static_ops(PROBE, family, options, flags).in_one();
        for name in ChainName::samples(2) {
            ops.extend(new_chain(PROBE, family, &dynamic_chain(family, name, options)));
        }
        ops.push(delete_table(PROBE, family));
        ops
    };
    if commit(link, &probe(OWNED)).is_ok() {
        return Ok(true);
    }
    commit(link, &probe(0)).map(|()| false)
}

/// What is in the way of taking over the tables of `family`.
pub(super) fn read_held(link: &mut Link, family: IpFamily) -> io::Result<Held> {
    let mut held = Held::default();
    for answer in link.dump(kind(message::GETTABLE), &body(nfproto(family), &Attrs::new()))? {
        let content = answer.body.get(4..).unwrap_or_default();
        let flags = attrs::be32(content, 2).unwrap_or_default();
        match attrs::text(content, 1) {
            Some(TABLE) => {
                held.present = true;
                (held.owner, held.persist) = (flags & 2 != 0, flags & 4 != 0);
            }
            Some(ANCHOR) => held.anchored = true,
            Some(STAND_IN) => held.stood_in = true,
            Some(_) | None => {}
        }
    }
    if !held.present {
        return Ok(held);
    }
    for answer in link.dump(kind(message::GETCHAIN), &body(nfproto(family), &Attrs::new()))? {
        let content = answer.body.get(4..).unwrap_or_default();
        let Some(name) = attrs::text(content, 3).filter(|_| attrs::text(content, 1) == Some(TABLE)) else { continue };
        if name.starts_with(MARKER) {
            held.layout = Some(name.to_owned());
        }
        held.chains.extend(ChainName::parse(name));
    }
    let rules = link.dump(kind(message::GETRULE), &body(nfproto(family), &table_attrs(TABLE)))?;
    let ours = |rule: &&super::netlink::Message| attrs::text(rule.body.get(4..).unwrap_or_default(), 1) == Some(TABLE);
    held.rules = rules.iter().filter(ours).count();
    Ok(held)
}

impl Held {
    /// Whether the static part is what this program makes with these options.
    pub(super) fn is_ours(&self, family: IpFamily, options: &Options, owned: bool) -> bool {
        let dynamic = self.chains.iter().map(|name| dynamic_chain(family, *name, options).rules.len());
        let rules: usize = static_chains(family, options).iter().map(|chain| chain.rules.len()).chain(dynamic).sum();
        self.layout.as_ref() == Some(&marker(family, options)) && self.rules == rules && self.persist == owned
    }
}

/// What makes the tables of one family, or takes them over where they are `ours`
/// ([`Held::is_ours`]).
pub(super) fn install(held: &Held, ours: bool, family: IpFamily, options: &Options, owned: bool) -> Stages {
    let flags = if owned { OWNED } else { 0 };
    let mut stages = Stages::default();
    if ours {
        stages.ahead.push(new_table(TABLE, family, flags));
    } else {
        stages = static_ops(TABLE, family, options, flags);
        if held.present {
            stages.ahead.insert(0, delete_table(TABLE, family));
        }
    }
    if !held.anchored {
        // No flags: nobody owns it, and nft 1.0.6 cannot read back what it prints of `persist`.
        let mut anchor = vec![new_table(ANCHOR, family, 0)];
        anchor.extend(new_chain(ANCHOR, family, &anchor_chain(family)));
        stages.ahead.splice(0..0, anchor);
    }
    stages
}

/// An element as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) data: Data,
    /// Of an entry that packets made: how long it lives, and how long still.
    pub(super) timeout_ms: Option<u64>,
    pub(super) expires_ms: Option<u64>,
    /// Packets that found it, and their bytes.
    pub(super) counted: (u64, u64),
}

/// Every element of a set, in the order of the kernel.
pub(super) fn read_elements(link: &mut Link, family: IpFamily, set: SetName) -> io::Result<Vec<Found>> {
    let mut request = table_attrs(TABLE);
    request.text(2, set.as_str());
    let mut found = Vec::new();
    for answer in link.dump(kind(message::GETSETELEM), &body(nfproto(family), &request))? {
        let content = answer.body.get(4..).unwrap_or_default();
        let list = attrs::find(content, 3).unwrap_or_default();
        found.extend(attrs::read(list).filter_map(|(_, element)| read_element(element, family, set)));
    }
    Ok(found)
}

fn read_element(element: &[u8], family: IpFamily, set: SetName) -> Option<Found> {
    let bytes = |kind: u16| Some(attrs::find(attrs::find(element, kind)?, 1)?.to_vec());
    let data = match attrs::find(element, 2) {
        None => Data::Nothing,
        Some(data) => match Verdict::read(data) {
            Some(verdict) => Data::Verdict(verdict),
            None => Data::Bytes(attrs::find(data, 1).unwrap_or_default().to_vec()),
        },
    };
    let slot = Slot { family, set, key: Key { start: bytes(1)?, end: bytes(10) } };
    let counter = attrs::find(element, 7).and_then(|expr| attrs::find(expr, 2)).unwrap_or_default();
    let counted = (attrs::be64(counter, 2).unwrap_or_default(), attrs::be64(counter, 1).unwrap_or_default());
    Some(Found { slot, data, timeout_ms: attrs::be64(element, 4), expires_ms: attrs::be64(element, 5), counted })
}

/// Every element of a set, by its place.
pub(super) fn read_set(link: &mut Link, family: IpFamily, set: SetName) -> io::Result<BTreeMap<Slot, Data>> {
    Ok(read_elements(link, family, set)?.into_iter().map(|found| (found.slot, found.data)).collect())
}

/// The frontends the kernel knows, of whatever version of us; none where there is no table.
pub(super) fn read_frontends(link: &mut Link, family: IpFamily) -> io::Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for set in [SetName::Services, SetName::NodePorts] {
        match read_set(link, family, set) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
            found => slots.extend(found?.into_keys()),
        }
    }
    Ok(slots)
}

/// The operations of an edit, by what may take effect apart.
pub(super) fn edit_stages(edit: &Edit, options: &Options) -> Stages {
    let [ahead, switch, after] = edit.stages().map(|stage| edit_ops(&stage, options));
    Stages { ahead, switch, after }
}

/// The operations of an edit.
pub(super) fn edit_ops(edit: &Edit, options: &Options) -> Vec<Op> {
    edit_ops_of(TABLE, edit, options)
}

fn edit_ops_of(table: &str, edit: &Edit, options: &Options) -> Vec<Op> {
    let mut ops = Vec::new();
    for (family, name) in edit.chains_added() {
        let chain = dynamic_chain(family, name, options);
        ops.extend(new_chain(table, family, &if table == STAND_IN { before_ours(chain) } else { chain }));
    }
    ops.extend(element_ops(table, message::DELSETELEM, edit.removed().map(|slot| (slot, None))));
    ops.extend(element_ops(table, message::NEWSETELEM, edit.added().map(|(slot, data)| (slot, Some(data)))));
    for (family, name) in edit.chains_removed() {
        ops.extend(remove_chain(table, family, &name.to_string()));
    }
    ops
}

pub(super) fn element_ops<'a>(
    table: &str,
    message: u16,
    elements: impl Iterator<Item = (&'a Slot, Option<&'a Data>)>,
) -> Vec<Op> {
    listed(table, message, elements.map(|(slot, data)| ((slot.family, slot.set), element(slot, data))))
}

/// Puts entries that packets made in another table, with the time they have left.
pub(super) fn entry_ops(table: &str, entries: &[Found]) -> Vec<Op> {
    let entry = |found: &Found| {
        let mut a = element(&found.slot, Some(&found.data));
        a.be64(4, found.timeout_ms.unwrap_or_default()).be64(5, found.expires_ms.unwrap_or_default());
        ((found.slot.family, found.slot.set), a)
    };
    listed(table, message::NEWSETELEM, entries.iter().map(entry))
}

fn listed(table: &str, message: u16, elements: impl Iterator<Item = ((IpFamily, SetName), Attrs)>) -> Vec<Op> {
    let mut lists: Vec<((IpFamily, SetName), Attrs)> = Vec::new();
    for (at, element) in elements {
        let fits = |list: &&mut ((IpFamily, SetName), Attrs)| list.0 == at && list.1.len() < ELEMENTS_BYTES_MAX;
        match lists.last_mut().filter(fits) {
            Some((_, list)) => drop(list.nest(1, &element)),
            None => {
                let mut list = Attrs::new();
                list.nest(1, &element);
                lists.push((at, list));
            }
        }
    }
    let verb = if message == message::NEWSETELEM { "add" } else { "delete" };
    let op = |((family, set), list): ((IpFamily, SetName), Attrs)| {
        let mut a = table_attrs(table);
        a.text(2, set.as_str()).nest(3, &list);
        let flags = if message == message::NEWSETELEM { CREATE } else { 0 };
        let what = format!("{verb} element {} {table} {}", word(family), set.as_str());
        Op::new(message, flags, nfproto(family), a, what)
    };
    lists.into_iter().map(op).collect()
}

fn element(slot: &Slot, data: Option<&Data>) -> Attrs {
    let wrap = |bytes: &[u8]| {
        let mut value = Attrs::new();
        value.bytes(1, bytes);
        value
    };
    let mut a = Attrs::new();
    a.nest(1, &wrap(&slot.key.start));
    if let Some(end) = &slot.key.end {
        a.nest(10, &wrap(end));
    }
    match data {
        None | Some(Data::Nothing) => {}
        Some(Data::Verdict(verdict)) => drop(a.nest(2, &verdict.attrs())),
        Some(Data::Bytes(bytes)) => drop(a.nest(2, &wrap(bytes))),
    }
    a
}

pub(super) use super::netlink::batch::message as messages;
