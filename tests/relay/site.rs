//! What depends on the box: its addresses, its ranges, who is on it and who is not.

use super::support::{CLIENT, Edgesvc, Home, NODE, NODE_ADDRESS, World, echo_udp, eventually};
use super::*;

const PODS: &[&str] = &["--cluster-cidr", "10.9.0.0/24"];
const MODE_RELAY: &[&str] = &["--proxy-mode", "relay"];
const LOCAL: &str = "  type: NodePort\n  externalTrafficPolicy: Local\n  ports:\n  - {name: http, port: 80, targetPort: \
                     8080, nodePort: 30080}\n";

fn start<'w>(world: &'w World, flags: &[&[&str]]) -> Edgesvc<'w> {
    Edgesvc::start_in(world, &Arc::new(Home::new()), &flags.concat())
}

/// A slice whose endpoints are on this box or on another.
fn placed(edgesvc: &Edgesvc<'_>, hosts: &[(u8, bool)]) -> String {
    let here = edgesvc.kubectl(&["get", "nodes", "-o", "name"]).ok().trim().replace("node/", "");
    hosts.iter().fold(slice(4, &hosts.iter().map(|(host, _)| *host).collect::<Vec<_>>()), |text, (host, on_box)| {
        let node = if *on_box { here.as_str() } else { "elsewhere" };
        let endpoint = format!("{{addresses: [\"10.9.0.{host}\"]");
        text.replace(&format!("{endpoint}}}"), &format!("{endpoint}, nodeName: {node}}}"))
    })
}

/// Waits until connections from a place meet these endpoints in turn, and no other.
#[track_caller]
fn meets(world: &World, place: Place, host: &str, expected: &[&str]) {
    eventually(SOON, || {
        let mut met = names(world, place, host, 30080, expected.len() * 3);
        let count = met.len();
        met.sort_unstable();
        met.dedup();
        if met == expected { Ok(()) } else { Err(format!("{place} -> {host}: {met:?} in {count}")) }
    });
}

#[test]
fn policy_local_binds_clients_outside_the_cluster_and_no_other() {
    for (flags, carrier) in [(MODE_RELAY, ""), (&[], "edgesvc.io/proxy-mode: relay, ")] {
        let world = World::new();
        let _servers = endpoints(&world);
        let edgesvc = start(&world, &[flags, PODS]);
        edgesvc.apply(&web(&format!("{carrier}edgesvc.io/balance: rr"), LOCAL, &[]));
        edgesvc.apply(&placed(&edgesvc, &[(11, true), (12, false), (13, false)]));
        let all = ["backend1", "backend2", "backend3"];
        meets(&world, CLIENT, NODE_ADDRESS, &["backend1"]);
        meets(&world, NODE, NODE_ADDRESS, &all);
        meets(&world, "backend2", "10.9.0.1", &all);
        // Nobody here: outside nobody is met any more, and inside the others are.
        edgesvc.apply(&placed(&edgesvc, &[(12, false), (13, false)]));
        meets(&world, NODE, NODE_ADDRESS, &all[1..]);
        meets(&world, "backend2", "10.9.0.1", &all[1..]);
        let met = names(&world, CLIENT, NODE_ADDRESS, 30080, 1).remove(0);
        let expected: &[&str] =
            if carrier.is_empty() { &["ConnectionResetError", "IndexError"] } else { &["TimeoutError"] };
        assert!(expected.contains(&met.as_str()), "{carrier}{met}");
    }
}

#[test]
fn a_session_stays_with_an_endpoint_that_terminates_and_still_serves() {
    let world = World::new();
    let _servers: Vec<_> = BACKENDS.iter().map(|(name, ..)| echo_udp(&world, name, 5000)).collect();
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("", SPEC, &[11]));
    let host = edgesvc.cluster_ip("web");
    eventually(SOON, || match ask(&world, CLIENT, &["udp", &host, "53", "1", "1"]) {
        met if met == "backend1" => Ok(()),
        other => Err(other),
    });
    let mut session = hold(&world, CLIENT, &["session", &host, "53"]);
    assert_eq!(session.said, "backend1");
    let going = |serving: bool| {
        let conditions = format!("conditions: {{ready: false, serving: {serving}, terminating: true}}");
        slice(4, &[11, 12]).replace("\"10.9.0.11\"]", &format!("\"10.9.0.11\"], {conditions}"))
    };
    edgesvc.apply(&going(true));
    eventually(SOON, || match ask(&world, CLIENT, &["udp", &host, "53", "1", "1"]) {
        met if met == "backend2" => Ok(()),
        other => Err(other),
    });
    assert_eq!(session.again(), "backend1");
    edgesvc.apply(&going(false));
    eventually(SOON, || match session.again() {
        met if met == "backend2" => Ok(()),
        other => Err(other),
    });
}

#[test]
fn node_ports_follow_the_boxs_addresses() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &["--nodeport-addresses", "10.7.0.0/16,br0,localhost"]);
    edgesvc.apply(&web("", SPEC, &[11]));
    answers(&world, "backend2", "10.9.0.1", 30080);
    answers(&world, NODE, "127.0.0.1", 30080);
    let met = || names(&world, CLIENT, NODE_ADDRESS, 30080, 1).remove(0);
    assert!(!met().starts_with("backend"), "{}", met());
    world.run(NODE, &["ip", "address", "add", "10.7.7.7/16", "dev", "c0"]).ok();
    answers(&world, CLIENT, "10.7.7.7", 30080);
    world.run(NODE, &["ip", "address", "add", "192.168.5.9/32", "dev", "br0"]).ok();
    answers(&world, CLIENT, "192.168.5.9", 30080);
    assert!(!met().starts_with("backend"), "{}", met());
}

#[test]
fn a_range_is_local_as_long_as_its_object_is_there() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let routes = || world.run(NODE, &["ip", "route", "show", "table", "local", "proto", "143"]).ok();
    assert!(routes().contains("10.43.0.0/16") && !routes().contains("10.50."), "{}", routes());
    edgesvc.apply(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: more}\nspec: {cidrs: [10.50.0.0/24]}\n",
    );
    eventually(SOON, || if routes().contains("10.50.0.0/24") { Ok(()) } else { Err(routes()) });
    edgesvc.apply(&web("", &format!("  clusterIP: 10.50.0.5\n{SPEC}"), &[11]));
    answers(&world, CLIENT, "10.50.0.5", 80);
    // No node's address, though it is local.
    let met = names(&world, CLIENT, "10.50.0.5", 30080, 1).remove(0);
    assert!(!met.starts_with("backend"), "{met}");
    edgesvc.cli(&["delete", "servicecidr", "more", "--wait=false"]).ok();
    answers(&world, CLIENT, "10.50.0.5", 80);
    edgesvc.cli(&["delete", "service", "web"]).ok();
    eventually(SOON, || if routes().contains("10.50.") { Err(routes()) } else { Ok(()) });
    assert!(routes().contains("10.43.0.0/16"), "{}", routes());
}

#[test]
fn a_socket_behind_the_kernel_is_reached_by_translation_alone() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = start(&world, &[]);
    edgesvc.apply(&web("edgesvc.io/proxy-mode: relay", SPEC, &[11]));
    answers(&world, CLIENT, &edgesvc.cluster_ip("web"), 80);
    let sockets = world.run(NODE, &["ss", "-tlnH", "src", "10.43.0.0"]).ok();
    let port = sockets.split_whitespace().find_map(|word| word.strip_prefix("10.43.0.0:")).expect("a socket");
    let port: u16 = port.parse().unwrap();
    for place in [CLIENT, NODE] {
        let met = names(&world, place, "10.43.0.0", port, 1).remove(0);
        assert!(!met.starts_with("backend"), "{place}: {met}");
    }
}

#[test]
fn health_checks_answer_in_mode_relay() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let spec = LOCAL.replace("NodePort\n", "LoadBalancer\n  healthCheckNodePort: 31000\n");
    edgesvc.apply(&web("", &spec, &[]));
    let url = format!("http://{NODE_ADDRESS}:31000/");
    let says = |count: u8| {
        let wanted = format!("\"localEndpoints\": {count}");
        eventually(SOON, || {
            let said = world.get(CLIENT, &url)?;
            if said.contains(&wanted) && said.contains("\"serviceProxyHealthy\": true") { Ok(()) } else { Err(said) }
        });
    };
    says(0);
    edgesvc.apply(&placed(&edgesvc, &[(11, true), (12, true), (13, false)]));
    says(2);
}
