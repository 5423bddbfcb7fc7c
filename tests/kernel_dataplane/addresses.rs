//! The box's own addresses: which answer on node ports, and what happens when they
//! change.

use std::sync::Arc;

use edgesvc::dataplane::{Dataplane, Options};

use super::world::*;

async fn answering_on(entries: &[&str]) -> Dataplane {
    let nodeport_addresses = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    let dataplane = Dataplane::open(Options { nodeport_addresses, ..options() }).unwrap();
    dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
    dataplane
}

fn answers(addr: &str) -> bool {
    match ask("client", "tcp", addr, 30080, 1)[0].as_str() {
        "refused fast" => false,
        answer => {
            assert!(answer.starts_with("b1 "), "{addr}: {answer}");
            true
        }
    }
}

#[test]
fn a_lease_that_changes_moves_the_node_ports_of_its_network() {
    in_world("addresses::a_lease_that_changes_moves_the_node_ports_of_its_network", || async {
        let _server = serve("b1", 8080);
        let _dataplane = answering_on(&["10.1.9.0/24", "10.7.0.0/16", "fd01:9::/64"]).await;
        assert!(answers("10.1.9.1") && answers("fd01:9::1") && !answers("10.1.2.1") && !answers("fd01:2::1"));
        sh("ip addr add 10.7.7.7/16 dev v-client; ip addr add fd01:9::77/64 dev v-client nodad");
        until("the new addresses answer", || answers("10.7.7.7") && answers("fd01:9::77")).await;
        sh("ip addr del 10.7.7.7/16 dev v-client; ip addr del fd01:9::77/64 dev v-client");
        let listed = || sh("nft list set ip edgesvc nodeport-ips; nft list set ip6 edgesvc nodeport-ips");
        until("the old ones are forgotten", || !listed().contains("10.7.7.7") && !listed().contains("::77")).await;
    });
}

#[test]
fn node_ports_of_the_primary_address_follow_the_default_route() {
    in_world("addresses::node_ports_of_the_primary_address_follow_the_default_route", || async {
        let _server = serve("b1", 8080);
        sh("ip route add default via 10.1.9.2; ip route add default via fd01:9::2");
        let _dataplane = answering_on(&["primary"]).await;
        assert!(answers("10.1.9.1") && answers("fd01:9::1"));
        assert!(!answers("10.1.2.1") && !answers("fd01:2::1"));
        sh("ip route replace default via 10.1.2.2; ip route replace default via fd01:2::2");
        until("the other address is primary", || answers("10.1.2.1") && !answers("10.1.9.1")).await;
        until("in IPv6 too", || answers("fd01:2::1") && !answers("fd01:9::1")).await;
    });
}

#[test]
fn node_ports_of_a_link_follow_its_addresses() {
    in_world("addresses::node_ports_of_a_link_follow_its_addresses", || async {
        let _server = serve("b1", 8080);
        let _dataplane = answering_on(&["v-b2"]).await;
        assert!(answers("10.1.2.1") && answers("fd01:2::1") && !answers("10.1.9.1") && !answers("fd01:9::1"));
        sh("ip addr add 10.8.8.8/32 dev v-b2");
        until("a new address of the link answers", || answers("10.8.8.8")).await;
    });
}

#[test]
fn node_ports_are_kept_from_the_boxs_own_connections_until_cleanup() {
    in_world("addresses::node_ports_are_kept_from_the_boxs_own_connections_until_cleanup", || async {
        let reserved = || sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").trim().to_owned();
        sh("echo 8080,30005 > /proc/sys/net/ipv4/ip_local_reserved_ports");
        let with = |node_ports| Options { node_ports: Some(node_ports), ..options() };
        let first = Dataplane::open(with(30000..=30010)).unwrap();
        first.converge(Vec::new()).await.unwrap();
        assert_eq!(reserved(), "8080,30000-30010");
        let second = take_over(first, with(30008..=30020), edgesvc::dataplane::Ceiling::default()).await;
        second.converge(Vec::new()).await.unwrap();
        assert_eq!(reserved(), "8080,30005,30008-30020", "another range: the old one is free again");
        drop(second);
        until("cleanup", || edgesvc::dataplane::cleanup().is_ok()).await;
        assert_eq!(reserved(), "8080,30005");
    });
}

#[test]
fn where_lo_stands_in_for_our_link_it_is_cleaned_up() {
    in_world("addresses::where_lo_stands_in_for_our_link_it_is_cleaned_up", || async {
        let _server = serve("b1", 8080);
        let state = || sh("ip -br addr show dev lo; ip route; ip -6 route");
        let before = state();
        // Nobody can make a link of our name any more.
        sh("ip link property add dev v-b2 altname edgesvc0");
        let dataplane = Dataplane::open(options()).unwrap();
        assert!(dataplane.warnings().iter().any(|warning| warning.contains("lo takes its addresses")));
        dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        for vip in [VIP, VIP6] {
            assert_eq!(names(&ask("node", "tcp", vip, 80, 2)), set(&["b1"]), "{vip}");
        }
        assert!(state().contains("10.43.0.10/32") && state().contains("fd43::a/128"), "{}", state());
        drop(dataplane);
        until("cleanup", || edgesvc::dataplane::cleanup().is_ok()).await;
        assert_eq!(state(), before);
    });
}

#[test]
fn without_fib_the_box_knows_its_addresses_by_sets() {
    in_world("addresses::without_fib_the_box_knows_its_addresses_by_sets", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let dataplane = Dataplane::open(Options { address_sets: true, ..options() }).unwrap();
        dataplane.converge(vec![Arc::new(web(&[1, 2], None))]).await.unwrap();
        assert!(!sh("nft list ruleset").contains("fib "));
        for addr in ["10.1.9.1", "10.1.1.1", "fd01:9::1"] {
            for from in ["client", "node", "b1"] {
                assert_eq!(names(&ask(from, "tcp", addr, 30080, 20)), set(&["b1", "b2"]), "{from} {addr}");
            }
        }
        for loopback in ["127.0.0.1", "::1"] {
            assert_eq!(ask("node", "tcp", loopback, 30080, 1), ["refused fast"]);
        }
        assert_eq!(ask("client", "tcp", "10.1.9.2", 30080, 1), ["refused fast"], "somebody else's address");
        // From an address of another link, as a process bound to it does.
        let from_other = "
import socket
s=socket.create_connection(('10.43.0.80',80),timeout=2,source_address=('10.1.9.1',0))
print(s.recv(100).decode().strip())";
        for _ in 0..8 {
            let output = python("node").args(["-c", from_other]).output().unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(answer.starts_with('b') && !answer.contains("10.1.9.1"), "{answer}");
        }
        sh("ip addr add 10.9.9.9/32 dev v-client");
        until("a new address answers", || names(&ask("client", "tcp", "10.9.9.9", 30080, 1)) != set(&["refused"]))
            .await;
    });
}
