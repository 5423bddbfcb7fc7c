//! Who gets a connection, and from where.

use super::support::{BACKENDS, CLIENT, Edgesvc, Home, NODE, NODE_ADDRESS, World, echo_udp, eventually};
use super::*;

const ROUND: [&str; 3] = ["backend1", "backend2", "backend3"];

/// `names` follow each other as in a round, wherever it begins.
#[track_caller]
fn is_a_round(names: &[String]) {
    let start = ROUND.iter().position(|name| *name == names[0]).unwrap_or_else(|| panic!("{names:?}"));
    let expected: Vec<&str> = ROUND.iter().cycle().skip(start).take(names.len()).copied().collect();
    assert_eq!(names, expected);
}

#[test]
fn a_round_is_exact_over_both_families_from_client_node_and_backend() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, BOTH_FAMILIES);
    assert_eq!(world.run(NODE, &["nft", "list", "tables"]).ok(), "");
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 13]));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    for place in [CLIENT, NODE, "backend1"] {
        for (host, port) in [(four.as_str(), 80), (six.as_str(), 80)] {
            answers(&world, place, host, port);
            is_a_round(&names(&world, place, host, port, 9));
        }
    }
    for host in [NODE_ADDRESS, "fd05::1"] {
        answers(&world, CLIENT, host, 30080);
        is_a_round(&names(&world, CLIENT, host, 30080, 9));
    }
    // Neither loopback nor an address of another Service is a node's address.
    for host in ["127.0.0.1", "10.43.0.1", four.as_str()] {
        let met = names(&world, NODE, host, 30080, 1);
        assert!(["ConnectionRefusedError", "ConnectionResetError", "IndexError"].contains(&met[0].as_str()), "{met:?}");
    }
    let numbers = edgesvc.http("/metrics").ok();
    assert!(numbers.lines().any(|line| line.starts_with("edgesvc_relay_connections_total ")), "{numbers}");
}

#[test]
fn udp_is_answered_from_the_address_asked_and_each_client_keeps_its_endpoint() {
    let world = World::new();
    let _servers: Vec<_> = BACKENDS.iter().map(|(name, ..)| echo_udp(&world, name, 5000)).collect();
    let edgesvc = relay(&world, BOTH_FAMILIES);
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 13]));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    for (place, host, port) in [
        (CLIENT, four.as_str(), "53"),
        (NODE, four.as_str(), "53"),
        (CLIENT, six.as_str(), "53"),
        (NODE, six.as_str(), "53"),
        (CLIENT, NODE_ADDRESS, "30053"),
        (CLIENT, "fd05::1", "30053"),
        ("backend1", "10.9.0.1", "30053"),
    ] {
        let met = eventually(SOON, || {
            let said = ask(&world, place, &["udp", host, port, "6", "3"]);
            if said.contains("Error") { Err(format!("{place} -> {host}: {said}")) } else { Ok(said) }
        });
        let met: Vec<String> = met.split(' ').map(str::to_owned).collect();
        is_a_round(&met[..3]);
        assert_eq!(met[..3], met[3..], "each of the three sockets is one client");
    }
}

#[test]
fn an_endpoint_that_refuses_datagrams_is_left_for_another() {
    let world = World::new();
    let _server = echo_udp(&world, "backend2", 5000);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12]));
    let host = edgesvc.cluster_ip("web");
    eventually(SOON, || {
        let said = ask(&world, CLIENT, &["udp", &host, "53", "1", "1"]);
        if said == "backend2" { Ok(()) } else { Err(said) }
    });
    // The first datagram to a dead endpoint may be lost, as datagrams may be; the second is not.
    let said = ask(&world, CLIENT, &["udp", &host, "53", "6", "3"]);
    assert!(said.split(' ').skip(3).all(|name| name == "backend2"), "{said}");
}

#[test]
fn least_connection_counts_the_connections_that_are_open() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("edgesvc.io/balance: lc", SPEC, &[11, 12, 13]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    has_open(&edgesvc, 0);
    let held = hold(&world, CLIENT, &["hold", &host, "80", "5"]);
    let mut seen: Vec<&str> = held.said.split(' ').collect();
    let last = [seen[3], seen[4]];
    seen[..3].sort_unstable();
    assert_eq!(seen[..3], ROUND, "each has one before any has two");
    let free = *ROUND.iter().find(|name| !last.contains(name)).unwrap();
    for _ in 0..4 {
        assert_eq!(names(&world, CLIENT, &host, 80, 1), [free], "the one with one connection takes all short ones");
        has_open(&edgesvc, 5);
    }
}

/// Waits until the relay knows of so many open connections: it hears of an end after the client does.
#[track_caller]
fn has_open(edgesvc: &Edgesvc<'_>, count: usize) {
    let line = format!("edgesvc_relay_open {count}\n");
    eventually(SOON, || {
        let metrics = edgesvc.http("/metrics").ok();
        if metrics.contains(&line) { Ok(()) } else { Err(metrics) }
    });
}

#[test]
fn weights_are_kept_and_weight_0_gets_nothing() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let weights = "  annotations: {edgesvc.io/weight: \"10.9.0.11=3,10.9.0.13=0\"}\n  name: web-4\n";
    let manifest = web("edgesvc.io/balance: weighted", SPEC, &[11, 12, 13]).replace("  name: web-4\n", weights);
    edgesvc.apply(&manifest);
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let met = names(&world, CLIENT, &host, 80, 8);
    let of = |name: &str| met.iter().filter(|met| *met == name).count();
    assert_eq!((of("backend1"), of("backend2"), of("backend3")), (6, 2, 0), "{met:?}");
}

#[test]
fn affinity_keeps_a_client_and_others_go_elsewhere() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let spec = format!("{SPEC}  sessionAffinity: ClientIP\n");
    edgesvc.apply(&web("edgesvc.io/balance: rr", &spec, &[11, 12, 13]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let met = names(&world, CLIENT, &host, 80, 20);
    assert!(met.iter().all(|name| *name == met[0]), "{met:?}");
    let other = names(&world, "backend1", &host, 80, 20);
    assert!(other.iter().all(|name| *name == other[0]) && other[0] != met[0], "{met:?} {other:?}");
    // By the other addresses of the port too, in turn with a client that is bound elsewhere.
    for (client, gate, mine) in [(CLIENT, "192.168.5.1", &met[0]), ("backend1", "10.9.0.1", &other[0])] {
        let met = names(&world, client, gate, 30080, 5);
        assert!(met.iter().all(|name| name == mine), "{client} by the node port: {met:?}, not {mine}");
    }
    // Its endpoint goes: the client moves, and stays there.
    let left: Vec<u8> = (11..14).filter(|host| format!("backend{}", host - 10) != met[0]).collect();
    edgesvc.apply(&slice(4, &left));
    eventually(SOON, || {
        if names(&world, CLIENT, &host, 80, 1)[0] == met[0] { Err("not yet") } else { Ok(()) }.map_err(str::to_owned)
    });
    let moved = names(&world, CLIENT, &host, 80, 10);
    assert!(moved.iter().all(|name| *name == moved[0] && *name != met[0]), "{moved:?}");
}

#[test]
fn dead_endpoints_cost_no_connection() {
    let world = World::new();
    let _server = serve_program(&world, "backend2", ENDPOINT_PROGRAM, 8080);
    let edgesvc = relay(&world, &[]);
    // .11 refuses, .99 is nobody.
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 99]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let met = names(&world, CLIENT, &host, 80, 30);
    assert!(met.iter().all(|name| name == "backend2"), "{met:?}");
    // With all of them dead the client is told.
    edgesvc.apply(&slice(4, &[11, 13]));
    eventually(SOON, || {
        let met = names(&world, CLIENT, &host, 80, 1);
        if met[0].starts_with("backend") { Err(format!("{met:?}")) } else { Ok(()) }
    });
}

#[test]
fn a_connection_stays_when_its_endpoint_leaves_the_service() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let mut held = hold(&world, CLIENT, &["hold", &host, "80", "4"]);
    edgesvc.apply(&slice(4, &[13]));
    eventually(SOON, || match names(&world, CLIENT, &host, 80, 1).remove(0) {
        name if name == "backend3" => Ok(()),
        other => Err(other),
    });
    assert_eq!(held.again(), held.said);
    edgesvc.cli(&["delete", "service", "web"]).ok();
    eventually(SOON, || match names(&world, CLIENT, &host, 80, 1).remove(0) {
        name if name == "ConnectionRefusedError" => Ok(()),
        other => Err(other),
    });
    assert_eq!(held.again(), held.said);
}

#[test]
fn a_service_without_endpoints_is_refused_and_answers_when_they_come() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("", SPEC, &[]));
    let host = edgesvc.cluster_ip("web");
    assert_eq!(names(&world, CLIENT, &host, 80, 2), ["ConnectionRefusedError"; 2]);
    assert_eq!(names(&world, CLIENT, NODE_ADDRESS, 30080, 1), ["ConnectionRefusedError"]);
    assert_eq!(ask(&world, NODE, &["udp", &host, "53", "1", "1"]), "ConnectionRefusedError");
    edgesvc.apply(&slice(4, &[11]));
    answers(&world, CLIENT, &host, 80);
    edgesvc.cli(&["delete", "service", "web"]).ok();
    eventually(SOON, || {
        let met = names(&world, CLIENT, &host, 80, 1);
        if met == ["ConnectionRefusedError"] { Ok(()) } else { Err(format!("{met:?}")) }
    });
}

#[test]
fn one_service_by_annotation_while_nftables_carries_the_others() {
    let world = World::new();
    let _servers = endpoints(&world);
    let home = Arc::new(Home::new());
    let mut flags = BOTH_FAMILIES.to_vec();
    flags.extend(["--nodeport-addresses", "0.0.0.0/0,::/0,localhost"]);
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    edgesvc.apply(&web("edgesvc.io/balance: rr, edgesvc.io/proxy-mode: relay", SPEC, &[11, 12, 13]));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    for place in [CLIENT, NODE, "backend1"] {
        for host in [four.as_str(), six.as_str()] {
            answers(&world, place, host, 80);
            is_a_round(&names(&world, place, host, 80, 6));
        }
    }
    for (place, host) in [(CLIENT, NODE_ADDRESS), (CLIENT, "fd05::1"), (NODE, "127.0.0.1"), (NODE, "::1")] {
        answers(&world, place, host, 30080);
        is_a_round(&names(&world, place, host, 30080, 6));
    }
    // Back to the kernel: no connection is lost on the way, and the endpoint sees its client.
    edgesvc.cli(&["annotate", "service", "web", "edgesvc.io/proxy-mode-"]).ok();
    let met = names(&world, CLIENT, &four, 80, 50);
    assert!(met.iter().all(|name| name.starts_with("backend")), "{met:?}");
    let refused = edgesvc.cli(&["annotate", "--overwrite", "service", "web", "edgesvc.io/balance=wlc"]);
    assert!(refused.fails(1).contains("metadata.annotations[edgesvc.io/balance]"));
}

#[test]
fn without_privilege_node_ports_are_served_and_the_rest_is_told_once() {
    let world = World::new();
    let _servers = endpoints(&world);
    let home = Arc::new(Home::new());
    let bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
    // Without the flag: nftables is asked for, cannot be had, and the relay takes its place.
    let edgesvc = Edgesvc::start_command(&world, &home, home.run_under(&world, &bare, &["--cluster-dns", "none"]));
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 13]));
    answers(&world, CLIENT, NODE_ADDRESS, 30080);
    is_a_round(&names(&world, CLIENT, NODE_ADDRESS, 30080, 6));
    let log = edgesvc.log();
    assert!(log.contains("falling back to --proxy-mode relay"), "{log}");
    assert_eq!(log.matches("without CAP_NET_ADMIN the addresses of Services").count(), 1, "{log}");
    assert_eq!(edgesvc.http("/readyz").ok(), "ok");
    assert_eq!(edgesvc.stop(), 0);
}

#[test]
fn a_change_of_mode_leaves_nothing_of_the_other_and_cleanup_nothing_at_all() {
    let world = World::new();
    let _servers = endpoints(&world);
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 13]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    assert_eq!(edgesvc.stop(), 0);
    let edgesvc = Edgesvc::start_in(&world, &home, &["--proxy-mode", "relay"]);
    assert_eq!(world.run(NODE, &["nft", "list", "tables"]).ok(), "");
    answers(&world, CLIENT, &host, 80);
    is_a_round(&names(&world, CLIENT, &host, 80, 6));
    assert_eq!(world.dig(CLIENT, "10.43.0.10", &["web.default.svc.cluster.local"]), [host.as_str()]);
    assert_eq!(edgesvc.stop(), 0);
    let said = home.tool(&world, &["dataplane", "cleanup"]).ok();
    assert!(said.contains("removed local route 10.43.0.0/16"), "{said}");
    let routes = world.run(NODE, &["ip", "route", "show", "table", "local"]).ok();
    assert!(!routes.contains("10.43."), "{routes}");
    assert_eq!(home.tool(&world, &["dataplane", "cleanup"]).ok(), "nothing to remove\n");
}

#[test]
fn sctp_is_refused_by_name() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let spec = format!("{SPEC}  - {{name: sctp, port: 99, protocol: SCTP}}\n");
    edgesvc.apply(&web("", &spec, &[11]));
    let events = || edgesvc.cli(&["get", "events"]).ok();
    eventually(SOON, || if events().contains("ProtocolNotSupported") { Ok(()) } else { Err(events()) });
    answers(&world, CLIENT, &edgesvc.cluster_ip("web"), 80);
    let condition = |member: &str| edgesvc.field("service", "web", &["status", "conditions", "0", member]);
    let message = eventually(SOON, || condition("message"));
    assert!(message.contains("99/SCTP (--proxy-mode relay does not support it)"), "{message}");
    assert_eq!(condition("type").unwrap(), "edgesvc.io/PortsNotServed");
    assert_eq!(
        (condition("status").unwrap(), condition("reason").unwrap()),
        ("True".into(), "ProtocolNotSupported".into())
    );
    // Whoever takes it away: it is there as long as the port is left out.
    let since = condition("lastTransitionTime").unwrap();
    let patch = ["patch", "service", "web", "--subresource", "status", "--type", "merge", "-p"];
    edgesvc.kubectl(&[patch.as_slice(), &[r#"{"status":{"conditions":[]}}"#]].concat()).ok();
    eventually(SOON, || condition("message"));
    assert!(condition("lastTransitionTime").unwrap() >= since);
    let told = edgesvc.cli(&["status", "services"]).ok();
    assert!(told.contains("left out: SCTP 99 (--proxy-mode relay does not support it)"), "{told}");
    edgesvc.kubectl(&["wait", "--for", "condition=edgesvc.io/PortsNotServed", "service/web", "--timeout=5s"]).ok();
    edgesvc.apply(&web("", SPEC, &[11]));
    eventually(SOON, || condition("type").map_or_else(|_| Ok(()), Err));
    edgesvc.apply(&web("", &spec, &[11]));
    eventually(SOON, || condition("type"));
    let annotated = edgesvc.cli(&["annotate", "service", "web", "edgesvc.io/proxy-mode=relay"]);
    assert!(annotated.fails(1).contains("SCTP"));
}

#[test]
fn a_port_that_is_taken_is_told_and_taken_when_it_is_free() {
    let world = World::new();
    let _servers = endpoints(&world);
    let taker = serve_program(&world, NODE, ENDPOINT_PROGRAM, 30080);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("", SPEC, &[11]));
    answers(&world, CLIENT, &edgesvc.cluster_ip("web"), 80);
    eventually(SOON, || {
        let (ready, events) = (edgesvc.http("/readyz").stdout, edgesvc.cli(&["get", "events"]).ok());
        let told = ready.contains("[-]kernel") && events.contains("cannot listen on node port 30080/TCP");
        if told { Ok(()) } else { Err(format!("{ready}\n{events}")) }
    });
    drop(taker);
    eventually(SOON * 4, || match names(&world, CLIENT, NODE_ADDRESS, 30080, 1).remove(0) {
        name if name == "backend1" => Ok(()),
        other => Err(other),
    });
    eventually(SOON, || match edgesvc.http("/readyz").stdout {
        ready if ready == "ok" => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_port_that_stays_taken_holds_no_change_of_the_kernel_back() {
    let world = World::new();
    let _servers = endpoints(&world);
    let _taker = serve_program(&world, NODE, ENDPOINT_PROGRAM, 30080);
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--nodeport-addresses", "0.0.0.0/0,localhost"]);
    edgesvc.apply(&web("", SPEC, &[11]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    edgesvc.wait_for_line(SOON, |line| line.contains("cannot listen") && line.contains("127.0.0.1:30080"));
    // The pauses between its tries grow; a change that waited for one would be late by the end.
    let begun = tokio::time::Instant::now();
    let mut hosts = [12_u8, 13].iter().cycle();
    while begun.elapsed() < SOON {
        let next = hosts.next().unwrap();
        edgesvc.apply(&slice(4, &[*next]));
        let name = format!("backend{}", next - 10);
        eventually(Duration::from_secs(2), || match names(&world, CLIENT, &host, 80, 1).remove(0) {
            met if met == name => Ok(()),
            other => Err(format!("{other} instead of {name}")),
        });
    }
}

#[test]
fn source_ranges_hold_for_the_load_balancers_address_alone() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    let spec = SPEC.replace("NodePort", "LoadBalancer") + "  loadBalancerSourceRanges: [\"10.9.0.0/24\"]\n";
    edgesvc.apply(&web("", &spec, &[11]));
    let status = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7", "ipMode": "VIP"}]}}}"#;
    edgesvc.kubectl(&["patch", "service", "web", "--subresource", "status", "--type", "merge", "-p", status]).ok();
    answers(&world, "backend2", "198.51.100.7", 80);
    let met = names(&world, CLIENT, "198.51.100.7", 80, 1);
    assert!(!met[0].starts_with("backend"), "{met:?}");
    answers(&world, CLIENT, &edgesvc.cluster_ip("web"), 80);
    let routed = || world.run(NODE, &["ip", "route", "show", "table", "local"]).ok().contains("198.51.100.7");
    assert!(routed());
    // One port goes, and the address stays for the other.
    let (http, _) = spec.split_once("  - {name: dns").unwrap();
    edgesvc.apply(&web("", &format!("{http}  loadBalancerSourceRanges: [\"10.9.0.0/24\"]\n"), &[11]));
    eventually(SOON, || {
        let sockets = world.run(NODE, &["ss", "-ulnH"]).ok();
        if sockets.contains("198.51.100.7:53") { Err(sockets) } else { Ok(()) }
    });
    assert_eq!(names(&world, "backend2", "198.51.100.7", 80, 1), ["backend1"]);
    // With the Service goes the route that made the address ours.
    edgesvc.cli(&["delete", "service", "web"]).ok();
    eventually(SOON, || if routed() { Err("still routed") } else { Ok(()) }.map_err(str::to_owned));
}
