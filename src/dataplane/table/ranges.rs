//! The service ranges as elements of `service-ranges`. Pure.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::element::{Key, Slot, octets};
use super::set::SetName;
use crate::model::IpFamily;

/// From every client to these ranges. Ranges that overlap are one: the kernel takes
/// no interval twice.
pub(in crate::dataplane) fn range_slots(ranges: &[IpNet]) -> BTreeSet<Slot> {
    let slot = |range: &IpNet| {
        let family = IpFamily::of(range.addr());
        let everybody: IpNet = match family {
            IpFamily::V4 => Ipv4Net::default().into(),
            IpFamily::V6 => Ipv6Net::default().into(),
        };
        let start = [octets(everybody.network()), octets(range.network())].concat();
        let end = [octets(everybody.broadcast()), octets(range.broadcast())].concat();
        Slot { family, set: SetName::ServiceRanges, key: Key { start, end: Some(end) } }
    };
    IpNet::aggregate(&ranges.to_vec()).iter().map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(ranges: &[&str]) -> BTreeSet<Slot> {
        range_slots(&ranges.iter().map(|range| range.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn ranges_that_overlap_or_repeat_are_told_once_in_each_family() {
        assert_eq!(slots(&["10.50.0.0/16", "10.50.7.0/24", "10.50.0.0/16"]), slots(&["10.50.0.0/16"]));
        assert_eq!(slots(&["10.50.0.0/24", "10.50.2.0/24", "fd50::/112"]).len(), 3);
        let v4 = slots(&["10.50.0.0/24"]);
        let key = &v4.first().unwrap().key;
        assert_eq!(
            (&*key.start, key.end.as_deref()),
            (&[0, 0, 0, 0, 10, 50, 0, 0][..], Some(&[255, 255, 255, 255, 10, 50, 0, 255][..]))
        );
    }
}
