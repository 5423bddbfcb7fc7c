//! The command line: what it prints, where it says a manifest is wrong, and
//! the exit codes scripts rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::sync::Arc;

use support::{Edgesvc, Home, World, pod, service, stream};

#[test]
fn apply_get_describe_delete() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let web = service("web", "web", 80, "8080", "");
    assert_eq!(edgesvc.apply(&web).trim(), "service/web created");
    assert_eq!(edgesvc.apply(&web).trim(), "service/web unchanged");
    assert_eq!(edgesvc.apply(&web.replace("port: 80,", "port: 81,")).trim(), "service/web configured");
    let table = edgesvc.cli(&["get", "svc"]).ok();
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    assert!(edgesvc.cli(&["get", "svc", "web", "-o", "wide"]).ok().contains("app=web"));
    assert_eq!(edgesvc.cli(&["get", "svc", "web", "-o", "name"]).ok().trim(), "service/web");
    assert!(edgesvc.cli(&["get", "svc", "web", "-o", "yaml"]).ok().contains("kind: Service"));
    assert!(edgesvc.cli(&["get", "svc", "-A"]).ok().starts_with("NAMESPACE"));
    let text = edgesvc.cli(&["describe", "service", "web"]).ok();
    assert!(text.contains("Name:") && text.contains("web"), "{text}");
    assert!(edgesvc.cli(&["delete", "service", "web"]).ok().contains("service \"web\" deleted"));
    let gone = edgesvc.cli(&["get", "service", "web"]).fails(1);
    assert!(gone.contains("services \"web\" not found"), "{gone}");
}

#[test]
fn several_documents_a_directory_and_standard_input() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let folder = edgesvc.home.path("manifests");
    std::fs::create_dir(&folder).unwrap();
    let two = stream(&[pod("one", "web", "10.9.0.11", 8080), service("a", "web", 80, "8080", "")]);
    std::fs::write(folder.join("a.yaml"), two).unwrap();
    std::fs::write(folder.join("b.json"), r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#).unwrap();
    std::fs::write(folder.join("notes.txt"), "not a manifest").unwrap();
    let said = edgesvc.cli(&["apply", "-f", folder.to_str().unwrap()]).ok();
    assert_eq!(said, "pod/one created\nservice/a created\nconfigmap/c created\n");
}

#[test]
fn the_examples_apply() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let ranges = "10.43.0.0/16,fd43::/112";
    let edgesvc = Edgesvc::start_in(&world, &home, &["--service-cluster-ip-range", ranges]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
    let said = edgesvc.cli(&["apply", "-f", folder]).ok();
    assert!(said.lines().count() >= 10 && said.lines().all(|line| line.ends_with(" created")), "{said}");
    assert!(edgesvc.cli(&["apply", "-f", folder]).ok().lines().all(|line| line.ends_with(" unchanged")));
}

#[test]
fn a_bad_manifest_is_65_with_file_and_line() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let broken = edgesvc.home.file("broken.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: [web\n");
    let said = edgesvc.cli(&["apply", "-f", &broken]).fails(65);
    assert!(said.contains("broken.yaml:"), "{said}");
    let twice = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  name: other\n";
    let twice = edgesvc.home.file("twice.yaml", twice);
    let said = edgesvc.cli(&["apply", "-f", &twice]).fails(65);
    assert!(said.contains("twice.yaml:5"), "{said}");
}

#[test]
fn a_refused_request_is_1_with_file_line_and_field() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let wrong = service("web", "web", 80, "8080", "").replace("port: 80,", "port: 70000,");
    let line = 1 + wrong.lines().position(|line| line.contains("70000")).unwrap();
    let file = edgesvc.home.file("wrong.yaml", &wrong);
    let said = edgesvc.cli(&["apply", "-f", &file]).fails(1);
    assert!(said.contains(&format!("wrong.yaml:{line}")), "{said}");
    assert!(said.contains("spec.ports[0].port"), "{said}");
}

#[test]
fn without_a_server_it_is_69_and_a_wrong_word_is_64() {
    let world = World::new();
    let home = Home::new();
    let said = home.cli(&world, &["get", "services"]).fails(69);
    assert!(said.contains("edgesvc.sock"), "{said}");
    home.tool(&world, &["frobnicate"]).fails(64);
    home.tool(&world, &["get", "services", "--no-such-flag"]).fails(64);
}

#[test]
fn what_is_not_here_is_refused_by_name() {
    let world = World::new();
    let home = Home::new();
    for (line, code, words) in [
        ("logs pod/one", 64, "no `logs` here: edgesvc serves Services for workloads that something else runs"),
        ("scale deployment/web", 64, "no `scale` here"),
        ("expose svc/web", 64, "use `kubectl expose`"),
        ("get deployments", 1, "no Deployment here: edgesvc serves Services for workloads that something else runs"),
        ("delete statefulset web", 1, "no StatefulSet here"),
        ("get ingresses.example.com", 1, "doesn't have a resource type \"ingresses.example.com\""),
        ("label svc web a=b --local", 64, "--local"),
        ("get svc --server-print=false", 64, "--server-print"),
    ] {
        let said = home.cli(&world, &line.split(' ').collect::<Vec<_>>()).fails(code);
        assert!(said.contains(words), "{line}: {said}");
    }
    let file = home.file("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n");
    let said = home.cli(&world, &["apply", "-f", &file]).fails(65);
    assert!(said.contains("deployment.yaml:2:1: no Deployment here"), "{said}");
}

#[test]
fn status_says_that_all_is_well() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    assert!(!edgesvc.cli(&["status"]).ok().is_empty());
}

#[test]
fn a_bare_namespace_applied_again_is_unchanged() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    for word in ["created", "unchanged", "unchanged"] {
        assert_eq!(edgesvc.apply(shop).trim(), format!("namespace/shop {word}"));
    }
    let labelled = shop.replace("{name: shop}", "{name: shop, labels: {a: b}}");
    for word in ["configured", "unchanged"] {
        assert_eq!(edgesvc.apply(&labelled).trim(), format!("namespace/shop {word}"));
    }
}

#[test]
fn a_sound_store_has_nothing_to_repair() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", "  type: NodePort\n"));
    assert_eq!(edgesvc.cli(&["repair", "--dry-run"]).ok(), "nothing to repair\n");
    assert_eq!(edgesvc.cli(&["repair"]).ok(), "nothing to repair\n");
}
