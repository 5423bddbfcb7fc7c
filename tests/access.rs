//! Who may do what, from outside: kubeconfigs that edgesvc prints, in the hands of
//! the real kubectl, and what the log says of those who were refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{CLIENT, Edgesvc, Home, NODE_ADDRESS, Output, Place, World, eventually, service};

const SOON: Duration = Duration::from_secs(20);

/// Makes a kubeconfig and gives its path.
fn kubeconfig(edgesvc: &Edgesvc<'_>, name: &str, more: &[&str]) -> String {
    let text = edgesvc.cli(&[&["kubeconfig", "create", name], more].concat()).ok();
    edgesvc.home.file(&format!("{name}.kubeconfig"), &text)
}

/// kubectl with a kubeconfig, at `place`.
fn kubectl(edgesvc: &Edgesvc<'_>, place: Place, file: &str, words: &[&str], input: &str) -> Output {
    let mut command = edgesvc.world.command(place, "kubectl");
    command.args(["--kubeconfig", file, "--cache-dir", &format!("{file}.cache")]);
    command.args(words).env("HOME", edgesvc.home.text_path("")).env_remove("KUBECONFIG");
    Output::of(command, input)
}

#[test]
fn rolebindings_say_what_a_role_in_a_namespace_means() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.kubectl(&["create", "namespace", "shop"]).ok();
    eventually(SOON, || {
        let shown = edgesvc.kubectl(&["get", "rolebindings", "-A", "-o", "wide"]).result()?;
        let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let said = |role: &str, class: &str, group: &str| {
            words.iter().any(|row| row.starts_with(&["shop", role, class]) && row.last() == Some(&group))
        };
        let whole = said("edit", "ClusterRole/edit", "edgesvc:edit:shop")
            && said("view", "ClusterRole/view", "edgesvc:view:shop");
        if whole { Ok(()) } else { Err(shown) }
    });
    edgesvc.kubectl(&["-n", "shop", "delete", "rolebinding", "edit"]).fails(1);
    edgesvc.kubectl(&["delete", "namespace", "shop"]).ok();
    let left = edgesvc.kubectl(&["get", "rolebindings", "-A"]).ok();
    assert!(!left.contains("shop"), "{left}");
}

#[test]
fn an_editor_edits_his_namespace_and_nothing_else() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.kubectl(&["create", "namespace", "shop"]).ok();
    let file = kubeconfig(&edgesvc, "bob", &["--role", "edit", "-n", "shop", "--expires", "30d"]);
    let bob = |words: &[&str], input: &str| kubectl(&edgesvc, support::NODE, &file, words, input);
    let web = service("web", "web", 80, "8080", "");
    assert_eq!(bob(&["apply", "-f", "-"], &web).ok().trim(), "service/web created");
    assert_eq!(bob(&["get", "services", "-o", "name"], "").ok().trim(), "service/web");
    bob(&["create", "secret", "generic", "s", "--from-literal=a=b"], "").ok();
    let refused = bob(&["-n", "default", "get", "service", "web"], "").fails(1);
    assert_eq!(
        refused.trim(),
        "Error from server (Forbidden): services \"web\" is forbidden: User \"bob\" cannot get resource \"services\" \
         in API group \"\" in the namespace \"default\""
    );
    for words in [&["get", "nodes"][..], &["get", "services", "-A"], &["create", "namespace", "x"]] {
        let refused = bob(words, "").fails(1);
        assert!(refused.contains("(Forbidden)") && refused.contains("at the cluster scope"), "{refused}");
    }
    for (words, expected) in [
        (&["create", "services"][..], "yes"),
        (&["update", "pods/status"], "yes"),
        (&["create", "services", "-n", "default"], "no"),
        (&["list", "nodes"], "no"),
        (&["get", "/metrics"], "no"),
    ] {
        let answer = bob(&[&["auth", "can-i"], words].concat(), "");
        assert_eq!(answer.stdout.trim(), expected, "{words:?}: {answer:?}");
    }
    let whoami = bob(&["auth", "whoami"], "").ok();
    assert!(whoami.contains("bob") && whoami.contains("edgesvc:edit:shop"), "{whoami}");
    let with_file = edgesvc.home.tool(&world, &["--help"]);
    assert!(with_file.ok().contains("kubeconfig"));
    edgesvc.home.tool(&world, &["get", "services", "-n", "shop", "--kubeconfig", &file]).ok();
    let refused = edgesvc.home.tool(&world, &["kubeconfig", "list", "--kubeconfig", &file]).fails(1);
    assert!(refused.contains("cannot get path \"/edgesvc/v1/tokens\""), "{refused}");
}

#[test]
fn a_viewer_reads_all_but_secrets_and_an_admin_does_everything() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let view = kubeconfig(&edgesvc, "eve", &["--role", "view"]);
    let eve = |words: &[&str]| kubectl(&edgesvc, support::NODE, &view, words, "");
    eve(&["get", "services,nodes,namespaces,endpointslices,pods", "-A"]).ok();
    eve(&["describe", "service", "kubernetes"]).ok();
    eve(&["get", "--raw", "/metrics"]).ok();
    assert!(eve(&["get", "secrets", "-A"]).fails(1).contains("cannot list resource \"secrets\""));
    assert!(eve(&["delete", "service", "kubernetes"]).fails(1).contains("cannot delete resource \"services\""));
    let admin = kubeconfig(&edgesvc, "ops", &["--role", "admin"]);
    let ops = |words: &[&str]| kubectl(&edgesvc, support::NODE, &admin, words, "");
    ops(&["create", "namespace", "x"]).ok();
    ops(&["get", "secrets", "-A"]).ok();
    let acting = ["get", "services", "--as=eve", "--as-group=edgesvc:view"];
    ops(&acting).ok();
    assert!(eve(&acting).fails(1).contains("cannot impersonate"));
}

#[test]
fn a_deleted_kubeconfig_is_worth_nothing_at_once_and_the_others_outlive_a_restart() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    let (bob, eve) = (
        kubeconfig(&edgesvc, "bob", &["--role", "view", "--expires", "12h"]),
        kubeconfig(&edgesvc, "eve", &["--role", "view"]),
    );
    let again = edgesvc.cli(&["kubeconfig", "create", "bob", "--role", "admin"]).fails(1);
    assert!(again.contains("tokens \"bob\" already exists"), "{again}");
    let wrong = edgesvc.cli(&["kubeconfig", "create", "Bob:1", "--role", "admin", "-n", "x"]).fails(1);
    assert!(wrong.contains("name:") && wrong.contains("namespace:"), "{wrong}");
    let list = edgesvc.cli(&["kubeconfig", "list"]).ok();
    assert_eq!(list.lines().count(), 3, "{list}");
    edgesvc.kill();
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    let get = |file: &str| kubectl(&edgesvc, support::NODE, file, &["get", "services"], "");
    get(&bob).ok();
    get(&eve).ok();
    assert_eq!(edgesvc.cli(&["kubeconfig", "delete", "bob"]).ok(), "kubeconfig \"bob\" deleted\n");
    let refused = get(&bob).fails(1);
    assert!(refused.contains("Unauthorized") || refused.contains("must be logged in"), "{refused}");
    get(&eve).ok();
    edgesvc.cli(&["kubeconfig", "delete", "bob"]).fails(1);
}

#[test]
fn from_another_machine_by_an_address_no_certificate_names() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--listen", "0.0.0.0:6443"]);
    let url = format!("https://{NODE_ADDRESS}:6443");
    let file = kubeconfig(&edgesvc, "far", &["--role", "view", "--server", &url]);
    kubectl(&edgesvc, CLIENT, &file, &["get", "services"], "").ok();
    edgesvc.cli(&["kubeconfig", "create", "x", "--role", "view", "--server", "http://x"]).fails(64);
    assert_eq!(edgesvc.cli(&["kubeconfig", "list"]).ok().lines().count(), 2, "nothing was made for the wrong URL");
}

#[test]
fn refusals_are_told_in_the_log_and_a_flood_of_them_is_not() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let ask = |header: &str, path: &str| {
        let url = format!("https://127.0.0.1:6443{path}");
        world.run(support::NODE, &["curl", "--silent", "--insecure", "--header", header, &url]).ok()
    };
    assert!(ask("Authorization: Bearer secret-word", "/version").contains("\"code\": 401"));
    let told =
        |line: &str, words: &[&str]| line.contains("request refused") && words.iter().all(|word| line.contains(word));
    edgesvc.wait_for_line(SOON, |line| told(line, &["WARN", "code=401", "source=\"127.0.0.1\"", "path=\"/version\""]));
    ask("x: y", "/api/v1/namespaces/default/secrets");
    let words = ["code=403", "user=\"system:anonymous\"", "verb=\"list\"", "/api/v1/namespaces/default/secrets"];
    edgesvc.wait_for_line(SOON, |line| told(line, &words));
    let many: String = (0..200).map(|number| format!("url=https://127.0.0.1:6443/api/x{number}\n")).collect();
    let config = edgesvc.home.file("urls", &many);
    world.run(support::NODE, &["curl", "--silent", "--insecure", "--output", "/dev/null", "--config", &config]);
    let lines = |log: &str| log.lines().filter(|line| line.contains("request refused")).count();
    let log = eventually(SOON, || match edgesvc.log() {
        log if lines(&log) >= 5 => Ok(log),
        log => Err(log),
    });
    assert_eq!(lines(&log), 5, "202 refusals of one address make a burst of lines:\n{log}");
    assert!(!log.contains("secret-word"), "{log}");
}
