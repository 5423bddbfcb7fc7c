//! The userspace relay, with the built binary: every connection, from every place,
//! to the endpoint the Service says, with nothing of nf_tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

#[path = "relay/cases.rs"]
mod cases;
#[path = "relay/limits.rs"]
mod limits;
#[path = "relay/site.rs"]
mod site;
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;

use support::{BACKENDS, Edgesvc, Home, Place, Server, World, eventually, serve_program, stream};

/// A change is followed long before; a loaded machine included.
const SOON: Duration = Duration::from_secs(10);
const CLIENT_PROGRAM: &str = include_str!("relay/client.py");
const ENDPOINT_PROGRAM: &str = include_str!("relay/endpoint.py");
/// What a Service's cluster IPs are drawn from.
const BOTH_FAMILIES: &[&str] = &["--service-cluster-ip-range", "10.43.0.0/16,fd43::/112"];

/// The daemon in mode relay, with further flags.
fn relay<'w>(world: &'w World, flags: &[&str]) -> Edgesvc<'w> {
    let mut all = vec!["--proxy-mode", "relay"];
    all.extend(flags);
    Edgesvc::start_in(world, &Arc::new(Home::new()), &all)
}

/// All three backends, listening on 8080.
fn endpoints(world: &World) -> Vec<Server> {
    BACKENDS.iter().map(|(name, ..)| serve_program(world, name, ENDPOINT_PROGRAM, 8080)).collect()
}

/// A Service and slices of both families, written by hand.
fn web(annotations: &str, spec: &str, hosts: &[u8]) -> String {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations: {{{annotations}}}\nspec:\n{spec}"
    );
    stream(&[service, slice(4, hosts), slice(6, hosts)])
}

fn slice(family: u8, hosts: &[u8]) -> String {
    let net = if family == 4 { "10.9.0." } else { "fd09::" };
    let list: Vec<String> = hosts.iter().map(|host| format!("{{addresses: [\"{net}{host}\"]}}")).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-{family}\n  labels: \
         {{kubernetes.io/service-name: web}}\naddressType: IPv{family}\nports: [{{name: http, port: 8080}}, {{name: \
         dns, port: 5000, protocol: UDP}}]\nendpoints: [{}]\n",
        list.join(", ")
    )
}

/// Both families, TCP 80 and UDP 53, and node ports.
const SPEC: &str = "  type: NodePort\n  ipFamilyPolicy: PreferDualStack\n  ports:\n  - {name: http, port: 80, targetPort: \
                    8080, nodePort: 30080}\n  - {name: dns, port: 53, targetPort: 5000, protocol: UDP, nodePort: 30053}\n";

/// What the client program says at a place.
fn ask(world: &World, place: Place, words: &[&str]) -> String {
    let mut all = vec!["python3", "-c", CLIENT_PROGRAM];
    all.extend(words);
    world.run(place, &all).ok().trim().to_owned()
}

/// The names of the endpoints that `count` connections met, one after the other.
fn names(world: &World, place: Place, host: &str, port: u16, count: usize) -> Vec<String> {
    let said = ask(world, place, &["names", host, &port.to_string(), &count.to_string()]);
    said.split(' ').map(str::to_owned).collect()
}

/// Waits until connections from a place to `host` meet an endpoint.
#[track_caller]
fn answers(world: &World, place: Place, host: &str, port: u16) {
    eventually(SOON, || {
        let met = names(world, place, host, port, 1);
        if met[0].starts_with("backend") { Ok(()) } else { Err(format!("{place} -> {host} {port}: {met:?}")) }
    });
}

/// A client program that goes on until it is ended.
struct Held {
    child: Child,
    said: String,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Held {
    /// What it says when it is asked again.
    fn again(&mut self) -> String {
        self.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        let mut said = String::new();
        self.stdout.read_line(&mut said).unwrap();
        said.trim().to_owned()
    }
}

fn hold(world: &World, place: Place, words: &[&str]) -> Held {
    let mut command = world.command(place, "python3");
    command.args(["-c", CLIENT_PROGRAM]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("nsenter runs");
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    let stdin = child.stdin.take();
    Held { child, said: said.trim().to_owned(), stdin, stdout }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The program ends when its standard input does.
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}
