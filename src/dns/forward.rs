//! Questions about other people's names: asked of the upstreams in turn, the
//! answers remembered for a short while.
//!
//! Always true: the same question is under way at most once, so a loop of
//! forwarders costs one packet and ends in SERVFAIL when its time is over; no
//! question takes longer than [`QUESTION_MAX`]; memory is bounded by
//! [`CACHE_ENTRIES_MAX`] and [`FLIGHTS_MAX`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::exchange::ask;
use super::request::DATAGRAM_BYTES_OURS;
use super::upstream::Directory;

/// Answers remembered. Beyond it the one that is over first makes room.
const CACHE_ENTRIES_MAX: usize = 4096;
/// Seconds an answer is remembered, as CoreDNS' usual configuration; less if its
/// records say so.
const CACHE_SECONDS_MAX: u32 = 30;
/// Questions under way at once; further ones are answered SERVFAIL.
const FLIGHTS_MAX: usize = 1024;
/// How long one upstream may take before the next one is asked.
const UPSTREAM_MAX: Duration = Duration::from_secs(2);
/// How long a question may take: below the five seconds after which clients ask
/// again.
const QUESTION_MAX: Duration = Duration::from_millis(4500);

/// What makes two questions the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Lower case, absolute.
    name: String,
    query_type: u16,
    edns: bool,
    dnssec_ok: bool,
    checking_disabled: bool,
}

/// What an upstream said, without the question and OPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) code: ResponseCode,
    pub(crate) authentic: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

impl Answered {
    fn failure() -> Answered {
        let code = ResponseCode::ServFail;
        Answered { code, authentic: false, answers: vec![], authorities: vec![], additionals: vec![] }
    }

    fn of(message: Message) -> Answered {
        Answered {
            code: message.metadata.response_code,
            authentic: message.metadata.authentic_data,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        }
    }

    /// Seconds it may be remembered; none for failures (RFC 2308 section 5: a
    /// negative answer lives as long as its SOA says).
    fn lifetime(&self) -> Option<u32> {
        let negative = match self.code {
            ResponseCode::NoError => self.answers.is_empty(),
            ResponseCode::NXDomain => true,
            _ => return None,
        };
        let mut records = self.answers.iter().chain(&self.authorities);
        let shortest = if negative {
            self.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })
        } else {
            records.by_ref().map(|record| record.ttl).min()
        };
        shortest.map(|seconds| seconds.min(CACHE_SECONDS_MAX)).filter(|seconds| *seconds > 0)
    }

    /// The answer as it is `age` seconds later.
    fn aged(&self, age: u32) -> Answered {
        let mut aged = self.clone();
        let sections = [&mut aged.answers, &mut aged.authorities, &mut aged.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        aged
    }
}

struct Remembered {
    answered: Arc<Answered>,
    since: Instant,
    until: Instant,
}

type Flight = watch::Receiver<Option<Arc<Answered>>>;

/// Asks upstreams and remembers.
pub(crate) struct Forwarder {
    directory: Directory,
    cache: Mutex<BTreeMap<Key, Remembered>>,
    flights: Mutex<BTreeMap<Key, Flight>>,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What of a client's question matters upstream.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) query: Query,
    /// Whether the client speaks EDNS, and wants DNSSEC records.
    pub(crate) edns: Option<bool>,
    pub(crate) checking_disabled: bool,
}

impl Question {
    fn key(&self) -> Key {
        Key {
            name: self.query.name.to_lowercase().to_ascii(),
            query_type: self.query.query_type.into(),
            edns: self.edns.is_some(),
            dnssec_ok: self.edns.unwrap_or_default(),
            checking_disabled: self.checking_disabled,
        }
    }

    fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(self.query.clone());
        if let Some(dnssec_ok) = self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_BYTES_OURS).set_dnssec_ok(dnssec_ok);
            message.set_edns(edns);
        }
        message
    }
}

impl Forwarder {
    pub(crate) fn new(directory: Directory) -> Arc<Forwarder> {
        Arc::new(Forwarder { directory, cache: Mutex::default(), flights: Mutex::default() })
    }

    /// What the upstreams say; SERVFAIL when none of them says anything.
    pub(crate) async fn resolve(self: &Arc<Self>, question: &Question) -> Arc<Answered> {
        if question.query.query_class != DNSClass::IN {
            return Arc::new(Answered::failure());
        }
        let key = question.key();
        if let Some(remembered) = self.remembered(&key) {
            return remembered;
        }
        let Some(mut flight) = self.join(key, question) else {
            tracing::debug!("too many questions under way upstream");
            return Arc::new(Answered::failure());
        };
        let landed = timeout(QUESTION_MAX, flight.wait_for(Option::is_some)).await;
        let answered = landed.ok().and_then(Result::ok).and_then(|answered| answered.clone());
        answered.unwrap_or_else(|| Arc::new(Answered::failure()))
    }

    fn remembered(&self, key: &Key) -> Option<Arc<Answered>> {
        let cache = locked(&self.cache);
        let found = cache.get(key).filter(|found| Instant::now() < found.until)?;
        let age = u32::try_from(found.since.elapsed().as_secs()).unwrap_or(u32::MAX);
        Some(if age == 0 { Arc::clone(&found.answered) } else { Arc::new(found.answered.aged(age)) })
    }

    /// Joins the question's flight, or starts one.
    fn join(self: &Arc<Self>, key: Key, question: &Question) -> Option<Flight> {
        let mut flights = locked(&self.flights);
        if let Some(flight) = flights.get(&key) {
            return Some(flight.clone());
        }
        if flights.len() >= FLIGHTS_MAX {
            return None;
        }
        let (sender, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let (this, question) = (Arc::clone(self), question.clone());
        // Its own task: a client that goes away does not take the answer from others.
        tokio::spawn(async move {
            let answered = Arc::new(this.fetch(&question).await);
            this.remember(&key, &answered);
            locked(&this.flights).remove(&key);
            sender.send_replace(Some(answered));
        });
        Some(flight)
    }

    /// Asks one upstream after the other; a refusal or failure of one is no
    /// answer while there is another to ask.
    async fn fetch(&self, question: &Question) -> Answered {
        let deadline = Instant::now() + QUESTION_MAX;
        let mut last = Answered::failure();
        for server in self.directory.servers().iter() {
            let until = deadline.min(Instant::now() + UPSTREAM_MAX);
            match timeout_at(until, ask(*server, question.message())).await {
                Ok(Ok(message)) => {
                    let answered = Answered::of(message);
                    if matches!(answered.code, ResponseCode::NoError | ResponseCode::NXDomain) {
                        return answered;
                    }
                    last = answered;
                }
                Ok(Err(error)) => tracing::debug!(%server, %error, "upstream DNS server fails"),
                Err(_) => tracing::debug!(%server, "upstream DNS server does not answer"),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        last
    }

    fn remember(&self, key: &Key, answered: &Arc<Answered>) {
        let Some(seconds) = answered.lifetime() else { return };
        let now = Instant::now();
        let mut cache = locked(&self.cache);
        if cache.len() >= CACHE_ENTRIES_MAX {
            cache.retain(|_, kept| now < kept.until);
        }
        if cache.len() >= CACHE_ENTRIES_MAX
            && let Some(first) = cache.iter().min_by_key(|(_, kept)| kept.until).map(|(key, _)| key.clone())
        {
            cache.remove(&first);
        }
        let until = now + Duration::from_secs(seconds.into());
        cache.insert(key.clone(), Remembered { answered: Arc::clone(answered), since: now, until });
    }

    /// Servers that would be asked now.
    pub(crate) fn servers(&self) -> Arc<[SocketAddr]> {
        self.directory.servers()
    }
}

/// Nothing that holds these locks can leave a map half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The addresses an answer gives, with the aliases that lead to them.
pub(crate) fn is_address_or_alias(record: &Record) -> bool {
    matches!(record.record_type(), RecordType::A | RecordType::AAAA | RecordType::CNAME)
}
