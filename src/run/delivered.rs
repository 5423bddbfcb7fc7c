//! How each Service is delivered and whether endpoints see the client's address, as
//! `edgesvc status services` shows it: what the kernel holds, joined with what keeps
//! a Service out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::api::server::Scope;
use crate::dataplane::{self, Deliveries, Delivery, Path, Refusals};
use crate::desired::{self, Contribution, Verdict};
use crate::model::service::ServiceType;
use crate::model::{Kind, Protocol, Service};
use crate::store::Snapshot;

/// Different reasons that the line of a Service names; its endpoints tell all.
const REASONS_MAX: usize = 2;

/// What is known beside the kernel's tables.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) facts: &'a desired::Facts,
    pub(super) ranges: &'a [IpNet],
    /// The Services that the kernel refuses.
    pub(super) refused: &'a Refusals,
    /// The relay carries every Service.
    pub(super) all_relayed: bool,
}

/// The Services of a scope, in the order of their keys. `options` are absent where the
/// kernel's tables carry nothing.
pub(super) fn delivered(
    known: &Known<'_>,
    contributions: &[Arc<Contribution>],
    scope: &Scope,
    options: Option<&dataplane::Options>,
) -> Result<Value, String> {
    let wanted: Vec<&Arc<Contribution>> = contributions.iter().filter(|one| scope.admits(&one.key)).collect();
    let direct = wanted.iter().filter(|one| !one.relayed).flat_map(|one| addresses(one)).map(|at| at.1.ip());
    let found = match options {
        Some(options) => dataplane::deliveries(options, direct.collect()).map_err(|error| error.to_string())?,
        None => Deliveries::default(),
    };
    let rows: Vec<Value> = wanted.iter().filter_map(|one| row(known, one, &found)).collect();
    Ok(json!({ "services": rows, "foreignTranslators": found.foreign }))
}

/// The endpoints of new connections, each once.
fn addresses(contribution: &Contribution) -> BTreeSet<(Protocol, SocketAddr)> {
    let frontends = contribution.frontends.iter();
    frontends.flat_map(|frontend| frontend.endpoints().map(|at| (frontend.protocol, at))).collect()
}

/// One endpoint, in words.
struct Line {
    endpoint: String,
    protocol: &'static str,
    link: Option<String>,
    gateway: Option<IpAddr>,
    delivery: &'static str,
    /// Empty where nobody gets there.
    client_address: &'static str,
    message: String,
    clients: Vec<Value>,
}

fn row(known: &Known<'_>, contribution: &Contribution, found: &Deliveries) -> Option<Value> {
    let key = &contribution.key;
    let service = known.snapshot.get(Kind::Service, key)?.as_service()?;
    let relayed = known.all_relayed || contribution.relayed;
    let refused = known.refused.get(key);
    let lines = addresses(contribution).into_iter().map(|(protocol, at)| match (refused, relayed) {
        (Some(why), _) => {
            without(at.to_string(), protocol.as_str(), "KernelRefused", format!("the kernel refuses: {why}"))
        }
        (None, true) => relay(at, protocol),
        (None, false) => line(at, protocol, found.endpoints.get(&at.ip())),
    });
    let mut lines: Vec<Line> = lines.collect();
    let skipped = desired::misplaced(known.snapshot, key, known.ranges);
    let skipped = skipped.iter().map(|addr| {
        without(addr.to_string(), "", "Skipped", "it is a cluster IP itself, to which no connection is led".to_owned())
    });
    lines.extend(skipped.filter(|_| !contribution.cluster_ips.is_empty()));
    let (delivery, mut message) = match nobody(service, contribution, refused, &lines) {
        Some((delivery, message)) => (delivery.to_owned(), message),
        None => (joined(lines.iter().map(|line| line.delivery)), reasons(&lines)),
    };
    let left_out = desired::unserved(known.snapshot, key, known.facts);
    for (protocol, why) in &known.facts.unsupported {
        let ports: Vec<String> =
            left_out.iter().filter(|port| port.0 == *protocol).map(|port| port.1.to_string()).collect();
        if !ports.is_empty() {
            message = format!("{message}; left out: {} {} ({why})", protocol.as_str(), ports.join(", "));
        }
    }
    let sights: BTreeSet<&str> = lines.iter().map(|line| line.client_address).filter(|word| !word.is_empty()).collect();
    let client_address = if sights.len() > 1 { "Mixed" } else { sights.first().copied().unwrap_or_default() };
    Some(json!({
        "namespace": &*key.namespace, "name": &*key.name, "delivery": delivery, "clientAddress": client_address,
        "message": message, "endpoints": lines.iter().map(Line::value).collect::<Vec<_>>(),
    }))
}

/// Why no connection to the Service gets anywhere, if none does.
fn nobody(
    service: &Service,
    contribution: &Contribution,
    refused: Option<&String>,
    lines: &[Line],
) -> Option<(&'static str, String)> {
    if let Some(why) = refused {
        let message = format!("the kernel refuses it and holds what it took last: {why}");
        return Some(("KernelRefused", message));
    }
    if service.spec.r#type == ServiceType::ExternalName {
        return Some(("NamesOnly", "ExternalName: clients are given another name".to_owned()));
    }
    if service.is_headless() {
        return Some(("NamesOnly", "headless: clients are given the endpoints' addresses".to_owned()));
    }
    if contribution.cluster_ips.is_empty() {
        return Some(("OtherProxy", "its label service-proxy-name gives it to another proxy".to_owned()));
    }
    if lines.iter().any(|line| line.delivery != "Skipped") {
        return None;
    }
    let dropped = contribution.frontends.iter().any(|frontend| frontend.verdict == Verdict::Drop);
    Some(if dropped {
        (
            "NoEndpoints",
            "no endpoint on this box, where the traffic policy is Local: connections are dropped".to_owned(),
        )
    } else {
        ("NoEndpoints", "no endpoint takes connections: they are refused".to_owned())
    })
}

fn line(at: SocketAddr, protocol: Protocol, found: Option<&Delivery>) -> Line {
    let Some(found) = found else {
        return without(at.to_string(), protocol.as_str(), "NotHeld", "the kernel does not hold it (yet)".to_owned());
    };
    let word = |kept| if kept { "Kept" } else { "Masqueraded" };
    let (delivery, by) = match &found.path {
        Path::Local => ("Local", String::new()),
        Path::Direct => ("Direct", String::new()),
        Path::ForwardMark(chains) => ("ForwardMark", format!("passes {} by its mark; ", chains.join(", "))),
        Path::Blocked(chains) => ("Blocked", format!("{} may drop it; ", chains.join(", "))),
        Path::NoRoute => ("NoRoute", "the box has no route to it".to_owned()),
        Path::NotHeld => ("NotHeld", "the kernel does not hold it (yet)".to_owned()),
    };
    let last = found.sights.last();
    let others: Vec<&str> = found.sights.iter().map(|sight| sight.clients.as_str()).filter(|c| !c.is_empty()).collect();
    let (kept, masqueraded): (Vec<_>, Vec<_>) = found.sights.iter().partition(|sight| sight.kept);
    let exceptions = match last {
        Some(last) if !others.is_empty() => {
            let unlike = if last.kept { masqueraded } else { kept };
            let unlike: Vec<&str> = unlike.iter().map(|sight| sight.clients.as_str()).collect();
            if unlike.is_empty() { String::new() } else { format!(" ({} for {})", word(!last.kept), unlike.join(", ")) }
        }
        _ => String::new(),
    };
    let clients = found.sights.iter().map(|sight| {
        let clients = if sight.clients.is_empty() { "all others" } else { &sight.clients };
        json!({"clients": clients, "clientAddress": word(sight.kept), "message": sight.why})
    });
    Line {
        endpoint: at.to_string(),
        protocol: protocol.as_str(),
        link: found.link.clone(),
        gateway: found.gateway,
        delivery,
        client_address: last.map(|last| word(last.kept)).unwrap_or_default(),
        message: format!("{by}{}{exceptions}", last.map(|last| last.why.as_str()).unwrap_or_default()),
        clients: clients.collect(),
    }
}

fn relay(at: SocketAddr, protocol: Protocol) -> Line {
    let message = "the relay connects anew: the endpoint sees the box's address".to_owned();
    let clients = vec![json!({"clients": "all others", "clientAddress": "Masqueraded", "message": message})];
    Line { client_address: "Masqueraded", clients, ..without(at.to_string(), protocol.as_str(), "Relay", message) }
}

/// An endpoint that nobody gets to.
fn without(endpoint: String, protocol: &'static str, delivery: &'static str, message: String) -> Line {
    let (link, gateway, client_address, clients) = (None, None, "", Vec::new());
    Line { endpoint, protocol, link, gateway, delivery, client_address, message, clients }
}

impl Line {
    fn value(&self) -> Value {
        json!({
            "endpoint": self.endpoint, "protocol": self.protocol, "link": self.link, "gateway": self.gateway,
            "delivery": self.delivery, "clientAddress": self.client_address, "message": self.message,
            "clients": self.clients,
        })
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

/// The reasons of all endpoints, those of most first.
fn reasons(lines: &[Line]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    lines.iter().for_each(|line| *counts.entry(&line.message).or_default() += 1);
    let mut reasons: Vec<(&str, usize)> = counts.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = reasons.len().saturating_sub(REASONS_MAX);
    let mut words: Vec<String> = reasons.iter().take(REASONS_MAX).map(|(words, _)| (*words).to_owned()).collect();
    words.extend((more > 0).then(|| format!("and {more} more (-o wide)")));
    words.join("; ")
}
