//! What happened, as a person would explain it. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::evaluate::{Event, Surroundings, What};
use super::follow::Flow;
use super::packet::Packet;
use crate::dataplane::table::{ChainName, How, Side, TABLE, Way};

/// Where it happened: table, chain and rule, as `nft -a list` numbers them.
fn place(event: &Event) -> String {
    let rule = if event.handle == 0 { String::new() } else { format!(", rule handle {}", event.handle) };
    format!("table {}, chain {}{rule}", event.table, event.chain)
}

fn is_ours(event: &Event) -> bool {
    event.table.ends_with(&format!(" {TABLE}"))
}

/// One line per event that tells.
pub(super) fn events(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(event).collect()
}

/// A line for an event that does not end the way.
pub(super) fn event(event: &Event) -> Option<String> {
    let found = event.sets.iter().map(|set| format!("`{set}` has it")).collect::<Vec<_>>().join(", ");
    let words = match &event.what {
        What::Led(chain) if is_ours(event) => format!("{found}: {}", led(chain)),
        What::Led(chain) => format!("{found}, goes to chain {chain}"),
        What::Translated if is_ours(event) && event.sets.iter().any(|set| set.ends_with("affinity")) => {
            "the client has an affinity entry and keeps its endpoint".to_owned()
        }
        What::Translated if is_ours(event) => "the destination becomes the endpoint".to_owned(),
        What::Translated => "a foreign rule rewrites the destination".to_owned(),
        What::Maybe(what, why) => format!("may be {}: depends on {why}, which cannot be computed here", stopped(what)),
        // Told by `source`, and as the reason for which the connection fails.
        What::Masqueraded(_) | What::Dropped | What::Rejected | What::Policy | What::Handed => return None,
    };
    Some(format!("{}: {words}", place(event)))
}

fn stopped(what: &What) -> &'static str {
    match what {
        What::Dropped => "dropped",
        What::Rejected => "rejected",
        What::Policy => "dropped by the chain's policy",
        What::Handed => "handed to a program or redirected",
        What::Masqueraded(_) | What::Translated | What::Led(_) | What::Maybe(..) => "changed",
    }
}

/// What a chain of ours means.
fn led(chain: &str) -> String {
    let way = match ChainName::parse(chain) {
        None => return format!("chain {chain}"),
        Some(ChainName::Remember(_)) => return format!("{chain}, the client's endpoint is remembered"),
        Some(ChainName::Way(way)) => way,
        Some(ChainName::Hooked(_)) => return chain.to_owned(),
    };
    let (count, inside) = match way.side {
        Side::Others(count) | Side::Both { others: count, .. } => (count, ""),
        Side::Inside(count) => (count, ", as for every client inside"),
    };
    match way {
        Way { filter: true, .. } => format!("{chain}, clients of loadBalancerSourceRanges only"),
        Way { side: Side::Both { .. }, .. } => {
            format!("{chain}, policy Local: clients inside go to any endpoint, others to those on this box")
        }
        Way { affinity: Some(_), .. } => format!("{chain}, the endpoint the client had (affinity), or one of {count}"),
        Way { how, .. } => format!("{chain}, {}{inside}", chosen(how, count)),
    }
}

fn chosen(how: How, count: u32) -> String {
    match how {
        How::Random => format!("one of {count} endpoints at random"),
        How::SourceHash => format!("one of {count} slots by the client's address"),
        How::DestinationHash => format!("one of {count} endpoints by the address connected to"),
        How::Turn(_) => format!("the next in turn of {count} slots"),
        How::Live(_) => format!("the next of {count} turns, written ahead by open connections"),
    }
}

/// Why the packet was stopped, by the last thing that happened.
pub(super) fn stop(events: &[Event]) -> Option<String> {
    let last = events.last()?;
    let led_here = events.iter().rev().find(|event| matches!(event.what, What::Led(_)));
    let by = |set: &str| led_here.is_some_and(|event| event.sets.iter().any(|known| known == set));
    let why = match last.what {
        What::Rejected if is_ours(last) && by("cluster-ips") => "the Service has no such port: refused".to_owned(),
        What::Rejected if is_ours(last) => "the Service has no ready endpoint: refused".to_owned(),
        What::Dropped if is_ours(last) && last.sets.iter().any(|set| set == "services" || set == "nodeports") => {
            "the Service's policy is Local and no endpoint is on this box: dropped".to_owned()
        }
        What::Dropped if is_ours(last) && last.chain == "dispatch" => {
            "no Service has this address of the service range: dropped".to_owned()
        }
        What::Dropped if is_ours(last) => "the client is outside loadBalancerSourceRanges: dropped".to_owned(),
        ref what => return Some(format!("{} by {}{}", stopped(what), place(last), mend(last))),
    };
    Some(format!("{why} ({})", place(last)))
}

fn mend(event: &Event) -> String {
    let chain = event.chain.as_str();
    if chain.starts_with("DOCKER") || event.table.contains("docker") {
        " (Docker: publish the port, or accept it in DOCKER-USER)".to_owned()
    } else if event.table.contains("firewalld") {
        " (firewalld: allow forwarding between the zones by a policy)".to_owned()
    } else if chain.starts_with("ufw") {
        " (ufw route allow ...)".to_owned()
    } else if event.what == What::Policy {
        " (needs a rule there that accepts: an accept elsewhere is not final)".to_owned()
    } else {
        String::new()
    }
}

/// Whom the endpoint sees, and why.
pub(super) fn source(events: &[Event], client: IpAddr, seen: IpAddr) -> String {
    let Some(event) = events.iter().find(|event| matches!(event.what, What::Masqueraded(_))) else {
        return format!("source: kept, the other side sees {client}");
    };
    let in_set = |name: &str| event.sets.iter().any(|set| set == name);
    let why = if !is_ours(event) {
        "a foreign rule says so"
    } else if event.what != What::Masqueraded(None) {
        "client and endpoint are of this box, which talks to itself from the address it asks"
    } else if in_set("hairpin") {
        "the client is the endpoint itself"
    } else if in_set("same-link") {
        "client and endpoint are on one link, and the answer would bypass this box"
    } else if in_set("off-box") {
        "the endpoint is off this box, and the answer would bypass it"
    } else {
        "the box's address there belongs to another link"
    };
    format!("source: masqueraded, the other side sees {seen}: {why} ({})", place(event))
}

/// The connections of one client.
pub(super) fn flows(flows: &[Flow], client: IpAddr) -> Vec<String> {
    let mut by: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for flow in flows.iter().filter(|flow| flow.client == client) {
        *by.entry(flow.answerer).or_default() += 1;
    }
    by.into_iter().map(|(at, count)| format!("{count} connections of {client} stay with {at} until they end")).collect()
}

/// The destination was not rewritten.
pub(super) fn not_a_service(around: &dyn Surroundings, packet: &Packet) -> String {
    if around.address_type(packet.to, None) == 2 {
        return format!("{}:{} is no Service: the box itself answers or refuses", packet.to, packet.port);
    }
    format!("{} is no address of a Service: the packet is routed like any other", packet.to)
}

/// Why the routing tables have no answer.
pub(super) fn no_route(errno: i32, packet: &Packet, link: &str, forwards: bool) -> String {
    use nix::libc::{EHOSTUNREACH, EINVAL, EXDEV};
    match errno {
        EXDEV => format!(
            "rp_filter of {link} drops it: the way back to {} is not by {link} (sysctl -w net.ipv4.conf.{link}.rp_filter=2)",
            packet.source
        ),
        EINVAL => format!("the kernel takes {} for a forged source (martian)", packet.source),
        EHOSTUNREACH if !forwards => "forwarding is off: sysctl -w net.ipv4.ip_forward=1".to_owned(),
        _ => format!("the box has no route to {} ({})", packet.to, self::errno(errno)),
    }
}

/// A route that leads nowhere.
pub(super) fn no_way(kind: u8, to: IpAddr) -> String {
    let word = match kind {
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => "no unicast",
    };
    format!("the route to {to} is of type {word}: ip route get {to}")
}

pub(super) fn errno(errno: i32) -> String {
    nix::errno::Errno::from_raw(errno).desc().to_owned()
}
