//! Keeps the sockets equal to what Services ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::locals::Locals;
use super::picker::{Affinity, Backend, Backing, Clients, Live};
use super::plan::{Place, Seat, handed, seats};
use super::site::Site;
use super::socket::{open_tcp, open_udp};
use super::{Drain, Gate, Numbers, Options, Shared, behind, tcp, udp};
use crate::desired::{AffinityOwner, Balance, Change, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::{BoxAddresses, IpFamily, ObjectKey, Protocol};

/// The relay's sockets. Dropping it closes them; connections that are open stay
/// until [`Drain`] or the process ends them.
#[derive(Debug)]
pub struct Relay {
    options: Arc<Options>,
    shared: Arc<Shared>,
    locals: Locals,
    ranges: watch::Sender<Arc<[IpNet]>>,
    services: BTreeMap<ObjectKey, Served>,
    /// Sockets that could not be had, and why. By Service, as all here: a change
    /// costs what its Service has, not what ten thousand others lack.
    faults: BTreeMap<ObjectKey, BTreeMap<Seat, String>>,
    /// Sockets that need a privilege we do not have.
    beyond: BTreeMap<ObjectKey, BTreeSet<Seat>>,
    told_beyond: bool,
    /// What Services are to be told of.
    notices: Vec<Notice>,
    /// Closed once the kernel leads nobody there any more.
    retiring: Vec<Listener>,
}

/// Something that cannot be done for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Service.
    pub service: ObjectKey,
    /// A word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub note: String,
}

/// One Service.
#[derive(Debug)]
struct Served {
    contribution: Arc<Contribution>,
    /// What the kernel is told of it, where that is something else.
    view: Option<Arc<Contribution>>,
    share: Arc<Semaphore>,
    live: BTreeMap<(Protocol, SocketAddr), Arc<Live>>,
    listeners: BTreeMap<Seat, Listener>,
    clients: BTreeMap<Holder, Clients>,
}

/// Who remembers clients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// The frontends of a Service port.
    Port(AffinityOwner),
    /// One socket; clients inside apart where they go elsewhere.
    Socket(Seat, bool),
}

#[derive(Debug)]
struct Listener {
    addr: SocketAddr,
    backing: watch::Sender<Arc<Backing>>,
    task: JoinHandle<()>,
    /// Its address is local by a route of ours.
    covered: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Takes away what a relay before us made local; nothing is served yet.
    pub async fn open(options: Options, addresses: watch::Receiver<BoxAddresses>) -> Relay {
        let (ranges, ranged) = watch::channel(options.service_ranges.as_slice().into());
        let site = Site::new(&options, addresses, ranged);
        Relay {
            locals: Locals::open().await,
            ranges,
            shared: Arc::new(Shared::new(options.connections_max, site)),
            options: Arc::new(options),
            services: BTreeMap::new(),
            faults: BTreeMap::new(),
            beyond: BTreeMap::new(),
            told_beyond: false,
            notices: Vec::new(),
            retiring: Vec::new(),
        }
    }

    /// What is counted.
    pub fn numbers(&self) -> Numbers {
        self.shared.numbers.clone()
    }

    /// Waits for open connections after this value is gone.
    pub fn drain(&self) -> Drain {
        Drain(Arc::clone(&self.shared))
    }

    /// Takes cluster IPs to come from these ranges from now on. In the mode that
    /// carries everything they are made local.
    pub async fn follow_ranges(&mut self, ranges: &Arc<[IpNet]>) {
        self.ranges.send_replace(Arc::clone(ranges));
        if self.options.whole {
            let listeners = self.services.values().flat_map(|served| served.listeners.values());
            let covered = listeners.filter(|listener| listener.covered).map(|listener| listener.addr.ip());
            // An address that the box has besides needs no route of ours.
            let covered = covered.filter(|addr| !self.shared.site.has(*addr));
            self.locals.follow(ranges, covered).await;
        }
    }

    /// Makes the sockets what the changed Services ask for, and answers the changes
    /// as the kernel is to be told them.
    pub async fn apply(&mut self, changes: &[Change]) -> Vec<Change> {
        // First what goes: an address may move from one Service to another.
        let mut views = Vec::new();
        for change in changes {
            views.push(self.view_of(&change.key).or_else(|| change.before.clone()));
            self.close_unwanted(&change.key, change.after.as_ref()).await;
        }
        let mut told = Vec::new();
        for (change, before) in changes.iter().zip(views) {
            let after = match &change.after {
                Some(contribution) => Some(self.serve(contribution).await),
                None => None,
            };
            if before != after {
                told.push(Change { key: change.key.clone(), before, after });
            }
        }
        self.tell_beyond();
        told
    }

    /// Tries again what could not be had, and answers what the kernel is to be told of it.
    pub async fn retry(&mut self) -> Vec<Change> {
        let again = |key: &ObjectKey| {
            let contribution = Arc::clone(&self.services.get(key)?.contribution);
            Some(Change { key: key.clone(), before: Some(Arc::clone(&contribution)), after: Some(contribution) })
        };
        let changes: Vec<Change> = self.faults.keys().filter_map(again).collect();
        self.apply(&changes).await
    }

    /// Closes what the kernel leads nobody to any more.
    pub async fn retire(&mut self) {
        for listener in std::mem::take(&mut self.retiring) {
            self.close(listener).await;
        }
    }

    async fn close(&mut self, mut listener: Listener) {
        // Only when its task is over is the port free for another.
        listener.task.abort();
        drop((&mut listener.task).await);
        if listener.covered {
            self.locals.uncover(listener.addr.ip()).await;
        }
    }

    /// A Service as the kernel is told of it.
    pub fn view(&self, contribution: &Arc<Contribution>) -> Arc<Contribution> {
        self.view_of(&contribution.key).unwrap_or_else(|| Arc::clone(contribution))
    }

    /// Why the sockets are not what the Services ask for. What needs a privilege that
    /// we do not have is none: it was told once, and a restart would not mend it.
    pub fn fault(&self) -> Option<String> {
        let (key, faults) = self.faults.first_key_value()?;
        let (seat, why) = faults.first_key_value()?;
        Some(format!("relay: sockets of {} Services cannot be had; {key} {seat}: {why}", self.faults.len()))
    }

    /// What has come up since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn view_of(&self, key: &ObjectKey) -> Option<Arc<Contribution>> {
        self.services.get(key)?.view.clone()
    }

    async fn close_unwanted(&mut self, key: &ObjectKey, after: Option<&Arc<Contribution>>) {
        let wanted = after.map(|contribution| seats(contribution, &self.options)).unwrap_or_default();
        if let Some(mut faults) = self.faults.remove(key) {
            faults.retain(|seat, _| wanted.contains_key(seat));
            self.faults.extend((!faults.is_empty()).then(|| (key.clone(), faults)));
        }
        self.beyond.remove(key);
        let Some(served) = self.services.get_mut(key) else { return };
        let gone: Vec<_> = served.listeners.extract_if(.., |seat, _| !wanted.contains_key(seat)).collect();
        if after.is_none() {
            self.services.remove(key);
        }
        for (seat, listener) in gone {
            match seat.place {
                Place::Behind(..) => self.retiring.push(listener),
                Place::At(_) | Place::NodePort(..) => self.close(listener).await,
            }
        }
    }

    /// Opens what is missing and tells the rest of its endpoints. Answers what the
    /// kernel is to be told.
    async fn serve(&mut self, contribution: &Arc<Contribution>) -> Arc<Contribution> {
        let key = contribution.key.clone();
        let options = Arc::clone(&self.options);
        let wanted = seats(contribution, &options);
        if wanted.is_empty() && !contribution.relayed && !options.whole {
            // The kernel's alone: ten thousand of these must cost nothing here.
            self.services.remove(&key);
            return Arc::clone(contribution);
        }
        let mut served = self.services.remove(&key).unwrap_or_else(|| Served {
            contribution: Arc::clone(contribution),
            view: None,
            share: self.shared.share(),
            live: BTreeMap::new(),
            listeners: BTreeMap::new(),
            clients: BTreeMap::new(),
        });
        let remembered = std::mem::take(&mut served.clients);
        for (seat, frontend) in wanted {
            let Some(backing) = served.backing(seat, frontend, &remembered) else { continue };
            if let Some(listener) = served.listeners.get(&seat) {
                listener.backing.send_replace(Arc::new(backing));
                continue;
            }
            match self.listen(seat, Arc::new(backing)).await {
                Ok(listener) => {
                    self.forgive(&key, &seat);
                    served.listeners.insert(seat, listener);
                }
                Err(error) => self.note(&key, seat, &error),
            }
        }
        served.forget(contribution);
        served.contribution = Arc::clone(contribution);
        served.view = (contribution.relayed && !self.options.whole).then(|| {
            let sockets = served.listeners.iter().map(|(seat, listener)| (*seat, listener.addr)).collect();
            Arc::new(handed(contribution, &sockets))
        });
        let told = served.view.clone().unwrap_or_else(|| Arc::clone(contribution));
        self.services.insert(key, served);
        told
    }

    async fn listen(&mut self, seat: Seat, backing: Arc<Backing>) -> io::Result<Listener> {
        let wanted = match seat.place {
            Place::At(addr) => addr,
            Place::NodePort(IpFamily::V4, port) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
            Place::NodePort(IpFamily::V6, port) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            Place::Behind(frontend, _) => {
                let addr = behind(&self.options.service_ranges, frontend.family());
                SocketAddr::new(addr.ok_or(io::ErrorKind::AddrNotAvailable)?, 0)
            }
        };
        let gate = match seat.place {
            Place::NodePort(..) => Gate::NodePorts,
            Place::At(_) | Place::Behind(..) => Gate::Any,
        };
        // Every socket on a route of ours counts, or the first to go would take it from the others.
        if !self.locals.has_route(wanted.ip()) {
            match self.spawn(seat.protocol, wanted, false, gate, &backing) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                opened => return opened,
            }
        }
        if !self.locals.cover(wanted.ip()).await {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let opened = self.spawn(seat.protocol, wanted, true, gate, &backing);
        if opened.is_err() {
            self.locals.uncover(wanted.ip()).await;
        }
        opened
    }

    fn spawn(
        &self,
        protocol: Protocol,
        wanted: SocketAddr,
        covered: bool,
        gate: Gate,
        backing: &Arc<Backing>,
    ) -> io::Result<Listener> {
        let (sender, backings) = watch::channel(Arc::clone(backing));
        let shared = Arc::clone(&self.shared);
        let (addr, task) = match protocol {
            Protocol::Tcp => {
                let listener = open_tcp(wanted, covered)?;
                (listener.local_addr()?, tokio::spawn(tcp::serve(listener, backings, gate, shared)))
            }
            Protocol::Udp => {
                let socket = open_udp(wanted, covered)?;
                (socket.local_addr()?, tokio::spawn(udp::serve(socket, backings, gate, shared)))
            }
            Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Listener { addr, backing: sender, task, covered })
    }

    fn note(&mut self, key: &ObjectKey, seat: Seat, error: &io::Error) {
        // An address that is not the box's, or a port below 1024.
        let beyond = matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied);
        if beyond && !self.locals.is_privileged() {
            self.beyond.entry(key.clone()).or_default().insert(seat);
        } else if self.faults.entry(key.clone()).or_default().insert(seat, error.to_string()).is_none() {
            tracing::error!(service = %key, %seat, %error, "the relay cannot listen; trying again");
            let note = format!("cannot listen on {seat}: {error}");
            self.notices.push(Notice { service: key.clone(), reason: "FailedToListen", note });
        }
    }

    fn forgive(&mut self, key: &ObjectKey, seat: &Seat) {
        if let Some(faults) = self.faults.get_mut(key) {
            faults.remove(seat);
            if faults.is_empty() {
                self.faults.remove(key);
            }
        }
    }

    /// Says once what cannot be served for want of privilege.
    fn tell_beyond(&mut self) {
        let first = self.beyond.iter().find_map(|(key, seats)| Some((key, seats.first()?)));
        if let Some((key, seat)) = first.filter(|_| !self.told_beyond) {
            tracing::warn!(
                services = self.beyond.len(), service = %key, %seat,
                "without CAP_NET_ADMIN the addresses of Services cannot be made the box's own: the relay serves node \
                 ports from 1024 on, and addresses the box has already"
            );
            self.told_beyond = true;
        }
    }
}

impl Served {
    fn backends(&mut self, protocol: Protocol, balance: &Balance) -> Vec<Backend> {
        let weights = balance.weights.iter().copied().chain(std::iter::repeat(1));
        let mut backends = Vec::with_capacity(balance.endpoints.len());
        for (addr, weight) in balance.endpoints.iter().zip(weights) {
            let live = Arc::clone(self.live.entry((protocol, *addr)).or_default());
            backends.push(Backend { addr: *addr, weight: weight.into(), live });
        }
        backends
    }

    /// What a frontend's connections may go to; none when it balances over nothing.
    fn backing(&mut self, seat: Seat, frontend: &Frontend, remembered: &BTreeMap<Holder, Clients>) -> Option<Backing> {
        let outside = match &frontend.verdict {
            Verdict::Balance(balance) => Some(balance),
            Verdict::Refuse | Verdict::Drop => None,
        };
        let balance = outside.or(frontend.inside.as_ref())?;
        let backends = outside.map(|balance| self.backends(frontend.protocol, balance)).unwrap_or_default();
        let inside = frontend.inside.as_ref().map(|balance| self.backends(frontend.protocol, balance));
        let (dest, source_ranges): (Option<IpAddr>, _) = match (seat.place, frontend.addr) {
            // The kernel has looked at the source already.
            (Place::Behind(..), FrontendAddr::Virtual(addr)) => (Some(addr), Vec::new()),
            (Place::Behind(..), FrontendAddr::NodePort(_)) => (None, Vec::new()),
            (Place::At(_) | Place::NodePort(..), _) => (None, frontend.source_ranges.clone()),
        };
        Some(Backing {
            backends,
            inside,
            kept: frontend.kept.clone(),
            schedule: balance.schedule,
            affinity: self.affinity(seat, frontend, remembered),
            source_ranges,
            dest,
            share: Arc::clone(&self.share),
        })
    }

    /// How clients of a frontend are remembered; `remembered` has who was so far.
    fn affinity(
        &mut self,
        seat: Seat,
        frontend: &Frontend,
        remembered: &BTreeMap<Holder, Clients>,
    ) -> Option<Affinity> {
        let ms = u64::from(frontend.affinity_seconds()?) * 1000;
        let outside = match &frontend.verdict {
            Verdict::Balance(balance) => balance.affinity_owner,
            Verdict::Refuse | Verdict::Drop => None,
        };
        let inside = frontend.inside.as_ref().and_then(|balance| balance.affinity_owner);
        let mut clients = |owner: Option<AffinityOwner>, inside| {
            let holder = owner.map_or(Holder::Socket(seat, inside), Holder::Port);
            let known = || remembered.get(&holder).cloned().unwrap_or_default();
            self.clients.entry(holder).or_insert_with(known).clone()
        };
        let outside = clients(outside, false);
        let inside = if frontend.inside.is_some() { clients(inside, true) } else { outside.clone() };
        Some(Affinity { ms, clients: outside, inside })
    }

    /// Forgets endpoints that are gone, once their last connection is, and who is bound to
    /// them.
    fn forget(&mut self, contribution: &Contribution) {
        let mut there = BTreeSet::new();
        for frontend in &contribution.frontends {
            there.extend(frontend.endpoints().map(|addr| (frontend.protocol, addr)));
        }
        self.live.retain(|at, live| there.contains(at) || !live.is_idle());
        for (holder, clients) in &self.clients {
            let protocol = match holder {
                Holder::Port(owner) => owner.protocol,
                Holder::Socket(seat, _) => seat.protocol,
            };
            clients.retain(|addr| there.contains(&(protocol, addr)));
        }
    }
}
