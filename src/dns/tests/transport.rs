//! Cases 43 to 48 of spec/dns.md: sizes, EDNS, codes, and hostile bytes.

use hickory_proto::op::{Edns, MessageType, OpCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, RData, Record};
use proptest::prelude::*;

use super::*;

const BIG: &str = "big.dns.svc.cluster.local.";

fn with_edns(mut message: Message, bytes_max: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(bytes_max).set_version(version);
    message.set_edns(edns);
    message
}

fn sized(message: &Message, transport: Transport) -> (usize, Message) {
    let (bytes, reply) = send_bytes(&zone(), &message.to_vec().unwrap(), transport).unwrap();
    (bytes.len(), reply)
}

#[test]
fn case_43_an_answer_too_long_for_a_datagram_is_cut_at_whole_records() {
    let big = question(BIG, RecordType::A);
    let (length, reply) = sized(&big, Transport::Udp);
    assert_eq!((length, reply.truncation, reply.answers.len()), (507, true, 29));
    assert!(reply.edns.is_none());
    let (_, reply) = sized(&big, Transport::Tcp);
    assert_eq!((reply.truncation, reply.answers.len()), (false, 100));
}

#[test]
fn case_44_a_client_may_take_larger_datagrams() {
    let (_, reply) = sized(&with_edns(question(BIG, RecordType::A), 4096, 0), Transport::Udp);
    assert_eq!((reply.truncation, reply.answers.len()), (false, 100));
    assert_eq!(reply.edns.unwrap().max_payload(), 1232);
    let (length, reply) = sized(&with_edns(question(BIG, RecordType::A), 1232, 0), Transport::Udp);
    assert!(reply.truncation && reply.edns.is_some() && length <= 1232 && length > 1232 - 16);
    let (length, reply) = sized(&with_edns(question(BIG, RecordType::A), 100, 0), Transport::Udp);
    assert!(reply.truncation && length <= 512);
}

#[test]
fn sets_of_addresses_are_whole_cut_and_owned_alike_in_both_families_and_behind_an_alias() {
    let mut zone = zone();
    let six = (1..=100).map(|n| endpoint(&format!("2001:db8::{n:x}"), None, &[])).collect();
    for (name, records) in [
        ("six", headless(&[], six)),
        ("alias", external("big.dns.svc.cluster.local")),
        ("alias6", external("six.dns.svc.cluster.local")),
    ] {
        zone.apply(Change::Service { key: ObjectKey::new("dns", name), records: Some(records.into()) }, 1);
    }
    for (name, target, qtype, size) in [
        (BIG, None, RecordType::A, 16),
        ("six.dns.svc.cluster.local.", None, RecordType::AAAA, 28),
        ("alias.dns.svc.cluster.local.", Some(BIG), RecordType::A, 16),
        ("alias6.dns.svc.cluster.local.", Some("six.dns.svc.cluster.local."), RecordType::AAAA, 28),
    ] {
        let aliases = usize::from(target.is_some());
        for (transport, bytes_max) in [(Transport::Tcp, 65_535), (Transport::Udp, 512), (Transport::Udp, 1232)] {
            let asked = with_edns(question(name, qtype), bytes_max, 0).to_vec().unwrap();
            let (bytes, reply) = send_bytes(&zone, &asked, transport).unwrap();
            let addresses = &reply.answers[aliases..];
            let whole = transport == Transport::Tcp;
            assert_eq!((reply.truncation, addresses.len() == 100), (!whole, whole), "{name} {bytes_max}");
            assert!(bytes.len() <= bytes_max.into() && (whole || bytes.len() + size > bytes_max.into()), "{name}");
            assert!(addresses.iter().all(|record| record.name.to_string() == target.unwrap_or(name)));
            let different: std::collections::BTreeSet<_> =
                addresses.iter().map(|record| record.data.to_string()).collect();
            assert_eq!(different.len(), addresses.len(), "{name} {bytes_max}");
        }
    }
}

#[test]
fn additional_records_are_cut_before_answers() {
    let (length, reply) = sized(&question("_web._tcp.big.dns.svc.cluster.local.", RecordType::SRV), Transport::Udp);
    assert!(length <= 512 && reply.truncation && reply.additionals.is_empty() && !reply.answers.is_empty());
    let (_, reply) = sized(&question("_web._tcp.big.dns.svc.cluster.local.", RecordType::SRV), Transport::Tcp);
    assert_eq!((reply.answers.len(), reply.additionals.len(), reply.truncation), (100, 100, false));
}

#[test]
fn a_headless_service_of_thousands_fits_a_message_and_more_is_cut() {
    for (count, expected) in [(4000, 4000), (5000, 4093)] {
        let address = |n: usize| endpoint(&format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255), None, &[]);
        let mut zone = zone();
        let records = headless(&[], (0..count).map(address).collect());
        zone.apply(Change::Service { key: ObjectKey::new("dns", "big"), records: Some(records.into()) }, 1);
        let reply = send(&zone, &question(BIG, RecordType::A), Transport::Tcp);
        assert_eq!((reply.answers.len(), reply.truncation), (expected, count > expected));
    }
}

#[test]
fn targets_beyond_the_reach_of_pointers_are_spelled_out() {
    let ports = [port("p", Protocol::Tcp, 1)];
    let address = |n: usize| endpoint(&format!("10.0.{}.{}", n >> 8, n & 255), None, &ports);
    let mut zone = zone();
    let records = headless(&[], (0..500).map(address).collect());
    zone.apply(Change::Service { key: ObjectKey::new("dns", "big"), records: Some(records.into()) }, 1);
    let reply = send(&zone, &question(BIG, RecordType::SRV), Transport::Tcp);
    assert_eq!((reply.answers.len(), reply.additionals.len()), (500, 500));
    for record in &reply.additionals {
        let host = format!("{}.", record.data.to_string().replace('.', "-"));
        assert_eq!(record.name.to_string(), format!("{host}{BIG}"));
    }
}

#[test]
fn case_45_another_version_of_edns_is_refused_with_ours() {
    let (_, reply) = sized(&with_edns(question(BIG, RecordType::A), 1232, 1), Transport::Udp);
    // 16 has two names, and hickory-proto reads back the other one.
    assert_eq!(u16::from(reply.response_code), 16);
    assert_eq!(reply.edns.unwrap().version(), 0);
    assert!(reply.answers.is_empty());
}

#[test]
fn cases_46_to_48_other_classes_operations_and_transfers_are_refused() {
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(show(&send(&zone(), &chaos, Transport::Udp)), "refused: ");
    for op_code in [1, 2, 3, 5, 6, 15] {
        let mut message = question("cluster.local.", RecordType::SOA);
        message.metadata.op_code = OpCode::from_u8(op_code);
        let reply = send(&zone(), &message, Transport::Udp);
        assert_eq!(show(&reply), "notimp: ", "{op_code}");
        assert_eq!(reply.op_code, OpCode::from_u8(op_code));
    }
    for qtype in [RecordType::AXFR, RecordType::IXFR] {
        for transport in [Transport::Udp, Transport::Tcp] {
            for name in ["cluster.local.", "43.10.in-addr.arpa.", "example.com."] {
                assert_eq!(show(&send(&zone(), &question(name, qtype), transport)), "refused: ", "{qtype} {name}");
            }
        }
    }
    // As a secondary asks, which says what it has (RFC 1995 section 3).
    let mut increment = question("cluster.local.", RecordType::IXFR);
    let soa = SOA::new(Name::root(), Name::root(), 1, 0, 0, 0, 0);
    increment.add_authority(Record::from_rdata(increment.queries[0].name.clone(), 0, RData::SOA(soa)));
    assert_eq!(show(&send(&zone(), &increment, Transport::Tcp)), "refused: ");
}

#[test]
fn notify_is_answered_like_a_query() {
    let mut message = question("my-service.dns.svc.cluster.local.", RecordType::A);
    message.metadata.op_code = OpCode::Notify;
    let reply = send(&zone(), &message, Transport::Udp);
    assert_eq!((reply.op_code, reply.answers.len()), (OpCode::Notify, 1));
}

#[test]
fn a_message_without_exactly_one_question_is_malformed() {
    let none = Message::query();
    let mut two = question("a.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("b.").unwrap(), RecordType::A));
    for message in [none, two] {
        assert_eq!(show(&send(&zone(), &message, Transport::Udp)), "formerr: ");
    }
    let mut cut = question("my-service.dns.svc.cluster.local.", RecordType::A).to_vec().unwrap();
    cut.truncate(20);
    let (_, reply) = send_bytes(&zone(), &cut, Transport::Udp).unwrap();
    assert_eq!(show(&reply), "formerr: ");
}

#[test]
fn the_reply_repeats_id_and_flags_of_the_request() {
    let mut message = question("my-service.dns.svc.cluster.local.", RecordType::A);
    message.metadata.checking_disabled = true;
    message.metadata.recursion_desired = false;
    let reply = send(&zone(), &message, Transport::Udp);
    assert_eq!(reply.id, message.id);
    assert!(reply.checking_disabled && !reply.recursion_desired && reply.message_type == MessageType::Response);
}

#[test]
fn responses_and_scraps_are_never_answered() {
    let mut message = question("my-service.dns.svc.cluster.local.", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    assert!(send_bytes(&zone(), &message.to_vec().unwrap(), Transport::Udp).is_none());
    for length in 0..12 {
        assert!(send_bytes(&zone(), &vec![0; length], Transport::Udp).is_none());
    }
}

/// A question as packets on the wire, then bent in a few places.
fn bent_question() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        Just("_http._tcp.my-service.dns.svc.cluster.local."),
        Just("ext.dns.svc.cluster.local."),
        Just("big.dns.svc.cluster.local."),
        Just("1-2-3-4.dns.pod.cluster.local."),
        Just("100.0.96.10.in-addr.arpa."),
    ];
    let bends = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (names, 0_u16..260, 0_u16..5000, bends).prop_map(|(name, qtype, bytes_max, bends)| {
        let message = with_edns(question(name, RecordType::from(qtype)), bytes_max, 0);
        let mut packet = message.to_vec().unwrap();
        for (place, byte) in bends {
            let at = place.index(packet.len());
            packet[at] = byte;
        }
        packet
    })
}

/// Holds for any packet: no panic, and a reply is a readable response with the
/// id of the request, within the size the client takes.
fn holds(packet: &[u8]) {
    let zone = zone();
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some((bytes, reply)) = send_bytes(&zone, packet, transport) else { continue };
        assert_eq!(bytes[..2], packet[..2]);
        assert_eq!(reply.message_type, MessageType::Response);
        assert!(transport == Transport::Tcp || bytes.len() <= 4096);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_met_with_silence_or_a_sound_reply(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        holds(&packet);
    }

    #[test]
    fn bent_questions_are_met_with_silence_or_a_sound_reply(packet in bent_question()) {
        holds(&packet);
    }
}
