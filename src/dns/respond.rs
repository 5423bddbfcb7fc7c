//! From a packet to its reply: reads, decides, encodes, counts. No socket is
//! touched here; what must wait comes back as [`Outcome::Pending`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hickory_proto::op::{OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Reply, answer};
use super::authority::Authority;
use super::cookie::Cookies;
use super::counters::{Counters, Source};
use super::encode::encode;
use super::forward::{Forwarder, Question};
use super::guard::{Guard, Verdict};
use super::local::local;
use super::record::{Data, Owner, Record};
use super::request::{DATAGRAM_BYTES_OURS, Received, Request, RequestEdns, receive};
use super::search;
use super::stored::Dated;
use super::zone::Zone;

/// How long a question about a missing name waits for the zone to hold what the
/// API has acknowledged: far longer than that takes, and too short to be felt.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// The newest revision of the store: what clients of the API know of.
#[derive(Clone)]
pub struct Newest(pub Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for Newest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Newest")
    }
}

/// Everything an answer depends on beside the zone and the packet.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) authority: Authority,
    pub(crate) counters: Arc<Counters>,
    /// Absent: names that are not ours are answered SERVFAIL.
    pub(crate) forwarder: Option<Arc<Forwarder>>,
    pub(crate) cookies: Cookies,
    /// Absent: the zone is what it is.
    pub(crate) newest: Option<Newest>,
    /// Completes search paths of clients whose Pod is known.
    pub(crate) autopath: bool,
    /// One line of log for each question.
    pub(crate) log: bool,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) addr: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) began: Instant,
    /// At addresses of the LAN: who may ask there, and how often.
    pub(crate) guard: Option<Arc<Guard>>,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is sent.
    Silence,
    /// These bytes are sent.
    Reply(Vec<u8>),
    /// Something must be waited for first: [`Responder::complete`].
    Pending(Box<Pending>),
}

/// A question that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    request: Request,
    client: Client,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// An upstream answers.
    Relay(Question),
    /// These aliases led out of the zone; an upstream knows where to.
    Chase(Reply, Question),
    /// The name is missing; these are what the client would ask next.
    Search(Reply, Vec<Name>),
    /// The name is missing in a zone that is behind this revision.
    CatchUp(Vec<u8>, u64),
}

impl Responder {
    /// Answers one packet.
    pub(crate) fn respond(&self, zone: &Zone, packet: &[u8], client: &Client, rng: &mut Rng) -> Outcome {
        self.read(zone, packet, client, true, rng)
    }

    fn read(&self, zone: &Zone, packet: &[u8], client: &Client, patient: bool, rng: &mut Rng) -> Outcome {
        let (mut request, code) = match receive(packet) {
            Received::Noise => {
                self.counters.add_noise();
                return Outcome::Silence;
            }
            Received::Refused(request, code) => (request, Some(code)),
            Received::Question(request) => (request, None),
        };
        let proven = client.transport == Transport::Tcp || self.greet(&mut request, client.addr);
        if let Some(reply) = self.guarded(&mut request, client, proven) {
            self.counters.add_limited();
            return reply.map_or(Outcome::Silence, |reply| self.finish(&request, &reply, client));
        }
        if let Some(code) = code {
            return self.finish(&request, &Reply::failure(code), client);
        }
        let Some(query) = &request.question else { return Outcome::Silence };
        let query_type = query.query_type;
        match answer(&self.authority, zone, query.name(), query_type, rng) {
            Answer::Here(reply) if reply.code == ResponseCode::NXDomain => {
                if patient && let Some(newest) = self.behind(zone, query.name()) {
                    return pending(request, client, Work::CatchUp(packet.to_vec(), newest));
                }
                match self.search_path(zone, query, client) {
                    Some(names) => pending(request, client, Work::Search(reply, names)),
                    None => self.finish(&request, &reply, client),
                }
            }
            Answer::Here(reply) => self.finish(&request, &reply, client),
            Answer::Chase { reply, target } => {
                let query = Query::query(Name::clone(&target), query_type);
                self.chase(request, query, reply, client)
            }
            Answer::Elsewhere => {
                let query = query.clone();
                match self.short(zone, &query, client, rng) {
                    Some(Answer::Here(reply)) => self.finish(&request, &reply, client),
                    Some(Answer::Chase { reply, target }) => {
                        self.chase(request, Query::query(Name::clone(&target), query_type), reply, client)
                    }
                    Some(Answer::Elsewhere) | None => self.elsewhere(request, query, client),
                }
            }
        }
    }

    /// A Service that a program of the box calls `<service>.<namespace>`, as an alias
    /// of its whole name, where the box was set up to ask us. The C library asks for that as it stands before it looks
    /// at its search list: upstreams would be told of every Service, and a box
    /// without a line would wait for them; musl never gets to the search list.
    fn short(&self, zone: &Zone, query: &Query, client: &Client, rng: &mut Rng) -> Option<Answer> {
        let forwarder = self.forwarder.as_ref()?;
        let asks = matches!(query.query_type, RecordType::A | RecordType::AAAA);
        if !asks
            || client.guard.is_some()
            || !forwarder.directory.is_box(client.addr)
            || !forwarder.directory.box_asks_us()
        {
            return None;
        }
        let whole = search::whole(&self.authority, query.name())?;
        if forwarder.hosts.entries().addresses(&query.name().to_lowercase()).is_some() {
            return None;
        }
        let alias = |reply: Reply| {
            let cname = Data::Cname(whole.clone().into());
            let mut reply = reply.owned_by(&Owner::Name(whole.clone().into()));
            reply.answers.insert(0, Record { owner: Owner::Question, ttl: self.authority.ttl, data: cname });
            reply
        };
        match answer(&self.authority, zone, &whole, query.query_type, rng) {
            Answer::Here(reply) if reply.code == ResponseCode::NoError => Some(Answer::Here(alias(reply))),
            Answer::Chase { reply, target } => Some(Answer::Chase { reply: alias(reply), target }),
            Answer::Here(_) | Answer::Elsewhere => None,
        }
    }

    /// What the guard of an address of the LAN says instead of an answer; silence is
    /// the inner none.
    fn guarded(&self, request: &mut Request, client: &Client, proven: bool) -> Option<Option<Reply>> {
        match client.guard.as_ref()?.judge(client.addr, proven, client.began) {
            Verdict::Answer => None,
            Verdict::Refuse => {
                // A refusal is no longer than the question: it may be a forger's.
                request.edns = request.edns.map(|edns| RequestEdns { cookie: None, ..edns });
                Some(Some(Reply::failure(ResponseCode::Refused)))
            }
            Verdict::Cut => Some(Some(Reply::cut())),
            Verdict::Drop => Some(None),
        }
    }

    /// Reads the client's cookie and makes ours; whether it brought ours back.
    fn greet(&self, request: &mut Request, addr: IpAddr) -> bool {
        let Some(cookie) = request.edns.as_mut().and_then(|edns| edns.cookie.as_mut()) else { return false };
        cookie.reply = Some(self.cookies.make(cookie.client, addr));
        self.cookies.knows(cookie, addr)
    }

    /// The revision to wait for before a name of a namespace that exists is said to
    /// be missing: whoever created it through the API may ask at once.
    fn behind(&self, zone: &Zone, name: &Name) -> Option<u64> {
        let newest = self.newest.as_ref().map(|newest| (newest.0)()).filter(|newest| *newest > zone.revision())?;
        let namespace = self.authority.namespace_of(name)?;
        zone.has_namespace(&namespace).then_some(newest)
    }

    fn search_path(&self, zone: &Zone, query: &Query, client: &Client) -> Option<Vec<Name>> {
        if !self.autopath || !matches!(query.query_type, RecordType::A | RecordType::AAAA) {
            return None;
        }
        let namespace = zone.namespace_of_pod(client.addr)?;
        let box_search = self.forwarder.as_ref().map(|forwarder| forwarder.directory.search()).unwrap_or_default();
        search::path(&self.authority, namespace, query.name(), &box_search)
    }

    /// The addresses of an alias' target, which is not ours.
    fn chase(&self, request: Request, query: Query, reply: Reply, client: &Client) -> Outcome {
        let Some(forwarder) = self.forwards(&request) else { return self.finish(&request, &reply, client) };
        if let Some(known) = local(&forwarder.hosts, &self.authority, &query, Owner::Name(query.name().clone().into()))
        {
            return self.finish(&request, &reply.with(known.answers), client);
        }
        let question = question(&request, query);
        match forwarder.at_once(&question, client.addr) {
            Some(dated) => self.finish(&request, &chased(reply, &dated), client),
            None => pending(request, client, Work::Chase(reply, question)),
        }
    }

    fn elsewhere(&self, request: Request, query: Query, client: &Client) -> Outcome {
        let Some(forwarder) = self.forwards(&request) else {
            return self.finish(&request, &Reply::failure(ResponseCode::ServFail), client);
        };
        if let Some(reply) = local(&forwarder.hosts, &self.authority, &query, Owner::Question) {
            return self.finish(&request, &reply, client);
        }
        if forwarder.is_own(query.name(), query.query_type) {
            return self.finish(&request, &Reply::failure(ResponseCode::ServFail), client);
        }
        self.counters.add_forwarded();
        let question = question(&request, query);
        match forwarder.at_once(&question, client.addr) {
            Some(dated) => Outcome::Reply(self.relay(&request, &dated, client, Source::Cache)),
            None => pending(request, client, Work::Relay(question)),
        }
    }

    fn forwards(&self, request: &Request) -> Option<&Arc<Forwarder>> {
        self.forwarder.as_ref().filter(|_| request.op_code == OpCode::Query)
    }

    /// Waits for what is pending, and answers.
    pub(crate) async fn complete(&self, pending: Pending, mut zones: watch::Receiver<Zone>) -> Vec<u8> {
        let Pending { request, client, work } = pending;
        match work {
            Work::Relay(question) => match self.resolve(&question, &client).await {
                Some(dated) => self.relay(&request, &dated, &client, Source::Upstream),
                None => self.encoded(&request, &Reply::failure(ResponseCode::ServFail), &client, Source::Upstream),
            },
            Work::Chase(reply, question) => {
                let dated = self.resolve(&question, &client).await;
                let reply = match &dated {
                    Some(dated) => chased(reply, dated),
                    None => reply,
                };
                self.encoded(&request, &reply, &client, Source::Upstream)
            }
            Work::Search(missing, names) => {
                let zone = zones.borrow().clone();
                let found = self.search(&zone, &request, &client, names).await;
                self.encoded(&request, &found.unwrap_or(missing), &client, Source::Upstream)
            }
            Work::CatchUp(packet, newest) => {
                // The zone as it is then, even if it is still behind.
                drop(timeout(CATCH_UP_MAX, zones.wait_for(|zone| zone.revision() >= newest)).await);
                let zone = zones.borrow().clone();
                match self.read(&zone, &packet, &client, false, &mut Rng::new()) {
                    Outcome::Silence => Vec::new(),
                    Outcome::Reply(reply) => reply,
                    Outcome::Pending(pending) => Box::pin(self.complete(*pending, zones)).await,
                }
            }
        }
    }

    async fn resolve(&self, question: &Question, client: &Client) -> Option<Dated> {
        match &self.forwarder {
            Some(forwarder) => forwarder.resolve(question, client.addr).await,
            None => None,
        }
    }

    /// What the client would find further down its search path, as an alias of
    /// what it asked; none if nothing of it exists.
    async fn search(&self, zone: &Zone, request: &Request, client: &Client, names: Vec<Name>) -> Option<Reply> {
        let query_type = request.question.as_ref()?.query_type;
        for name in names {
            let alias =
                Record { owner: Owner::Question, ttl: self.authority.ttl, data: Data::Cname(name.clone().into()) };
            let owner = Owner::Name(name.clone().into());
            let found = match answer(&self.authority, zone, &name, query_type, &mut Rng::new()) {
                Answer::Here(reply) => (reply.code == ResponseCode::NoError).then(|| reply.owned_by(&owner)),
                // An alias out of the zone is what the client asks for anyway.
                Answer::Chase { .. } => None,
                Answer::Elsewhere => self.search_elsewhere(request, client, Query::query(name, query_type)).await,
            };
            if let Some(mut reply) = found {
                reply.answers.insert(0, alias);
                return Some(reply);
            }
        }
        None
    }

    async fn search_elsewhere(&self, request: &Request, client: &Client, query: Query) -> Option<Reply> {
        let forwarder = self.forwarder.as_ref()?;
        let owner = Owner::Name(query.name().clone().into());
        if let Some(reply) = local(&forwarder.hosts, &self.authority, &query, owner) {
            return Some(reply);
        }
        let dated = forwarder.resolve(&question(request, query), client.addr).await?;
        let found = dated.stored.code() == ResponseCode::NoError;
        found.then(|| chased(Reply { authoritative: false, ..Reply::found(vec![], vec![]) }, &dated))
    }

    /// An upstream's answer under the client's id and question.
    fn relay(&self, request: &Request, dated: &Dated, client: &Client, source: Source) -> Vec<u8> {
        self.note(request, client, dated.stored.code(), dated.stored.is_empty(), source);
        dated.reply(request, bytes_max(request, client))
    }

    fn finish(&self, request: &Request, reply: &Reply, client: &Client) -> Outcome {
        Outcome::Reply(self.encoded(request, reply, client, Source::Zone))
    }

    fn encoded(&self, request: &Request, reply: &Reply, client: &Client, source: Source) -> Vec<u8> {
        self.note(request, client, reply.code, reply.answers.is_empty(), source);
        encode(request, reply, self.forwarder.is_some(), bytes_max(request, client))
    }

    fn note(&self, request: &Request, client: &Client, code: ResponseCode, empty: bool, source: Source) {
        let question = request.question.as_ref();
        let took = client.began.elapsed();
        self.counters.add(question.map(|question| question.query_type), code, empty);
        self.counters.observe(source, took);
        if self.log {
            let (name, qtype) = question
                .map_or_else(Default::default, |question| (question.name.to_ascii(), question.query_type.to_string()));
            let micros = took.as_micros();
            tracing::info!(client = %client.addr, name, r#type = qtype, code = ?code, source = source.as_str(), micros, "DNS question");
        }
    }
}

fn pending(request: Request, client: &Client, work: Work) -> Outcome {
    Outcome::Pending(Box::new(Pending { request, client: client.clone(), work }))
}

fn question(request: &Request, query: Query) -> Question {
    Question {
        query,
        dnssec_ok: request.edns.is_some_and(|edns| edns.dnssec_ok),
        checking_disabled: request.checking_disabled,
    }
}

fn bytes_max(request: &Request, client: &Client) -> u16 {
    match (client.transport, &client.guard) {
        (Transport::Udp, None) => request.datagram_bytes_max(),
        // On the LAN in one frame, and no more for a forged source than that.
        (Transport::Udp, Some(_)) => request.datagram_bytes_max().min(DATAGRAM_BYTES_OURS),
        (Transport::Tcp, _) => u16::MAX,
    }
}

/// The aliases we know, then the addresses an upstream gives for their target;
/// the aliases alone when it gives none (spec/dns.md section 3).
fn chased(reply: Reply, dated: &Dated) -> Reply {
    let records = dated.answers().into_iter().filter_map(|record| {
        let data = match &record.data {
            RData::A(addr) => Data::A(vec![addr.0]),
            RData::AAAA(addr) => Data::Aaaa(vec![addr.0]),
            RData::CNAME(target) => Data::Cname(Name::clone(target).into()),
            _ => return None,
        };
        Some(Record { owner: Owner::Name(record.name.into()), ttl: record.ttl, data })
    });
    reply.with(records)
}
