//! Services as environment variables: what a shell, systemd, docker and commands
//! see, and the file that follows the Services.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

#[path = "env/readers.rs"]
mod readers;
mod support;
#[path = "env/watch.rs"]
mod watch;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Edgesvc, Home, NODE, Output, World, stream};

const BINARY: &str = env!("CARGO_BIN_EXE_edgesvc");
/// Longer than anything here takes on a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// A Service with further lines of its spec; addresses of 10.43.0.0/16 as `clusterIP`.
fn service(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn redis() -> String {
    service("redis-master", "{clusterIP: 10.43.0.11, ports: [{port: 6379}]}")
}

/// The command of a verb over the home's socket; what is behind `--` stays last.
fn command(world: &World, home: &Home, verb: &str, words: &[&str]) -> Command {
    let mut command = world.command(NODE, BINARY);
    command.args([verb, "--socket", &home.socket()]).args(words);
    command
}

fn exec(edgesvc: &Edgesvc<'_>, words: &[&str]) -> Output {
    Output::of(command(edgesvc.world, &edgesvc.home, "exec", words), "")
}

/// What `edgesvc env --format json` says.
fn variables(edgesvc: &Edgesvc<'_>, words: &[&str]) -> BTreeMap<String, String> {
    let words = [&["env", "--format", "json"], words].concat();
    serde_json::from_str(&edgesvc.cli(&words).ok()).unwrap()
}

#[test]
fn every_line_of_the_worked_example() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&redis());
    let api = edgesvc.cluster_ip("kubernetes");
    let wanted = format!(
        "KUBERNETES_SERVICE_HOST={api}\nKUBERNETES_SERVICE_PORT=443\nKUBERNETES_SERVICE_PORT_HTTPS=443\n\
         KUBERNETES_PORT=tcp://{api}:443\nKUBERNETES_PORT_443_TCP=tcp://{api}:443\n\
         KUBERNETES_PORT_443_TCP_PROTO=tcp\nKUBERNETES_PORT_443_TCP_PORT=443\nKUBERNETES_PORT_443_TCP_ADDR={api}\n\
         REDIS_MASTER_SERVICE_HOST=10.43.0.11\nREDIS_MASTER_SERVICE_PORT=6379\n\
         REDIS_MASTER_PORT=tcp://10.43.0.11:6379\nREDIS_MASTER_PORT_6379_TCP=tcp://10.43.0.11:6379\n\
         REDIS_MASTER_PORT_6379_TCP_PROTO=tcp\nREDIS_MASTER_PORT_6379_TCP_PORT=6379\n\
         REDIS_MASTER_PORT_6379_TCP_ADDR=10.43.0.11\n"
    );
    assert_eq!(edgesvc.cli(&["env", "--format", "docker"]).ok(), wanted);
    let (api_lines, own) = wanted.split_at(wanted.find("REDIS").unwrap());
    assert_eq!(edgesvc.cli(&["env", "redis-master", "--format", "docker"]).ok(), own);
    for words in [&["-n", "other"][..], &["--enable-service-links=false"]] {
        assert_eq!(edgesvc.cli(&[&["env", "--format", "docker"], words].concat()).ok(), api_lines, "{words:?}");
    }
    assert_eq!(edgesvc.cli(&["env", "-n", "", "--format", "docker"]).ok(), wanted);
    edgesvc.cli(&["delete", "service", "redis-master"]).ok();
    assert_eq!(edgesvc.cli(&["env", "--format", "docker"]).ok(), api_lines);
}

#[test]
fn all_forms_say_the_same_to_their_readers() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let ports = "[{name: http, port: 80, targetPort: 8080}, {name: dns-udp, port: 53, protocol: UDP}]";
    edgesvc.apply(&stream(&[redis(), service("my-web", &format!("{{ports: {ports}}}"))]));
    let wanted = variables(&edgesvc, &[]);
    assert_eq!(wanted.len(), 8 + 7 + 13);
    assert_eq!(wanted["MY_WEB_PORT_53_UDP_PROTO"], "udp");
    let text = |format: &str| edgesvc.cli(&["env", "--format", format]).ok();
    assert_eq!(readers::sh(&world, &text("sh")), wanted);
    assert_eq!(edgesvc.cli(&["env"]).ok(), text("sh"));
    assert_eq!(readers::systemd(&text("systemd")), wanted);
    assert_eq!(readers::docker(&text("docker")), wanted);
}

#[test]
fn a_name_no_shell_can_set_is_refused_with_its_service() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[redis(), service("1abc", "{ports: [{port: 80}]}")]));
    for format in ["sh", "systemd"] {
        let said = edgesvc.cli(&["env", "--format", format]).fails(1);
        assert!(said.contains("\"1abc\"") && said.contains("1ABC_SERVICE_HOST"), "{said}");
        edgesvc.cli(&["env", "--format", format, "redis-master"]).ok();
    }
    assert!(variables(&edgesvc, &[]).contains_key("1ABC_SERVICE_HOST"));
    assert!(edgesvc.cli(&["env", "--format", "docker"]).ok().contains("\n1ABC_SERVICE_PORT=80\n"));
    assert!(exec(&edgesvc, &["--", "env"]).ok().contains("1ABC_SERVICE_PORT=80\n"));
}

#[test]
fn wrong_words_and_names_end_with_the_codes_of_the_contract() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("quiet", "{clusterIP: None, ports: [{port: 80}]}"));
    let said = edgesvc.cli(&["env", "gone", "quiet"]).fails(1);
    assert!(said.contains("services \"gone\" not found") && said.contains("\"quiet\" has no cluster IP"), "{said}");
    edgesvc.cli(&["env", "--format", "toml"]).fails(64);
    edgesvc.cli(&["env", "--on-change", "true"]).fails(64);
    edgesvc.cli(&["env", "quiet", "--enable-service-links=false"]).fails(64);
    let folder = edgesvc.home.text_path("");
    let said = edgesvc.cli(&["env", "--watch", &folder]).fails(74);
    assert!(said.contains(&folder) && said.contains("no regular file"), "{said}");
    let said = edgesvc.cli(&["env", "--watch", "/none/app.env"]).fails(74);
    assert!(said.contains("/none/app.env"), "{said}");
    exec(&edgesvc, &[]).fails(64);
    exec(&edgesvc, &["--"]).fails(64);
    exec(&edgesvc, &["-e", "NAME", "--", "true"]).fails(64);
    exec(&edgesvc, &["-e", "=x", "--", "true"]).fails(64);
    let home = Home::new();
    for (verb, words) in [("env", &[][..]), ("env", &["--watch", "/tmp/x"]), ("exec", &["--", "true"])] {
        let said = Output::of(command(&world, &home, verb, words), "").fails(69);
        assert!(said.contains("edgesvc.sock"), "{said}");
    }
}

#[test]
fn exec_ends_as_the_command_ends() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&redis());
    exec(&edgesvc, &["--", "true"]).ok();
    exec(&edgesvc, &["--", "sh", "-c", "exit 7"]).fails(7);
    let said = exec(&edgesvc, &["--", "sh", "-c", "echo $REDIS_MASTER_PORT; echo no >&2; exit 3"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("tcp://10.43.0.11:6379\n", "no\n"));
    assert_eq!(exec(&edgesvc, &["--", "printf", "%s|", "a b", "", "-n", "--"]).ok(), "a b||-n|--|");
    let said = exec(&edgesvc, &["--", "no-such-command"]).fails(127);
    assert!(said.contains("no-such-command"), "{said}");
    exec(&edgesvc, &["--", ""]).fails(127);
    let plain = edgesvc.home.file("plain", "#!/bin/sh\n");
    let said = exec(&edgesvc, &["--", &plain]).fails(126);
    assert!(said.contains(&plain), "{said}");
    exec(&edgesvc, &["--", "/tmp"]).fails(126);
}

#[test]
fn exec_becomes_the_command_so_that_signals_reach_it() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let mut command = command(&world, &edgesvc.home, "exec", &["--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    let pid = World::inner_pid(&child).unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "cat\n");
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // nsenter, which stands between, ends by the signal that ended its child.
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn what_is_set_already_wins_and_declared_variables_may_refer() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&redis());
    let mut inherited = command(&world, &edgesvc.home, "exec", &["--", "env"]);
    inherited.env("REDIS_MASTER_SERVICE_HOST", "mine").env("REDIS_MASTER_SERVICE_PORT", "");
    let said = Output::of(inherited, "").ok();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("REDIS_MASTER_SERVICE")).collect();
    assert!(lines.contains(&"REDIS_MASTER_SERVICE_HOST=mine") && lines.contains(&"REDIS_MASTER_SERVICE_PORT="));
    assert_eq!(lines.len(), 2, "{said}");
    let words = ["-e", "FOO=$(REDIS_MASTER_SERVICE_HOST)", "-e", "BAR=$(FOO) $(NOPE) $$(FOO)", "--", "env"];
    let said = exec(&edgesvc, &words).ok();
    assert!(said.lines().any(|line| line == "FOO=10.43.0.11"), "{said}");
    assert!(said.lines().any(|line| line == "BAR=10.43.0.11 $(NOPE) $(FOO)"), "{said}");
    let said = exec(&edgesvc, &["-e", "REDIS_MASTER_SERVICE_HOST=x", "--", "env"]).ok();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("REDIS_MASTER_SERVICE_HOST=")).collect();
    assert_eq!(lines, ["REDIS_MASTER_SERVICE_HOST=x"]);
    let said = exec(&edgesvc, &["--enable-service-links=false", "--", "env"]).ok();
    assert!(!said.contains("REDIS") && said.contains("KUBERNETES_SERVICE_HOST="), "{said}");
}
