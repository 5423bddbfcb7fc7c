//! The endpoints of one frontend and the choice among them: schedule, affinity,
//! and endpoints that just failed. Whoever asks says what time it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::aging::Aging;
use super::site::Site;
use crate::model::balance::Schedule;
use crate::model::schedule::{Load, Scheduler};

/// An endpoint that did not take a connection is passed over for so long, as long
/// as there is another: without it every second client would wait for a dead one.
pub(super) const AVOID_MS: u64 = 5_000;
/// Clients remembered together for affinity. Beyond, the one that would be
/// forgotten first is: a network scan must not fill the memory.
const AFFINITY_CLIENTS_MAX: usize = 65_536;

/// What is counted of one endpoint, over all frontends of its Service.
#[derive(Debug, Default)]
pub(super) struct Live {
    open: AtomicU32,
    avoid_until: AtomicU64,
}

impl Live {
    pub(super) fn avoid(&self, now: u64) {
        self.avoid_until.store(now + AVOID_MS, Ordering::Relaxed);
    }

    fn is_avoided(&self, now: u64) -> bool {
        self.avoid_until.load(Ordering::Relaxed) > now
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }
}

/// An endpoint of a frontend.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) addr: SocketAddr,
    /// Never 0.
    pub(super) weight: u32,
    pub(super) live: Arc<Live>,
}

/// What a frontend's connections may go to.
#[derive(Debug)]
pub(super) struct Backing {
    /// Sorted by address. Empty: nobody for clients outside the cluster.
    pub(super) backends: Vec<Backend>,
    /// Those of clients inside, sorted and not empty, if they go elsewhere.
    pub(super) inside: Option<Vec<Backend>>,
    /// Endpoints that get nothing new and go on with what they have, sorted.
    pub(super) kept: Vec<SocketAddr>,
    pub(super) schedule: Schedule,
    pub(super) affinity: Option<Affinity>,
    /// Empty: every client may connect.
    pub(super) source_ranges: Vec<IpNet>,
    /// The address clients ask for, where the socket's own is another.
    pub(super) dest: Option<IpAddr>,
    /// The Service's share of connections.
    pub(super) share: Arc<Semaphore>,
}

impl Backing {
    /// Whether the source ranges let this client in.
    pub(super) fn admits(&self, client: IpAddr) -> bool {
        self.source_ranges.is_empty() || self.source_ranges.iter().any(|range| range.contains(&client))
    }

    /// Whether an endpoint may get connections.
    pub(super) fn holds(&self, addr: SocketAddr) -> bool {
        let of = |backends: &[Backend]| backends.binary_search_by_key(&addr, |backend| backend.addr).is_ok();
        of(&self.backends) || self.inside.as_deref().is_some_and(of)
    }

    /// Whether an endpoint may go on with the sessions it has.
    pub(super) fn keeps(&self, addr: SocketAddr) -> bool {
        self.holds(addr) || self.kept.binary_search(&addr).is_ok()
    }
}

/// How clients are remembered.
#[derive(Clone, Debug)]
pub(super) struct Affinity {
    /// Since the last connection.
    pub(super) ms: u64,
    pub(super) clients: Clients,
    /// Those of clients inside, where they go elsewhere.
    pub(super) inside: Clients,
}

/// Clients and the endpoints they are bound to, of all frontends that share them.
#[derive(Clone, Debug)]
pub(super) struct Clients(Arc<Mutex<Aging<IpAddr, SocketAddr>>>);

impl Default for Clients {
    fn default() -> Clients {
        Clients(Arc::new(Mutex::new(Aging::new(AFFINITY_CLIENTS_MAX))))
    }
}

impl Clients {
    fn with<T>(&self, act: impl FnOnce(&mut Aging<IpAddr, SocketAddr>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a client is bound to.
    fn bound(&self, client: IpAddr, now: u64) -> Option<SocketAddr> {
        self.with(|clients| {
            while clients.pop_due(now).is_some() {}
            clients.get(&client).copied()
        })
    }

    fn bind(&self, client: IpAddr, addr: SocketAddr, until: u64) {
        self.with(|clients| clients.put(client, addr, until));
    }

    /// Forgets clients whose endpoint is gone.
    pub(super) fn retain(&self, there: impl Fn(SocketAddr) -> bool) {
        self.with(|clients| clients.retain(|_, addr| there(*addr)));
    }
}

/// A chosen endpoint; counts as one open connection until it is dropped.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) addr: SocketAddr,
    live: Arc<Live>,
    /// Others could be tried after it.
    pub(super) others: bool,
}

impl Chosen {
    /// It did not take the connection.
    pub(super) fn failed(&self, now: u64) {
        self.live.avoid(now);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.live.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of choosing for one frontend.
#[derive(Debug)]
pub(super) struct Picker {
    backing: Arc<Backing>,
    site: Site,
    scheduler: Scheduler,
    /// Clients inside have a round of their own.
    inside: Scheduler,
}

impl Picker {
    pub(super) fn new(backing: Arc<Backing>, site: Site) -> Picker {
        let [scheduler, inside] = [(); 2].map(|()| Scheduler::new(backing.schedule));
        Picker { backing, site, scheduler, inside }
    }

    pub(super) fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// Takes over other endpoints.
    pub(super) fn adopt(&mut self, backing: Arc<Backing>) {
        if backing.schedule != self.scheduler.schedule() {
            [self.scheduler, self.inside] = [(); 2].map(|()| Scheduler::new(backing.schedule));
        }
        self.backing = backing;
    }

    /// The endpoint for a connection that has tried some already. One that just
    /// failed comes last; affinity to it is given up.
    pub(super) fn choose(&mut self, client: IpAddr, local: IpAddr, tried: &[SocketAddr], now: u64) -> Option<Chosen> {
        let untried = |backend: &&Backend| !tried.contains(&backend.addr);
        let good = |backend: &&Backend| !backend.live.is_avoided(now);
        let affinity = self.backing.affinity.as_ref();
        let (backends, scheduler, clients) = match &self.backing.inside {
            Some(backends) if self.site.is_inside(client, local) => {
                (backends, &mut self.inside, affinity.map(|affinity| &affinity.inside))
            }
            Some(_) | None => (&self.backing.backends, &mut self.scheduler, affinity.map(|affinity| &affinity.clients)),
        };
        let others = backends.iter().filter(untried).nth(1).is_some();
        let bound = clients.and_then(|clients| clients.bound(client, now));
        let addr = match bound.filter(|addr| {
            let same = backends.iter().filter(untried).find(|backend| backend.addr == *addr);
            same.is_some_and(|backend| good(&backend) || !others)
        }) {
            Some(addr) => addr,
            None => {
                let load = |backend: &Backend| Load {
                    addr: backend.addr,
                    weight: backend.weight,
                    open: backend.live.open.load(Ordering::Relaxed),
                };
                let mut loads: Vec<Load> = backends.iter().filter(untried).filter(good).map(load).collect();
                if loads.is_empty() {
                    loads = backends.iter().filter(untried).map(load).collect();
                }
                scheduler.choose(&loads, client, self.backing.dest.unwrap_or(local))?
            }
        };
        if let Some((clients, affinity)) = clients.zip(affinity) {
            clients.bind(client, addr, now + affinity.ms);
        }
        let at = backends.binary_search_by_key(&addr, |backend| backend.addr).ok()?;
        let live = Arc::clone(&backends.get(at)?.live);
        live.open.fetch_add(1, Ordering::Relaxed);
        Some(Chosen { addr, live, others })
    }
}
