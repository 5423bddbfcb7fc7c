//! From a packet to its reply: reads, decides, encodes, counts. No socket is
//! touched here; what needs an upstream comes back as [`Outcome::Pending`].

use std::sync::Arc;

use fastrand::Rng;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData};

use super::answer::{Answer, Reply, answer};
use super::authority::Authority;
use super::counters::Counters;
use super::encode::encode;
use super::forward::{Answered, Forwarder, Question, is_address_or_alias};
use super::record::{Data, Owner, Record};
use super::request::{DATAGRAM_BYTES_OURS, Received, Request, receive};
use super::zone::Zone;

/// Everything an answer depends on beside the zone and the packet.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) authority: Authority,
    pub(crate) counters: Arc<Counters>,
    /// Absent: names that are not ours are answered SERVFAIL.
    pub(crate) forwarder: Option<Arc<Forwarder>>,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is sent.
    Silence,
    /// These bytes are sent.
    Reply(Vec<u8>),
    /// An upstream must be asked first: [`Responder::complete`].
    Pending(Box<Pending>),
}

/// A question that waits for an upstream.
#[derive(Debug)]
pub(crate) struct Pending {
    forwarder: Arc<Forwarder>,
    request: Request,
    question: Question,
    transport: Transport,
    /// What we already know: the aliases that led out of the zone.
    known: Option<Reply>,
}

impl Responder {
    /// Answers one packet.
    pub(crate) fn respond(&self, zone: &Zone, packet: &[u8], transport: Transport, rng: &mut Rng) -> Outcome {
        let (request, question) = match receive(packet) {
            Received::Noise => {
                self.counters.add_noise();
                return Outcome::Silence;
            }
            Received::Refused(request, code) => return self.finish(&request, &Reply::failure(code), transport),
            Received::Question(request, question) => (request, question),
        };
        let Query { name, query_type, .. } = &question;
        match answer(&self.authority, zone, name, *query_type, rng) {
            Answer::Here(reply) => self.finish(&request, &reply, transport),
            Answer::Chase { reply, target } => {
                let query = Query::query(target, *query_type);
                self.forward(request, query, Some(reply), transport)
            }
            Answer::Elsewhere => {
                self.counters.add_forwarded();
                self.forward(request, question, None, transport)
            }
        }
    }

    fn forward(&self, request: Request, query: Query, known: Option<Reply>, transport: Transport) -> Outcome {
        let Some(forwarder) = self.forwarder.as_ref().filter(|_| request.op_code == OpCode::Query) else {
            // An alias alone is an answer; without one there is nothing to say.
            let reply = known.unwrap_or_else(|| Reply::failure(ResponseCode::ServFail));
            return self.finish(&request, &reply, transport);
        };
        let question = Question {
            query,
            edns: request.edns.map(|edns| edns.dnssec_ok),
            checking_disabled: request.checking_disabled,
        };
        Outcome::Pending(Box::new(Pending { forwarder: Arc::clone(forwarder), request, question, transport, known }))
    }

    /// Asks upstream and answers what was pending.
    pub(crate) async fn complete(&self, pending: Pending) -> Vec<u8> {
        let Pending { forwarder, request, question, transport, known } = pending;
        let answered = forwarder.resolve(&question).await;
        match known {
            Some(reply) => self.encoded(&request, &chased(reply, &answered), transport),
            None => self.relay(&request, &answered, transport),
        }
    }

    /// An upstream's answer under the client's id and question.
    fn relay(&self, request: &Request, answered: &Answered, transport: Transport) -> Vec<u8> {
        let qtype = request.question.as_ref().map(|question| question.query_type);
        self.counters.add(qtype, answered.code, answered.answers.is_empty());
        let mut message = Message::response(request.id, request.op_code);
        message.metadata.response_code = answered.code;
        message.metadata.recursion_desired = request.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = request.checking_disabled;
        message.metadata.authentic_data = answered.authentic;
        message.add_queries(request.question.iter().cloned());
        message.answers.clone_from(&answered.answers);
        message.authorities.clone_from(&answered.authorities);
        message.additionals.clone_from(&answered.additionals);
        if let Some(edns) = request.edns {
            let mut ours = Edns::new();
            ours.set_max_payload(DATAGRAM_BYTES_OURS).set_dnssec_ok(edns.dnssec_ok);
            message.set_edns(ours);
        }
        let bytes_max = usize::from(bytes_max(request, transport));
        let whole = message.to_vec().ok().filter(|bytes| bytes.len() <= bytes_max);
        // Nothing of what was cut: the client asks again over TCP.
        whole.or_else(|| message.truncate().to_vec().ok()).unwrap_or_default()
    }

    fn finish(&self, request: &Request, reply: &Reply, transport: Transport) -> Outcome {
        Outcome::Reply(self.encoded(request, reply, transport))
    }

    fn encoded(&self, request: &Request, reply: &Reply, transport: Transport) -> Vec<u8> {
        let qtype = request.question.as_ref().map(|question| question.query_type);
        self.counters.add(qtype, reply.code, reply.answers.is_empty());
        encode(request, reply, self.forwarder.is_some(), bytes_max(request, transport))
    }
}

fn bytes_max(request: &Request, transport: Transport) -> u16 {
    match transport {
        Transport::Udp => request.datagram_bytes_max(),
        Transport::Tcp => u16::MAX,
    }
}

/// The aliases we know, then the addresses an upstream gives for their target;
/// the aliases alone when it gives none (spec/dns.md section 3).
fn chased(mut reply: Reply, answered: &Answered) -> Reply {
    for record in answered.answers.iter().filter(|record| is_address_or_alias(record)) {
        let data = match &record.data {
            RData::A(addr) => Data::A(addr.0),
            RData::AAAA(addr) => Data::Aaaa(addr.0),
            RData::CNAME(target) => Data::Cname(Name::clone(target)),
            _ => continue,
        };
        reply.answers.push(Record { owner: Owner::Name(record.name.clone()), ttl: record.ttl, data });
    }
    reply
}
