//! Packets to questions and records, and back (RFC 6762 section 18). Pure. Anything may
//! come in; nothing a peer sends can panic here.

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder};

use super::record::{PTR, Record, SRV, wire};

/// The largest packet that is read (RFC 6762 section 17).
pub(super) const PACKET_BYTES_MAX: usize = 9000;
/// The largest that is sent: what fits an Ethernet frame, with room for options of IPv6.
pub(super) const SENT_BYTES_MAX: usize = 1440;
/// Questions of one packet that are looked at: queriers send a few, and each may cost a
/// look at every name of ours.
pub(super) const QUESTIONS_MAX: usize = 64;

const HEADER_BYTES: usize = 12;
const IN: u16 = 1;
const ANY_CLASS: u16 = 255;
/// The top bit of a class: in questions an answer to the asker alone is enough, in records
/// all others of this owner and type are over.
const TOP: u16 = 0x8000;
const OPT: u16 = 41;
const RESPONSE: u16 = 0x8400;
const TRUNCATED: u16 = 0x0200;

/// One question of class IN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    /// An answer to the asker alone is enough.
    pub(super) unicast: bool,
}

/// A packet that was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) id: u16,
    pub(super) response: bool,
    /// More of what is known follows.
    pub(super) truncated: bool,
    pub(super) questions: Vec<Question>,
    /// Of a query, what its sender knows already.
    pub(super) answers: Vec<Record>,
    /// Of a query, what its sender wants to be.
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// The largest datagram the sender takes, if it says so.
    pub(super) payload: Option<u16>,
}

/// Reads a packet; one that is malformed, or no plain query or answer, is nobody's.
pub(super) fn read(bytes: &[u8]) -> Option<Incoming> {
    let mut decoder = BinDecoder::new(bytes);
    let mut word = || Some(decoder.read_u16().ok()?.unverified());
    let (id, flags) = (word()?, word()?);
    let counts = [word()?, word()?, word()?, word()?];
    // Opcode and response code are zero in multicast DNS (sections 18.3 and 18.11).
    if flags & 0x780F != 0 {
        return None;
    }
    let mut incoming =
        Incoming { id, response: flags & 0x8000 != 0, truncated: flags & TRUNCATED != 0, ..Incoming::default() };
    let [questions, answers, authorities, additionals] = counts;
    for _ in 0..questions {
        let name = Name::read(&mut decoder).ok()?;
        let kind = decoder.read_u16().ok()?.unverified();
        let class = decoder.read_u16().ok()?.unverified();
        let ours = matches!(class & !TOP, IN | ANY_CLASS) && incoming.questions.len() < QUESTIONS_MAX;
        if ours {
            incoming.questions.push(Question { name, kind, unicast: class & TOP != 0 });
        }
    }
    let payload = &mut incoming.payload;
    for (count, section) in [
        (answers, &mut incoming.answers),
        (authorities, &mut incoming.authorities),
        (additionals, &mut incoming.additionals),
    ] {
        for _ in 0..count {
            section.extend(record(&mut decoder, payload)?);
        }
    }
    Some(incoming)
}

/// Reads a record; the inner `None` is one of another class, or OPT.
fn record(decoder: &mut BinDecoder<'_>, payload: &mut Option<u16>) -> Option<Option<Record>> {
    let owner = Name::read(decoder).ok()?;
    let kind = decoder.read_u16().ok()?.unverified();
    let class = decoder.read_u16().ok()?.unverified();
    let ttl = decoder.read_u32().ok()?.unverified();
    let length = usize::from(decoder.read_u16().ok()?.unverified());
    let start = decoder.index();
    // Names in them may be compressed, and are compared without.
    let data: Vec<u8> = match kind {
        PTR => wire(&Name::read(decoder).ok()?),
        SRV => {
            let head = decoder.read_slice(6).ok()?.unverified().to_vec();
            [head, wire(&Name::read(decoder).ok()?)].concat()
        }
        _ => decoder.read_slice(length).ok()?.unverified().to_vec(),
    };
    if decoder.index() != start + length {
        return None;
    }
    if kind == OPT {
        *payload = Some(class);
        return Some(None);
    }
    let record = Record { owner, kind, ttl, unique: class & TOP != 0, data: data.into() };
    Some((class & !TOP == IN).then_some(record))
}

/// Answers as packets, as many as it takes, and what may be added to the last.
pub(super) fn responses(answers: &[&Record], additionals: &[&Record]) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut rest = answers;
    while !rest.is_empty() {
        let (these, later) = rest.split_at(fitting(rest, SENT_BYTES_MAX - HEADER_BYTES).max(1));
        rest = later;
        let room = SENT_BYTES_MAX.saturating_sub(HEADER_BYTES + bytes_max(these));
        let more = if rest.is_empty() { fitting(additionals, room) } else { 0 };
        let sections = [these, &[], additionals.get(..more).unwrap_or_default()];
        packets.extend(write(0, RESPONSE, &[], sections, How::Multicast));
    }
    packets
}

/// That these are over.
pub(super) fn goodbyes(records: &[Record]) -> Vec<Vec<u8>> {
    let over: Vec<Record> = records.iter().map(|record| Record { ttl: 0, ..record.clone() }).collect();
    responses(&over.iter().collect::<Vec<_>>(), &[])
}

/// Who has these names, and with which records we would: one packet or more (section 8.1).
pub(super) fn probes(names: &[(&Name, Vec<&Record>)]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut rest = names;
    while !rest.is_empty() {
        let sizes = rest.iter().map(|(name, records)| name.len() + 5 + bytes_max(records));
        let (these, later) = rest.split_at(count_within(sizes, SENT_BYTES_MAX - HEADER_BYTES).max(1));
        rest = later;
        // Not for an answer alone: it would come to the box's port, which others share, and
        // to one of them (section 15.1). All hear what the group is told.
        let questions: Vec<Question> = these
            .iter()
            .map(|(name, _)| Question { name: (*name).clone(), kind: super::record::ANY, unicast: false })
            .collect();
        let records: Vec<&Record> = these.iter().flat_map(|(_, records)| records.iter().copied()).collect();
        packets.extend(write(0, 0, &questions, [&[], &records, &[]], How::Probe));
    }
    packets
}

/// The answer to a plain resolver, which knows nothing of multicast: one packet, its
/// questions repeated (section 6.7).
pub(super) fn legacy(incoming: &Incoming, answers: &[&Record], additionals: &[&Record]) -> Option<Vec<u8>> {
    let limit = usize::from(incoming.payload.unwrap_or_default()).clamp(512, SENT_BYTES_MAX);
    let questions: usize = incoming.questions.iter().map(|question| question.name.len() + 5).sum();
    let room = limit.checked_sub(HEADER_BYTES + questions)?;
    let (these, cut) = answers.split_at(fitting(answers, room));
    let more = fitting(additionals, room - bytes_max(these));
    let flags = RESPONSE | if cut.is_empty() { 0 } else { TRUNCATED };
    let sections = [these, &[], additionals.get(..more).unwrap_or_default()];
    write(incoming.id, flags, &incoming.questions, sections, How::Legacy)
}

fn bytes_max(records: &[&Record]) -> usize {
    records.iter().map(|record| record.bytes_max()).sum()
}

fn fitting(records: &[&Record], room: usize) -> usize {
    count_within(records.iter().map(|record| record.bytes_max()), room)
}

/// How many of these sizes fit.
fn count_within(sizes: impl Iterator<Item = usize>, room: usize) -> usize {
    let mut sum = 0;
    sizes
        .take_while(|size| {
            sum += size;
            sum <= room
        })
        .count()
}

/// What readers make of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Multicast,
    /// Without the cache-flush bit: nothing is said to be so yet.
    Probe,
    /// As of a plain server, for seconds only.
    Legacy,
}

/// Seconds a plain resolver may keep an answer: it hears no goodbye.
const LEGACY_TTL_MAX: u32 = 10;

fn write(id: u16, flags: u16, questions: &[Question], sections: [&[&Record]; 3], how: How) -> Option<Vec<u8>> {
    let count = |length: usize| u16::try_from(length).ok();
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    let counts = sections.map(|section| count(section.len()));
    for word in [Some(id), Some(flags), count(questions.len())].into_iter().chain(counts) {
        encoder.emit_u16(word?).ok()?;
    }
    for question in questions {
        question.name.emit(&mut encoder).ok()?;
        encoder.emit_u16(question.kind).ok()?;
        encoder.emit_u16(IN).ok()?;
    }
    for record in sections.into_iter().flatten() {
        record.owner.emit(&mut encoder).ok()?;
        encoder.emit_u16(record.kind).ok()?;
        encoder.emit_u16(if record.unique && how == How::Multicast { IN | TOP } else { IN }).ok()?;
        encoder.emit_u32(if how == How::Legacy { record.ttl.min(LEGACY_TTL_MAX) } else { record.ttl }).ok()?;
        encoder.emit_u16(count(record.data.len())?).ok()?;
        encoder.emit_vec(&record.data).ok()?;
    }
    Some(bytes)
}
