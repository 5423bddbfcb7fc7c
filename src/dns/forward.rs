//! Questions about other people's names: asked of the upstreams, the answers
//! kept, and given beyond their time while no upstream answers.
//!
//! Always true: the same question is under way at most once; a loop of forwarders
//! costs a few packets and ends in SERVFAIL; no question takes longer than
//! [`QUESTION_MAX`]; memory is bounded by the cache and [`FLIGHTS_MAX`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::cache::{Cache, Found, Key};
use super::counters::Counters;
use super::exchange::ask_remote;
use super::hosts::Hosts;
use super::remote::{Remote, order};
use super::request::DATAGRAM_BYTES_OURS;
use super::stored::{Dated, Stored};
use super::tls::{TlsError, connector};
use super::upstream::{Directory, Forwarding, Own, Servers, Upstreams};

/// Questions under way at once; further ones are answered SERVFAIL.
const FLIGHTS_MAX: usize = 1024;
/// Of one client, questions that wait for upstreams: one that asks for thousands of
/// names nobody answers gets SERVFAIL, and the others their turn.
const CLIENT_QUESTIONS_MAX: u32 = 256;
/// How long one upstream may take.
const UPSTREAM_MAX: Duration = Duration::from_secs(3);
/// How long a question may take: below the five seconds after which clients ask
/// again.
const QUESTION_MAX: Duration = Duration::from_millis(4500);
/// How long a client waits before it is given a stale answer (RFC 8767 section 5).
const STALE_WAIT: Duration = Duration::from_millis(1800);

type Flight = watch::Receiver<Option<Landed>>;
/// None: no upstream said anything about the name.
type Landed = Result<Arc<Stored>, ()>;

/// Asks upstreams and remembers.
pub(crate) struct Forwarder {
    pub(crate) directory: Directory,
    pub(crate) hosts: Hosts,
    tls: Option<TlsConnector>,
    cache: Mutex<Cached>,
    flights: Mutex<BTreeMap<Key, Flight>>,
    /// Questions that wait, by client.
    waiting: Mutex<BTreeMap<IpAddr, u32>>,
    probes: Mutex<BTreeMap<Name, Arc<Remote>>>,
    /// Told when a server is found to loop.
    loops: Notify,
    counters: Arc<Counters>,
    /// Where upstreams are waited for, whoever begins it: threads that answer wait for nobody.
    runtime: Handle,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Cached {
    cache: Cache,
    /// Of the upstreams that said so.
    generation: u64,
}

/// What of a client's question matters upstream.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) query: Query,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

impl Question {
    fn key(&self) -> Key {
        let name = self.query.name.to_lowercase();
        let mut bytes = Vec::with_capacity(64);
        for label in name.iter() {
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend_from_slice(label);
        }
        Key {
            name: bytes.into(),
            query_type: self.query.query_type.into(),
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }

    fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM_BYTES_OURS).set_dnssec_ok(self.dnssec_ok);
        message.set_edns(edns);
        message
    }
}

impl Forwarder {
    /// Reads the authorities that upstreams over TLS need; nothing is asked yet. Must be
    /// called within the runtime.
    pub(crate) fn new(forwarding: Forwarding, own: Own, counters: Arc<Counters>) -> Result<Arc<Forwarder>, TlsError> {
        let Forwarding { upstreams, stubs, hosts, ca_file, resolv_conf } = forwarding;
        let named = if let Upstreams::Named(named) = &upstreams { named.as_slice() } else { &[] };
        let over_tls = named.iter().chain(stubs.iter().map(|(_, upstream)| upstream));
        let tls = connector(over_tls, ca_file.as_deref())?;
        Ok(Arc::new(Forwarder {
            tls,
            directory: Directory::new(upstreams, stubs, own).with_resolv_conf(resolv_conf),
            hosts: Hosts::new(hosts),
            cache: Mutex::default(),
            flights: Mutex::default(),
            waiting: Mutex::default(),
            probes: Mutex::default(),
            loops: Notify::new(),
            counters,
            runtime: Handle::current(),
        }))
    }

    /// What is known without asking anybody: fresh, or stale and just found to be
    /// the best there is. `from` is the client.
    pub(crate) fn at_once(self: &Arc<Self>, question: &Question, from: IpAddr) -> Option<Dated> {
        if question.query.query_class != DNSClass::IN {
            return None;
        }
        let key = question.key();
        match self.find(&key)? {
            Found::Fresh { answer, again } => {
                self.counters.add_cache_hit();
                if again {
                    self.counters.add_prefetch();
                    drop(self.join(key, question, from));
                }
                Some(answer)
            }
            Found::Stale { answer, again: false } => {
                self.counters.add_stale();
                Some(answer)
            }
            Found::Stale { again: true, .. } => None,
        }
    }

    /// What the upstreams say; none when none of them says anything and nothing
    /// is remembered.
    pub(crate) async fn resolve(self: &Arc<Self>, question: &Question, from: IpAddr) -> Option<Dated> {
        if let Some(known) = self.at_once(question, from) {
            return Some(known);
        }
        self.counters.add_cache_miss();
        let key = question.key();
        let stale = match self.find(&key) {
            Some(Found::Stale { answer, .. }) => Some(answer),
            Some(Found::Fresh { .. }) | None => None,
        };
        let wait = if stale.is_some() { STALE_WAIT } else { QUESTION_MAX };
        let turn = self.turn(from);
        let landed = match turn.as_ref().and_then(|_| self.join(key, question, from)) {
            Some(mut flight) => {
                let landed = timeout(wait, flight.wait_for(Option::is_some)).await;
                landed.ok().and_then(Result::ok).and_then(|landed| landed.clone())
            }
            None => {
                tracing::debug!(client = %from, "too many questions under way upstream");
                None
            }
        };
        match (landed, stale) {
            // A refusal is worse than what we know (RFC 8767 section 5).
            (Some(Ok(stored)), None) => Some(Dated { stored, age: 0, stale: false }),
            (Some(Ok(stored)), Some(_)) if stored.is_definite() => Some(Dated { stored, age: 0, stale: false }),
            (_, Some(stale)) => {
                // Those who ask next need not wait for the same disappointment.
                locked(&self.cache).cache.failed(&question.key(), Instant::now());
                self.counters.add_stale();
                Some(stale)
            }
            (_, None) => None,
        }
    }

    /// One of the client's turns to wait; none if it has too many.
    fn turn(&self, client: IpAddr) -> Option<Turn<'_>> {
        let mut waiting = locked(&self.waiting);
        let count = waiting.entry(client).or_default();
        if *count >= CLIENT_QUESTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Turn { waiting: &self.waiting, client })
    }

    fn find(&self, key: &Key) -> Option<Found> {
        let generation = self.directory.generation();
        let mut cached = locked(&self.cache);
        if cached.generation != generation {
            cached.cache.clear();
            cached.generation = generation;
        }
        cached.cache.find(key, Instant::now())
    }

    /// Joins the question's flight, or starts one.
    fn join(self: &Arc<Self>, key: Key, question: &Question, from: IpAddr) -> Option<Flight> {
        let servers = self.directory.servers_for(&question.query.name.to_lowercase());
        let mut flights = locked(&self.flights);
        if let Some(flight) = flights.get(&key).cloned() {
            drop(flights);
            // Whom we ask asks us the same: it waits for itself.
            let suspects =
                servers.iter().filter(|remote| remote.upstream.addr.ip() == from || self.directory.is_box(from));
            suspects.for_each(|remote| self.suspect(remote));
            return Some(flight);
        }
        if flights.len() >= FLIGHTS_MAX {
            return None;
        }
        let (sender, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let (this, question) = (Arc::clone(self), question.clone());
        // Its own task: a client that goes away does not take the answer from others.
        self.runtime.spawn(async move {
            let landed = this.fetch(&question, &servers).await.map(Arc::new).ok_or(());
            let now = Instant::now();
            match &landed {
                Ok(stored) if stored.is_definite() => locked(&this.cache).cache.keep(key.clone(), stored, now),
                Ok(_) | Err(()) => locked(&this.cache).cache.failed(&key, now),
            }
            locked(&this.flights).remove(&key);
            sender.send_replace(Some(landed));
        });
        Some(flight)
    }

    /// Asks the servers in order, each beside those before it once they take
    /// longer than usual; the first that says something about the name wins. A
    /// refusal or failure of one is no answer while there is another to ask.
    async fn fetch(self: &Arc<Self>, question: &Question, servers: &Servers) -> Option<Stored> {
        let deadline = Instant::now() + QUESTION_MAX;
        let mut left = order(servers, Instant::now()).into_iter();
        let mut running = JoinSet::new();
        let (mut last, mut silent) = (None, Vec::new());
        loop {
            let next = left.next();
            let pause = next.as_ref().map(|remote| Instant::now() + remote.hedge());
            match next {
                Some(remote) => {
                    silent.push(Arc::clone(&remote));
                    running.spawn(Arc::clone(self).put(remote, question.message(), deadline));
                }
                None if running.is_empty() => return last,
                None => {}
            }
            let pause = pause.unwrap_or(deadline);
            loop {
                let ended = tokio::select! {
                    ended = running.join_next() => ended,
                    () = sleep_until(pause) => break,
                    () = self.loops.notified() => {
                        let now = Instant::now();
                        if silent.iter().all(|remote| remote.is_looping(now)) {
                            running.abort_all();
                            silent.clear();
                            break;
                        }
                        continue;
                    }
                };
                let Some(Ok((remote, answer))) = ended else { break };
                let place = silent.iter().position(|other| Arc::ptr_eq(other, &remote)).unwrap_or_default();
                silent.retain(|other| !Arc::ptr_eq(other, &remote));
                match answer {
                    Some(answer) if answer.is_definite() => {
                        // Those asked before it had more time, and lost.
                        silent.iter().take(place).for_each(|late| late.failed());
                        return Some(answer);
                    }
                    Some(answer) => last = Some(answer),
                    None => {}
                }
                break;
            }
            if Instant::now() >= deadline {
                silent.iter().for_each(|remote| self.suspect(remote));
                return last;
            }
        }
    }

    /// One question to one server, and what that says of the server.
    async fn put(
        self: Arc<Self>,
        remote: Arc<Remote>,
        question: Message,
        deadline: Instant,
    ) -> (Arc<Remote>, Option<Stored>) {
        let began = Instant::now();
        remote.asked();
        let until = deadline.min(began + UPSTREAM_MAX);
        let answer = match timeout_at(until, ask_remote(&remote, self.tls.as_ref(), &question)).await {
            Ok(Ok(message)) => {
                // A refusal says nothing against the server: the name may be broken.
                remote.answered(began.elapsed());
                Stored::of(message)
            }
            Ok(Err(error)) => {
                tracing::debug!(server = %remote.upstream, %error, "upstream DNS server fails");
                remote.failed();
                None
            }
            Err(_) => {
                tracing::debug!(server = %remote.upstream, "upstream DNS server does not answer");
                remote.failed();
                self.suspect(&remote);
                None
            }
        };
        (remote, answer)
    }

    /// Finds out whether what a server is asked comes back to us: asks it for a
    /// name that nobody else can know. At most once in a while for each server.
    fn suspect(self: &Arc<Self>, remote: &Arc<Remote>) {
        if remote.upstream.tls.is_some() || !remote.begin_suspicion(Instant::now()) {
            return;
        }
        let text = format!("{:016x}.{:016x}.", fastrand::u64(..), fastrand::u64(..));
        let Ok(name) = Name::from_ascii(text) else { return };
        locked(&self.probes).insert(name.clone(), Arc::clone(remote));
        let (this, remote) = (Arc::clone(self), Arc::clone(remote));
        self.runtime.spawn(async move {
            let mut question = Message::new(fastrand::u16(..), hickory_proto::op::MessageType::Query, OpCode::Query);
            question.metadata.recursion_desired = true;
            question.add_query(Query::query(name.clone(), RecordType::HINFO));
            // What it answers does not matter: it matters whether we are asked.
            drop(timeout(UPSTREAM_MAX, ask_remote(&remote, None, &question)).await);
            locked(&this.probes).remove(&name);
        });
    }

    /// Whether a question is our own, come back; whoever brought it is then left
    /// out.
    pub(crate) fn is_own(&self, name: &Name, query_type: RecordType) -> bool {
        if query_type != RecordType::HINFO {
            return false;
        }
        let Some(remote) = locked(&self.probes).get(&name.to_lowercase()).cloned() else { return false };
        remote.set_looping(Instant::now());
        self.counters.add_loop();
        self.loops.notify_waiters();
        true
    }

    /// Answers remembered, and their bytes.
    pub(crate) fn cached(&self) -> (usize, usize) {
        locked(&self.cache).cache.size()
    }
}

/// A place among the questions of one client; free again when dropped.
struct Turn<'f> {
    waiting: &'f Mutex<BTreeMap<IpAddr, u32>>,
    client: IpAddr,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = locked(self.waiting);
        match waiting.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(waiting.remove(&self.client)),
        }
    }
}

/// Nothing that holds these locks can leave a map half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
