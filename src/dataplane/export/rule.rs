//! A rule's expressions in libnftables' words. Pure.
//!
//! The kernel computes in registers, nft in terms: what is loaded is kept as a
//! term until something compares it, looks it up or remembers it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nftables::expr::{CT, CTDir, Expression, Fib, FibFlag, FibResult, JHash, Meta, MetaKey, NamedExpression, NgMode};
use nftables::stmt::{Match, NAT, NATFamily, NATFlag, Operator, Reject, RejectType, Statement, VerdictMap};
use nftables::types::RejectCode;
use serde_json::{Value, json};

use super::value::{LinkName, header, joined, network, numgen, protocol, verdict, word};
use crate::dataplane::table::{Expr, address};
use crate::model::IpFamily;

/// What a loaded term is, which says how its value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Address,
    Protocol,
    IcmpType,
    CtState,
    CtStatus,
    AddressType,
    Link,
    Port,
    Other,
}

struct Loaded {
    sort: Sort,
    term: Expression<'static>,
    mask: Option<Vec<u8>>,
}

/// Reads one rule from its first expression to its last.
struct Reader<'a> {
    family: IpFamily,
    link: LinkName<'a>,
    /// The protocol the rule asks for before it looks at the transport header:
    /// nft puts that question into the names of the fields.
    implied: Option<u8>,
    loaded: BTreeMap<u32, Loaded>,
    /// What a map or a constant has given.
    given: Option<Expression<'static>>,
    /// A term with bits set.
    computed: Option<Value>,
    out: Vec<Value>,
}

/// The statements of a rule; `Ok(None)` where nft has no words for it.
pub(super) fn statements(
    family: IpFamily,
    exprs: &[Expr],
    link: LinkName<'_>,
) -> Result<Option<Vec<Value>>, serde_json::Error> {
    let (loaded, given) = (BTreeMap::new(), None);
    let mut reader =
        Reader { family, link, implied: implied_protocol(exprs), loaded, given, computed: None, out: Vec::new() };
    for expr in exprs {
        if reader.take(expr)?.is_none() {
            return Ok(None);
        }
    }
    reader.out.iter_mut().for_each(order_flags);
    Ok(Some(reader.out))
}

/// The crate keeps flags in hash sets: without order the same tables would give
/// other bytes every time.
fn order_flags(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(order_flags),
        Value::Object(fields) => {
            if let Some(Value::Array(flags)) = fields.get_mut("flags") {
                flags.sort_by(|one, other| other.as_str().cmp(&one.as_str()));
            }
            fields.values_mut().for_each(order_flags);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn implied_protocol(exprs: &[Expr]) -> Option<u8> {
    exprs.iter().find(|expr| matches!(expr, Expr::Transport { .. } | Expr::Reset))?;
    exprs.windows(2).find_map(|pair| match pair {
        [Expr::Meta { key: 16, .. }, Expr::Compare { not: false, value, .. }] => value.first().copied(),
        _ => None,
    })
}

impl Reader<'_> {
    fn say(&mut self, statement: Statement<'static>) -> Result<Option<()>, serde_json::Error> {
        self.out.push(serde_json::to_value(statement)?);
        Ok(Some(()))
    }

    fn take(&mut self, expr: &Expr) -> Result<Option<()>, serde_json::Error> {
        match expr {
            Expr::Mask { word, mask } => {
                let Some(loaded) = self.loaded.get_mut(word) else { return Ok(None) };
                loaded.mask = Some(mask.clone());
            }
            Expr::SetBits { word, bits } => {
                let Some(loaded) = self.loaded.get_mut(word) else { return Ok(None) };
                let Some(bits) = bits.as_slice().try_into().ok().map(u32::from_ne_bytes) else { return Ok(None) };
                let or = json!({ "|": [serde_json::to_value(&loaded.term)?, bits] });
                self.computed = Some(or);
            }
            Expr::SetMark { word } => {
                let (Some(value), Some(_)) = (self.computed.take(), self.loaded.remove(word)) else { return Ok(None) };
                self.out.push(json!({ "mangle": { "key": { "meta": { "key": "mark" } }, "value": value } }));
            }
            Expr::Compare { not, word, value } => return self.compare(*not, *word, value),
            Expr::InSet { set, not, .. } => {
                let (left, op) = (self.key(0), if *not { Operator::NEQ } else { Operator::EQ });
                return self.say(Statement::Match(Match { left, right: word(format!("@{set}")), op }));
            }
            Expr::Map { map, .. } => {
                let lookup = nftables::expr::Map { key: self.key(0), data: word(format!("@{map}")) };
                self.given = Some(Expression::Named(NamedExpression::Map(Box::new(lookup))));
            }
            Expr::VerdictMap { map, .. } => {
                let statement = VerdictMap { key: self.key(0), data: word(format!("@{map}")) };
                return self.say(Statement::VerdictMap(statement));
            }
            Expr::Immediate { value, .. } => self.given = address(value).map(|addr| word(addr.to_string())),
            Expr::Verdict(found) => self.out.push(verdict(found)),
            Expr::Dnat { family, port, .. } => return self.dnat(*family, port.is_some()),
            Expr::Snat { .. } => {
                let addr = Some(self.key(0));
                return self.say(Statement::SNAT(Some(NAT { addr, family: None, port: None, flags: None })));
            }
            Expr::Masquerade => {
                let flags = Some(std::iter::once(NATFlag::FullyRandom).collect());
                return self.say(Statement::Masquerade(Some(NAT { addr: None, family: None, port: None, flags })));
            }
            // The crate writes the word alone; nft reads and writes an object.
            Expr::Notrack => self.out.push(json!({ "notrack": null })),
            Expr::Reset => return self.say(Statement::Reject(Some(Reject::new(Some(RejectType::TCPReset), None)))),
            Expr::Unreachable(family) => {
                let kind = if *family == IpFamily::V4 { RejectType::ICMP } else { RejectType::ICMPv6 };
                return self.say(Statement::Reject(Some(Reject::new(Some(kind), Some(RejectCode::PortUnreach)))));
            }
            Expr::Count { set, timeout_ms, .. } => return self.count(set, *timeout_ms),
            Expr::Update { map, data, timeout_ms, .. } => return self.update(map, *data, *timeout_ms),
            Expr::Hash { from, below, offset, seed, word, .. } => {
                let Some(Loaded { term, .. }) = self.loaded.remove(from) else { return Ok(None) };
                let offset = Some(*offset).filter(|offset| *offset != 0);
                let hash = JHash { hash_mod: *below, offset, expr: Box::new(term), seed: Some(*seed) };
                let term = Expression::Named(NamedExpression::JHash(hash));
                self.loaded.insert(*word, Loaded { sort: Sort::Other, term, mask: None });
            }
            load => return Ok(self.load(load)),
        }
        Ok(Some(()))
    }

    fn load(&mut self, expr: &Expr) -> Option<()> {
        let (word, sort, term) = match expr {
            Expr::Network { offset, word, .. } => (*word, Sort::Address, self.network(*offset)?),
            Expr::Transport { offset: 0, len: 1, word } if self.implied == Some(1) => {
                (*word, Sort::IcmpType, header("icmp", "type"))
            }
            Expr::Transport { offset: 0, len: 2, word } => (*word, Sort::Port, header(self.transport()?, "sport")),
            Expr::Transport { offset: 2, len: 2, word } => (*word, Sort::Port, header(self.transport()?, "dport")),
            Expr::Meta { key, word } => {
                let (key, sort) = match key {
                    3 => (MetaKey::Mark, Sort::Other),
                    4 => (MetaKey::Iif, Sort::Link),
                    5 => (MetaKey::Oif, Sort::Link),
                    16 => (MetaKey::L4proto, Sort::Protocol),
                    _ => return None,
                };
                (*word, sort, Expression::Named(NamedExpression::Meta(Meta { key })))
            }
            Expr::Ct { key, original, word } => {
                let (key, sort) = match key {
                    0 => ("state", Sort::CtState),
                    2 => ("status", Sort::CtStatus),
                    12 => ("proto-dst", Sort::Other),
                    20 => ("ip daddr", Sort::Address),
                    22 => ("ip6 daddr", Sort::Address),
                    _ => return None,
                };
                let ct = CT { key: key.into(), family: None, dir: original.then_some(CTDir::Original) };
                (*word, sort, Expression::Named(NamedExpression::CT(ct)))
            }
            Expr::CtReply { key, word } => {
                let (key, sort) = match key {
                    11 => ("proto-src", Sort::Other),
                    19 => ("ip saddr", Sort::Address),
                    21 => ("ip6 saddr", Sort::Address),
                    _ => return None,
                };
                let ct = CT { key: key.into(), family: None, dir: Some(CTDir::Reply) };
                (*word, sort, Expression::Named(NamedExpression::CT(ct)))
            }
            Expr::Random { below, offset, word } => (*word, Sort::Other, numgen(NgMode::Random, *below, *offset)),
            Expr::Turn { below, offset, word } => (*word, Sort::Other, numgen(NgMode::Inc, *below, *offset)),
            Expr::AddressType { flags, word } => {
                let named = [(1, FibFlag::Saddr), (2, FibFlag::Daddr), (16, FibFlag::Oif)];
                let flags = named.into_iter().filter(|(bit, _)| flags & bit != 0).map(|(_, flag)| flag).collect();
                let fib = Fib { result: FibResult::Type, flags };
                (*word, Sort::AddressType, Expression::Named(NamedExpression::Fib(fib)))
            }
            _ => return None,
        };
        self.loaded.insert(word, Loaded { sort, term, mask: None });
        Some(())
    }

    fn network(&self, offset: u32) -> Option<Expression<'static>> {
        match (self.family, offset) {
            (IpFamily::V4, 12) => Some(header("ip", "saddr")),
            (IpFamily::V4, 16) => Some(header("ip", "daddr")),
            (IpFamily::V6, 8) => Some(header("ip6", "saddr")),
            (IpFamily::V6, 24) => Some(header("ip6", "daddr")),
            _ => None,
        }
    }

    fn transport(&self) -> Option<&'static str> {
        match self.implied {
            None => Some("th"),
            Some(6) => Some("tcp"),
            Some(17) => Some("udp"),
            Some(132) => Some("sctp"),
            Some(_) => None,
        }
    }

    /// What is loaded from `from` on, taken out of the registers.
    fn key(&mut self, from: u32) -> Expression<'static> {
        joined(self.loaded.split_off(&from).into_values().map(|loaded| loaded.term).collect())
    }

    fn compare(&mut self, not: bool, at: u32, value: &[u8]) -> Result<Option<()>, serde_json::Error> {
        let Some(Loaded { sort, term: left, mask }) = self.loaded.remove(&at) else { return Ok(None) };
        if sort == Sort::Protocol && value.first().copied() == self.implied && !not {
            return Ok(Some(()));
        }
        let Some((right, op)) = self.right(sort, mask.as_deref(), not, value) else { return Ok(None) };
        self.say(Statement::Match(Match { left, right, op }))
    }

    fn right(
        &self,
        sort: Sort,
        mask: Option<&[u8]>,
        not: bool,
        value: &[u8],
    ) -> Option<(Expression<'static>, Operator)> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
        let op = if not { Operator::NEQ } else { Operator::EQ };
        Some(match (sort, mask) {
            (Sort::Address, mask) => (self.net(mask, value)?, op),
            (Sort::Protocol, None) => (protocol(*value.first()?), op),
            (Sort::IcmpType, None) if value == [5] => (word("redirect"), op),
            // A bit that is set: told as "not zero under this mask".
            (Sort::CtState, Some(mask)) if number(mask) == Some(8) && not => (word("new"), Operator::IN),
            (Sort::CtStatus, Some(mask)) if number(mask) == Some(32) && not => (word("dnat"), Operator::IN),
            (Sort::AddressType, None) if number(value) == Some(2) => (word("local"), op),
            (Sort::Port, None) => (Expression::Number(u16::from_be_bytes(value.try_into().ok()?).into()), op),
            (Sort::Link, None) => (word((self.link)(number(value)?)), op),
            _ => return None,
        })
    }

    /// An address, or the network that a mask or a shortened address means.
    fn net(&self, mask: Option<&[u8]>, value: &[u8]) -> Option<Expression<'static>> {
        let mut bytes = value.to_vec();
        bytes.resize(if self.family == IpFamily::V4 { 4 } else { 16 }, 0);
        let len: u32 = match mask {
            Some(mask) => mask.iter().map(|byte| byte.count_ones()).sum(),
            None => u32::try_from(value.len()).ok()? * 8,
        };
        let addr: IpAddr = address(&bytes)?;
        Some(network(addr, len))
    }

    fn dnat(&mut self, family: IpFamily, with_port: bool) -> Result<Option<()>, serde_json::Error> {
        let Some(addr) = self.given.take() else { return Ok(None) };
        // nft names the family only where a map gives address and port at once.
        let family = with_port.then_some(match family {
            IpFamily::V4 => NATFamily::IP,
            IpFamily::V6 => NATFamily::IP6,
        });
        self.say(Statement::DNAT(Some(NAT { addr: Some(addr), family, port: None, flags: None })))
    }

    fn count(&mut self, set: &str, timeout_ms: u64) -> Result<Option<()>, serde_json::Error> {
        let key = serde_json::to_value(self.key(0))?;
        let element = json!({ "elem": { "val": key, "timeout": timeout_ms / 1000 } });
        self.out.push(json!({ "set": { "op": "update", "elem": element, "set": format!("@{set}") } }));
        Ok(Some(()))
    }

    /// The crate has no map statement; this is the form of nft 1.0.7 and later.
    fn update(&mut self, map: &str, data: u32, timeout_ms: u64) -> Result<Option<()>, serde_json::Error> {
        let data = serde_json::to_value(self.key(data))?;
        let key = serde_json::to_value(self.key(0))?;
        let element = json!({ "elem": { "val": key, "timeout": timeout_ms / 1000 } });
        self.out.push(json!({ "map": { "op": "update", "elem": element, "data": data, "map": format!("@{map}") } }));
        Ok(Some(()))
    }
}
