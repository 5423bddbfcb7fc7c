//! From a question and the box to what happens. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::evaluate::{End, Event, Surroundings, Walk, What};
use super::packet::Packet;
use super::tell;
use super::{Leg, Origin, Question, Trace};
use crate::dataplane::box_links::LinkState;
use crate::dataplane::ruleset::Ruleset;
use crate::dataplane::table::TABLE;

/// Choices followed; a Service has at most as many endpoints as tell something.
const CHOICES_MAX: u32 = 256;
/// A client's port: any of those the kernel gives.
const CLIENT_PORT: u16 = 40_000;
/// Hooks.
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// Types of routes and addresses.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;

/// What the box holds.
#[derive(Clone, Debug, Default)]
pub(super) struct BoxFacts {
    pub(super) ruleset: Ruleset,
    pub(super) links: Vec<LinkState>,
    pub(super) addrs: Vec<(IpAddr, u8, String)>,
    /// Packets of others are forwarded.
    pub(super) forwards: bool,
    /// Bridged packets meet the rules too.
    pub(super) bridged: bool,
    /// iptables-legacy has rules we cannot read.
    pub(super) legacy: bool,
    pub(super) flows: Vec<Flow>,
}

/// A connection that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) client: IpAddr,
    pub(super) answerer: SocketAddr,
}

/// A question to the routing tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteAsk {
    pub(super) to: IpAddr,
    pub(super) from: Option<IpAddr>,
    /// The link it came in by, 0 for the box's own packets.
    pub(super) iif: u32,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) kind: u8,
    pub(super) oif: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
}

/// Answers [`RouteAsk`], or gives the error number.
pub(super) type Routes<'a> = &'a dyn Fn(RouteAsk) -> Result<Route, i32>;

struct Around<'a> {
    facts: &'a BoxFacts,
    routes: Routes<'a>,
}

impl BoxFacts {
    pub(super) fn link(&self, index: u32) -> Option<&LinkState> {
        self.links.iter().find(|link| link.index == index)
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.addrs.iter().any(|(own, ..)| *own == addr)
    }
}

impl Surroundings for Around<'_> {
    fn address_type(&self, addr: IpAddr, link: Option<u32>) -> u32 {
        let name = link.map(|index| self.link_name(index));
        let on_link = |own: &str| name.is_none_or(|name| name == own);
        if addr.is_loopback() && on_link("lo")
            || self.facts.addrs.iter().any(|(own, _, at)| *own == addr && on_link(at))
        {
            return u32::from(LOCAL);
        }
        if addr.is_multicast() { 5 } else { u32::from(UNICAST) }
    }

    fn way_out(&self, addr: IpAddr) -> u32 {
        (self.routes)(RouteAsk { to: addr, from: None, iif: 0 }).map_or(0, |route| route.oif)
    }

    fn link_name(&self, index: u32) -> &str {
        self.facts.link(index).map_or("", |link| link.name.as_str())
    }

    fn link_addr(&self, index: u32, v4: bool) -> Option<IpAddr> {
        let name = self.link_name(index);
        let of_link = |(addr, _, at): &&(IpAddr, u8, String)| at == name && addr.is_ipv4() == v4;
        self.facts.addrs.iter().find(of_link).map(|(addr, ..)| *addr)
    }
}

/// Where the packet starts.
struct Start {
    packet: Packet,
    words: String,
    /// A program of the box.
    own: bool,
}

/// Follows the connection once for every choice among endpoints.
///
/// # Errors
/// The client's place means nothing on this box.
pub(super) fn follow(question: &Question, facts: &BoxFacts, routes: Routes<'_>) -> Result<Trace, String> {
    let around = Around { facts, routes };
    let start = match start(question, facts, routes)? {
        Ok(start) => start,
        Err(refused) => {
            return Ok(Trace { from: "the box itself".to_owned(), refused: Some(refused), ..Trace::default() });
        }
    };
    let mut trace = Trace { from: start.words.clone(), ..Trace::default() };
    trace.unseen = unseen(facts);
    trace.flows = tell::flows(&facts.flows, start.packet.source);
    let (mut choice, mut choices) = (0, 1);
    while choice < choices {
        let run = run(&around, &start, choice);
        if choice == 0 {
            choices = run.choices.clamp(1, CHOICES_MAX);
            trace.steps.clone_from(&run.before);
            let Some(_) = run.endpoint else {
                trace.refused = run.blocked;
                trace.steps.extend(run.after);
                return Ok(trace);
            };
        }
        add(&mut trace.endpoints, run);
        choice += 1;
    }
    for leg in &mut trace.endpoints {
        leg.of = choices;
    }
    Ok(trace)
}

fn add(legs: &mut Vec<Leg>, run: Run) {
    let endpoint = run.endpoint.map(|at| at.to_string()).unwrap_or_default();
    match legs.iter_mut().find(|leg| leg.endpoint == endpoint) {
        Some(leg) => leg.chosen += 1,
        None => legs.push(Leg { endpoint, chosen: 1, of: 1, steps: run.after, blocked: run.blocked }),
    }
}

fn unseen(facts: &BoxFacts) -> Vec<String> {
    let mut unseen = Vec::new();
    if facts.legacy {
        unseen.push("rules of iptables-legacy: look with iptables-legacy-save".to_owned());
    }
    if !facts.ruleset.tables.iter().any(|table| table.name == TABLE) {
        unseen.push("edgesvc has no tables here: is the daemon running?".to_owned());
    }
    unseen
}

/// Where the client is. `Ok(Err(_))`: the box itself cannot even send.
fn start(question: &Question, facts: &BoxFacts, routes: Routes<'_>) -> Result<Result<Start, String>, String> {
    let to = question.to.ip();
    let packet = |source: IpAddr, iif: u32| Packet {
        protocol: question.protocol.number(),
        source,
        source_port: CLIENT_PORT,
        to,
        port: question.to.port(),
        iif,
        oif: 0,
        original: None,
        answer: false,
        masqueraded: false,
        mark: 0,
    };
    let name = |index: u32| facts.link(index).map_or_else(|| index.to_string(), |link| link.name.clone());
    let own = |from: Option<IpAddr>| match routes(RouteAsk { to, from, iif: 0 }) {
        Err(errno) => Ok(Err(format!("the box has no route to {to} ({}): connect() fails", tell::errno(errno)))),
        Ok(route) => {
            let Some(source) = from.or(route.source) else { return Err(format!("no source address for {to}")) };
            let words = format!("the box itself, by {} from {source}", name(route.oif));
            let mut packet = packet(source, 0);
            packet.oif = route.oif;
            Ok(Ok(Start { packet, words, own: true }))
        }
    };
    let addr = match &question.from {
        Origin::Host => return own(None),
        Origin::Address(addr) if addr.is_ipv4() != to.is_ipv4() => {
            return Err(format!("{addr} and {to} are of different families"));
        }
        Origin::Address(addr) if facts.is_own(*addr) => return own(Some(*addr)),
        Origin::Address(addr) => *addr,
        Origin::Link(link) => {
            return behind(link, to, facts).map(|(source, index, at)| {
                Ok(Start {
                    packet: packet(source, index),
                    words: format!("a client behind {at} (say {source})"),
                    own: false,
                })
            });
        }
    };
    let route = routes(RouteAsk { to: addr, from: None, iif: 0 })
        .map_err(|errno| format!("the box has no route to {addr} ({})", tell::errno(errno)))?;
    let by = route.gateway.map(|gateway| format!(" and gateway {gateway}")).unwrap_or_default();
    let words = format!("{addr}, behind {}{by}", name(route.oif));
    Ok(Ok(Start { packet: packet(addr, route.oif), words, own: false }))
}

/// Some address of a link's network that is not the box's own.
fn behind(name: &str, to: IpAddr, facts: &BoxFacts) -> Result<(IpAddr, u32, String), String> {
    let found = facts.links.iter().find(|link| link.name == name).ok_or_else(|| format!("there is no link {name}"))?;
    // Packets of a bridge's port come in by the bridge.
    let link = found.master.and_then(|master| facts.link(master)).unwrap_or(found);
    let nets = facts.addrs.iter().filter(|(addr, _, at)| *at == link.name && addr.is_ipv4() == to.is_ipv4());
    let guess = nets.filter_map(|(addr, length, _)| IpNet::new(*addr, *length).ok()).find_map(|net| {
        let mut hosts = net.hosts().take(256);
        hosts.find(|host| !facts.is_own(*host) && *host != net.network())
    });
    let guess =
        guess.ok_or_else(|| format!("{} has no network of this family: say the client's address", link.name))?;
    Ok((guess, link.index, link.name.clone()))
}

/// One way through the box.
#[derive(Default)]
struct Run {
    /// What happened before the destination was rewritten, and after.
    before: Vec<String>,
    after: Vec<String>,
    endpoint: Option<SocketAddr>,
    blocked: Option<String>,
    choices: u32,
}

fn run(around: &Around<'_>, start: &Start, choice: u32) -> Run {
    let mut packet = start.packet.clone();
    let mut walk = Walk { ruleset: &around.facts.ruleset, around, choice, choices: 0, events: Vec::new() };
    let end = walk.hook(if start.own { OUTPUT } else { PREROUTING }, &mut packet);
    let mut run = Run { choices: walk.choices, ..Run::default() };
    run.before = tell::events(&walk.events);
    if end == End::Stopped {
        run.blocked = tell::stop(&walk.events);
        return run;
    }
    run.endpoint = packet.original.map(|_| SocketAddr::new(packet.to, packet.port));
    let seen = walk.events.len();
    let gone = onward(around, start, &mut walk, &mut packet, &mut run.after);
    let events = walk.events.get(seen..).unwrap_or_default();
    run.after.extend(tell::events(events));
    if let Err(why) = gone {
        let foreign = tell::not_a_service(around, &packet);
        run.blocked = Some(if run.endpoint.is_some() { why } else { format!("{foreign}; {why}") });
        return run;
    }
    run.after.push(tell::source(events, start.packet.source, packet.source));
    if run.endpoint.is_none() {
        run.blocked = Some(tell::not_a_service(around, &packet));
        return run;
    }
    run.blocked = back(around, start, &packet, &mut run.after).err();
    run
}

/// From the chosen destination to the wire.
fn onward(
    around: &Around<'_>,
    start: &Start,
    walk: &mut Walk<'_>,
    packet: &mut Packet,
    told: &mut Vec<String>,
) -> Result<(), String> {
    let name = |index: u32| around.link_name(index).to_owned();
    let iif = if start.own { 0 } else { packet.iif };
    let route = (around.routes)(RouteAsk { to: packet.to, from: Some(packet.source), iif });
    let route = route.map_err(|errno| tell::no_route(errno, packet, &name(packet.iif), around.facts.forwards))?;
    packet.oif = route.oif;
    let stopped = |walk: &Walk<'_>| tell::stop(&walk.events).unwrap_or_default();
    let through = |walk: &mut Walk<'_>, hook: u32, packet: &mut Packet| match walk.hook(hook, packet) {
        End::Passed => Ok(()),
        End::Stopped => Err(stopped(walk)),
    };
    match route.kind {
        UNICAST | LOCAL | 0 => {}
        kind => return Err(tell::no_way(kind, packet.to)),
    }
    if route.kind == LOCAL {
        told.push(format!("route: {} is an address of the box itself", packet.to));
        if start.own {
            through(walk, POSTROUTING, packet)?;
            packet.iif = route.oif;
            packet.oif = 0;
        }
        return through(walk, INPUT, packet);
    }
    let by = route.gateway.map(|gateway| format!(" by gateway {gateway}")).unwrap_or_default();
    told.push(format!("route: {} is behind {}{by}", packet.to, name(route.oif)));
    if around.facts.link(route.oif).is_some_and(|link| !link.up) {
        return Err(format!("link {} is down: ip link set {0} up", name(route.oif)));
    }
    if !start.own {
        if !around.facts.forwards {
            return Err(
                "forwarding is off: sysctl -w net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1)".to_owned()
            );
        }
        through(walk, FORWARD, packet)?;
    }
    through(walk, POSTROUTING, packet)
}

/// The answer's way.
fn back(around: &Around<'_>, start: &Start, sent: &Packet, told: &mut Vec<String>) -> Result<(), String> {
    let client = start.packet.source;
    let name = |index: u32| around.link_name(index).to_owned();
    let local = around.address_type(sent.to, None) == u32::from(LOCAL);
    if !start.own && !sent.masqueraded && !local {
        if sent.oif == start.packet.iif && !around.facts.bridged {
            return Err(format!(
                "client and endpoint are both behind {}: the answer goes straight to the client, which does not know the endpoint",
                name(sent.oif)
            ));
        }
        let route = (around.routes)(RouteAsk { to: sent.to, from: None, iif: 0 });
        if let Ok(Route { gateway: Some(gateway), .. }) = route {
            told.push(format!("answer: comes back only if {gateway} sends packets for {client} to this box"));
        }
    }
    let mut answer = Packet {
        source: sent.to,
        source_port: sent.port,
        to: client,
        port: start.packet.source_port,
        iif: sent.oif,
        oif: start.packet.iif,
        answer: true,
        ..sent.clone()
    };
    let mut walk = Walk { ruleset: &around.facts.ruleset, around, choice: 0, choices: 0, events: Vec::new() };
    let hooks: &[u32] = match (local, start.own) {
        (true, true) => &[INPUT],
        (true, false) => &[OUTPUT, POSTROUTING],
        (false, true) => &[PREROUTING, INPUT],
        (false, false) => &[PREROUTING, FORWARD, POSTROUTING],
    };
    for hook in hooks {
        let end = walk.hook(*hook, &mut answer);
        if end == End::Stopped {
            return Err(format!("the answer is stopped: {}", tell::stop(&walk.events).unwrap_or_default()));
        }
    }
    let doubts = walk.events.iter().filter(|event: &&Event| matches!(event.what, What::Maybe(..)));
    told.extend(doubts.filter_map(tell::event).map(|text| format!("answer: {text}")));
    told.push(format!("answer: from {} back to {client} through this box", sent.to));
    Ok(())
}
