//! Which connections of frontends are open, and how many at each endpoint. Pure: fed
//! with conntrack's own words, entry by entry.
//!
//! Every word about a connection is taken for its newest state, so it does no harm that
//! a dump tells of connections that notices in the queue tell of again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;

use crate::dataplane::conntrack::entry::{self, Word};
use crate::dataplane::table::FrontendId;
use crate::desired::FrontendAddr;
use crate::model::{IpFamily, Protocol};

/// Connections that are counted, some 40 bytes each: as many as conntrack's own table has
/// by default at most. Those beyond are taken for closed.
const CONNECTIONS_MAX: usize = 1 << 18;
/// Endpoints without connections that are remembered before everything is read anew: one
/// that restarts every minute has a new address each time.
const IDLE_MAX: usize = 4_096;

/// A new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) frontend: FrontendId,
    pub(super) endpoint: SocketAddr,
}

/// What a word changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// A connection has begun, and was given to an endpoint by the kernel just now.
    Opened(Opened),
    /// One ended, or is known only now.
    Counted(FrontendId),
}

/// An endpoint of a frontend.
#[derive(Debug)]
struct Cell {
    at: Opened,
    open: u32,
}

/// One open connection.
#[derive(Clone, Copy, Debug)]
struct Open {
    cell: u32,
    /// Known from a dump, and nothing was heard of it since.
    silent: bool,
}

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Tally {
    frontends: BTreeSet<FrontendId>,
    cells: Vec<Cell>,
    index: BTreeMap<(FrontendId, SocketAddr), u32>,
    /// By the hash of their original tuple: with 64 bits and a key nobody knows, two of
    /// a million meet once in thirty million boxes.
    open: BTreeMap<u64, Open>,
    hashes: RandomState,
    silent: usize,
}

impl Tally {
    /// The frontends whose connections are counted.
    pub(super) fn frontends(&self) -> &BTreeSet<FrontendId> {
        &self.frontends
    }

    /// Open connections of an endpoint.
    pub(super) fn open_at(&self, frontend: FrontendId, endpoint: SocketAddr) -> u32 {
        let cell = self.index.get(&(frontend, endpoint)).and_then(|cell| self.cell(*cell));
        cell.map_or(0, |cell| cell.open)
    }

    /// Frontends with any that is open.
    pub(super) fn busy(&self) -> BTreeSet<FrontendId> {
        self.cells.iter().filter(|cell| cell.open > 0).map(|cell| cell.at.frontend).collect()
    }

    /// How many are open.
    pub(super) fn connections(&self) -> usize {
        self.open.len()
    }

    /// Connections that nothing was heard of since a dump told of them.
    pub(super) fn silent(&self) -> usize {
        self.silent
    }

    /// There is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= CONNECTIONS_MAX
    }

    /// More is remembered than is of use.
    pub(super) fn is_bloated(&self) -> bool {
        self.cells.len() > self.open.len() + IDLE_MAX
    }

    /// Takes in one word of conntrack's, mostly of somebody else's connection.
    pub(super) fn hear(&mut self, word: Word, entry: &[u8]) -> Option<Moved> {
        let original = entry::original(entry)?;
        let (protocol, asked) = entry::asked(original)?;
        let frontend = self.frontend(protocol, asked)?;
        let key = self.hashes.hash_one(original);
        match if word == Word::Gone { Some(false) } else { entry::is_open(protocol, entry) } {
            Some(false) => return self.close(key),
            // A change that says nothing of the state leaves it.
            None if word != Word::New => return None,
            Some(true) | None => {}
        }
        let endpoint = entry::answerer(entry).filter(|endpoint| *endpoint != asked)?;
        let at = Opened { frontend, endpoint };
        let counted = self.open(key, at, word == Word::Dumped);
        match word {
            Word::New => Some(Moved::Opened(at)),
            _ => counted.then_some(Moved::Counted(frontend)),
        }
    }

    /// Takes over what a dump told, and of those it did not tell of nothing.
    pub(super) fn replace(&mut self, mut dumped: Tally) {
        dumped.silent = 0;
        for (key, open) in &mut dumped.open {
            open.silent = self.open.get(key).is_none_or(|known| known.silent);
            dumped.silent += usize::from(open.silent);
        }
        *self = dumped;
    }

    /// One that counts connections to these, and knows none yet.
    pub(super) fn anew(&self, frontends: BTreeSet<FrontendId>) -> Tally {
        Tally { frontends, hashes: self.hashes.clone(), ..Tally::default() }
    }

    /// Whose connection it is: an address before the node port. A port of another host
    /// is told from ours by its answerer, who is asked only then.
    fn frontend(&self, protocol: Protocol, asked: SocketAddr) -> Option<FrontendId> {
        let at = |addr| (addr, protocol, asked.port());
        let ids = [at(FrontendAddr::Virtual(asked.ip())), at(FrontendAddr::NodePort(IpFamily::of(asked.ip())))];
        ids.into_iter().find(|id| self.frontends.contains(id))
    }

    fn cell(&self, cell: u32) -> Option<&Cell> {
        self.cells.get(usize::try_from(cell).ok()?)
    }

    fn cell_mut(&mut self, cell: u32) -> Option<&mut Cell> {
        self.cells.get_mut(usize::try_from(cell).ok()?)
    }

    fn cell_at(&mut self, at: Opened) -> u32 {
        let next = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        let cell = *self.index.entry((at.frontend, at.endpoint)).or_insert(next);
        if cell == next {
            self.cells.push(Cell { at, open: 0 });
        }
        cell
    }

    /// Whether it was not known.
    fn open(&mut self, key: u64, at: Opened, silent: bool) -> bool {
        if let Some(known) = self.open.get_mut(&key) {
            if !silent && std::mem::take(&mut known.silent) {
                self.silent -= 1;
            }
            return false;
        }
        if self.is_full() {
            return false;
        }
        let cell = self.cell_at(at);
        self.open.insert(key, Open { cell, silent });
        self.silent += usize::from(silent);
        self.cell_mut(cell).into_iter().for_each(|cell| cell.open += 1);
        true
    }

    fn close(&mut self, key: u64) -> Option<Moved> {
        let Open { cell, silent } = self.open.remove(&key)?;
        self.silent -= usize::from(silent);
        let cell = self.cell_mut(cell)?;
        cell.open = cell.open.saturating_sub(1);
        Some(Moved::Counted(cell.at.frontend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::conntrack::entry::written;

    const ASKED: &str = "10.43.0.80:80";
    const A: &str = "10.1.1.2:8080";
    const B: &str = "10.1.2.2:8080";

    fn frontend(protocol: Protocol) -> FrontendId {
        (FrontendAddr::Virtual("10.43.0.80".parse().unwrap()), protocol, 80)
    }

    fn tally() -> Tally {
        let node_port = (FrontendAddr::NodePort(IpFamily::V4), Protocol::Tcp, 30080);
        Tally::default()
            .anew([frontend(Protocol::Tcp), frontend(Protocol::Udp), frontend(Protocol::Sctp), node_port].into())
    }

    /// An entry of TCP from the client's port, in a state.
    fn tcp(port: u16, endpoint: &str, state: Option<u8>) -> Vec<u8> {
        written(Protocol::Tcp, &format!("192.0.2.1:{port}"), ASKED, endpoint, state)
    }

    fn open(tally: &Tally, endpoint: &str) -> u32 {
        tally.open_at(frontend(Protocol::Tcp), endpoint.parse().unwrap())
    }

    #[test]
    fn a_connection_counts_from_its_first_packet_to_its_first_end() {
        let mut tally = tally();
        let at = Opened { frontend: frontend(Protocol::Tcp), endpoint: A.parse().unwrap() };
        let counted = Some(Moved::Counted(at.frontend));
        assert_eq!(tally.hear(Word::New, &tcp(1, A, Some(1))), Some(Moved::Opened(at)));
        for state in [Some(2), Some(3), None] {
            assert_eq!(tally.hear(Word::Changed, &tcp(1, A, state)), None, "{state:?}");
            assert_eq!(open(&tally, A), 1);
        }
        assert_eq!(tally.hear(Word::Changed, &tcp(1, A, Some(4))), counted, "FIN_WAIT");
        for (word, state) in [(Word::Changed, Some(5)), (Word::Changed, Some(7)), (Word::Gone, None)] {
            assert_eq!(tally.hear(word, &tcp(1, A, state)), None);
        }
        assert_eq!(open(&tally, A), 0);
        tally.hear(Word::New, &tcp(2, B, Some(1)));
        assert_eq!(
            tally.hear(Word::Changed, &tcp(2, B, Some(8))),
            counted.map(|_| Moved::Counted(at.frontend)),
            "reset"
        );
        tally.hear(Word::New, &tcp(3, B, Some(1)));
        assert_eq!((tally.hear(Word::Gone, &tcp(3, B, None)), open(&tally, B)), (counted, 0), "never answered");
    }

    #[test]
    fn udp_and_sctp_count_while_they_are_known() {
        let mut tally = tally();
        for protocol in [Protocol::Udp, Protocol::Sctp] {
            let entry = written(protocol, "192.0.2.1:9", ASKED, B, None);
            assert!(matches!(tally.hear(Word::New, &entry), Some(Moved::Opened(_))));
            tally.hear(Word::Changed, &entry);
            assert_eq!(tally.open_at(frontend(protocol), B.parse().unwrap()), 1);
            assert_eq!(tally.hear(Word::Gone, &entry), Some(Moved::Counted(frontend(protocol))));
            assert_eq!(tally.open_at(frontend(protocol), B.parse().unwrap()), 0);
        }
    }

    #[test]
    fn connections_of_others_are_nothing() {
        let mut tally = tally();
        for (asked, endpoint) in [
            ("10.43.0.80:81", A),
            ("10.43.0.81:80", A),
            // To a server of another host whose port is a node port of ours.
            ("203.0.113.9:30080", "203.0.113.9:30080"),
        ] {
            let entry = written(Protocol::Tcp, "192.0.2.1:5", asked, endpoint, Some(3));
            for word in [Word::New, Word::Changed, Word::Dumped, Word::Gone] {
                assert_eq!(tally.hear(word, &entry), None, "{asked}");
            }
        }
        let node_port = written(Protocol::Tcp, "192.0.2.1:5", "192.0.2.7:30080", A, Some(3));
        assert!(tally.hear(Word::New, &node_port).is_some());
        for end in 0..node_port.len() {
            let torn = node_port.get(..end).unwrap();
            let told = tally.hear(Word::New, torn);
            assert!(told.is_none() || end > 80, "{end} {told:?}");
        }
    }

    #[test]
    fn what_a_dump_tells_and_notices_repeat_counts_once() {
        let mut tally = tally();
        tally.hear(Word::New, &tcp(1, A, Some(1)));
        // Notices were lost: 1 has ended, 2 has begun.
        let mut dumped = tally.anew(tally.frontends().clone());
        dumped.hear(Word::Dumped, &tcp(2, B, Some(3)));
        dumped.hear(Word::Dumped, &tcp(9, B, Some(7)));
        tally.replace(dumped);
        assert_eq!((open(&tally, A), open(&tally, B), tally.silent()), (0, 1, 1));
        // Its beginning was still in the queue.
        assert!(matches!(tally.hear(Word::New, &tcp(2, B, Some(1))), Some(Moved::Opened(_))));
        assert_eq!((open(&tally, B), tally.silent()), (1, 0));
        let mut dumped = tally.anew(tally.frontends().clone());
        dumped.hear(Word::Dumped, &tcp(2, B, Some(3)));
        tally.replace(dumped);
        assert_eq!(tally.silent(), 0, "it is heard of");
        tally.hear(Word::Gone, &tcp(2, B, None));
        assert_eq!(open(&tally, B), 0);
    }
}
