//! The main job, end to end: from a Service manifest to a packet, with the
//! built binary, real clients and real backends in a throwaway world.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::time::Duration;

use support::{
    BACKENDS, CLIENT, CLIENT_ADDRESS, Edgesvc, NODE, NODE_ADDRESS, World, echo_name, echo_udp, eventually, pod,
    service, stream, wait_until,
};

/// A change is in the kernel long before; a loaded machine included.
const SOON: Duration = Duration::from_secs(10);

/// The Pods of all three backends and further documents.
fn with_backends(more: &[String]) -> String {
    let mut documents: Vec<String> = BACKENDS
        .iter()
        .map(|(name, address, address6)| pod(name, "web", &format!("\"{address},{address6}\""), 8080))
        .collect();
    documents.extend_from_slice(more);
    stream(&documents)
}

/// Waits until `place` gets an answer from `url`.
#[track_caller]
fn answers(world: &World, place: &'static str, url: &str) -> String {
    eventually(SOON, || world.get(place, url).map_err(|why| format!("{place} -> {url}: {why}")))
}

/// Waits until connections are refused at once rather than answered or dropped.
#[track_caller]
fn is_refused(world: &World, place: &'static str, url: &str) {
    eventually(SOON, || {
        let output = world.run(place, &["curl", "--silent", "--noproxy", "*", "--globoff", "--max-time", "2", url]);
        // curl: 7 is a refused connection, 28 a timeout.
        if output.code == 7 { Ok(()) } else { Err(format!("{place} -> {url}: curl ended with {}", output.code)) }
    });
}

#[test]
fn the_world_is_as_drawn() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080));
    let _udp = echo_udp(&world, "backend1", 5000);
    for (name, address, address6) in BACKENDS {
        assert_eq!(world.get(NODE, &format!("http://{address}:8080/")).unwrap(), format!("{name} from 10.9.0.1"));
        assert_eq!(world.get(NODE, &format!("http://[{address6}]:8080/")).unwrap(), format!("{name} from fd09::1"));
        assert_eq!(
            world.get("backend1", &format!("http://{address}:8080/")).unwrap(),
            format!("{name} from 10.9.0.11")
        );
    }
    let answer = world.run_with(NODE, &["socat", "-t", "1", "-", "UDP4:10.9.0.11:5000"], "hello").ok();
    assert_eq!(answer, "backend1 from 10.9.0.1\n");
    is_refused(&world, CLIENT, &format!("http://{NODE_ADDRESS}:1/"));
    is_refused(&world, NODE, "http://10.9.0.11:8081/");
}

#[test]
fn a_service_is_reached_from_client_node_and_backends_and_every_backend_answers() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080));
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&with_backends(&[service("web", "web", 80, "web", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    for place in [CLIENT, NODE, "backend1", "backend2", "backend3"] {
        answers(&world, place, &url);
        let seen = world.spread(place, &url, 60);
        let names: Vec<_> = seen.keys().map(String::as_str).collect();
        assert_eq!(names, ["backend1", "backend2", "backend3"], "from {place}: {seen:?}");
    }
}

#[test]
fn backends_see_the_clients_own_address() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    assert_eq!(answers(&world, CLIENT, &url), format!("backend1 from {CLIENT_ADDRESS}"));
}

#[test]
fn a_backend_that_reaches_itself_through_the_service_is_answered() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    let answer = answers(&world, "backend1", &url);
    assert!(answer.starts_with("backend1 from "), "{answer}");
    assert!(!answer.ends_with("from 10.9.0.11"), "a hairpin is masqueraded: {answer}");
}

#[test]
fn a_node_port_answers_on_the_nodes_addresses_only() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    let mut web = service("web", "web", 80, "8080", "  type: NodePort\n");
    web = web.replace("targetPort: 8080", "targetPort: 8080, nodePort: 30080");
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), web]));
    answers(&world, CLIENT, &format!("http://{NODE_ADDRESS}:30080/"));
    answers(&world, NODE, &format!("http://{NODE_ADDRESS}:30080/"));
    answers(&world, "backend2", "http://10.9.0.1:30080/");
    answers(&world, "backend1", "http://10.9.0.1:30080/");
    is_refused(&world, CLIENT, &format!("http://{NODE_ADDRESS}:30081/"));
}

#[test]
fn the_walk_is_the_same_in_ipv6() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080));
    let home = std::sync::Arc::new(support::Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--service-cluster-ip-range", "10.43.0.0/16,fd43::/112"]);
    edgesvc.apply(&with_backends(&[service("web", "web", 80, "web", "  ipFamilyPolicy: RequireDualStack\n")]));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    for place in [CLIENT, NODE, "backend1"] {
        answers(&world, place, &format!("http://{four}/"));
        answers(&world, place, &format!("http://[{six}]/"));
        let seen = world.spread(place, &format!("http://[{six}]/"), 60);
        assert_eq!(seen.len(), 3, "from {place}: {seen:?}");
    }
    let answer = world.get(CLIENT, &format!("http://[{six}]/")).unwrap();
    assert!(answer.ends_with(" from fd05::2"), "{answer}");
}

#[test]
fn udp_reaches_every_backend() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_udp(&world, name, 5000));
    let edgesvc = Edgesvc::start(&world);
    let udp = service("udp", "web", 5000, "5000, protocol: UDP", "");
    edgesvc.apply(&with_backends(&[udp]));
    let address = edgesvc.cluster_ip("udp");
    for place in [CLIENT, NODE] {
        let mut seen = std::collections::BTreeSet::new();
        let all = wait_until(SOON, || {
            let answers = world.run(place, &["python3", "-c", DATAGRAMS, &address, "5000"]).stdout;
            seen.extend(answers.lines().filter_map(|line| line.split(" from ").next()).map(str::to_owned));
            seen.len() == 3
        });
        assert!(all, "from {place} only {seen:?} answered");
    }
}

/// Sixty datagrams, each from a socket of its own and so a flow of its own, and
/// what answers: enough that none of three backends is missed by chance.
const DATAGRAMS: &str = r#"
import socket, sys
for _ in range(60):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((sys.argv[1], int(sys.argv[2])))
        try:
            s.send(b"hello")
            print(s.recv(2048).decode(), end="")
        except OSError:
            break
"#;

#[test]
fn a_backend_dies_and_traffic_moves_on() {
    let world = World::new();
    let mut servers: Vec<_> = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080)).into();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&with_backends(&[service("web", "web", 80, "web", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    answers(&world, CLIENT, &url);
    drop(servers.pop());
    edgesvc.cli(&["delete", "pod", "backend3", "--now"]).ok();
    let moved = wait_until(SOON, || {
        let seen = world.spread(CLIENT, &url, 30);
        seen.keys().map(String::as_str).eq(["backend1", "backend2"])
    });
    assert!(moved, "connections still fail or reach backend3");
}

#[test]
fn a_service_without_endpoints_refuses_at_once_and_serves_when_one_appears() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "web", ""));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    for place in [CLIENT, NODE, "backend2"] {
        is_refused(&world, place, &url);
    }
    edgesvc.apply(&pod("one", "web", "10.9.0.11", 8080));
    answers(&world, CLIENT, &url);
    edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
    is_refused(&world, CLIENT, &url);
}

#[test]
fn client_affinity_keeps_a_client_on_one_backend() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080));
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&with_backends(&[service("web", "web", 80, "web", "  sessionAffinity: ClientIP\n")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    answers(&world, CLIENT, &url);
    let seen = world.spread(CLIENT, &url, 100);
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn named_target_ports_are_resolved_per_pod() {
    let world = World::new();
    let _servers = [echo_name(&world, "backend1", 8080), echo_name(&world, "backend2", 9090)];
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[
        pod("one", "web", "10.9.0.11", 8080),
        pod("two", "web", "10.9.0.12", 9090),
        service("web", "web", 80, "web", ""),
    ]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    answers(&world, CLIENT, &url);
    assert!(wait_until(SOON, || world
        .spread(CLIENT, &url, 30)
        .keys()
        .map(String::as_str)
        .eq(["backend1", "backend2"])));
}

#[test]
fn endpoints_written_by_hand_are_mirrored_and_served() {
    let world = World::new();
    let _server = echo_name(&world, "backend2", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: plc}\nspec: {ports: [{name: http, port: 80}]}\n\
         ---\n\
         apiVersion: v1\nkind: Endpoints\nmetadata: {name: plc}\n\
         subsets: [{addresses: [{ip: 10.9.0.12}], ports: [{name: http, port: 8080}]}]\n",
    );
    let url = format!("http://{}/", edgesvc.cluster_ip("plc"));
    assert!(answers(&world, CLIENT, &url).starts_with("backend2"));
    let slices = edgesvc.cli(&["get", "endpointslices", "-o", "json"]).ok();
    assert!(slices.contains("endpointslicemirroring-controller.k8s.io"), "{slices}");
}

#[test]
fn an_endpoint_that_is_a_cluster_ip_is_left_out_and_told() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    let by_hand = |name: &str, addresses: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
             apiVersion: v1\nkind: Endpoints\nmetadata: {{name: {name}}}\n\
             subsets: [{{addresses: [{addresses}], ports: [{{port: 8080}}]}}]\n"
        )
    };
    edgesvc.apply(&by_hand("loop", "{ip: 10.9.0.11}"));
    let address = edgesvc.cluster_ip("loop");
    let url = format!("http://{address}/");
    answers(&world, CLIENT, &url);
    // Itself, an address nobody has, and one that serves.
    edgesvc.apply(&by_hand("loop", &format!("{{ip: {address}}}, {{ip: 10.43.99.99}}, {{ip: 10.9.0.11}}")));
    let told = || edgesvc.cli(&["describe", "service", "loop"]).ok();
    assert!(wait_until(SOON, || told().contains("EndpointIsClusterIP")), "{}", told());
    assert!(told().contains("10.43.99.99"), "{}", told());
    assert_eq!(world.spread(CLIENT, &url, 20).keys().collect::<Vec<_>>(), ["backend1"]);
    edgesvc.apply(&by_hand("loop", &format!("{{ip: {address}}}")));
    is_refused(&world, CLIENT, &url);
    is_refused(&world, NODE, &url);
}

#[test]
fn a_deleted_service_is_gone_from_kernel_and_dns() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let address = edgesvc.cluster_ip("web");
    let url = format!("http://{address}/");
    answers(&world, CLIENT, &url);
    edgesvc.cli(&["delete", "service", "web"]).ok();
    assert!(wait_until(SOON, || world.get(CLIENT, &url).is_err()), "the address still answers");
    let rules = world.run(NODE, &["nft", "list", "ruleset"]).ok();
    assert!(!rules.contains(&address), "{rules}");
    let lines = world.dig(CLIENT, "10.43.0.10", &["web.default.svc.cluster.local", "A"]);
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn the_ruleset_can_be_listed_exported_and_cleaned_up() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let address = edgesvc.cluster_ip("web");
    let listed = eventually(SOON, || {
        let rules = world.run(NODE, &["nft", "list", "ruleset"]).result()?;
        if rules.contains(&address) { Ok(rules) } else { Err(format!("no {address} in {rules}")) }
    });
    assert!(listed.contains("table ip edgesvc {") && listed.contains("table ip6 edgesvc {"), "{listed}");
    assert!(edgesvc.home.tool(&world, &["dataplane", "show"]).ok().contains(&address));
    let exported = edgesvc.home.tool(&world, &["dataplane", "export"]).ok();
    let document: serde_json::Value = serde_json::from_str(&exported).expect("the export is JSON");
    assert!(document["nftables"].is_array(), "{exported}");
    assert_eq!(edgesvc.stop(), 0);
    let home = support::Home::new();
    home.tool(&world, &["dataplane", "cleanup"]).ok();
    let left = world.run(NODE, &["nft", "list", "ruleset"]).ok();
    assert!(!left.contains("edgesvc"), "{left}");
    let links = world.run(NODE, &["ip", "link"]).ok();
    assert!(!links.contains("edgesvc0"), "{links}");
    let port = world.run(NODE, &["bridge", "-d", "link", "show", "dev", "b1"]).ok();
    assert!(port.contains("hairpin off"), "{port}");
}

#[test]
fn our_link_comes_back_when_it_is_removed() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let address = edgesvc.cluster_ip("web");
    answers(&world, NODE, &format!("http://{address}/"));
    world.run(NODE, &["ip", "link", "delete", "edgesvc0"]).ok();
    answers(&world, NODE, &format!("http://{address}/"));
    let name = ["web.default.svc.cluster.local", "A"];
    assert!(wait_until(SOON, || world.dig(CLIENT, "10.43.0.10", &name) == [address.clone()]));
}

const MORE: &str = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: more}\n\
                    spec: {cidrs: [10.50.0.0/24, \"fd50::/112\"]}\n";

fn routes(world: &World) -> String {
    let four = world.run(NODE, &["ip", "-4", "route", "show"]).ok();
    four + &world.run(NODE, &["ip", "-6", "route", "show"]).ok()
}

/// Waits until routes and rules know a range, or neither does.
#[track_caller]
fn range_is(world: &World, range: &str, there: bool) {
    // The grace of a range that is going is ten seconds.
    eventually(2 * SOON, || {
        let routed = routes(world).contains(&format!("{range} dev edgesvc0"));
        let rules = world.run(NODE, &["nft", "list", "ruleset"]).result()?;
        let guarded = rules.contains(&format!("/0 . {range}"));
        if (routed, guarded) == (there, there) { Ok(()) } else { Err(format!("{range} {routed} {guarded}: {rules}")) }
    });
}

#[test]
fn a_further_range_is_reached_and_guarded_while_its_service_cidr_is_there() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| echo_name(&world, name, 8080));
    let home = std::sync::Arc::new(support::Home::new());
    let flags = ["--service-cluster-ip-range", "10.43.0.0/16,fd43::/112"];
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    edgesvc.apply(MORE);
    for range in ["10.50.0.0/24", "fd50::/112"] {
        range_is(&world, range, true);
    }
    let spec =
        "  ipFamilyPolicy: RequireDualStack\n  clusterIP: 10.50.0.80\n  clusterIPs: [10.50.0.80, \"fd50::80\"]\n";
    edgesvc.apply(&with_backends(&[service("web", "web", 80, "web", spec)]));
    let urls = ["http://10.50.0.80/", "http://[fd50::80]/"];
    for place in [CLIENT, NODE, "backend1"] {
        urls.iter().for_each(|url| drop(answers(&world, place, url)));
    }
    is_dropped(&world, CLIENT, "http://10.50.0.81/");
    // Going, but blocked by the address of a Service: everything stays, over a kill too.
    edgesvc.cli(&["delete", "servicecidr", "more", "--wait=false"]).ok();
    edgesvc.kill();
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    urls.iter().for_each(|url| drop(answers(&world, NODE, url)));
    is_dropped(&world, CLIENT, "http://10.50.0.81/");
    edgesvc.cli(&["delete", "service", "web"]).ok();
    for range in ["10.50.0.0/24", "fd50::/112"] {
        range_is(&world, range, false);
    }
    range_is(&world, "10.43.0.0/16", true);
}

/// Waits until nobody answers, not even to say no.
#[track_caller]
fn is_dropped(world: &World, place: &'static str, url: &str) {
    eventually(SOON, || {
        let output = world.run(place, &["curl", "--silent", "--noproxy", "*", "--max-time", "1", url]);
        if output.code == 28 { Ok(()) } else { Err(format!("{place} -> {url}: curl ended with {}", output.code)) }
    });
}

#[test]
fn a_range_laid_over_the_boxs_own_network_takes_neither_its_route_nor_its_addresses() {
    let world = World::new();
    let _server = echo_name(&world, NODE, 8080);
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&MORE.replace("10.50.0.0/24", "192.168.5.0/24").replace("fd50::/112", "fd05::/64"));
    edgesvc.wait_for_line(SOON, |line| line.contains("192.168.5.0/24") && line.contains("stays"));
    let routes = routes(&world);
    assert!(routes.contains("192.168.5.0/24 dev c0") && !routes.contains("192.168.5.0/24 dev edgesvc0"), "{routes}");
    assert!(routes.contains("fd05::/64 dev c0") && !routes.contains("fd05::/64 dev edgesvc0"), "{routes}");
    answers(&world, CLIENT, &format!("http://{NODE_ADDRESS}:8080/"));
    answers(&world, CLIENT, "http://[fd05::1]:8080/");
    edgesvc.kill();
    let home = support::Home::new();
    home.tool(&world, &["dataplane", "cleanup"]).ok();
    let routes = self::routes(&world);
    assert!(routes.contains("192.168.5.0/24 dev c0") && !routes.contains("10.43.0.0"), "{routes}");
}

#[test]
fn foreign_rules_are_left_alone_and_a_foreign_flush_stops_nothing() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    world.run(NODE, &["nft", "add", "table", "inet", "neighbour"]).ok();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    answers(&world, CLIENT, &url);
    assert!(world.run(NODE, &["nft", "list", "tables"]).ok().contains("neighbour"));
    // An owned table refuses the flush; nft may say so with an error.
    let _ = world.run(NODE, &["nft", "flush", "ruleset"]);
    answers(&world, CLIENT, &url);
}

/// Headers and body a load balancer gets, from one place and address.
fn health(world: &World, address: &str, port: &str) -> Result<String, String> {
    let url = format!("http://{address}:{port}/any/path");
    let curl = ["curl", "--silent", "--noproxy", "*", "--globoff", "--include", "--max-time", "2", &url];
    world.run(CLIENT, &curl).result()
}

#[test]
fn a_load_balancer_learns_whether_the_box_has_endpoints_as_kube_proxy_tells_it() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let local = "  type: LoadBalancer\n  externalTrafficPolicy: Local\n";
    edgesvc.apply(&stream(&[
        pod("one", "web", "10.9.0.11", 8080),
        pod("two", "web", "10.9.0.12", 8080),
        service("web", "web", 80, "8080", local),
    ]));
    let port = edgesvc.field("service", "web", &["spec", "healthCheckNodePort"]).unwrap();
    let body = |count: u32| {
        format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t}},\n\t\
             \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": true\n}}"
        )
    };
    for address in [NODE_ADDRESS, "[fd05::1]"] {
        let answer = eventually(SOON, || {
            health(&world, address, &port)
                .and_then(|answer| if answer.contains("weight: 2") { Ok(answer) } else { Err(answer) })
        });
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for header in [
            "content-type: application/json\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-load-balancing-endpoint-weight: 2\r\n",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, body(2));
    }
    edgesvc.cli(&["delete", "pod", "one", "two", "--now"]).ok();
    let gone = eventually(SOON, || {
        health(&world, NODE_ADDRESS, &port)
            .and_then(|answer| if answer.contains("weight: 0") { Ok(answer) } else { Err(answer) })
    });
    assert!(gone.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && gone.ends_with(&body(0)), "{gone}");
    edgesvc.cli(&["delete", "service", "web"]).ok();
    is_refused(&world, CLIENT, &format!("http://{NODE_ADDRESS}:{port}/"));
}

#[test]
fn a_health_check_port_keeps_to_its_addresses_and_one_that_is_taken_is_reported() {
    let world = World::new();
    let _taken = echo_name(&world, NODE, 31_999);
    let home = std::sync::Arc::new(support::Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--nodeport-addresses", "br0"]);
    let local =
        |port: u16| format!("  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: {port}\n");
    edgesvc.apply(&stream(&[
        service("free", "web", 80, "8080", &local(31_998)),
        service("taken", "web", 80, "8080", &local(31_999)),
    ]));
    eventually(SOON, || health(&world, "10.9.0.1", "31998"));
    is_refused(&world, CLIENT, &format!("http://{NODE_ADDRESS}:31998/"));
    let reason = "FailedToStartServiceHealthcheck";
    let told = wait_until(SOON, || edgesvc.cli(&["describe", "service", "taken"]).ok().contains(reason));
    assert!(told, "{}", edgesvc.cli(&["describe", "service", "taken"]).ok());
    assert!(!edgesvc.cli(&["describe", "service", "free"]).ok().contains(reason));
    // An address that comes is listened on.
    world.run(NODE, &["ip", "address", "add", "10.9.0.99/24", "dev", "br0"]).ok();
    eventually(SOON, || health(&world, "10.9.0.99", "31998"));
}

#[test]
fn an_annotation_makes_the_kernel_go_by_the_connections_that_are_open() {
    let world = World::new();
    let _servers = BACKENDS.map(|(name, ..)| support::serve_program(&world, name, HOLDING, 8080));
    let edgesvc = Edgesvc::start(&world);
    let lc = service("web", "web", 80, "web", "")
        .replace("  name: web\n", "  name: web\n  annotations: {edgesvc.io/balance: lc}\n");
    edgesvc.apply(&with_backends(&[lc]));
    let address = edgesvc.cluster_ip("web");
    let shown = || edgesvc.home.tool(&world, &["dataplane", "show"]).ok();
    let all = "10.9.0.11:8080 10.9.0.12:8080 10.9.0.13:8080 (o-";
    assert!(wait_until(SOON, || shown().contains(all)), "{}", shown());
    let held = world.run(CLIENT, &["python3", "-c", HOLDER, &address]).ok();
    let [first, second] = held.lines().collect::<Vec<_>>()[..] else { panic!("{held}") };
    assert_eq!(first, "123".repeat(10));
    assert_eq!(second, "111", "who lost three gets three");
    let differs = || edgesvc.cli(&["dataplane", "diff"]);
    assert!(wait_until(SOON, || differs().code == 0), "{}", differs().stdout);
}

/// Says its number, and holds what it accepts.
const HOLDING: &str = r#"
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", int(sys.argv[2])))
listener.listen(64)
held = []
while True:
    one, _ = listener.accept()
    one.sendall(sys.argv[1][-1].encode())
    held.append(one)
"#;

/// Opens thirty, ends three of the first and opens as many, and says who they are with.
/// An end takes a moment to be heeded: what comes too early is ended and opened again.
const HOLDER: &str = r#"
import socket, sys
def one():
    s = socket.create_connection((sys.argv[1], 80), timeout=2)
    return s.recv(1).decode(), s
held = [one() for _ in range(30)]
print("".join(name for name, _ in held))
mine = [s for name, s in held if name == "1"]
for s in mine[:3]: s.close()
for _ in range(1000):
    three = [one() for _ in range(3)]
    names = "".join(name for name, _ in three)
    if names == "111": break
    for _, s in three: s.close()
print(names)
"#;
