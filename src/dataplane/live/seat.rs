//! A frontend whose connections go by how many are open: what its slots are to hold.
//! Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ring::{Ring, Turns};
use super::tally::Tally;
use crate::dataplane::table::{FrontendId, INSIDE_SLOTS, is_live, turns};
use crate::desired::{Balance, Frontend, Verdict};
use crate::model::schedule::Load;

/// A frontend as the kernel holds it, and which move of it that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Followed {
    pub(super) frontend: Arc<Frontend>,
    pub(super) stamp: u64,
    /// Its slots hold what a move leaves there, and the kernel is before the first of
    /// them. Otherwise they were found.
    pub(super) fresh: bool,
}

/// What to write of one frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Write {
    pub(in crate::dataplane) frontend: FrontendId,
    /// The move it was decided after: after a later one it is of no use.
    pub(super) stamp: u64,
    /// Slots and their endpoints.
    pub(in crate::dataplane) slots: Vec<(u32, SocketAddr)>,
    /// The kernel is to go on at the first slot.
    pub(in crate::dataplane) restart: bool,
}

/// The endpoints of a side that open connections choose among.
pub(super) fn sides(frontend: &Frontend) -> [Option<&Balance>; 2] {
    let outside = match &frontend.verdict {
        Verdict::Balance(balance) => Some(balance),
        Verdict::Refuse | Verdict::Drop => None,
    };
    [outside, frontend.inside.as_ref()].map(|side| side.filter(|balance| is_live(balance.schedule)))
}

/// One frontend.
#[derive(Debug)]
pub(super) struct Seat {
    followed: Followed,
    /// For clients outside and inside.
    rings: [Option<Ring>; 2],
}

impl Seat {
    pub(super) fn of(followed: Followed) -> Seat {
        let [outside, inside] = sides(&followed.frontend);
        // Who has affinity, or is inside, takes no turn that could be told from a word
        // about his connection.
        let exact = followed.frontend.affinity_seconds().is_none() && inside.is_none();
        let ring = |balance: &Balance| {
            let mut ring = Ring::new(balance.schedule, turns(balance), exact);
            if !followed.fresh {
                ring.forget();
            }
            ring
        };
        let rings = [outside.map(ring), inside.map(ring)];
        Seat { followed, rings }
    }

    pub(super) fn is_of(&self, followed: &Followed) -> bool {
        self.followed.stamp == followed.stamp
    }

    /// The kernel gave a new connection to an endpoint.
    pub(super) fn gave(&mut self, endpoint: SocketAddr) {
        self.each(|ring| ring.gave(endpoint));
    }

    /// A turn was taken, and its connection is not told.
    pub(super) fn is_torn(&self) -> bool {
        self.rings.iter().flatten().any(Ring::is_torn)
    }

    /// Where the kernel stands is not known.
    pub(super) fn lose(&mut self) {
        self.each(Ring::lose);
    }

    /// What was written is perhaps not there.
    pub(super) fn forget(&mut self) {
        self.each(Ring::forget);
    }

    /// What is to be written, and is taken for written.
    pub(super) fn write(&mut self, tally: &Tally) -> Option<Write> {
        let frontend = &self.followed.frontend;
        let id = (frontend.addr, frontend.protocol, frontend.port);
        let (mut found, mut restart) = (Vec::new(), false);
        let lost = self.rings.iter().flatten().any(Ring::is_lost);
        for ((side, ring), first) in sides(frontend).into_iter().zip(&mut self.rings).zip([0, INSIDE_SLOTS]) {
            let (Some(balance), Some(ring)) = (side, ring) else { continue };
            if lost {
                // Both begin anew, in chains of their own that are written together.
                ring.lose();
            }
            if let Some(Turns { slots, restart: begins }) = ring.write(&loads(balance, id, tally)) {
                found.extend(slots.into_iter().map(|(slot, endpoint)| (first + slot, endpoint)));
                restart |= begins;
            }
        }
        let stamp = self.followed.stamp;
        (restart || !found.is_empty()).then_some(Write { frontend: id, stamp, slots: found, restart })
    }

    fn each(&mut self, change: impl FnMut(&mut Ring)) {
        self.rings.iter_mut().flatten().for_each(change);
    }
}

fn loads(balance: &Balance, id: FrontendId, tally: &Tally) -> Vec<Load> {
    let weights = balance.weights.iter().copied().chain(std::iter::repeat(1));
    let load = |(addr, weight): (&SocketAddr, u16)| Load {
        addr: *addr,
        weight: weight.into(),
        open: tally.open_at(id, *addr),
    };
    balance.endpoints.iter().zip(weights).map(load).collect()
}
