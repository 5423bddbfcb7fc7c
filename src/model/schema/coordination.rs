//! `coordination.k8s.io/v1`: Lease.

use super::Shape::{Int32, List, MicroTime, Object, String};
use super::Type;
use super::build::{own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    coordination!(top "Lease" => "Lease is a lock that lapses unless its holder renews it.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("LeaseSpec"), "Who holds it, and until when."),
    ]),
    coordination!(top "LeaseList" => "LeaseList is a list of Leases.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Lease")), "The objects."),
    ]),
    coordination!("LeaseSpec" => "LeaseSpec says who holds a Lease, and until when.", [
        ptr(1, "holderIdentity", String, "Who holds it."),
        ptr(2, "leaseDurationSeconds", Int32, "Seconds others wait after renewTime before they take it."),
        ptr(3, "acquireTime", MicroTime, "When the holder got it."),
        ptr(4, "renewTime", MicroTime, "When the holder renewed it last."),
        ptr(5, "leaseTransitions", Int32, "How often it changed hands."),
        ptr(6, "strategy", String, "How the holder is chosen, for coordinated election."),
        ptr(7, "preferredHolder", String, "Who should get it next, for coordinated election."),
    ]),
];
