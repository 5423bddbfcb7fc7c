//! Rules that let packets of Services pass firewalls of others.
//!
//! What one table accepts another may still drop: Docker's `FORWARD` has the policy
//! DROP and closes ports of containers that are not published, ufw and hand-written
//! rules do the like. Where forwarded packets meet a chain of somebody else at all, those
//! of Services carry a bit in their mark, from our chain `mark-forwarded` on. Where a chain of somebody else would drop what reaches its
//! end, one rule that accepts this bit is put there: behind everything the
//! administrator wrote, before what drops the rest. It is put back when it is gone,
//! and taken away by cleanup. Tables that have an owner (firewalld's since 2.1) are
//! nobody else's to change.

use std::collections::BTreeSet;
use std::io;

use super::Options;
use super::netlink::batch::{APPEND, CREATE, Op, body, kind, message};
use super::netlink::{Attrs, Link, attrs};
use super::table::{ChainName, Expr, Hooked, is_ours, nfproto, rule_body};
use crate::model::IpFamily;

/// Names our rule, in nft's comment and in that of iptables.
const COMMENT: &str = "edgesvc";
/// Where Docker asks for rules that go before its own.
const DOCKER_USER: &str = "DOCKER-USER";
/// `NF_INET_FORWARD`
const FORWARD: u32 = 2;
/// `NFT_TABLE_F_OWNER`
const OWNED: u32 = 2;
/// `NFPROTO_INET`: packets of both families.
const INET: u8 = 1;
/// Families whose packets are ours: ip, ip6, inet.
const FAMILIES: [(u8, &str); 3] = [(2, "ip"), (10, "ip6"), (INET, "inet")];
/// A chain with more rules is left as it is.
const RULES_MAX: usize = 10_000;

/// A chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) family: u8,
    pub(super) table: String,
    pub(super) chain: String,
    /// Only its owner may change it.
    pub(super) owned: bool,
    /// What no rule takes is dropped.
    pub(super) drops: bool,
    pub(super) rules: Vec<ForeignRule>,
}

/// What matters of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignRule {
    pub(super) handle: u64,
    pub(super) kind: RuleKind,
}

/// What a rule does with packets of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleKind {
    /// Ours, with this bit.
    Ours(u32),
    /// Drops or rejects every packet that comes so far.
    DropsAll,
    /// Nothing goes on behind it, and nothing is dropped by it.
    EndsAll,
    /// Accepts whatever was translated: firewalld's own rule for forwarded ports.
    AcceptsTranslated,
    /// Whatever else.
    Other,
}

/// How forwarded packets of Services fare in a chain that drops others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Our rule accepts them by their mark.
    ByMark,
    /// They may be dropped.
    Closed,
}

/// One message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Our rule goes in before this one, or at the end.
    Add {
        before: Option<u64>,
    },
    Remove {
        handle: u64,
    },
}

impl Site {
    /// Whether packets of Services need a rule here.
    fn closes(&self) -> bool {
        let kind = |wanted: RuleKind| self.rules.iter().any(|rule| rule.kind == wanted);
        let closed = self.chain == DOCKER_USER || self.drops || kind(RuleKind::DropsAll);
        closed && !kind(RuleKind::AcceptsTranslated)
    }

    /// Whether packets of Services are dropped there and nobody but its owner can help.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.owned && self.closes()
    }

    /// Whether packets of this family meet the chain.
    pub(super) fn is_met_by(&self, family: IpFamily) -> bool {
        self.family == INET || self.family == nfproto(family)
    }

    /// What the chain does with forwarded packets of Services; nothing where it lets
    /// everything through.
    pub(super) fn passage(&self) -> Option<Passage> {
        let ours = self.rules.iter().any(|rule| matches!(rule.kind, RuleKind::Ours(_)));
        self.closes().then_some(if ours { Passage::ByMark } else { Passage::Closed })
    }

    /// What makes the chain accept packets with this bit, or no more where there is none.
    pub(super) fn steps(&self, bit: Option<u32>) -> Vec<Step> {
        if self.owned || self.rules.len() > RULES_MAX {
            return Vec::new();
        }
        let ours = |rule: &&ForeignRule| matches!(rule.kind, RuleKind::Ours(_));
        let foreign: Vec<&ForeignRule> = self.rules.iter().filter(|rule| !ours(rule)).collect();
        let end = foreign.iter().position(|rule| matches!(rule.kind, RuleKind::DropsAll | RuleKind::EndsAll));
        let before = end.and_then(|end| foreign.get(end)).map(|rule| rule.handle);
        let place = self.rules.iter().position(|rule| Some(rule.handle) == before).unwrap_or(self.rules.len());
        let wanted = bit.filter(|_| self.closes());
        let stands = place
            .checked_sub(1)
            .and_then(|at| self.rules.get(at))
            .filter(|rule| wanted.is_some_and(|bit| rule.kind == RuleKind::Ours(bit)));
        let removed = self.rules.iter().filter(ours).filter(|rule| Some(rule.handle) != stands.map(|rule| rule.handle));
        let mut steps: Vec<Step> = removed.map(|rule| Step::Remove { handle: rule.handle }).collect();
        if wanted.is_some() && stands.is_none() {
            steps.insert(0, Step::Add { before });
        }
        steps
    }

    /// The site in nft's words.
    pub(super) fn at(&self) -> String {
        format!("{} {} {}", family_word(self.family).unwrap_or_default(), self.table, self.chain)
    }

    pub(super) fn ops(&self, steps: &[Step], bit: u32) -> Vec<Op> {
        let op = |step: &Step| {
            let mut a = Attrs::new();
            a.text(1, &self.table).text(2, &self.chain);
            match step {
                Step::Remove { handle } => {
                    a.be64(3, *handle);
                    Op::new(message::DELRULE, 0, self.family, a, format!("delete our rule in {}", self.at()))
                }
                Step::Add { before } => {
                    let mut comment = vec![0, u8::try_from(COMMENT.len() + 1).unwrap_or(u8::MAX)];
                    comment.extend(COMMENT.as_bytes());
                    comment.push(0);
                    a.nest(4, &accepting(bit));
                    let flags = if before.is_some() { CREATE } else { CREATE | APPEND };
                    if let Some(handle) = before {
                        a.be64(6, *handle);
                    }
                    a.bytes(7, &comment);
                    Op::new(message::NEWRULE, flags, self.family, a, format!("add our rule to {}", self.at()))
                }
            }
        };
        steps.iter().map(op).collect()
    }
}

/// nft's word for a family whose packets are ours.
pub(super) fn family_word(family: u8) -> Option<&'static str> {
    FAMILIES.iter().find(|(number, _)| *number == family).map(|(_, word)| *word)
}

/// `meta mark & BIT == BIT counter accept`, which iptables reads as its own too.
fn accepting(bit: u32) -> Attrs {
    let bytes = bit.to_ne_bytes().to_vec();
    let mut list = rule_body(&[
        Expr::Meta { key: 3, word: 0 },
        Expr::Mask { word: 0, mask: bytes.clone() },
        Expr::Compare { not: false, word: 0, value: bytes },
    ]);
    let mut add = |name: &str, data: &Attrs| {
        let mut expr = Attrs::new();
        expr.text(1, name).nest(2, data);
        list.nest(1, &expr);
    };
    add("counter", &Attrs::new());
    let (mut code, mut verdict, mut accept) = (Attrs::new(), Attrs::new(), Attrs::new());
    code.be32(1, 1);
    verdict.nest(2, &code);
    accept.be32(1, 0).nest(2, &verdict);
    add("immediate", &accept);
    list
}

/// Reads one rule.
pub(super) fn read_rule(content: &[u8]) -> Option<ForeignRule> {
    let handle = attrs::be64(content, 3)?;
    let exprs: Vec<(&str, &[u8])> = attrs::read(attrs::find(content, 4).unwrap_or_default())
        .filter_map(|(_, expr)| Some((attrs::text(expr, 1)?, attrs::find(expr, 2).unwrap_or_default())))
        .collect();
    let comment = attrs::find(content, 7).unwrap_or_default();
    let kind = match ours(&exprs) {
        Some(bit) if comment.windows(COMMENT.len()).any(|part| part == COMMENT.as_bytes()) => RuleKind::Ours(bit),
        _ => kind_of(&exprs),
    };
    Some(ForeignRule { handle, kind })
}

/// The bit of a rule that accepts by the mark.
fn ours(exprs: &[(&str, &[u8])]) -> Option<u32> {
    let names: Vec<&str> = exprs.iter().map(|(name, _)| *name).filter(|name| *name != "counter").collect();
    let [(_, load), .., (_, last)] = exprs else { return None };
    let is_ours = names == ["meta", "bitwise", "cmp", "immediate"] && attrs::be32(load, 2) == Some(3);
    (is_ours && verdict(last) == Some(1)).then_some(())?;
    let (_, compare) = exprs.iter().find(|(name, _)| *name == "cmp")?;
    Some(u32::from_ne_bytes(attrs::find(attrs::find(compare, 3)?, 1)?.try_into().ok()?))
}

/// The number of an immediate verdict.
fn verdict(data: &[u8]) -> Option<i32> {
    let code = attrs::find(attrs::find(attrs::find(data, 2)?, 2)?, 1)?;
    Some(i32::from_be_bytes(code.try_into().ok()?))
}

fn kind_of(exprs: &[(&str, &[u8])]) -> RuleKind {
    let acting: Vec<&(&str, &[u8])> = exprs.iter().filter(|(name, _)| !matches!(*name, "counter" | "log")).collect();
    match acting.as_slice() {
        [(name, data)] => match (*name, verdict(data)) {
            ("reject", _) | ("immediate", Some(0)) => RuleKind::DropsAll,
            // Accept, goto, return.
            ("immediate", Some(1 | -4 | -5)) => RuleKind::EndsAll,
            ("target", _) if matches!(attrs::text(data, 1), Some("REJECT" | "DROP")) => RuleKind::DropsAll,
            _ => RuleKind::Other,
        },
        [("ct", load), ("bitwise", mask), ("cmp", _), ("immediate", last)] => {
            let bit = attrs::find(mask, 4).and_then(|mask| attrs::find(mask, 1)).map(<[u8]>::to_vec);
            let translated = attrs::be32(load, 2) == Some(2) && bit == Some(32u32.to_ne_bytes().to_vec());
            if translated && verdict(last) == Some(1) { RuleKind::AcceptsTranslated } else { RuleKind::Other }
        }
        _ => RuleKind::Other,
    }
}

/// The chains of others that every forwarded packet meets; of Docker's table the one
/// that Docker leaves to its users.
pub(super) fn read(link: &mut Link) -> io::Result<Vec<Site>> {
    let mut owned = BTreeSet::new();
    for answer in link.dump(kind(message::GETTABLE), &body(0, &Attrs::new()))? {
        let (family, content) = split(&answer.body);
        if attrs::be32(content, 2).unwrap_or_default() & OWNED != 0 {
            owned.insert((family, attrs::text(content, 1).unwrap_or_default().to_owned()));
        }
    }
    let mut sites: Vec<Site> = Vec::new();
    for answer in link.dump(kind(message::GETCHAIN), &body(0, &Attrs::new()))? {
        let (family, content) = split(&answer.body);
        let table = attrs::text(content, 1).unwrap_or_default().to_owned();
        let chain = attrs::text(content, 3).unwrap_or_default().to_owned();
        let foreign = !is_ours(&table);
        let owned = owned.contains(&(family, table.clone()));
        let is_ip = FAMILIES.iter().any(|(number, _)| *number == family);
        let hook = attrs::find(content, 4).and_then(|hook| attrs::be32(hook, 1));
        let filters = hook == Some(FORWARD) && attrs::text(content, 7) == Some("filter");
        if foreign && is_ip && (filters || chain == DOCKER_USER) {
            let drops = attrs::be32(content, 5) == Some(0);
            sites.push(Site { family, table, chain, owned, drops, rules: Vec::new() });
        }
    }
    for site in &mut sites {
        let mut request = Attrs::new();
        request.text(1, &site.table).text(2, &site.chain);
        for answer in link.dump(kind(message::GETRULE), &body(site.family, &request))? {
            let (family, content) = split(&answer.body);
            let here = (family, attrs::text(content, 1), attrs::text(content, 2));
            if here == (site.family, Some(site.table.as_str()), Some(site.chain.as_str())) {
                site.rules.extend(read_rule(content));
            }
        }
    }
    let docker: BTreeSet<(u8, String)> =
        sites.iter().filter(|site| site.chain == DOCKER_USER).map(|site| (site.family, site.table.clone())).collect();
    for site in &mut sites {
        // Packets meet Docker's chain for users before anything of this one.
        if site.chain != DOCKER_USER && docker.contains(&(site.family, site.table.clone())) {
            site.drops = false;
            site.rules.retain(|rule| rule.kind != RuleKind::DropsAll);
        }
    }
    Ok(sites)
}

fn split(message: &[u8]) -> (u8, &[u8]) {
    (message.first().copied().unwrap_or_default(), message.get(4..).unwrap_or_default())
}

/// The chains that mark packets of Services: of the families whose forwarded packets meet any
/// rule of somebody else, who may look at their mark.
pub(super) fn marking(sites: &[Site], options: &Options) -> BTreeSet<(IpFamily, ChainName)> {
    let is_met = |family: &IpFamily| sites.iter().any(|site| site.is_met_by(*family)) || legacy(*family);
    let met = IpFamily::BOTH.into_iter().filter(|family| options.forward_mark.is_some() && is_met(family));
    met.map(|family| (family, ChainName::Hooked(Hooked::MarkForwarded))).collect()
}

/// Whether there are rules of iptables-legacy, which nftables does not show.
fn legacy(family: IpFamily) -> bool {
    let file = match family {
        IpFamily::V4 => "/proc/net/ip_tables_names",
        IpFamily::V6 => "/proc/net/ip6_tables_names",
    };
    let tables = std::fs::read_to_string(file).unwrap_or_default();
    tables.lines().any(|table| ["filter", "mangle"].contains(&table))
}

/// Firewalls that nftables does not show, so that nothing can be put into them.
pub(super) fn hidden(bit: u32) -> Option<String> {
    legacy(IpFamily::V4).then(|| {
        format!(
            "the kernel also has rules of iptables-legacy, which nftables does not show; should they drop what is \
             forwarded, run: iptables-legacy -I FORWARD -m mark --mark {bit:#x}/{bit:#x} -j ACCEPT"
        )
    })
}
