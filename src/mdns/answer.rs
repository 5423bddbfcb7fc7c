//! What a question is answered, to whom and when (RFC 6762 sections 6 and 7). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name;

use super::PORT;
use super::packet::{self, Incoming, Question};
use super::presence::{Moment, Outgoing, Owned, Place, Presence, Turn, index};
use super::record::{ANY, NSEC, Record};
use crate::model::IpFamily;

/// A record is said to all once in so long; sooner only to whoever is about to take its
/// name.
pub(super) const SAY_PAUSE: Duration = Duration::from_secs(1);
const DEFEND_PAUSE: Duration = Duration::from_millis(250);
/// How long an answer waits that others may give too, in milliseconds.
const SHARED_DELAY: std::ops::RangeInclusive<u64> = 20..=120;
/// How long it waits for what the asker knows already.
const KNOWN_DELAY: std::ops::RangeInclusive<u64> = 400..=500;
/// Askers who are waited for: beyond, answers are given that need not be.
const DEFERRED_MAX: usize = 32;
/// Packets a second to single askers of one link: far more than people cause, and too few
/// to flood a neighbour whose address was forged.
const DIRECT_PER_SECOND: u32 = 50;

/// Answers that wait: for the rest of what their asker knows, or a while because others may
/// answer too.
#[derive(Debug)]
pub(super) struct Deferred {
    asker: SocketAddr,
    /// They are for the asker alone.
    alone: bool,
    family: IpFamily,
    pub(super) at: Moment,
    places: BTreeSet<Place>,
}

/// Packets that may yet go to single askers in this second.
#[derive(Debug, Default)]
pub(super) struct Budget {
    since: Moment,
    used: u32,
}

impl Budget {
    fn take(&mut self, now: Moment) -> bool {
        if now >= self.since + Duration::from_secs(1) {
            *self = Budget { since: now, used: 0 };
        }
        self.used += 1;
        self.used <= DIRECT_PER_SECOND
    }
}

/// What the asker knows, with the seconds it will yet know it.
type Known<'a> = BTreeMap<(&'a Name, u16, &'a [u8]), u32>;

impl Presence {
    /// Answers a query, now or later.
    pub(super) fn query(&mut self, turn: &mut Turn<'_>, family: IpFamily, asker: SocketAddr, incoming: &Incoming) {
        let known: Known<'_> =
            incoming.answers.iter().map(|known| ((&known.owner, known.kind, &*known.data), known.ttl)).collect();
        if incoming.questions.is_empty() {
            self.hear_more(asker.ip(), &known);
            return;
        }
        let plain = asker.port() != PORT;
        let probe = !incoming.authorities.is_empty();
        let neighbour = self.link.is_neighbour(asker.ip());
        let (mut direct, mut to_all) = (BTreeSet::new(), BTreeSet::new());
        // Each question once: asked a thousand times it costs no more.
        for question in incoming.questions.iter().collect::<BTreeSet<&Question>>() {
            for place in self.matching(question) {
                let Some(record) = self.record(&place).filter(|record| !is_known(&known, record)) else { continue };
                let recent = self.is_recent(turn.now, family, &place, record.ttl);
                // A probe is answered to all: who else wants the name shall hear it too.
                let alone = plain || (question.unicast && neighbour && !probe && recent);
                if alone { &mut direct } else { &mut to_all }.insert(place);
            }
        }
        if plain {
            if neighbour {
                self.answer_plainly(turn, family, asker, incoming, &direct);
            }
            return;
        }
        if !self.is_ours(&direct) && self.deferred.len() < DEFERRED_MAX {
            let at = turn.after(SHARED_DELAY);
            turn.touch(at);
            self.deferred.push(Deferred { asker, alone: true, family, at, places: direct });
        } else if !direct.is_empty() && !self.answer_alone(turn, family, asker, &direct) {
            to_all.extend(direct);
        }
        if incoming.truncated && !probe && self.deferred.len() < DEFERRED_MAX {
            let at = turn.after(KNOWN_DELAY);
            turn.touch(at);
            self.deferred.push(Deferred { asker, alone: false, family, at, places: to_all });
            return;
        }
        self.answer_all(turn, family, &to_all, probe);
    }

    /// The records that answer a question; where a name of ours has none, the one that
    /// says so.
    fn matching(&self, question: &Question) -> Vec<Place> {
        let fits = |kind: u16| kind != NSEC && (kind == question.kind || question.kind == ANY);
        let places = |name: &Name, found: &mut Vec<Place>, wanted: &dyn Fn(&Record) -> bool| {
            let Some(owned) = self.names.get(name).filter(|owned| owned.is_answered()) else { return };
            let lines = owned.lines.iter().enumerate().filter(|(_, line)| wanted(&line.record));
            found.extend(lines.map(|(place, _)| (name.clone(), place)));
        };
        let mut found = Vec::new();
        if self.names.contains_key(&question.name) {
            places(&question.name, &mut found, &|record| record.unique && fits(record.kind));
            if found.is_empty() {
                places(&question.name, &mut found, &|record| record.kind == NSEC);
            }
        }
        for name in self.shared.get(&question.name).into_iter().flatten() {
            places(name, &mut found, &|record| record.owner == question.name && fits(record.kind));
        }
        found
    }

    /// Whether all were told within a quarter of a record's life.
    fn is_recent(&self, now: Moment, family: IpFamily, (name, place): &Place, ttl: u32) -> bool {
        let line = self.names.get(name).and_then(|owned| owned.lines.get(*place));
        let sent = line.and_then(|line| line.sent.get(index(family)).copied().flatten());
        sent.is_some_and(|sent| now < sent + Duration::from_secs(ttl.into()) / 4)
    }

    /// Whether nobody but us can have any of these.
    fn is_ours(&self, places: &BTreeSet<Place>) -> bool {
        places.iter().filter_map(|place| self.record(place)).all(|record| record.unique)
    }

    fn answer_all(&mut self, turn: &mut Turn<'_>, family: IpFamily, places: &BTreeSet<Place>, probe: bool) {
        // Nobody else answers for what is ours alone; otherwise all would speak at once.
        let at = if probe || self.is_ours(places) { turn.now } else { turn.after(SHARED_DELAY) };
        for (name, place) in places {
            let line = self.names.get_mut(name).and_then(|owned| owned.lines.get_mut(*place));
            if let Some(line) = line {
                turn.touch(line.schedule(family, at, if probe { DEFEND_PAUSE } else { SAY_PAUSE }));
            }
        }
    }

    /// Answers the asker alone, if it fits one packet: what is sent to an address that may
    /// be forged is little more than what was asked.
    fn answer_alone(
        &mut self,
        turn: &mut Turn<'_>,
        family: IpFamily,
        asker: SocketAddr,
        places: &BTreeSet<Place>,
    ) -> bool {
        let more = self.additionals(places);
        let mut packets = packet::responses(&self.records(places), &self.records(&more));
        match (packets.pop(), packets.is_empty()) {
            (Some(bytes), true) => {
                if self.budget.take(turn.now) {
                    turn.out.push(Outgoing { link: self.link.index, family, to: Some(asker), bytes });
                }
                true
            }
            _ => false,
        }
    }

    /// Answers a resolver that knows nothing of multicast.
    fn answer_plainly(
        &mut self,
        turn: &mut Turn<'_>,
        family: IpFamily,
        asker: SocketAddr,
        incoming: &Incoming,
        places: &BTreeSet<Place>,
    ) {
        if places.is_empty() || !self.budget.take(turn.now) {
            return;
        }
        let more = self.additionals(places);
        if let Some(bytes) = packet::legacy(incoming, &self.records(places), &self.records(&more)) {
            turn.out.push(Outgoing { link: self.link.index, family, to: Some(asker), bytes });
        }
    }

    fn records<'a>(&self, places: impl IntoIterator<Item = &'a Place>) -> Vec<&Record> {
        places.into_iter().filter_map(|place| self.record(place)).collect()
    }

    /// The rest of what an asker knows, who said that more follows.
    fn hear_more(&mut self, asker: IpAddr, known: &Known<'_>) {
        let names = &self.names;
        for deferred in self.deferred.iter_mut().filter(|deferred| deferred.asker.ip() == asker) {
            deferred.places.retain(|(name, place)| {
                let line = names.get(name).and_then(|owned| owned.lines.get(*place));
                line.is_some_and(|line| !is_known(known, &line.record))
            });
        }
    }

    /// Takes the answers that have waited long enough, by family.
    pub(super) fn take_deferred(&mut self, turn: &mut Turn<'_>, answers: &mut [BTreeSet<Place>; 2]) {
        let now = turn.now;
        let due: Vec<Deferred> = self.deferred.extract_if(.., |deferred| deferred.at <= now).collect();
        for Deferred { asker, alone, family, mut places, .. } in due {
            places.retain(|(name, _)| self.names.get(name).is_some_and(Owned::is_answered));
            if alone && (places.is_empty() || self.answer_alone(turn, family, asker, &places)) {
                continue;
            }
            for (name, place) in places {
                let Some(line) = self.names.get_mut(&name).and_then(|owned| owned.lines.get_mut(place)) else {
                    continue;
                };
                if line.schedule(family, now, SAY_PAUSE) <= now
                    && let Some(answers) = answers.get_mut(index(family))
                {
                    answers.insert((name, place));
                }
            }
        }
    }
}

/// Whether the asker knows it for half its life yet (section 7.1).
fn is_known(known: &Known<'_>, record: &Record) -> bool {
    known.get(&(&record.owner, record.kind, &*record.data)).is_some_and(|left| *left >= record.ttl / 2)
}
