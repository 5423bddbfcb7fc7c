//! Bridge ports that may send a frame back to where it came from.
//!
//! With br_netfilter (`net.bridge.bridge-nf-call-iptables`, on wherever Docker
//! runs), a connection of a container to a Service is translated while its frames
//! still cross the bridge. Where the endpoint chosen is the client itself, the
//! bridge would have to send them out of the port they came in by, and drops them
//! unless that port is in hairpin mode: one connection in N of a backend to its
//! own Service would hang. The kubelet solves it the same way (`hairpin-veth`).
//!
//! A port we switch is noted in the set `hairpin-ports` of our table, so that the
//! next process, or `dataplane cleanup`, knows which were ours.

use std::collections::BTreeSet;

use super::links::BoxLinks;
use super::table::{SetName, Slot};
use crate::model::IpFamily;

/// Whether bridged packets meet our rules.
pub(super) fn bridged_packets_are_translated() -> bool {
    IpFamily::BOTH.into_iter().any(translates_bridged)
}

/// The same of one family: the switches of br_netfilter in this network namespace.
/// Absent files mean that it is not loaded.
pub(super) fn translates_bridged(family: IpFamily) -> bool {
    let path = match family {
        IpFamily::V4 => "/proc/sys/net/bridge/bridge-nf-call-iptables",
        IpFamily::V6 => "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
    };
    std::fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")
}

/// The ports of these bridges that lead to one container or guest each and
/// cannot yet send back. A port to a wire is left alone: whatever is behind it
/// would hear its own broadcasts.
pub(super) fn ports(links: &BoxLinks, bridges: &BTreeSet<u32>) -> BTreeSet<u32> {
    let to_one_guest = |kind: Option<&str>| matches!(kind, Some("veth" | "tun" | "netkit"));
    let needs = links.iter().filter(|(_, link)| {
        link.master.is_some_and(|master| bridges.contains(&master))
            && to_one_guest(link.kind.as_deref())
            && !link.hairpin
    });
    needs.map(|(index, _)| *index).collect()
}

/// Links are of no family; the note stands in the IPv4 table.
pub(super) fn note(index: u32) -> Slot {
    Slot::new(IpFamily::V4, SetName::HairpinPorts, index.to_ne_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::links::BoxLink;
    use super::*;

    fn link(kind: Option<&str>, master: Option<u32>, hairpin: bool) -> BoxLink {
        BoxLink { name: String::new(), kind: kind.map(str::to_owned), master, hairpin }
    }

    #[test]
    fn only_ports_to_guests_of_bridges_with_endpoints_are_switched() {
        let links = BoxLinks::from([
            (1, link(Some("bridge"), None, false)),
            (2, link(Some("veth"), Some(1), false)),
            (3, link(Some("tun"), Some(1), false)),
            (4, link(None, Some(1), false)),
            (5, link(Some("veth"), Some(1), true)),
            (6, link(Some("veth"), Some(9), false)),
            (7, link(Some("veth"), None, false)),
        ]);
        assert_eq!(ports(&links, &BTreeSet::from([1])), BTreeSet::from([2, 3]));
        assert!(ports(&links, &BTreeSet::new()).is_empty());
    }
}
