//! Expressions as the kernel tells them, back to [`Expr`]: the inverse of
//! [`rule_body`](super::rule_body). Pure.

use super::expr::{Expr, Verdict};
use super::set::SetName;
use crate::dataplane::netlink::attrs::{be32, find, read, text};
use crate::model::IpFamily;

/// A rule's expressions, or `None` where one is none of ours.
pub(in crate::dataplane) fn read_rule(list: &[u8]) -> Option<Vec<Expr>> {
    read(list).map(|(_, expr)| read_expr(text(expr, 1)?, find(expr, 2).unwrap_or_default())).collect()
}

fn read_expr(name: &str, data: &[u8]) -> Option<Expr> {
    match name {
        "payload" => payload(data),
        "meta" if find(data, 3).is_some() => Some(Expr::SetMark { word: word(data, 3)? }),
        "meta" => Some(Expr::Meta { key: be32(data, 2)?, word: word(data, 1)? }),
        "ct" => {
            let (key, word) = (be32(data, 2)?, word(data, 1)?);
            Some(match find(data, 3) {
                Some([1]) => Expr::CtReply { key, word },
                direction => Expr::Ct { key, original: direction.is_some(), word },
            })
        }
        "cmp" => compare(data),
        "bitwise" => mask(data),
        "lookup" => lookup(data),
        "numgen" => number(data),
        "hash" => hash(data),
        "fib" => Some(Expr::AddressType { flags: be32(data, 3)?, word: word(data, 1)? }),
        "immediate" => immediate(data),
        "nat" => nat(data),
        "masq" => Some(Expr::Masquerade),
        "notrack" => Some(Expr::Notrack),
        "reject" => reject(data),
        "dynset" => update(data),
        _ => None,
    }
}

/// The word a register attribute names.
fn word(data: &[u8], kind: u16) -> Option<u32> {
    match be32(data, kind)? {
        whole @ 1..=4 => Some((whole - 1) * 4),
        part => part.checked_sub(8),
    }
}

fn value(data: &[u8], kind: u16) -> Option<Vec<u8>> {
    Some(find(find(data, kind)?, 1)?.to_vec())
}

fn set_name(data: &[u8]) -> Option<&'static str> {
    SetName::parse(text(data, 1)?).map(SetName::as_str)
}

fn payload(data: &[u8]) -> Option<Expr> {
    let (offset, len, word) = (be32(data, 3)?, be32(data, 4)?, word(data, 1)?);
    match be32(data, 2)? {
        1 => Some(Expr::Network { offset, len, word }),
        2 => Some(Expr::Transport { offset, len, word }),
        _ => None,
    }
}

fn number(data: &[u8]) -> Option<Expr> {
    let (below, offset, word) = (be32(data, 2)?, be32(data, 4).unwrap_or_default(), word(data, 1)?);
    match be32(data, 3)? {
        0 => Some(Expr::Turn { below, offset, word }),
        1 => Some(Expr::Random { below, offset, word }),
        _ => None,
    }
}

fn hash(data: &[u8]) -> Option<Expr> {
    let jenkins = be32(data, 7).unwrap_or_default() == 0;
    jenkins.then_some(())?;
    let (from, len, below) = (word(data, 1)?, be32(data, 3)?, be32(data, 4)?);
    let (offset, seed) = (be32(data, 6).unwrap_or_default(), be32(data, 5)?);
    Some(Expr::Hash { from, len, below, offset, seed, word: word(data, 2)? })
}

fn compare(data: &[u8]) -> Option<Expr> {
    let not = match be32(data, 2)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Expr::Compare { not, word: word(data, 1)?, value: value(data, 3)? })
}

fn mask(data: &[u8]) -> Option<Expr> {
    let (word, mask) = (word(data, 1)?, value(data, 4)?);
    let bits = value(data, 5)?;
    if bits.iter().all(|byte| *byte == 0) {
        return Some(Expr::Mask { word, mask });
    }
    let kept = bits.iter().zip(&mask).all(|(bits, mask)| bits == &!mask);
    kept.then_some(Expr::SetBits { word, bits })
}

fn lookup(data: &[u8]) -> Option<Expr> {
    let (set, word) = (set_name(data)?, word(data, 2)?);
    Some(match be32(data, 3) {
        None => Expr::InSet { set, word, not: be32(data, 5).unwrap_or_default() & 1 != 0 },
        Some(0) => Expr::VerdictMap { map: set, word },
        Some(_) => Expr::Map { map: set, word },
    })
}

fn immediate(data: &[u8]) -> Option<Expr> {
    if be32(data, 1)? == 0 {
        return Verdict::read(find(data, 2)?).map(Expr::Verdict);
    }
    Some(Expr::Immediate { word: word(data, 1)?, value: value(data, 2)? })
}

fn nat(data: &[u8]) -> Option<Expr> {
    let family = match be32(data, 2)? {
        2 => IpFamily::V4,
        10 => IpFamily::V6,
        _ => return None,
    };
    let addr = word(data, 3)?;
    match be32(data, 1)? {
        0 => Some(Expr::Snat { family, addr }),
        1 => Some(Expr::Dnat { family, addr, port: word(data, 5) }),
        _ => None,
    }
}

fn reject(data: &[u8]) -> Option<Expr> {
    let code = find(data, 2).and_then(|code| code.first().copied());
    match (be32(data, 1)?, code) {
        (1, _) => Some(Expr::Reset),
        (0, Some(3)) => Some(Expr::Unreachable(IpFamily::V4)),
        (0, Some(4)) => Some(Expr::Unreachable(IpFamily::V6)),
        _ => None,
    }
}

fn update(data: &[u8]) -> Option<Expr> {
    let timeout_ms = u64::from_be_bytes(find(data, 6)?.try_into().ok()?);
    (be32(data, 3)? == 1).then_some(())?;
    let (map, key) = (set_name(data)?, word(data, 4)?);
    Some(match find(data, 5) {
        None => Expr::Count { set: map, key, timeout_ms },
        Some(_) => Expr::Update { map, key, data: word(data, 5)?, timeout_ms },
    })
}
