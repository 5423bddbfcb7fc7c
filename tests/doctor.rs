//! `edgesvc doctor` in boxes that are well and boxes that are not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{Edgesvc, Home, NODE, Output, World, pod, service, stream, wait_until};

/// `edgesvc doctor` in the node; a server to forward to keeps it apart from this machine's own resolv.conf.
fn doctor(world: &World, home: &Home, wrapper: &[&str], more: &[&str]) -> Output {
    let mut words: Vec<&str> = wrapper.to_vec();
    let (data, run) = (home.text_path("data"), home.text_path("run"));
    words.extend([env!("CARGO_BIN_EXE_edgesvc"), "doctor", "--data-dir", &data, "--run-dir", &run]);
    words.extend(["--upstream-dns", "192.0.2.1", "-o", "json"]);
    words.extend(more);
    world.run(NODE, &words)
}

/// The level and the words of one check.
fn check(output: &Output, name: &str) -> (String, String) {
    let document: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let found = document["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name}"));
    let text = |member: &str| found[member].as_str().unwrap().to_owned();
    (text("level"), format!("{} | {}", text("cause"), text("mend")))
}

#[track_caller]
fn says(output: &Output, name: &str, level: &str, words: &str) {
    let (found, text) = check(output, name);
    assert!(found == level && text.contains(words), "{name}: {found}: {text}");
}

#[test]
fn a_box_that_is_well_passes() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let home = Arc::clone(&edgesvc.home);
    // Forwarding is switched on with the first endpoint, which follows the apply.
    wait_until(Duration::from_secs(10), || doctor(&world, &home, &[], &[]).code == 0);
    let output = doctor(&world, &home, &[], &[]);
    assert_eq!(output.code, 0, "{output:?}");
    for (name, words) in
        [("daemon", "is ready"), ("kernel", "everything"), ("certificates", "server.crt"), ("versions", "0.1")]
    {
        says(&output, name, "ok", words);
    }
    let text = edgesvc.home.tool(&world, &["doctor", "--run-dir", &home.text_path("run")]).stdout;
    assert!(text.contains("ok       daemon") && text.contains("0 failed"), "{text}");
}

#[test]
fn forwarding_that_somebody_switched_off_is_a_failure() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let forwarding = || world.run(NODE, &["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout;
    assert!(wait_until(Duration::from_secs(10), || forwarding().trim() == "1"), "the daemon switches it on");
    world.run(NODE, &["sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"]).ok();
    let output = doctor(&world, &edgesvc.home, &[], &[]);
    assert_eq!(output.code, 1, "{output:?}");
    says(&output, "forwarding", "failure", "sysctl -w net.ipv4.ip_forward=1");
}

#[test]
fn firewalls_and_leftovers_of_other_proxies_are_named() {
    let world = World::new();
    let ruleset = "table ip filter {\n chain FORWARD { type filter hook forward priority 0; policy drop; }\n \
                   chain DOCKER-USER { }\n}\ntable ip nat {\n chain KUBE-SERVICES { }\n}\n";
    world.run_with(NODE, &["nft", "-f", "-"], ruleset).ok();
    let output = doctor(&world, &Home::new(), &[], &[]);
    assert_eq!(output.code, 0, "warnings are no failure: {output:?}");
    says(&output, "forward policy", "warning", "ip filter FORWARD");
    says(&output, "forward policy", "warning", "DOCKER-USER");
    says(&output, "other proxies", "warning", "KUBE-SERVICES");
    says(&output, "daemon", "warning", "systemctl start edgesvc");
    let listed = world.run(NODE, &["nft", "list", "tables"]).ok();
    assert_eq!(listed, "table ip filter\ntable ip nat\n", "the probes leave nothing");
}

#[test]
fn the_kernel_is_asked_without_privilege_in_a_namespace_of_its_own() {
    let world = World::new();
    let bare = ["setpriv", "--bounding-set=-all", "--"];
    let output = doctor(&world, &Home::new(), &bare, &[]);
    says(&output, "privileges", "warning", "CAP_NET_ADMIN");
    says(&output, "kernel", "ok", "everything");
    says(&output, "forward policy", "unknown", "could not be read");
    assert_eq!(output.code, 0, "what cannot be seen is no failure: {output:?}");
}

#[test]
fn disks_ports_and_networks_in_the_way_are_failures() {
    let world = World::new();
    world.run(NODE, &["sh", "-c", "mkdir /run/ro && mount -t tmpfs -o ro none /run/ro"]).ok();
    world.run(NODE, &["ip", "route", "add", "10.43.9.0/24", "dev", "br0"]).ok();
    let taken = "import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((\"0.0.0.0\",53))\n\
                 print(flush=True)\nsys.stdin.read()";
    let mut command = world.command(NODE, "python3");
    command.args(["-c", taken]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut first = [0];
    std::io::Read::read_exact(server.stdout.as_mut().unwrap(), &mut first).unwrap();
    let words =
        [env!("CARGO_BIN_EXE_edgesvc"), "doctor", "-o", "json", "--data-dir", "/run/ro", "--run-dir", "/run/none"];
    let output = world.run(NODE, &words);
    drop(server.stdin.take());
    server.wait().unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    says(&output, "data directory", "failure", "read-only");
    says(&output, "service ranges", "failure", "10.43.9.0/24 behind br0");
    says(&output, "DNS port", "failure", "0.0.0.0:53");
}

#[test]
fn a_wrong_configuration_is_a_finding_and_the_rest_is_looked_at() {
    let world = World::new();
    let output = world.run(NODE, &[env!("CARGO_BIN_EXE_edgesvc"), "doctor", "-o", "json", "--listen", "nonsense"]);
    assert_eq!(output.code, 1, "{output:?}");
    says(&output, "configuration", "failure", "--listen");
    says(&output, "kernel", "ok", "everything");
}
