//! The ranges whose addresses are Services' alone.

use ipnet::IpNet;

use crate::model::{Kind, service_cidr};
use crate::store::Snapshot;

/// Every range of a ServiceCIDR that is in force, sorted, each once.
pub fn service_ranges(snapshot: &Snapshot) -> Vec<IpNet> {
    let held = snapshot.list(Kind::ServiceCidr, None).filter(|object| service_cidr::holds(object));
    let mut ranges: Vec<IpNet> = held.flat_map(|object| service_cidr::ranges(object)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}
