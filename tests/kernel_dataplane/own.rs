//! Endpoints that are programs of the box itself, on sockets of all its addresses.

use std::net::{IpAddr, SocketAddr};

use edgesvc::desired::{Balance, Contribution, Verdict};
use edgesvc::model::IpFamily;

use super::world::*;

/// `web`, served by the box on the address of one of its links.
fn own() -> Contribution {
    let mut service = web(&[1], None);
    for frontend in &mut service.frontends {
        let addr: IpAddr = match frontend.addr.family() {
            IpFamily::V4 => "10.1.9.1".parse().unwrap(),
            IpFamily::V6 => "fd01:9::1".parse().unwrap(),
        };
        let endpoints = vec![SocketAddr::new(addr, 8080)];
        frontend.verdict = Verdict::Balance(Balance { endpoints, ..Balance::default() });
    }
    service
}

#[test]
fn a_program_of_the_box_answers_the_box_and_others_on_any_of_its_addresses() {
    in_world("own::a_program_of_the_box_answers_the_box_and_others_on_any_of_its_addresses", || async {
        let _server = serve("node", 8080);
        let _dataplane = with_web(own()).await;
        for (place, seen) in [("node", ["10.1.9.1", "fd01:9::1"]), ("client", ["10.1.9.2", "fd01:9::2"])] {
            for protocol in ["tcp", "udp"] {
                for (addr, port) in [(VIP, 80), (VIP6, 80), ("10.1.1.1", 30080), ("fd01:1::1", 30080)] {
                    let client = seen[usize::from(addr.contains(':'))];
                    let answers = ask(place, protocol, addr, port, 2);
                    assert_eq!(answers, [format!("node {client}"), format!("node {client}")], "{protocol} {addr}");
                }
            }
        }
    });
}
