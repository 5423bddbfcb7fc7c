//! The life of the daemon: start, readiness, refusals, stop and restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use support::{BACKENDS, CLIENT, Edgesvc, Home, NODE, World, echo_name, eventually, pod, service, stream, wait_until};

const SOON: Duration = Duration::from_secs(10);

fn web() -> String {
    stream(&[pod("one", "web", BACKENDS[0].1, 8080), service("web", "web", 80, "8080", "")])
}

#[test]
fn every_mistake_of_the_configuration_is_reported_at_once() {
    let world = World::new();
    let home = Home::new();
    let file = home.file("config.yaml", "no-such-key: 1\nservice-node-port-range: 5-1\n");
    let said = home.run_to_end(&world, &["--config", &file, "--listen", "nowhere", "--log-level", "loud"]).fails(78);
    for word in ["no-such-key", "service-node-port-range", "listen", "log-level"] {
        assert!(said.contains(word), "nothing about {word} in\n{said}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let world = World::new();
    let _server = echo_name(&world, NODE, 6443);
    let output = Home::new().run_to_end(&world, &[]);
    assert!(output.code != 0 && output.stderr.contains("127.0.0.1:6443"), "{output:?}");
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let output = edgesvc.home.run_to_end(&world, &["--listen", "none"]);
    assert!(matches!(output.code, 73 | 74), "{output:?}");
    edgesvc.cli(&["get", "services"]).ok();
}

#[test]
fn an_unreadable_store_is_named_and_left_as_it_is() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    assert_eq!(edgesvc.stop(), 0);
    let file = std::fs::read_dir(home.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"redb")))
        .expect("the store is one redb file");
    let garbage = vec![0x5a_u8; 65_536];
    std::fs::write(&file, &garbage).unwrap();
    let output = home.run_to_end(&world, &[]);
    assert!(matches!(output.code, 73 | 74), "{output:?}");
    assert!(output.stderr.contains(file.file_name().unwrap().to_str().unwrap()), "{}", output.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), garbage);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_73() {
    let world = World::new();
    let home = Home::new();
    home.file("data", "a file where the directory should be");
    let said = home.run_to_end(&world, &[]).fails(73);
    assert!(said.contains("/data"), "{said}");
}

#[test]
fn without_privilege_it_is_77_and_without_dataplane_none_is_needed() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let bare = |flags: &[&str]| home.run_under(&world, &["setpriv", "--inh-caps=-all", "--bounding-set=-all"], flags);
    let said = support::Output::of(bare(&[]), "").fails(77);
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    let edgesvc = Edgesvc::start_command(&world, &home, bare(&["--proxy-mode", "none", "--cluster-dns", "none"]));
    edgesvc.cli(&["get", "services"]).ok();
    assert_eq!(edgesvc.stop(), 0);
}

#[test]
fn ready_is_said_to_systemd_to_people_and_over_http() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let notify = UnixDatagram::bind(home.path("notify")).unwrap();
    notify.set_read_timeout(Some(SOON)).unwrap();
    let mut command = home.run_command(&world, &[]);
    command.env("NOTIFY_SOCKET", home.path("notify")).env("WATCHDOG_USEC", "1000000");
    let edgesvc = Edgesvc::start_command(&world, &home, command);
    let mut told = String::new();
    let mut buffer = [0_u8; 4096];
    while !(told.contains("READY=1") && told.contains("WATCHDOG=1")) {
        let length = notify.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}; told so far: {told}"));
        told.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        told.push('\n');
    }
    assert_eq!(edgesvc.http("/readyz").ok(), "ok");
    assert_eq!(edgesvc.kubectl(&["get", "--raw", "/readyz"]).ok(), "ok");
}

#[test]
fn metrics_are_served_where_asked_and_nothing_else_is() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--metrics-listen", "127.0.0.1:9100"]);
    let metrics = world.get(NODE, "http://127.0.0.1:9100/metrics").unwrap();
    assert!(metrics.contains("edgesvc_store_revision "), "{metrics}");
    assert!(edgesvc.http("/metrics").ok().contains("edgesvc_store_revision "));
    let other = world.get(NODE, "http://127.0.0.1:9100/api/v1/services").unwrap();
    assert!(other.starts_with("404"), "{other}");
    // Clients that stall there take nothing from the API.
    let stall = || world.command(NODE, "socat").args(["-u", "EXEC:sleep 60", "TCP4:127.0.0.1:9100"]).spawn().unwrap();
    let stalled: Vec<_> = (0..20).map(|_| stall()).collect();
    edgesvc.cli(&["get", "services"]).ok();
    for mut client in stalled {
        drop(client.kill());
        drop(client.wait());
    }
}

#[test]
fn what_every_cluster_has_is_there() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    assert_eq!(edgesvc.cluster_ip("kubernetes"), "10.43.0.1");
    for name in ["default", "kube-system"] {
        edgesvc.cli(&["get", "namespace", name]).ok();
    }
    let nodes = edgesvc.cli(&["get", "nodes", "-o", "name"]).ok();
    assert_eq!(nodes.lines().count(), 1, "{nodes}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(edgesvc.home.path("data/admin.kubeconfig")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "admin.kubeconfig is a secret: {mode:o}");
}

#[test]
fn what_is_always_there_comes_back_when_it_is_deleted() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let uid = |kind: &str, name: &str| edgesvc.field(kind, name, &["metadata", "uid"]);
    let node = edgesvc.cli(&["get", "nodes", "-o", "name"]).ok().trim().replace("node/", "");
    let before = [uid("service", "kubernetes").unwrap(), uid("node", &node).unwrap()];
    edgesvc.cli(&["delete", "service", "kubernetes"]).ok();
    edgesvc.cli(&["delete", "node", &node]).ok();
    let back = |kind: &str, name: &str, old: &String| uid(kind, name).is_ok_and(|uid| uid != *old);
    assert!(wait_until(SOON, || back("service", "kubernetes", &before[0]) && back("node", &node, &before[1])));
    assert_eq!(edgesvc.cluster_ip("kubernetes"), "10.43.0.1");
}

#[test]
fn a_graceful_stop_leaves_the_rules_and_a_restart_adopts_them() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&web());
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    eventually(SOON, || world.get(CLIENT, &url));
    let rules = |world: &World| world.run(NODE, &["nft", "-a", "list", "table", "ip", "edgesvc"]).ok();
    let before = rules(&world);
    assert_eq!(edgesvc.stop(), 0);
    for _ in 0..20 {
        world.get(CLIENT, &url).expect("traffic goes on without the daemon");
    }
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    for _ in 0..20 {
        world.get(CLIENT, &url).expect("traffic goes on after the restart");
    }
    // Handles name rules; rebuilt rules would have new ones.
    assert_eq!(handles(&rules(&world)), handles(&before));
    assert_eq!(format!("http://{}/", edgesvc.cluster_ip("web")), url);
}

fn handles(rules: &str) -> Vec<&str> {
    let mut found: Vec<_> = rules.lines().filter_map(|line| line.rsplit_once("# handle ")).map(|(_, h)| h).collect();
    found.sort_unstable();
    found
}

#[test]
fn killed_hard_it_serves_the_same_after_the_restart_and_traffic_never_stops() {
    let world = World::new();
    let _server = echo_name(&world, "backend1", 8080);
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&web());
    let url = format!("http://{}/", edgesvc.cluster_ip("web"));
    eventually(SOON, || world.get(CLIENT, &url));
    let uid = edgesvc.field("service", "web", &["metadata", "uid"]).unwrap();
    edgesvc.kill();
    for _ in 0..20 {
        world.get(CLIENT, &url).expect("traffic goes on without the daemon");
    }
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    world.get(CLIENT, &url).expect("traffic goes on after the restart");
    assert_eq!(edgesvc.field("service", "web", &["metadata", "uid"]).unwrap(), uid);
}

#[test]
fn garbage_on_the_api_stops_nothing() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let to_socket = format!("UNIX-CONNECT:{}", edgesvc.home.socket());
    for garbage in
        ["\0\0\0\0", "GET / HTTP/9.9\r\n\r\n", "POST /api/v1/namespaces HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
    {
        for target in [to_socket.as_str(), "TCP4:127.0.0.1:6443"] {
            drop(world.run_with(NODE, &["socat", "-t", "0.1", "-", target], garbage));
        }
    }
    // A client that stalls holds only its own connection.
    let mut stalled = world.command(NODE, "socat");
    let mut stalled = stalled.args(["-u", "EXEC:sleep 60", &to_socket]).spawn().unwrap();
    assert!(wait_until(SOON, || edgesvc.http("/readyz").stdout == "ok"));
    drop(stalled.kill());
    drop(stalled.wait());
}

#[test]
fn a_service_outside_a_new_range_is_kept_and_reported() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let address = edgesvc.cluster_ip("web");
    assert_eq!(edgesvc.stop(), 0);
    let edgesvc = Edgesvc::start_in(&world, &home, &["--service-cluster-ip-range", "10.88.0.0/16"]);
    assert_eq!(edgesvc.cluster_ip("web"), address);
    eventually(SOON, || {
        let events = edgesvc.kubectl(&["get", "events"]).ok();
        let told = events.lines().any(|line| line.contains("ClusterIPOutOfRange") && line.contains("service/web"));
        if told { Ok(()) } else { Err(events) }
    });
}

#[test]
fn the_nodes_addresses_follow_the_box_without_a_restart() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&pod("one", "web", "10.9.0.11", 8080));
    let node = || {
        let list = edgesvc.cli(&["get", "nodes", "-o", "json"]).ok();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["items"][0]["status"]["addresses"].to_string()
    };
    let host_ip = || edgesvc.field("pod", "one", &["status", "hostIP"]).unwrap_or_default();
    assert!(node().contains("192.168.5.1"), "{}", node());
    let before = host_ip();
    world.run(NODE, &["ip", "address", "add", "192.168.77.7/24", "dev", "c0"]).ok();
    assert!(wait_until(SOON, || node().contains("192.168.77.7")), "{}", node());
    for address in ["192.168.5.1/24", "10.9.0.1/24"] {
        let link = if address.starts_with("10.") { "br0" } else { "c0" };
        world.run(NODE, &["ip", "address", "delete", address, "dev", link]).ok();
    }
    assert!(wait_until(SOON, || !node().contains("192.168.5.1\"")), "{}", node());
    assert!(wait_until(SOON, || host_ip() == "192.168.77.7"), "{before} is now {}", host_ip());
}
