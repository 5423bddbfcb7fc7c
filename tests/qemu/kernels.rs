//! Services on Debian's kernels, whole: what the box has is what Debian built.

use std::collections::BTreeSet;
use std::time::Duration;

use super::machine::*;
use crate::support::{CLIENT, NODE_ADDRESS, Place, eventually, pod, stream};

/// Every test of this file, on every kernel, in a machine of its own.
macro_rules! on_every_kernel {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn on_debian_11() { super::$name(DEBIAN_11); }

            #[test]
            fn on_debian_12() { super::$name(DEBIAN_12); }

            #[test]
            fn on_debian_13() { super::$name(DEBIAN_13); }

            #[test]
            fn on_debian_testing() { super::$name(DEBIAN_TESTING); }
        })*
    };
}

on_every_kernel! {
    services_are_served_over_every_protocol_in_both_families
    a_killed_daemon_and_a_foreign_flush_cut_nothing
}

pub(crate) const BOTH_FAMILIES: &str = "--service-cluster-ip-range 10.43.0.0/16,fd43::/112";
const VIP: &str = "10.43.0.80";
const VIP6: &str = "fd43::80";
const NODE_ADDRESS6: &str = "fd05::1";
/// The client sees the Service move on within this, emulated.
const SOON: Duration = Duration::from_secs(60);
/// A table that somebody removed is there again after this, emulated on a loaded machine
/// with what `nft` takes to see it. Without notices it would take the next look, a minute.
const REPAIRED_WITHIN_MS: u64 = 10_000;

/// Two Pods, and a Service `web` of them on port 80 in both families, and on a node port.
pub(crate) fn web(more: &str) -> String {
    let port = |number: u16, proto: &str| {
        let (name, node) = (proto.to_lowercase(), 30000 + number);
        format!("  - {{name: {name}, port: 80, targetPort: 8080, protocol: {proto}, nodePort: {node}}}\n")
    };
    let spec = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {{app: web}}\n  type: NodePort\n  \
         clusterIPs: [{VIP}, \"{VIP6}\"]\n  clusterIP: {VIP}\n  ipFamilyPolicy: RequireDualStack\n{more}  ports:\n{}{}{}",
        port(80, "TCP"),
        port(80, "UDP"),
        port(80, "SCTP")
    );
    stream(&[
        pod("one", "web", "\"10.9.0.11,fd09::11\"", 8080),
        pod("two", "web", "\"10.9.0.12,fd09::12\"", 8080),
        spec,
    ])
}

/// Servers of every protocol in the Pods of [`web`].
pub(crate) fn serve_web(machine: &mut Machine) {
    for place in ["backend1", "backend2"] {
        for proto in ["tcp", "udp", "sctp"] {
            machine.serve(place, proto, 8080);
        }
    }
}

/// Who answers `count` questions.
pub(crate) fn answering(said: &Said) -> Result<BTreeSet<String>, String> {
    if said.code != 0 {
        return Err(said.text.clone());
    }
    Ok(said.text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// So many questions from a place are answered by both Pods.
#[track_caller]
pub(crate) fn both_answer(machine: &mut Machine, place: Place, proto: &str, at: &str, port: u16) {
    // Each of two is missed by 24 questions once in eight million times.
    let said = machine.ask_from(place, proto, at, port, 24);
    let both = BTreeSet::from(["backend1", "backend2"].map(str::to_owned));
    assert_eq!(answering(&said), Ok(both), "{proto} from {place} to {at} port {port}");
}

fn services_are_served_over_every_protocol_in_both_families(kernel: Kernel) {
    let mut machine = Machine::boot(kernel);
    assert!(machine.ok("uname -r").starts_with(kernel.version));
    serve_web(&mut machine);
    machine.start(BOTH_FAMILIES);
    let log = machine.log();
    let unguarded = log.contains("the kernel (before 6.9) cannot guard our tables; foreign changes are repaired");
    assert_eq!(unguarded, !kernel.guards_tables, "{log}");
    assert_eq!(log.matches("WARN").count(), usize::from(unguarded), "{log}");
    let link = machine.ok("/foreign/bin/ip -d link show edgesvc0");
    assert!(link.contains("dummy"), "{link}");

    machine.apply(&web(""));
    eventually(SOON, || answering(&machine.ask_from(CLIENT, "tcp", VIP, 80, 1)));
    for proto in ["tcp", "udp", "sctp"] {
        for at in [VIP, VIP6] {
            both_answer(&mut machine, CLIENT, proto, at, 80);
            both_answer(&mut machine, NODE, proto, at, 80);
            // Among the answers are those of the backend to itself.
            both_answer(&mut machine, "backend1", proto, at, 80);
        }
        for at in [NODE_ADDRESS, NODE_ADDRESS6] {
            both_answer(&mut machine, CLIENT, proto, at, 30080);
        }
    }
    let seen = machine.ask_from(CLIENT, "sctp", VIP, 80, 1).text;
    assert!(seen.contains(" from 192.168.5.2"), "backends see the client: {seen}");

    machine.apply(&web("  sessionAffinity: ClientIP\n"));
    for proto in ["tcp", "udp", "sctp"] {
        for (at, port) in [(VIP, 80), (VIP6, 80), (NODE_ADDRESS, 30080), (NODE_ADDRESS6, 30080)] {
            eventually(SOON, || match answering(&machine.ask_from(CLIENT, proto, at, port, 12))? {
                one if one.len() == 1 => Ok(()),
                more => Err(format!("{proto} {at}: {more:?}")),
            });
        }
    }
    machine.ok("nft list ruleset");
    let doctor = machine.sh(DOCTOR).text;
    assert!(doctor.contains("has everything the dataplane needs") && doctor.contains("0 failed"), "{doctor}");
    assert_eq!(doctor.contains("warning  table owner"), !kernel.guards_tables, "{doctor}");

    machine.ok("kill $(cat /tmp/pid)");
    machine.ok("/edgesvc/edgesvc dataplane cleanup");
    assert_eq!(machine.ok("nft list ruleset").trim(), "");
}

fn a_killed_daemon_and_a_foreign_flush_cut_nothing(kernel: Kernel) {
    let mut machine = Machine::boot(kernel);
    serve_web(&mut machine);
    machine.start(BOTH_FAMILIES);
    machine.apply(&web(""));
    for proto in ["tcp", "udp", "sctp"] {
        eventually(SOON, || answering(&machine.ask_from(CLIENT, proto, VIP, 80, 1)));
    }

    let work = [
        ("hold", "tcp", VIP),
        ("hold", "sctp", VIP),
        ("hold", "tcp", VIP6),
        ("storm", "tcp", VIP),
        ("storm", "udp", VIP6),
    ];
    let running = machine.begin(&work);
    machine.kill();
    machine.start(BOTH_FAMILIES);
    let asked = machine.end(running);
    for one in asked {
        assert!(one.failed == 0 && one.asked > 20, "kill -9 and start: {}", one.said);
    }

    // The handle of a table says whether it is still the same. An anchor nobody guards.
    let handle = |machine: &mut Machine| {
        machine.ok("nft -j list tables ip | grep -o '\"name\": \"edgesvc\", \"handle\": [0-9]*'").trim().to_owned()
    };
    let before = handle(&mut machine);
    // A kernel that does not guard tables has none until they are repaired: what is under way in
    // that moment may break there. What rests must not, and nobody must wait in vain after it.
    let verb = if kernel.guards_tables { "hold" } else { "keep" };
    let open = [
        (verb, "tcp", VIP),
        (verb, "sctp", VIP),
        (verb, "tcp", VIP6),
        ("storm", "tcp", VIP),
        ("storm", "tcp", VIP),
        ("storm", "tcp", VIP6),
    ];
    let running = machine.begin(&open);
    let flush = "nft flush ruleset; from=$(cut -d' ' -f1 /proc/uptime)\n\
                 until nft list chain ip edgesvc prerouting && nft list chain ip6 edgesvc prerouting; do :; done >/dev/null 2>&1\n\
                 echo \"$from $(cut -d' ' -f1 /proc/uptime)\" | awk '{print int(($2 - $1) * 1000)}'";
    let took: u64 = machine.ok(flush).trim().parse().expect("milliseconds");
    eprintln!("Linux {}: {took} ms after a foreign flush the tables are there", machine.ok("uname -r").trim());
    assert!(took < REPAIRED_WITHIN_MS, "{took} ms");
    let after = handle(&mut machine);
    assert!((before == after) == kernel.guards_tables, "{before:?} {after:?}");
    eventually(SOON, || match machine.log() {
        log if log.contains("somebody changed our tables, they are repaired") => Ok(()),
        log => Err(log),
    });
    for one in machine.end(running) {
        let whole = one.failed == 0 && one.asked > 1;
        let may_break = !kernel.guards_tables && one.said.starts_with("storm");
        assert!(whole || may_break, "a foreign flush: {}", one.said);
        assert!(!one.said.contains("Operation now in progress"), "nobody answers a SYN: {}", one.said);
    }
    for proto in ["tcp", "udp", "sctp"] {
        both_answer(&mut machine, CLIENT, proto, VIP, 80);
        both_answer(&mut machine, CLIENT, proto, VIP6, 80);
    }
}

#[test]
fn ipvs_beside_goes_on_as_it_was() {
    let mut machine = Machine::boot(DEBIAN_13);
    machine.serve("backend3", "tcp", 7000);
    machine.ok("modprobe ip_vs; echo 1 >/proc/sys/net/ipv4/ip_forward; peer ipvs 192.168.5.1 7000 10.9.0.13");
    let answers = |machine: &mut Machine| answering(&machine.ask_from(CLIENT, "tcp", NODE_ADDRESS, 7000, 4));
    let table = |machine: &mut Machine| machine.ok("grep -c : /proc/net/ip_vs");
    let (before, rows) = (answers(&mut machine), table(&mut machine));
    assert_eq!(before, Ok(BTreeSet::from(["backend3".to_owned()])));
    serve_web(&mut machine);
    machine.start(BOTH_FAMILIES);
    machine.apply(&web(""));
    eventually(SOON, || answering(&machine.ask_from(CLIENT, "tcp", VIP, 80, 1)));
    assert_eq!((answers(&mut machine), table(&mut machine)), (before.clone(), rows.clone()));
    machine.ok("kill $(cat /tmp/pid); /edgesvc/edgesvc dataplane cleanup");
    assert_eq!((answers(&mut machine), table(&mut machine)), (before, rows));
}
