//! `edgesvc dataplane diff` and `apply --show-dataplane`: what the kernel holds
//! and what it would hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::time::Duration;

use support::{Edgesvc, Home, NODE, World, eventually, pod, service, stream};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn the_kernel_equals_the_store_and_without_a_daemon_nobody_knows() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let pods = [pod("one", "web", "10.9.0.11", 8080), pod("two", "web", "10.9.0.12", 8080)];
    let more = "  type: NodePort\n  sessionAffinity: ClientIP\n";
    edgesvc.apply(&stream(&[pods[0].clone(), pods[1].clone(), service("web", "web", 80, "8080", more)]));
    eventually(SOON, || {
        let same = edgesvc.cli(&["dataplane", "diff"]);
        (same.code == 0 && same.stdout.is_empty()).then_some(()).ok_or_else(|| format!("{same:?}"))
    });
    let home = std::sync::Arc::clone(&edgesvc.home);
    drop(edgesvc);
    let without = home.cli(&world, &["dataplane", "diff"]);
    assert_eq!(without.code, 69, "without a daemon there is nothing to compare with: {without:?}");
}

#[test]
fn a_dry_run_shows_the_transaction_that_apply_then_makes() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), pod("two", "web", "10.9.0.12", 8080)]));
    let manifest = edgesvc.home.file("web.yaml", &service("web", "web", 80, "8080", "  clusterIP: 10.43.0.77\n"));
    let words = ["apply", "-f", &manifest, "--dry-run=server", "--show-dataplane"];
    let shown = edgesvc.cli(&words).ok();
    for line in [
        "service/web created (server dry run)",
        "add chain ip edgesvc n-2",
        "add element ip edgesvc services { 10.43.0.77 . tcp . 80 : goto n-2 }",
        "add element ip edgesvc cluster-ips { 10.43.0.77 }",
        "add element ip edgesvc endpoints { 10.43.0.77 . tcp . 80 . 0x00000001 : 10.9.0.12 . 8080 }",
    ] {
        assert!(shown.lines().any(|known| known == line), "{line:?} is not in:\n{shown}");
    }
    assert!(!world.run(NODE, &["nft", "list", "ruleset"]).ok().contains("10.43.0.77"), "nothing is changed");
    // nft itself takes the lines, for a table of the same shape that nobody owns.
    let table = "table ip edgesvc {\n set cluster-ips { type ipv4_addr; }\n set endpoint-ips { type ipv4_addr; }\n \
                 set hairpin { type ipv4_addr . ipv4_addr; }\n \
                 map services { type ipv4_addr . inet_proto . inet_service : verdict; }\n \
                 map endpoints { type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service; }\n}\n";
    let elements: String = shown
        .lines()
        .filter(|line| line.starts_with("add element") || line.starts_with("add chain"))
        .map(|line| format!("{line}\n"))
        .collect();
    let read = world.run_with("backend1", &["nft", "-c", "-f", "-"], &format!("{table}{elements}"));
    assert_eq!(read.code, 0, "{read:?}\n{elements}");
    // What was shown is what happens.
    edgesvc.cli(&["apply", "-f", &manifest]).ok();
    eventually(SOON, || {
        let now = edgesvc.home.tool(&world, &["dataplane", "show"]).ok();
        now.contains("10.43.0.77:80 -> 10.9.0.11:8080 10.9.0.12:8080").then_some(()).ok_or(now)
    });
    let again = edgesvc.cli(&words).ok();
    assert!(again.contains("# the kernel stays as it is"), "{again}");
}

#[test]
fn pods_and_services_of_one_file_are_seen_together() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let address = edgesvc.cluster_ip("web");
    let manifest = edgesvc.home.file("pod.yaml", &pod("one", "web", "10.9.0.11", 8080));
    let shown = edgesvc.cli(&["apply", "-f", &manifest, "--dry-run=server", "--show-dataplane"]).ok();
    for line in [
        format!("delete element ip edgesvc services {{ {address} . tcp . 80 }}"),
        format!("add element ip edgesvc services {{ {address} . tcp . 80 : goto n-1 }}"),
        "add element ip edgesvc hairpin { 10.9.0.11 . 10.9.0.11 }".to_owned(),
    ] {
        assert!(shown.lines().any(|known| known == line), "{line:?} is not in:\n{shown}");
    }
    let wrong = edgesvc.cli(&["apply", "-f", &manifest, "--show-dataplane"]).fails(64);
    assert!(wrong.contains("--dry-run=server"), "{wrong}");
}

#[test]
fn only_administrators_look_at_the_kernel() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let file = Home::new();
    let reader = file.text_path("view.kubeconfig");
    let text = edgesvc.cli(&["kubeconfig", "create", "reader", "--role", "view"]).ok();
    std::fs::write(&reader, text).unwrap();
    let output = edgesvc.home.tool(&world, &["dataplane", "diff", "--kubeconfig", &reader]);
    assert!(output.code == 2 && output.stderr.contains("forbidden"), "{output:?}");
}
