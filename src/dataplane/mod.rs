//! Makes the kernel equal to desired, over netlink.
//!
//! In: [`Contribution`]s, one per Service, and what changed of them. Out: two
//! nftables tables in each family (`edgesvc`, and `edgesvc-anchor` which keeps
//! conntrack's hooks while the first is replaced), the link `edgesvc0`, and
//! conntrack entries deleted where their endpoint is gone (`conntrack`). What always holds: a
//! change is one transaction, a new connection is decided by one lookup, and
//! nothing is removed when the process ends.
//!
//! Client addresses are kept, except where the reply would bypass us: the client
//! is the endpoint itself, both sit on the same link, the client is the box with
//! an address of another link, or the endpoint is off the box (behind a gateway
//! or on a wire) and the client is not in `--cluster-cidr`.

pub mod addresses;
mod affinity;
mod box_links;
mod compare;
mod conntrack;
mod counters;
mod delivery;
mod export;
mod firewalls;
mod hairpin;
pub mod health_check;
mod inspect;
mod kernel;
mod links;
mod live;
mod neighbours;
mod netlink;
mod notes;
mod on_lo;
mod portion;
mod preflight;
mod probe;
mod ranges;
mod reserved;
mod retire;
mod routes;
mod ruleset;
mod sift;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod watch;
mod words;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use crate::desired::{Change, Contribution};
use crate::model::{NodePortAddress, ObjectKey};

pub use box_links::{LinkState, links};
pub use compare::{differences, preview};
pub use counters::{Count, counts};
pub use delivery::{Deliveries, Delivery, Path, Sight, deliveries};
pub use export::export;
pub use inspect::{cleanup, show};
pub use neighbours::{Neighbours, neighbours};
pub use netlink::batch::{CommitError, Refused};
pub use probe::{FLOWS, Feature, HASH, OWNED_TABLES, Probed, SCTP, probe};

pub use trace::{Leg, Origin, Question, Trace, TraceError, trace};

/// Requests that may wait for the thread.
const REQUESTS_MAX: usize = 16;

/// What the dataplane is told at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where cluster IPs come from at first ([`Dataplane::follow_ranges`]): an address
    /// of them that no Service holds is dropped.
    pub service_ranges: Vec<IpNet>,
    /// Addresses our DNS listens on; they are put on our own link.
    pub cluster_dns: Vec<IpAddr>,
    /// Which local addresses answer on node ports; empty means all.
    pub nodeport_addresses: Vec<NodePortAddress>,
    /// Addresses of the box that only Services' frontends may lead to.
    pub behind: Vec<IpAddr>,
    /// Networks of pods, reached without masquerade.
    pub cluster_cidrs: Vec<IpNet>,
    /// Every packet is counted, not connections alone.
    pub count_traffic: bool,
    /// Where node ports come from: the box's own connections are to leave them alone.
    pub node_ports: Option<RangeInclusive<u16>>,
    /// Match local addresses by sets kept up to date instead of `fib`, as is done in
    /// any case where the kernel has no such expression.
    pub address_sets: bool,
    /// The kernel has no `jhash`: where an address is to choose, chance does.
    pub hashless: bool,
    /// The bit in the mark of forwarded packets of Services, and of the rules that let
    /// them pass firewalls of others. Without one neither is made.
    pub forward_mark: Option<u32>,
}

/// What is taken from the kernel at most. Less than it offers makes what we do on
/// older kernels and in containers testable on any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The send buffer to ask for: a transaction has to fit into it whole.
    pub send_buffer_bytes: usize,
    /// Whether tables may be owned, so that nobody else can change them (Linux 6.9).
    pub owned_tables: bool,
    /// The receive buffer to ask for where the kernel tells of connections and of changes of
    /// tables: what does not fit is lost, and all is read anew.
    pub hear_buffer_bytes: usize,
}

impl Default for Ceiling {
    fn default() -> Ceiling {
        Ceiling { send_buffer_bytes: 32 << 20, owned_tables: true, hear_buffer_bytes: 4 << 20 }
    }
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
        missing: String,
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
    /// A rule in our tables that we did not make.
    #[error("chain {0} holds a rule that is not ours")]
    Foreign(String),
    /// The tables could not be written as JSON.
    #[error("JSON: {0}")]
    Export(#[source] serde_json::Error),
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
            | DataplaneError::Foreign(_)
            | DataplaneError::Export(_)
            | DataplaneError::Thread(_) => false,
        }
    }

    /// Whether nf_tables cannot be had here: the kernel lacks it, or we may not use it.
    pub fn is_unavailable(&self) -> bool {
        let lacking = [nix::libc::EPROTONOSUPPORT, nix::libc::EOPNOTSUPP, nix::libc::EINVAL, nix::libc::EAFNOSUPPORT];
        match self {
            DataplaneError::Privilege | DataplaneError::Unsupported { .. } => true,
            DataplaneError::Socket(error) => error.raw_os_error().is_some_and(|number| lacking.contains(&number)),
            _ => self.is_permission(),
        }
    }

    /// Whether the kernel refused what was asked of it, or it does not fit: the fault may
    /// be one Service's.
    fn is_refusal(&self) -> bool {
        matches!(self, DataplaneError::Commit(CommitError::Refused(_) | CommitError::TooLarge { .. }))
    }

    /// Whether a transaction does not fit into the socket's buffer; nothing of it was sent.
    fn is_too_large(&self) -> bool {
        matches!(self, DataplaneError::Commit(CommitError::TooLarge { .. }))
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, DataplaneError::Commit(_) | DataplaneError::Socket(_) | DataplaneError::Denied(_))
    }
}

/// The name of our own link, which holds the addresses of cluster DNS.
pub const LINK_NAME: &str = links::LINK;

/// The name of a link, or its number where it is gone.
fn link_name(index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| index.to_string())
}

/// The Services that the kernel refuses, and why.
pub type Refusals = BTreeMap<ObjectKey, String>;

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that changed something, besides the frame of the transaction.
    pub operations: usize,
}

/// What was done about flows to endpoints that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Conntrack entries deleted since the start.
    pub deleted: u64,
    /// Walks over conntrack's table since the start.
    pub walks: u64,
}

/// What the thread tells once it is open.
#[derive(Debug)]
struct Opening {
    warnings: Vec<String>,
    flows: conntrack::Observer,
    refused: tokio::sync::watch::Receiver<Refusals>,
    tracks_sctp: bool,
}

type Opened = std::sync::mpsc::SyncSender<Result<Opening, DataplaneError>>;

type Answer = oneshot::Sender<Result<Report, DataplaneError>>;

/// What the thread is asked.
#[derive(Debug)]
enum Request {
    Converge(Vec<Arc<Contribution>>, Answer),
    Apply(Vec<Change>, Answer),
    Ranges(Vec<IpNet>, Answer),
}

/// The handle on the thread that owns the kernel's tables. Dropping it ends the
/// thread and leaves the tables.
#[derive(Debug)]
pub struct Dataplane {
    requests: mpsc::Sender<Request>,
    opening: Opening,
}

impl Dataplane {
    /// Probes the kernel, makes our link and routes. Packets are not yet touched.
    pub fn open(options: Options) -> Result<Dataplane, DataplaneError> {
        Dataplane::open_below(options, Ceiling::default())
    }

    /// The same with less than the kernel offers.
    pub fn open_below(options: Options, ceiling: Ceiling) -> Result<Dataplane, DataplaneError> {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (opened, opening) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("dataplane".to_owned());
        thread.spawn(move || serve(options, ceiling, inbox, &opened)).map_err(DataplaneError::Thread)?;
        let opening = opening.recv().map_err(|_| DataplaneError::Stopped)??;
        Ok(Dataplane { requests, opening })
    }

    /// Adopts the tables a process before us left, or makes them, and sends only
    /// what differs from these contributions.
    pub async fn converge(&self, contributions: Vec<Arc<Contribution>>) -> Result<Report, DataplaneError> {
        self.ask(|answer| Request::Converge(contributions, answer)).await
    }

    /// Applies changes in one transaction. (Where the kernel refuses a send buffer
    /// for all of them, as to a container, in several: each Service still moves in
    /// one step.) Foreign changes and changes of the
    /// box's links are followed without being asked.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Report, DataplaneError> {
        self.ask(|answer| Request::Apply(changes, answer)).await
    }

    /// Takes cluster IPs to come from these ranges from now on. Before the first
    /// converge it is only noted.
    pub async fn follow_ranges(&self, ranges: Vec<IpNet>) -> Result<Report, DataplaneError> {
        self.ask(|answer| Request::Ranges(ranges, answer)).await
    }

    /// The Services that the kernel refuses. They hold up no other, keep in the kernel
    /// what it took last, and are tried again.
    pub fn refused(&self) -> tokio::sync::watch::Receiver<Refusals> {
        self.opening.refused.clone()
    }

    /// Whether the kernel follows SCTP associations, without which their ports cannot be
    /// translated: a packet would reach the endpoint at the Service's port.
    pub fn tracks_sctp(&self) -> bool {
        self.opening.tracks_sctp
    }

    /// What start-up found worth telling, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.opening.warnings
    }

    /// Waits until the flows of every change so far were looked at (a change is not
    /// held up by that), and if `settled` a second time, for those that were being
    /// made meanwhile.
    pub async fn flows(&self, settled: bool) -> Result<Flows, DataplaneError> {
        let progress = self.opening.flows.caught_up(settled).await.ok_or(DataplaneError::Stopped)?;
        Ok(Flows { deleted: progress.deleted, walks: progress.walks })
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Report, DataplaneError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| DataplaneError::Stopped)?;
        answered.await.map_err(|_| DataplaneError::Stopped)?
    }
}

/// The thread: opens, tells the warnings or why it could not, and serves.
fn serve(options: Options, ceiling: Ceiling, inbox: mpsc::Receiver<Request>, opened: &Opened) {
    // The runtime is made here: dropping it elsewhere, inside another, would panic.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DataplaneError::Thread);
    let heard = match runtime {
        Err(error) => opened.send(Err(error)),
        Ok(runtime) => runtime.block_on(async {
            let mut worker = match worker::Worker::open(options, ceiling).await {
                Ok(worker) => worker,
                Err(error) => return opened.send(Err(error)),
            };
            let warnings = std::mem::take(&mut worker.warnings);
            let (flows, refused, tracks_sctp) = (worker.observer(), worker.refused(), worker.tracks_sctp);
            opened.send(Ok(Opening { warnings, flows, refused, tracks_sctp }))?;
            watch::serve(worker, inbox).await;
            Ok(())
        }),
    };
    if heard.is_err() {
        tracing::debug!("nobody waits for the dataplane to open");
    }
}
