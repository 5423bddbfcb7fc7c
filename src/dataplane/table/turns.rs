//! The slots of a frontend whose connections go by how many are open: the kernel takes
//! them one after the other, and they are written ahead of it. Pure.

use std::net::SocketAddr;

use super::book::Frontends;
use super::element::{Data, Slot, endpoint_data, frontend_at};
use super::layout::INSIDE_SLOTS;
use super::set::SetName;
use super::slots::slots;
use crate::desired::Balance;
use crate::model::balance::Schedule;

/// So many choices are written ahead: the connections that may begin before the next
/// write without two of them taking one turn, or all of them one endpoint. More would
/// make a write longer, and none of them is right any more once a connection ends.
pub(in crate::dataplane) const TURNS_AHEAD: usize = 16;

/// Whether open connections decide.
pub(in crate::dataplane) fn is_live(schedule: Schedule) -> bool {
    matches!(schedule, Schedule::LeastConnection | Schedule::ShortestDelay | Schedule::NeverQueue)
}

/// The slots of a frontend as a move of it leaves them. Where open connections decide,
/// that is until somebody counts them: everyone as often as its weight says, and whole
/// rounds, so that a kernel that tells of no connection spreads them all the same.
pub(in crate::dataplane) fn turns(balance: &Balance) -> Vec<SocketAddr> {
    let mut slots = slots(balance);
    if is_live(balance.schedule) {
        let round = slots.clone();
        while slots.len() < TURNS_AHEAD && !round.is_empty() {
            slots.extend_from_slice(&round);
        }
    }
    slots
}

/// Whether a live slot holds an endpoint of its frontend: which one is not ours to say.
pub(super) fn is_a_turn(frontends: &Frontends, slot: &Slot, data: &Data) -> bool {
    let held = || {
        let (of, number) = slot.key.start.split_at_checked(slot.key.start.len().checked_sub(4)?)?;
        let entries = match slot.set {
            SetName::LiveEndpoints => SetName::Services,
            SetName::NodePortLiveEndpoints => SetName::NodePorts,
            _ => return None,
        };
        let frontend = frontends.get(frontend_at(&Slot::new(slot.family, entries, of.to_vec()))?)?;
        let inside = u32::from_ne_bytes(number.try_into().ok()?) >= INSIDE_SLOTS;
        let endpoints = match (inside, &frontend.inside) {
            (true, Some(inside)) => &inside.endpoints,
            (true, None) => return None,
            (false, _) => frontend.verdict.endpoints(),
        };
        Some(endpoints.iter().any(|endpoint| *data == Data::Bytes(endpoint_data(*endpoint))))
    };
    held().unwrap_or(false)
}
