//! What others say of names that are ours, or that we ask for (RFC 6762 sections 8.2, 9
//! and 10). Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use hickory_proto::rr::Name;

use super::answer::SAY_PAUSE;
use super::packet::{Incoming, QUESTIONS_MAX};
use super::presence::{Presence, Stage, Turn, index};
use super::record::{PTR, Record};
use crate::model::IpFamily;

/// How long whoever loses a name to another asker waits before asking again.
const LOST_PAUSE: Duration = Duration::from_secs(1);
/// Records of one packet that others take back and we say again.
const RESCUED_MAX: usize = 16;

impl Presence {
    /// Hears another's answers: what it says too need not be said again, what it takes
    /// back is; answers the names it has otherwise than we. `elsewhere` knows what we say
    /// on other links, which may be one and the same network.
    pub(super) fn response(
        &mut self,
        turn: &mut Turn<'_>,
        family: IpFamily,
        incoming: &Incoming,
        elsewhere: &dyn Fn(&Record) -> bool,
    ) -> BTreeSet<Name> {
        let mut contradicted = BTreeSet::new();
        let mut taken_back = 0;
        for heard in incoming.answers.iter().chain(&incoming.additionals) {
            if heard.kind == PTR {
                if heard.ttl == 0 && taken_back < RESCUED_MAX {
                    taken_back += 1;
                    self.rescue(turn, family, heard);
                }
                continue;
            }
            let Some(owned) = self.names.get_mut(&heard.owner).filter(|owned| owned.claims(heard.kind)) else {
                continue;
            };
            let answered = owned.is_answered();
            match owned.lines.iter_mut().find(|line| line.record.says_the_same(heard)) {
                Some(_) if !answered => {}
                Some(line) if heard.ttl < line.record.ttl / 2 => {
                    turn.touch(line.schedule(family, turn.now, SAY_PAUSE));
                }
                Some(line) if heard.ttl < line.record.ttl => {}
                Some(line) => {
                    if let Some(due) = line.due.get_mut(index(family)) {
                        *due = None;
                    }
                }
                None if heard.ttl == 0 || elsewhere(heard) => {}
                None => {
                    contradicted.insert(heard.owner.clone());
                }
            }
        }
        contradicted
    }

    /// Says again what leads to a name of ours, which another took back.
    fn rescue(&mut self, turn: &mut Turn<'_>, family: IpFamily, heard: &Record) {
        for name in self.shared.get(&heard.owner).into_iter().flatten() {
            let Some(owned) = self.names.get_mut(name).filter(|owned| owned.is_answered()) else { continue };
            if let Some(line) = owned.lines.iter_mut().find(|line| line.record.says_the_same(heard)) {
                turn.touch(line.schedule(family, turn.now, SAY_PAUSE));
                return;
            }
        }
    }

    /// Hears another's probe: of two who ask for one name at the same time, the one with
    /// the later records has it (section 8.2).
    pub(super) fn probed(&mut self, turn: &mut Turn<'_>, incoming: &Incoming, elsewhere: &dyn Fn(&Record) -> bool) {
        let wanted: BTreeSet<&Name> =
            incoming.authorities.iter().map(|record| &record.owner).take(QUESTIONS_MAX).collect();
        for name in wanted {
            let Some(owned) = self.names.get(name) else { continue };
            if !matches!(owned.stage, Stage::Probing { .. }) {
                continue;
            }
            let theirs: Vec<&Record> = incoming.authorities.iter().filter(|record| record.owner == *name).collect();
            if theirs.iter().all(|record| elsewhere(record)) {
                continue;
            }
            if sorted(theirs.into_iter()) > sorted(owned.unique()) {
                let at = turn.now + LOST_PAUSE;
                self.probe_again(turn, name, at);
            }
        }
    }
}

fn sorted<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<(u16, &'a [u8])> {
    let mut sorted: Vec<(u16, &[u8])> = records.map(|record| (record.kind, &*record.data)).collect();
    sorted.sort_unstable();
    sorted
}
