use std::net::IpAddr;
use std::sync::Arc;

use super::super::conntrack::{Flow, Wanted, leaves_flows};
use super::super::table::{Book, Edit, Frontends};
use super::{balance, frontend};
use crate::desired::{Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, ObjectKey, Protocol};

const VIP: &str = "10.43.0.1:53";
const A: &str = "10.0.0.1:5353";
const B: &str = "10.0.0.2:5353";
const NODE: &str = "192.0.2.1:30053";

fn udp(endpoints: &[&str]) -> Frontend {
    let verdict = if endpoints.is_empty() { Verdict::Refuse } else { balance(endpoints, None) };
    frontend(VIP, Protocol::Udp, verdict)
}

fn keeping(mut frontend: Frontend, kept: &[&str]) -> Frontend {
    frontend.kept = kept.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    frontend
}

fn node_port(endpoints: &[&str]) -> Frontend {
    Frontend { addr: FrontendAddr::NodePort(IpFamily::V4), port: 30053, ..udp(endpoints) }
}

fn in_effect(frontends: &[Frontend]) -> Frontends {
    let contribution = Contribution {
        key: ObjectKey::new("t", "web"),
        cluster_ips: Vec::new(),
        frontends: frontends.to_vec(),
        health: None,
        records: Arc::default(),
    };
    let mut book = Book::default();
    book.change(&contribution.key.clone(), None, Some(&Arc::new(contribution)), &mut |_| false, &mut Edit::default());
    book.frontends().clone()
}

fn holding(frontends: &[Frontend]) -> Wanted {
    Wanted {
        now: in_effect(frontends),
        ranges: ["10.43.0.0/16".parse().unwrap()].into(),
        dns: ["10.43.0.10".parse().unwrap()].into(),
        ..Wanted::default()
    }
}

fn is_stale_of(wanted: &Wanted, protocol: Protocol, original: &str, reply: &str) -> bool {
    let flow = Flow { protocol, original: original.parse().unwrap(), reply: reply.parse().unwrap() };
    wanted.is_stale(flow, |addr| addr == "192.0.2.1".parse::<IpAddr>().unwrap())
}

fn is_stale(wanted: &Wanted, original: &str, reply: &str) -> bool {
    is_stale_of(wanted, Protocol::Udp, original, reply)
}

fn looks(before: Option<&Frontend>, after: Option<&Frontend>) -> bool {
    leaves_flows(before, after)
}

#[test]
fn the_table_is_read_only_where_a_flow_can_be_stale() {
    let (none, one, both) = (udp(&[]), udp(&[A]), udp(&[A, B]));
    assert!(!looks(Some(&one), Some(&both)), "an endpoint more");
    assert!(!looks(Some(&one), Some(&one)));
    assert!(!looks(Some(&none), None), "nobody was let through");
    assert!(!looks(None, Some(&none)));
    assert!(!looks(Some(&none), Some(&frontend(VIP, Protocol::Udp, Verdict::Drop))));
    assert!(!looks(Some(&both), Some(&keeping(one.clone(), &[B]))), "it goes on serving the flows it has");
    assert!(looks(Some(&keeping(one.clone(), &[B])), Some(&one)), "until it does not");
    assert!(looks(Some(&both), Some(&one)), "an endpoint less");
    assert!(looks(Some(&one), Some(&udp(&[B]))), "replaced");
    assert!(looks(Some(&one), Some(&none)), "scaled to zero");
    assert!(looks(Some(&none), Some(&one)), "the first endpoint");
    assert!(looks(None, Some(&one)), "a new frontend");
    assert!(looks(Some(&one), None), "a frontend less");
    let tcp = |endpoints| frontend(VIP, Protocol::Tcp, balance(endpoints, None));
    assert!(looks(Some(&tcp(&[A, B])), Some(&tcp(&[A]))), "half-open connections");
    assert!(!looks(None, Some(&tcp(&[A]))), "what was not translated ends by itself");
}

#[test]
fn a_flow_is_stale_when_its_endpoint_is_not_served_any_more() {
    let wanted = holding(&[udp(&[A])]);
    assert!(!is_stale(&wanted, VIP, A));
    assert!(is_stale(&wanted, VIP, B));
    assert!(is_stale(&wanted, VIP, VIP), "made before there was anything to translate to");
    assert!(!is_stale(&wanted, "10.43.0.1:54", B), "another port");
    assert!(!is_stale(&wanted, "10.43.0.2:53", B), "another address");
    assert!(!is_stale_of(&wanted, Protocol::Tcp, VIP, B), "another protocol");
    assert!(is_stale(&holding(&[udp(&[])]), VIP, A), "scaled to zero");
    assert!(!is_stale(&holding(&[keeping(udp(&[]), &[A])]), VIP, A), "terminating and serving");
}

#[test]
fn while_a_change_is_under_way_flows_of_both_sides_are_right() {
    let mut wanted = holding(&[udp(&[A])]);
    wanted.next = Some(in_effect(&[udp(&[B])]));
    assert!(!is_stale(&wanted, VIP, A) && !is_stale(&wanted, VIP, B));
    wanted.next = Some(in_effect(&[]));
    assert!(!is_stale(&wanted, VIP, A));
    assert!(is_stale(&wanted, VIP, B), "neither side knows it");
}

#[test]
fn a_node_port_is_a_port_of_this_box_only() {
    let wanted = holding(&[node_port(&[A])]);
    assert!(!is_stale(&wanted, NODE, A));
    assert!(is_stale(&wanted, NODE, B));
    assert!(is_stale(&wanted, NODE, NODE));
    assert!(!is_stale(&wanted, "203.0.113.1:30053", "203.0.113.1:30053"), "somebody else's server");
}

#[test]
fn flows_of_frontends_that_went_are_stale_and_all_others_are_not() {
    let mut wanted = holding(&[udp(&[A])]);
    for addr in [
        FrontendAddr::NodePort(IpFamily::V4),
        FrontendAddr::Virtual("198.51.100.1".parse().unwrap()),
        FrontendAddr::Virtual("10.43.0.1".parse().unwrap()),
    ] {
        let port = if matches!(addr, FrontendAddr::NodePort(_)) { 30053 } else { 53 };
        wanted.gone.insert((addr, Protocol::Udp, port), 1);
    }
    assert!(!is_stale(&wanted, VIP, A), "it is served again");
    assert!(is_stale(&wanted, VIP, B));
    assert!(is_stale(&wanted, NODE, A), "a node port that is gone");
    assert!(is_stale(&wanted, "198.51.100.1:53", A), "an external address that is gone");
    assert!(is_stale(&wanted, "10.43.9.9:53", "10.43.9.9:53"), "let through to an address nobody has");
    assert!(!is_stale(&wanted, "10.43.9.9:53", A), "another proxy's");
    assert!(!is_stale(&wanted, "10.43.0.10:53", "10.43.0.10:53"), "our own DNS");
    assert!(!is_stale(&wanted, "192.0.2.1:30054", A), "somebody else's port");
    assert!(!is_stale(&wanted, "203.0.113.1:53", "203.0.113.1:53"), "somebody else's server");
}
