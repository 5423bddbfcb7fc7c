//! Neighbours on the LAN: the tests' own client on the wire, and python-zeroconf.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::{CLIENT, Output, Place, World};

const CLIENT_PROGRAM: &str = include_str!("client.py");
const BROWSER_PROGRAM: &str = include_str!("browse.py");
/// Where `scripts/test` puts python-zeroconf.
const ZEROCONF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/zeroconf/bin/python");

/// A packet, or another thing a neighbour says.
pub(crate) type Packet = Value;

/// A program that runs beside the test and says what it hears.
pub(crate) struct Neighbour {
    child: Child,
    inner: String,
    said: Receiver<Packet>,
}

impl Neighbour {
    /// Everything the group hears at the client.
    pub(crate) fn listens(world: &World) -> Neighbour {
        Neighbour::listens_at(world, CLIENT, "eth0")
    }

    /// The same elsewhere.
    pub(crate) fn listens_at(world: &World, place: Place, link: &str) -> Neighbour {
        Neighbour::start(world, place, "python3", CLIENT_PROGRAM, &[link, "listen"])
    }

    /// Says to whoever asks that a name is at an address.
    pub(crate) fn owns(world: &World, name: &str, address: &str) -> Neighbour {
        Neighbour::start(world, CLIENT, "python3", CLIENT_PROGRAM, &["eth0", "own", name, address])
    }

    /// python-zeroconf that looks for a kind.
    pub(crate) fn browses(world: &World, kind: &str) -> Neighbour {
        Neighbour::start(world, CLIENT, ZEROCONF, BROWSER_PROGRAM, &[kind.trim_end_matches(".local")])
    }

    /// python-zeroconf with a service of its own.
    pub(crate) fn registers(world: &World, name: &str, address: &str, kind: &str) -> Neighbour {
        Neighbour::start(world, CLIENT, ZEROCONF, BROWSER_PROGRAM, &["own", name, address, kind])
    }

    fn start(world: &World, place: Place, python: &str, program: &str, words: &[&str]) -> Neighbour {
        let known = python != ZEROCONF || std::path::Path::new(ZEROCONF).exists();
        assert!(known, "python-zeroconf is missing: scripts/test mdns puts it into target/zeroconf");
        let mut command = world.command(place, python);
        command.args(["-c", program]).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("nsenter runs");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let packet = serde_json::from_str(&line).unwrap_or_else(|_| json!({"line": line}));
                if sender.send(packet).is_err() {
                    return;
                }
            }
        });
        let mut neighbour = Neighbour { child, inner: String::new(), said };
        neighbour.wait(Duration::from_secs(20), |said| said["listening"] == true);
        neighbour.inner = World::inner_pid(&neighbour.child).expect("the neighbour runs");
        neighbour
    }

    /// Waits until it says something.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration, wanted: impl Fn(&Packet) -> bool) -> Packet {
        let deadline = Instant::now() + limit;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(said) if wanted(&said) => return said,
                Ok(said) => others.push(said.to_string()),
                Err(why) => panic!("{why}: what was awaited was not said, but\n{}", others.join("\n")),
            }
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(std::process::Command::new("kill").args(["-KILL", &self.inner]).status());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the client on the wire to its end.
pub(crate) fn run(world: &World, words: &[&str]) -> Output {
    let words: Vec<&str> = ["python3", "-c", CLIENT_PROGRAM, "eth0"].iter().chain(words).copied().collect();
    world.run(CLIENT, &words)
}

/// What is answered to a query of the client.
pub(crate) fn ask(world: &World, query: &Value) -> Vec<Packet> {
    ask_at(world, CLIENT, query)
}

/// The same elsewhere.
pub(crate) fn ask_at(world: &World, place: Place, query: &Value) -> Vec<Packet> {
    let text = world.run(place, &["python3", "-c", CLIENT_PROGRAM, "eth0", "ask", &query.to_string()]).ok();
    let packets = text.lines().map(|line| serde_json::from_str::<Packet>(line).expect("the client prints JSON"));
    packets.filter(|packet| packet["response"] == true).collect()
}

/// The data of every record of a name and type that is answered, sorted.
pub(crate) fn resolved(world: &World, name: &str, kind: &str) -> Vec<String> {
    let packets = ask(world, &json!({"questions": [[name, kind]]}));
    let records = packets.iter().flat_map(|packet| packet["answers"].as_array().cloned().unwrap_or_default());
    let found: BTreeSet<String> = records
        .filter(|record| record["name"] == name && record["type"] == kind && record["ttl"] != 0)
        .filter_map(|record| record["data"].as_str().map(str::to_owned))
        .collect();
    found.into_iter().collect()
}

/// Whether a packet answers with a record.
pub(crate) fn holds(packet: &Packet, name: &str, kind: &str, data: &str) -> bool {
    let records = packet["answers"].as_array().cloned().unwrap_or_default();
    records.iter().any(|one| one["name"] == name && one["type"] == kind && one["data"] == data && one["ttl"] != 0)
}
