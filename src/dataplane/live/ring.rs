//! The slots of one frontend in the kernel, a ring of turns written ahead. Pure.
//!
//! The kernel takes the next slot for each new connection and does not tell where it
//! stands. But conntrack tells of each connection and its endpoint, so that the place
//! is known: the turns that were told are over. A write changes turns that are still to
//! come, at their own places, and so it does not matter whether connections begin while
//! it is under way: they find what it would have left there.
//!
//! A turn may be taken by a packet that never becomes a connection, because a firewall
//! drops it. Then turns after it are told and it is not; or a connection comes out of
//! turn. The ring is *lost* then, and the next write makes the kernel begin at the first
//! slot again.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::dataplane::table::TURNS_AHEAD;
use crate::model::balance::Schedule;
use crate::model::schedule::{Load, Scheduler};

/// Turns that have to be right without a write: what is wrong only behind them may wait.
const TURNS_RIGHT: usize = TURNS_AHEAD / 2;

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Slots and their endpoints.
    pub(super) slots: Vec<(u32, SocketAddr)>,
    /// The kernel is to go on at the first slot.
    pub(super) restart: bool,
}

/// The slots of one frontend.
#[derive(Debug)]
pub(super) struct Ring {
    scheduler: Scheduler,
    /// What the kernel holds, as far as we wrote it.
    held: Vec<Option<SocketAddr>>,
    /// The slot of the first turn that was not told.
    head: usize,
    /// Which turns from there on were told; the first was not.
    told: VecDeque<bool>,
    /// Where the kernel stands is not known.
    lost: bool,
    /// Every connection takes a turn of this ring: no affinity, and no other ring.
    exact: bool,
}

impl Ring {
    /// Of slots that were just written, with the kernel before the first of them.
    pub(super) fn new(schedule: Schedule, slots: Vec<SocketAddr>, exact: bool) -> Ring {
        let held = slots.into_iter().map(Some).collect();
        Ring { scheduler: Scheduler::new(schedule), held, head: 0, told: VecDeque::new(), lost: false, exact }
    }

    /// The kernel gave a new connection to an endpoint.
    pub(super) fn gave(&mut self, addr: SocketAddr) {
        let turn = (0..TURNS_AHEAD).find(|turn| !self.is_told(*turn) && self.at(*turn) == Some(addr));
        let Some(turn) = turn.filter(|_| self.exact && !self.lost) else {
            self.scheduler.gave(addr);
            self.lost = true;
            return;
        };
        if turn >= self.told.len() {
            self.scheduler.gave(addr);
            self.told.resize(turn + 1, false);
        }
        self.told.iter_mut().skip(turn).take(1).for_each(|told| *told = true);
        while self.told.front() == Some(&true) {
            self.told.pop_front();
            self.head = self.slot(1);
        }
        // Nobody is under way so long.
        self.lost |= self.told.len() > TURNS_RIGHT;
    }

    /// A turn was taken and its connection is not told, or will not be.
    pub(super) fn is_torn(&self) -> bool {
        !self.told.is_empty()
    }

    /// Where the kernel stands is not known.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The kernel is to begin anew.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// What was to be written is perhaps not there.
    pub(super) fn forget(&mut self) {
        self.held.fill(None);
        self.lost = true;
    }

    /// What is to be written so that the next connections go where they should, and is
    /// taken for written from now on. `loads` are the endpoints in their order.
    pub(super) fn write(&mut self, loads: &[Load]) -> Option<Turns> {
        let restart = std::mem::take(&mut self.lost);
        if restart {
            self.head = 0;
            self.told.clear();
        }
        let first = self.told.len();
        let wanted = self.scheduler.foresee(&self.with_those_under_way(loads), TURNS_AHEAD - first);
        let wrong: Vec<(usize, SocketAddr)> =
            (first..).zip(wanted).filter(|(turn, addr)| self.at(*turn) != Some(*addr)).collect();
        if !restart && wrong.first().is_none_or(|(turn, _)| *turn >= TURNS_RIGHT) {
            return None;
        }
        let mut slots = Vec::new();
        for (turn, addr) in wrong {
            let slot = self.slot(turn);
            self.held.iter_mut().skip(slot).take(1).for_each(|held| *held = Some(addr));
            slots.extend(u32::try_from(slot).ok().map(|slot| (slot, addr)));
        }
        Some(Turns { slots, restart })
    }

    fn with_those_under_way(&self, loads: &[Load]) -> Vec<Load> {
        let mut loads = loads.to_vec();
        for turn in (0..self.told.len()).filter(|turn| !self.is_told(*turn)) {
            let addr = self.at(turn);
            loads.iter_mut().filter(|load| Some(load.addr) == addr).for_each(|load| load.open += 1);
        }
        loads
    }

    fn is_told(&self, turn: usize) -> bool {
        self.told.get(turn) == Some(&true)
    }

    fn slot(&self, turn: usize) -> usize {
        (self.head + turn) % self.held.len().max(1)
    }

    fn at(&self, turn: usize) -> Option<SocketAddr> {
        self.held.get(self.slot(turn)).copied().flatten()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(number: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, u8::try_from(number).unwrap()], 80))
    }

    /// The kernel's side: slots, and the one it takes next.
    struct Kernel {
        slots: Vec<Option<SocketAddr>>,
        next: usize,
        open: Vec<u32>,
        writes: usize,
    }

    impl Kernel {
        fn of(endpoints: usize, slots: usize) -> (Kernel, Ring) {
            let written: Vec<SocketAddr> = (0..slots).map(|slot| endpoint(slot % endpoints)).collect();
            let ring = Ring::new(Schedule::LeastConnection, written.clone(), true);
            let slots = written.into_iter().map(Some).collect();
            (Kernel { slots, next: 0, open: vec![0; endpoints], writes: 0 }, ring)
        }

        fn loads(&self) -> Vec<Load> {
            (0..).zip(&self.open).map(|(n, open)| Load { addr: endpoint(n), weight: 1, open: *open }).collect()
        }

        fn write(&mut self, ring: &mut Ring) {
            let Some(turns) = ring.write(&self.loads()) else { return };
            self.writes += 1;
            for (slot, addr) in turns.slots {
                self.slots[usize::try_from(slot).unwrap()] = Some(addr);
            }
            if turns.restart {
                self.next = 0;
            }
        }

        /// A packet takes a turn. Who has it is not told yet.
        fn take(&mut self) -> usize {
            let addr = self.slots[self.next].unwrap();
            self.next = (self.next + 1) % self.slots.len();
            (0..self.open.len()).find(|n| endpoint(*n) == addr).unwrap()
        }

        fn tell(&mut self, number: usize, ring: &mut Ring) {
            self.open[number] += 1;
            ring.gave(endpoint(number));
        }
    }

    #[test]
    fn connections_that_stay_go_round_and_few_of_them_ask_for_a_write() {
        let (mut kernel, mut ring) = Kernel::of(3, 18);
        kernel.write(&mut ring);
        for connection in 0..100 {
            let number = kernel.take();
            assert_eq!(number, connection % 3);
            kernel.tell(number, &mut ring);
            kernel.write(&mut ring);
        }
        assert!(kernel.writes < 15, "{}", kernel.writes);
    }

    #[test]
    fn the_next_go_past_who_has_many_and_an_end_gives_the_turn_back() {
        let (mut kernel, mut ring) = Kernel::of(3, 18);
        kernel.open[0] = 10;
        kernel.write(&mut ring);
        for _ in 0..10 {
            let number = kernel.take();
            kernel.tell(number, &mut ring);
            kernel.write(&mut ring);
        }
        assert_eq!(kernel.open, [10, 5, 5]);
        kernel.open[0] = 4;
        kernel.write(&mut ring);
        assert_eq!(kernel.take(), 0);
    }

    #[test]
    fn a_write_that_meets_connections_under_way_gives_no_turn_twice() {
        let (mut kernel, mut ring) = Kernel::of(3, 18);
        kernel.write(&mut ring);
        // Always two are taken and not told when the next is written.
        let mut under_way = VecDeque::from([kernel.take(), kernel.take()]);
        for connection in 2..100 {
            let number = kernel.take();
            assert_eq!(number, connection % 3);
            under_way.push_back(number);
            kernel.tell(under_way.pop_front().unwrap(), &mut ring);
            kernel.write(&mut ring);
        }
    }

    #[test]
    fn connections_told_out_of_order_are_no_loss() {
        let (mut kernel, mut ring) = Kernel::of(3, 18);
        kernel.write(&mut ring);
        for _ in 0..30 {
            let (one, other) = (kernel.take(), kernel.take());
            kernel.tell(other, &mut ring);
            assert!(ring.is_torn());
            kernel.write(&mut ring);
            kernel.tell(one, &mut ring);
            kernel.write(&mut ring);
            assert!(!ring.is_torn() && !ring.lost);
        }
        assert_eq!(kernel.open, [20, 20, 20]);
    }

    #[test]
    fn a_turn_that_never_became_a_connection_is_made_up_for() {
        let (mut kernel, mut ring) = Kernel::of(3, 18);
        kernel.write(&mut ring);
        assert_eq!((kernel.take(), kernel.take()), (0, 1), "the first is dropped");
        kernel.tell(1, &mut ring);
        assert!(ring.is_torn());
        ring.lose();
        kernel.write(&mut ring);
        assert_eq!((kernel.take(), kernel.next), (2, 1), "from the first slot, and in turn");
        kernel.tell(2, &mut ring);
        kernel.write(&mut ring);
        assert_eq!(kernel.take(), 0);
        // Somebody who has no turn: affinity perhaps.
        ring.forget();
        kernel.write(&mut ring);
        assert_eq!(kernel.next, 0);
    }

    proptest! {
        #[test]
        fn whatever_ends_the_next_connections_are_even_again(
            moves in prop::collection::vec((any::<bool>(), 0_usize..4), 1..200)
        ) {
            let (mut kernel, mut ring) = Kernel::of(4, 16);
            kernel.write(&mut ring);
            for (opens, number) in moves {
                if opens {
                    let number = kernel.take();
                    let least = kernel.open.iter().min().copied();
                    prop_assert_eq!(Some(kernel.open[number]), least);
                    kernel.tell(number, &mut ring);
                } else {
                    kernel.open[number] = kernel.open[number].saturating_sub(1);
                }
                kernel.write(&mut ring);
                prop_assert!(!ring.is_torn());
            }
        }
    }
}
