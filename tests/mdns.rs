//! Names of Services on the LAN, as neighbours see them: avahi, python-zeroconf, and a client
//! on the wire of the tests' own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

#[path = "mdns/avahi.rs"]
mod avahi;
#[path = "mdns/neighbour.rs"]
mod neighbour;
mod support;

use std::sync::Arc;
use std::time::Duration;

use avahi::Avahi;
use neighbour::{Neighbour, Packet, ask, holds, resolved};
use serde_json::json;
use support::{CLIENT, Edgesvc, Home, NODE, NODE_ADDRESS, World, echo_name, eventually, pod, stream, wait_until};

/// Three probes, an announcement, and a loaded machine.
const SOON: Duration = Duration::from_secs(15);
const KIND: &str = "_http._tcp.local";
const INSTANCE: &str = "shop._http._tcp.local";

/// A Service on node port 30080 that wants a name.
fn shop(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations: {{edgesvc.io/mdns: {name}}}\nspec:\n  \
         type: NodePort\n  selector: {{app: web}}\n  ports:\n  - {{name: http, port: 80, targetPort: 8080, nodePort: \
         30080}}\n{more}"
    )
}

fn one() -> String {
    pod("one", "web", "10.9.0.11", 8080)
}

/// edgesvc that speaks to the client's side.
fn start<'w>(world: &'w World, home: &Arc<Home>) -> Edgesvc<'w> {
    Edgesvc::start_in(world, home, &["--mdns-links", "c0"])
}

/// The same with the Service and its endpoint, which the LAN knows.
fn serving(world: &World) -> Edgesvc<'_> {
    let edgesvc = start(world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    knows(world, "shop.local", &[NODE_ADDRESS]);
    edgesvc
}

/// Waits until the LAN has these addresses for a name.
#[track_caller]
fn knows(world: &World, name: &str, addresses: &[&str]) {
    eventually(SOON, || {
        let found = resolved(world, name, "A");
        if found == addresses { Ok(()) } else { Err(format!("{name} is at {found:?}, not {addresses:?}")) }
    });
}

fn port_is_open(world: &World) -> bool {
    world.run(NODE, &["ss", "-ulnH"]).stdout.contains(":5353 ")
}

#[test]
fn a_service_is_found_by_its_kind_and_reached_where_it_is_said_to_be() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let home = Arc::new(Home::new());
    let flags = ["--mdns-links", "c0", "--service-cluster-ip-range", "10.43.0.0/16,fd43::/112"];
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    let both = pod("one", "web", "\"10.9.0.11,fd09::11\"", 8080);
    edgesvc.apply(&stream(&[both, shop("shop", "  ipFamilyPolicy: RequireDualStack\n")]));
    let mut browser = Neighbour::browses(&world, KIND);
    let found =
        browser.wait(SOON, |said| said["found"].is_string() && said["addresses"].as_array().unwrap().len() == 2);
    assert_eq!(found["found"], "shop._http._tcp.local.");
    assert_eq!((&found["host"], &found["port"]), (&json!("shop.local."), &json!(30080)));
    assert_eq!(found["addresses"], json!([NODE_ADDRESS, "fd05::1"]));
    for at in [NODE_ADDRESS, "[fd05::1]"] {
        let answer = eventually(SOON, || world.get(CLIENT, &format!("http://{at}:{}/", found["port"])));
        assert!(answer.starts_with("backend1 from "), "{answer}");
    }
    assert_eq!(edgesvc.stop(), 0);
    browser.wait(SOON, |said| said["gone"] == "shop._http._tcp.local.");
}

#[test]
fn every_record_is_answered_and_missing_types_are_denied() {
    let world = World::new();
    let _edgesvc = serving(&world);
    let answers = |name: &str, kind: &str| ask(&world, &json!({"questions": [[name, kind]]}));
    let one = |name: &str, kind: &str| -> Packet {
        let packets = eventually(SOON, || match answers(name, kind) {
            packets if packets.is_empty() => Err(format!("nobody answers {name} {kind}")),
            packets => Ok(packets),
        });
        packets.into_iter().next().unwrap()
    };
    let host = one("shop.local", "A");
    assert_eq!(host["from"], NODE_ADDRESS);
    let record = json!({"name": "shop.local", "type": "A", "flush": true, "ttl": 120, "data": NODE_ADDRESS});
    assert_eq!(host["answers"], json!([record]));
    assert_eq!(one("shop.local", "AAAA")["answers"][0]["type"], "NSEC");
    let srv = json!({"name": INSTANCE, "type": "SRV", "flush": true, "ttl": 120, "data": "0 0 30080 shop.local"});
    assert_eq!(one(INSTANCE, "SRV")["answers"], json!([srv]));
    let txt = json!({"name": INSTANCE, "type": "TXT", "flush": true, "ttl": 4500, "data": "00"});
    assert_eq!(one(INSTANCE, "TXT")["answers"], json!([txt]));
    let ptr = json!({"name": KIND, "type": "PTR", "flush": false, "ttl": 4500, "data": INSTANCE});
    let browsed = one(KIND, "PTR");
    assert_eq!(browsed["answers"], json!([ptr]));
    let more: Vec<&str> =
        browsed["additionals"].as_array().unwrap().iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert!(["SRV", "TXT", "A"].iter().all(|kind| more.contains(kind)), "{more:?}");
    assert_eq!(one("_services._dns-sd._udp.local", "PTR")["answers"][0]["data"], KIND);
    assert!(answers("other.local", "A").is_empty());
    let in_ipv6 = json!({"questions": [["shop.local", "A"]], "family": 6});
    eventually(SOON, || match &ask(&world, &in_ipv6)[..] {
        [said, ..] if holds(said, "shop.local", "A", NODE_ADDRESS) => Ok(()),
        other => Err(format!("over IPv6: {other:?}")),
    });
}

#[test]
fn what_is_known_is_not_said_and_plain_resolvers_are_answered_alone() {
    let world = World::new();
    let _edgesvc = serving(&world);
    let known = json!({"questions": [[KIND, "PTR"]], "known": [[KIND, "PTR", 4000, INSTANCE]]});
    assert!(ask(&world, &known).is_empty());
    let old = json!({"questions": [[KIND, "PTR"]], "known": [[KIND, "PTR", 40, INSTANCE]]});
    assert_eq!(ask(&world, &old).len(), 1);
    let said = ask(&world, &json!({"questions": [["shop.local", "A"]], "legacy": true}));
    assert_eq!(said.len(), 1);
    assert_eq!((&said[0]["id"], &said[0]["questions"]), (&json!(0x1234), &json!([["shop.local", "A"]])));
    assert_eq!(
        said[0]["answers"][0],
        json!({"name": "shop.local", "type": "A", "flush": false, "ttl": 10, "data": NODE_ADDRESS})
    );
    let mut listener = Neighbour::listens(&world);
    let said = ask(&world, &json!({"questions": [["shop.local", "A"]], "unicast": true}));
    assert!(holds(&said[0], "shop.local", "A", NODE_ADDRESS));
    // Both sockets of the client's port hear the group, one of them what came to it alone.
    ask(&world, &json!({"questions": [["shop.local", "AAAA"]]}));
    listener.wait(SOON, |said| said["answers"][0]["type"] == "NSEC");
}

#[test]
fn a_service_is_taken_back_when_nobody_serves_it_or_we_stop_and_said_again_after() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = start(&world, &home);
    let mut listener = Neighbour::listens(&world);
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    let said = |ttl: u64| {
        move |said: &Packet| {
            let of = |kind: &str| {
                let records = said["answers"].as_array().cloned().unwrap_or_default();
                records.iter().any(|record| record["type"] == kind && (record["ttl"] == 0) == (ttl == 0))
            };
            said["response"] == true && ["A", "SRV", "TXT", "PTR"].into_iter().all(of)
        }
    };
    listener.wait(SOON, said(1));
    edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
    listener.wait(SOON, said(0));
    assert!(!port_is_open(&world) || wait_until(SOON, || !port_is_open(&world)));
    edgesvc.apply(&one());
    listener.wait(SOON, said(1));
    assert_eq!(edgesvc.stop(), 0);
    listener.wait(SOON, said(0));
    let _edgesvc = start(&world, &home);
    listener.wait(SOON, said(1));
}

#[test]
fn a_name_that_another_has_becomes_one_with_a_number_and_an_event_says_so() {
    let world = World::new();
    let _neighbour = Neighbour::owns(&world, "shop.local", "192.168.5.2");
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    knows(&world, "shop-2.local", &[NODE_ADDRESS]);
    assert_eq!(resolved(&world, "shop.local", "A"), ["192.168.5.2"]);
    let note = "is shop-2.local on the LAN: another has the name shop.local";
    eventually(SOON, || {
        let page = edgesvc.cli(&["describe", "service", "web"]).stdout;
        if page.contains("NameConflict") && page.contains(note) { Ok(()) } else { Err(page) }
    });
    let srv = ask(&world, &json!({"questions": [["shop-2._http._tcp.local", "SRV"]]}));
    assert_eq!(srv[0]["answers"][0]["data"], "0 0 30080 shop-2.local");
    let metrics = edgesvc.http("/metrics").stdout;
    assert!(metrics.lines().any(|line| line.starts_with("edgesvc_mdns_conflicts_total ") && !line.ends_with(" 0")));
}

#[test]
fn a_neighbour_with_a_responder_of_its_own_keeps_its_name() {
    let world = World::new();
    let _neighbour = Neighbour::registers(&world, "shop", "192.168.5.2", "_http._tcp");
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    knows(&world, "shop-2.local", &[NODE_ADDRESS]);
    assert_eq!(resolved(&world, "shop.local", "A"), ["192.168.5.2"]);
}

#[test]
fn the_annotation_is_followed_and_without_one_the_port_is_closed() {
    let world = World::new();
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "").replace("  annotations: {edgesvc.io/mdns: shop}\n", "")]));
    eventually(SOON, || edgesvc.field("endpoints", "web", &["subsets", "0", "addresses", "0", "ip"]));
    assert!(!port_is_open(&world));
    let annotate = |text: &str| drop(edgesvc.cli(&["annotate", "--overwrite", "service", "web", text]).ok());
    annotate("edgesvc.io/mdns=shop");
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    annotate("edgesvc.io/mdns=store");
    knows(&world, "store.local", &[NODE_ADDRESS]);
    knows(&world, "shop.local", &[]);
    annotate("edgesvc.io/mdns-");
    assert!(wait_until(SOON, || !port_is_open(&world)), "the port stays open");
    knows(&world, "store.local", &[]);
}

#[test]
fn names_that_are_none_are_refused_by_field_and_where_they_mean_nothing_one_is_warned() {
    let world = World::new();
    let edgesvc = start(&world, &Arc::new(Home::new()));
    let refused = edgesvc.kubectl_with(&["apply", "-f", "-"], &shop("shop.local", ""));
    assert!(refused.stderr.contains("metadata.annotations[edgesvc.io/mdns]"), "{}", refused.stderr);
    assert_ne!(refused.code, 0);
    let inside = shop("shop", "").replace("type: NodePort", "type: ClusterIP").replace(", nodePort: 30080", "");
    let warned = edgesvc.kubectl_with(&["apply", "-f", "-"], &inside);
    assert!(warned.stderr.contains("Warning: annotation edgesvc.io/mdns has no effect"), "{}", warned.stderr);
    warned.ok();
    assert!(!port_is_open(&world));
}

#[test]
fn a_load_balancer_is_at_its_own_address_and_port() {
    let world = World::new();
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "").replace("type: NodePort", "type: LoadBalancer")]));
    // Until it has one it is a node port.
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    let status = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "192.168.5.77"}]}}}"#;
    edgesvc.kubectl(&["patch", "service", "web", "--subresource=status", "--type=merge", "-p", status]).ok();
    knows(&world, "shop.local", &["192.168.5.77"]);
    let srv = ask(&world, &json!({"questions": [[INSTANCE, "SRV"]]}));
    assert_eq!(srv[0]["answers"][0]["data"], "0 0 80 shop.local");
}

#[test]
fn each_link_is_told_its_own_address() {
    let world = World::new();
    let edgesvc = Edgesvc::start_in(&world, &Arc::new(Home::new()), &["--mdns-links", "c0,br0"]);
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    let inside = || neighbour::ask_at(&world, "backend2", &json!({"questions": [["shop.local", "A"]]}));
    let said = eventually(SOON, || inside().into_iter().next().ok_or_else(|| "no answer on the bridge".to_owned()));
    assert!(holds(&said, "shop.local", "A", "10.9.0.1"), "{said}");
    assert_eq!(said["answers"].as_array().unwrap().len(), 1);
}

#[test]
fn the_link_of_the_default_route_is_spoken_on_and_its_new_address_is_said() {
    let world = World::new();
    world.run(NODE, &["ip", "route", "add", "default", "via", "192.168.5.2"]).ok();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    let sockets = world.run(NODE, &["ss", "-ulnH"]).stdout;
    assert_eq!(sockets.lines().filter(|line| line.contains(":5353 ")).count(), 2, "{sockets}");
    assert!(sockets.contains("%c0:5353"), "{sockets}");
    world.run(NODE, &["ip", "address", "add", "192.168.5.9/24", "dev", "c0"]).ok();
    knows(&world, "shop.local", &[NODE_ADDRESS, "192.168.5.9"]);
    world.run(NODE, &["ip", "address", "del", "192.168.5.9/24", "dev", "c0"]).ok();
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    let mut listener = Neighbour::listens(&world);
    world.run(NODE, &["ip", "link", "set", "c0", "down"]).ok();
    let spoken_on = || world.run(NODE, &["ss", "-ulnH"]).stdout.contains("%c0:5353");
    assert!(wait_until(SOON, || !spoken_on()), "a link that is down is spoken on");
    world.run(NODE, &["ip", "link", "set", "c0", "up"]).ok();
    world.run(NODE, &["ip", "route", "add", "default", "via", "192.168.5.2"]).ok();
    listener.wait(SOON, |said| said["response"] == true && holds(said, "shop.local", "A", NODE_ADDRESS));
    drop(edgesvc);
}

#[test]
fn a_flood_of_rubbish_changes_nothing() {
    let world = World::new();
    let edgesvc = serving(&world);
    let memory = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", edgesvc.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = memory();
    let flood: Packet = serde_json::from_str(&neighbour::run(&world, &["flood", "4"]).ok()).unwrap();
    assert!(flood["sent"].as_u64().unwrap() > 1000, "{flood}");
    knows(&world, "shop.local", &[NODE_ADDRESS]);
    let grown = memory().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more after {flood} packets");
    assert_eq!(edgesvc.stop(), 0);
}

#[test]
fn the_port_is_shared_with_another_responder_of_the_box() {
    let world = World::new();
    let _other = Neighbour::listens_at(&world, NODE, "c0");
    let _edgesvc = serving(&world);
    let said = ask(&world, &json!({"questions": [[INSTANCE, "SRV"]]}));
    assert_eq!(said.len(), 1);
}

#[test]
fn avahi_finds_services_and_what_they_say_of_themselves() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let avahi = Avahi::start(&world, CLIENT, "eth0", "laptop");
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop, edgesvc.io/mdns-txt: \"path=/,version=1\"", "")]));
    let browsed = || avahi.tool("avahi-browse", &["-rpt", "_http._tcp"]).ok();
    let finds = |rest: &[&str]| {
        let whole = |line: &&str| line.starts_with("=;eth0;IPv4;shop;Web Site;local;shop.local;192.168.5.1;30080;");
        eventually(SOON, || {
            let text = browsed();
            let found = text.lines().find(whole).is_some_and(|line| rest.iter().all(|part| line.contains(part)));
            if found { Ok(()) } else { Err(format!("no {rest:?}:\n{text}")) }
        });
    };
    finds(&["\"path=/\"", "\"version=1\""]);
    assert_eq!(avahi.tool("avahi-resolve", &["-4n", "shop.local"]).ok().trim(), "shop.local\t192.168.5.1");
    let annotate = |text: &str| drop(edgesvc.cli(&["annotate", "--overwrite", "service", "web", text]).ok());
    annotate(r#"edgesvc.io/mdns-txt={"path": "/a,b"}"#);
    finds(&["\"path=/a,b\""]);
    let wrong = edgesvc.kubectl(&["annotate", "--overwrite", "service", "web", "edgesvc.io/mdns-txt==1"]);
    assert!(wrong.stderr.contains("metadata.annotations[edgesvc.io/mdns-txt]"), "{}", wrong.stderr);
    annotate("edgesvc.io/mdns-");
    assert!(wait_until(SOON, || !browsed().contains("shop")), "what is taken back is found");
}

#[test]
fn the_name_of_a_host_with_avahi_stays_its_own() {
    let world = World::new();
    let avahi = Avahi::start(&world, CLIENT, "eth0", "shop");
    let edgesvc = start(&world, &Arc::new(Home::new()));
    edgesvc.apply(&stream(&[one(), shop("shop", "")]));
    let resolves = |name: &str, to: &str| {
        eventually(SOON, || match avahi.tool("avahi-resolve", &["-4n", name]).stdout.trim() {
            found if found == format!("{name}\t{to}") => Ok(()),
            other => Err(format!("{name}: {other}")),
        });
    };
    resolves("shop-2.local", NODE_ADDRESS);
    resolves("shop.local", "192.168.5.2");
}

/// One address has one reverse name, the host's, and its own responder says it (RFC 6762
/// sections 4 and 10.2): a name of ours under it would be a conflict.
#[test]
fn the_reverse_name_of_the_box_is_left_to_its_own_responder() {
    let world = World::new();
    let _edgesvc = serving(&world);
    let reverse = json!({"questions": [["1.5.168.192.in-addr.arpa", "PTR"]]});
    assert!(ask(&world, &reverse).is_empty());
    let _avahi = Avahi::start(&world, NODE, "c0", "box");
    let said = eventually(SOON, || match ask(&world, &reverse) {
        said if said.is_empty() => Err("avahi does not answer".to_owned()),
        said => Ok(said),
    });
    let answers = said.iter().flat_map(|packet| packet["answers"].as_array().unwrap());
    let names: Vec<&Packet> = answers.filter(|one| one["type"] == "PTR").map(|one| &one["data"]).collect();
    assert!(!names.is_empty() && names.iter().all(|name| *name == "box.local"), "{said:?}");
    // Both are heard over one port.
    knows(&world, "shop.local", &[NODE_ADDRESS]);
}
