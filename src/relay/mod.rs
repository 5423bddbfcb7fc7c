//! Carries connections in this process: the userspace proxy. It needs no nf_tables,
//! and for node ports above 1023 no privilege; it tries another endpoint when one
//! does not answer, and holds every schedule exactly, because it knows each
//! connection. Endpoints see the box's address, and a restart cuts what it carries.
//!
//! In: [`Contribution`](crate::desired::Contribution)s and what changed of them.
//! Out: listening sockets, and what the kernel is told instead of Services that ask
//! for the relay while nftables carries the others. What always holds: a socket
//! stays while only endpoints change, every connection counts against a limit, and
//! whoever is over it is refused at once.

mod aging;
mod keeper;
mod locals;
mod picker;
mod plan;
mod pump;
mod site;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::model::{IpFamily, NodePortAddress};
pub use keeper::{Notice, Relay};
use site::Site;

/// Descriptors of one connection at most: two sockets, and a pipe each way.
const CONNECTION_DESCRIPTORS: u64 = 6;
/// Connections and UDP sessions in all, were there descriptors for more: each costs
/// some kilobytes of kernel memory, and the box is small.
const CONNECTIONS_MAX: u64 = 16_384;
/// The part of all connections one Service may hold: one that is flooded leaves
/// half to the others.
const SERVICE_SHARE: usize = 2;
/// How long open connections may go on when we are told to stop.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long connections that are cut may take to see it.
const CUT_MAX: Duration = Duration::from_secs(1);

/// What the relay is told once, at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Every Service is ours. Otherwise those that ask for the relay, and node ports
    /// on loopback, where nftables leaves them alone.
    pub whole: bool,
    /// The ranges configured, which are there for the life of the process: sockets
    /// behind the kernel stand on their own addresses.
    pub service_ranges: Vec<IpNet>,
    /// Which local addresses answer on node ports; empty means all but loopback.
    pub nodeport_addresses: Vec<NodePortAddress>,
    /// Networks of Pods: their clients are bound by policy Local as little as the box's.
    pub cluster_cidrs: Vec<IpNet>,
    /// Connections and UDP sessions there may be at once.
    pub connections_max: usize,
}

/// The connections that so many file descriptors are enough for, beside everything else.
pub fn connections_within(descriptors: u64) -> usize {
    let connections = (descriptors / 2 / CONNECTION_DESCRIPTORS).min(CONNECTIONS_MAX);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

/// Removes the routes a relay made, without a daemon, and answers which.
///
/// # Errors
/// The kernel refuses.
pub fn cleanup() -> io::Result<Vec<String>> {
    // Whoever asks may be inside a runtime: ours lives and ends on a thread of its own.
    let work = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(locals::clean());
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| io::Error::other("the thread ended"))?
}

/// What the relay counts.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Connections and sessions that are open.
    pub open: Gauge,
    /// TCP connections taken.
    pub connections: Counter,
    /// UDP sessions begun.
    pub sessions: Counter,
    /// Endpoints that did not take a connection or datagram, where another was asked.
    pub retries: Counter,
    /// Connections that no endpoint took.
    pub failed: Counter,
    /// Connections and sessions refused because a limit was reached.
    pub refused: Counter,
    bytes: pump::Bytes,
}

impl Numbers {
    /// Bytes from clients to endpoints.
    pub fn sent(&self) -> Counter {
        self.bytes.sent.clone()
    }

    /// Bytes from endpoints to clients.
    pub fn received(&self) -> Counter {
        self.bytes.received.clone()
    }
}

/// What every frontend shares.
#[derive(Debug)]
struct Shared {
    epoch: Instant,
    site: Site,
    connections: Arc<Semaphore>,
    connections_max: usize,
    /// Turns true when what is left is cut.
    cut: watch::Sender<bool>,
    numbers: Numbers,
}

impl Shared {
    fn new(connections_max: usize, site: Site) -> Shared {
        let connections_max = connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Shared {
            epoch: Instant::now(),
            site,
            connections: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            cut: watch::channel(false).0,
            numbers: Numbers::default(),
        }
    }

    /// Milliseconds since the start: the one clock of all tables.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(&self, at: u64) -> Instant {
        self.epoch + Duration::from_millis(at)
    }

    /// The connections of one Service.
    fn share(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new((self.connections_max / SERVICE_SHARE).max(1)))
    }

    /// A place for one more connection of a Service, if there is one.
    fn admit(&self, share: &Arc<Semaphore>) -> Option<Admission> {
        let place = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_owned().ok();
        let Some(places) = place(share).and_then(|own| Some([own, place(&self.connections)?])) else {
            self.numbers.refused.inc();
            return None;
        };
        self.numbers.open.inc();
        Some(Admission { _places: places, open: self.numbers.open.clone() })
    }
}

/// A connection's or session's place, until it ends.
#[derive(Debug)]
struct Admission {
    /// Of its Service, and of all.
    _places: [OwnedSemaphorePermit; 2],
    open: Gauge,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// Waits for the connections that are open when everything stops.
#[derive(Debug)]
pub struct Drain(Arc<Shared>);

impl Drain {
    /// Resolves when all have ended, or when [`DRAIN_MAX`] is over and they are cut.
    pub async fn finish(self) {
        let all = u32::try_from(self.0.connections_max).unwrap_or(u32::MAX);
        if timeout(DRAIN_MAX, self.0.connections.acquire_many(all)).await.is_ok() {
            return;
        }
        let open = self.0.connections_max - self.0.connections.available_permits();
        tracing::warn!(open, "relayed connections are cut by the stop");
        self.0.cut.send_replace(true);
        // The process must outlive their resets: what the kernel closes for us ends in order.
        if timeout(CUT_MAX, self.0.connections.acquire_many(all)).await.is_err() {
            tracing::warn!("some end as if in order");
        }
    }
}

/// Which local addresses of a socket are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Any,
    NodePorts,
}

impl Gate {
    fn admits(self, local: IpAddr, site: &Site) -> bool {
        match self {
            Gate::Any => true,
            Gate::NodePorts => site.takes_node_ports(local),
        }
    }
}

/// The address behind which relayed Services stand while the kernel carries the
/// others: the range's own, which no Service can be given.
pub fn behind(service_ranges: &[IpNet], family: IpFamily) -> Option<IpAddr> {
    service_ranges.iter().map(IpNet::network).find(|addr| IpFamily::of(*addr) == family)
}
