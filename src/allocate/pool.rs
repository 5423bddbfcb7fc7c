//! A run of numbers with a static band at its lower end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Numbers from `first` to `last`, of which the first `band` are given out only
/// when nothing else is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    first: u128,
    last: u128,
    band: u128,
}

impl Pool {
    /// The usable addresses of a network as offsets from its network address:
    /// not the network address, and in IPv4 not the broadcast address.
    pub(super) fn of_network(range: IpNet) -> Pool {
        let bits = u32::from(range.max_prefix_len() - range.prefix_len());
        let size = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
        let last = if range.addr().is_ipv4() { size.saturating_sub(2) } else { size - 1 };
        // Kubernetes: none up to 16 addresses, then a sixteenth, 16 to 256.
        let band = if size <= 16 { 0 } else { (size / 16).clamp(16, 256) };
        Pool { first: 1, last: last.max(1), band }
    }

    /// The ports of a range.
    pub(super) fn of_ports(range: &RangeInclusive<u16>) -> Pool {
        let (first, last) = (u128::from(*range.start()), u128::from(*range.end()));
        let size = last.saturating_sub(first) + 1;
        // Kubernetes: none up to 16 ports, then a thirty-second, 16 to 128.
        let band = if size <= 16 { 0 } else { (size / 32).clamp(16, 128) };
        Pool { first, last, band }
    }

    pub(super) fn first(self) -> u128 {
        self.first
    }

    pub(super) fn contains(self, value: u128) -> bool {
        (self.first..=self.last).contains(&value)
    }

    #[cfg(test)]
    pub(super) fn parts(self) -> (u128, u128, u128) {
        (self.first, self.first + self.band, self.last)
    }

    /// A value that is not held: of the dynamic part, else of the band.
    pub(super) fn pick(self, held: impl Fn(u128) -> bool, rng: &mut fastrand::Rng) -> Option<u128> {
        let dynamic = self.first + self.band;
        let upper = if dynamic <= self.last { scan(dynamic, self.last, &held, rng) } else { None };
        upper.or_else(|| if self.band > 0 { scan(self.first, dynamic - 1, &held, rng) } else { None })
    }
}

/// The first free value from a random one on, around the end. At worst it looks
/// at every taken value once; in a half-full pool at two.
fn scan(first: u128, last: u128, held: impl Fn(u128) -> bool, rng: &mut fastrand::Rng) -> Option<u128> {
    let start = rng.u128(first..=last);
    (start..=last).chain(first..start).find(|value| !held(*value))
}

/// The address at an offset of a network.
pub(super) fn addr(range: IpNet, value: u128) -> IpAddr {
    match range.network() {
        IpAddr::V4(base) => {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            IpAddr::V4(Ipv4Addr::from(u32::from(base).saturating_add(value)))
        }
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base).saturating_add(value))),
    }
}

/// The offset of an address in a network.
pub(super) fn value(range: IpNet, addr: IpAddr) -> Option<u128> {
    if !range.contains(&addr) {
        return None;
    }
    match (range.network(), addr) {
        (IpAddr::V4(base), IpAddr::V4(addr)) => Some(u128::from(u32::from(addr) - u32::from(base))),
        (IpAddr::V6(base), IpAddr::V6(addr)) => Some(u128::from(addr) - u128::from(base)),
        _ => None,
    }
}
