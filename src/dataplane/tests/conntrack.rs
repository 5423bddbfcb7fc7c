use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::Options;
use super::super::conntrack::{Flow, UdpCheck};
use super::{balance, frontend};
use crate::desired::{Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, Protocol};

const VIP: &str = "10.43.0.1:53";
const A: &str = "10.0.0.1:5353";
const B: &str = "10.0.0.2:5353";
const NODE: &str = "192.0.2.1:30053";

fn udp(endpoints: &[&str]) -> Frontend {
    let verdict = if endpoints.is_empty() { Verdict::Refuse } else { balance(endpoints, None) };
    frontend(VIP, Protocol::Udp, verdict)
}

fn node_port(endpoints: &[&str]) -> Frontend {
    Frontend { addr: FrontendAddr::NodePort(IpFamily::V4), port: 30053, ..udp(endpoints) }
}

fn moved(before: Option<&Frontend>, after: Option<&Frontend>) -> UdpCheck {
    UdpCheck::of_moves(std::iter::once((before, after)))
}

fn is_stale(check: &UdpCheck, original: &str, reply: &str) -> bool {
    let flow = Flow { original: original.parse().unwrap(), reply: reply.parse().unwrap() };
    check.is_stale(flow, |addr| addr == "192.0.2.1".parse::<IpAddr>().unwrap())
}

fn looks(before: Option<&Frontend>, after: Option<&Frontend>) -> bool {
    !moved(before, after).is_empty()
}

#[test]
fn the_table_is_read_only_where_a_flow_can_be_stale() {
    let (none, one, both) = (udp(&[]), udp(&[A]), udp(&[A, B]));
    assert!(!looks(Some(&one), Some(&both)), "an endpoint more");
    assert!(!looks(Some(&one), Some(&one)));
    assert!(!looks(Some(&none), None), "nobody was let through");
    assert!(!looks(None, Some(&none)));
    assert!(!looks(Some(&none), Some(&frontend(VIP, Protocol::Udp, Verdict::Drop))));
    assert!(looks(Some(&both), Some(&one)), "an endpoint less");
    assert!(looks(Some(&one), Some(&udp(&[B]))), "replaced");
    assert!(looks(Some(&one), Some(&none)), "scaled to zero");
    assert!(looks(Some(&none), Some(&one)), "the first endpoint");
    assert!(looks(None, Some(&one)), "a new frontend");
    assert!(looks(Some(&one), None), "a frontend less");
    let tcp = |endpoints| frontend(VIP, Protocol::Tcp, balance(endpoints, None));
    assert!(!looks(Some(&tcp(&[A, B])), Some(&tcp(&[A]))), "TCP ends by itself");
    let sctp = frontend(VIP, Protocol::Sctp, balance(&[A], None));
    assert!(!looks(Some(&sctp), None));
}

#[test]
fn a_flow_is_stale_when_its_endpoint_is_not_served_any_more() {
    let check = moved(Some(&udp(&[A, B])), Some(&udp(&[A])));
    assert!(!is_stale(&check, VIP, A));
    assert!(is_stale(&check, VIP, B));
    assert!(is_stale(&check, VIP, VIP), "made before there was anything to translate to");
    assert!(!is_stale(&check, "10.43.0.1:54", B), "another port");
    assert!(!is_stale(&check, "10.43.0.2:53", B), "another address");
    let gone = moved(Some(&udp(&[A])), None);
    assert!(is_stale(&gone, VIP, A));
}

#[test]
fn a_node_port_is_a_port_of_this_box_only() {
    let check = moved(Some(&node_port(&[A, B])), Some(&node_port(&[A])));
    assert!(!is_stale(&check, NODE, A));
    assert!(is_stale(&check, NODE, B));
    assert!(is_stale(&check, NODE, NODE));
    assert!(!is_stale(&check, "203.0.113.1:30053", "203.0.113.1:30053"), "somebody else's server");
}

#[test]
fn at_a_start_flows_of_services_that_went_meanwhile_are_stale_and_all_others_are_not() {
    let options = Options {
        service_ranges: vec!["10.43.0.0/16".parse().unwrap()],
        cluster_dns: vec!["10.43.0.10".parse().unwrap()],
        ..Options::default()
    };
    let gone = BTreeSet::from([
        (FrontendAddr::NodePort(IpFamily::V4), 30053),
        (FrontendAddr::Virtual("198.51.100.1".parse().unwrap()), 53),
        (FrontendAddr::Virtual("10.43.0.1".parse().unwrap()), 53),
    ]);
    let check = UdpCheck::of_everything([udp(&[A])].into_iter(), &gone, &options);
    assert!(!is_stale(&check, VIP, A), "it is served");
    assert!(is_stale(&check, VIP, B));
    assert!(is_stale(&check, "10.43.9.9:53", A), "an address nobody has");
    assert!(is_stale(&check, "10.43.0.1:54", A), "a port nobody has");
    assert!(!is_stale(&check, "10.43.0.10:53", "10.43.0.10:53"), "our own DNS");
    assert!(is_stale(&check, NODE, A), "a node port that is gone");
    assert!(is_stale(&check, "198.51.100.1:53", A), "an external address that is gone");
    assert!(!is_stale(&check, "192.0.2.1:30054", A), "somebody else's port");
    assert!(!is_stale(&check, "203.0.113.1:53", "203.0.113.1:53"), "somebody else's server");
    assert!(!UdpCheck::of_everything(std::iter::empty(), &BTreeSet::new(), &options).is_empty());
    assert!(UdpCheck::of_everything(std::iter::empty(), &BTreeSet::new(), &Options::default()).is_empty());
}
