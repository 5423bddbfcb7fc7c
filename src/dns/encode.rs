//! A reply as bytes. Pure.
//!
//! hickory-proto's encoder gives up compression after 120 names and copies every
//! label it has seen; ours knows that owner names repeat, so that a headless
//! Service of thousands of endpoints fits one message and an answer costs no
//! allocation but its own. The tests read every reply back through
//! hickory-proto.
//!
//! Always true: the bytes are no longer than the limit; what does not fit is cut
//! at whole records and TC is set; OPT is never cut.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::answer::Reply;
use super::record::{Data, Owner, Record, Soa};
use super::request::{DATAGRAM_BYTES_OURS, Request, RequestEdns};

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 12;
/// Offsets at which a name may be repeated by pointer (RFC 1035 section 4.1.4).
const POINTER_MAX: usize = 0x3FFF;
const POINTER_MARK: u16 = 0xC000;
/// Names that are candidates for compression: the question, the target of a
/// CNAME chain, and the zone. More would cost time and save nothing.
const SUFFIXES_MAX: usize = 64;
const CLASS_IN: u16 = 1;

/// Encodes the reply to a request in at most `bytes_max` bytes.
pub(crate) fn encode(request: &Request, reply: &Reply, recursion_available: bool, bytes_max: u16) -> Vec<u8> {
    let mut writer = Writer {
        bytes: Vec::with_capacity(512),
        bytes_max: usize::from(bytes_max).saturating_sub(request.opt_bytes()),
        suffixes: Vec::new(),
        targets: Vec::new(),
        truncated: reply.truncated,
        answers: &reply.answers,
    };
    writer.bytes.resize(HEADER_BYTES, 0);
    let questions = writer.question(request);
    let answers = writer.section(&reply.answers);
    let authorities = writer.section(&reply.authorities);
    let mut additionals = writer.section(&reply.additionals);
    let truncated = writer.truncated;
    let mut bytes = writer.bytes;
    if let Some(edns) = &request.edns {
        write_opt(&mut bytes, reply.code, edns);
        additionals += 1;
    }
    let mut head = [0; HEADER_BYTES];
    let flags = flags(request, reply, recursion_available, truncated);
    let words = [request.id, flags, questions, answers, authorities, additionals];
    for (place, word) in head.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    if let Some(place) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        *place = head;
    }
    bytes
}

fn flags(request: &Request, reply: &Reply, recursion_available: bool, truncated: bool) -> u16 {
    let flags = request.reply_flags(reply.code, truncated) & !(1 << 7);
    flags | u16::from(reply.authoritative) << 10 | u16::from(recursion_available) << 7
}

/// OPT with our own size and the version we speak; the upper bits of the code go
/// into its TTL (RFC 6891 section 6.1.3).
pub(crate) fn write_opt(bytes: &mut Vec<u8>, code: ResponseCode, edns: &RequestEdns) {
    bytes.push(0);
    bytes.extend_from_slice(&u16::from(RecordType::OPT).to_be_bytes());
    bytes.extend_from_slice(&DATAGRAM_BYTES_OURS.to_be_bytes());
    let flags = if edns.dnssec_ok { 0x80 } else { 0 };
    bytes.extend_from_slice(&[code.high(), 0, flags, 0]);
    match edns.cookie.and_then(|cookie| Some((cookie.client, cookie.reply?))) {
        Some((client, server)) => {
            // The length of the data; the option's code and length.
            bytes.extend_from_slice(&[0, 28, 0, 10, 0, 24]);
            bytes.extend_from_slice(&client);
            bytes.extend_from_slice(&server);
        }
        None => bytes.extend_from_slice(&[0, 0]),
    }
}

struct Writer<'a> {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Where names, and names within names, have been written.
    suffixes: Vec<u16>,
    /// Where the target of each SRV record of the answer section stands; 0 for
    /// other records and beyond the reach of pointers.
    targets: Vec<u16>,
    truncated: bool,
    answers: &'a [Record],
}

impl Writer<'_> {
    fn question(&mut self, request: &Request) -> u16 {
        let Some(question) = &request.question else { return 0 };
        self.name(&question.name);
        self.word(question.query_type.into());
        self.word(question.query_class.into());
        1
    }

    /// Writes records until one does not fit; answers how many did.
    fn section(&mut self, records: &[Record]) -> u16 {
        let mut count: usize = 0;
        for record in records {
            if self.truncated {
                break;
            }
            count += match &record.data {
                Data::A(addresses) => self.addresses(record, addresses.iter().map(Ipv4Addr::octets)),
                Data::Aaaa(addresses) => self.addresses(record, addresses.iter().map(Ipv6Addr::octets)),
                _ => self.record(record),
            };
        }
        // A record has more than ten bytes, so a message holds fewer than count here.
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// Writes the record of each address until one does not fit; answers how many
    /// did. All but the address is made once and then repeated: a headless Service
    /// has hundreds.
    fn addresses<const N: usize>(&mut self, record: &Record, addresses: impl Iterator<Item = [u8; N]>) -> usize {
        let start = self.bytes.len();
        self.head(record);
        self.word(u16::try_from(N).unwrap_or_default());
        let head = start..self.bytes.len();
        self.targets.push(0);
        let mut count = 0;
        for address in addresses {
            let end = self.bytes.len();
            if count > 0 {
                self.bytes.extend_from_within(head.clone());
            }
            self.bytes.extend_from_slice(&address);
            if self.bytes.len() > self.bytes_max {
                self.cut(if count > 0 { end } else { start });
                break;
            }
            count += 1;
        }
        count
    }

    /// Writes any other record, if it fits; answers how many it wrote.
    fn record(&mut self, record: &Record) -> usize {
        let start = self.bytes.len();
        self.head(record);
        let length_at = self.bytes.len();
        self.word(0);
        let target = self.data(&record.data);
        let length = u16::try_from(self.bytes.len() - length_at - 2).unwrap_or(u16::MAX);
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        if self.bytes.len() > self.bytes_max {
            self.cut(start);
            return 0;
        }
        self.targets.push(target);
        1
    }

    fn cut(&mut self, end: usize) {
        self.bytes.truncate(end);
        self.truncated = true;
    }

    /// Writes whose record it is, its type, class and TTL.
    fn head(&mut self, record: &Record) {
        let question = u16::try_from(HEADER_BYTES).unwrap_or_default();
        match &record.owner {
            Owner::Question => self.word(POINTER_MARK | question),
            Owner::Name(name) => self.name(name),
            Owner::TargetOf(place) => match self.targets.get(*place) {
                Some(&at) if at != 0 => self.word(POINTER_MARK | at),
                _ => match self.answers.get(*place).map(|record| &record.data) {
                    Some(Data::Srv(srv)) => self.bytes.extend_from_slice(&srv.target),
                    _ => self.word(POINTER_MARK | question),
                },
            },
        }
        self.word(record.data.record_type().into());
        self.word(CLASS_IN);
        self.long(record.ttl);
    }

    /// Writes the content of a record; answers where its SRV target stands.
    fn data(&mut self, data: &Data) -> u16 {
        match data {
            // Written by `addresses`.
            Data::A(_) | Data::Aaaa(_) => {}
            Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) => self.name(name),
            Data::Srv(srv) => {
                self.word(0);
                self.word(srv.weight);
                self.word(srv.port);
                let at = self.bytes.len();
                // RFC 2782: the target is never compressed.
                self.bytes.extend_from_slice(&srv.target);
                return if at <= POINTER_MAX { u16::try_from(at).unwrap_or(0) } else { 0 };
            }
            Data::Txt(text) => {
                self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
                self.bytes.extend(text.bytes().take(usize::from(u8::MAX)));
            }
            // RFC 8482 section 4.2: the two strings of a HINFO record.
            Data::Minimal => self.bytes.extend_from_slice(b"\x07RFC8482\x00"),
            Data::Soa(soa) => {
                self.name(&soa.mname);
                self.name(&soa.rname);
                for value in [soa.serial, Soa::REFRESH, Soa::RETRY, Soa::EXPIRE, soa.minimum] {
                    self.long(value);
                }
            }
        }
        0
    }

    /// Writes a name; the rest of it as a pointer where it has been written
    /// before. The comparison minds case: a name in lower case must not come out
    /// in the case of the question.
    fn name(&mut self, name: &Name) {
        for (place, label) in name.iter().enumerate() {
            if let Some(at) = self.find(name, place) {
                self.word(POINTER_MARK | at);
                return;
            }
            let at = self.bytes.len();
            if at <= POINTER_MAX && self.suffixes.len() < SUFFIXES_MAX {
                self.suffixes.extend(u16::try_from(at));
            }
            // hickory_proto's Name holds no label above 63 bytes.
            self.bytes.push(u8::try_from(label.len()).unwrap_or_default());
            self.bytes.extend_from_slice(label);
        }
        self.bytes.push(0);
    }

    /// Where `name` without its first `skipped` labels has been written.
    fn find(&self, name: &Name, skipped: usize) -> Option<u16> {
        self.suffixes.iter().copied().find(|at| self.spells(usize::from(*at), name.iter().skip(skipped)))
    }

    /// Whether the name written at `at` is exactly `labels`.
    fn spells<'n>(&self, mut at: usize, mut labels: impl Iterator<Item = &'n [u8]>) -> bool {
        loop {
            let Some(&length) = self.bytes.get(at) else { return false };
            if length >= 0xC0 {
                // Pointers we wrote lead backwards, so this ends.
                let Some(&low) = self.bytes.get(at + 1) else { return false };
                at = usize::from(u16::from_be_bytes([length, low]) & !POINTER_MARK);
                continue;
            }
            let end = at + 1 + usize::from(length);
            match labels.next() {
                None => return length == 0,
                Some(label) if length > 0 && self.bytes.get(at + 1..end) == Some(label) => at = end,
                Some(_) => return false,
            }
        }
    }

    fn word(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn long(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }
}
