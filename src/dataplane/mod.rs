//! Makes the kernel equal to desired, over netlink.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::desired::{Change, Contribution};

/// What the dataplane is told once, at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where cluster IPs come from: an address of them that no Service holds is dropped.
    pub service_ranges: Vec<IpNet>,
    /// Addresses our DNS listens on; they are put on our own link.
    pub cluster_dns: Vec<IpAddr>,
    /// Which local addresses answer on node ports; empty means all.
    pub nodeport_addresses: Vec<IpNet>,
    /// Networks of pods, reached without masquerade.
    pub cluster_cidrs: Vec<IpNet>,
}

/// Why the dataplane could not start or change the kernel.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The thread that owns the sockets is gone.
    #[error("the dataplane has stopped")]
    Stopped,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that changed something, besides the frame of the transaction.
    pub operations: usize,
    /// UDP conntrack entries that pointed to endpoints that are gone.
    pub flows_deleted: usize,
}

/// The handle on the thread that owns the kernel's tables.
#[derive(Debug)]
pub struct Dataplane {}

impl Dataplane {
    /// Probes the kernel, makes our link and routes. Packets are not yet touched.
    pub fn open(_options: Options) -> Result<Dataplane, DataplaneError> {
        Err(DataplaneError::Stopped)
    }

    /// Adopts the tables a process before us left, or makes them, and sends only
    /// what differs from these contributions.
    pub async fn converge(&self, _contributions: Vec<Arc<Contribution>>) -> Result<Report, DataplaneError> {
        Err(DataplaneError::Stopped)
    }

    /// Applies changes in one transaction.
    pub async fn apply(&self, _changes: Vec<Change>) -> Result<Report, DataplaneError> {
        Err(DataplaneError::Stopped)
    }

    /// Resolves when somebody else changed our tables and the repair has been made.
    pub async fn repaired(&mut self) -> Result<Report, DataplaneError> {
        Err(DataplaneError::Stopped)
    }

    /// What start-up found worth telling, one line each.
    pub fn warnings(&self) -> &[String] {
        &[]
    }
}

/// What the kernel holds, per Service frontend, as text. Needs no daemon.
pub fn show() -> Result<String, DataplaneError> {
    Err(DataplaneError::Stopped)
}

/// The ruleset as libnftables JSON. Needs no daemon.
pub fn export() -> Result<String, DataplaneError> {
    Err(DataplaneError::Stopped)
}

/// Removes everything we made from the kernel and answers what that was. Needs no daemon.
pub fn cleanup() -> Result<Vec<String>, DataplaneError> {
    Err(DataplaneError::Stopped)
}
