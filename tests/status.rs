//! What `edgesvc status services` says of delivery and of clients' addresses is what
//! packets do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{
    CLIENT, CLIENT_ADDRESS, Edgesvc, Home, NODE, NODE_ADDRESS, Place, World, echo_name, eventually, pod, service,
    stream,
};

const SOON: Duration = Duration::from_secs(15);
/// An address behind the client, which is the router to it.
const FAR: &str = "172.16.9.1";

/// One Service as `edgesvc status services NAME -o json` tells it.
fn told(edgesvc: &Edgesvc<'_>, name: &str) -> Value {
    let text = edgesvc.cli(&["status", "services", name, "-o", "json"]).ok();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["items"][0].clone()
}

/// What it says of some clients of the first endpoint: delivery, link, and whether they
/// are seen.
fn said(service: &Value, clients: &str) -> (String, String, String) {
    let endpoint = &service["endpoints"][0];
    let found = endpoint["clients"].as_array().unwrap().iter().find(|sight| sight["clients"] == clients);
    let found = found.unwrap_or_else(|| panic!("nothing of {clients}: {service}"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(&endpoint["delivery"]), word(&endpoint["link"]), word(&found["clientAddress"]))
}

/// Whom the endpoint of a Service sees when `place` connects.
fn seen(world: &World, edgesvc: &Edgesvc<'_>, name: &str, place: Place) -> String {
    let url = format!("http://{}/", edgesvc.cluster_ip(name));
    let answer = eventually(SOON, || world.get(place, &url).map_err(|why| format!("{place} -> {name}: {why}")));
    answer.split_once(" from ").unwrap().1.to_owned()
}

/// A Service with a Pod of its own.
fn with_pod(name: &str, address: &str, port: u16, more: &str) -> [String; 2] {
    [pod(name, name, address, port), service(name, name, 80, &port.to_string(), more)]
}

fn annotated(document: &str, annotation: &str) -> String {
    document.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotation}}}\n"), 1)
}

/// Service, client, its address where it has but one, what status calls it; delivery, link.
type Case = (&'static str, Place, Option<&'static str>, &'static str, &'static str, &'static str);

#[test]
fn whether_a_client_is_seen_is_what_status_says_from_every_place() {
    let world = World::new();
    world.run(CLIENT, &["ip", "address", "add", &format!("{FAR}/24"), "dev", "lo"]).ok();
    world.run(NODE, &["ip", "route", "add", "172.16.9.0/24", "via", CLIENT_ADDRESS]).ok();
    let _servers = [(CLIENT, 8080), ("backend1", 8080), ("backend2", 8080), (NODE, 8081)]
        .map(|(place, port)| echo_name(&world, place, port));
    let edgesvc = Edgesvc::start_in(&world, &Arc::new(Home::new()), &["--cluster-cidr", "10.9.0.11/32"]);
    let [relayed_pod, relayed] = with_pod("relayed", "10.9.0.12", 8080, "");
    let mut documents: Vec<String> = [
        with_pod("near", "10.9.0.11", 8080, ""),
        with_pod("far", FAR, 8080, ""),
        with_pod("own", NODE_ADDRESS, 8081, ""),
    ]
    .concat();
    documents.extend([relayed_pod, annotated(&relayed, "edgesvc.io/proxy-mode: relay")]);
    edgesvc.apply(&stream(&documents));
    let others = "all others";
    let crossing = |on: &str| {
        let switch = format!("echo {on} >/proc/sys/net/bridge/bridge-nf-call-iptables");
        world.run(NODE, &["sh", "-c", &switch]).ok();
    };
    let cases: [Case; 11] = [
        ("near", CLIENT, Some(CLIENT_ADDRESS), others, "Direct", "br0"),
        ("near", "backend2", Some("10.9.0.12"), "clients on br0", "Direct", "br0"),
        ("near", "backend1", Some("10.9.0.11"), "the endpoint itself", "Direct", "br0"),
        ("near", NODE, None, "the box itself", "Direct", "br0"),
        ("far", "backend1", Some("10.9.0.11"), "clients in 10.9.0.11/32", "Direct", "c0"),
        ("far", "backend2", Some("10.9.0.12"), others, "Direct", "c0"),
        ("far", CLIENT, Some(CLIENT_ADDRESS), "clients on c0", "Direct", "c0"),
        ("own", CLIENT, Some(CLIENT_ADDRESS), others, "Local", "lo"),
        ("own", "backend1", Some("10.9.0.11"), others, "Local", "lo"),
        ("relayed", CLIENT, Some(CLIENT_ADDRESS), others, "Relay", ""),
        ("relayed", "backend1", Some("10.9.0.11"), others, "Relay", ""),
    ];
    let mut words = Vec::new();
    // Frames that cross the bridge are translated there, or not: where the kernel has br_netfilter.
    let switches: &[&str] = match world.run(NODE, &["ls", "/proc/sys/net/bridge"]).code {
        0 => &["1", "0"],
        _ => &[],
    };
    let with = |switch: &str| cases.map(|case| (switch.to_owned(), case));
    let cases: Vec<_> =
        if switches.is_empty() { with("").into() } else { switches.iter().flat_map(|s| with(s)).collect() };
    for (switch, (name, place, address, clients, delivery, link)) in cases {
        if !switch.is_empty() {
            crossing(&switch);
        }
        let seen = seen(&world, &edgesvc, name, place);
        let told = told(&edgesvc, name);
        let said = said(&told, clients);
        let kept = address.is_some_and(|own| seen == own);
        let word = if kept { "Kept" } else { "Masqueraded" };
        assert_eq!(said, (delivery.to_owned(), link.to_owned(), word.to_owned()), "{place} seen as {seen}: {told}");
        words.push((name, told["clientAddress"].as_str().unwrap().to_owned()));
    }
    words.sort_unstable();
    words.dedup();
    let wanted = [("far", "Masqueraded"), ("near", "Kept"), ("own", "Kept"), ("relayed", "Masqueraded")];
    assert_eq!(words, wanted.map(|(name, word)| (name, word.to_owned())));
    let table = edgesvc.cli(&["status", "services"]).ok();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
    assert!(table.starts_with("NAME") && table.contains("CLIENT-ADDRESS"), "{table}");
    assert!(line("near").contains("replies return through the box (Masqueraded for the endpoint itself"), "{table}");
    assert!(line("far").contains("off the box, behind the router 192.168.5.2 on c0"), "{table}");
    assert!(line("relayed").contains("Relay") && line("relayed").contains("the box's address"), "{table}");
    let named = edgesvc.cli(&["status", "svc", "far", "near"]).ok();
    assert!(named.contains("172.16.9.1:8080/TCP") && named.contains("c0 192.168.5.2"), "{named}");
}

#[test]
fn firewalls_of_others_show_in_the_delivery_and_so_do_their_translations() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&with_pod("web", "10.9.0.11", 8080, "")));
    assert_eq!(seen(&world, &edgesvc, "web", CLIENT), CLIENT_ADDRESS);
    let delivery = || said(&told(&edgesvc, "web"), "all others").0;
    assert_eq!(delivery(), "Direct");
    let rules = "table ip docker {\n chain FORWARD { type filter hook forward priority 0; policy drop; }\n \
                 chain POST { type nat hook postrouting priority 99; ip saddr 192.168.5.0/24 oifname br0 masquerade; }\n}\n";
    world.run_with(NODE, &["nft", "-f", "-"], rules).ok();
    eventually(SOON, || match delivery() {
        by if by == "ForwardMark" => Ok(()),
        other => Err(other),
    });
    let output = edgesvc.cli(&["status", "services", "web"]);
    assert!(output.stdout.contains("passes ip docker FORWARD by its mark"), "{output:?}");
    assert!(output.stderr.contains("note: ip docker POST of somebody else"), "{output:?}");
    assert_ne!(seen(&world, &edgesvc, "web", CLIENT), CLIENT_ADDRESS, "as the note warns");
}

#[test]
fn services_that_reach_nobody_say_why() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: loop-1\n  labels: \
                 {kubernetes.io/service-name: loop}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: \
                 [{addresses: [10.43.0.77]}]\n";
    let plain = "apiVersion: v1\nkind: Service\nmetadata:\n  name: loop\nspec:\n  ports:\n  - {name: http, port: 80}\n";
    let outside = "apiVersion: v1\nkind: Service\nmetadata:\n  name: outside\nspec:\n  type: ExternalName\n  \
                   externalName: example.com\n";
    let other = service("other", "none", 80, "80", "");
    edgesvc.apply(&stream(&[
        service("empty", "none", 80, "80", ""),
        service("bare", "none", 80, "80", "  clusterIP: None\n"),
        other.replacen("metadata:\n", "metadata:\n  labels: {service.kubernetes.io/service-proxy-name: x}\n", 1),
        outside.to_owned(),
        plain.to_owned(),
        slice.to_owned(),
    ]));
    for (name, delivery, words) in [
        ("empty", "NoEndpoints", "refused"),
        ("bare", "NamesOnly", "headless"),
        ("outside", "NamesOnly", "ExternalName"),
        ("other", "OtherProxy", "service-proxy-name"),
        ("loop", "NoEndpoints", "refused"),
    ] {
        let told = told(&edgesvc, name);
        assert_eq!((told["delivery"].as_str(), told["clientAddress"].as_str()), (Some(delivery), Some("")), "{told}");
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    }
    let wide = edgesvc.cli(&["status", "services", "-o", "wide", "-A", "--no-headers"]).ok();
    let row = wide.lines().find(|line| line.contains("10.43.0.77")).unwrap_or_else(|| panic!("{wide}"));
    assert!(row.starts_with("default") && row.contains("Skipped") && row.contains("cluster IP itself"), "{row}");
    let yaml = edgesvc.cli(&["status", "services", "empty", "-o", "yaml"]).ok();
    assert!(yaml.contains("delivery: NoEndpoints"), "{yaml}");
    let failed = edgesvc.cli(&["status", "services", "empty", "nobody"]);
    assert!(failed.stdout.contains("empty"), "{failed:?}");
    assert!(failed.fails(1).contains("services \"nobody\" not found"));
    assert!(edgesvc.cli(&["status", "pods"]).fails(64).contains("not of pods"));
    assert!(edgesvc.cli(&["status", "-A"]).fails(64).contains("status services"));
    let none = edgesvc.cli(&["status", "services", "-n", "kube-system"]);
    assert!(none.stderr.contains("No resources found in kube-system namespace."), "{none:?}");
}

#[test]
fn without_tables_of_the_kernel_everything_is_the_relays() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start_in(&world, &Arc::new(Home::new()), &["--proxy-mode", "relay"]);
    edgesvc.apply(&stream(&with_pod("web", "10.9.0.11", 8080, "")));
    assert_ne!(seen(&world, &edgesvc, "web", CLIENT), CLIENT_ADDRESS);
    assert_eq!(said(&told(&edgesvc, "web"), "all others").2, "Masqueraded");
}

/// A library that has the kernel refuse the Service of one address.
fn refusing(home: &Home) -> String {
    let (source, library) = (home.file("refuse.c", include_str!("status/refuse.c")), home.text_path("refuse.so"));
    let built = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o", &library, &source, "-ldl"]).status();
    assert!(built.expect("cc (Debian: gcc) runs").success());
    library
}

#[test]
fn a_service_that_the_kernel_refuses_says_so_until_it_is_taken_and_holds_up_no_other() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let home = Arc::new(Home::new());
    let mut command = home.run_command(&world, &[]);
    let switch = home.file("refuse", "");
    command.env("LD_PRELOAD", refusing(&home)).env("REFUSE_WHILE", &switch);
    let edgesvc = Edgesvc::start_command(&world, &home, command);
    let [bad_pod, bad] = with_pod("bad", "10.9.0.12", 8080, "  clusterIP: 10.43.77.77\n");
    edgesvc.apply(&stream(&[[bad_pod, bad].as_slice(), &with_pod("web", "10.9.0.11", 8080, "")].concat()));
    let ready = || edgesvc.http("/readyz?verbose").ok();
    eventually(SOON, || if ready().contains("refuses Services: default/bad") { Ok(()) } else { Err(ready()) });
    assert_eq!(seen(&world, &edgesvc, "web", CLIENT), CLIENT_ADDRESS);
    let condition = |member: &str| edgesvc.field("service", "bad", &["status", "conditions", "0", member]);
    let message = eventually(SOON, || condition("message"));
    assert!(message.contains("cannot install the Service, and tries again: nftables:"), "{message}");
    assert_eq!(condition("type").unwrap(), "edgesvc.io/NotProgrammed");
    assert_eq!(condition("reason").unwrap(), "KernelRefused");
    let events = || edgesvc.cli(&["describe", "service", "bad"]).ok();
    eventually(SOON, || if events().contains("Warning  KernelRefused") { Ok(()) } else { Err(events()) });
    assert_eq!(told(&edgesvc, "bad")["delivery"], "KernelRefused");
    assert!(edgesvc.cli(&["status"]).fails(1).contains("not ready"));
    std::fs::remove_file(&switch).unwrap();
    eventually(SOON, || if ready().contains("[+]kernel ok") { Ok(()) } else { Err(ready()) });
    eventually(SOON, || condition("type").map_or_else(|_| Ok(()), Err));
    assert_eq!(told(&edgesvc, "bad")["delivery"], "Direct");
}
