//! `edgesvc trace` says what really happens: each case is confirmed by packets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{
    BACKENDS, CLIENT, CLIENT_ADDRESS, Edgesvc, NODE, NODE_ADDRESS, Place, World, echo_name, eventually, pod, service,
    stream,
};

const SOON: Duration = Duration::from_secs(15);

/// Two endpoints behind the bridge and a Service; gives its address.
fn web(edgesvc: &Edgesvc<'_>, more: &str) -> String {
    let pods = [pod("one", "web", "10.9.0.11", 8080), pod("two", "web", "10.9.0.12", 8080)];
    edgesvc.apply(&stream(&[pods[0].clone(), pods[1].clone(), service("web", "web", 80, "8080", more)]));
    edgesvc.cluster_ip("web")
}

/// What trace says, as text, and whether it says that the connection is served.
fn trace(edgesvc: &Edgesvc<'_>, to: &str, from: &[&str]) -> (String, bool) {
    let mut words = vec!["trace", "tcp", to];
    words.extend(from);
    let output = edgesvc.home.tool(edgesvc.world, &words);
    assert!(matches!(output.code, 0 | 1), "{output:?}");
    words.extend(["-o", "json"]);
    let json = edgesvc.home.tool(edgesvc.world, &words);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["reached"], output.code == 0, "{json:?}");
    (output.stdout, output.code == 0)
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

fn answers(world: &World, place: Place, at: &str) -> String {
    eventually(SOON, || world.get(place, &format!("http://{at}/")))
}

/// How many of four connections are served.
fn served(world: &World, place: Place, at: &str) -> usize {
    (0..4).filter(|_| world.get(place, &format!("http://{at}/")).is_ok()).count()
}

fn nft(world: &World, text: &str) {
    world.run_with(NODE, &["nft", "-f", "-"], text).ok();
}

#[test]
fn a_service_that_is_reached_from_everywhere() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, ""));
    answers(&world, CLIENT, &at);
    answers(&world, NODE, &at);
    for from in [vec![], vec!["--from", CLIENT_ADDRESS], vec!["--from", "c0"], vec!["--from", "10.9.0.13"]] {
        let (text, reached) = trace(&edgesvc, &at, &from);
        assert!(reached, "{text}");
        says(
            &text,
            &["`services` has it: n-2, one of 2 endpoints", "endpoint 10.9.0.11:8080 (1 of 2)", "verdict: reached"],
        );
        says(&text, &["table ip edgesvc, chain dispatch", "route: 10.9.0.12 is behind br0"]);
    }
    let (text, _) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    says(&text, &["source: kept, the other side sees 192.168.5.2"]);
    assert!(answers(&world, CLIENT, &at).ends_with("from 192.168.5.2"));
    // A backend's connection may come back to itself, and is on one link with the other.
    let (text, _) = trace(&edgesvc, &at, &["--from", "10.9.0.11"]);
    says(&text, &["the client is the endpoint itself", "client and endpoint are on one link"]);
    answers(&world, "backend1", &at);
}

#[test]
fn node_ports_ipv6_and_affinity_are_followed_too() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, "  type: NodePort\n  sessionAffinity: ClientIP\n"));
    let port = edgesvc.field("service", "web", &["spec", "ports", "0", "nodePort"]).unwrap();
    let (text, reached) = trace(&edgesvc, &format!("{NODE_ADDRESS}:{port}"), &["--from", CLIENT_ADDRESS]);
    assert!(reached, "{text}");
    says(&text, &["`nodeports` has it", "one of 2"]);
    let answer = answers(&world, CLIENT, &at);
    let (text, _) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    let endpoint = if answer.starts_with("backend1") { "10.9.0.11" } else { "10.9.0.12" };
    says(&text, &["has an affinity entry", &format!("endpoint {endpoint}:8080 (1 of 1)"), "conntrack: "]);
}

#[test]
fn no_endpoint_no_port_and_no_service_are_told_apart() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let address = edgesvc.cluster_ip("web");
    for (at, words) in [
        (format!("{address}:80"), "the Service has no ready endpoint: refused"),
        (format!("{address}:81"), "the Service has no such port: refused"),
        ("10.43.200.200:80".to_owned(), "no Service has this address of the service range: dropped"),
        ("10.9.0.13:80".to_owned(), "is no address of a Service"),
    ] {
        // The kernel follows what the API acknowledged.
        eventually(SOON, || {
            let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
            assert!(!reached, "{text}");
            text.contains(words).then_some(()).ok_or(text)
        });
        assert_eq!(served(&world, CLIENT, &at).min(1), 0, "{at}");
    }
}

#[test]
fn a_forward_policy_that_drops_is_named_and_a_rule_that_accepts_mends_it() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let home = std::sync::Arc::new(support::Home::new());
    // Our own rule in such a chain would let it pass.
    let edgesvc = Edgesvc::start_in(&world, &home, &["--forward-mark", "none"]);
    let at = format!("{}:80", web(&edgesvc, ""));
    answers(&world, CLIENT, &at);
    nft(&world, "table ip filter {\n chain FORWARD { type filter hook forward priority 0; policy drop; }\n}\n");
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(!reached && served(&world, CLIENT, &at) == 0, "{text}");
    says(&text, &["FAILS: dropped by the chain's policy by table ip filter, chain FORWARD", "verdict: not reached"]);
    // The box's own connections are not forwarded.
    let (text, reached) = trace(&edgesvc, &at, &[]);
    assert!(reached && served(&world, NODE, &at) == 4, "{text}");
    nft(&world, "add rule ip filter FORWARD ct status dnat accept\n");
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(reached && served(&world, CLIENT, &at) == 4, "{text}");
    drop(edgesvc);
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    nft(&world, "flush chain ip filter FORWARD\n");
    answers(&world, CLIENT, &at);
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(reached && served(&world, CLIENT, &at) == 4, "with our rule: {text}");
}

#[test]
fn a_foreign_rule_that_drops_one_endpoint_is_named_with_its_share() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, ""));
    answers(&world, CLIENT, &at);
    nft(
        &world,
        "table inet fw {\n set bad { type ipv4_addr; flags interval; elements = { 10.9.0.12/31 }; }\n \
         chain forwarded { type filter hook forward priority 10; tcp dport 8000-8100 jump inner; }\n \
         chain inner { iifname \"c*\" ip daddr @bad counter drop; }\n}\n",
    );
    let (text, reached) = trace(&edgesvc, &at, &["--from", "c0"]);
    assert!(!reached, "{text}");
    says(&text, &["FAILS: dropped by table inet fw, chain inner, rule handle", "1 of 2 connections fail"]);
    let spread = world.spread(CLIENT, &format!("http://{at}/"), 8);
    assert!(!spread.contains_key("backend2"), "{spread:?}");
}

#[test]
fn an_answer_that_is_dropped_is_told_as_such() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, ""));
    answers(&world, CLIENT, &at);
    nft(
        &world,
        "table ip fw {\n chain forwarded { type filter hook forward priority 0; iifname br0 oifname c0 reject; }\n}\n",
    );
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(!reached && served(&world, CLIENT, &at) == 0, "{text}");
    says(&text, &["FAILS: the answer is stopped: rejected by table ip fw, chain forwarded"]);
}

#[test]
fn forwarding_routes_and_reverse_paths_that_fail_are_told() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, ""));
    answers(&world, CLIENT, &at);
    let shell = |text: &str| world.run(NODE, &["sh", "-c", text]).ok();
    shell("echo 0 >/proc/sys/net/ipv4/ip_forward");
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(!reached && served(&world, CLIENT, &at) == 0, "{text}");
    says(&text, &["FAILS: forwarding is off: sysctl -w net.ipv4.ip_forward=1"]);
    shell("echo 1 >/proc/sys/net/ipv4/ip_forward");
    answers(&world, CLIENT, &at);
    shell("ip route add unreachable 10.9.0.11/32");
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(!reached, "{text}");
    says(&text, &["FAILS: the box has no route to 10.9.0.11", "1 of 2 connections fail"]);
    assert!((0..12).any(|_| world.get(CLIENT, &format!("http://{at}/")).is_err()), "half of the connections fail");
    let wrong = edgesvc.home.tool(&world, &["trace", "tcp", &at, "--from", "nolink"]).fails(64);
    says(&wrong, &["there is no link nolink"]);
}

#[test]
fn what_cannot_be_computed_is_said_and_does_not_decide() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let at = format!("{}:80", web(&edgesvc, ""));
    nft(
        &world,
        "table ip fw {\n chain forwarded { type filter hook forward priority 0; limit rate over 1000/second drop; }\n}\n",
    );
    let (text, reached) = trace(&edgesvc, &at, &["--from", CLIENT_ADDRESS]);
    assert!(reached, "{text}");
    says(&text, &["may be dropped: depends on limit"]);
    answers(&world, CLIENT, &at);
}
