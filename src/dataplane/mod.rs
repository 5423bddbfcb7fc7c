//! Makes the kernel equal to desired, over netlink.
//!
//! In: [`Contribution`]s, one per Service, and what changed of them. Out: two
//! nftables tables in each family (`edgesvc`, and `edgesvc-anchor` which keeps
//! conntrack's hooks while the first is replaced), the link `edgesvc0`, and
//! conntrack entries deleted where their endpoint is gone. What always holds: a
//! change is one transaction, a new connection is decided by one lookup, and
//! nothing is removed when the process ends.
//!
//! Client addresses are kept, except where the reply would bypass us: the client
//! is the endpoint itself, both sit on the same link, the client is the box with
//! an address of another link, or the endpoint is off the box (behind a gateway
//! or on a wire) and the client is not in `--cluster-cidr`.

mod conntrack;
mod hairpin;
mod inspect;
mod kernel;
mod links;
mod netlink;
mod table;
mod watch;
mod worker;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use crate::desired::{Change, Contribution};

pub use inspect::{cleanup, show};
pub use netlink::batch::{CommitError, Refused};

/// Requests that may wait for the thread.
const REQUESTS_MAX: usize = 16;

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
    /// No CAP_NET_ADMIN.
    #[error("changing nftables needs root or CAP_NET_ADMIN")]
    Privilege,
    /// The kernel lacks something.
    #[error("the kernel lacks {missing}: build it in, load its module, or use another --proxy-mode")]
    Unsupported {
        /// The CONFIG_ lines.
        missing: &'static str,
        /// What was refused.
        source: CommitError,
    },
    /// Another process owns the tables.
    #[error("the tables belong to another running edgesvc, or privilege is missing: {0}")]
    Denied(#[source] CommitError),
    /// A transaction was refused; nothing of it took effect.
    #[error("nftables: {0}")]
    Commit(#[from] CommitError),
    /// nf_tables could not be read.
    #[error("nftables socket: {0}")]
    Socket(#[source] io::Error),
    /// Links, addresses or routes.
    #[error("link edgesvc0: {0}")]
    Link(#[source] io::Error),
    /// The thread could not be made.
    #[error("thread: {0}")]
    Thread(#[source] io::Error),
}

impl DataplaneError {
    /// Whether a privilege is missing.
    pub fn is_permission(&self) -> bool {
        match self {
            DataplaneError::Privilege => true,
            DataplaneError::Link(error) | DataplaneError::Socket(error) => {
                error.kind() == io::ErrorKind::PermissionDenied
            }
            DataplaneError::Stopped
            | DataplaneError::Unsupported { .. }
            | DataplaneError::Denied(_)
            | DataplaneError::Commit(_)
            | DataplaneError::Thread(_) => false,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, DataplaneError::Commit(_) | DataplaneError::Socket(_) | DataplaneError::Denied(_))
    }
}

/// The name of our own link, which holds the addresses of cluster DNS.
pub const LINK_NAME: &str = links::LINK;

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that changed something, besides the frame of the transaction.
    pub operations: usize,
    /// UDP conntrack entries that pointed to endpoints that are gone.
    pub flows_deleted: usize,
}

type Answer = oneshot::Sender<Result<Report, DataplaneError>>;

/// What the thread is asked.
#[derive(Debug)]
enum Request {
    Converge(Vec<Arc<Contribution>>, Answer),
    Apply(Vec<Change>, Answer),
}

/// The handle on the thread that owns the kernel's tables. Dropping it ends the
/// thread and leaves the tables.
#[derive(Debug)]
pub struct Dataplane {
    requests: mpsc::Sender<Request>,
    warnings: Vec<String>,
}

impl Dataplane {
    /// Probes the kernel, makes our link and routes. Packets are not yet touched.
    pub fn open(options: Options) -> Result<Dataplane, DataplaneError> {
        let worker = worker::Worker::open(options)?;
        let warnings = worker.warnings.clone();
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DataplaneError::Thread)?;
        let thread = std::thread::Builder::new().name("dataplane".to_owned());
        thread.spawn(move || runtime.block_on(watch::serve(worker, inbox))).map_err(DataplaneError::Thread)?;
        Ok(Dataplane { requests, warnings })
    }

    /// Adopts the tables a process before us left, or makes them, and sends only
    /// what differs from these contributions.
    pub async fn converge(&self, contributions: Vec<Arc<Contribution>>) -> Result<Report, DataplaneError> {
        self.ask(|answer| Request::Converge(contributions, answer)).await
    }

    /// Applies changes in one transaction. Foreign changes and changes of the
    /// box's links are followed without being asked.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Report, DataplaneError> {
        self.ask(|answer| Request::Apply(changes, answer)).await
    }

    /// What start-up found worth telling, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Report, DataplaneError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| DataplaneError::Stopped)?;
        answered.await.map_err(|_| DataplaneError::Stopped)?
    }
}
