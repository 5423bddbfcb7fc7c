//! An upstream's answer as it is kept: the bytes of a message without OPT, and
//! where its TTLs stand. Kept as bytes because they are a tenth of the parsed
//! records, and because an answer from the cache is then a copy. Pure.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use super::encode::{HEADER_BYTES, write_opt};
use super::request::Request;

/// Longest time an answer is kept as fresh, in seconds, whatever it says: an
/// hour, after which a wrong one of an upstream mends itself.
const POSITIVE_SECONDS_MAX: u32 = 3600;
/// The same for "there is no such name": what is set up now must be found soon.
const NEGATIVE_SECONDS_MAX: u32 = 60;
/// TTL of records served when no upstream answers (RFC 8767 section 4).
const STALE_TTL_SECONDS: u32 = 30;

/// An answer, ready to be sent again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    bytes: Box<[u8]>,
    /// Where the questions end.
    question_end: usize,
    /// Where the TTL of each record stands.
    ttls: Box<[u16]>,
    code: ResponseCode,
    answers: u16,
    /// Seconds it may be kept; none for failures.
    lifetime: Option<u32>,
}

/// An answer as of now.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    pub(crate) stored: std::sync::Arc<Stored>,
    /// Seconds since it was given.
    pub(crate) age: u32,
    /// Past its time, served because nothing better can be had.
    pub(crate) stale: bool,
}

impl Stored {
    /// Keeps an upstream's answer; none if it does not fit a message.
    pub(crate) fn of(mut message: Message) -> Option<Stored> {
        message.edns = None;
        message.signature = None;
        // OPT outside its place would be sent on as ours.
        for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
            section.retain(|record| record.record_type() != RecordType::OPT);
        }
        let lifetime = lifetime(&message);
        let bytes = message.to_vec().ok().filter(|bytes| bytes.len() <= usize::from(u16::MAX))?;
        let records = message.answers.len() + message.authorities.len() + message.additionals.len();
        let mut at = HEADER_BYTES;
        for _ in &message.queries {
            at = name_end(&bytes, at)? + 4;
        }
        let question_end = at;
        let mut ttls = Vec::with_capacity(records);
        for _ in 0..records {
            at = name_end(&bytes, at)? + 4;
            ttls.push(u16::try_from(at).ok()?);
            let length = bytes.get(at + 4..at + 6)?;
            at += 6 + usize::from(u16::from_be_bytes(length.try_into().ok()?));
        }
        let answers = u16::try_from(message.answers.len()).ok()?;
        let code = message.metadata.response_code;
        Some(Stored { bytes: bytes.into(), question_end, ttls: ttls.into(), code, answers, lifetime })
    }

    pub(crate) fn code(&self) -> ResponseCode {
        self.code
    }

    /// No records of the type asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.answers == 0
    }

    /// Whether it says something about the name, and not that the server failed.
    pub(crate) fn is_definite(&self) -> bool {
        matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain)
    }

    pub(crate) fn lifetime(&self) -> Option<u32> {
        self.lifetime
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Stored>() + self.bytes.len() + size_of_val::<[u16]>(&self.ttls)
    }
}

impl Dated {
    /// The reply to a client, in at most `bytes_max` bytes: whole, or nothing but
    /// the word that it was cut, so that the client asks again over TCP.
    pub(crate) fn reply(&self, request: &Request, bytes_max: u16) -> Vec<u8> {
        let Stored { bytes, question_end, ttls, code, .. } = &*self.stored;
        let whole = bytes.len() + request.opt_bytes() <= usize::from(bytes_max);
        let kept = if whole { bytes.len() } else { *question_end };
        let mut reply = Vec::with_capacity(kept + request.opt_bytes());
        reply.extend_from_slice(bytes.get(..kept).unwrap_or_default());
        if whole {
            for at in ttls {
                self.write_ttl(&mut reply, usize::from(*at));
            }
        }
        // Of the upstream's flags only AD is its to say.
        let authentic = u16::from(bytes.get(3).copied().unwrap_or_default() & 0x20);
        let flags = request.reply_flags(*code, !whole) | authentic;
        if let Some([id, word, counts @ ..]) = reply.first_chunk_mut::<HEADER_BYTES>().map(halves) {
            *id = request.id.to_be_bytes();
            *word = flags.to_be_bytes();
            if let [_, records @ ..] = counts
                && !whole
            {
                records.fill([0; 2]);
            }
        }
        self.write_question(&mut reply, request);
        if let Some(edns) = &request.edns {
            write_opt(&mut reply, *code, edns);
            // The OPT record is one more of the additional section.
            if let Some([.., count]) = reply.first_chunk_mut::<HEADER_BYTES>().map(halves) {
                *count = u16::from_be_bytes(*count).saturating_add(1).to_be_bytes();
            }
        }
        reply
    }

    /// The answer's records, for a reply that begins with records of our own.
    pub(crate) fn answers(&self) -> Vec<Record> {
        let read = Message::from_vec(&self.stored.bytes).map(|message| message.answers);
        let mut answers = read.unwrap_or_default();
        for record in &mut answers {
            record.ttl = self.ttl(record.ttl);
        }
        answers
    }

    fn ttl(&self, given: u32) -> u32 {
        if self.stale { STALE_TTL_SECONDS } else { given.saturating_sub(self.age) }
    }

    fn write_ttl(&self, reply: &mut [u8], at: usize) {
        if let Some(place) = reply.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *place = self.ttl(u32::from_be_bytes(*place)).to_be_bytes();
        }
    }

    /// The question in the case the client asked it; only letters differ.
    fn write_question(&self, reply: &mut [u8], request: &Request) {
        let Some(question) = &request.question else { return };
        let mut at = HEADER_BYTES;
        for label in question.name.iter() {
            at += 1;
            if let Some(place) = reply.get_mut(at..at + label.len()) {
                place.copy_from_slice(label);
            }
            at += label.len();
        }
    }
}

/// Seconds it may be kept (RFC 2308 section 5: a negative answer lives as long as
/// its SOA says, and not at all without one).
fn lifetime(message: &Message) -> Option<u32> {
    let negative = match message.metadata.response_code {
        ResponseCode::NoError => message.answers.is_empty(),
        ResponseCode::NXDomain => true,
        _ => return None,
    };
    let kept = if negative {
        let soa = message.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        soa.map(|seconds| seconds.min(NEGATIVE_SECONDS_MAX))
    } else {
        let shortest = message.answers.iter().chain(&message.authorities).map(|record| record.ttl).min();
        shortest.map(|seconds| seconds.min(POSITIVE_SECONDS_MAX))
    };
    kept.filter(|seconds| *seconds > 0)
}

/// The six words of a header.
fn halves(head: &mut [u8; HEADER_BYTES]) -> &mut [[u8; 2]] {
    head.as_chunks_mut().0
}

/// Where the name at `at` ends; none if it runs out of the message.
fn name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xC0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_proto::op::{Edns, Query};
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;
    use crate::dns::request::{Received, receive};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn request(text: &str, edns: bool) -> Request {
        let mut message = Message::query();
        message.add_query(Query::query(name(text), RecordType::A));
        if edns {
            message.set_edns(Edns::new());
        }
        let Received::Question(request) = receive(&message.to_vec().unwrap()) else { panic!("a question") };
        request
    }

    fn stored(records: u8) -> Arc<Stored> {
        let mut message = Message::query().into_response();
        message.add_query(Query::query(name("www.example.com."), RecordType::A));
        message.add_answers((0..records).map(|n| {
            Record::from_rdata(name("www.example.com."), 100, RData::A(A(std::net::Ipv4Addr::new(192, 0, 2, n))))
        }));
        message.set_edns(Edns::new());
        Arc::new(Stored::of(message).unwrap())
    }

    #[test]
    fn a_kept_answer_comes_back_older_and_in_the_case_of_the_client() {
        let dated = Dated { stored: stored(2), age: 30, stale: false };
        for edns in [false, true] {
            let request = request("wWw.EXAMPLE.com.", edns);
            let reply = Message::from_vec(&dated.reply(&request, 512)).unwrap();
            assert_eq!((reply.metadata.id, reply.edns.is_some()), (request.id, edns));
            assert_eq!(reply.queries[0].name.to_ascii(), "wWw.EXAMPLE.com.");
            assert!(reply.answers.iter().all(|record| record.ttl == 70) && reply.answers.len() == 2);
        }
        let stale = Dated { stale: true, age: 5000, ..dated };
        assert!(stale.answers().iter().all(|record| record.ttl == STALE_TTL_SECONDS));
    }

    #[test]
    fn what_does_not_fit_a_datagram_is_cut_to_the_question() {
        let dated = Dated { stored: stored(100), age: 0, stale: false };
        for edns in [false, true] {
            let reply = Message::from_vec(&dated.reply(&request("www.example.com.", edns), 512)).unwrap();
            assert!(reply.metadata.truncation && reply.answers.is_empty() && reply.queries.len() == 1);
            assert_eq!(reply.edns.is_some(), edns);
        }
        assert_eq!(
            Message::from_vec(&dated.reply(&request("www.example.com.", true), u16::MAX)).unwrap().answers.len(),
            100
        );
    }

    #[test]
    fn answers_live_as_long_as_they_say_and_no_longer_than_we_allow() {
        let kept = |code, ttl, soa: Option<u32>| {
            let mut message = Message::query().into_response();
            message.metadata.response_code = code;
            if let Some(ttl) = ttl {
                message.add_answer(Record::from_rdata(name("a."), ttl, RData::A(A([192, 0, 2, 1].into()))));
            }
            if let Some(minimum) = soa {
                let soa = SOA::new(name("ns."), name("h."), 1, 2, 3, 4, minimum);
                message.add_authority(Record::from_rdata(name("."), 3000, RData::SOA(soa)));
            }
            lifetime(&message)
        };
        assert_eq!(kept(ResponseCode::NoError, Some(40), None), Some(40));
        assert_eq!(kept(ResponseCode::NoError, Some(90_000), None), Some(POSITIVE_SECONDS_MAX));
        assert_eq!(kept(ResponseCode::NoError, Some(0), None), None);
        assert_eq!(kept(ResponseCode::NoError, None, Some(20)), Some(20));
        assert_eq!(kept(ResponseCode::NXDomain, None, Some(900)), Some(NEGATIVE_SECONDS_MAX));
        assert_eq!(kept(ResponseCode::NXDomain, None, None), None);
        assert_eq!(kept(ResponseCode::ServFail, Some(40), None), None);
    }
}
