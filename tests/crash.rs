//! kill -9 under writes, again and again: what was acknowledged is there after
//! the next start, and no address is ever given to two Services.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use support::{Edgesvc, Home, NODE, World};

const ROUNDS: usize = 50;
/// Acknowledged writes after which the daemon is killed, in turn over the rounds:
/// few and many, so that the kill meets every part of a batch.
const KILL_AFTER: [usize; 5] = [1, 2, 3, 7, 13];
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(20);

/// Creates and deletes Services over the socket as fast as they are acknowledged
/// and prints each acknowledgement: `created NAME IP`, `deleted NAME`.
const WRITER: &str = r#"
import http.client, json, socket, sys
path, prefix = sys.argv[1], sys.argv[2]
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
def ask(c, method, url, body=None):
    c.request(method, url, body and json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    return r.status, json.loads(r.read())
base = "/api/v1/namespaces/default/services"
try:
    c = Unix("localhost")
    n = 0
    while True:
        name = f"{prefix}-{n}"
        status, got = ask(c, "POST", base, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
        assert status == 201, got
        print("created", name, got["spec"]["clusterIP"], flush=True)
        if n % 3 == 2:
            gone = f"{prefix}-{n - 1}"
            print("deleting", gone, flush=True)
            status, got = ask(c, "DELETE", f"{base}/{gone}")
            assert status == 200, got
            print("deleted", gone, flush=True)
        n += 1
except (OSError, http.client.HTTPException, ValueError):
    pass
"#;

#[test]
fn nothing_acknowledged_is_lost_and_no_address_is_given_twice() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        let edgesvc = Edgesvc::start_in(&world, &home, &["--proxy-mode", "none", "--listen", "none"]);
        ledger.compare(&edgesvc, round);
        let (mut writer, lines) = start_writer(&world, &home, round);
        for _ in 0..KILL_AFTER[round % KILL_AFTER.len()] {
            ledger.note(&lines.recv_timeout(ACKNOWLEDGED_WITHIN).expect("writes are acknowledged"));
        }
        edgesvc.kill();
        // What was acknowledged while the signal was on its way counts as well.
        lines.iter().for_each(|line| ledger.note(&line));
        writer.wait().unwrap();
    }
    let edgesvc = Edgesvc::start_in(&world, &home, &["--proxy-mode", "none", "--listen", "none"]);
    ledger.compare(&edgesvc, ROUNDS);
    assert!(ledger.present.len() > ROUNDS, "too few writes to prove anything: {}", ledger.present.len());
}

fn start_writer(world: &World, home: &Home, round: usize) -> (Child, mpsc::Receiver<String>) {
    let mut command = world.command(NODE, "python3");
    command.args(["-", &home.socket(), &format!("r{round}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(WRITER.as_bytes()).unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    (child, receive)
}

/// What the daemon has acknowledged so far.
#[derive(Default)]
struct Ledger {
    /// Service to cluster IP.
    present: BTreeMap<String, String>,
    gone: BTreeSet<String>,
    /// A deletion was sent and not answered: either outcome is right.
    open: BTreeSet<String>,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        match words[0].as_str() {
            "created" => drop(self.present.insert(words[1].clone(), words[2].clone())),
            "deleting" => drop(self.open.insert(words[1].clone())),
            "deleted" => {
                self.open.remove(&words[1]);
                self.present.remove(&words[1]);
                self.gone.insert(words[1].clone());
            }
            other => panic!("the writer said {other}"),
        }
    }

    fn compare(&mut self, edgesvc: &Edgesvc<'_>, round: usize) {
        let text = edgesvc.http("/api/v1/services").ok();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no list: {text}"));
        let mut stored = BTreeMap::new();
        let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for item in list["items"].as_array().expect("a list has items") {
            let name = item["metadata"]["name"].as_str().unwrap().to_owned();
            let address = item["spec"]["clusterIP"].as_str().unwrap().to_owned();
            assert!(addresses.insert(address.clone()), "round {round}: {address} is given twice");
            if let Some(port) = item["spec"]["ports"][0]["nodePort"].as_u64() {
                assert!(ports.insert(port), "round {round}: node port {port} is given twice");
            }
            stored.insert(name, address);
        }
        for name in std::mem::take(&mut self.open) {
            if !stored.contains_key(&name) {
                self.present.remove(&name);
            }
        }
        for (name, address) in &self.present {
            assert_eq!(stored.get(name), Some(address), "round {round}: acknowledged {name} is not as it was");
        }
        for name in &self.gone {
            assert!(!stored.contains_key(name), "round {round}: deleted {name} is back");
        }
    }
}

/// What was acknowledged stays, reads and traffic go on, and writes succeed again
/// as soon as there is room.
#[test]
fn a_full_disk_refuses_writes_by_name_and_loses_nothing() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let data = home.text_path("data");
    world.run(NODE, &["mkdir", &data]).ok();
    world.run(NODE, &["mount", "-t", "tmpfs", "-o", "size=2m", "full", &data]).ok();
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    let large = "x".repeat(20_000);
    let object =
        |n: usize| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata: {{k: {large}}}\n");
    let mut kept = 0;
    let refusal = loop {
        let output = home.cli_with(&world, &["apply", "-f", "-"], &object(kept));
        if output.code != 0 {
            break output.stderr;
        }
        kept += 1;
        assert!(kept < 500, "two megabytes never were full");
    };
    assert!(refusal.contains("ServiceUnavailable") && refusal.contains("No space left"), "{refusal}");
    let count = |edgesvc: &Edgesvc| edgesvc.cli(&["get", "configmaps", "-o", "name"]).ok().lines().count();
    assert_eq!(count(&edgesvc), kept);
    assert!(edgesvc.http("/readyz").stdout.contains("[-]store failed"));
    world.run(NODE, &["mount", "-o", "remount,size=20m", &data]).ok();
    home.cli_with(&world, &["apply", "-f", "-"], &object(kept)).ok();
    edgesvc.kill();
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    assert_eq!(count(&edgesvc), kept + 1);
}
