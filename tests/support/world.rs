//! A throwaway world: one node, a client on its LAN, three backends on a bridge.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::Output;

/// A network namespace of the world.
pub(crate) type Place = &'static str;

/// The box edgesvc runs on.
pub(crate) const NODE: Place = "node";
/// Another host of the node's LAN, with the node as its default gateway.
pub(crate) const CLIENT: Place = "client";
/// Where Services' endpoints run: name, address, IPv6 address.
pub(crate) const BACKENDS: [(Place, &str, &str); 3] = [
    ("backend1", "10.9.0.11", "fd09::11"),
    ("backend2", "10.9.0.12", "fd09::12"),
    ("backend3", "10.9.0.13", "fd09::13"),
];
/// The node's address on the client's side.
pub(crate) const NODE_ADDRESS: &str = "192.168.5.1";
/// The client's address.
pub(crate) const CLIENT_ADDRESS: &str = "192.168.5.2";

/// Namespaces that die with this value, and with this process in any case.
pub(crate) struct World {
    holder: Child,
    pid: String,
}

/// The first process: says its id as this process sees it (/proc is still the
/// outer one), builds the world, and lives until its standard input ends.
const HOLDER: &str =
    concat!("read -r pid _ </proc/self/stat\n", include_str!("world.sh"), "\necho \"ready $pid\"\nexec cat\n");

impl World {
    /// Builds the world of `world.sh`. Needs no root: only user namespaces.
    pub(crate) fn new() -> World {
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", HOLDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (Debian: util-linux) runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("a line");
        let Some(pid) = line.trim().strip_prefix("ready ").map(str::to_owned) else {
            panic!(
                "no world: user namespaces must be allowed (sysctl kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns), and ip (Debian: iproute2) installed"
            );
        };
        World { holder, pid }
    }

    /// A command that will run at `place`; its process id is not the child's (see [`World::inner_pid`]).
    pub(crate) fn command(&self, place: Place, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "--user", "--mount", "--net", "--pid", "--preserve-credentials", "--"]);
        if place != NODE {
            command.args(["nsenter", &format!("--net=/run/netns/{place}"), "--"]);
        }
        command.arg(program);
        command
    }

    /// Runs a program at `place` to its end.
    pub(crate) fn run(&self, place: Place, words: &[&str]) -> Output {
        self.run_with(place, words, "")
    }

    /// Runs a program at `place` with `input` on its standard input.
    pub(crate) fn run_with(&self, place: Place, words: &[&str], input: &str) -> Output {
        let mut command = self.command(place, words[0]);
        command.args(&words[1..]);
        Output::of(command, input)
    }

    /// The process that `nsenter` started for us: `nsenter` itself stays outside.
    pub(crate) fn inner_pid(child: &Child) -> Option<String> {
        let id = child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// What a GET from `place` answers, within two seconds.
    pub(crate) fn get(&self, place: Place, url: &str) -> Result<String, String> {
        let words = ["curl", "--silent", "--show-error", "--noproxy", "*", "--globoff", "--max-time", "2", url];
        self.run(place, &words).result().map(|text| text.trim().to_owned())
    }

    /// How many of `count` GETs from `place` each backend answered, by its name.
    pub(crate) fn spread(&self, place: Place, url: &str, count: usize) -> std::collections::BTreeMap<String, usize> {
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..count {
            let answer = self.get(place, url).unwrap_or_else(|why| format!("error: {why}"));
            // The second word is the address the backend saw.
            let name = answer.split_once(" from ").map_or_else(|| answer.clone(), |(name, _)| name.to_owned());
            *seen.entry(name).or_default() += 1;
        }
        seen
    }

    /// What `dig +short` says at `place`, line by line and sorted.
    pub(crate) fn dig(&self, place: Place, server: &str, question: &[&str]) -> Vec<String> {
        let at = format!("@{server}");
        let mut words = vec!["dig", at.as_str(), "+short", "+time=2", "+tries=2"];
        words.extend(question);
        let mut lines: Vec<_> = self.run(place, &words).stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The whole answer of `dig` at `place`: header, answer and authority.
    pub(crate) fn dig_whole(&self, place: Place, server: &str, question: &[&str]) -> String {
        let at = format!("@{server}");
        let mut words = vec!["dig", at.as_str(), "+time=2", "+tries=2"];
        words.extend(question);
        self.run(place, &words).ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // unshare's --kill-child takes the first process, the kernel all others.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
