//! What is in effect, and what is wrong with it. Pure.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::facts::{Facts, Paths, Record};
use super::plan::{Asked, Way, plan_setup, ways_set_up};
use super::resolv_conf::parsed;
use super::ways::{asks_resolved_itself, is_resolved};
use super::wish::Wish;

/// What was asked over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each address of the cluster DNS, and why it does not answer.
    pub cluster: Vec<(IpAddr, Result<(), String>)>,
    /// The first server of resolv.conf, and the addresses it has for the API's name.
    pub system: Option<(SocketAddr, Result<Vec<IpAddr>, String>)>,
    /// Whom edgesvc asks for other names.
    pub upstreams: Vec<String>,
    /// Others' sockets on port 53.
    pub taken: Vec<SocketAddr>,
}

/// The state of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Label and words.
    pub lines: Vec<(&'static str, String)>,
    /// What is wrong; nothing where nothing is set up.
    pub faults: Vec<String>,
    /// The same for programs.
    pub json: Value,
}

/// What of the setup is not in effect; nothing where nothing is set up.
pub fn faults(facts: &Facts, paths: &Paths, wish: &Wish) -> Vec<String> {
    let there = ways_set_up(facts);
    let mut faults = Vec::new();
    let Some(way) = there.first() else { return faults };
    if there.len() > 1 {
        let names: Vec<&str> = there.iter().map(|way| way.as_str()).collect();
        faults.push(format!("set up in several ways: {}; `edgesvc dns undo`, then set up once", names.join(", ")));
    }
    let server = wish.server().map(|at| at.to_string()).unwrap_or_default();
    match plan_setup(facts, paths, wish, &Asked { answers: true, ..Asked::default() }) {
        Err(refusal) => faults.push(refusal.0),
        Ok(plan) if !plan.steps.is_empty() => faults.push(match way {
            Way::SystemdResolved => "systemd-resolved does not know our link's names; `edgesvc dns setup` tells it".to_owned(),
            Way::NetworkManager | Way::File if super::ways::is_ours(facts) => {
                "/etc/resolv.conf was written for another configuration; `edgesvc dns setup` writes it anew".to_owned()
            }
            Way::NetworkManager | Way::File => "/etc/resolv.conf was written anew by somebody else; `edgesvc dns setup` again, and from the hook of whoever writes it".to_owned(),
            Way::Resolvconf => "resolvconf's configuration differs; `edgesvc dns setup` writes it anew".to_owned(),
        }),
        Ok(_) if *way == Way::Resolvconf => {
            let text = facts.resolv_conf.as_ref().map(|file| file.text.as_str()).unwrap_or_default();
            if !parsed(text).servers.contains(&server.as_str()) {
                faults.push("/etc/resolv.conf does not name edgesvc: resolvconf does not write it, or was not called (resolvconf -u)".to_owned());
            }
        }
        Ok(_) => {}
    }
    if *way == Way::SystemdResolved && !facts.link {
        faults.push(super::plan::without_link());
    }
    faults
}

/// Puts it together.
pub fn report(facts: &Facts, paths: &Paths, wish: &Wish, answers: &Answers) -> Report {
    let there = ways_set_up(facts);
    let mut faults = faults(facts, paths, wish);
    if !there.is_empty() {
        faults.extend(answer_faults(answers, wish));
    }
    let way = there.iter().map(|way| way.as_str()).collect::<Vec<_>>().join(", ");
    let hidden = facts.record == Record::Hidden && there.is_empty();
    let set_up = match (there.is_empty(), hidden, faults.is_empty()) {
        (true, false, _) => "no: programs of the box do not find Services by name (edgesvc dns setup)".to_owned(),
        (true, true, _) => "not to be seen without root".to_owned(),
        (false, _, true) => format!("with {way}, in effect"),
        (false, _, false) => format!("with {way}"),
    };
    let name = wish.known_name();
    let mut lines = vec![("set up", set_up), ("resolv.conf", kept_by(facts))];
    let search = facts.resolv_conf.as_ref().map(|file| parsed(&file.text).search.join(" ")).unwrap_or_default();
    lines.push(("search list", if search.is_empty() { "none".to_owned() } else { search.clone() }));
    if let Some(hosts) = &facts.nsswitch {
        lines.push(("nsswitch", hosts.clone()));
    }
    for (addr, answer) in &answers.cluster {
        let words = answer.as_ref().map_or_else(|why| format!("does not answer: {why}"), |()| "answers".to_owned());
        lines.push(("cluster DNS", format!("{addr} {words}")));
    }
    if let Some((server, found)) = &answers.system {
        lines.push(("system", format!("{} says of {name}: {}", server.ip(), found_words(found))));
    }
    lines.push(("other names", format!("edgesvc asks {}", listed(&answers.upstreams, "nobody: it knows no server"))));
    let taken: Vec<String> = answers.taken.iter().map(ToString::to_string).collect();
    lines.push(("others on port 53", listed(&taken, "none")));
    if asks_resolved_itself(facts) {
        lines.push(("note", "programs ask systemd-resolved itself (nss-resolve), which searches names of one word only: SERVICE, or SERVICE.NAMESPACE.svc.DOMAIN in full".to_owned()));
    }
    lines.extend(faults.iter().map(|fault| ("wrong", fault.clone())));
    let json = json!({
        "ways": there.iter().map(|way| way.as_str()).collect::<Vec<_>>(),
        "inEffect": !there.is_empty() && faults.is_empty(),
        "faults": faults,
        "resolvConf": { "keptBy": kept_by(facts), "search": search.split_whitespace().collect::<Vec<_>>() },
        "nsswitch": facts.nsswitch,
        "clusterDNS": answers.cluster.iter().map(|(addr, answer)| json!({ "address": addr, "answers": answer.is_ok(), "fault": answer.as_ref().err() })).collect::<Vec<_>>(),
        "system": answers.system.as_ref().map(|(server, found)| json!({ "server": server.ip(), "name": name, "addresses": found.as_ref().ok(), "fault": found.as_ref().err() })),
        "upstreams": answers.upstreams,
        "othersOnPort53": taken,
    });
    Report { lines, faults, json }
}

fn answer_faults(answers: &Answers, wish: &Wish) -> Vec<String> {
    let mut faults = Vec::new();
    let dead = answers.cluster.iter().filter_map(|(addr, answer)| answer.as_ref().err().map(|why| (addr, why)));
    faults.extend(dead.map(|(addr, why)| format!("edgesvc does not answer at {addr}: {why}")));
    if let Some((server, found)) = &answers.system
        && found.as_ref().is_ok_and(Vec::is_empty)
        && faults.is_empty()
    {
        faults.push(format!("{} does not know {}", server.ip(), wish.known_name()));
    }
    faults
}

fn found_words(found: &Result<Vec<IpAddr>, String>) -> String {
    match found {
        Ok(addrs) => listed(&addrs.iter().map(ToString::to_string).collect::<Vec<_>>(), "unknown"),
        Err(why) => why.clone(),
    }
}

fn listed(words: &[String], none: &str) -> String {
    if words.is_empty() { none.to_owned() } else { words.join(", ") }
}

/// Who keeps resolv.conf.
fn kept_by(facts: &Facts) -> String {
    let Some(file) = &facts.resolv_conf else { return "is not there".to_owned() };
    let whose = if super::ways::is_ours(facts) {
        "edgesvc's".to_owned()
    } else if parsed(&file.text).server().is_some_and(is_resolved) {
        "systemd-resolved's stub".to_owned()
    } else {
        super::plan::keeper(facts).unwrap_or("nobody's who is known").to_owned()
    };
    match &file.link {
        Some(link) => format!("a link to {}, {whose}", link.display()),
        None => format!("a file, {whose}"),
    }
}
