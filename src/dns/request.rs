//! What a packet asks, and whether it may be answered at all (spec/dns.md
//! section 7). Pure. Anything may come in; nothing a peer sends can panic here.

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
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
    Question(Request, Query),
}

impl Request {
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
    let Some(question) = request.question.clone() else { return Received::Refused(request, ResponseCode::FormErr) };
    if header.counts.queries != 1 {
        request.question = None;
        return Received::Refused(request, ResponseCode::FormErr);
    }
    let Ok(edns) = read_edns(&mut decoder, &header) else {
        return Received::Refused(request, ResponseCode::FormErr);
    };
    request.edns =
        edns.as_ref().map(|edns| RequestEdns { payload_bytes: edns.max_payload(), dnssec_ok: edns.flags().dnssec_ok });
    if edns.is_some_and(|edns| edns.version() != 0) {
        return Received::Refused(request, ResponseCode::BADVERS);
    }
    let transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    if question.query_class != DNSClass::IN || transfer {
        return Received::Refused(request, ResponseCode::Refused);
    }
    Received::Question(request, question)
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
