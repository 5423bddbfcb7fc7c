//! The box as the relay sees it: its addresses and the ranges of Services, which
//! change while we run, and who is who by them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;

use super::plan;
use crate::model::{BoxAddresses, NodePortAddress};

/// What is known of the box, as it is now. A clone sees the same changes.
#[derive(Clone, Debug)]
pub(super) struct Site {
    addresses: watch::Receiver<BoxAddresses>,
    ranges: watch::Receiver<Arc<[IpNet]>>,
    nodeport_addresses: Arc<[NodePortAddress]>,
    cluster_cidrs: Arc<[IpNet]>,
}

impl Site {
    pub(super) fn new(
        options: &super::Options,
        addresses: watch::Receiver<BoxAddresses>,
        ranges: watch::Receiver<Arc<[IpNet]>>,
    ) -> Site {
        Site {
            addresses,
            ranges,
            nodeport_addresses: options.nodeport_addresses.as_slice().into(),
            cluster_cidrs: options.cluster_cidrs.as_slice().into(),
        }
    }

    /// Whether node ports answer on a local address.
    pub(super) fn takes_node_ports(&self, local: IpAddr) -> bool {
        let (ranges, addresses) = (self.ranges.borrow(), self.addresses.borrow());
        plan::takes_node_ports(local, &self.nodeport_addresses, &ranges, &addresses)
    }

    /// Whether a connection to `local` begins in the cluster.
    pub(super) fn is_inside(&self, client: IpAddr, local: IpAddr) -> bool {
        plan::is_inside(client, local, &self.cluster_cidrs, &self.addresses.borrow())
    }

    /// Whether a link of the box has the address.
    pub(super) fn has(&self, addr: IpAddr) -> bool {
        self.addresses.borrow().iter().any(|one| one.addr == addr)
    }
}
