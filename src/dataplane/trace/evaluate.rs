//! Follows a packet through the chains of one hook, by the bytes of the rules
//! themselves. Pure.
//!
//! What cannot be computed (a limit, a match of an iptables module) makes a rule
//! one that may match: it is reported where it would stop the packet, and the
//! packet goes on.

use std::net::IpAddr;

use super::packet::Packet;
use super::registers::Registers;
use super::xt;
use crate::dataplane::netlink::attrs::{be32, find, read, text};
use crate::dataplane::ruleset::{Chain, Ruleset, Table};
use crate::dataplane::table::address;

/// Jumps within jumps; the kernel allows 16.
const DEPTH_MAX: usize = 16;

/// What the box knows besides its rules.
pub(super) trait Surroundings {
    /// The kernel's number of the type of an address; `link` asks for that link alone.
    fn address_type(&self, addr: IpAddr, link: Option<u32>) -> u32;
    /// The link by which the box reaches an address, 0 for none.
    fn way_out(&self, addr: IpAddr) -> u32;
    /// A link's name.
    fn link_name(&self, index: u32) -> &str;
    /// The address that packets leave a link with.
    fn link_addr(&self, index: u32, v4: bool) -> Option<IpAddr>;
}

/// Something a rule did that tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// `ip edgesvc`, the chain, and the rule's handle; 0 for a policy.
    pub(super) table: String,
    pub(super) chain: String,
    pub(super) handle: u64,
    pub(super) what: What,
    /// Sets in which the rule found the packet.
    pub(super) sets: Vec<String>,
}

/// What it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A verdict map leads to a chain.
    Led(String),
    Dropped,
    Rejected,
    /// By the chain's policy.
    Policy,
    /// The destination is rewritten, by a choice among so many.
    Translated,
    /// The source is rewritten, to the address of the link on the way out or to this one.
    Masqueraded(Option<IpAddr>),
    /// Handed to a program (queue) or to a proxy: out of sight.
    Handed,
    /// The same may have happened: something in the rule cannot be computed.
    Maybe(Box<What>, String),
}

/// How a hook ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Passed,
    Stopped,
}

/// One walk: the rules, the choice among endpoints, and what was seen.
pub(super) struct Walk<'a> {
    pub(super) ruleset: &'a Ruleset,
    pub(super) around: &'a dyn Surroundings,
    /// What `numgen` gives.
    pub(super) choice: u32,
    /// Among how many the first choice was.
    pub(super) choices: u32,
    pub(super) events: Vec<Event>,
}

/// How a chain ends.
enum Chained {
    /// The end of the chain, or `return`.
    Through,
    Accepted,
    Stopped,
}

/// What a rule does to the walk.
enum Ruled {
    Next,
    Return,
    Accepted,
    Stopped,
    Jump(String),
    Goto(String),
}

/// The rule being read.
pub(super) struct Reading<'t> {
    table: &'t Table,
    chain: &'t str,
    handle: u64,
    pub(super) registers: Registers,
    /// What could not be computed.
    pub(super) doubt: Option<String>,
    sets: Vec<String>,
}

impl Walk<'_> {
    /// Sends the packet through a hook.
    pub(super) fn hook(&mut self, hook: u32, packet: &mut Packet) -> End {
        let ruleset = self.ruleset;
        let family = if packet.is_v4() { 2 } else { 10 };
        let mut bases: Vec<(i32, bool, &Table, &Chain)> = Vec::new();
        for table in ruleset.tables.iter().filter(|table| table.family == family || table.family == 1) {
            for chain in &table.chains {
                if let Some(place) = chain.hook.as_ref().filter(|place| place.number == hook) {
                    bases.push((place.priority, place.nat, table, chain));
                }
            }
        }
        bases.sort_by_key(|(priority, ..)| *priority);
        let mut translated = false;
        for (_, nat, table, chain) in bases {
            // Only a connection's first packet meets NAT chains, and the first that translates decides.
            if nat && (packet.answer || translated) {
                continue;
            }
            let before = packet.clone();
            let drops = chain.hook.as_ref().is_some_and(|place| place.drops);
            match self.chain(table, chain, packet, 0, None) {
                Chained::Stopped => return End::Stopped,
                Chained::Through if drops => {
                    self.events.push(event(table, &chain.name, 0, What::Policy, Vec::new()));
                    return End::Stopped;
                }
                Chained::Through | Chained::Accepted => {}
            }
            translated |= nat && before != *packet;
        }
        End::Passed
    }

    fn chain(
        &mut self,
        table: &Table,
        chain: &Chain,
        packet: &mut Packet,
        depth: usize,
        doubt: Option<&str>,
    ) -> Chained {
        if depth > DEPTH_MAX {
            return Chained::Through;
        }
        for rule in &chain.rules {
            let mut reading = Reading {
                table,
                chain: &chain.name,
                handle: rule.handle,
                registers: Registers::default(),
                doubt: doubt.map(str::to_owned),
                sets: Vec::new(),
            };
            let (name, gone) = match self.rule(&mut reading, &rule.body, packet) {
                Ruled::Next => continue,
                Ruled::Return if reading.doubt.is_some() => continue,
                Ruled::Return => return Chained::Through,
                Ruled::Accepted => return Chained::Accepted,
                Ruled::Stopped => return Chained::Stopped,
                Ruled::Jump(name) => (name, false),
                Ruled::Goto(name) => (name, true),
            };
            let doubt = reading.doubt.clone();
            let Some(next) = table.chain(&name) else { continue };
            match self.chain(table, next, packet, depth + 1, doubt.as_deref()) {
                // In doubt nothing has happened yet.
                Chained::Through if gone && doubt.is_none() => return Chained::Through,
                Chained::Through => {}
                end => return end,
            }
        }
        Chained::Through
    }

    fn rule(&mut self, reading: &mut Reading<'_>, body: &[u8], packet: &mut Packet) -> Ruled {
        for (_, expr) in read(body) {
            let name = text(expr, 1).unwrap_or_default();
            let data = find(expr, 2).unwrap_or_default();
            match self.expr(reading, name, data, packet) {
                Step::On => {}
                Step::Off => return Ruled::Next,
                Step::Doubt(why) => drop(reading.doubt.get_or_insert(why)),
                Step::Verdict(verdict) => return self.verdict(reading, verdict),
                Step::Does(what) => return self.does(reading, what, packet),
            }
        }
        Ruled::Next
    }

    fn verdict(&mut self, reading: &mut Reading<'_>, (code, chain): (i32, Option<String>)) -> Ruled {
        match (code, chain) {
            (0, _) => self.stop(reading, What::Dropped),
            // In doubt: later rules may still stop it.
            (1, _) if reading.doubt.is_some() => Ruled::Next,
            (1, _) => Ruled::Accepted,
            (code @ (-3 | -4), Some(chain)) => {
                // A set that leads somewhere tells; a plain jump does not.
                let sets = std::mem::take(&mut reading.sets);
                if !sets.is_empty() {
                    let what = What::Led(chain.clone());
                    self.events.push(event(reading.table, reading.chain, reading.handle, what, sets));
                }
                if code == -3 { Ruled::Jump(chain) } else { Ruled::Goto(chain) }
            }
            (-5, _) => Ruled::Return,
            (3.., _) => self.stop(reading, What::Handed),
            _ => Ruled::Next,
        }
    }

    /// Ends the packet's way, or says that it may end here.
    fn stop(&mut self, reading: &mut Reading<'_>, what: What) -> Ruled {
        let sets = std::mem::take(&mut reading.sets);
        if let Some(doubt) = &reading.doubt {
            let what = What::Maybe(Box::new(what), doubt.clone());
            self.events.push(event(reading.table, reading.chain, reading.handle, what, sets));
            return Ruled::Next;
        }
        self.events.push(event(reading.table, reading.chain, reading.handle, what, sets));
        Ruled::Stopped
    }

    fn does(&mut self, reading: &mut Reading<'_>, what: What, packet: &mut Packet) -> Ruled {
        if reading.doubt.is_some() || matches!(what, What::Rejected | What::Handed | What::Dropped) {
            return self.stop(reading, what);
        }
        if let What::Masqueraded(given) = what {
            packet.masqueraded = true;
            if let Some(addr) = given.or_else(|| self.around.link_addr(packet.oif, packet.is_v4())) {
                packet.source = addr;
            }
        }
        let sets = std::mem::take(&mut reading.sets);
        self.events.push(event(reading.table, reading.chain, reading.handle, what, sets));
        Ruled::Accepted
    }

    fn expr(&mut self, reading: &mut Reading<'_>, name: &str, data: &[u8], packet: &mut Packet) -> Step {
        match name {
            "counter" | "log" | "objref" | "notrack" | "last" | "flow_offload" | "dynset" => Step::On,
            "immediate" => match (be32(data, 1), find(data, 2)) {
                (Some(0), Some(value)) => verdict(value).map_or(Step::On, Step::Verdict),
                (Some(register), Some(value)) => reading.registers.write(register, find(value, 1)),
                _ => Step::Doubt("immediate".to_owned()),
            },
            "lookup" => self.lookup(reading, data),
            "meta" if find(data, 3).is_some() => {
                if be32(data, 2) == Some(3) {
                    let mark = reading.registers.read(be32(data, 3).unwrap_or_default(), 4);
                    packet.mark = mark.and_then(|bytes| bytes.try_into().ok()).map_or(packet.mark, u32::from_ne_bytes);
                }
                Step::On
            }
            "ct" if find(data, 4).is_some() => Step::On,
            // A payload that is written, not read.
            "payload" if find(data, 1).is_none() => Step::On,
            "meta" | "ct" | "payload" | "fib" | "numgen" => {
                let value = self.load(name, data, packet);
                reading.registers.write(be32(data, 1).unwrap_or_default(), value.as_deref())
            }
            "cmp" | "range" | "bitwise" | "byteorder" | "hash" => reading.registers.compute(name, data),
            "nat" => self.nat(reading, data, packet),
            "redir" => Step::Does(What::Handed),
            "masq" => Step::Does(What::Masqueraded(None)),
            "reject" => Step::Does(What::Rejected),
            "queue" | "tproxy" | "fwd" | "synproxy" => Step::Does(What::Handed),
            "match" => xt::matches(data, packet, self.around),
            "target" => xt::target(data),
            other => {
                // What it gives is not known either.
                let wrote = be32(data, 1).map(|register| reading.registers.write(register, None));
                wrote.map_or_else(|| Step::Doubt(other.to_owned()), |_| Step::On)
            }
        }
    }

    fn lookup(&mut self, reading: &mut Reading<'_>, data: &[u8]) -> Step {
        let name = text(data, 1).unwrap_or_default();
        let Some(set) = reading.table.set(name) else { return Step::Doubt(format!("set {name}")) };
        let register = be32(data, 2).unwrap_or_default();
        let key =
            set.elements.keys().next().map_or(Some(Vec::new()), |key| reading.registers.read(register, key.len()));
        let Some(key) = key else { return Step::Doubt(format!("set {name}")) };
        let found = set.find(&key);
        if found.is_none() && set.cut {
            return Step::Doubt(format!("set {name}, which is too large to be read"));
        }
        let not = be32(data, 5).unwrap_or_default() & 1 != 0;
        let Some(element) = found else { return if not { Step::On } else { Step::Off } };
        if not {
            return Step::Off;
        }
        reading.sets.push(name.to_owned());
        match (be32(data, 3), &element.data) {
            (Some(0), Some(value)) => verdict(value).map_or(Step::On, Step::Verdict),
            (Some(register), Some(value)) => reading.registers.write(register, find(value, 1)),
            _ => Step::On,
        }
    }

    fn nat(&mut self, reading: &mut Reading<'_>, data: &[u8], packet: &mut Packet) -> Step {
        let bytes = |kind: u16, len: usize| reading.registers.read(be32(data, kind)?, len);
        let addr = bytes(3, if packet.is_v4() { 4 } else { 16 });
        if be32(data, 1) != Some(1) {
            // A source address that is given is told like a masquerade.
            return Step::Does(What::Masqueraded(addr.as_deref().and_then(address)));
        }
        if reading.doubt.is_some() {
            return Step::Does(What::Translated);
        }
        let original = (packet.to, packet.port);
        if let Some(addr) = addr.as_deref().and_then(address) {
            packet.to = addr;
        }
        if let Some(port) = bytes(5, 2).and_then(|port| port.try_into().ok()) {
            packet.port = u16::from_be_bytes(port);
        }
        packet.original = Some(original);
        Step::Does(What::Translated)
    }

    fn load(&mut self, name: &str, data: &[u8], packet: &Packet) -> Option<Vec<u8>> {
        let key = be32(data, 2)?;
        match name {
            "payload" => {
                let header = match key {
                    1 => packet.network(),
                    2 => packet.transport(),
                    _ => return None,
                };
                let (from, len) = (usize::try_from(be32(data, 3)?).ok()?, usize::try_from(be32(data, 4)?).ok()?);
                header.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
            }
            "meta" => self.meta(key, packet),
            "ct" => ct(key, find(data, 3).and_then(<[u8]>::first) == Some(&0), packet),
            "fib" => self.fib(key, be32(data, 3)?, packet),
            _ => {
                let offset = be32(data, 4).unwrap_or_default();
                if self.choices == 0 && key > 1 {
                    self.choices = key;
                }
                Some((self.choice % key.max(1) + offset).to_ne_bytes().to_vec())
            }
        }
    }

    fn meta(&self, key: u32, packet: &Packet) -> Option<Vec<u8>> {
        let name = |index: u32| {
            let mut bytes = if index == 0 { Vec::new() } else { self.around.link_name(index).as_bytes().to_vec() };
            bytes.resize(16, 0);
            bytes
        };
        Some(match key {
            1 => u16::to_be_bytes(if packet.is_v4() { 0x0800 } else { 0x86dd }).to_vec(),
            3 => packet.mark.to_ne_bytes().to_vec(),
            4 => packet.iif.to_ne_bytes().to_vec(),
            5 => packet.oif.to_ne_bytes().to_vec(),
            6 => name(packet.iif),
            7 => name(packet.oif),
            15 => vec![if packet.is_v4() { 2 } else { 10 }],
            16 => vec![packet.protocol],
            // Sent to this host.
            19 => vec![0],
            _ => return None,
        })
    }

    fn fib(&self, result: u32, flags: u32, packet: &Packet) -> Option<Vec<u8>> {
        let addr = if flags & 1 != 0 { packet.source } else { packet.to };
        let link = match flags & (8 | 16) {
            8 => Some(packet.iif),
            16 => Some(packet.oif),
            _ => None,
        };
        let found = match result {
            3 => self.around.address_type(addr, link),
            1 => {
                let out = self.around.way_out(addr);
                if link.is_none_or(|link| link == out) { out } else { 0 }
            }
            _ => return None,
        };
        // Asked for presence only.
        Some(if flags & 32 != 0 { vec![u8::from(found != 0)] } else { found.to_ne_bytes().to_vec() })
    }
}

/// What one expression does.
pub(super) enum Step {
    On,
    Off,
    Doubt(String),
    Verdict((i32, Option<String>)),
    Does(What),
}

fn ct(key: u32, original: bool, packet: &Packet) -> Option<Vec<u8>> {
    use crate::dataplane::table::octets;
    let (to, port) = packet.original.unwrap_or((packet.to, packet.port));
    Some(match key {
        0 => packet.state().to_ne_bytes().to_vec(),
        1 => vec![u8::from(packet.answer)],
        2 => packet.status().to_ne_bytes().to_vec(),
        3 => vec![0; 4],
        12 if original => port.to_be_bytes().to_vec(),
        9 | 20 | 22 if original => octets(to),
        8 | 19 | 21 if original => octets(packet.source),
        10 => vec![packet.protocol],
        _ => return None,
    })
}

/// The verdict in a data attribute.
fn verdict(data: &[u8]) -> Option<(i32, Option<String>)> {
    let verdict = find(data, 2)?;
    let code = i32::from_be_bytes(find(verdict, 1)?.try_into().ok()?);
    Some((code, text(verdict, 2).map(str::to_owned)))
}

fn event(table: &Table, chain: &str, handle: u64, what: What, sets: Vec<String>) -> Event {
    Event { table: table.title(), chain: chain.to_owned(), handle, what, sets }
}
