//! Policy Local binds clients outside the cluster, and nobody else (spec case 17).

use std::sync::Arc;

use edgesvc::dataplane::{Dataplane, Options};
use edgesvc::desired::{Balance, Contribution, Frontend, FrontendAddr, Verdict};
use edgesvc::model::IpFamily;

use super::world::*;

const LB: &str = "198.51.100.5";
const LB6: &str = "fd55::5";

/// `web` with a load-balancer address and node ports of policy Local: these
/// backends are here, and all of them serve the cluster.
fn local(here: &[u8], all: &[u8], affinity_seconds: Option<u32>) -> Contribution {
    let mut service = web(all, affinity_seconds);
    let mut more = Vec::new();
    for frontend in &mut service.frontends {
        let family = frontend.addr.family();
        let inside = Some(Balance { endpoints: endpoints(family, all), affinity_seconds });
        let verdict = match endpoints(family, here) {
            none if none.is_empty() => Verdict::Drop,
            endpoints => Verdict::Balance(Balance { endpoints, affinity_seconds }),
        };
        if let FrontendAddr::NodePort(_) = frontend.addr {
            (frontend.verdict, frontend.inside) = (verdict, inside);
        } else {
            let (addr, ranges) = match family {
                IpFamily::V4 => (LB, ["10.0.0.0/8"]),
                IpFamily::V6 => (LB6, ["fd00::/8"]),
            };
            let addr = FrontendAddr::Virtual(addr.parse().unwrap());
            let source_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
            more.push(Frontend { addr, verdict, inside, source_ranges, ..frontend.clone() });
        }
    }
    service.frontends.extend(more);
    service.frontends.sort();
    service
}

async fn open(service: &Contribution) -> Dataplane {
    // b2's network is one of Pods; the client's is not.
    let cluster_cidrs = vec!["10.1.2.0/24".parse().unwrap(), "fd01:2::/64".parse().unwrap()];
    let dataplane = Dataplane::open(Options { cluster_cidrs, ..options() }).unwrap();
    dataplane.converge(vec![Arc::new(service.clone())]).await.unwrap();
    sh("ip route add 198.51.100.0/24 dev edgesvc0; ip route add fd55::/64 dev edgesvc0");
    dataplane
}

const PLACES: [(&str, u16); 4] = [("10.1.9.1", 30080), ("fd01:9::1", 30080), (LB, 80), (LB6, 80)];

#[test]
fn clients_of_the_cluster_reach_every_endpoint_and_others_those_of_the_box() {
    in_world("inside::clients_of_the_cluster_reach_every_endpoint_and_others_those_of_the_box", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (one, none) = (local(&[1], &[1, 2], None), local(&[], &[1, 2], None));
        let dataplane = open(&one).await;
        for (addr, port) in PLACES {
            for protocol in ["tcp", "udp"] {
                let outside = ask("client", protocol, addr, port, 15);
                assert_eq!(names(&outside), set(&["b1"]), "{protocol} {addr}");
                assert!(outside.iter().all(|answer| answer.ends_with(if addr.contains(':') {
                    "fd01:9::2"
                } else {
                    "10.1.9.2"
                })));
                for from in ["node", "b2"] {
                    assert_eq!(
                        names(&ask(from, protocol, addr, port, 25)),
                        set(&["b1", "b2"]),
                        "{from} {protocol} {addr}"
                    );
                }
            }
        }
        dataplane.apply(change(&one, &none)).await.unwrap();
        for (addr, port) in PLACES {
            assert_eq!(ask("client", "tcp", addr, port, 1), ["timeout"], "{addr}");
            assert_eq!(names(&ask("node", "tcp", addr, port, 25)), set(&["b1", "b2"]), "{addr}");
        }
        let listed = sh("nft list ruleset");
        assert!(
            listed.contains("chain l-0-2") && listed.contains("chain fl-0-2") && listed.contains("offset 2147483648"),
            "{listed}"
        );
        sh("nft -j list ruleset");
        edgesvc::dataplane::export().unwrap();
        dataplane.apply(change(&none, &web(&[1, 2], None))).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", "10.1.9.1", 30080, 25)), set(&["b1", "b2"]));
        until("chains go", || !sh("nft list ruleset").contains("-0-2")).await;
    });
}

#[test]
fn clients_of_the_cluster_are_affine_too() {
    in_world("inside::clients_of_the_cluster_are_affine_too", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let service = local(&[], &[1, 2], Some(60));
        let dataplane = open(&service).await;
        for (addr, port) in PLACES {
            let mine = names(&ask("node", "tcp", addr, port, 20));
            assert!(mine == set(&["b1"]) || mine == set(&["b2"]), "{addr}: {mine:?}");
            let report = dataplane.converge(vec![Arc::new(service.clone())]).await.unwrap();
            assert_eq!(report.operations, 0);
            assert_eq!(names(&ask("node", "tcp", addr, port, 10)), mine, "it stays there");
        }
    });
}
