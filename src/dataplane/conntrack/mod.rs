//! Flows to endpoints that are gone. A UDP client keeps its source port, so the
//! kernel would send its packets to the old endpoint for ever; a TCP client that
//! got no answer repeats its SYN there until it gives up (spec section 8), and one of
//! SCTP its INIT. What is established is left alone: it ends by itself.
//!
//! In: the newest [`Wanted`]. Out: entries deleted. A thread of its own, because
//! the kernel walks its whole table for each question: tens of milliseconds that no
//! change of a Service waits for. What always holds:
//!
//! - It compares the table with what is wanted, and is told only *when* to look:
//!   one look serves everything that waits, whatever was missed before.
//! - What is about to be deleted is compared once more with the newest state,
//!   which is told of a change before the kernel is. A connection that began after
//!   the look is not touched.
//! - It looks a second time, [`SETTLE`] later: a packet that met the old rules may
//!   enter its flow after the first look. What is half-open goes only then; younger
//!   handshakes with an endpoint that merely lost its readiness end well.
//! - Where tables were made, connections to Services may have been let through untranslated
//!   before: nobody answers those, and they go at once. Left alone, every SYN that is
//!   repeated would follow the first.

pub(super) mod entries;
pub(super) mod entry;
mod known;
mod stale;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;

use super::netlink::Link;
use super::table::{Edit, Frontends, SetName, Slot, frontend_at};
use super::{DataplaneError, Options};
use crate::desired::FrontendAddr;
use crate::model::Protocol;
use entries::Name;
pub(super) use known::{can_be_read, knows};
pub(super) use stale::{Flow, Wanted, leaves_flows};

/// The time between the two looks: no packet is under way in the kernel so long,
/// and no handshake with an endpoint near by takes so long.
const SETTLE: Duration = Duration::from_secs(1);
/// After a look the thread rests so many times as long as it took, at most
/// [`REST_MAX`]: with a million flows and endpoints that come and go all the time it
/// leaves the core to others, and flows still move within seconds.
const REST_FACTOR: u32 = 3;
const REST_MAX: Duration = Duration::from_secs(1);
/// Flows deleted after one look; there is another one for the rest. It bounds memory.
const STALE_MAX: usize = 16_384;
/// First and longest pause before a table that could not be read is looked at again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Those whose flows may lead to endpoints that are gone.
const PROTOCOLS: [Protocol; 3] = [Protocol::Udp, Protocol::Tcp, Protocol::Sctp];

/// The number of the newest change that can have left flows of a protocol behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    udp: u64,
    tcp: u64,
    sctp: u64,
}

impl Marks {
    fn of(&mut self, protocol: Protocol) -> &mut u64 {
        match protocol {
            Protocol::Udp => &mut self.udp,
            Protocol::Tcp => &mut self.tcp,
            Protocol::Sctp => &mut self.sctp,
        }
    }

    /// Whether nothing is left of what was asked.
    fn reach(mut self, mut asked: Marks) -> bool {
        PROTOCOLS.into_iter().all(|protocol| *self.of(protocol) >= *asked.of(protocol))
    }
}

/// What the thread is told: the newest replaces what waits.
#[derive(Clone, Debug, Default)]
struct Order {
    wanted: Wanted,
    marks: Marks,
    /// The newest change before which packets may have met no rules.
    bare: u64,
}

/// What the thread has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Changes looked after once.
    looked: Marks,
    /// Changes looked after twice: nothing of them is left.
    settled: Marks,
    /// Entries deleted since the start.
    pub(super) deleted: u64,
    /// Walks over the kernel's table since the start.
    pub(super) walks: u64,
}

/// Sees what is asked of the thread and what it has done.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    orders: watch::Receiver<Order>,
    progress: watch::Receiver<Progress>,
}

impl Observer {
    /// Waits until everything asked so far was looked after, twice if `settled`.
    pub(super) async fn caught_up(&self, settled: bool) -> Option<Progress> {
        let asked = self.orders.borrow().marks;
        let done = |progress: &Progress| {
            let marks = if settled { progress.settled } else { progress.looked };
            marks.reach(asked)
        };
        self.progress.clone().wait_for(done).await.ok().map(|progress| *progress)
    }
}

/// The handle on the thread, for the one who changes the kernel.
#[derive(Debug)]
pub(super) struct Reconciler {
    orders: watch::Sender<Order>,
    progress: watch::Receiver<Progress>,
    number: u64,
}

impl Reconciler {
    pub(super) fn start(options: &Options) -> Result<Reconciler, DataplaneError> {
        let (ranges, dns) = (options.service_ranges.as_slice().into(), options.cluster_dns.as_slice().into());
        let wanted = Wanted { ranges, dns, ..Wanted::default() };
        let (orders, inbox) = watch::channel(Order { wanted, ..Order::default() });
        let (outbox, progress) = watch::channel(Progress::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(DataplaneError::Thread)?;
        let thread = std::thread::Builder::new().name("conntrack".to_owned());
        let work = move || runtime.block_on(Walker::new(inbox, outbox).serve());
        thread.spawn(work).map_err(DataplaneError::Thread)?;
        Ok(Reconciler { orders, progress, number: 0 })
    }

    pub(super) fn observer(&self) -> Observer {
        Observer { orders: self.orders.subscribe(), progress: self.progress.clone() }
    }

    /// To be told before the kernel changes: flows to new endpoints are right from
    /// now on, those to old ones still are.
    pub(super) fn before(&self, next: &Frontends) {
        self.orders.send_modify(|order| order.wanted.next = Some(next.clone()));
    }

    /// The kernel holds these frontends, after this move.
    pub(super) fn moved(&mut self, now: &Frontends, edit: &Edit) {
        let left = |(before, after)| leaves_flows(before, after);
        let protocols =
            edit.moved().filter(|sides| left(*sides)).filter_map(|(before, after)| Some(after.or(before)?.protocol));
        let protocols: BTreeSet<Protocol> = protocols.collect();
        let gone = edit.moved().filter_map(|(before, after)| before.filter(|_| after.is_none()));
        let gone = gone.map(|frontend| (frontend.addr, frontend.protocol, frontend.port));
        self.tell(now, gone.collect(), &protocols);
    }

    /// The kernel holds these frontends, whatever happened before; it had the UDP
    /// frontends `gone`.
    pub(super) fn adopted(&mut self, now: &Frontends, gone: &BTreeSet<(FrontendAddr, u16)>) {
        let gone = gone.iter().map(|(addr, port)| (*addr, Protocol::Udp, *port)).collect();
        let sctp = now.iter().any(|frontend| frontend.protocol == Protocol::Sctp).then_some(Protocol::Sctp);
        let number = self.number + 1;
        self.orders.send_modify(|order| order.bare = number);
        self.tell(now, gone, &[Protocol::Udp, Protocol::Tcp].into_iter().chain(sctp).collect());
    }

    /// Cluster IPs come from these ranges now.
    pub(super) fn follow_ranges(&mut self, ranges: &[IpNet], now: &Frontends) {
        self.orders.send_modify(|order| order.wanted.ranges = ranges.into());
        self.tell(now, Vec::new(), &BTreeSet::from([Protocol::Udp]));
    }

    fn tell(&mut self, now: &Frontends, gone: Vec<(FrontendAddr, Protocol, u16)>, protocols: &BTreeSet<Protocol>) {
        self.number += 1;
        let number = self.number;
        let mut settled = self.progress.borrow().settled;
        self.orders.send_modify(|order| {
            order.wanted.now = now.clone();
            order.wanted.next = None;
            for protocol in protocols {
                *order.marks.of(*protocol) = number;
            }
            let known = std::mem::take(&mut order.wanted.gone).into_iter();
            let gone =
                known.filter(|(id, number)| *number > *settled.of(id.1)).chain(gone.into_iter().map(|id| (id, number)));
            order.wanted.gone = gone.collect();
        });
    }
}

/// The thread.
struct Walker {
    orders: watch::Receiver<Order>,
    progress: watch::Sender<Progress>,
    link: Option<Link>,
    done: Progress,
    /// When to look a second time, and which change that settles.
    second: BTreeMap<Protocol, (Instant, u64)>,
    /// What is half-open and stale, and since when we know.
    suspects: BTreeMap<Protocol, BTreeMap<Name, Instant>>,
    rest_until: Instant,
    failures: u32,
}

impl Walker {
    fn new(orders: watch::Receiver<Order>, progress: watch::Sender<Progress>) -> Walker {
        Walker {
            orders,
            progress,
            link: None,
            done: Progress::default(),
            second: BTreeMap::new(),
            suspects: BTreeMap::new(),
            rest_until: Instant::now(),
            failures: 0,
        }
    }

    /// Serves until nobody can ask any more.
    async fn serve(mut self) {
        loop {
            let mut asked = self.orders.borrow_and_update().marks;
            let mut next: Option<Instant> = None;
            for protocol in PROTOCOLS {
                let fresh = *asked.of(protocol) > *self.done.looked.of(protocol);
                let second = self.second.get(&protocol).map(|(at, _)| *at);
                let at = if fresh { Some(self.rest_until) } else { second.map(|at| at.max(self.rest_until)) };
                if at.is_some_and(|at| at <= Instant::now()) {
                    self.look(protocol, *asked.of(protocol));
                    next = Some(Instant::now());
                } else {
                    next = next.into_iter().chain(at).min();
                }
            }
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// One look at the flows of a protocol, on behalf of every change up to `asked`.
    fn look(&mut self, protocol: Protocol, asked: u64) {
        let begun = Instant::now();
        let found = self.sweep(protocol);
        let took = begun.elapsed();
        self.rest_until = Instant::now() + REST_MAX.min(took * REST_FACTOR);
        tracing::debug!(%protocol, ?took, "flows were looked at");
        match found {
            // Not all fitted: the same again, as if nothing had been done.
            Ok(STALE_MAX..) => {}
            Ok(_) => {
                self.failures = 0;
                if let Some((_, number)) = self.second.get(&protocol).copied().filter(|(at, _)| *at <= begun) {
                    self.second.remove(&protocol);
                    *self.done.settled.of(protocol) = number;
                }
                *self.done.looked.of(protocol) = asked;
                let suspects = self.suspects.contains_key(&protocol);
                if *self.done.settled.of(protocol) < asked || suspects {
                    self.second.entry(protocol).or_insert_with(|| (Instant::now() + SETTLE, asked));
                }
            }
            Err(error) => self.failed(&error),
        }
        self.done.walks += 1;
        self.progress.send_replace(self.done);
    }

    fn failed(&mut self, error: &io::Error) {
        let pause = RETRY_PAUSE_MAX.min(RETRY_PAUSE_MIN * 2u32.saturating_pow(self.failures));
        if self.failures == 0 {
            tracing::warn!(%error, "conntrack cannot be read; flows to endpoints that are gone stay there for now");
        }
        self.failures = self.failures.saturating_add(1);
        self.link = None;
        self.rest_until = Instant::now() + pause;
    }

    /// Deletes what is stale and answers how many UDP entries that were. What is
    /// half-open and translated only if it was so [`SETTLE`] ago.
    fn sweep(&mut self, protocol: Protocol) -> io::Result<usize> {
        let begun = Instant::now();
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?,
        };
        let local = local_addrs()?;
        let Order { wanted, bare, .. } = self.orders.borrow().clone();
        let bare = bare > *self.done.settled.of(protocol);
        let is_local = |addr: IpAddr| local.contains(&addr);
        let mut stale: Vec<(Flow, Name)> = Vec::new();
        entries::visit(&mut link, protocol, bare, &mut |flow, name| {
            if stale.len() < STALE_MAX && wanted.is_stale(flow, is_local) {
                stale.push((flow, name));
            }
        })?;
        let mut found = stale.len();
        if protocol != Protocol::Udp {
            found = 0;
            let known = self.suspects.remove(&protocol).unwrap_or_default();
            let since = |name: &Name| known.get(name).copied().unwrap_or(begun);
            let is_old = |name: &Name| begun.duration_since(since(name)) >= SETTLE;
            let is_ripe = |(flow, name): &(Flow, Name)| flow.original == flow.reply || is_old(name);
            let young = stale.iter().filter(|entry| !is_ripe(entry));
            let young: BTreeMap<Name, Instant> = young.map(|(_, name)| (name.clone(), since(name))).collect();
            self.suspects.extend((!young.is_empty()).then_some((protocol, young)));
            stale.retain(is_ripe);
        }
        for (flow, name) in stale {
            let still = self.orders.borrow().wanted.is_stale(flow, is_local);
            if still && entries::delete(&mut link, &name)? {
                self.done.deleted += 1;
            }
        }
        self.link = Some(link);
        Ok(found)
    }
}

/// The UDP frontend that an element of `services` or `nodeports` stands for.
pub(super) fn udp_frontend(slot: &Slot) -> Option<(FrontendAddr, u16)> {
    let of_frontends = matches!(slot.set, SetName::Services | SetName::NodePorts);
    let (addr, protocol, port) = frontend_at(slot).filter(|_| of_frontends)?;
    (protocol == Protocol::Udp).then_some((addr, port))
}

/// The addresses of this network namespace.
fn local_addrs() -> io::Result<BTreeSet<IpAddr>> {
    let ip = |found: nix::ifaddrs::InterfaceAddress| {
        let addr = found.address?;
        let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::from(addr.ip()));
        v4.or_else(|| addr.as_sockaddr_in6().map(|addr| addr.ip().into()))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(ip).collect())
}
