//! Cluster IPs and node ports as pure functions over the claims of a snapshot
//! (spec/service.md sections 4.3 and 5).
//!
//! In: who holds what ([`Claims`]), a pool, and what is wanted. Out: a value that
//! was free in that snapshot, or why there is none. The store has the last word:
//! it refuses a value that was taken meanwhile, and the caller tries again with a
//! newer snapshot. What always holds: a value given lies in the pool and was not
//! claimed; a pool is full only when every value of it is claimed; the cost of a
//! pick follows the longest run of taken neighbours, never the size of the pool.

mod pool;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use imbl::OrdMap;
use ipnet::IpNet;

use crate::model::{Claim, ObjectKey};
use pool::Pool;

/// Who holds what: [`Snapshot::claims`](crate::store::Snapshot::claims), and
/// what the caller has set aside meanwhile.
pub type Claims = OrdMap<Claim, ObjectKey>;

/// Why no value was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// Somebody holds it.
    #[error("provided {kind} is already allocated", kind = word(.0))]
    Taken(Claim),
    /// It is not in any pool.
    #[error("{}", outside(.claim, .pool))]
    OutOfRange {
        /// What was asked for.
        claim: Claim,
        /// The pool of ports, in words.
        pool: String,
    },
    /// Every value of the pool is held.
    #[error("range is full")]
    Full,
}

fn word(claim: &Claim) -> &'static str {
    match claim {
        Claim::ClusterIp(_) => "IP",
        Claim::NodePort(_) => "port",
    }
}

fn outside(claim: &Claim, pool: &str) -> String {
    match claim {
        // Kubernetes names no range here: ServiceCIDRs may be many.
        Claim::ClusterIp(_) => "the provided network does not match the current range".to_owned(),
        Claim::NodePort(_) => {
            format!("provided port is not in the valid range. The range of valid ports is {pool}")
        }
    }
}

/// A free cluster IP of `range`: from the upper band, at random, and from the
/// lowest addresses only when the upper band is full, so that addresses people
/// ask for by number are usually free.
///
/// # Errors
/// [`AllocateError::Full`].
pub fn cluster_ip(claims: &Claims, range: IpNet, rng: &mut fastrand::Rng) -> Result<IpAddr, AllocateError> {
    let pool = Pool::of_network(range);
    let held = |value: u128| claims.contains_key(&Claim::ClusterIp(pool::addr(range, value)));
    pool.pick(held, rng).map(|value| pool::addr(range, value)).ok_or(AllocateError::Full)
}

/// Whether `owner` may have this very cluster IP.
///
/// # Errors
/// [`AllocateError::OutOfRange`] outside every range, and for the network and
/// (IPv4) broadcast address; [`AllocateError::Taken`] when another holds it.
pub fn requested_cluster_ip(
    claims: &Claims,
    ranges: &[IpNet],
    addr: IpAddr,
    owner: &ObjectKey,
) -> Result<(), AllocateError> {
    let claim = Claim::ClusterIp(addr);
    let usable =
        |range: &IpNet| pool::value(*range, addr).is_some_and(|value| Pool::of_network(*range).contains(value));
    if !ranges.iter().any(usable) {
        return Err(AllocateError::OutOfRange { claim, pool: String::new() });
    }
    free(claims, claim, owner)
}

/// The first usable address of a range: that of `default/kubernetes`.
pub fn first_cluster_ip(range: IpNet) -> IpAddr {
    pool::addr(range, Pool::of_network(range).first())
}

/// A free node port of `range`, chosen as cluster IPs are.
///
/// # Errors
/// [`AllocateError::Full`].
pub fn node_port(claims: &Claims, range: &RangeInclusive<u16>, rng: &mut fastrand::Rng) -> Result<u16, AllocateError> {
    let port = |value: u128| u16::try_from(value).unwrap_or(u16::MAX);
    let held = |value: u128| claims.contains_key(&Claim::NodePort(port(value)));
    Pool::of_ports(range).pick(held, rng).map(port).ok_or(AllocateError::Full)
}

/// Whether `owner` may have this very node port.
///
/// # Errors
/// [`AllocateError::OutOfRange`] and [`AllocateError::Taken`].
pub fn requested_node_port(
    claims: &Claims,
    range: &RangeInclusive<u16>,
    port: u16,
    owner: &ObjectKey,
) -> Result<(), AllocateError> {
    let claim = Claim::NodePort(port);
    if !range.contains(&port) {
        return Err(AllocateError::OutOfRange { claim, pool: format!("{}-{}", range.start(), range.end()) });
    }
    free(claims, claim, owner)
}

fn free(claims: &Claims, claim: Claim, owner: &ObjectKey) -> Result<(), AllocateError> {
    match claims.get(&claim) {
        Some(holder) if holder != owner => Err(AllocateError::Taken(claim)),
        Some(_) | None => Ok(()),
    }
}
