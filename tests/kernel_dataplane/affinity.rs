//! Affinity that the frontends of one Service port share, with real connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use edgesvc::dataplane::{Ceiling, Dataplane, Options};
use edgesvc::desired::{AffinityOwner, Balance, Contribution, Frontend, FrontendAddr, Verdict};
use edgesvc::model::IpFamily;

use super::world::*;

const LB: &str = "198.51.100.5";
const LB6: &str = "fd55::5";

/// `web` with an external address of each family. Where `here` is told, what is outside
/// the cluster goes to these alone, as policy Local says.
fn shared(all: &[u8], here: Option<&[u8]>) -> Contribution {
    let mut service = web(all, Some(300));
    let more: Vec<Frontend> = service
        .frontends
        .iter()
        .filter(|frontend| matches!(frontend.addr, FrontendAddr::Virtual(_)))
        .map(|frontend| {
            let addr = if frontend.addr.family() == IpFamily::V4 { LB } else { LB6 };
            Frontend { addr: FrontendAddr::Virtual(addr.parse().unwrap()), ..frontend.clone() }
        })
        .collect();
    service.frontends.extend(more);
    for frontend in &mut service.frontends {
        let family = frontend.addr.family();
        let vip: std::net::IpAddr = if family == IpFamily::V4 { VIP } else { VIP6 }.parse().unwrap();
        let balance = |numbers: &[u8], local| Balance {
            endpoints: endpoints(family, numbers),
            affinity_seconds: Some(300),
            affinity_owner: Some(AffinityOwner { addr: vip, protocol: frontend.protocol, port: 80, local }),
            ..Balance::default()
        };
        let inside = balance(all, false);
        match here {
            Some(here) if frontend.addr != FrontendAddr::Virtual(vip) => {
                let verdict = if here.is_empty() { Verdict::Drop } else { Verdict::Balance(balance(here, true)) };
                (frontend.verdict, frontend.inside) = (verdict, Some(inside));
            }
            _ => frontend.verdict = Verdict::Balance(inside),
        }
    }
    service.frontends.sort();
    service
}

fn reach_external() {
    sh("ip route add 198.51.100.0/24 dev edgesvc0; ip route add fd55::/64 dev edgesvc0");
}

/// Cluster IP, node port and external address of a family.
const PLACES: [[(&str, u16); 3]; 2] =
    [[(VIP, 80), ("10.1.9.1", 30080), (LB, 80)], [(VIP6, 80), ("fd01:9::1", 30080), (LB6, 80)]];

/// Who answers a client wherever it asks, twice in turn.
fn everywhere(from: &str, protocol: &str, places: &[(&str, u16)]) -> Vec<String> {
    let twice = places.iter().chain(places.iter().rev());
    let answers: Vec<String> = twice.flat_map(|(addr, port)| ask(from, protocol, addr, *port, 3)).collect();
    names(&answers).into_iter().collect()
}

#[test]
fn a_client_keeps_its_endpoint_from_one_frontend_to_another() {
    in_world("affinity::a_client_keeps_its_endpoint_from_one_frontend_to_another", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let both = shared(&[1, 2], None);
        let mut dataplane = with_web(both.clone()).await;
        reach_external();
        let mut held = Vec::new();
        for (places, protocol) in PLACES.iter().zip(["tcp", "udp"]) {
            // Each with one address: the box itself asks from that of the link it asks by.
            for from in ["client", "b1"] {
                let mine = everywhere(from, protocol, places);
                assert!(mine.len() == 1 && mine[0].starts_with('b'), "{from} {protocol}: {mine:?}");
                held.push((from, protocol, places, mine));
            }
        }
        let report;
        (dataplane, report) = restart(dataplane, &[&both]).await;
        assert_eq!(report.operations, 0);
        for (from, protocol, places, mine) in &held {
            assert_eq!(everywhere(from, protocol, &places[1..]), *mine, "after a restart: {from} {protocol}");
        }
        // Whose endpoint goes moves, and together; everybody else stays.
        let one = shared(&[1], None);
        dataplane.apply(change(&both, &one)).await.unwrap();
        assert!(!sh("nft list map ip edgesvc shared-affinity").contains("10.1.2.2"));
        for (from, protocol, places, _) in &held {
            assert_eq!(everywhere(from, protocol, *places), ["b1"], "{from} {protocol}");
        }
        dataplane.apply(change(&one, &both)).await.unwrap();
        for (from, protocol, places, _) in &held {
            assert_eq!(everywhere(from, protocol, *places), ["b1"], "{from} {protocol}: it stays there");
        }
        // A Service that is gone leaves nothing.
        dataplane.apply(vec![removed(&both)]).await.unwrap();
        assert!(!sh("nft list map ip edgesvc shared-affinity").contains("expires"));
    });
}

/// Who answers one of the client's addresses over TCP, four times in turn.
fn four_times(from: &str, addr: &str) -> BTreeSet<String> {
    let output = python("client").args(["-c", CLIENT, "tcp", addr, "80", "4", from]).output().unwrap();
    names(&String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn tables_made_anew_remember_the_clients_of_those_before() {
    in_world("affinity::tables_made_anew_remember_the_clients_of_those_before", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let clients: Vec<String> = (10..18).map(|n| format!("10.1.9.{n}")).collect();
        for addr in &clients {
            sh(&format!("ip -n client address add {addr}/24 dev eth0"));
        }
        // One Service that shares its memory among frontends, one whose cluster IP is all.
        let both = shared(&[1, 2], None);
        let mut alone = on_tcp("alone", "10.43.0.90".parse().unwrap(), Vec::new());
        alone.frontends[0].verdict = Verdict::Balance(Balance {
            endpoints: endpoints(IpFamily::V4, &[1, 2]),
            affinity_seconds: Some(300),
            ..Balance::default()
        });
        let services = || vec![Arc::new(alone.clone()), Arc::new(both.clone())];
        let mut dataplane = Dataplane::open(options()).unwrap();
        dataplane.converge(services()).await.unwrap();
        let ask_all = || -> Vec<BTreeSet<String>> {
            clients.iter().flat_map(|from| [VIP, "10.43.0.90"].map(|vip| four_times(from, vip))).collect()
        };
        let held = ask_all();
        assert!(held.iter().all(|answers| answers.len() == 1), "{held:?}");
        assert_eq!(held.iter().flatten().cloned().collect::<BTreeSet<_>>(), set(&["b1", "b2"]), "they are spread");
        for bit in [0x4000, 0x2000] {
            let other = Options { forward_mark: Some(bit), ..options() };
            dataplane = take_over(dataplane, other, Ceiling::default()).await;
            dataplane.converge(services()).await.unwrap();
            assert_eq!(ask_all(), held, "with the mark {bit:#x}");
        }
        // Whoever leads to an endpoint that went meanwhile is not taken along.
        let less = shared(&[1], None);
        let other = Options { forward_mark: Some(0x4000), ..options() };
        let dataplane = take_over(dataplane, other, Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(less)]).await.unwrap();
        assert!(sh("nft list map ip edgesvc shared-affinity").contains("10.1.1.2"));
        assert!(!sh("nft list map ip edgesvc shared-affinity").contains("10.1.2.2"));
        assert!(!sh("nft list map ip edgesvc affinity").contains("expires"), "its Service is gone");
    });
}

#[test]
fn policy_local_is_not_got_around_by_affinity() {
    in_world("affinity::policy_local_is_not_got_around_by_affinity", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        // b1 is here, b2 on another box. The client is outside; the node and b2 are inside.
        let far = shared(&[2], Some(&[]));
        let options = Options { cluster_cidrs: vec!["10.1.2.0/24".parse().unwrap()], ..options() };
        let dataplane = Dataplane::open(options).unwrap();
        dataplane.converge(vec![Arc::new(far.clone())]).await.unwrap();
        reach_external();
        let [v4, _] = &PLACES;
        // All are bound to the endpoint that is not here.
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 2)), set(&["b2"]));
        for from in ["node", "b2"] {
            assert_eq!(everywhere(from, "tcp", v4), ["b2"], "{from}");
        }
        assert_eq!(ask("client", "tcp", LB, 80, 1), ["timeout"], "policy Local and nobody here");
        let both = shared(&[1, 2], Some(&[1]));
        dataplane.apply(change(&far, &both)).await.unwrap();
        assert_eq!(everywhere("client", "tcp", &v4[1..]), ["b1"], "outside, policy Local decides");
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 3)), set(&["b2"]), "where it was bound by another policy");
        for from in ["node", "b2"] {
            assert_eq!(everywhere(from, "tcp", v4), ["b2"], "{from}: inside, all frontends share");
        }
    });
}
