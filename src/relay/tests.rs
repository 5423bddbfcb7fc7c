//! Tables and laws of choosing, and of what is asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::Options;
use super::picker::{AVOID_MS, Affinity, Backend, Backing, Chosen, Clients, Picker};
use super::plan::{Place, Seat, handed, is_inside, seats, takes_node_ports};
use super::site::Site;
use crate::desired::{Balance, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::balance::Schedule;
use crate::model::{BoxAddress, IpFamily, NodePortAddress, ObjectKey, Protocol};

fn endpoint(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn backing(schedule: Schedule, numbers: &[u8], affinity_ms: Option<u64>, from: Option<&Backing>) -> Arc<Backing> {
    let live = |addr| {
        let known = from.and_then(|from| from.backends.iter().find(|backend| backend.addr == addr));
        known.map(|backend| Arc::clone(&backend.live)).unwrap_or_default()
    };
    let backends =
        numbers.iter().map(|n| Backend { addr: endpoint(*n), weight: 1, live: live(endpoint(*n)) }).collect();
    let share = Arc::new(Semaphore::new(1));
    let (inside, kept, source_ranges) = (None, Vec::new(), Vec::new());
    let known = from.and_then(|from| from.affinity.clone());
    let affinity = affinity_ms.map(|ms| Affinity {
        ms,
        clients: known.map(|affinity| affinity.clients).unwrap_or_default(),
        inside: Clients::default(),
    });
    Arc::new(Backing { backends, inside, kept, schedule, affinity, source_ranges, dest: None, share })
}

/// A picker on a box with the address 192.168.5.1 and Pods in 10.9.0.0/24.
fn picker(backing: Arc<Backing>) -> Picker {
    let options = Options { cluster_cidrs: vec!["10.9.0.0/24".parse().unwrap()], ..Options::default() };
    let (addresses, ranges) = (watch::channel(addresses().into()).1, watch::channel(Arc::default()).1);
    Picker::new(backing, Site::new(&options, addresses, ranges))
}

fn addresses() -> Vec<BoxAddress> {
    let one = |addr, link: &str, index, primary| BoxAddress {
        addr: ip(addr),
        link: link.to_owned(),
        index,
        prefix_len: 24,
        multicast: false,
        routed: primary,
        primary,
    };
    vec![one("192.168.5.1", "eth0", 2, true), one("fd05::1", "eth0", 2, true), one("10.9.0.1", "br0", 3, false)]
}

fn choose(picker: &mut Picker, client: &str, tried: &[SocketAddr], now: u64) -> Chosen {
    picker.choose(ip(client), ip("10.43.0.1"), tried, now).unwrap()
}

#[test]
fn open_connections_count_until_they_end() {
    let mut picker = picker(backing(Schedule::LeastConnection, &[1, 2], None, None));
    let first = choose(&mut picker, "192.0.2.1", &[], 0);
    let second = choose(&mut picker, "192.0.2.1", &[], 0);
    assert_eq!((first.addr, second.addr), (endpoint(1), endpoint(2)));
    drop(second);
    for _ in 0..3 {
        assert_eq!(choose(&mut picker, "192.0.2.1", &[], 0).addr, endpoint(2));
    }
}

#[test]
fn each_endpoint_is_tried_once_and_one_that_failed_comes_last_for_a_while() {
    let mut picker = picker(backing(Schedule::RoundRobin, &[1, 2], None, None));
    let first = choose(&mut picker, "192.0.2.1", &[], 1000);
    assert!(first.others);
    first.failed(1000);
    let second = choose(&mut picker, "192.0.2.1", &[first.addr], 1000);
    assert!(second.addr == endpoint(2) && !second.others);
    assert!(picker.choose(ip("192.0.2.1"), ip("10.43.0.1"), &[endpoint(1), endpoint(2)], 1000).is_none());
    for _ in 0..3 {
        assert_eq!(choose(&mut picker, "192.0.2.1", &[], 1000 + AVOID_MS - 1).addr, endpoint(2));
    }
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 1000 + AVOID_MS).addr, endpoint(1));
    // When nobody else is left, one that failed is better than none.
    choose(&mut picker, "192.0.2.1", &[], 9000).failed(9000);
    choose(&mut picker, "192.0.2.1", &[], 9000).failed(9000);
    choose(&mut picker, "192.0.2.1", &[], 9000);
}

#[test]
fn affinity_lasts_from_the_last_connection_and_is_given_up_with_its_endpoint() {
    let mut picker = picker(backing(Schedule::RoundRobin, &[1, 2, 3], Some(1000), None));
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 0).addr, endpoint(1));
    assert_eq!(choose(&mut picker, "192.0.2.2", &[], 0).addr, endpoint(2));
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 999).addr, endpoint(1));
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 1998).addr, endpoint(1), "refreshed");
    assert_eq!(choose(&mut picker, "192.0.2.2", &[], 1998).addr, endpoint(3), "over");
    // A failure binds the client anew.
    choose(&mut picker, "192.0.2.1", &[], 2000).failed(2000);
    let moved = choose(&mut picker, "192.0.2.1", &[endpoint(1)], 2000).addr;
    assert_ne!(moved, endpoint(1));
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 2001).addr, moved);
    let less = backing(Schedule::RoundRobin, &[1], Some(1000), Some(picker.backing()));
    picker.adopt(less);
    assert_eq!(choose(&mut picker, "192.0.2.1", &[], 2002).addr, endpoint(1));
}

fn contribution(relayed: bool) -> Contribution {
    let balance =
        Balance { endpoints: vec![endpoint(1), endpoint(2)], affinity_seconds: Some(9), ..Balance::default() };
    let frontend = |addr, protocol, port, verdict| {
        let (source_ranges, inside, kept) = (Vec::new(), None, vec![endpoint(9)]);
        Frontend { addr, protocol, port, verdict, source_ranges, inside, kept }
    };
    let cluster = FrontendAddr::Virtual(ip("10.43.0.7"));
    let frontends = vec![
        frontend(cluster, Protocol::Tcp, 80, Verdict::Balance(balance.clone())),
        frontend(cluster, Protocol::Tcp, 81, Verdict::Refuse),
        frontend(cluster, Protocol::Sctp, 82, Verdict::Balance(balance.clone())),
        frontend(FrontendAddr::NodePort(IpFamily::V4), Protocol::Tcp, 30080, Verdict::Balance(balance)),
    ];
    let (key, cluster_ips) = (ObjectKey::new("t", "web"), vec![ip("10.43.0.7")]);
    Contribution { key, cluster_ips, frontends, relayed, health: None, records: Arc::default() }
}

fn entries(texts: &[&str]) -> Vec<NodePortAddress> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn options(whole: bool, nodeport_addresses: &[&str]) -> Options {
    Options {
        whole,
        service_ranges: vec!["10.43.0.0/16".parse().unwrap(), "fd43::/112".parse().unwrap()],
        nodeport_addresses: entries(nodeport_addresses),
        connections_max: 10,
        ..Options::default()
    }
}

#[test]
fn sockets_are_asked_for_where_the_relay_carries() {
    let places = |relayed: bool, options: &Options| -> Vec<Place> {
        seats(&contribution(relayed), options).into_keys().map(|seat| seat.place).collect()
    };
    let (cluster, node_port) = ("10.43.0.7:80".parse().unwrap(), FrontendAddr::NodePort(IpFamily::V4));
    let whole = [Place::At(cluster), Place::NodePort(IpFamily::V4, 30080)];
    assert_eq!(places(false, &options(true, &[])), whole);
    assert_eq!(places(true, &options(true, &["127.0.0.0/8"])), whole);
    assert_eq!(places(false, &options(false, &["0.0.0.0/0"])), []);
    let loopback = Place::At("127.0.0.1:30080".parse().unwrap());
    for name in ["127.0.0.1/32", "localhost", "lo"] {
        assert_eq!(places(false, &options(false, &[name])), [loopback], "{name}");
    }
    let behind = [Place::Behind(FrontendAddr::Virtual(ip("10.43.0.7")), 80), Place::Behind(node_port, 30080)];
    assert_eq!(places(true, &options(false, &[])), behind);
}

#[test]
fn the_kernel_is_led_to_the_sockets_and_refuses_what_has_none() {
    let place = Place::Behind(FrontendAddr::Virtual(ip("10.43.0.7")), 80);
    let socket: SocketAddr = "10.43.0.0:4711".parse().unwrap();
    let told = handed(&contribution(true), &[(Seat { place, protocol: Protocol::Tcp }, socket)].into());
    let only = Verdict::Balance(Balance { endpoints: vec![socket], ..Balance::default() });
    assert_eq!(told.frontends[0].verdict, only);
    assert_eq!((&told.frontends[1].verdict, &told.frontends[3].verdict), (&Verdict::Refuse, &Verdict::Refuse));
    assert_eq!(told.frontends[0].kept, [], "flows of the kernel move to the socket");
    assert_eq!(told.frontends[2].verdict, contribution(true).frontends[2].verdict, "SCTP stays the kernel's");
}

#[test]
fn policy_local_has_a_socket_for_clients_inside_and_the_kernel_drops_the_others() {
    let mut service = contribution(true);
    let cluster = Balance { endpoints: vec![endpoint(1), endpoint(2)], ..Balance::default() };
    let local = Balance { endpoints: vec![endpoint(1)], ..Balance::default() };
    let frontend = |service: &mut Contribution, verdict: Verdict| {
        service.frontends = vec![Frontend {
            verdict,
            inside: Some(cluster.clone()),
            kept: vec![endpoint(3)],
            ..contribution(true).frontends[3].clone()
        }];
    };
    let place = Place::Behind(FrontendAddr::NodePort(IpFamily::V4), 30080);
    let (seat, socket) = (Seat { place, protocol: Protocol::Tcp }, "10.43.0.0:4711".parse().unwrap());
    let only = Balance { endpoints: vec![socket], ..Balance::default() };
    for (verdict, told) in [
        (Verdict::Balance(local), (Verdict::Balance(only.clone()), None)),
        (Verdict::Drop, (Verdict::Drop, Some(only))),
    ] {
        frontend(&mut service, verdict);
        assert!(seats(&service, &options(false, &[])).contains_key(&seat));
        let handed = handed(&service, &[(seat, socket)].into());
        assert_eq!((handed.frontends[0].verdict.clone(), handed.frontends[0].inside.clone()), told);
    }
    assert_eq!(handed(&service, &BTreeMap::new()).frontends[0].verdict, Verdict::Refuse);
}

#[test]
fn clients_inside_have_a_choice_and_a_round_of_their_own() {
    let all = backing(Schedule::RoundRobin, &[1, 2, 3], None, None);
    let one = backing(Schedule::RoundRobin, &[2], None, Some(&all));
    let with = |outside: &[Backend]| Backing {
        backends: outside.to_vec(),
        inside: Some(all.backends.clone()),
        kept: vec![endpoint(9)],
        schedule: Schedule::RoundRobin,
        affinity: None,
        source_ranges: Vec::new(),
        dest: None,
        share: Arc::clone(&all.share),
    };
    let mut picker = picker(Arc::new(with(&one.backends)));
    for number in 1..4 {
        for outside in ["192.0.2.1", "10.43.0.7"] {
            assert_eq!(choose(&mut picker, outside, &[], 0).addr, endpoint(2));
        }
        // The box, a Pod, and the box once more.
        let inside = ["192.168.5.1", "10.9.0.12", "127.0.0.1"][usize::from(number) - 1];
        assert_eq!(choose(&mut picker, inside, &[], 0).addr, endpoint(number), "{inside}");
    }
    let known =
        |picker: &Picker, number| (picker.backing().holds(endpoint(number)), picker.backing().keeps(endpoint(number)));
    assert_eq!(
        (known(&picker, 3), known(&picker, 9), known(&picker, 8)),
        ((true, true), (false, true), (false, false))
    );
    picker.adopt(Arc::new(with(&[])));
    assert!(picker.choose(ip("192.0.2.1"), ip("10.43.0.1"), &[], 0).is_none());
    choose(&mut picker, "192.168.5.1", &[], 0);
}

#[test]
fn inside_is_who_has_an_address_of_the_box_or_of_pods() {
    let cidrs = ["10.9.0.0/24".parse().unwrap()];
    for (client, local, expected) in [
        ("192.168.5.1", "198.51.100.7", true),
        ("fd05::1", "fd05::1", true),
        ("10.9.0.12", "192.168.5.1", true),
        ("127.0.0.3", "127.0.0.1", true),
        ("198.51.100.7", "198.51.100.7", true),
        ("192.168.5.2", "192.168.5.1", false),
        ("fd09::12", "fd05::1", false),
    ] {
        assert_eq!(is_inside(ip(client), ip(local), &cidrs, &addresses()), expected, "{client} -> {local}");
    }
}

#[test]
fn node_ports_answer_on_the_nodes_own_addresses() {
    let ranges = ["10.43.0.0/16".parse().unwrap(), "fd43::/112".parse().unwrap()];
    for (asked, local, expected) in [
        (&[][..], "192.168.5.1", true),
        (&[], "127.0.0.1", false),
        (&[], "10.43.0.7", false),
        (&["192.168.5.0/24"], "192.168.5.1", true),
        (&["192.168.5.0/24"], "192.168.5.9", false),
        (&["192.168.5.0/24"], "10.9.0.1", false),
        (&["192.168.5.0/24"], "fd05::1", true),
        (&["primary"], "fd05::1", true),
        (&["primary"], "10.9.0.1", false),
        (&["br0"], "10.9.0.1", true),
        (&["br0", "localhost"], "192.168.5.1", false),
        (&["br0", "localhost"], "::1", true),
        (&["localhost"], "127.0.0.1", true),
        (&["localhost"], "127.0.0.2", false),
        (&["localhost"], "192.168.5.1", false),
        (&["0.0.0.0/0"], "127.0.0.1", false),
        (&["127.0.0.0/8"], "127.0.0.2", true),
        (&["127.0.0.1/32"], "192.168.5.1", false),
        (&["0.0.0.0/0", "localhost"], "10.43.0.7", false),
    ] {
        let taken = takes_node_ports(ip(local), &entries(asked), &ranges, &addresses());
        assert_eq!(taken, expected, "{asked:?} {local}");
    }
}
