//! Packets that are known to be bad, and whatever a bit or a cut makes of good ones: none
//! ends anything or is answered at length.

use super::*;
use crate::mdns::record::{A, ANY, PTR};

/// Each with what it is.
const BAD: &[(&str, &[u8])] = &[
    ("nothing", &[]),
    ("half a header", &[0, 0, 0, 0, 0, 1]),
    ("a question that is not there", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ("a name that points at itself", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1]),
    ("a name that points ahead", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 14, 0xC0, 12, 0, 1, 0, 1]),
    ("a label longer than labels", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 1, 0, 1]),
    ("a name without an end", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, b's', b'h', b'o', b'p']),
    ("65535 records that are not there", &[0, 0, 0x84, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ("data beyond the end", &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF, 1]),
    (
        "a PTR whose name is longer than it",
        &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 12, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0],
    ),
    ("an SRV without a target", &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 33, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0]),
    ("opcode 5", &[0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("response code 3", &[0, 0, 0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
];

/// What neighbours send: probes, questions, answers.
fn good() -> Vec<Vec<u8>> {
    let mut probe = asking(&[("shop.local", ANY)]);
    probe.authorities = vec![a_record("shop.local", 120, [192, 0, 2, 66])];
    let mut known = asking(&[("_http._tcp.local", PTR), ("shop.local", A)]);
    known.answers = vec![ptr_record("_http._tcp.local", 4500, "shop._http._tcp.local")];
    let answer =
        vec![a_record("shop.local", 120, [192, 0, 2, 66]), ptr_record("_http._tcp.local", 0, "shop._http._tcp.local")];
    let mut lan = Lan::default();
    lan.join(&[("web", service("shop", &["http"]))]);
    lan.run(millis(5000));
    let own = lan.sent.into_iter().map(|sent| sent.out.bytes);
    own.chain([query(&probe), query(&known), response(answer)]).collect()
}

#[test]
fn packets_that_are_bad_are_nobodys() {
    for (what, bytes) in BAD {
        assert_eq!(packet::read(bytes), None, "{what}");
    }
}

#[test]
fn whatever_a_bit_or_a_cut_makes_of_a_packet_is_met_soundly() {
    for bytes in good() {
        assert!(packet::read(&bytes).is_some());
        let mut bent: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
        bent.extend((0..bytes.len() * 8).map(|bit| {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            bent
        }));
        // One machine for all: what they leave behind must not add up.
        let mut lan = Lan::settled("shop", &["http"]);
        for (number, bent) in bent.iter().enumerate() {
            let port = if number % 2 == 0 { 5353 } else { 40_000 };
            lan.hear(SocketAddr::new(addr(77), port), bent);
            lan.run(millis(1));
        }
        lan.run(Duration::from_secs(60));
        assert!(lan.hosts[0].responder.next().is_none(), "something is never done");
        assert!(lan.sent.iter().all(|sent| sent.out.bytes.len() <= packet::SENT_BYTES_MAX));
    }
}

#[test]
fn thousands_of_questions_in_one_packet_cost_what_a_few_do() {
    let mut lan = Lan::settled("shop", &["http"]);
    let many = asking(&[("a", A); 1400]);
    let bytes = query(&many);
    assert!(bytes.len() <= packet::PACKET_BYTES_MAX + 2000);
    assert_eq!(packet::read(&bytes).unwrap().questions.len(), packet::QUESTIONS_MAX);
    lan.hear("192.0.2.77:5353".parse().unwrap(), &bytes);
    assert!(lan.sent.is_empty());
}
