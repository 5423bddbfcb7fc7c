//! What a packet asks, and whether it may be answered at all (spec/dns.md
//! section 7). Pure. Anything may come in; nothing a peer sends can panic here.

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Smallest datagram every client takes (RFC 1035 section 2.3.4).
pub(crate) const DATAGRAM_BYTES_PLAIN: u16 = 512;
/// Largest answer in one datagram, whatever a client claims: the largest size in
/// common use, so that a forged source gets at most this much.
pub(crate) const DATAGRAM_BYTES_MAX: u16 = 4096;
/// What we tell others we take: unfragmented on every link.
pub(crate) const DATAGRAM_BYTES_OURS: u16 = 1232;

/// What the reply repeats of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u16,
    pub(crate) op_code: OpCode,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) authentic_data: bool,
    /// Absent if the packet had none that could be read.
    pub(crate) question: Option<Query>,
    /// Present if the request carried OPT.
    pub(crate) edns: Option<RequestEdns>,
}

/// What a request's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestEdns {
    /// The largest datagram the client takes, in bytes.
    pub(crate) payload_bytes: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) cookie: Option<Cookie>,
}

/// A DNS cookie (RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) client: [u8; 8],
    /// What the client brings back; absent if it is of no length of ours.
    pub(crate) server: Option<[u8; 16]>,
    /// What the reply gives it.
    pub(crate) reply: Option<[u8; 16]>,
}

/// What a packet is.
#[derive(Debug)]
pub(crate) enum Received {
    /// Too short for a header, or itself a response: never answered, or two
    /// servers would talk to each other for ever.
    Noise,
    /// Answered by this code alone.
    Refused(Request, ResponseCode),
    /// A question of class IN, opcode QUERY or NOTIFY.
    Question(Request),
}

/// Bytes of an OPT record without options, and of our cookie in it.
const OPT_BYTES: usize = 11;
const COOKIE_BYTES: usize = 4 + 8 + 16;

impl Request {
    /// Bytes of the reply's OPT record.
    pub(crate) fn opt_bytes(&self) -> usize {
        let Some(edns) = self.edns else { return 0 };
        OPT_BYTES + if edns.cookie.is_some_and(|cookie| cookie.reply.is_some()) { COOKIE_BYTES } else { 0 }
    }

    /// The flags of a reply from an upstream.
    pub(crate) fn reply_flags(&self, code: ResponseCode, truncated: bool) -> u16 {
        let bit = |set: bool, at: u16| u16::from(set) << at;
        1 << 15
            | u16::from(u8::from(self.op_code) & 0xF) << 11
            | bit(truncated, 9)
            | bit(self.recursion_desired, 8)
            | 1 << 7
            | bit(self.checking_disabled, 4)
            | u16::from(code.low() & 0xF)
    }

    /// The largest datagram the client takes, in bytes.
    pub(crate) fn datagram_bytes_max(&self) -> u16 {
        self.edns
            .map_or(DATAGRAM_BYTES_PLAIN, |edns| edns.payload_bytes.clamp(DATAGRAM_BYTES_PLAIN, DATAGRAM_BYTES_MAX))
    }
}

/// Reads a packet from a client.
pub(crate) fn receive(packet: &[u8]) -> Received {
    let mut decoder = BinDecoder::new(packet);
    let Ok(header) = Header::read(&mut decoder) else { return Received::Noise };
    if header.message_type == MessageType::Response {
        return Received::Noise;
    }
    let mut request = Request {
        id: header.id,
        op_code: header.op_code,
        recursion_desired: header.recursion_desired,
        checking_disabled: header.checking_disabled,
        authentic_data: header.authentic_data,
        question: None,
        edns: None,
    };
    if header.counts.queries >= 1 {
        request.question = Query::read(&mut decoder).ok();
    }
    if !matches!(header.op_code, OpCode::Query | OpCode::Notify) {
        return Received::Refused(request, ResponseCode::NotImp);
    }
    let Some(question) = &request.question else { return Received::Refused(request, ResponseCode::FormErr) };
    let transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    let refused = question.query_class != DNSClass::IN || transfer;
    if header.counts.queries != 1 {
        request.question = None;
        return Received::Refused(request, ResponseCode::FormErr);
    }
    let Ok(edns) = read_edns(&mut decoder, &header) else {
        return Received::Refused(request, ResponseCode::FormErr);
    };
    if let Some(edns) = &edns {
        let Ok(cookie) = cookie(edns) else { return Received::Refused(request, ResponseCode::FormErr) };
        let dnssec_ok = edns.flags().dnssec_ok;
        request.edns = Some(RequestEdns { payload_bytes: edns.max_payload(), dnssec_ok, cookie });
    }
    if edns.is_some_and(|edns| edns.version() != 0) {
        return Received::Refused(request, ResponseCode::BADVERS);
    }
    if refused { Received::Refused(request, ResponseCode::Refused) } else { Received::Question(request) }
}

/// The cookie among the options; an error if it has an impossible length.
fn cookie(edns: &Edns) -> Result<Option<Cookie>, ()> {
    let Some(EdnsOption::Unknown(_, bytes)) = edns.option(EdnsCode::Cookie) else { return Ok(None) };
    let Some((client, server)) = bytes.split_first_chunk::<8>() else { return Err(()) };
    match server.len() {
        0 | 8..=32 => Ok(Some(Cookie { client: *client, server: server.try_into().ok(), reply: None })),
        _ => Err(()),
    }
}

/// Reads what follows the question; none of it but OPT matters.
fn read_edns(
    decoder: &mut BinDecoder<'_>,
    header: &Header,
) -> Result<Option<Edns>, hickory_proto::serialize::binary::DecodeError> {
    let (counts, op_code) = (&header.counts, header.op_code);
    if counts.answers == 0 && counts.authorities == 0 && counts.additionals == 0 {
        return Ok(None);
    }
    Message::read_records(decoder, counts.answers.into(), false, op_code)?;
    Message::read_records(decoder, counts.authorities.into(), false, op_code)?;
    let (_, edns, _) = Message::read_records(decoder, counts.additionals.into(), true, op_code)?;
    Ok(edns)
}
