//! `edgesvc env --watch`: a file that follows the Services.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;

use crate::support::{Edgesvc, Home, World, eventually, stream};
use crate::{SOON, command, redis, service};

/// A running `edgesvc env --watch app.env --format docker`.
struct Watcher {
    child: Child,
    pid: String,
    home: Arc<Home>,
}

impl Watcher {
    /// Starts it and waits until the file has what `text` wants.
    fn start(world: &World, home: &Arc<Home>, words: &[&str], wanted: &str) -> Watcher {
        let folder = home.path("out");
        fs::create_dir_all(&folder).unwrap();
        let mut command = command(world, home, "env", &["--format", "docker"]);
        command.args(["--watch", &home.text_path("out/app.env")]).args(words);
        let log = fs::File::create(home.path("watcher.log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let mut watcher = Watcher { child, pid: String::new(), home: Arc::clone(home) };
        watcher.has(wanted);
        watcher.pid = eventually(SOON, || World::inner_pid(&watcher.child).ok_or_else(|| watcher.log()));
        watcher
    }

    fn file(&self) -> PathBuf {
        self.home.path("out/app.env")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path("watcher.log")).unwrap()
    }

    /// Waits until the file contains `wanted`; its text is always whole.
    #[track_caller]
    fn has(&self, wanted: &str) -> String {
        self.until(|text| text.contains(wanted))
    }

    #[track_caller]
    fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        eventually(SOON, || {
            let text = fs::read_to_string(self.file()).map_err(|error| format!("{error}: {}", self.log()))?;
            assert!(text.ends_with('\n'), "half a file: {text}");
            if wanted(&text) { Ok(text) } else { Err(format!("{text}\n{}", self.log())) }
        })
    }

    #[track_caller]
    fn says(&self, wanted: &str) {
        eventually(SOON, || if self.log().contains(wanted) { Ok(()) } else { Err(self.log()) });
    }

    /// SIGTERM; gives the exit code. Nothing but the file stays.
    #[track_caller]
    fn stop(mut self) -> Option<i32> {
        let status = std::process::Command::new("kill").args(["-TERM", &self.pid]).status().unwrap();
        assert!(status.success());
        let ended = eventually(SOON, || self.child.try_wait().unwrap().ok_or_else(|| self.log()));
        let names: Vec<_> = fs::read_dir(self.home.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["app.env"]);
        ended.code()
    }
}

/// Waits until the file of lines `name` in the home has at least `count`.
#[track_caller]
fn lines(home: &Home, name: &str, count: usize) -> Vec<String> {
    eventually(SOON, || {
        let text = fs::read_to_string(home.path(name)).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count { Ok(lines) } else { Err(format!("{lines:?}, not {count}")) }
    })
}

#[test]
fn the_file_follows_the_services_and_sigterm_ends_it() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let watcher = Watcher::start(&world, &edgesvc.home, &[], "KUBERNETES_SERVICE_HOST=");
    assert_eq!(fs::metadata(watcher.file()).unwrap().mode() & 0o7777, 0o644);
    edgesvc.apply(&redis());
    watcher.has("REDIS_MASTER_SERVICE_PORT=6379\n");
    fs::set_permissions(watcher.file(), fs::Permissions::from_mode(0o600)).unwrap();
    edgesvc.apply(&redis().replace("6379", "6380"));
    let text = watcher.has("REDIS_MASTER_SERVICE_PORT=6380\n");
    assert!(!text.contains("6379"), "{text}");
    assert_eq!(fs::metadata(watcher.file()).unwrap().mode() & 0o7777, 0o600);
    edgesvc.cli(&["delete", "service", "redis-master"]).ok();
    watcher.until(|text| !text.contains("REDIS"));
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn only_the_own_namespace_and_the_apis_service_are_followed() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n");
    let watcher = Watcher::start(&world, &edgesvc.home, &["-n", "other"], "KUBERNETES_SERVICE_PORT=443\n");
    edgesvc.apply(&redis());
    let own = "{clusterIP: 10.43.0.12, ports: [{port: 1}]}";
    edgesvc.apply(&service("own", own).replace("name: own", "name: own, namespace: other"));
    assert!(!watcher.has("OWN_SERVICE_HOST=10.43.0.12\n").contains("REDIS"));
    let patch = r#"{"spec":{"ports":[{"name":"https","port":444,"targetPort":6443}]}}"#;
    edgesvc.kubectl(&["patch", "service", "kubernetes", "--type", "merge", "-p", patch]).ok();
    watcher.has("KUBERNETES_SERVICE_PORT=444\n");
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn the_file_follows_through_the_death_of_the_daemon() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&redis());
    let watcher = Watcher::start(&world, &home, &[], "REDIS_MASTER_SERVICE_PORT=6379\n");
    let inode = fs::metadata(watcher.file()).unwrap().ino();
    edgesvc.kill();
    watcher.says("trying again");
    assert_eq!(fs::metadata(watcher.file()).unwrap().ino(), inode);
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    watcher.says("connected again");
    assert_eq!(fs::metadata(watcher.file()).unwrap().ino(), inode, "nothing changed, nothing is written");
    edgesvc.apply(&redis().replace("6379", "6380"));
    watcher.has("REDIS_MASTER_SERVICE_PORT=6380\n");
    // A second time, by the book, with a change that nobody could watch.
    assert_eq!(edgesvc.stop(), 0);
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.apply(&redis().replace("6379", "6381"));
    watcher.has("REDIS_MASTER_SERVICE_PORT=6381\n");
    let told = watcher.log().matches("trying again").count();
    assert!(told <= 2, "each loss is told once: {}", watcher.log());
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn a_command_runs_after_each_write_and_never_twice_at_once() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let home = &edgesvc.home;
    let script = format!(
        "cd {} && mkdir lock || echo overlap >>runs; wc -l <out/app.env >>runs; rmdir lock; exit 3",
        home.text_path("")
    );
    let watcher = Watcher::start(&world, home, &["--on-change", &script], "KUBERNETES_SERVICE_HOST=");
    assert_eq!(lines(home, "runs", 1), ["8"]);
    watcher.says("the --on-change command failed: exit status: 3");
    let many: Vec<String> = (0..20).map(|at| service(&format!("s{at}"), "{ports: [{port: 80}]}")).collect();
    edgesvc.apply(&stream(&many));
    watcher.until(|text| text.lines().count() == 8 + 20 * 7);
    eventually(SOON, || {
        let runs = lines(home, "runs", 2);
        if runs.last().is_some_and(|last| last == "148") { Ok(()) } else { Err(format!("{runs:?}")) }
    });
    let runs = lines(home, "runs", 2);
    assert!(runs.len() < 15 && !runs.contains(&"overlap".to_owned()), "20 changes gave {runs:?}");
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn changes_while_the_command_runs_are_written_and_run_it_once_more() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let home = &edgesvc.home;
    assert!(std::process::Command::new("mkfifo").arg(home.path("gate")).status().unwrap().success());
    // Each run waits for a line in the gate.
    let script = format!("cd {}; echo run >>runs; read -r line <gate", home.text_path(""));
    let watcher = Watcher::start(&world, home, &["--on-change", &script], "KUBERNETES_SERVICE_HOST=");
    lines(home, "runs", 1);
    for port in ["1", "2", "3"] {
        edgesvc.apply(&redis().replace("6379", port));
        watcher.has(&format!("REDIS_MASTER_SERVICE_PORT={port}\n"));
    }
    assert_eq!(lines(home, "runs", 1).len(), 1);
    fs::write(home.path("gate"), "go\n").unwrap();
    lines(home, "runs", 2);
    // The second run still waits at the gate: being told to stop ends it too.
    assert_eq!(watcher.stop(), Some(0));
    assert_eq!(lines(home, "runs", 2).len(), 2);
    assert!(!watcher_left_a_shell(&script));
}

#[test]
fn a_command_that_will_not_end_is_killed() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let home = &edgesvc.home;
    assert!(std::process::Command::new("mkfifo").arg(home.path("gate")).status().unwrap().success());
    let script = format!("trap '' TERM; cd {}; echo run >>runs; read -r line <gate", home.text_path(""));
    let watcher = Watcher::start(&world, home, &["--on-change", &script], "KUBERNETES_SERVICE_HOST=");
    lines(home, "runs", 1);
    assert_eq!(watcher.stop(), Some(0));
    assert!(fs::read_to_string(home.path("watcher.log")).unwrap().contains("did not end in time and was killed"));
    eventually(SOON, || if watcher_left_a_shell(&script) { Err("it runs".to_owned()) } else { Ok(()) });
}

/// Whether a process with this script on its command line is there.
fn watcher_left_a_shell(script: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let of = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
    processes.map(of).any(|line| line.contains(script))
}

#[test]
fn a_file_that_is_right_already_is_not_written() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let home = &edgesvc.home;
    edgesvc.apply(&redis());
    fs::create_dir(home.path("out")).unwrap();
    let text = edgesvc.cli(&["env", "--format", "docker"]).ok();
    let path = home.file("out/app.env", &text);
    let inode = fs::metadata(&path).unwrap().ino();
    let script = format!("echo run >>{}", home.text_path("runs"));
    let watcher = Watcher::start(&world, home, &["--on-change", &script], "REDIS");
    edgesvc.apply(&redis().replace("6379", "6380"));
    watcher.has("REDIS_MASTER_SERVICE_PORT=6380\n");
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(lines(home, "runs", 1), ["run"], "not for the text that was there");
    // A label changes no variable.
    edgesvc.kubectl(&["label", "service", "redis-master", "a=b"]).ok();
    edgesvc.apply(&redis().replace("6379", "6381"));
    watcher.has("REDIS_MASTER_SERVICE_PORT=6381\n");
    assert_eq!(lines(home, "runs", 2), ["run", "run"]);
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn what_cannot_be_written_later_is_told_and_does_not_end_the_watch() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let words = ["--format", "sh", "redis-master", "1abc"];
    let mut command = command(&world, &edgesvc.home, "env", &words);
    fs::create_dir(edgesvc.home.path("out")).unwrap();
    edgesvc.apply(&redis());
    let log = fs::File::create(edgesvc.home.path("watcher.log")).unwrap();
    command.args(["--watch", &edgesvc.home.text_path("out/app.env")]);
    let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
    let mut watcher = Watcher { child, pid: String::new(), home: Arc::clone(&edgesvc.home) };
    watcher.has("export REDIS_MASTER_SERVICE_PORT='6379'\n");
    watcher.pid = eventually(SOON, || World::inner_pid(&watcher.child).ok_or_else(|| watcher.log()));
    watcher.says("services \"1abc\" not found");
    edgesvc.apply(&service("1abc", "{ports: [{port: 80}]}"));
    watcher.says("1ABC_SERVICE_HOST");
    edgesvc.apply(&redis().replace("6379", "6380"));
    edgesvc.cli(&["delete", "service", "1abc"]).ok();
    watcher.has("export REDIS_MASTER_SERVICE_PORT='6380'\n");
    assert_eq!(watcher.stop(), Some(0));
}
