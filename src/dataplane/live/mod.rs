//! Schedules that go by open connections (`lc`, `sed`, `nq`): the kernel's rules know of
//! none, but conntrack tells of each. The slots of such a frontend hold the next choices
//! as they would be if nothing that is open ended, and are written anew when something
//! does, some hundred microseconds later.
//!
//! In: the frontends the kernel holds, and conntrack's words. Out: [`Order`]s to the one
//! who owns the tables. A thread of its own, because every connection of the box is
//! heard, and most are none of its business. What always holds:
//!
//! - Before the first such frontend there is no thread, and without one no socket.
//! - Nothing is asked twice: what is open is read when a frontend begins to be followed
//!   and when words were lost, and else known from words. But where the kernel tells
//!   only of connections that began while somebody listened (`nf_conntrack_events` 2),
//!   those that were open before are looked for again until the last has ended.
//! - One order is under way at a time, whatever has happened in the meantime goes into
//!   the next, and between two the owner has time for others.
//! - A frontend that moves gets slots that are good for it in the same transaction; an
//!   order of before is told by its stamp.
//!
//! Open is a TCP connection from its first packet until either side ends it, and a flow of
//! UDP or SCTP while conntrack knows it. IPVS takes a TCP connection for active once it is
//! established; its lc counts others that it remembers as a 256th of an active one.

mod ear;
mod ring;
mod seat;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::conntrack::entries;
use super::conntrack::entry::Word;
use super::netlink::Link;
use super::table::{Edit, FrontendId, Frontends};
use crate::desired::Frontend;
use ear::{Ear, Heard, Telling};
pub(super) use seat::Write;
use seat::{Followed, Seat, sides};
use tally::{Moved, Tally};

/// Time between an order and the next: it bounds what a storm of connections costs, and
/// more of them than there are turns ahead do not begin in it on the boxes we are for.
const ORDER_PAUSE: Duration = Duration::from_millis(1);
/// Frontends of one order: it fits into the smallest socket buffer, and keeps the owner of
/// the tables from others for a few milliseconds at most.
const WRITES_MAX: usize = 32;
/// So long a connection may be under way between its turn and the word about it.
const TORN_MAX: Duration = Duration::from_millis(10);
/// First and longest pause between looks at connections that are not told of.
const SILENT_PAUSE_MIN: Duration = Duration::from_secs(1);
const SILENT_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Conntrack's table is read at most for this part of the time, when words keep being lost.
const REST_FACTOR: u32 = 3;
const REST_MIN: Duration = Duration::from_millis(10);
/// First and longest pause after something failed.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

type Follows = OrdMap<FrontendId, Followed>;

/// What the owner of the tables is to write, and where the answer goes: whether it did.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) writes: Vec<Write>,
    answer: oneshot::Sender<bool>,
}

impl Order {
    pub(super) fn answer(self, written: bool) {
        if self.answer.send(written).is_err() {
            tracing::debug!("nobody waits for turns to be written");
        }
    }
}

/// The handle on the thread, for the one who changes the kernel.
#[derive(Debug)]
pub(super) struct Follower {
    follows: watch::Sender<Follows>,
    outbox: mpsc::Sender<Order>,
    inbox: Option<mpsc::Receiver<Order>>,
    stamp: u64,
    runs: bool,
    hear_buffer_bytes: usize,
}

impl Follower {
    /// Of a thread that may have so many bytes of words waiting.
    /// The receive buffer to ask for where the kernel tells of what happens.
    pub(super) fn hear_buffer_bytes(&self) -> usize {
        self.hear_buffer_bytes
    }

    pub(super) fn new(hear_buffer_bytes: usize) -> Follower {
        // One at a time: see above.
        let (outbox, inbox) = mpsc::channel(1);
        let follows = watch::Sender::default();
        Follower { follows, outbox, inbox: Some(inbox), stamp: 0, runs: false, hear_buffer_bytes }
    }

    /// Where orders come from; there is one.
    pub(super) fn orders(&mut self) -> Option<mpsc::Receiver<Order>> {
        self.inbox.take()
    }

    /// Whether the kernel still holds the frontend as it was when this was decided.
    pub(super) fn admits(&self, write: &Write) -> bool {
        self.follows.borrow().get(&write.frontend).is_some_and(|followed| followed.stamp == write.stamp)
    }

    /// The kernel made this move.
    pub(super) fn moved(&mut self, edit: &Edit) {
        let mut follows = self.follows.borrow().clone();
        let mut touched = false;
        for (before, after) in edit.moved() {
            let Some(frontend) = after.or(before) else { continue };
            touched |= follows.remove(&id(frontend)).is_some();
            if let Some(after) = after.filter(|after| is_followed(after)) {
                follows.insert(id(after), self.stamped(after, true));
                touched = true;
            }
        }
        if touched {
            self.tell(follows);
        }
    }

    /// The kernel holds these frontends, whatever it held before.
    pub(super) fn adopted(&mut self, now: &Frontends) {
        let follows: Follows =
            now.iter().filter(|one| is_followed(one)).map(|one| (id(one), self.stamped(one, false))).collect();
        if !follows.is_empty() || !self.follows.borrow().is_empty() {
            self.tell(follows);
        }
    }

    fn stamped(&mut self, frontend: &Frontend, fresh: bool) -> Followed {
        self.stamp += 1;
        Followed { frontend: Arc::new(frontend.clone()), stamp: self.stamp, fresh }
    }

    fn tell(&mut self, follows: Follows) {
        self.follows.send_replace(follows);
        if !self.runs {
            let started = self.start();
            self.runs = started.is_ok();
            if let Err(error) = started {
                tracing::warn!(%error, "nobody listens to conntrack: lc, sed and nq go round");
            }
        }
    }

    fn start(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = Listener::new(self.follows.subscribe(), self.outbox.clone(), self.hear_buffer_bytes);
        let thread = std::thread::Builder::new().name("live".to_owned());
        thread.spawn(move || runtime.block_on(listener.serve())).map(drop)
    }
}

fn id(frontend: &Frontend) -> FrontendId {
    (frontend.addr, frontend.protocol, frontend.port)
}

fn is_followed(frontend: &Frontend) -> bool {
    sides(frontend).iter().any(Option::is_some)
}

/// The thread.
struct Listener {
    follows: watch::Receiver<Follows>,
    outbox: mpsc::Sender<Order>,
    ear: Option<Ear>,
    hear_buffer_bytes: usize,
    /// It was said that there are too many connections.
    was_full: bool,
    /// There may be connections that the kernel will never tell of.
    some_silent: bool,
    tally: Tally,
    seats: BTreeMap<FrontendId, Seat>,
    /// Frontends whose turns may be wrong.
    dirty: BTreeSet<FrontendId>,
    /// The one of them that was looked at last.
    last: Option<FrontendId>,
    /// Frontends with turns that were taken and not told, and until when that is borne.
    torn: BTreeMap<FrontendId, Instant>,
    /// The order under way: what of, and its answer.
    asked: Option<(Vec<FrontendId>, oneshot::Receiver<bool>)>,
    order_after: Instant,
    /// Orders that were not written, one after the other.
    refusals: u32,
    /// When conntrack's table is to be read, and not before when.
    recount_at: Option<Instant>,
    recount_after: Instant,
    silent_pause: Duration,
    retry_pause: Duration,
}

impl Listener {
    fn new(mut follows: watch::Receiver<Follows>, outbox: mpsc::Sender<Order>, hear_buffer_bytes: usize) -> Listener {
        follows.mark_changed();
        let now = Instant::now();
        Listener {
            follows,
            outbox,
            ear: None,
            hear_buffer_bytes,
            was_full: false,
            some_silent: false,
            tally: Tally::default(),
            seats: BTreeMap::new(),
            dirty: BTreeSet::new(),
            last: None,
            torn: BTreeMap::new(),
            asked: None,
            order_after: now,
            refusals: 0,
            recount_at: None,
            recount_after: now,
            silent_pause: SILENT_PAUSE_MIN,
            retry_pause: RETRY_PAUSE_MIN,
        }
    }

    /// Serves until nobody can move a frontend any more.
    async fn serve(mut self) {
        loop {
            let next = self.next();
            tokio::select! {
                changed = self.follows.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                ready = ready(self.ear.as_ref()) => match ready {
                    Ok(()) => self.hear(),
                    Err(error) => self.deaf(&error),
                },
                written = answered(&mut self.asked) => self.written(written),
                () = until(next) => self.due(Instant::now()),
            }
            self.order();
        }
    }

    fn next(&self) -> Option<Instant> {
        let order = (self.asked.is_none() && !self.dirty.is_empty() && self.ear.is_some()).then_some(self.order_after);
        let recount = self.recount_at.map(|at| at.max(self.recount_after));
        order.into_iter().chain(recount).chain(self.torn.values().min().copied()).min()
    }

    /// Takes over what the kernel holds now.
    fn follow(&mut self) {
        let follows = self.follows.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.seats);
        for (id, followed) in &follows {
            let known = before.remove(id).filter(|seat| seat.is_of(followed));
            let seat = known.unwrap_or_else(|| {
                self.dirty.insert(*id);
                self.torn.remove(id);
                Seat::of(followed.clone())
            });
            self.seats.insert(*id, seat);
        }
        self.dirty.retain(|id| follows.contains_key(id));
        self.torn.retain(|id, _| follows.contains_key(id));
        if follows.is_empty() {
            (self.ear, self.recount_at, self.tally) = (None, None, Tally::default());
        } else if !self.tally.frontends().iter().eq(follows.keys()) {
            self.recount_at = Some(Instant::now());
            // Before anything is ordered for those that are new.
            self.due(Instant::now());
        }
    }

    fn hear(&mut self) {
        let Listener { ear: Some(ear), tally, seats, dirty, .. } = self else { return };
        let heard = ear.hear(&mut |word, entry| match tally.hear(word, entry) {
            Some(Moved::Opened(opened)) => {
                seats.get_mut(&opened.frontend).into_iter().for_each(|seat| seat.gave(opened.endpoint));
                dirty.insert(opened.frontend);
            }
            Some(Moved::Counted(frontend)) => {
                dirty.insert(frontend);
            }
            None => {}
        });
        match heard {
            Heard::Words => {
                if self.tally.is_bloated() {
                    self.recount_at = Some(Instant::now());
                }
                if self.tally.is_full() && !std::mem::replace(&mut self.was_full, true) {
                    tracing::warn!("more connections are open than lc, sed and nq count; the rest is taken for closed");
                }
            }
            Heard::Overrun => {
                tracing::debug!("conntrack told of more connections than could be heard; they are counted anew");
                self.seats.values_mut().for_each(Seat::lose);
                self.recount_at = Some(Instant::now());
            }
            Heard::Failed(error) => self.deaf(&error),
        }
    }

    /// The socket is of no use, or cannot be had: turns go round until it can.
    fn deaf(&mut self, error: &io::Error) {
        if self.retry_pause == RETRY_PAUSE_MIN {
            tracing::warn!(%error, "conntrack is not heard: lc, sed and nq go round until it is");
        }
        self.ear = None;
        self.seats.values_mut().for_each(Seat::lose);
        self.recount_at = Some(Instant::now() + self.retry_pause);
        self.retry_pause = RETRY_PAUSE_MAX.min(self.retry_pause * 2);
    }

    /// What time has come for.
    fn due(&mut self, now: Instant) {
        for id in self.torn.extract_if(.., |_, until| *until <= now).map(|(id, _)| id) {
            self.seats.get_mut(&id).into_iter().for_each(Seat::lose);
            self.dirty.insert(id);
        }
        if self.recount_at.is_some_and(|at| at.max(self.recount_after) <= now) {
            self.recount_at = None;
            if let Err(error) = self.recount() {
                self.deaf(&error);
            }
        }
    }

    /// Reads what is open. The socket is there first: what changes meanwhile is heard.
    fn recount(&mut self) -> io::Result<()> {
        let telling = Telling::now();
        self.some_silent |= telling != Telling::OfAll;
        if telling == Telling::Nothing {
            return Err(io::Error::other(
                "the kernel tells of no connections (CONFIG_NF_CONNTRACK_EVENTS, net.netfilter.nf_conntrack_events)",
            ));
        }
        if self.ear.is_none() {
            self.ear = Some(Ear::open(self.hear_buffer_bytes)?);
        }
        let begun = Instant::now();
        let mut dumped = self.tally.anew(self.seats.keys().copied().collect());
        let mut link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        entries::visit_translated(&mut link, &mut |entry| {
            dumped.hear(Word::Dumped, entry);
        })?;
        let busy = dumped.busy();
        // Turns were taken before they could be told.
        for (id, seat) in self.seats.iter_mut().filter(|(id, _)| !self.tally.frontends().contains(id)) {
            if busy.contains(id) {
                seat.lose();
            }
        }
        self.tally.replace(dumped);
        self.dirty.extend(self.seats.keys().copied());
        let took = begun.elapsed();
        tracing::debug!(
            ?took,
            connections = self.tally.connections(),
            silent = self.tally.silent(),
            "open connections were counted"
        );
        self.recount_after = Instant::now() + REST_MIN.max(took * REST_FACTOR);
        self.retry_pause = RETRY_PAUSE_MIN;
        if self.tally.silent() > 0 && self.some_silent {
            self.recount_at = Some(Instant::now() + self.silent_pause);
            self.silent_pause = SILENT_PAUSE_MAX.min(self.silent_pause * 2);
        } else {
            self.silent_pause = SILENT_PAUSE_MIN;
        }
        Ok(())
    }

    /// Orders what is to be written, if it is time for that.
    fn order(&mut self) {
        let now = Instant::now();
        if self.asked.is_some() || self.dirty.is_empty() || self.ear.is_none() || now < self.order_after {
            return;
        }
        let mut writes = Vec::new();
        while writes.len() < WRITES_MAX {
            let Some(id) = self.next_dirty() else { break };
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            writes.extend(seat.write(&self.tally));
            if seat.is_torn() {
                self.torn.entry(id).or_insert(now + TORN_MAX);
            } else {
                self.torn.remove(&id);
            }
        }
        if writes.is_empty() {
            return;
        }
        let of = writes.iter().map(|write| write.frontend).collect();
        let (answer, answered) = oneshot::channel();
        // There is room: none is under way. An owner who is gone has no use for it.
        if self.outbox.try_send(Order { writes, answer }).is_ok() {
            self.asked = Some((of, answered));
        }
    }

    /// The next in turn, so that busy ones do not hold up the others.
    fn next_dirty(&mut self) -> Option<FrontendId> {
        let later = self.last.and_then(|last| self.dirty.range((Bound::Excluded(last), Bound::Unbounded)).next());
        self.last = later.or_else(|| self.dirty.first()).copied();
        self.dirty.take(self.last.as_ref()?)
    }

    fn written(&mut self, written: bool) {
        let Some((of, _)) = self.asked.take() else { return };
        self.refusals = if written { 0 } else { self.refusals.saturating_add(1) };
        let mut pause = ORDER_PAUSE;
        if !written {
            if self.refusals == 1 {
                tracing::warn!("the kernel did not take turns of lc, sed or nq; they are tried again");
            }
            for id in of {
                self.seats.get_mut(&id).into_iter().for_each(Seat::forget);
                self.dirty.insert(id);
            }
            pause = RETRY_PAUSE_MAX.min(RETRY_PAUSE_MIN * 2u32.saturating_pow(self.refusals - 1));
        }
        self.order_after = Instant::now() + pause;
    }
}

async fn ready(ear: Option<&Ear>) -> io::Result<()> {
    match ear {
        Some(ear) => ear.ready().await,
        None => pending().await,
    }
}

/// Whether the order under way was written.
async fn answered(asked: &mut Option<(Vec<FrontendId>, oneshot::Receiver<bool>)>) -> bool {
    match asked {
        Some((_, answer)) => answer.await.unwrap_or(false),
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}
