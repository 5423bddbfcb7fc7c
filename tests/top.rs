//! What the kernel counts of Services, as `edgesvc top` and `/metrics` tell it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{
    BACKENDS, CLIENT, Edgesvc, Home, NODE, NODE_ADDRESS, Place, World, echo_name, echo_udp, eventually, pod, service,
    stream,
};

const SOON: Duration = Duration::from_secs(15);

/// The rows of `edgesvc top WHAT --once -o json` about one Service.
fn top(edgesvc: &Edgesvc<'_>, what: &str, service: &str) -> Vec<Value> {
    let text = edgesvc.cli(&["top", what, "--once", "--interval", "1s", "-o", "json"]).ok();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["items"].as_array().unwrap().iter().filter(|row| row["service"] == service).cloned().collect()
}

fn sum(rows: &[Value], member: &str) -> u64 {
    rows.iter().map(|row| row[member].as_u64().unwrap()).sum()
}

fn with_two(services: &[String]) -> String {
    let mut documents = vec![pod("one", "web", "10.9.0.11", 8080), pod("two", "web", "10.9.0.12", 8080)];
    documents.extend_from_slice(services);
    stream(&documents)
}

#[test]
fn new_connections_are_counted_for_each_service_and_endpoint() {
    let world = World::new();
    let _servers = [0, 1].map(|n| echo_name(&world, BACKENDS[n].0, 8080));
    let edgesvc = Edgesvc::start(&world);
    let more = "  type: NodePort\n";
    edgesvc.apply(&with_two(&[service("web", "web", 80, "8080", more), service("idle", "web", 80, "8080", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    let port = edgesvc.field("service", "web", &["spec", "ports", "0", "nodePort"]).unwrap();
    eventually(SOON, || world.get(CLIENT, &url));
    let before = sum(&top(&edgesvc, "services", "web"), "connections");
    for _ in 0..4 {
        world.get(CLIENT, &url).unwrap();
        world.get(NODE, &url).unwrap();
        world.get(CLIENT, &format!("http://{NODE_ADDRESS}:{port}/")).unwrap();
    }
    let rows = top(&edgesvc, "services", "web");
    assert_eq!((rows.len(), sum(&rows, "connections")), (1, before + 12), "{rows:?}");
    let rows = top(&edgesvc, "endpoints", "web");
    assert_eq!(sum(&rows, "connections"), before + 12, "{rows:?}");
    let idle = top(&edgesvc, "services", "idle");
    assert_eq!((idle.len(), sum(&idle, "connections")), (1, 0), "{idle:?}");
    let metrics = edgesvc.http("/metrics").ok();
    let line = format!("edgesvc_service_connections_total{{namespace=\"default\",service=\"web\"}} {}", before + 12);
    assert!(metrics.lines().any(|known| known == line), "{line} is not in:\n{metrics}");
    assert!(metrics.contains(
        "edgesvc_endpoint_connections_total{namespace=\"default\",service=\"web\",endpoint=\"10.9.0.11:8080\"}"
    ));
    assert!(!metrics.contains("_bytes_total{namespace"), "traffic is counted only where it is asked for");
    let text = edgesvc.cli(&["top", "--once", "--interval", "1s"]).ok();
    assert!(text.starts_with("NAMESPACE") && text.contains("CONN/S") && text.contains("web"), "{text}");
    // An endpoint that comes does not make the Service forget what it has counted elsewhere.
    let listed = world.run(NODE, &["nft", "list", "ruleset"]).ok();
    assert!(listed.contains("counter packets"), "nft prints the counts: {listed}");
}

/// Five datagrams of one flow, each answered before the next.
const DATAGRAMS: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(2)\ns.connect((sys.argv[1], int(sys.argv[2])))\n\
    for _ in range(5):\n    s.send(b'x' * 100)\n    s.recv(2048)\n";

#[test]
fn packets_and_bytes_of_both_directions_are_counted_once_where_it_is_asked_for() {
    let world = World::new();
    let _servers = [echo_udp(&world, BACKENDS[0].0, 5000), echo_udp(&world, NODE, 5001)];
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--dataplane-counters", "traffic"]);
    let udp = |name: &str, port: u16| service(name, name, port, &format!("{port}, protocol: UDP"), "");
    edgesvc.apply(&stream(&[
        pod("one", "far", "10.9.0.11", 5000),
        pod("own", "own", NODE_ADDRESS, 5001),
        udp("far", 5000),
        udp("own", 5001),
    ]));
    // Another's address, the box's own, and the endpoint itself.
    let cases: [(Place, &str, &str); 4] =
        [(CLIENT, "far", "5000"), (NODE, "far", "5000"), ("backend1", "far", "5000"), (CLIENT, "own", "5001")];
    for (place, name, port) in cases {
        let address = edgesvc.cluster_ip(name);
        let before = top(&edgesvc, "services", name);
        eventually(SOON, || world.run(place, &["python3", "-c", DATAGRAMS, &address, port]).result());
        let rows = top(&edgesvc, "services", name);
        let packets = sum(&rows, "packets") - sum(&before, "packets");
        let bytes = sum(&rows, "bytes") - sum(&before, "bytes");
        assert!(packets == 10 && bytes > 640, "{name} from {place}: {packets} packets of {bytes} bytes: {rows:?}");
        assert_eq!(sum(&top(&edgesvc, "endpoints", name), "packets"), sum(&rows, "packets"), "{name} from {place}");
    }
    let metrics = edgesvc.http("/metrics").ok();
    assert!(metrics.contains("edgesvc_service_bytes_total{namespace=\"default\",service=\"far\"}"), "{metrics}");
    // The next start does not ask for it: the tables are made anew, and traffic goes on.
    drop(edgesvc);
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    assert_eq!(edgesvc.cli(&["dataplane", "diff"]).ok(), "");
    let address = edgesvc.cluster_ip("far");
    world.run(CLIENT, &["python3", "-c", DATAGRAMS, &address, "5000"]).ok();
    assert_eq!(sum(&top(&edgesvc, "services", "far"), "packets"), 0);
    assert_eq!(sum(&top(&edgesvc, "services", "far"), "connections"), 1);
}
