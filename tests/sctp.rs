//! Services of the protocol SCTP, with packets made by hand: the kernel under test
//! follows SCTP in conntrack and has no sockets for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use support::{
    CLIENT, CLIENT_ADDRESS, Edgesvc, Home, NODE, NODE_ADDRESS, Place, World, echo_name, eventually, pod, stream,
};

const SOON: Duration = Duration::from_secs(15);
const PACKETS: &str = include_str!("sctp/packets.py");

/// An endpoint that answers INITs; it dies with the world.
fn serve(world: &World, place: Place, more: &[&str]) -> Child {
    let mut command = world.command(place, "python3");
    command.args(["-c", PACKETS, "serve", place]).args(more).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    child
}

/// What comes of an INIT from a port of the client.
fn ask(world: &World, address: &str, port: &str, source: u16, seconds: &str) -> String {
    let source = source.to_string();
    let words = ["python3", "-c", PACKETS, "ask", address, port, &source, seconds];
    world.run(CLIENT, &words).ok().trim().to_owned()
}

/// Waits for this answer.
#[track_caller]
fn is_answered(world: &World, address: &str, port: &str, wanted: &str) {
    let mut source = 2000;
    eventually(SOON, || {
        source += 1;
        let answer = ask(world, address, port, source, "1");
        if answer.contains(wanted) { Ok(()) } else { Err(format!("{address}:{port}: {answer}")) }
    });
}

fn service(name: &str, app: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {app}}}\n{more}  ports:\n  \
         - {{name: s, protocol: SCTP, port: 80, targetPort: 9899}}\n  - {{name: t, port: 80, targetPort: 8080}}\n"
    )
}

#[test]
fn an_association_is_led_to_the_endpoint_and_its_answer_comes_from_the_service() {
    let world = World::new();
    let _servers = (serve(&world, "backend1", &["4"]), serve(&world, "backend1", &["6"]));
    let _web = echo_name(&world, "backend1", 8080);
    let flags = ["--service-cluster-ip-range", "10.43.0.0/16,fd43::/112"];
    let edgesvc = Edgesvc::start_in(&world, &Arc::new(Home::new()), &flags);
    let more = "  type: NodePort\n  ipFamilyPolicy: RequireDualStack\n";
    edgesvc.apply(&stream(&[pod("one", "web", "\"10.9.0.11,fd09::11\"", 8080), service("web", "web", more)]));
    let address = |number: &str| edgesvc.field("service", "web", &["spec", "clusterIPs", number]).unwrap();
    let (four, six) = (address("0"), address("1"));
    let right =
        |client: &str| format!("backend1 saw {client} at 9899, checksum right; answer of the Service, checksum right");
    is_answered(&world, &four, "80", &right(CLIENT_ADDRESS));
    is_answered(&world, &six, "80", &right("fd05::2"));
    let port = edgesvc.field("service", "web", &["spec", "ports", "0", "nodePort"]).unwrap();
    is_answered(&world, NODE_ADDRESS, &port, &right(CLIENT_ADDRESS));
    // TCP and SCTP of one number are apart.
    assert!(world.get(CLIENT, &format!("http://{four}/")).unwrap().starts_with("backend1"));
    assert_eq!(edgesvc.cli(&["dataplane", "diff"]).ok(), "");
    let told = edgesvc.cli(&["status", "services", "web"]).ok();
    assert!(told.contains("10.9.0.11:9899/SCTP") && told.contains("10.9.0.11:8080/TCP"), "{told}");
    assert!(edgesvc.field("service", "web", &["status", "conditions"]).is_err(), "nothing is left out");
    let traced = edgesvc.home.tool(&world, &["trace", "sctp", &format!("{four}:80"), "--from", CLIENT_ADDRESS]).ok();
    assert!(traced.contains("10.9.0.11:9899"), "{traced}");
    // Without endpoints it is refused at once.
    edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
    is_answered(&world, &four, "80", "refused: Connection refused");
    let looked = edgesvc.home.tool(&world, &["doctor"]).stdout;
    assert!(looked.contains("SCTP"), "{looked}");
}

#[test]
fn a_client_with_affinity_stays_with_its_endpoint() {
    let world = World::new();
    let _servers = ["backend1", "backend2", "backend3"].map(|place| serve(&world, place, &["4"]));
    let edgesvc = Edgesvc::start(&world);
    let pods = [11, 12, 13].map(|n| pod(&format!("p{n}"), "web", &format!("10.9.0.{n}"), 8080));
    edgesvc.apply(&stream(&[pods.as_slice(), &[service("web", "web", "  sessionAffinity: ClientIP\n")]].concat()));
    let address = edgesvc.cluster_ip("web");
    is_answered(&world, &address, "80", "checksum right");
    let answers = (3000..3008).map(|source| ask(&world, &address, "80", source, "2")).collect::<Vec<_>>();
    assert!(answers[0].starts_with("backend") && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn a_client_that_waits_for_an_endpoint_that_is_gone_is_led_to_another() {
    let world = World::new();
    let _servers = (serve(&world, "backend1", &["4", "mute"]), serve(&world, "backend2", &["4"]));
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", "")]));
    let address = edgesvc.cluster_ip("web");
    is_answered(&world, &address, "80", "nothing");
    // Longer than we wait: the entry does not end by itself.
    for state in ["cookie_wait", "closed"] {
        let timeout = format!("echo 60 >/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_{state}");
        world.run(NODE, &["sh", "-c", &timeout]).ok();
    }
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&world, &address, "80", 4000, "20"));
        let entries = || world.run(NODE, &["conntrack", "-L", "-p", "sctp", "--orig-port-src", "4000"]).stdout;
        eventually(SOON, || if entries().contains("src=10.9.0.11") { Ok(()) } else { Err(entries()) });
        edgesvc.apply(&pod("two", "web", "10.9.0.12", 8080));
        edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
        let answer = asking.join().unwrap();
        assert!(answer.starts_with("backend2 saw"), "{answer}");
    });
}
