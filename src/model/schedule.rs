//! Who gets the next connection, in the words of IPVS: for the relay, which asks at
//! each, and for the dataplane, which writes down the next ones ahead. Pure: the same
//! asks in the same order give the same answers, but for [`Schedule::Random`].
//!
//! Where IPVS takes the first of equals, equals take turns here: IPVS counts
//! connections for minutes after their end, which has the same effect.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::balance::Schedule;

/// An endpoint as it stands at the moment of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Never 0.
    pub weight: u32,
    /// Open connections.
    pub open: u32,
}

/// The state of one frontend's schedule. It survives every change of endpoints.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    schedule: Schedule,
    last: Option<SocketAddr>,
    /// Of [`Schedule::Weighted`]: how far each endpoint has come.
    credits: BTreeMap<SocketAddr, i64>,
    random: fastrand::Rng,
}

impl Scheduler {
    /// Nothing was chosen yet.
    pub fn new(schedule: Schedule) -> Scheduler {
        Scheduler { schedule, ..Scheduler::default() }
    }

    /// The schedule it holds.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The endpoint for a connection from `client` to `dest`; `loads` are those it
    /// may have, in the order of their addresses.
    pub fn choose(&mut self, loads: &[Load], client: IpAddr, dest: IpAddr) -> Option<SocketAddr> {
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

    /// Somebody else gave a connection to this endpoint: the turn is its successor's.
    pub fn gave(&mut self, addr: SocketAddr) {
        self.last = Some(addr);
    }

    /// What [`choose`](Scheduler::choose) would answer the next times, if every
    /// connection stayed open and none that is open ended. For the schedules that
    /// neither client nor address have a say in.
    pub fn foresee(&self, loads: &[Load], times: usize) -> Vec<SocketAddr> {
        let (mut scheduler, mut loads) = (self.clone(), loads.to_vec());
        let nobody = IpAddr::from([0, 0, 0, 0]);
        let mut next = || {
            let addr = scheduler.choose(&loads, nobody, nobody)?;
            let at = loads.binary_search_by_key(&addr, |load| load.addr).ok()?;
            let load = loads.get_mut(at)?;
            load.open = load.open.saturating_add(1);
            Some(addr)
        };
        (0..times).map_while(|_| next()).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 80))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Endpoints 1, 2, ... with these weights and open connections.
    fn loads(of: &[(u32, u32)]) -> Vec<Load> {
        (1..).zip(of).map(|(n, (weight, open))| Load { addr: endpoint(n), weight: *weight, open: *open }).collect()
    }

    /// The last octets of what is chosen, one ask after the other.
    fn order(schedule: Schedule, of: &[(u32, u32)], asks: usize) -> Vec<u8> {
        let mut scheduler = Scheduler::new(schedule);
        let mut chosen = Vec::new();
        for _ in 0..asks {
            let SocketAddr::V4(addr) = scheduler.choose(&loads(of), ip("192.0.2.1"), ip("10.43.0.1")).unwrap() else {
                panic!("IPv4")
            };
            chosen.push(addr.ip().octets()[3]);
        }
        chosen
    }

    #[test]
    fn every_schedule_means_what_it_means_in_ipvs() {
        let even = [(1, 0), (1, 0), (1, 0)];
        assert_eq!(order(Schedule::RoundRobin, &even, 7), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(order(Schedule::Weighted, &[(5, 0), (1, 0), (1, 0)], 7), [1, 1, 2, 1, 3, 1, 1]);
        assert_eq!(order(Schedule::Leader, &even, 3), [1, 1, 1]);
        // lc: fewest open connections, equals take turns, weights have no say.
        assert_eq!(order(Schedule::LeastConnection, &[(1, 2), (9, 1), (1, 1)], 4), [2, 3, 2, 3]);
        // sed: (open + 1) / weight is 3/1, 5/3, 2/1.
        assert_eq!(order(Schedule::ShortestDelay, &[(1, 2), (3, 4), (1, 1)], 2), [2, 2]);
        // sed without connections prefers the heavy; nq lets an idle one go first however light.
        assert_eq!(order(Schedule::ShortestDelay, &[(1, 0), (9, 3)], 1), [2]);
        assert_eq!(order(Schedule::NeverQueue, &[(1, 0), (9, 3)], 1), [1]);
        assert_eq!(order(Schedule::NeverQueue, &[(1, 1), (9, 3)], 1), [2]);
        for schedule in Schedule::ALL {
            assert_eq!(Scheduler::new(schedule).choose(&[], ip("192.0.2.1"), ip("10.43.0.1")), None);
        }
    }

    #[test]
    fn a_round_goes_on_where_it_was_when_endpoints_come_and_go() {
        let mut scheduler = Scheduler::new(Schedule::RoundRobin);
        let mut next = |of: &[Load]| scheduler.choose(of, ip("192.0.2.1"), ip("10.43.0.1")).unwrap();
        let all = loads(&[(1, 0), (1, 0), (1, 0)]);
        assert_eq!(next(&all), endpoint(1));
        assert_eq!(next(&[all[0], all[2]]), endpoint(3), "the second is gone");
        assert_eq!(next(&all), endpoint(1));
        assert_eq!(next(&all), endpoint(2), "and back");
    }

    proptest! {
        #[test]
        fn a_hash_keeps_a_client_and_moves_only_those_whose_endpoint_goes(
            count in 2_u8..12, gone in 0_usize..12, clients in prop::collection::vec(any::<u32>(), 1..40)
        ) {
            let all = loads(&vec![(1, 0); count.into()]);
            let mut less = all.clone();
            let gone = less.remove(gone % all.len()).addr;
            for (schedule, client) in clients.iter().flat_map(|c| [(Schedule::SourceHash, c), (Schedule::DestinationHash, c)]) {
                let addr = IpAddr::from(client.to_be_bytes());
                let mut scheduler = Scheduler::new(schedule);
                let (source, dest) = if schedule == Schedule::SourceHash { (addr, ip("::1")) } else { (ip("::1"), addr) };
                let before = scheduler.choose(&all, source, dest).unwrap();
                prop_assert_eq!(scheduler.choose(&all, source, dest), Some(before));
                let after = scheduler.choose(&less, source, dest).unwrap();
                prop_assert!(after == before || before == gone);
            }
        }

        #[test]
        fn weights_are_kept_exactly_over_a_round(weights in prop::collection::vec(1_u32..9, 1..6)) {
            let of: Vec<(u32, u32)> = weights.iter().map(|weight| (*weight, 0)).collect();
            let total: u32 = weights.iter().sum();
            let mut seen = BTreeMap::new();
            for chosen in order(Schedule::Weighted, &of, total as usize) {
                *seen.entry(chosen).or_insert(0) += 1;
            }
            let expected: BTreeMap<u8, u32> = (1..).zip(weights).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_source_hash_follows_weights() {
        let all = loads(&[(1, 0), (3, 0)]);
        let mut heavy = 0;
        for n in 0..4000_u32 {
            let client = IpAddr::from(n.wrapping_mul(2_654_435_761).to_be_bytes());
            let chosen = Scheduler::new(Schedule::SourceHash).choose(&all, client, ip("::1"));
            heavy += u32::from(chosen == Some(endpoint(2)));
        }
        assert!((2800..3200).contains(&heavy), "three of four, not {heavy} of 4000");
    }

    #[test]
    fn what_is_foreseen_is_what_is_chosen_while_nothing_ends() {
        let of = |schedule, last: Option<u8>, of: &[(u32, u32)], times| -> Vec<u8> {
            let mut scheduler = Scheduler::new(schedule);
            last.into_iter().for_each(|number| scheduler.gave(endpoint(number)));
            let number = |addr: SocketAddr| match addr.ip() {
                IpAddr::V4(addr) => addr.octets()[3],
                IpAddr::V6(_) => 0,
            };
            scheduler.foresee(&loads(of), times).into_iter().map(number).collect()
        };
        let lc = Schedule::LeastConnection;
        assert_eq!(of(lc, None, &[(1, 0), (1, 0), (1, 0)], 6), [1, 2, 3, 1, 2, 3]);
        assert_eq!(of(lc, Some(1), &[(1, 1), (1, 0), (1, 0)], 4), [2, 3, 1, 2]);
        assert_eq!(of(lc, Some(1), &[(1, 10), (1, 0), (1, 0)], 10), [2, 3, 2, 3, 2, 3, 2, 3, 2, 3]);
        assert_eq!(of(Schedule::ShortestDelay, None, &[(1, 0), (3, 0)], 8), [2, 2, 1, 2, 2, 2, 1, 2]);
        assert_eq!(of(Schedule::NeverQueue, None, &[(1, 0), (9, 3)], 3), [1, 2, 2]);
        assert_eq!(of(lc, None, &[], 3), [] as [u8; 0]);
    }
}
