//! What never changes while we run: sets, chains and rules of one family. Pure.
//!
//! A new connection meets one rule that decides everything, the lookup in
//! `services` (or `nodeports`): a Service moves in one step for every packet.

use std::net::IpAddr;

use ipnet::IpNet;

use super::chain::{Affinity, ChainName, How, Remember, Side, Way};
use super::expr::{Expr, Verdict};
use super::owner::OwnerKey;
use super::set::SetName;
use crate::dataplane::Options;
use crate::model::{IpFamily, NodePortAddress, Protocol};

/// Our table, in both families.
pub(in crate::dataplane) const TABLE: &str = "edgesvc";
/// The table that keeps conntrack's hooks while [`TABLE`] is replaced.
pub(in crate::dataplane) const ANCHOR: &str = "edgesvc-anchor";
/// The table that serves new connections while [`TABLE`] is replaced.
pub(in crate::dataplane) const STAND_IN: &str = "edgesvc-stand-in";

/// Whether a table is one of ours.
pub(in crate::dataplane) fn is_ours(table: &str) -> bool {
    [TABLE, ANCHOR, STAND_IN].contains(&table)
}

/// Where the slots of endpoints begin that only clients inside get.
pub(in crate::dataplane) const INSIDE_SLOTS: u32 = 1 << 31;
/// Begins the hash of an address. Fixed, so that a client stays where it is when the box
/// starts again; who could choose addresses by it gains nothing but one endpoint's load.
pub(in crate::dataplane) const HASH_SEED: u32 = 0x6564_6765;
/// A base chain's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Hook {
    pub(in crate::dataplane) kind: &'static str,
    pub(in crate::dataplane) number: u32,
    pub(in crate::dataplane) priority: i32,
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Chain {
    pub(in crate::dataplane) name: String,
    pub(in crate::dataplane) hook: Option<Hook>,
    pub(in crate::dataplane) rules: Vec<Vec<Expr>>,
}

pub(super) fn chain(name: &str, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

pub(super) fn base(name: &str, kind: &'static str, number: u32, priority: i32, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, number, priority }), rules }
}

/// Words of a family's rules.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) IpFamily);

impl Words {
    pub(super) fn words(self) -> u32 {
        if self.0 == IpFamily::V4 { 1 } else { 4 }
    }

    pub(super) fn saddr(self, word: u32) -> Expr {
        let (offset, len) = if self.0 == IpFamily::V4 { (12, 4) } else { (8, 16) };
        Expr::Network { offset, len, word }
    }

    pub(super) fn daddr(self, word: u32) -> Expr {
        let (offset, len) = if self.0 == IpFamily::V4 { (16, 4) } else { (24, 16) };
        Expr::Network { offset, len, word }
    }

    /// `(ip) daddr . meta l4proto . th dport` from `word` on.
    fn frontend(self, word: u32) -> [Expr; 3] {
        [self.daddr(word), l4proto(word + self.words()), dport(word + self.words() + 1)]
    }

    pub(super) fn original_daddr(self, word: u32) -> Expr {
        Expr::Ct { key: if self.0 == IpFamily::V4 { 20 } else { 22 }, original: true, word }
    }

    fn dnat(self) -> Expr {
        Expr::Dnat { family: self.0, addr: 0, port: Some(self.words()) }
    }

    /// `ip saddr 10.0.0.0/8`, or daddr.
    fn within(self, load: Expr, net: IpNet) -> Vec<Expr> {
        let mask = octets(net.netmask());
        vec![load, Expr::Mask { word: 0, mask }, Expr::Compare { not: false, word: 0, value: octets(net.network()) }]
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    super::element::octets(addr)
}

pub(super) fn l4proto(word: u32) -> Expr {
    Expr::Meta { key: 16, word }
}

fn dport(word: u32) -> Expr {
    Expr::Transport { offset: 2, len: 2, word }
}

pub(super) fn original_dport(word: u32) -> Expr {
    Expr::Ct { key: 12, original: true, word }
}

pub(super) fn goto(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Goto(chain.to_owned()))
}

pub(super) fn is(word: u32, value: &[u8]) -> Expr {
    Expr::Compare { not: false, word, value: value.to_vec() }
}

/// `fib ... type local`
fn local(flags: u32, not: bool) -> [Expr; 2] {
    let value = 2u32.to_ne_bytes().to_vec();
    [Expr::AddressType { flags, word: 0 }, Expr::Compare { not, word: 0, value }]
}

/// `ct state new ct status dnat`, or only the status.
pub(super) fn translated(new: bool) -> Vec<Expr> {
    let bit = |key: u32, bit: u32| {
        let mask = bit.to_ne_bytes().to_vec();
        [
            Expr::Ct { key, original: false, word: 0 },
            Expr::Mask { word: 0, mask },
            Expr::Compare { not: true, word: 0, value: vec![0; 4] },
        ]
    };
    let mut exprs = if new { bit(0, 8).to_vec() } else { Vec::new() };
    exprs.extend(bit(2, 32));
    exprs
}

pub(super) fn joined(parts: impl IntoIterator<Item = Vec<Expr>>) -> Vec<Expr> {
    parts.into_iter().flatten().collect()
}

/// Everything that is there from the start, callees first.
pub(in crate::dataplane) fn static_chains(family: IpFamily, options: &Options) -> Vec<Chain> {
    let w = Words(family);
    let of_family = |net: &&IpNet| IpFamily::of(net.addr()) == family;
    let cidrs: Vec<IpNet> = options.cluster_cidrs.iter().filter(of_family).copied().collect();
    let mut chains = vec![
        chain("refuse", refuse(family)),
        chain("dispatch", dispatch(w, options)),
        chain("remember", remembering(w)),
        chain("masquerading", masquerading(w, &cidrs, options)),
        base("prerouting", "nat", 0, -100, vec![vec![Expr::Verdict(Verdict::Jump("dispatch".to_owned()))]]),
        base("output", "nat", 3, -100, vec![vec![Expr::Verdict(Verdict::Jump("dispatch".to_owned()))]]),
    ];
    if options.count_traffic {
        chains.extend(super::traffic::counting(w));
    }
    chains.extend(untracked(w, options));
    // A client that believes a redirect to the endpoint bypasses us.
    if family == IpFamily::V4 {
        let icmp = vec![l4proto(0), is(0, &[1]), Expr::Transport { offset: 0, len: 1, word: 0 }, is(0, &[5])];
        let rule = joined([icmp, translated(false), vec![Expr::Verdict(Verdict::Drop)]]);
        chains.push(base("redirects", "filter", 3, 0, vec![rule]));
    }
    let ours = vec![w.daddr(0), in_set(SetName::EndpointIps), goto("masquerading")];
    chains.push(base("postrouting", "nat", 4, 100, vec![joined([translated(false), ours])]));
    chains
}

/// DNS is answered by a socket of the box: there is nothing to translate, and an
/// entry for each question would fill the table of a small box. The address is looked at
/// first: most packets are of somebody else. Answers leave from here; over lo they come
/// in as they left.
fn untracked(w: Words, options: &Options) -> Vec<Chain> {
    let dns = options.cluster_dns.iter().filter(|addr| IpFamily::of(**addr) == w.0);
    let rules = |sides: &[(Expr, &str)]| -> Vec<Vec<Expr>> {
        // Who comes back is asked further: the box asks itself from that very address.
        let jump = |chain: &str| Expr::Verdict(Verdict::Jump(chain.to_owned()));
        let to = |(addr, chain): &(Expr, &str), dns| vec![addr.clone(), is(0, &octets(dns)), jump(chain)];
        dns.clone().flat_map(|dns| sides.iter().map(|side| to(side, *dns))).collect()
    };
    let by_port = |offset| {
        let of = |protocol: Protocol| {
            let port = Expr::Transport { offset, len: 2, word: 0 };
            vec![l4proto(0), is(0, &[protocol.number()]), port, is(0, &53u16.to_be_bytes()), Expr::Notrack]
        };
        [Protocol::Udp, Protocol::Tcp].map(of).to_vec()
    };
    if dns.clone().next().is_none() {
        return Vec::new();
    }
    let (questions, answers) = ((w.daddr(0), "untrack-questions"), (w.saddr(0), "untrack-answers"));
    vec![
        chain(questions.1, by_port(2)),
        chain(answers.1, by_port(0)),
        // Before conntrack looks at a packet (nft's `raw`).
        base("untracked", "filter", 0, -300, rules(std::slice::from_ref(&questions))),
        base("untracked-local", "filter", 3, -300, rules(&[questions, answers])),
    ]
}

pub(super) fn in_set(set: SetName) -> Expr {
    Expr::InSet { set: set.as_str(), word: 0, not: false }
}

/// A reset, because ICMP refusals are rate-limited and slow in IPv6.
fn refuse(family: IpFamily) -> Vec<Vec<Expr>> {
    vec![vec![l4proto(0), is(0, &[Protocol::Tcp.number()]), Expr::Reset], vec![Expr::Unreachable(family)]]
}

fn dispatch(w: Words, options: &Options) -> Vec<Vec<Expr>> {
    let family = w.0;
    let mut rules = Vec::new();
    for dns in options.cluster_dns.iter().filter(|addr| IpFamily::of(**addr) == family) {
        rules.push(vec![w.daddr(0), is(0, &octets(*dns)), Expr::Verdict(Verdict::Return)]);
    }
    let services = Expr::VerdictMap { map: SetName::Services.as_str(), word: 0 };
    rules.push(joined([w.frontend(0).to_vec(), vec![services]]));
    rules.push(vec![w.daddr(0), in_set(SetName::ClusterIps), goto("refuse")]);
    // The relay's sockets are reached by translation alone: who came to them past it
    // would be past the source ranges too.
    for addr in options.behind.iter().filter(|addr| IpFamily::of(**addr) == family) {
        rules.push(vec![w.daddr(0), is(0, &octets(*addr)), Expr::Verdict(Verdict::Drop)]);
    }
    // An address that no Service holds. The box's own are spared: a ServiceCIDR laid
    // over its network by mistake would lock everybody out. The client's address, any,
    // stands in the key because our intervals are concatenations, as in `sources`.
    let unheld = vec![w.saddr(0), w.daddr(w.words()), in_set(SetName::ServiceRanges)];
    let not_its_own = match options.address_sets {
        true => vec![w.daddr(0), Expr::InSet { set: SetName::LocalIps.as_str(), word: 0, not: true }],
        false => local(2, true).to_vec(),
    };
    rules.push(joined([unheld, not_its_own, vec![Expr::Verdict(Verdict::Drop)]]));
    // The loopback addresses never take node ports here: the relay answers on them.
    let loopback: Vec<Expr> = match family {
        IpFamily::V4 => vec![Expr::Network { offset: 16, len: 1, word: 0 }, is(0, &[127])],
        IpFamily::V6 => vec![w.daddr(0), is(0, &octets(std::net::Ipv6Addr::LOCALHOST.into()))],
    };
    rules.push(joined([loopback, vec![Expr::Verdict(Verdict::Return)]]));
    let node_port = vec![l4proto(0), dport(1), Expr::VerdictMap { map: SetName::NodePorts.as_str(), word: 0 }];
    if NodePortAddress::all_of(&options.nodeport_addresses, family) {
        let local = match options.address_sets {
            true => vec![w.daddr(0), in_set(SetName::LocalIps)],
            false => local(2, false).to_vec(),
        };
        rules.push(joined([local, node_port]));
    } else {
        rules.push(joined([vec![w.daddr(0), in_set(SetName::NodePortIps)], node_port]));
    }
    rules
}

/// For Services with affinity: to the chain that knows the timeout. The protocol
/// is named because nft gives `ct proto-dst` a type only after it.
fn remembering(w: Words) -> Vec<Vec<Expr>> {
    let mut rules = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let first = vec![l4proto(0), is(0, &[protocol.number()])];
        let n = w.words();
        let services = Expr::VerdictMap { map: SetName::AffinityServices.as_str(), word: 0 };
        let key = vec![w.original_daddr(0), l4proto(n), original_dport(n + 1), services];
        rules.push(joined([first.clone(), key]));
        let node_ports = Expr::VerdictMap { map: SetName::AffinityNodePorts.as_str(), word: 0 };
        rules.push(joined([first, vec![l4proto(0), original_dport(1), node_ports]]));
    }
    rules
}

/// Client addresses are kept unless the reply would not return to us.
fn masquerading(w: Words, cidrs: &[IpNet], options: &Options) -> Vec<Vec<Expr>> {
    let n = w.words();
    let from_other_link = match options.address_sets {
        true => vec![
            w.saddr(0),
            in_set(SetName::LocalIps),
            w.saddr(0),
            Expr::Meta { key: 5, word: n },
            Expr::InSet { set: SetName::LocalOnLink.as_str(), word: 0, not: true },
        ],
        false => [local(1, false), local(1 | 16, true)].concat(),
    };
    let mut rules = vec![
        // A program of the box on a UDP socket of all addresses answers from the client's
        // address, if that is the box's too, unless it is the very one it was asked at.
        vec![
            Expr::Meta { key: 5, word: 0 },
            is(0, &1u32.to_ne_bytes()),
            w.daddr(0),
            Expr::Snat { family: w.0, addr: 0 },
        ],
        vec![w.saddr(0), w.daddr(n), in_set(SetName::Hairpin), Expr::Masquerade],
        vec![
            Expr::Meta { key: 4, word: 0 },
            Expr::Meta { key: 5, word: 1 },
            in_set(SetName::SameLink),
            Expr::Masquerade,
        ],
        joined([from_other_link, vec![Expr::Masquerade]]),
    ];
    for cidr in cidrs {
        let source = w.within(w.saddr(0), *cidr);
        rules.push(joined([vec![w.daddr(0), in_set(SetName::OffBox)], source, vec![Expr::Verdict(Verdict::Return)]]));
    }
    rules.push(vec![w.daddr(0), in_set(SetName::OffBox), Expr::Masquerade]);
    rules
}

/// The chain that a frontend with `name` goes through.
pub(in crate::dataplane) fn dynamic_chain(family: IpFamily, name: ChainName, options: &Options) -> Chain {
    let w = Words(family);
    let next: Vec<Vec<Expr>> = name.next().iter().map(|next| vec![goto(&next.to_string())]).collect();
    let rules = match name {
        ChainName::Way(way) if way.filter => joined_rules(vec![filter(w)], next),
        ChainName::Way(Way { side: Side::Both { .. }, .. }) => by_side(w, &next, options),
        ChainName::Way(Way { affinity: Some(affinity), .. }) => joined_rules(vec![known(w, affinity)], next),
        ChainName::Way(way) => {
            let (count, first) = match way.side {
                Side::Inside(count) => (count, INSIDE_SLOTS),
                Side::Others(count) | Side::Both { others: count, .. } => (count, 0),
            };
            // Slot 0 and a refusal: a packet that meets a Service between two sizes still lands.
            let any = slot(w, How::Random, way, 1, first, options);
            vec![slot(w, way.how, way, count, first, options), any, vec![goto("refuse")]]
        }
        ChainName::Remember(Remember { both: true, .. }) => by_side(w, &next, options),
        ChainName::Remember(Remember { affinity, seconds, .. }) => remember_for(w, seconds, affinity),
        ChainName::Hooked(hooked) => return hooked.chain(family, options),
    };
    chain(&name.to_string(), rules)
}

/// To the endpoint of one slot of `count`.
fn slot(w: Words, how: How, way: Way, count: u32, first: u32, options: &Options) -> Vec<Expr> {
    let mut exprs = if way.node_port { vec![l4proto(0), dport(1)] } else { w.frontend(0).to_vec() };
    let word = if way.node_port { 2 } else { w.words() + 2 };
    let (below, offset) = (count, first);
    let len = 4 * w.words();
    let hash = Expr::Hash { from: word, len, below, offset, seed: HASH_SEED, word };
    match how {
        How::SourceHash if !options.hashless => exprs.extend([w.saddr(word), hash]),
        How::DestinationHash if !options.hashless => exprs.extend([w.daddr(word), hash]),
        How::Random | How::SourceHash | How::DestinationHash => exprs.push(Expr::Random { below, offset, word }),
        How::Turn(_) | How::Live(_) => exprs.push(Expr::Turn { below, offset, word }),
    }
    exprs.extend([Expr::Map { map: way.slots().as_str(), word: 0 }, w.dnat()]);
    exprs
}

/// To the endpoint the client had. A port that a map gives is one of TCP, UDP or SCTP:
/// where the key does not say which, the rule does.
fn known(w: Words, affinity: Affinity) -> Vec<Expr> {
    let n = w.words();
    let (first, frontend, map): (_, Vec<Expr>, _) = match affinity {
        Affinity::Own => (Vec::new(), w.frontend(n).to_vec(), SetName::Affinity),
        Affinity::Shared(owner) => {
            let first = vec![l4proto(0), is(0, &[owner.place.protocol.number()])];
            (first, OwnerKey::of(owner, w.0).load(n).collect(), SetName::SharedAffinity)
        }
    };
    joined([first, vec![w.saddr(0)], frontend, vec![Expr::Map { map: map.as_str(), word: 0 }, w.dnat()]])
}

fn joined_rules(mut rules: Vec<Vec<Expr>>, more: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
    rules.extend(more);
    rules
}

fn filter(w: Words) -> Vec<Expr> {
    let outside = Expr::InSet { set: SetName::Sources.as_str(), word: 0, not: true };
    let source = w.saddr(w.words() + 2);
    joined([w.frontend(0).to_vec(), vec![source, outside, Expr::Verdict(Verdict::Drop)]])
}

/// The first way for clients on the box and Pods, the second for everybody else,
/// who is dropped without one.
fn by_side(w: Words, next: &[Vec<Expr>], options: &Options) -> Vec<Vec<Expr>> {
    let [inside, others @ ..] = next else { return Vec::new() };
    let on_box = match options.address_sets {
        true => vec![w.saddr(0), in_set(SetName::LocalIps)],
        false => local(1, false).to_vec(),
    };
    let pods = options.cluster_cidrs.iter().filter(|net| IpFamily::of(net.addr()) == w.0);
    let mut rules = vec![joined([on_box, inside.clone()])];
    rules.extend(pods.map(|net| joined([w.within(w.saddr(0), *net), inside.clone()])));
    rules.push(others.first().cloned().unwrap_or_else(|| vec![Expr::Verdict(Verdict::Drop)]));
    rules
}

fn remember_for(w: Words, seconds: u32, affinity: Affinity) -> Vec<Vec<Expr>> {
    let n = w.words();
    let timeout_ms = u64::from(seconds) * 1000;
    let rule = |protocol: Protocol, map: SetName, key: Vec<Expr>, len: u32| {
        let data = n + len;
        let endpoint = vec![w.daddr(data), dport(data + n)];
        let update = Expr::Update { map: map.as_str(), key: 0, data, timeout_ms };
        joined([vec![l4proto(0), is(0, &[protocol.number()]), w.saddr(0)], key, endpoint, vec![update]])
    };
    match affinity {
        Affinity::Own => {
            let key = vec![w.original_daddr(n), l4proto(2 * n), original_dport(2 * n + 1)];
            [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
                .map(|protocol| rule(protocol, SetName::Affinity, key.clone(), n + 2))
                .to_vec()
        }
        Affinity::Shared(owner) => {
            let key: Vec<Expr> = OwnerKey::of(owner, w.0).load(n).collect();
            let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
            vec![rule(owner.place.protocol, SetName::SharedAffinity, key, len)]
        }
    }
}

/// The anchor's chain: a translation no packet asks for.
pub(in crate::dataplane) fn anchor_chain(family: IpFamily) -> Chain {
    let w = Words(family);
    let (nowhere, home): (IpAddr, IpAddr) = match family {
        IpFamily::V4 => (std::net::Ipv4Addr::BROADCAST.into(), std::net::Ipv4Addr::LOCALHOST.into()),
        IpFamily::V6 => (std::net::Ipv6Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::LOCALHOST.into()),
    };
    let never = vec![w.saddr(0), is(0, &octets(nowhere)), w.daddr(0), is(0, &octets(nowhere))];
    let dnat = vec![Expr::Immediate { word: 0, value: octets(home) }, Expr::Dnat { family, addr: 0, port: None }];
    base("output", "nat", 3, -100, vec![joined([never, dnat])])
}
