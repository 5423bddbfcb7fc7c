//! Cluster IPs and node ports as pure functions over the claims of a snapshot
//! (spec/service.md sections 4.3 and 5). What is returned is free in those
//! claims; the store's uniqueness check decides races.
//!
//! A pick starts at a random value and walks the claims in order to the first
//! gap: O(log n) to find the start, then one step per claim in the run it meets,
//! so at worst O(n) in claims and never in the size of the range.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use imbl::OrdMap;
use ipnet::IpNet;

use crate::model::{Claim, ObjectKey};

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// Nothing is free.
    #[error("range is full")]
    Full,
    /// The value asked for is held.
    #[error("provided {what} is already allocated")]
    Taken {
        /// `IP` or `port`.
        what: &'static str,
    },
    /// The value asked for is not in the range, which is quoted.
    #[error("provided {what} is not in the valid range. The range of valid {what}s is {range}")]
    OutOfRange {
        /// `IP` or `port`.
        what: &'static str,
        /// The range as configured.
        range: String,
    },
}

/// The usable addresses of a service range: without network and, in IPv4,
/// broadcast address. Absent if nothing is left.
pub fn usable(range: IpNet) -> Option<RangeInclusive<IpAddr>> {
    let (first, last) = bounds(range);
    (first <= last).then(|| address(range, first)..=address(range, last))
}

/// How many of the lowest addresses dynamic picks leave for requests.
pub fn address_band(range: IpNet) -> u128 {
    let bits = u32::from(range.max_prefix_len() - range.prefix_len());
    band(1u128.checked_shl(bits).unwrap_or(u128::MAX), 16, 256)
}

/// How many of the lowest node ports dynamic picks leave for requests.
pub fn port_band(range: &RangeInclusive<u16>) -> u128 {
    let size = (u128::from(*range.end()) + 1).saturating_sub(u128::from(*range.start()));
    band(size, 32, 128)
}

/// A free cluster IP.
pub fn cluster_ip(
    claims: &OrdMap<Claim, ObjectKey>,
    range: IpNet,
    rng: &mut fastrand::Rng,
) -> Result<IpAddr, AllocateError> {
    let (first, last) = bounds(range);
    let claim = |at| Claim::ClusterIp(address(range, at));
    pick(claims, first, last, address_band(range), claim, rng).map(|at| address(range, at)).ok_or(AllocateError::Full)
}

/// Whether a cluster IP asked for can be had.
pub fn request_cluster_ip(
    claims: &OrdMap<Claim, ObjectKey>,
    range: IpNet,
    wanted: IpAddr,
) -> Result<(), AllocateError> {
    if !usable(range).is_some_and(|usable| usable.contains(&wanted)) {
        return Err(out_of_range("IP", range));
    }
    if claims.contains_key(&Claim::ClusterIp(wanted)) { Err(AllocateError::Taken { what: "IP" }) } else { Ok(()) }
}

/// A free node port.
pub fn node_port(
    claims: &OrdMap<Claim, ObjectKey>,
    range: &RangeInclusive<u16>,
    rng: &mut fastrand::Rng,
) -> Result<u16, AllocateError> {
    let (first, last) = (u128::from(*range.start()), u128::from(*range.end()));
    let claim = |at| Claim::NodePort(u16::try_from(at).unwrap_or(u16::MAX));
    let picked = pick(claims, first, last, port_band(range), claim, rng);
    picked.and_then(|at| u16::try_from(at).ok()).ok_or(AllocateError::Full)
}

/// Whether a node port asked for can be had.
pub fn request_node_port(
    claims: &OrdMap<Claim, ObjectKey>,
    range: &RangeInclusive<u16>,
    wanted: u16,
) -> Result<(), AllocateError> {
    if !range.contains(&wanted) {
        return Err(out_of_range("port", format!("{}-{}", range.start(), range.end())));
    }
    if claims.contains_key(&Claim::NodePort(wanted)) { Err(AllocateError::Taken { what: "port" }) } else { Ok(()) }
}

fn out_of_range(what: &'static str, range: impl Display) -> AllocateError {
    AllocateError::OutOfRange { what, range: range.to_string() }
}

fn band(size: u128, share: u128, most: u128) -> u128 {
    if size <= 16 { 0 } else { (size / share).max(16).min(most) }
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

fn address(range: IpNet, number: u128) -> IpAddr {
    match range {
        IpNet::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpNet::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

fn bounds(range: IpNet) -> (u128, u128) {
    let last = number(range.broadcast());
    let last = if matches!(range, IpNet::V4(_)) { last.saturating_sub(1) } else { last };
    (number(range.network()).saturating_add(1), last)
}

/// From a random start above the band with wrap-around, then in the band.
fn pick(
    claims: &OrdMap<Claim, ObjectKey>,
    first: u128,
    last: u128,
    band: u128,
    claim: impl Fn(u128) -> Claim,
    rng: &mut fastrand::Rng,
) -> Option<u128> {
    let dynamic = first.saturating_add(band);
    let mut scan = |low: u128, high: u128| {
        if low > high {
            return None;
        }
        let start = rng.u128(low..=high);
        gap(claims, start, high, &claim)
            .or_else(|| if start > low { gap(claims, low, start - 1, &claim) } else { None })
    };
    scan(dynamic, last).or_else(|| if band > 0 { scan(first, last.min(dynamic - 1)) } else { None })
}

/// The lowest value in `low..=high` that no claim holds.
fn gap(claims: &OrdMap<Claim, ObjectKey>, low: u128, high: u128, claim: &impl Fn(u128) -> Claim) -> Option<u128> {
    let mut free = low;
    for (held, _) in claims.range(claim(low)..=claim(high)) {
        if *held != claim(free) {
            return Some(free);
        }
        if free == high {
            return None;
        }
        free += 1;
    }
    Some(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner() -> ObjectKey {
        ObjectKey::new("n", "a")
    }

    #[test]
    fn bands_and_usable_addresses_are_those_of_the_table() {
        for (range, band, first, last) in [
            ("10.96.0.0/16", 256, "10.96.0.1", "10.96.255.254"),
            ("10.0.0.0/20", 256, "10.0.0.1", "10.0.15.254"),
            ("10.0.0.0/24", 16, "10.0.0.1", "10.0.0.254"),
            ("10.0.0.0/27", 16, "10.0.0.1", "10.0.0.30"),
            ("10.0.0.0/28", 0, "10.0.0.1", "10.0.0.14"),
            ("fd00::/112", 256, "fd00::1", "fd00::ffff"),
        ] {
            let range: IpNet = range.parse().unwrap();
            assert_eq!(address_band(range), band, "{range}");
            assert_eq!(usable(range), Some(first.parse().unwrap()..=last.parse().unwrap()), "{range}");
        }
        assert_eq!(port_band(&(30000..=32767)), 86);
    }

    #[test]
    fn requests_are_refused_in_words() {
        let range: IpNet = "10.0.0.0/28".parse().unwrap();
        let claims = OrdMap::unit(Claim::NodePort(30001), owner());
        for (wanted, good) in [("10.0.0.0", false), ("10.0.0.15", false), ("10.0.0.14", true), ("10.0.1.1", false)] {
            assert_eq!(request_cluster_ip(&claims, range, wanted.parse().unwrap()).is_ok(), good, "{wanted}");
        }
        let ports = 30000..=32767;
        let taken = request_node_port(&claims, &ports, 30001).unwrap_err();
        assert_eq!(taken.to_string(), "provided port is already allocated");
        let outside = request_node_port(&claims, &ports, 80).unwrap_err();
        assert!(outside.to_string().ends_with("30000-32767"), "{outside}");
    }

    proptest! {
        #[test]
        fn no_value_twice_dynamic_first_and_exactly_full(seed: u64, prefix in 24u8..=30) {
            let range: IpNet = format!("10.0.0.0/{prefix}").parse().unwrap();
            let (first, last) = bounds(range);
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut claims = OrdMap::new();
            let mut picked = Vec::new();
            while let Ok(addr) = cluster_ip(&claims, range, &mut rng) {
                let above = number(addr) >= first + address_band(range);
                let left = (last - first + 1) - picked.len() as u128;
                prop_assert_eq!(above, left > address_band(range));
                prop_assert!(claims.insert(Claim::ClusterIp(addr), owner()).is_none());
                picked.push(addr);
            }
            prop_assert_eq!(picked.len() as u128, last - first + 1);
            let freed = picked[picked.len() / 2];
            claims.remove(&Claim::ClusterIp(freed));
            prop_assert_eq!(cluster_ip(&claims, range, &mut rng), Ok(freed));
        }
    }

    #[test]
    fn a_wide_ipv6_range_costs_nothing() {
        let range: IpNet = "fd00::/64".parse().unwrap();
        let addr = cluster_ip(&OrdMap::new(), range, &mut fastrand::Rng::with_seed(1)).unwrap();
        assert!(range.contains(&addr));
    }
}
