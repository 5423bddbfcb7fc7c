//! Who gets the next connection, in the words of IPVS. Pure: the same asks in the
//! same order give the same answers, but for [`Schedule::Random`].
//!
//! Where IPVS takes the first of equals, equals take turns here: IPVS counts
//! connections for minutes after their end, which has the same effect.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::model::balance::Schedule;

/// An endpoint as it stands at the moment of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) addr: SocketAddr,
    /// Never 0.
    pub(super) weight: u32,
    /// Open connections.
    pub(super) open: u32,
}

/// The state of one frontend's schedule. It survives every change of endpoints.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    schedule: Schedule,
    last: Option<SocketAddr>,
    /// Of [`Schedule::Weighted`]: how far each endpoint has come.
    credits: BTreeMap<SocketAddr, i64>,
    random: fastrand::Rng,
}

impl Scheduler {
    pub(super) fn new(schedule: Schedule) -> Scheduler {
        Scheduler { schedule, ..Scheduler::default() }
    }

    pub(super) fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The endpoint for a connection from `client` to `dest`; `loads` are those it
    /// may have, in the order of their addresses.
    pub(super) fn choose(&mut self, loads: &[Load], client: IpAddr, dest: IpAddr) -> Option<SocketAddr> {
        let chosen = match self.schedule {
            Schedule::Random => loads.get(self.random.usize(..loads.len().max(1))),
            Schedule::RoundRobin => self.least(loads, |_, _| Ordering::Equal),
            // One endpoint only, unless it is on its way to another.
            Schedule::Leader => loads.first(),
            Schedule::SourceHash => heaviest(loads, client, true),
            Schedule::DestinationHash => heaviest(loads, dest, false),
            Schedule::Weighted => self.smooth(loads),
            Schedule::LeastConnection => self.least(loads, |one, other| one.open.cmp(&other.open)),
            Schedule::ShortestDelay => self.least(loads, delay),
            Schedule::NeverQueue => {
                let idle = |load: &Load| load.open == 0;
                self.least(loads, |one, other| match (idle(one), idle(other)) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => delay(one, other),
                })
            }
        };
        self.last = chosen.map(|load| load.addr).or(self.last);
        self.last.filter(|_| chosen.is_some())
    }

    /// The least; of equals the first after the one chosen last.
    fn least<'a>(&self, loads: &'a [Load], order: impl Fn(&Load, &Load) -> Ordering) -> Option<&'a Load> {
        let start = self.last.map_or(0, |last| loads.partition_point(|load| load.addr <= last));
        let (before, after) = loads.split_at_checked(start)?;
        after.iter().chain(before).reduce(|best, load| if order(load, best).is_lt() { load } else { best })
    }

    /// Smooth weighted round robin: weights 2 and 1 give A B A, not A A B.
    fn smooth<'a>(&mut self, loads: &'a [Load]) -> Option<&'a Load> {
        self.credits.retain(|addr, _| loads.binary_search_by_key(addr, |load| load.addr).is_ok());
        let mut best: Option<(&Load, i64)> = None;
        let mut total = 0;
        for load in loads {
            let credit = self.credits.entry(load.addr).or_default();
            *credit += i64::from(load.weight);
            total += i64::from(load.weight);
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((load, *credit));
            }
        }
        let (chosen, _) = best?;
        *self.credits.entry(chosen.addr).or_default() -= total;
        Some(chosen)
    }
}

/// Compares (open + 1) / weight without dividing.
fn delay(one: &Load, other: &Load) -> Ordering {
    let expected = |load: &Load, weight: u32| (u64::from(load.open) + 1) * u64::from(weight);
    expected(one, other.weight).cmp(&expected(other, one.weight))
}

/// Rendezvous hashing: every endpoint draws a number for the address, the highest
/// takes it. When an endpoint goes, only its clients move.
fn heaviest(loads: &[Load], addr: IpAddr, weighted: bool) -> Option<&Load> {
    let score = |load: &Load| {
        let drawn = mix(fold(addr).wrapping_add(mix(fold(load.addr.ip()) ^ u64::from(load.addr.port()) << 48)));
        // Into (0, 1): 53 bits are exact in a double.
        let unit = (to_double(drawn >> 11) + 0.5) / to_double(1 << 53);
        let weight = if weighted { f64::from(load.weight) } else { 1.0 };
        -weight / unit.ln()
    };
    loads.iter().max_by(|one, other| score(one).total_cmp(&score(other)))
}

#[allow(clippy::cast_precision_loss, reason = "at most 53 bits")]
fn to_double(bits: u64) -> f64 {
    bits as f64
}

fn fold(addr: IpAddr) -> u64 {
    let octets = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    };
    match addr {
        IpAddr::V4(v4) => octets(&v4.octets()),
        IpAddr::V6(v6) => octets(&v6.octets()),
    }
}

/// The finalizer of SplitMix64: neighbours end up far apart.
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
