#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

use std::net::{IpAddr, SocketAddr};

use super::follow::{BoxFacts, Flow, Route, RouteAsk, follow};
use super::{Origin, Question, Trace};
use crate::dataplane::Options;
use crate::dataplane::box_links::LinkState;
use crate::dataplane::ruleset::{Chain, Element, Hook, Rule, Ruleset, Set, Table};
use crate::dataplane::table::{
    self, ChainName, Data, Expr, SetName, Slot, TABLE, Verdict, dynamic_chain, octets, of_frontend, rule_body,
    static_chains,
};
use crate::desired::{self, Balance, Frontend, FrontendAddr};
use crate::model::balance::Schedule;
use crate::model::{IpFamily, Protocol};

const VIP: &str = "10.43.0.7";

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn chain(family: IpFamily, made: &table::Chain) -> Chain {
    let hook = made.hook.map(|hook| Hook {
        number: hook.number,
        priority: hook.priority,
        nat: hook.kind == "nat",
        drops: false,
    });
    let rules =
        (1..).zip(&made.rules).map(|(handle, exprs)| Rule { handle, body: rule_body(exprs).as_bytes().to_vec() });
    assert_eq!(family, IpFamily::V4);
    Chain { name: made.name.clone(), hook, rules: rules.collect() }
}

/// The data attribute of an element, as the kernel tells it.
fn told(data: &Data) -> Option<Vec<u8>> {
    match data {
        Data::Nothing => None,
        Data::Verdict(verdict) => Some(verdict.attrs().as_bytes().to_vec()),
        Data::Bytes(bytes) => {
            let mut attrs = crate::dataplane::netlink::Attrs::new();
            attrs.bytes(1, bytes);
            Some(attrs.as_bytes().to_vec())
        }
    }
}

/// Our tables as the kernel would hold them for these frontends.
fn ours(frontends: &[Frontend], more: &[(SetName, Vec<u8>)]) -> Table {
    let options = Options { service_ranges: vec!["10.43.0.0/16".parse().unwrap()], ..Options::default() };
    let family = IpFamily::V4;
    let mut elements: Vec<(Slot, Data)> =
        more.iter().map(|(set, key)| (Slot::new(family, *set, key.clone()), Data::Nothing)).collect();
    let mut chains: Vec<Chain> = static_chains(family, &options).iter().map(|made| chain(family, made)).collect();
    let mut names: Vec<ChainName> = Vec::new();
    for frontend in frontends {
        let (found, wanted) = of_frontend(frontend);
        elements.extend(found);
        names.extend(wanted);
        if let FrontendAddr::Virtual(addr) = frontend.addr {
            elements.push((Slot::new(family, SetName::ClusterIps, octets(addr)), Data::Nothing));
        }
        for ip in table::endpoint_ips(frontend) {
            elements.push((Slot::new(family, SetName::EndpointIps, octets(ip)), Data::Nothing));
            elements.push((Slot::new(family, SetName::Hairpin, [octets(ip), octets(ip)].concat()), Data::Nothing));
        }
    }
    let ranges = table::range_slots(&["10.43.0.0/16".parse().unwrap()]);
    elements.extend(ranges.into_iter().map(|slot| (slot, Data::Nothing)));
    names.sort_unstable();
    names.dedup();
    chains.extend(names.into_iter().map(|name| chain(family, &dynamic_chain(family, name, &Options::default()))));
    let set = |name: SetName| {
        let shape = table::shape(name, family);
        let fields = if shape.interval { shape.fields.iter().map(|field| field.len()).collect() } else { Vec::new() };
        let of_set = elements.iter().filter(|(slot, _)| slot.set == name);
        let element = |(slot, data): &(Slot, Data)| {
            (slot.key.start.clone(), Element { last: slot.key.end.clone(), ends: false, data: told(data) })
        };
        Set {
            name: name.as_str().to_owned(),
            interval: shape.interval,
            fields,
            elements: of_set.map(element).collect(),
            cut: false,
        }
    };
    Table { family: 2, name: TABLE.to_owned(), chains, sets: SetName::ALL.map(set).to_vec() }
}

/// A box with a LAN (eth0, 2), a bridge with containers (br0, 3) and our link.
fn facts(table: Table) -> BoxFacts {
    let link = |index, name: &str| LinkState { index, name: name.to_owned(), up: true, ..LinkState::default() };
    let at = |text: &str, length, link: &str| (addr(text), length, link.to_owned());
    BoxFacts {
        ruleset: Ruleset { tables: vec![table] },
        links: vec![link(1, "lo"), link(2, "eth0"), link(3, "br0"), link(4, "edgesvc0")],
        addrs: vec![at("192.168.5.1", 24, "eth0"), at("10.9.0.1", 24, "br0"), at("10.43.0.10", 32, "edgesvc0")],
        forwards: true,
        ..BoxFacts::default()
    }
}

fn routes(ask: RouteAsk) -> Result<Route, i32> {
    let route = |kind, oif, source: &str| Route { kind, oif, gateway: None, source: Some(addr(source)) };
    let IpAddr::V4(to) = ask.to else { return Err(nix::libc::ENETUNREACH) };
    match to.octets() {
        [192, 168, 5, 1] | [10, 9, 0, 1] => Ok(route(2, 1, "127.0.0.1")),
        [192, 168, 5, _] => Ok(route(1, 2, "192.168.5.1")),
        [10, 9, 0, _] => Ok(route(1, 3, "10.9.0.1")),
        [10, 43, ..] => Ok(route(1, 4, "10.43.0.10")),
        [203, 0, 113, _] => Ok(Route { gateway: Some(addr("192.168.5.254")), ..route(1, 2, "192.168.5.1") }),
        _ => Err(nix::libc::ENETUNREACH),
    }
}

fn frontend(endpoints: &[&str]) -> Frontend {
    let endpoints: Vec<SocketAddr> = endpoints.iter().map(|text| text.parse().unwrap()).collect();
    let verdict = match endpoints.is_empty() {
        true => desired::Verdict::Refuse,
        false => desired::Verdict::Balance(Balance { endpoints, ..Balance::default() }),
    };
    let addr = FrontendAddr::Virtual(addr(VIP));
    Frontend {
        addr,
        protocol: Protocol::Tcp,
        port: 80,
        verdict,
        source_ranges: Vec::new(),
        inside: None,
        kept: Vec::new(),
    }
}

fn ask(facts: &BoxFacts, to: &str, from: &str) -> Trace {
    let from = match from {
        "" => Origin::Host,
        text => text.parse().map_or_else(|_| Origin::Link(text.to_owned()), Origin::Address),
    };
    let question = Question { protocol: Protocol::Tcp, to: to.parse().unwrap(), from };
    follow(&question, facts, &routes).unwrap()
}

fn source_of(trace: &Trace) -> &str {
    trace.endpoints[0].steps.iter().find(|step| step.starts_with("source: ")).unwrap()
}

#[test]
fn every_slot_is_followed_and_the_source_is_told_with_its_reason() {
    let same_link = |index: u32| (SetName::SameLink, [index.to_ne_bytes(), index.to_ne_bytes()].concat());
    let facts = facts(ours(&[frontend(&["10.9.0.11:8080", "10.9.0.12:8080", "10.9.0.13:8080"])], &[same_link(3)]));
    for (from, source) in [
        ("192.168.5.2", "source: kept, the other side sees 192.168.5.2"),
        ("eth0", "source: kept, the other side sees 192.168.5.2"),
        ("", "the other side sees 10.9.0.1: the box's address there belongs to another link"),
        ("10.9.0.11", "the other side sees 10.9.0.1: the client is the endpoint itself"),
        ("10.9.0.77", "the other side sees 10.9.0.1: client and endpoint are on one link"),
    ] {
        let trace = ask(&facts, "10.43.0.7:80", from);
        assert!(trace.reaches(), "{from}: {trace:?}");
        let shares: Vec<_> = trace.endpoints.iter().map(|leg| (leg.endpoint.as_str(), leg.chosen, leg.of)).collect();
        assert_eq!(shares, [("10.9.0.11:8080", 1, 3), ("10.9.0.12:8080", 1, 3), ("10.9.0.13:8080", 1, 3)], "{from}");
        assert!(source_of(&trace).contains(source), "{from}: {}", source_of(&trace));
    }
}

#[test]
fn a_schedule_is_followed_as_far_as_it_can_be_foreseen() {
    let scheduled = |schedule, weights: &[u16]| {
        let mut frontend = frontend(&["10.9.0.11:8080", "10.9.0.12:8080"]);
        if let desired::Verdict::Balance(balance) = &mut frontend.verdict {
            (balance.schedule, balance.weights) = (schedule, weights.into());
        }
        facts(ours(&[frontend], &[]))
    };
    let shares = |facts: &BoxFacts, from: &str| {
        let trace = ask(facts, "10.43.0.7:80", from);
        assert!(trace.reaches(), "{trace:?}");
        let legs = trace.endpoints.iter().map(|leg| (leg.endpoint.clone(), leg.chosen, leg.of)).collect::<Vec<_>>();
        (legs, trace.steps.join("\n"))
    };
    let (legs, steps) = shares(&scheduled(Schedule::Weighted, &[3, 1]), "192.168.5.2");
    assert_eq!(legs, [("10.9.0.11:8080".to_owned(), 3, 4), ("10.9.0.12:8080".to_owned(), 1, 4)]);
    assert!(steps.contains("the next in turn of 4 slots"), "{steps}");
    let hashed = scheduled(Schedule::SourceHash, &[]);
    let mut chosen = std::collections::BTreeSet::new();
    for host in 2..10 {
        let (legs, steps) = shares(&hashed, &format!("192.168.5.{host}"));
        assert!(matches!(legs.as_slice(), [(_, 1, 1)]), "a client has one endpoint: {legs:?}");
        assert!(steps.contains("by the client's address"), "{steps}");
        chosen.extend(legs);
    }
    assert_eq!(chosen.len(), 2, "clients are spread: {chosen:?}");
}

#[test]
fn endpoints_off_the_box_are_masqueraded_or_left_to_their_gateway() {
    let off = (SetName::OffBox, octets(addr("203.0.113.9")));
    let facts = facts(ours(&[frontend(&["203.0.113.9:8080"])], &[off]));
    let trace = ask(&facts, "10.43.0.7:80", "10.9.0.11");
    assert!(trace.reaches() && source_of(&trace).contains("the endpoint is off this box"), "{trace:?}");
    let without = self::facts(ours(&[frontend(&["203.0.113.9:8080"])], &[]));
    let trace = ask(&without, "10.43.0.7:80", "10.9.0.11");
    assert!(
        trace.endpoints[0].steps.iter().any(|s| s.contains("only if 192.168.5.254 sends packets for 10.9.0.11")),
        "{trace:?}"
    );
    let trace = ask(&without, "10.43.0.7:80", "192.168.5.2");
    let blocked = trace.endpoints[0].blocked.as_ref().unwrap();
    assert!(blocked.contains("both behind eth0: the answer goes straight to the client"), "{blocked}");
}

#[test]
fn refusals_are_told_with_their_reason() {
    let mut local = frontend(&["10.9.0.11:1"]);
    local.verdict = desired::Verdict::Drop;
    let mut ranged = frontend(&["10.9.0.11:1"]);
    ranged.source_ranges = vec!["203.0.113.0/24".parse().unwrap()];
    for (frontend, to, words) in [
        (frontend(&[]), "10.43.0.7:80", "no ready endpoint: refused"),
        (frontend(&[]), "10.43.0.7:81", "no such port: refused"),
        (frontend(&[]), "10.43.9.9:80", "no Service has this address of the service range: dropped"),
        (frontend(&[]), "192.168.5.1:80", "is no Service: the box itself answers"),
        (frontend(&[]), "10.9.0.11:80", "is no address of a Service"),
        (local, "10.43.0.7:80", "policy is Local"),
        (ranged, "10.43.0.7:80", "outside loadBalancerSourceRanges"),
    ] {
        let trace = ask(&facts(ours(&[frontend], &[])), to, "192.168.5.2");
        assert!(trace.refused.as_ref().unwrap().contains(words), "{to}: {trace:?}");
    }
}

#[test]
fn what_the_routing_tables_refuse_is_told() {
    let mut facts = facts(ours(&[frontend(&["10.9.0.11:8080"])], &[]));
    let blocked = |facts: &BoxFacts, routes: super::follow::Routes<'_>| {
        let from = Origin::Address(addr("192.168.5.2"));
        let question = Question { protocol: Protocol::Tcp, to: "10.43.0.7:80".parse().unwrap(), from };
        follow(&question, facts, routes).unwrap().endpoints[0].blocked.clone().unwrap()
    };
    for (errno, words) in [
        (nix::libc::EXDEV, "rp_filter of eth0 drops it"),
        (nix::libc::EINVAL, "martian"),
        (nix::libc::ENETUNREACH, "the box has no route to 10.9.0.11"),
    ] {
        let refuse = |ask: RouteAsk| if ask.iif == 0 { routes(ask) } else { Err(errno) };
        let said = blocked(&facts, &refuse);
        assert!(said.contains(words), "{said}");
    }
    let nowhere = |ask: RouteAsk| Ok(Route { kind: if ask.iif == 0 { 1 } else { 6 }, ..routes(ask)? });
    assert!(blocked(&facts, &nowhere).contains("of type blackhole"));
    facts.links[2].up = false;
    assert!(blocked(&facts, &routes).contains("link br0 is down"));
    facts.forwards = false;
    facts.links[2].up = true;
    assert!(blocked(&facts, &routes).contains("forwarding is off"));
}

#[test]
fn a_foreign_chain_stops_the_packet_or_its_answer_by_name() {
    let drop_on = |iif: u32| {
        let value = iif.to_ne_bytes().to_vec();
        let exprs = [
            Expr::Meta { key: 4, word: 0 },
            Expr::Compare { not: false, word: 0, value },
            Expr::Verdict(Verdict::Drop),
        ];
        let hook = Some(Hook { number: 2, priority: 0, nat: false, drops: false });
        let rules = vec![Rule { handle: 9, body: rule_body(&exprs).as_bytes().to_vec() }];
        Table {
            family: 1,
            name: "fw".to_owned(),
            chains: vec![Chain { name: "fwd".to_owned(), hook, rules }],
            sets: vec![],
        }
    };
    for (iif, words) in [
        (2, "dropped by table inet fw, chain fwd, rule handle 9"),
        (3, "the answer is stopped: dropped by table inet fw, chain fwd, rule handle 9"),
    ] {
        let mut facts = facts(ours(&[frontend(&["10.9.0.11:8080"])], &[]));
        facts.ruleset.tables.push(drop_on(iif));
        let trace = ask(&facts, "10.43.0.7:80", "192.168.5.2");
        assert_eq!(trace.endpoints[0].blocked.as_deref(), Some(words));
        assert!(ask(&facts, "10.43.0.7:80", "").reaches(), "the box's own packets are not forwarded");
    }
}

#[test]
fn connections_and_blind_spots_are_told() {
    let mut facts = facts(ours(&[frontend(&["10.9.0.11:8080"])], &[]));
    let flow = |client: &str| Flow { client: addr(client), answerer: "10.9.0.99:8080".parse().unwrap() };
    facts.flows = vec![flow("192.168.5.2"), flow("192.168.5.3"), flow("192.168.5.2")];
    facts.legacy = true;
    let trace = ask(&facts, "10.43.0.7:80", "192.168.5.2");
    assert_eq!(trace.flows, ["2 connections of 192.168.5.2 stay with 10.9.0.99:8080 until they end"]);
    assert!(trace.unseen[0].contains("iptables-legacy"));
    facts.ruleset.tables.clear();
    let trace = ask(&facts, "10.43.0.7:80", "192.168.5.2");
    assert!(!trace.reaches() && trace.unseen[1].contains("is the daemon running"), "{trace:?}");
}
