//! The slots of a frontend: which endpoints stand in which order for the choice. Pure.

use std::net::SocketAddr;

use crate::desired::Balance;
use crate::model::balance::Schedule;

/// Slots of one list of weighted endpoints. A slot is an element of a map, some 100 bytes
/// of kernel memory and 3 µs at every change; percentages that add up fit exactly.
pub(in crate::dataplane) const SLOTS_MAX: u32 = 256;

/// Every endpoint at least once; where its schedule heeds weights, as often as its weight
/// says, spread out. Weights that would need more than [`SLOTS_MAX`] are rounded.
pub(in crate::dataplane) fn slots(balance: &Balance) -> Vec<SocketAddr> {
    match balance.schedule {
        Schedule::SourceHash | Schedule::Weighted | Schedule::ShortestDelay | Schedule::NeverQueue => {
            in_turn(&balance.endpoints, &shares(&balance.weights))
        }
        Schedule::Random
        | Schedule::RoundRobin
        | Schedule::DestinationHash
        | Schedule::LeastConnection
        | Schedule::Leader => balance.endpoints.clone(),
    }
}

/// Smooth weighted round robin, as the relay's: 2 and 1 give A B A, not A A B.
fn in_turn(endpoints: &[SocketAddr], shares: &[u32]) -> Vec<SocketAddr> {
    if shares.iter().all(|share| *share == 1) {
        return endpoints.to_vec();
    }
    let total: i64 = shares.iter().copied().map(i64::from).sum();
    let mut credits: Vec<(i64, i64, SocketAddr)> =
        endpoints.iter().zip(shares).map(|(endpoint, share)| (0, i64::from(*share), *endpoint)).collect();
    let mut order = Vec::new();
    for _ in 0..total {
        credits.iter_mut().for_each(|(credit, share, _)| *credit += *share);
        // Of equals the first: `max_by_key` alone takes the last.
        if let Some((credit, _, endpoint)) = credits.iter_mut().rev().max_by_key(|(credit, ..)| *credit) {
            *credit -= total;
            order.push(*endpoint);
        }
    }
    order
}

/// The number of slots of each weight: in their proportion, at most [`SLOTS_MAX`] together
/// unless there are more endpoints, and one at least.
fn shares(weights: &[u16]) -> Vec<u32> {
    let whole: Vec<u32> = weights.iter().copied().map(u32::from).collect();
    let exact = reduced(&whole);
    if exact.iter().sum::<u32>() <= SLOTS_MAX {
        return exact;
    }
    // Who is due less than a slot gets one; the others share what is left.
    let mut small = vec![false; exact.len()];
    let (mut left, mut sum) = (SLOTS_MAX, exact.iter().sum::<u32>());
    loop {
        let due_less = |(share, small): (&u32, &bool)| !small && u64::from(*share) * u64::from(left) < u64::from(sum);
        let Some(at) = exact.iter().zip(&small).position(due_less) else { break };
        if let (Some(mark), Some(share)) = (small.get_mut(at), exact.get(at)) {
            *mark = true;
            (left, sum) = (left.saturating_sub(1), sum - share);
        }
    }
    let due = |share: u32| u64::from(share) * u64::from(left);
    let part = |share: u32| u32::try_from(due(share) / u64::from(sum.max(1))).unwrap_or(SLOTS_MAX);
    let mut parts: Vec<u32> =
        exact.iter().zip(&small).map(|(share, small)| if *small { 1 } else { part(*share) }).collect();
    // What rounding left goes to those it took most from.
    let mut rests: Vec<(u64, usize)> = exact
        .iter()
        .zip(&small)
        .enumerate()
        .filter(|(_, (_, small))| !**small)
        .map(|(at, (share, _))| (due(*share) % u64::from(sum.max(1)), at))
        .collect();
    rests.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let given = parts.iter().sum::<u32>();
    for (_, at) in rests.into_iter().take(usize::try_from(SLOTS_MAX.saturating_sub(given)).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(at) {
            *part += 1;
        }
    }
    reduced(&parts)
}

/// Divided by what divides all of them.
fn reduced(shares: &[u32]) -> Vec<u32> {
    let common = shares.iter().copied().fold(0, gcd).max(1);
    shares.iter().map(|share| share / common).collect()
}

fn gcd(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn balance(schedule: Schedule, weights: &[u16]) -> Balance {
        let endpoint = |host: u16| SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 | u32::from(host)), 80));
        Balance {
            endpoints: (0..).take(weights.len()).map(endpoint).collect(),
            schedule,
            weights: if weights.iter().all(|weight| *weight == 1) { Box::default() } else { weights.into() },
            ..Balance::default()
        }
    }

    /// The endpoints of the slots by the last number of their address.
    fn order(schedule: Schedule, weights: &[u16]) -> Vec<u8> {
        let host = |at: &SocketAddr| if let SocketAddr::V4(at) = at { at.ip().octets()[3] } else { 255 };
        slots(&balance(schedule, weights)).iter().map(host).collect()
    }

    #[test]
    fn slots_stand_in_the_order_of_smooth_weighted_round_robin() {
        assert_eq!(order(Schedule::Weighted, &[2, 1]), [0, 1, 0]);
        assert_eq!(order(Schedule::Weighted, &[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(Schedule::Weighted, &[30, 10]), [0, 0, 1, 0], "by their common divisor");
        assert_eq!(order(Schedule::Weighted, &[7, 7, 7]), [0, 1, 2]);
        assert_eq!(order(Schedule::Weighted, &[1, 1]), [0, 1], "weights that are not told are 1");
        assert_eq!(order(Schedule::SourceHash, &[1, 2]), [1, 0, 1]);
        for blind in [Schedule::Random, Schedule::RoundRobin, Schedule::DestinationHash, Schedule::LeastConnection] {
            assert_eq!(order(blind, &[5, 1]), [0, 1]);
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_rounded_and_nobody_is_left_out() {
        assert_eq!(shares(&[65535, 1]), [255, 1]);
        assert_eq!(shares(&[300, 301]), [1, 1], "128 and 128");
        assert_eq!(shares(&[97, 3]), [97, 3]);
        assert_eq!(shares(&vec![1; 1000]), vec![1; 1000]);
        let many: Vec<u16> = (1..=1000).collect();
        assert_eq!(shares(&many).len(), 1000);
        assert!(shares(&many).iter().all(|share| *share == 1), "more endpoints than slots");
    }

    proptest! {
        #[test]
        fn every_weight_has_its_slots_to_within_one(weights in proptest::collection::vec(1u16.., 1..40)) {
            let (shares, total) = (shares(&weights), weights.iter().map(|weight| u64::from(*weight)).sum::<u64>());
            let count = u64::from(shares.iter().sum::<u32>());
            prop_assert!(count <= u64::from(SLOTS_MAX) && shares.iter().all(|share| *share > 0));
            // Those below one slot take it from the others: at most one slot each.
            let lifted = weights.iter().filter(|weight| u64::from(**weight) * u64::from(SLOTS_MAX) < 2 * total).count() as u64;
            for (weight, share) in weights.iter().zip(&shares) {
                let (due, has) = (u64::from(*weight) * count, u64::from(*share) * total);
                prop_assert!(has <= due.max(total) + total && due <= has + total * (1 + lifted), "{:?}", shares);
            }
            let found = slots(&balance(Schedule::Weighted, &weights));
            let balance = balance(Schedule::Weighted, &weights);
            for (endpoint, share) in balance.endpoints.iter().zip(&shares) {
                prop_assert_eq!(found.iter().filter(|found| *found == endpoint).count(), *share as usize);
            }
        }

        #[test]
        fn heavier_is_never_rarer(weights in proptest::collection::vec(1u16.., 2..40)) {
            let shares = shares(&weights);
            for (one, other) in weights.iter().zip(&shares).zip(weights.iter().zip(&shares).skip(1)) {
                if one.0 > other.0 {
                    prop_assert!(one.1 >= other.1, "{:?} {:?}", weights, shares);
                }
            }
        }
    }
}
