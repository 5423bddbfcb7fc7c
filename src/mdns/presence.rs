//! What we are on one link: the names that are ours there, or are to be, and when each of
//! their records is said next. Pure.
//!
//! A name is probed for, announced, and held (RFC 6762 section 8). Until it is announced
//! nothing is answered of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use hickory_proto::rr::Name;

use super::answer::{Budget, Deferred};
use super::link::Link;
use super::packet;
use super::record::{A, AAAA, NSEC, Named, PTR, Record, SRV, TXT, wire};
use crate::model::{IpFamily, ObjectKey};

/// Time since the start: nothing here asks a clock.
pub(super) type Moment = Duration;

/// Probes before a name is ours, and the pause after each (section 8.1).
const PROBES: u8 = 3;
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// Announcements, and the pause between them (section 8.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCEMENT_PAUSE: Duration = Duration::from_secs(1);

/// A packet that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) link: u32,
    pub(super) family: IpFamily,
    /// Absent for the group.
    pub(super) to: Option<SocketAddr>,
    pub(super) bytes: Vec<u8>,
}

/// What one step of the machine is given.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Moment,
    pub(super) rng: &'a mut Rng,
    pub(super) out: &'a mut Vec<Outgoing>,
    /// When something is due next.
    pub(super) wake: &'a mut Option<Moment>,
}

impl Turn<'_> {
    /// Something is due at a moment.
    pub(super) fn touch(&mut self, at: Moment) {
        *self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// A moment within a range of milliseconds from now.
    pub(super) fn after(&mut self, millis: std::ops::RangeInclusive<u64>) -> Moment {
        self.now + Duration::from_millis(self.rng.u64(millis))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Others are asked whether they have it; the next time at a moment.
    Probing { sent: u8, at: Moment },
    /// Others are told of it.
    Announcing { sent: u8, at: Moment },
    /// It is ours.
    Held,
}

impl Stage {
    /// When it goes on.
    fn at(self) -> Option<Moment> {
        match self {
            Stage::Probing { at, .. } | Stage::Announcing { at, .. } => Some(at),
            Stage::Held => None,
        }
    }
}

/// A record and when it is said, by family.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) record: Record,
    /// When all were told last.
    pub(super) sent: [Option<Moment>; 2],
    /// When all are told next.
    pub(super) due: [Option<Moment>; 2],
}

/// A name of ours.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) service: ObjectKey,
    pub(super) host: Option<Name>,
    pub(super) lines: Vec<Line>,
    pub(super) stage: Stage,
}

/// A record, as the name it comes with and its place there.
pub(super) type Place = (Name, usize);

/// One link.
#[derive(Debug)]
pub(super) struct Presence {
    pub(super) link: Link,
    pub(super) names: BTreeMap<Name, Owned>,
    of: BTreeMap<ObjectKey, Vec<Name>>,
    /// Whose records a name has that is not ours alone.
    pub(super) shared: BTreeMap<Name, BTreeSet<Name>>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) budget: Budget,
}

pub(super) fn index(family: IpFamily) -> usize {
    match family {
        IpFamily::V4 => 0,
        IpFamily::V6 => 1,
    }
}

impl Owned {
    /// Whether others may be told.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.stage, Stage::Probing { .. })
    }

    fn was_announced(&self) -> bool {
        matches!(self.stage, Stage::Held | Stage::Announcing { sent: 1.., .. })
    }

    /// Whether another's record of this type would contradict us: a name with addresses,
    /// or with a port, is somebody's whole.
    pub(super) fn claims(&self, kind: u16) -> bool {
        if self.host.is_none() { matches!(kind, A | AAAA) } else { matches!(kind, SRV | TXT) }
    }

    /// Those that are nobody else's and are told; denials are only answers.
    pub(super) fn unique(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().map(|line| &line.record).filter(|record| record.unique && record.kind != NSEC)
    }

    fn told(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.record.kind != NSEC)
    }
}

impl Line {
    fn new(record: Record) -> Line {
        Line { record, sent: [None; 2], due: [None; 2] }
    }

    /// Is said to all at a moment, or as soon after as the pause since the last time allows.
    pub(super) fn schedule(&mut self, family: IpFamily, at: Moment, pause: Duration) -> Moment {
        let [sent, due] = [self.sent, self.due].map(|both| both.get(index(family)).copied().flatten());
        let at = sent.map_or(at, |sent| at.max(sent + pause));
        let at = due.map_or(at, |due| due.min(at));
        if let Some(due) = self.due.get_mut(index(family)) {
            *due = Some(at);
        }
        at
    }
}

impl Presence {
    pub(super) fn new(link: Link) -> Presence {
        Presence {
            link,
            names: BTreeMap::new(),
            of: BTreeMap::new(),
            shared: BTreeMap::new(),
            deferred: Vec::new(),
            budget: Budget::default(),
        }
    }

    /// Makes a Service what it is to be here; new names are probed for from a moment on.
    pub(super) fn set(&mut self, turn: &mut Turn<'_>, service: &ObjectKey, wanted: Vec<Named>, probe_at: Moment) {
        let mut over = Vec::new();
        for name in self.of.remove(service).unwrap_or_default() {
            if wanted.iter().all(|named| named.name != name) {
                over.extend(self.remove(&name));
            }
        }
        let names: Vec<Name> = wanted.iter().map(|named| named.name.clone()).collect();
        for named in wanted {
            over.extend(self.put(turn, service, named, probe_at));
        }
        if !names.is_empty() {
            self.of.insert(service.clone(), names);
        }
        self.farewell(turn, over);
    }

    /// Takes a name, or its new records, and answers those that are over.
    fn put(&mut self, turn: &mut Turn<'_>, service: &ObjectKey, named: Named, probe_at: Moment) -> Vec<Record> {
        let Named { name, host, records } = named;
        let before = self.names.remove(&name);
        let (mut stage, mut over) = (Stage::Probing { sent: 0, at: probe_at }, Vec::new());
        let mut lines: Vec<Line> = records.into_iter().map(Line::new).collect();
        if let Some(before) = before {
            let same = before.lines.iter().map(|line| &line.record).eq(lines.iter().map(|line| &line.record));
            if same {
                self.names.insert(name, before);
                return over;
            }
            stage = before.stage;
            if before.is_answered() {
                // Others drop what is over by the cache-flush bit of what there is now.
                let replaced = |old: &Record| lines.iter().any(|line| line.record.kind == old.kind);
                over.extend(before.told().map(|(_, line)| line.record.clone()).filter(|old| !replaced(old)));
                stage = Stage::Announcing { sent: 0, at: turn.now };
            }
            for line in &mut lines {
                if let Some(known) = before.lines.iter().find(|known| known.record == line.record) {
                    *line = known.clone();
                }
            }
        }
        for line in lines.iter().filter(|line| !line.record.unique) {
            self.shared.entry(line.record.owner.clone()).or_default().insert(name.clone());
        }
        turn.touch(stage.at().unwrap_or(turn.now));
        self.names.insert(name, Owned { service: service.clone(), host, lines, stage });
        over
    }

    /// Gives a name up, and answers what others were told of it.
    fn remove(&mut self, name: &Name) -> Vec<Record> {
        let Some(owned) = self.names.remove(name) else { return Vec::new() };
        for line in owned.lines.iter().filter(|line| !line.record.unique) {
            if let Some(with) = self.shared.get_mut(&line.record.owner) {
                with.remove(name);
                if with.is_empty() {
                    self.shared.remove(&line.record.owner);
                }
            }
        }
        if owned.was_announced() { owned.told().map(|(_, line)| line.record.clone()).collect() } else { Vec::new() }
    }

    /// Tells all that these are over, but for what another name of ours says too.
    fn farewell(&self, turn: &mut Turn<'_>, mut over: Vec<Record>) {
        let mut seen: Vec<Record> = Vec::new();
        over.retain(|record| {
            let fresh = !self.is_said(record) && !seen.contains(record);
            if fresh && !record.unique {
                seen.push(record.clone());
            }
            fresh
        });
        if over.is_empty() {
            return;
        }
        for family in self.link.families() {
            for bytes in packet::goodbyes(&over) {
                turn.out.push(Outgoing { link: self.link.index, family, to: None, bytes });
            }
        }
    }

    /// Whether others are told this, by whatever name of ours.
    pub(super) fn is_said(&self, record: &Record) -> bool {
        let own = self.names.get(&record.owner).into_iter();
        let with = self.shared.get(&record.owner).into_iter().flatten().filter_map(|name| self.names.get(name));
        own.chain(with)
            .filter(|owned| owned.is_answered())
            .any(|owned| owned.lines.iter().any(|line| line.record.says_the_same(record)))
    }

    /// Whether this is, or is to be, a record of a name of ours.
    pub(super) fn has_or_wants(&self, record: &Record) -> bool {
        let owned = self.names.get(&record.owner);
        owned.is_some_and(|owned| owned.lines.iter().any(|line| line.record.says_the_same(record)))
    }

    /// Does what is due, and answers the Services whose names became ours.
    pub(super) fn wake(&mut self, turn: &mut Turn<'_>) -> BTreeSet<ObjectKey> {
        let (mut probes, mut announced, mut settled) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (name, owned) in &mut self.names {
            if let Stage::Probing { sent, at } = owned.stage
                && at <= turn.now
            {
                if sent < PROBES {
                    probes.push(name.clone());
                    owned.stage = Stage::Probing { sent: sent + 1, at: turn.now + PROBE_PAUSE };
                } else {
                    settled.insert(owned.service.clone());
                    owned.stage = Stage::Announcing { sent: 0, at: turn.now };
                }
            }
            if let Stage::Announcing { sent, at } = owned.stage
                && at <= turn.now
            {
                announced.extend(owned.told().map(|(place, _)| (name.clone(), place)));
                let (sent, at) = (sent + 1, turn.now + ANNOUNCEMENT_PAUSE);
                owned.stage = if sent < ANNOUNCEMENTS { Stage::Announcing { sent, at } } else { Stage::Held };
            }
        }
        self.probe(turn, &probes);
        let mut answers = self.due(turn.now);
        self.take_deferred(turn, &mut answers);
        for (family, answers) in IpFamily::BOTH.into_iter().zip(answers) {
            self.say(turn, family, &announced.iter().cloned().chain(answers).collect());
        }
        if let Some(next) = self.next() {
            turn.touch(next);
        }
        settled
    }

    fn probe(&self, turn: &mut Turn<'_>, names: &[Name]) {
        let with = |name| self.names.get_key_value(name).map(|(name, owned)| (name, owned.unique().collect()));
        let names: Vec<(&Name, Vec<&Record>)> = names.iter().filter_map(with).collect();
        let packets = packet::probes(&names);
        for family in self.link.families() {
            let out = |bytes: &Vec<u8>| Outgoing { link: self.link.index, family, to: None, bytes: bytes.clone() };
            turn.out.extend(packets.iter().map(out));
        }
    }

    /// What is due, by family.
    fn due(&self, now: Moment) -> [BTreeSet<Place>; 2] {
        let mut found = [BTreeSet::new(), BTreeSet::new()];
        for (name, owned) in self.names.iter().filter(|(_, owned)| owned.is_answered()) {
            for (place, line) in owned.lines.iter().enumerate() {
                for (answers, due) in found.iter_mut().zip(line.due) {
                    if due.is_some_and(|due| due <= now) {
                        answers.insert((name.clone(), place));
                    }
                }
            }
        }
        found
    }

    /// Says records to all of a family.
    fn say(&mut self, turn: &mut Turn<'_>, family: IpFamily, places: &BTreeSet<Place>) {
        let mut said: BTreeMap<(&Name, u16), Vec<&Record>> = BTreeMap::new();
        let mut answers: Vec<&Record> = Vec::new();
        for record in places.iter().filter_map(|place| self.record(place)) {
            // What several of our names say is said once.
            let known = said.entry((&record.owner, record.kind)).or_default();
            if !known.contains(&record) {
                known.push(record);
                answers.push(record);
            }
        }
        if self.link.has(family) {
            let additionals = self.additionals(places);
            let additionals: Vec<&Record> = additionals.iter().filter_map(|place| self.record(place)).collect();
            for bytes in packet::responses(&answers, &additionals) {
                turn.out.push(Outgoing { link: self.link.index, family, to: None, bytes });
            }
        }
        for (name, place) in places {
            let line = self.names.get_mut(name).and_then(|owned| owned.lines.get_mut(*place));
            let Some(line) = line else { continue };
            if let (Some(sent), Some(due)) = (line.sent.get_mut(index(family)), line.due.get_mut(index(family))) {
                (*sent, *due) = (Some(turn.now), None);
            }
        }
    }

    pub(super) fn record(&self, (name, place): &Place) -> Option<&Record> {
        Some(&self.names.get(name)?.lines.get(*place)?.record)
    }

    /// What whoever asked for these asks next (RFC 6763 section 12).
    pub(super) fn additionals(&self, places: &BTreeSet<Place>) -> Vec<Place> {
        let mut found = BTreeSet::new();
        let all = |name: &Name, found: &mut BTreeSet<Place>| {
            let lines = self.names.get(name).map(|owned| owned.lines.as_slice()).unwrap_or_default();
            let unique = lines.iter().enumerate().filter(|(_, line)| line.record.unique);
            found.extend(unique.map(|(place, _)| (name.clone(), place)));
        };
        for (name, place) in places {
            let Some(owned) = self.names.get(name) else { continue };
            let Some(line) = owned.lines.get(*place) else { continue };
            // Which kinds there are leads to none of them.
            if line.record.kind == PTR && *line.record.data != *wire(name) {
                continue;
            }
            all(name, &mut found);
            if let Some(host) = owned.host.as_ref().filter(|_| line.record.kind != TXT) {
                all(host, &mut found);
            }
        }
        found.difference(places).cloned().collect()
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Moment> {
        let names = self.names.values().flat_map(|owned| {
            let due = owned.lines.iter().filter(|_| owned.is_answered()).flat_map(|line| line.due).flatten();
            owned.stage.at().into_iter().chain(due)
        });
        names.chain(self.deferred.iter().map(|deferred| deferred.at)).min()
    }

    /// Probes for a name again, from a moment on.
    pub(super) fn probe_again(&mut self, turn: &mut Turn<'_>, name: &Name, at: Moment) {
        if let Some(owned) = self.names.get_mut(name) {
            owned.stage = Stage::Probing { sent: 0, at };
            for line in &mut owned.lines {
                line.due = [None; 2];
            }
            turn.touch(at);
        }
    }
}
