//! The dataplane against the real kernel, with real packets.
//!
//! Every test runs itself again inside new user, network and mount namespaces
//! (see `world`).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use edgesvc::dataplane;
use edgesvc::desired::{Balance, Frontend, FrontendAddr, Verdict};
use edgesvc::model::{IpFamily, Protocol};
use tokio::time::Instant;

use self::world::*;

#[path = "kernel_dataplane/addresses.rs"]
mod addresses;
#[path = "kernel_dataplane/affinity.rs"]
mod affinity;
#[path = "kernel_dataplane/balance.rs"]
mod balance;
#[path = "kernel_dataplane/cases.rs"]
mod cases;
#[path = "kernel_dataplane/export.rs"]
mod export;
#[path = "kernel_dataplane/firewalls.rs"]
mod firewalls;
#[path = "kernel_dataplane/flows.rs"]
mod flows;
#[path = "kernel_dataplane/inside.rs"]
mod inside;
#[path = "kernel_dataplane/live.rs"]
mod live;
#[path = "kernel_dataplane/own.rs"]
mod own;
#[path = "kernel_dataplane/refused.rs"]
mod refused;
#[path = "kernel_dataplane/restart.rs"]
mod restart;
#[path = "kernel_dataplane/routes.rs"]
mod routes;
#[path = "kernel_dataplane/scale.rs"]
mod scale;
#[path = "kernel_dataplane/world.rs"]
mod world;

#[test]
fn a_cluster_ip_is_reached_from_everywhere_and_keeps_client_addresses() {
    in_world("a_cluster_ip_is_reached_from_everywhere_and_keeps_client_addresses", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let dataplane = with_web(web(&[1, 2], None)).await;
        assert_eq!(dataplane.warnings(), &[] as &[String]);
        let mut wrong = String::new();
        for (vip, client) in [(VIP, "10.1.9.2"), (VIP6, "fd01:9::2")] {
            for protocol in ["tcp", "udp"] {
                for from in ["client", "node", "b1"] {
                    let answers = ask(from, protocol, vip, 80, 30);
                    if names(&answers) != set(&["b1", "b2"]) {
                        writeln!(wrong, "{from} {protocol} {vip}: {:?}", answers.iter().collect::<BTreeSet<_>>())
                            .unwrap();
                    }
                    if from == "client" && !answers.iter().all(|answer| answer.ends_with(client)) {
                        writeln!(wrong, "client address lost: {answers:?}").unwrap();
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong}{}", sh("nft list ruleset; ip a; ip r"));
    });
}

#[test]
fn node_ports_answer_on_every_local_address_but_loopback() {
    in_world("node_ports_answer_on_every_local_address_but_loopback", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let _dataplane = with_web(web(&[1, 2], None)).await;
        for addr in ["10.1.9.1", "10.1.1.1", "fd01:9::1"] {
            for from in ["client", "node", "b1"] {
                assert_eq!(names(&ask(from, "tcp", addr, 30080, 20)), set(&["b1", "b2"]), "{from} {addr}");
            }
        }
        assert_eq!(names(&ask("client", "udp", "10.1.9.1", 30080, 20)), set(&["b1", "b2"]));
        assert!(ask("client", "tcp", "10.1.9.1", 30080, 5).iter().all(|answer| answer.ends_with("10.1.9.2")));
        for loopback in ["127.0.0.1", "::1"] {
            assert_eq!(ask("node", "tcp", loopback, 30080, 1), ["refused fast"]);
        }
    });
}

#[test]
fn what_nobody_serves_is_refused_at_once_and_what_nobody_has_is_dropped() {
    in_world("what_nobody_serves_is_refused_at_once_and_what_nobody_has_is_dropped", || async {
        let _dataplane = with_web(web(&[], None)).await;
        for from in ["client", "node"] {
            for vip in [VIP, VIP6] {
                // More than the kernel's ICMP rate limit lets through.
                assert_eq!(ask(from, "tcp", vip, 80, 1000), vec!["refused fast"; 1000], "{from} {vip}");
                assert_eq!(ask(from, "udp", vip, 80, 1), ["refused fast"], "{from} {vip}");
                assert_eq!(ask(from, "tcp", vip, 81, 1), ["refused fast"], "{from} {vip}: a port it does not have");
            }
            assert_eq!(ask(from, "tcp", "10.1.9.1", 30080, 1), ["refused fast"], "{from}");
            assert_eq!(ask(from, "tcp", "10.43.7.7", 80, 1), ["timeout"], "{from}");
            assert_eq!(ask(from, "tcp", "fd43::77", 80, 1), ["timeout"], "{from}");
        }
    });
}

#[test]
fn an_affine_client_stays_until_its_time_is_over_or_its_endpoint_is_gone() {
    in_world("an_affine_client_stays_until_its_time_is_over_or_its_endpoint_is_gone", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let both = web(&[1, 2], Some(2));
        let dataplane = with_web(both.clone()).await;
        for (vip, port) in [(VIP, 80), (VIP6, 80), ("10.1.9.1", 30080)] {
            for from in ["client", "node"] {
                assert_eq!(names(&ask(from, "tcp", vip, port, 50)).len(), 1, "{from} {vip}");
            }
        }
        let mine = names(&ask("client", "tcp", VIP, 80, 1));
        let other: u8 = if mine == set(&["b1"]) { 2 } else { 1 };
        let less = web(&[other], Some(2));
        dataplane.apply(change(&both, &less)).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 20)), set(&[&format!("b{other}")]));
        dataplane.apply(change(&less, &both)).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 20)), set(&[&format!("b{other}")]), "it stays there");
        let entries = || sh("nft list map ip edgesvc affinity; nft list map ip edgesvc shared-affinity");
        until("entries time out", || !entries().contains("expires")).await;
    });
}

#[test]
fn source_ranges_close_a_load_balancer_address_to_others() {
    in_world("source_ranges_close_a_load_balancer_address_to_others", || async {
        let _servers = [serve("b1", 8080)];
        let addr = FrontendAddr::Virtual("198.51.100.5".parse().unwrap());
        let balance =
            Balance { endpoints: endpoints(IpFamily::V4, &[1]), affinity_seconds: None, ..Balance::default() };
        let source_ranges = vec!["10.1.9.0/24".parse().unwrap(), "10.1.9.2/32".parse().unwrap()];
        let mut service = web(&[1], None);
        service.frontends.push(Frontend {
            addr,
            protocol: Protocol::Tcp,
            port: 80,
            verdict: Verdict::Balance(balance),
            source_ranges,
            inside: None,
            kept: Vec::new(),
        });
        let dataplane = with_web(service.clone()).await;
        assert_eq!(names(&ask("client", "tcp", "198.51.100.5", 80, 2)), set(&["b1"]));
        assert_eq!(ask("b2", "tcp", "198.51.100.5", 80, 1), ["timeout"]);
        assert_eq!(names(&ask("b2", "tcp", VIP, 80, 1)), set(&["b1"]), "the cluster IP is open");
        dataplane.apply(change(&service, &web(&[1], None))).await.unwrap();
        assert!(!sh("nft list ruleset").contains("198.51.100.5"));
    });
}

#[test]
fn connections_survive_changes_and_none_is_lost_while_endpoints_come_and_go() {
    in_world("connections_survive_changes_and_none_is_lost_while_endpoints_come_and_go", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (both, one) = (web(&[1, 2], None), web(&[1], None));
        let dataplane = with_web(both.clone()).await;
        let mut client = python("client");
        client.args(["-c", CLIENT, "tcp", VIP, "80", "3000"]).stdout(Stdio::piped());
        let client = client.spawn().unwrap();
        let answered = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
        let (mut now, mut next) = (&both, &one);
        let mut changes = 0;
        while !answered.is_finished() {
            dataplane.apply(change(now, next)).await.unwrap();
            (now, next) = (next, now);
            changes += 1;
            tokio::task::yield_now().await;
        }
        let text = String::from_utf8(answered.await.unwrap().stdout).unwrap();
        let answers: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(answers.len(), 3000);
        assert_eq!(names(&answers), set(&["b1", "b2"]), "after {changes} changes");
        assert!(changes > 10, "{changes}");
    });
}

#[test]
fn a_foreign_flush_and_foreign_rules_leave_the_service_standing() {
    in_world("a_foreign_flush_and_foreign_rules_leave_the_service_standing", || async {
        let _server = serve("b1", 8080);
        let _dataplane = with_web(web(&[1], None)).await;
        sh("nft add table inet other; nft flush ruleset || true");
        until("the service answers", || names(&ask("client", "tcp", VIP, 80, 1)) == set(&["b1"])).await;
        until("the tables are back", || sh("nft list ruleset").contains("10.1.1.2 . 8080")).await;
    });
}

#[test]
fn show_tells_the_endpoints_and_cleanup_leaves_nothing() {
    in_world("show_tells_the_endpoints_and_cleanup_leaves_nothing", || async {
        let before = sh("nft list ruleset; ip link; ip route");
        let dataplane = with_web(web(&[1, 2], None)).await;
        let shown = dataplane::show().unwrap();
        assert!(shown.contains("TCP 10.43.0.80:80 -> 10.1.1.2:8080 10.1.2.2:8080 (n-2)"), "{shown}");
        assert!(shown.contains("UDP nodeport/ip6:30080 -> [fd01:1::2]:8080 [fd01:2::2]:8080 (p-2)"), "{shown}");
        drop(dataplane);
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(error) = dataplane::cleanup() {
            assert!(Instant::now() < deadline, "{error}");
        }
        assert_eq!(sh("nft list ruleset; ip link; ip route"), before);
        assert_eq!(dataplane::cleanup().unwrap(), Vec::<String>::new());
    });
}
