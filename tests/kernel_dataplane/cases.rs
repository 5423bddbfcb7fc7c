//! Cases of the spec that need a backend further away, a clock or another verdict.

use std::sync::Arc;

use edgesvc::dataplane::{Ceiling, Options, differences, preview};
use edgesvc::desired::{Balance, Contribution, Verdict};
use edgesvc::model::IpFamily;

use super::world::*;

/// `web` with the same verdict everywhere.
fn web_that(verdict: &Verdict) -> Contribution {
    let mut service = web(&[], None);
    service.frontends.iter_mut().for_each(|frontend| frontend.verdict = verdict.clone());
    service
}

#[test]
fn a_policy_that_leaves_nobody_drops_without_a_word() {
    in_world("cases::a_policy_that_leaves_nobody_drops_without_a_word", || async {
        let _server = serve("b1", 8080);
        let (dropped, refused, served) = (web_that(&Verdict::Drop), web_that(&Verdict::Refuse), web(&[1], None));
        let dataplane = with_web(dropped.clone()).await;
        for from in ["client", "b2", "node"] {
            for (protocol, addr, port) in
                [("tcp", VIP, 80), ("udp", VIP, 80), ("tcp", VIP6, 80), ("tcp", "10.1.9.1", 30080)]
            {
                // A datagram of the box's own that is dropped on the way out is an error at once.
                let expected = if (from, protocol) == ("node", "udp") { "refused" } else { "timeout" };
                assert_eq!(names(&ask(from, protocol, addr, port, 1)), set(&[expected]), "{from} {protocol} {addr}");
            }
        }
        dataplane.apply(change(&dropped, &served)).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 2)), set(&["b1"]));
        dataplane.apply(change(&served, &refused)).await.unwrap();
        assert_eq!(ask("client", "tcp", VIP, 80, 1), ["refused fast"]);
        dataplane.apply(change(&refused, &dropped)).await.unwrap();
        assert_eq!(ask("client", "tcp", VIP, 80, 1), ["timeout"]);
    });
}

/// A backend two hops away, behind b2.
const FAR: &str = "
ip netns add far
ip link add v-far netns b2 type veth peer name eth0 netns far
ip -n b2 addr add 10.2.0.1/24 dev v-far; ip -n b2 addr add fd02::1/64 dev v-far nodad; ip -n b2 link set v-far up
ip -n far link set lo up; ip -n far link set eth0 up
ip -n far addr add 10.2.0.2/24 dev eth0; ip -n far addr add fd02::2/64 dev eth0 nodad
ip -n far route add default via 10.2.0.1; ip -n far route add default via fd02::1
ip netns exec b2 sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
ip route add 10.2.0.0/24 via 10.1.2.2; ip route add fd02::/64 via fd01:2::2
";

fn far() -> Contribution {
    let mut service = web(&[1], None);
    for frontend in &mut service.frontends {
        let addr = if frontend.addr.family() == IpFamily::V4 { "10.2.0.2:8080" } else { "[fd02::2]:8080" };
        frontend.verdict = Verdict::Balance(Balance { endpoints: vec![addr.parse().unwrap()], affinity_seconds: None });
    }
    service
}

#[test]
fn clients_of_an_endpoint_behind_a_gateway_are_masqueraded_unless_they_are_pods() {
    in_world("cases::clients_of_an_endpoint_behind_a_gateway_are_masqueraded_unless_they_are_pods", || async {
        sh(FAR);
        let _server = serve("far", 8080);
        let heard = |addr: &str| ask("node", "tcp", addr, 8080, 1)[0].starts_with("far");
        until("the far backend is reached", || heard("10.2.0.2") && heard("fd02::2")).await;
        let dataplane = with_web(far()).await;
        for (addr, port, seen) in [(VIP, 80, "10.1.2.1"), (VIP6, 80, "fd01:2::1"), ("10.1.9.1", 30080, "10.1.2.1")] {
            assert_eq!(ask("client", "tcp", addr, port, 1), [format!("far {seen}")]);
        }
        let cluster_cidrs = vec!["10.1.9.0/24".parse().unwrap(), "fd01:9::/64".parse().unwrap()];
        let pods = Options { cluster_cidrs, ..options() };
        let dataplane = take_over(dataplane, pods, Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(far())]).await.unwrap();
        for (addr, seen) in [(VIP, "10.1.9.2"), (VIP6, "fd01:9::2")] {
            assert_eq!(ask("client", "tcp", addr, 80, 1), [format!("far {seen}")]);
            assert!(ask("b1", "tcp", addr, 80, 1)[0].ends_with(if addr == VIP { "10.1.2.1" } else { "fd01:2::1" }));
        }
    });
}

#[test]
fn routes_that_change_are_followed() {
    in_world("cases::routes_that_change_are_followed", || async {
        let _server = serve("b2", 8080);
        let _dataplane = with_web(web(&[2], None)).await;
        assert_eq!(ask("client", "tcp", VIP, 80, 1), ["b2 10.1.9.2"]);
        let off_box = || sh("nft list set ip edgesvc off-box").contains("10.1.2.2");
        assert!(!off_box());
        sh("ip route add 10.1.2.2/32 via 10.1.1.2");
        until("the endpoint is off the box", off_box).await;
        sh("ip route del 10.1.2.2/32");
        until("the endpoint is on the box", || !off_box()).await;
        sh("ip link add later type veth peer name later-peer");
        until("a new link is known", || sh("nft list set ip edgesvc same-link").contains("later")).await;
        sh("ip link del later");
        until("a link that is gone is forgotten", || !sh("nft list set ip edgesvc same-link").contains("later")).await;
        assert_eq!(ask("client", "tcp", VIP, 80, 1), ["b2 10.1.9.2"]);
    });
}

/// The milliseconds a client's affinity entry has left, told as `2s996ms`.
fn left_ms() -> Option<u64> {
    let listed = sh("nft list map ip edgesvc affinity");
    let (_, rest) = listed.split_once("expires ")?;
    let word = rest.split_whitespace().next()?;
    let (seconds, ms) = match word.strip_suffix("ms") {
        Some(whole) => whole.split_once('s').unwrap_or(("0", whole)),
        None => (word.trim_end_matches('s'), "0"),
    };
    Some(seconds.parse::<u64>().unwrap() * 1000 + ms.parse::<u64>().unwrap())
}

#[test]
fn affinity_is_refreshed_by_connections_and_forgotten_after_its_time() {
    in_world("cases::affinity_is_refreshed_by_connections_and_forgotten_after_its_time", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let service = web(&[1, 2], Some(3));
        let dataplane = with_web(service.clone()).await;
        let mine = names(&ask("client", "tcp", VIP, 80, 1));
        until("time passes", || left_ms().unwrap() < 2500).await;
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 1)), mine);
        assert!(left_ms().unwrap() > 2500, "a connection refreshes");
        // A shorter time is for new entries.
        let short = web(&[1, 2], Some(1));
        dataplane.apply(change(&service, &short)).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 10)), mine);
        let mut seen = mine.clone();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while seen.len() < 2 {
            assert!(tokio::time::Instant::now() < deadline, "never balanced anew: {seen:?}");
            until("the entry is forgotten", || left_ms().is_none()).await;
            seen.extend(names(&ask("client", "tcp", VIP, 80, 1)));
        }
        dataplane.apply(change(&short, &web(&[1, 2], None))).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 30)), set(&["b1", "b2"]), "affinity is off");
        assert_eq!(left_ms(), None, "and its entries are gone");
    });
}

#[test]
fn what_others_broke_is_told_by_the_element_and_a_preview_is_what_happens() {
    in_world("cases::what_others_broke_is_told_by_the_element_and_a_preview_is_what_happens", || async {
        let (one, two) = (web(&[1], Some(300)), web(&[1, 2], None));
        let held = |service: &Contribution| vec![Arc::new(service.clone())];
        let differs = |service: &Contribution| differences(&options(), &held(service)).unwrap();
        let dataplane = with_web(one.clone()).await;
        assert_eq!(differs(&one), [] as [String; 0]);
        // The script that is shown leads from the one to the other, line by line.
        let script = preview(&options(), &held(&one), &change(&one, &two)).unwrap();
        let mut shown: Vec<String> = script
            .lines()
            .filter(|line| !line.contains(" rule ") && !line.starts_with("flush"))
            .map(|line| line.replacen("add ", "+", 1).replacen("delete ", "-", 1))
            .collect();
        let mut found = differs(&two);
        shown.sort_unstable();
        found.sort_unstable();
        assert_eq!(shown, found);
        drop(dataplane);
        until("the process is gone", || !sh("nft list ruleset").contains("flags owner")).await;
        sh(
            "nft delete element ip edgesvc services { 10.43.0.80 . tcp . 80 }; nft add element ip edgesvc off-box { 10.1.1.2 }",
        );
        assert_eq!(
            differs(&one),
            [
                "-element ip edgesvc off-box { 10.1.1.2 }",
                "+element ip edgesvc services { 10.43.0.80 . tcp . 80 : goto a-1 }"
            ]
        );
        sh("nft add rule ip edgesvc dispatch counter");
        assert!(differs(&one)[0].starts_with("-table ip edgesvc: rules or sets"), "{:?}", differs(&one));
        sh("nft delete table ip6 edgesvc");
        assert!(differs(&one).contains(&"+table ip6 edgesvc".to_owned()), "{:?}", differs(&one));
    });
}
