//! The machine: which Services want which names, under which they are, and on which links.
//! Pure: packets and wishes in, packets and notices out, and when to be woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::link::Link;
use super::packet;
use super::presence::{Moment, Outgoing, Presence, Turn};
use super::record::{Record, names, shortened};
use super::{Notice, Numbers, PORT, Wanted};
use crate::desired::Advertised;
use crate::model::{IpFamily, ObjectKey};

/// Services that have a name on the LAN: a hundred times what a home or a machine shows,
/// and a bound for what there is to announce at once.
pub(super) const SERVICES_MAX: usize = 256;
/// How long the first probe waits at most, so that devices that are switched on together
/// do not all speak at once, in milliseconds.
const START_DELAY_MAX: u64 = 250;
/// Packets of ours that we know again when the network brings them back.
const ECHOES_MAX: usize = 64;
/// So many conflicts within a time make us slow (RFC 6762 section 8.1).
const CONFLICTS_MAX: u32 = 15;
const CONFLICTS_WITHIN: Duration = Duration::from_secs(10);
const CONFLICTS_PAUSE: Duration = Duration::from_secs(5);
/// A name that is contradicted twice within so long is given up.
const CONTRADICTED_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of the longest `-N` behind a name.
const NUMBER_BYTES_MAX: usize = 11;

/// A packet from the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) link: u32,
    pub(super) family: IpFamily,
    pub(super) source: SocketAddr,
    pub(super) bytes: &'a [u8],
}

/// A Service that wants a name.
#[derive(Debug)]
struct Claim {
    wanted: Arc<Advertised>,
    /// Which name it tries: the wanted one, or that with this number.
    number: u32,
    /// The number others were told of last.
    told: u32,
    conflicts: u32,
    since: Moment,
    /// When another said last that a name is its own which was ours.
    contradicted: Option<Moment>,
}

impl Claim {
    fn label(&self) -> String {
        let name = &self.wanted.name;
        match self.number {
            1 => name.to_string(),
            number => format!("{}-{number}", shortened(name, NUMBER_BYTES_MAX)),
        }
    }
}

/// Everything that is said on the LAN.
#[derive(Debug)]
pub(super) struct Responder {
    rng: Rng,
    claims: BTreeMap<ObjectKey, Claim>,
    /// Services beyond the limit, which are told so once.
    refused: BTreeSet<ObjectKey>,
    links: BTreeMap<u32, Presence>,
    echoes: VecDeque<u64>,
    out: Vec<Outgoing>,
    notices: Vec<Notice>,
    wake: Option<Moment>,
    numbers: Numbers,
}

impl Responder {
    pub(super) fn new(rng: Rng, numbers: Numbers) -> Responder {
        Responder {
            rng,
            claims: BTreeMap::new(),
            refused: BTreeSet::new(),
            links: BTreeMap::new(),
            echoes: VecDeque::new(),
            out: Vec::new(),
            notices: Vec::new(),
            wake: None,
            numbers,
        }
    }

    /// When to be woken next; never, if nothing is pending.
    pub(super) fn next(&self) -> Option<Moment> {
        self.wake
    }

    /// What is to be sent.
    pub(super) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        let out = std::mem::take(&mut self.out);
        self.numbers.sent.inc_by(out.len() as u64);
        for packet in &out {
            if self.echoes.len() == ECHOES_MAX {
                self.echoes.pop_front();
            }
            self.echoes.push_back(digest(&packet.bytes));
        }
        out
    }

    /// What the Services are to be told.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Makes what is said follow what is wanted. What is not wanted any more is taken back
    /// at once.
    pub(super) fn set_wanted(&mut self, now: Moment, wanted: &Wanted) {
        let at = self.start(now);
        // Names that are given up are free before others are taken.
        let is_over = |(service, claim): &(&ObjectKey, &Claim)| {
            wanted.get(*service).is_none_or(|wanted| wanted.name != claim.wanted.name)
        };
        let gone: Vec<ObjectKey> = self.claims.iter().filter(is_over).map(|(service, _)| service.clone()).collect();
        for service in gone {
            self.claims.remove(&service);
            self.sync(now, &service, at);
        }
        self.refused.retain(|service| wanted.contains_key(service));
        for (service, wanted) in wanted {
            let known = self.claims.get(service);
            if known.is_some_and(|claim| claim.wanted == *wanted) {
                continue;
            }
            if known.is_none() && self.claims.len() >= SERVICES_MAX {
                self.refuse(service);
                continue;
            }
            let new =
                Claim { wanted: Arc::clone(wanted), number: 1, told: 1, conflicts: 0, since: now, contradicted: None };
            self.claims.entry(service.clone()).or_insert(new).wanted = Arc::clone(wanted);
            self.refused.remove(service);
            self.step_aside(service);
            self.sync(now, service, at);
        }
    }

    /// Makes it follow the links there are, with their addresses.
    pub(super) fn set_links(&mut self, now: Moment, links: Vec<Link>) {
        let at = self.start(now);
        self.links.retain(|index, _| links.iter().any(|link| link.index == *index));
        for link in links {
            let index = link.index;
            match self.links.get_mut(&index) {
                Some(known) if known.link == link => continue,
                Some(known) => known.link = link,
                None => drop(self.links.insert(index, Presence::new(link))),
            }
            for service in self.claims.keys().cloned().collect::<Vec<_>>() {
                self.sync_on(now, index, &service, at);
            }
        }
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Moment) {
        let Responder { links, rng, out, wake, .. } = self;
        *wake = None;
        let mut settled = BTreeSet::new();
        for presence in links.values_mut() {
            settled.extend(presence.wake(&mut Turn { now, rng, out, wake }));
        }
        for service in settled {
            if let Some(claim) = self.claims.get_mut(&service) {
                claim.conflicts = 0;
            }
            self.tell_name(&service);
        }
    }

    /// Hears a packet.
    pub(super) fn receive(&mut self, now: Moment, arrival: &Arrival<'_>) {
        self.numbers.received.inc();
        // Our own, brought back by this link or another of the same network.
        if self.echoes.contains(&digest(arrival.bytes)) {
            return;
        }
        let Some(incoming) = packet::read(arrival.bytes) else {
            self.numbers.ignored.inc();
            return;
        };
        let Some(mut presence) = self.links.remove(&arrival.link) else { return };
        let Responder { links, rng, out, wake, .. } = self;
        let elsewhere = |record: &Record| links.values().any(|other| other.has_or_wants(record));
        let mut turn = Turn { now, rng, out, wake };
        let mut contradicted = BTreeSet::new();
        if !incoming.response {
            presence.probed(&mut turn, &incoming, &elsewhere);
            presence.query(&mut turn, arrival.family, arrival.source, &incoming);
        } else if arrival.source.port() == PORT {
            // Others are no answers of multicast DNS (section 6).
            contradicted = presence.response(&mut turn, arrival.family, &incoming, &elsewhere);
        }
        let mut renamed = BTreeMap::new();
        for name in contradicted {
            let Some(owned) = presence.names.get(&name) else { continue };
            let (service, answered) = (owned.service.clone(), owned.is_answered());
            self.numbers.conflicts.inc();
            let Some(claim) = self.claims.get_mut(&service) else { continue };
            let at = now + claim.conflict(now);
            if answered && claim.asks_again(now) {
                // Whoever still has it after another round of probes keeps it (section 9).
                let Responder { rng, out, wake, .. } = self;
                presence.probe_again(&mut Turn { now, rng, out, wake }, &name, at);
            } else {
                renamed.insert(service, at);
            }
        }
        self.links.insert(arrival.link, presence);
        for (service, at) in renamed {
            self.rename(&service);
            self.sync(now, &service, at);
        }
    }

    #[cfg(test)]
    pub(super) fn presences(&self) -> impl Iterator<Item = &Presence> {
        self.links.values()
    }

    fn start(&mut self, now: Moment) -> Moment {
        now + Duration::from_millis(self.rng.u64(..=START_DELAY_MAX))
    }

    fn rename(&mut self, service: &ObjectKey) {
        let Some(claim) = self.claims.get_mut(service) else { return };
        claim.number = claim.number.saturating_add(1);
        if claim.conflicts == CONFLICTS_MAX {
            let name = &claim.wanted.name;
            let note = format!("finds no free name on the LAN: others have {name}.local and those numbered after it");
            self.notices.push(Notice { service: service.clone(), reason: "NameConflict", note });
        }
        self.step_aside(service);
    }

    /// Takes a name that no other Service of this box has.
    fn step_aside(&mut self, service: &ObjectKey) {
        let others: BTreeSet<String> =
            self.claims.iter().filter(|(other, _)| *other != service).map(|(_, claim)| claim.label()).collect();
        if let Some(claim) = self.claims.get_mut(service) {
            while others.contains(&claim.label()) {
                claim.number = claim.number.saturating_add(1);
            }
        }
    }

    /// Says under which name a Service is now, if it is not the one that was said last.
    fn tell_name(&mut self, service: &ObjectKey) {
        let Some(claim) = self.claims.get_mut(service) else { return };
        if claim.told == claim.number {
            return;
        }
        claim.told = claim.number;
        let (name, label) = (&claim.wanted.name, claim.label());
        let note = format!("is {label}.local on the LAN: another has the name {name}.local");
        self.notices.push(Notice { service: service.clone(), reason: "NameConflict", note });
    }

    fn refuse(&mut self, service: &ObjectKey) {
        if self.refused.insert(service.clone()) {
            let note = format!("has no name on the LAN: {SERVICES_MAX} other Services have one");
            self.notices.push(Notice { service: service.clone(), reason: "TooManyNames", note });
        }
    }

    /// Makes a Service what it is to be, everywhere.
    fn sync(&mut self, now: Moment, service: &ObjectKey, at: Moment) {
        for index in self.links.keys().copied().collect::<Vec<_>>() {
            self.sync_on(now, index, service, at);
        }
    }

    fn sync_on(&mut self, now: Moment, index: u32, service: &ObjectKey, at: Moment) {
        let Responder { links, claims, rng, out, wake, .. } = self;
        let Some(presence) = links.get_mut(&index) else { return };
        let claim = claims.get(service);
        let wanted = claim.map(|claim| names(&claim.wanted, &claim.label(), &presence.link)).unwrap_or_default();
        presence.set(&mut Turn { now, rng, out, wake }, service, wanted, at);
    }
}

impl Claim {
    /// Whether a name of ours that another has too is probed for again. Once: some
    /// responders answer no probes for hosts, and it would go to and fro for ever.
    fn asks_again(&mut self, now: Moment) -> bool {
        let again = self.contradicted.is_none_or(|last| last == now || now > last + CONTRADICTED_WITHIN);
        self.contradicted = Some(now);
        again
    }

    /// Counts a conflict, and answers how long to wait before the next try.
    fn conflict(&mut self, now: Moment) -> Duration {
        // Who is slow stays so until a name is had.
        if now > self.since + CONFLICTS_WITHIN && self.conflicts < CONFLICTS_MAX {
            (self.since, self.conflicts) = (now, 0);
        }
        self.conflicts = self.conflicts.saturating_add(1);
        if self.conflicts < CONFLICTS_MAX { Duration::ZERO } else { CONFLICTS_PAUSE }
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
