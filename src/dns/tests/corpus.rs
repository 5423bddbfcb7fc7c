//! Packets that are known to be bad, kept in `corpus.txt`: each is met with
//! silence or the right code, and so, soundly, is whatever a bit or a cut makes of
//! it.

use super::*;

fn packets() -> Vec<(String, Vec<u8>)> {
    let lines = include_str!("corpus.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (expected, hex) = line.split_once(' ').unwrap();
            let digits: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
            assert_eq!(digits.len() % 2, 0, "half a byte: {line}");
            let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
            (expected.to_owned(), bytes.collect())
        })
        .collect()
}

#[test]
fn every_packet_of_the_corpus_is_met_as_it_should_be() {
    let zone = zone();
    for (expected, packet) in packets() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let met = match send_bytes(&zone, &packet, transport) {
                None => "silence".to_owned(),
                Some((_, reply)) => match reply.response_code {
                    ResponseCode::NoError => "NOERROR",
                    ResponseCode::NXDomain => "NXDOMAIN",
                    ResponseCode::FormErr => "FORMERR",
                    ResponseCode::Refused => "REFUSED",
                    ResponseCode::NotImp => "NOTIMP",
                    ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
                    _ => "other",
                }
                .to_owned(),
            };
            assert_eq!(met, expected, "{packet:02x?}");
        }
    }
}

#[test]
fn whatever_a_bit_or_a_cut_makes_of_the_corpus_is_met_soundly() {
    let zone = zone();
    for (_, packet) in packets() {
        for length in 0..packet.len() {
            // `send_bytes` reads every reply back.
            send_bytes(&zone, &packet[..length], Transport::Udp);
        }
        for bit in 0..packet.len() * 8 {
            let mut bent = packet.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if let Some((bytes, _)) = send_bytes(&zone, &bent, Transport::Udp) {
                assert!(bytes.len() <= 4096);
            }
        }
    }
}
