//! From a packet to its reply: reads, decides, encodes, counts. No socket is
//! touched here; what needs an upstream comes back as [`Outcome::Pending`].

use std::sync::Arc;

use fastrand::Rng;
use hickory_proto::op::{Query, ResponseCode};

use super::answer::{Answer, Reply, answer};
use super::authority::Authority;
use super::counters::Counters;
use super::encode::encode;
use super::request::{Received, Request, receive};
use super::zone::Zone;

/// Everything an answer depends on beside the zone and the packet.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) authority: Authority,
    pub(crate) counters: Arc<Counters>,
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
                tracing::trace!(%target, "no upstream to resolve the target of an ExternalName");
                self.finish(&request, &reply, transport)
            }
            Answer::Elsewhere => {
                self.counters.add_forwarded();
                self.finish(&request, &Reply::failure(ResponseCode::ServFail), transport)
            }
        }
    }

    fn finish(&self, request: &Request, reply: &Reply, transport: Transport) -> Outcome {
        let qtype = request.question.as_ref().map(|question| question.query_type);
        self.counters.add(qtype, reply.code, reply.answers.is_empty());
        let bytes_max = match transport {
            Transport::Udp => request.datagram_bytes_max(),
            Transport::Tcp => u16::MAX,
        };
        Outcome::Reply(encode(request, reply, false, bytes_max))
    }
}
