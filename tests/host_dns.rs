//! Programs of the box find Services by name (`edgesvc dns`), in worlds whose
//! /etc is their own: through the C library, the real systemd-resolved, openresolv
//! and resolvconf. NetworkManager is a program that notes how it is called.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use support::{Edgesvc, Home, NODE, Output, Server, World, echo_name, eventually, pod, service, stream, system_bus};

const SOON: Duration = Duration::from_secs(20);
const CONF: &str = "/etc/resolv.conf";
/// Not the last line of a file, as some programs write it.
const FORMER: &str = "# by hand\nsearch lan\nnameserver 10.9.0.13\noptions timeout:2";

/// An /etc of the world's own: whatever is done there, the machine's stays.
const ETC: &str = "mkdir /run/etc /run/tools && mount -t tmpfs etc /run/etc
cp -rP /etc/. /run/etc/ 2>/dev/null; rm -rf /run/etc/resolv.conf /run/etc/resolvconf* /run/etc/NetworkManager
printf 'hosts: files dns\\n' >/run/etc/nsswitch.conf
mount --bind /run/etc /etc";

/// A resolver that knows www.example.com and notes what it is asked.
const UPSTREAM: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.9.0.13", 53))
log = open(sys.argv[1], "a", buffering=1)
while True:
    q, peer = s.recvfrom(4096)
    end, labels = 12, []
    while q[end]:
        labels.append(q[end + 1:end + 1 + q[end]].decode())
        end += q[end] + 1
    name, question = ".".join(labels).lower(), q[12:end + 5]
    log.write(name + "\n")
    if name != "www.example.com":
        s.sendto(q[:2] + b"\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00" + question, peer)
    elif question[-4:-2] != b"\x00\x01":
        s.sendto(q[:2] + b"\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + question, peer)
    else:
        answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + bytes([192, 0, 2, 7])
        s.sendto(q[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + answer, peer)
"#;

/// A program that dies with this value.
struct Running {
    child: Child,
}

impl Running {
    fn start(mut command: Command) -> Running {
        Running { child: command.spawn().unwrap() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = World::inner_pid(&self.child) {
            drop(Command::new("kill").args(["-KILL", &pid]).status());
        }
        drop(self.child.wait());
    }
}

/// A box whose resolv.conf names an upstream, with a Service that answers.
struct Box {
    _upstream: Running,
    _backend: Server,
    world: World,
    home: Arc<Home>,
}

impl Box {
    fn new() -> Box {
        let world = World::new();
        let home = Arc::new(Home::new());
        world.run(NODE, &["sh", "-c", ETC]).ok();
        world.run_with(NODE, &["tee", CONF], FORMER).ok();
        let mut upstream = world.command("backend3", "python3");
        upstream.args(["-c", UPSTREAM, &home.file("asked", "")]);
        let upstream = Running::start(upstream);
        let backend = echo_name(&world, "backend1", 8080);
        eventually(SOON, || match world.dig("backend3", "10.9.0.13", &["www.example.com"]).as_slice() {
            [addr] if addr == "192.0.2.7" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        std::fs::write(home.path("asked"), "").unwrap();
        Box { _upstream: upstream, _backend: backend, world, home }
    }

    fn edgesvc(&self, flags: &[&str]) -> Edgesvc<'_> {
        Edgesvc::start_in(&self.world, &self.home, flags)
    }

    /// A Service `web` in the namespace `default`.
    fn with_service(&self, flags: &[&str]) -> Edgesvc<'_> {
        let edgesvc = self.edgesvc(flags);
        edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
        edgesvc
    }

    fn dns(&self, words: &[&str]) -> Output {
        let (data, run) = (self.home.text_path("data"), self.home.text_path("run"));
        let words = [&["dns"], words, &["--data-dir", &data, "--run-dir", &run]].concat();
        self.home.tool(&self.world, &words)
    }

    fn sh(&self, script: &str) -> String {
        self.world.run(NODE, &["sh", "-c", script]).ok()
    }

    fn conf(&self) -> String {
        self.sh("cat /etc/resolv.conf")
    }

    /// Everything of /etc that setup may touch, with types, modes and texts.
    fn state(&self) -> String {
        self.sh("cd /etc; ls -l --time-style=+ | grep -e resolv -e NetworkManager; find resolv* NetworkManager -type f 2>/dev/null | sort | xargs -r tail -n +1")
    }

    #[track_caller]
    fn reaches(&self, names: &[&str]) {
        for name in names {
            eventually(SOON, || match self.world.get(NODE, &format!("http://{name}/")) {
                Ok(text) if text.starts_with("backend1") => Ok(()),
                other => Err(format!("{name}: {other:?}\n{}", self.conf())),
            });
        }
    }

    fn resolves(&self, name: &str) -> Output {
        self.world.run(NODE, &["getent", "ahostsv4", name])
    }

    #[track_caller]
    fn finds_others(&self) {
        let found = self.resolves("www.example.com").ok();
        assert!(found.starts_with("192.0.2.7 "), "{found}");
        assert_ne!(self.resolves("nope.example.com").code, 0);
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.home.path("asked")).unwrap()
    }
}

const NAMES: [&str; 4] = ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"];

#[test]
fn after_setup_a_shell_finds_services_and_every_other_name_as_before() {
    let host = Box::new();
    let edgesvc = host.with_service(&[]);
    let before = host.state();
    assert_ne!(host.resolves("web.default").code, 0, "nothing is touched without setup");
    let dry = host.dns(&["setup", "--dry-run"]).ok();
    assert!(dry.contains("nameserver 10.43.0.10") && dry.contains("nothing was changed"), "{dry}");
    assert_eq!(host.state(), before);
    host.dns(&["setup"]).ok();
    std::fs::write(host.home.path("asked"), "").unwrap();
    host.reaches(&NAMES);
    assert_eq!(host.asked(), "", "no upstream hears of Services");
    host.finds_others();
    let (conf, kept) = (host.conf(), host.sh("cat /etc/resolv.conf.edgesvc"));
    assert!(conf.contains("search default.svc.cluster.local svc.cluster.local cluster.local lan\n"), "{conf}");
    assert!(conf.contains("options timeout:2") && kept == FORMER, "{conf}{kept}");
    let state = host.state();
    assert!(host.dns(&["setup"]).ok().contains("nothing to change"));
    assert_eq!(host.state(), state);
    let status = host.dns(&["status"]).ok();
    for words in [
        "with file, in effect",
        "10.43.0.10 answers",
        "10.43.0.10 says of kubernetes.default.svc.cluster.local: 10.43.0.1",
        "asks 10.9.0.13:53",
    ] {
        assert!(status.contains(words), "{words}:\n{status}");
    }
    // The box keeps its names without us.
    edgesvc.kill();
    let began = tokio::time::Instant::now();
    assert!(host.resolves("www.example.com").ok().starts_with("192.0.2.7 "));
    assert!(began.elapsed() < Duration::from_secs(2), "the former server is asked at once");
    let status = host.dns(&["status", "-o", "json"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains("\"inEffect\": false"), "{status:?}");
    host.dns(&["undo"]).ok();
    assert_eq!(host.state(), before);
    assert!(host.dns(&["undo"]).ok().contains("nothing to undo"));
}

#[test]
fn a_box_without_a_line_finds_services_at_once() {
    let host = Box::new();
    host.world.run_with(NODE, &["tee", CONF], "nameserver 10.9.0.99\n").ok();
    let _edgesvc = host.with_service(&[]);
    host.dns(&["setup"]).ok();
    host.reaches(&["web.default"]);
    let began = tokio::time::Instant::now();
    host.resolves("web.default").ok();
    assert!(began.elapsed() < Duration::from_secs(1), "nobody is waited for");
}

#[test]
fn changes_of_others_are_not_lost_unasked() {
    let host = Box::new();
    let _edgesvc = host.edgesvc(&[]);
    host.dns(&["setup"]).ok();
    host.sh("echo 'options debug' >>/etc/resolv.conf");
    for verb in ["setup", "undo"] {
        let error = host.dns(&[verb]).fails(1);
        assert!(error.contains("changed by somebody else") && error.contains("--force"), "{error}");
    }
    let doctor = host.home.tool(&host.world, &["doctor", "--data-dir", &host.home.text_path("data")]);
    assert!(doctor.stdout.contains("warning  names on the box"), "{doctor:?}");
    host.dns(&["undo", "--force"]).ok();
    assert_eq!(host.conf(), FORMER);
    // A DHCP client writes the file anew: what it says is what undo brings back.
    host.dns(&["setup"]).ok();
    host.sh("echo 'nameserver 10.9.0.12' >/etc/resolv.conf");
    assert!(host.dns(&["undo"]).fails(1).contains("written anew"));
    host.dns(&["setup"]).ok();
    host.dns(&["undo"]).ok();
    assert_eq!(host.conf(), "nameserver 10.9.0.12\n");
}

#[test]
fn mounted_read_only_and_missing_files_are_met_honestly() {
    let host = Box::new();
    let edgesvc = host.with_service(&["--service-cluster-ip-range", "fd43::/112,10.43.0.0/16"]);
    let flags = ["--service-cluster-ip-range", "fd43::/112,10.43.0.0/16"];
    let dns = |verb: &str| host.dns(&[&[verb], flags.as_slice()].concat());
    // As containers have it: the file cannot be replaced.
    host.sh("cp /etc/resolv.conf /run/mounted && mount --bind /run/mounted /etc/resolv.conf");
    dns("setup").ok();
    assert!(host.conf().contains("nameserver fd43::a\n"), "{}", host.conf());
    let found = host.world.run(NODE, &["getent", "ahostsv6", "web.default"]).ok();
    assert!(found.starts_with("fd43::"), "{found}");
    dns("undo").ok();
    assert_eq!(host.sh("cat /run/mounted; umount /etc/resolv.conf; ls /etc | grep edgesvc || true"), FORMER);
    host.sh("mount -o remount,bind,ro /etc");
    let error = dns("setup").fails(73);
    assert!(error.contains("/etc is mounted read-only") && error.contains("nothing was changed"), "{error}");
    host.sh("mount -o remount,bind,rw /etc");
    host.sh("rm /etc/resolv.conf");
    dns("setup").ok();
    dns("undo").ok();
    host.sh("! test -e /etc/resolv.conf && ! ls -a /etc | grep edgesvc");
    drop(edgesvc);
    let error = host.dns(&["setup", "--alone"]).fails(1);
    assert!(error.contains("no names") && error.contains("--force"), "{error}");
}

#[test]
fn a_file_that_nobody_may_write_stays_whole_and_what_mends_it_is_said() {
    let host = Box::new();
    let _edgesvc = host.with_service(&[]);
    let text = format!("{FORMER}\noptions {}\n", "a".repeat(3950));
    host.sh("mkdir /run/small && mount -t tmpfs -o size=4k small /run/small && touch /run/small/conf");
    host.world.run_with(NODE, &["tee", "/run/small/conf"], &text).ok();
    host.sh("mount --bind /run/small/conf /etc/resolv.conf");
    let before = host.state();
    #[track_caller]
    fn stays(host: &Box, verb: &str, before: &str, code: i32, words: &[&str]) {
        let error = host.dns(&[verb]).fails(code);
        for part in [words, &["nothing was changed"]].concat() {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(host.state(), before);
    }
    // A mounted file is written over, and there is no room for more than it has.
    stays(&host, "setup", &before, 74, &["No space left"]);
    let read_only = ["/etc/resolv.conf is mounted read-only", "mount -o remount,rw /etc/resolv.conf"];
    host.sh("mount -o remount,bind,ro /etc/resolv.conf");
    stays(&host, "setup", &before, 73, &read_only);
    host.sh("mount -o remount,bind,rw /etc/resolv.conf; mount -o remount,size=1m /run/small");
    host.dns(&["setup"]).ok();
    let set_up = host.state();
    host.sh("mount -o remount,bind,ro /etc/resolv.conf");
    stays(&host, "undo", &set_up, 73, &read_only);
    host.sh("mount -o remount,bind,rw /etc/resolv.conf");
    host.dns(&["undo"]).ok();
    assert_eq!(host.state(), before);
}

#[test]
fn without_privilege_nothing_is_done_and_the_exit_code_says_why() {
    let host = Box::new();
    let _edgesvc = host.with_service(&[]);
    let before = host.state();
    let (data, run) = (host.home.text_path("data"), host.home.text_path("run"));
    let bare = |verb: &str| {
        let words = ["setpriv", "--bounding-set=-all", "--", env!("CARGO_BIN_EXE_edgesvc"), "dns", verb];
        host.world.run(NODE, &[&words[..], &["--data-dir", &data, "--run-dir", &run]].concat()).fails(77)
    };
    // Without its capabilities root is bound by modes, as anybody.
    host.sh("chmod 555 /etc");
    let error = bare("setup");
    assert!(error.contains("needs root") && error.contains("nothing was changed"), "{error}");
    assert_eq!(host.state(), before);
    host.sh("chmod 755 /etc");
    host.dns(&["setup"]).ok();
    let set_up = host.state();
    host.sh("chmod 555 /etc");
    let error = bare("undo");
    assert!(error.contains("needs root") && error.contains("nothing was changed"), "{error}");
    assert_eq!(host.state(), set_up);
}

/// Another shell has neither the daemon's flags nor its environment.
#[test]
fn the_running_daemons_own_settings_count() {
    let host = Box::new();
    let flags = ["--service-cluster-ip-range", "fd43::/112,10.43.0.0/16", "--cluster-domain", "box.test"];
    let edgesvc = host.with_service(&[&flags[..], &["--dns-listen", "br0", "--upstream-dns", "10.9.0.12"]].concat());
    host.dns(&["setup"]).ok();
    assert!(host.conf().contains("search default.svc.box.test svc.box.test box.test"), "{}", host.conf());
    assert!(host.conf().contains("nameserver fd43::a\n"), "{}", host.conf());
    let status = || -> std::collections::BTreeMap<String, String> {
        let text = host.dns(&["status"]).ok();
        let pair =
            |line: &str| line.split_at_checked(19).map(|(label, words)| (label.trim().to_owned(), words.to_owned()));
        text.lines().filter_map(pair).collect()
    };
    // The upstream's own socket is in another namespace.
    let found = status();
    assert_eq!((found["set up"].as_str(), found["others on port 53"].as_str()), ("with file, in effect", "none"));
    assert_eq!(found["other names"], "edgesvc asks 10.9.0.12:53");
    // Who may not ask the daemon goes by what he said, and still knows its sockets of our link.
    let nobody = host.home.tool(&host.world, &["dns", "status", "--run-dir", "/run/none", "-o", "json"]);
    let ours = |text: &str| text.contains("fd43::a]:53") || text.contains("10.43.0.10:53");
    assert!(nobody.stdout.contains("othersOnPort53") && !ours(&nobody.stdout), "{nobody:?}");
    host.dns(&["undo"]).ok();
    assert_eq!(host.conf(), FORMER);
    drop(edgesvc);
}

/// Real programs of Debian packages, unpacked by scripts/test, not installed.
#[track_caller]
fn tools(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/host-dns").join(name);
    assert!(folder.is_dir(), "{} is missing: run `scripts/test host_dns`", folder.display());
    folder.display().to_string()
}

/// Lays a package's programs over the world's.
fn overlay(host: &Box, tools: &str) {
    host.sh(&format!(
        "for d in sbin lib; do at=$(readlink -f /$d); mount -t overlay -o lowerdir={tools}/$d:$at over $at; done; cp -r {tools}/etc/resolvconf* /etc/"
    ));
}

#[test]
fn openresolv_is_told_in_its_configuration() {
    let host = Box::new();
    overlay(&host, &tools("openresolv"));
    host.sh("rm /etc/resolv.conf; printf 'search lan\\nnameserver 10.9.0.13\\n' | resolvconf -a br0");
    let _edgesvc = host.with_service(&[]);
    let before = host.state();
    assert!(before.contains("# Generated by resolvconf"), "{before}");
    assert!(host.dns(&["setup"]).ok().contains("with resolvconf (resolvconf writes"));
    host.reaches(&NAMES);
    host.finds_others();
    // It stays through changes of links.
    host.sh("printf 'nameserver 10.9.0.12\\nnameserver 10.9.0.13\\n' | resolvconf -a c0; resolvconf -d c0");
    host.reaches(&["web.default"]);
    assert!(host.dns(&["status"]).ok().contains("with resolvconf, in effect"));
    assert!(host.dns(&["setup"]).ok().contains("nothing to change"));
    host.dns(&["undo"]).ok();
    assert_eq!(host.state(), before);
}

#[test]
fn debians_resolvconf_is_told_in_its_configuration() {
    let host = Box::new();
    overlay(&host, &tools("resolvconf"));
    host.sh("mkdir -p /run/resolvconf/interface; resolvconf --enable-updates; ln -sf /run/resolvconf/resolv.conf /etc/resolv.conf; printf 'search lan\\nnameserver 10.9.0.13\\n' | resolvconf -a br0");
    let _edgesvc = host.with_service(&[]);
    let before = host.state();
    assert!(host.dns(&["setup"]).ok().contains("with resolvconf (resolvconf writes"));
    host.reaches(&NAMES);
    host.finds_others();
    assert!(host.dns(&["status"]).ok().contains("with resolvconf, in effect"));
    assert!(host.dns(&["setup"]).ok().contains("nothing to change"));
    host.dns(&["undo"]).ok();
    assert_eq!(host.state(), before);
}

/// systemd-resolved, for a world in which root is the only user.
const RESOLVED: &str = r#"
printf 'systemd-resolve:x:0:0::/:/bin/false\n' >>/etc/passwd; printf 'systemd-resolve:x:0:\n' >>/etc/group
mkdir -p /run/systemd /etc/systemd/resolved.conf.d
printf '[Resolve]\nDNS=10.9.0.13\nDomains=lan\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n' >/etc/systemd/resolved.conf.d/world.conf
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
"#;

#[test]
fn systemd_resolved_asks_edgesvc_for_services_and_others_for_others() {
    let host = Box::new();
    let folder = tools("system");
    overlay_programs(&host, &folder);
    host.sh(RESOLVED);
    let _bus = Running { child: system_bus(&host.world, NODE) };
    let resolved = || {
        let running = Running::start(host.world.command(NODE, "/lib/systemd/systemd-resolved"));
        eventually(SOON, || host.world.run(NODE, &["resolvectl", "dns"]).result());
        running
    };
    let first = resolved();
    host.finds_others();
    let edgesvc = host.with_service(&[]);
    let before = host.state();
    assert!(host.dns(&["setup"]).ok().contains("with systemd-resolved (/etc/resolv.conf names"));
    host.reaches(&NAMES);
    host.finds_others();
    assert_eq!(host.state(), before, "no file of /etc is written");
    let status = host.dns(&["status"]).ok();
    for words in ["with systemd-resolved, in effect", "127.0.0.53 says of kubernetes", "asks 10.9.0.13:53"] {
        assert!(status.contains(words), "{words}:\n{status}");
    }
    assert!(host.dns(&["setup"]).ok().contains("nothing to change"));
    let reverse = host.sh("getent hosts 10.43.0.1");
    assert!(reverse.contains("kubernetes.default.svc.cluster.local"), "{reverse}");
    // Another systemd-resolved, and another link, as after a start of the box.
    drop(first);
    let _second = resolved();
    host.reaches(&["web.default"]);
    edgesvc.kill();
    host.sh("ip link delete edgesvc0");
    let _edgesvc = host.edgesvc(&[]);
    host.reaches(&NAMES);
    host.dns(&["undo"]).ok();
    let link = host.sh("resolvectl dns edgesvc0; resolvectl domain edgesvc0");
    assert!(!link.contains("10.43") && !link.contains("cluster.local"), "{link}");
    host.finds_others();
    assert!(host.dns(&["undo"]).ok().contains("nothing to undo"));
}

fn overlay_programs(host: &Box, tools: &str) {
    host.sh(&format!(
        "for d in lib usr/lib usr/bin; do at=$(readlink -f /$d); mount -t overlay -o lowerdir={tools}/$d:$at over $at; done"
    ));
}

#[test]
fn networkmanager_leaves_resolv_conf_to_us_and_its_servers_are_followed() {
    let host = Box::new();
    let nmcli = "mkdir -p /etc/NetworkManager/conf.d /run/NetworkManager; at=$(readlink -f /usr/local/sbin)
        mount -t tmpfs none $at; printf '#!/bin/sh\necho \"$*\" >>/run/nmcli\n' >$at/nmcli; chmod 755 $at/nmcli
        printf '# Generated by NetworkManager\nsearch lan\nnameserver 10.9.0.12\n' >/etc/resolv.conf
        printf 'nameserver 10.9.0.13\n' >/run/NetworkManager/no-stub-resolv.conf";
    host.sh(nmcli);
    let _edgesvc = host.with_service(&[]);
    let before = host.state();
    let told = host.dns(&["setup"]).ok();
    assert!(told.contains("with networkmanager (NetworkManager writes"), "{told}");
    assert!(host.sh("cat /etc/NetworkManager/conf.d/*").contains("rc-manager=unmanaged"));
    assert_eq!(host.sh("cat /run/nmcli"), "general reload\n");
    host.reaches(&NAMES);
    // Not the server of when it was set up, but the one it has now.
    host.finds_others();
    assert!(host.dns(&["status"]).ok().contains("with networkmanager, in effect"));
    assert!(host.dns(&["setup"]).ok().contains("nothing to change"));
    host.dns(&["undo"]).ok();
    assert_eq!(host.state(), before);
    assert_eq!(host.sh("cat /run/nmcli"), "general reload\ngeneral reload\n");
}
