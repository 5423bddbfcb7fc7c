//! The expressions of nftables rules and their netlink form. Pure.

use crate::dataplane::netlink::Attrs;
use crate::model::IpFamily;

/// What ends the evaluation of a rule, or the value of a verdict map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum Verdict {
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    pub(in crate::dataplane) fn attrs(&self) -> Attrs {
        let (code, chain): (i32, _) = match self {
            Verdict::Drop => (0, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        let mut verdict = Attrs::new();
        verdict.bytes(1, &code.to_be_bytes());
        if let Some(chain) = chain {
            verdict.text(2, chain);
        }
        let mut data = Attrs::new();
        data.nest(2, &verdict);
        data
    }

    /// The verdict in a data attribute.
    pub(in crate::dataplane) fn read(data: &[u8]) -> Option<Verdict> {
        use crate::dataplane::netlink::attrs;
        let verdict = attrs::find(data, 2)?;
        let chain = || attrs::text(verdict, 2).map(str::to_owned);
        match i32::from_be_bytes(attrs::find(verdict, 1)?.try_into().ok()?) {
            0 => Some(Verdict::Drop),
            -3 => chain().map(Verdict::Jump),
            -4 => chain().map(Verdict::Goto),
            -5 => Some(Verdict::Return),
            _ => None,
        }
    }
}

/// One expression. Registers are counted in 32-bit words, 0 to 15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Expr {
    /// Bytes of the packet's network header.
    Network { offset: u32, len: u32, word: u32 },
    /// Bytes of the packet's transport header.
    Transport { offset: u32, len: u32, word: u32 },
    /// `meta`: 3 mark, 4 iif, 5 oif, 16 l4proto.
    Meta { key: u32, word: u32 },
    /// `ct`: 0 state, 2 status; `original` reads that direction.
    Ct { key: u32, original: bool, word: u32 },
    /// The same of the answers' direction: 11 source port, 19 and 21 source address.
    CtReply { key: u32, word: u32 },
    /// Goes on when equal, or with `not` when different.
    Compare { not: bool, word: u32, value: Vec<u8> },
    /// Keeps the bits of a mask.
    Mask { word: u32, mask: Vec<u8> },
    /// Sets bits.
    SetBits { word: u32, bits: Vec<u8> },
    /// Gives the packet its mark.
    SetMark { word: u32 },
    /// Goes on when the set holds the key, or with `not` when it does not.
    InSet { set: &'static str, word: u32, not: bool },
    /// Replaces the key by its value.
    Map { map: &'static str, word: u32 },
    /// Takes the verdict of the key.
    VerdictMap { map: &'static str, word: u32 },
    /// A random number below `below`, and `offset` more.
    Random { below: u32, offset: u32, word: u32 },
    /// The next number below `below`, and `offset` more: the rule counts.
    Turn { below: u32, offset: u32, word: u32 },
    /// Jenkins' hash of `len` bytes from the word `from` on, scaled below `below`.
    Hash { from: u32, len: u32, below: u32, offset: u32, seed: u32, word: u32 },
    /// The type of an address: 1 saddr, 2 daddr, 16 only on oif.
    AddressType { flags: u32, word: u32 },
    /// Ends here.
    Verdict(Verdict),
    /// Rewrites the destination.
    Dnat { family: IpFamily, addr: u32, port: Option<u32> },
    /// A constant.
    Immediate { word: u32, value: Vec<u8> },
    /// Rewrites the source to the box's address on the way out.
    Masquerade,
    /// Rewrites the source.
    Snat { family: IpFamily, addr: u32 },
    /// Conntrack passes the packet over.
    Notrack,
    /// TCP reset.
    Reset,
    /// ICMP port unreachable.
    Unreachable(IpFamily),
    /// Counts the packet in the element of the key, which lives for a time.
    Count { set: &'static str, key: u32, timeout_ms: u64 },
    /// Remembers key and data for a time.
    Update { map: &'static str, key: u32, data: u32, timeout_ms: u64 },
}

/// nft prefers the 128-bit names of registers where there is one.
fn register(word: u32) -> u32 {
    if word.is_multiple_of(4) { 1 + word / 4 } else { 8 + word }
}

fn value(bytes: &[u8]) -> Attrs {
    let mut data = Attrs::new();
    data.bytes(1, bytes);
    data
}

fn payload(word: u32, header: u32, offset: u32, len: u32) -> Attrs {
    let mut a = Attrs::new();
    a.be32(1, register(word)).be32(2, header).be32(3, offset).be32(4, len);
    a
}

fn numgen(kind: u32, below: u32, offset: u32, word: u32) -> Attrs {
    let mut a = Attrs::new();
    a.be32(1, register(word)).be32(2, below).be32(3, kind).be32(4, offset);
    a
}

fn bitwise(word: u32, mask: &[u8], xor: &[u8]) -> Attrs {
    let mut a = Attrs::new();
    a.be32(1, register(word)).be32(2, register(word)).be32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
    a.nest(4, &value(mask)).nest(5, &value(xor));
    a
}

/// 0 rewrites the source, 1 the destination.
fn nat(kind: u32, family: IpFamily, addr: u32, port: Option<u32>) -> Attrs {
    let mut a = Attrs::new();
    a.be32(1, kind).be32(2, u32::from(nfproto(family))).be32(3, register(addr));
    if let Some(port) = port {
        a.be32(5, register(port));
    }
    a
}

impl Expr {
    fn name(&self) -> &'static str {
        match self {
            Expr::Network { .. } | Expr::Transport { .. } => "payload",
            Expr::Meta { .. } | Expr::SetMark { .. } => "meta",
            Expr::Ct { .. } | Expr::CtReply { .. } => "ct",
            Expr::Compare { .. } => "cmp",
            Expr::Mask { .. } | Expr::SetBits { .. } => "bitwise",
            Expr::InSet { .. } | Expr::Map { .. } | Expr::VerdictMap { .. } => "lookup",
            Expr::Random { .. } | Expr::Turn { .. } => "numgen",
            Expr::Hash { .. } => "hash",
            Expr::AddressType { .. } => "fib",
            Expr::Verdict(_) | Expr::Immediate { .. } => "immediate",
            Expr::Dnat { .. } | Expr::Snat { .. } => "nat",
            Expr::Masquerade => "masq",
            Expr::Notrack => "notrack",
            Expr::Reset | Expr::Unreachable(_) => "reject",
            Expr::Update { .. } | Expr::Count { .. } => "dynset",
        }
    }

    fn data(&self) -> Attrs {
        let mut a = Attrs::new();
        match self {
            Expr::Network { offset, len, word } => a = payload(*word, 1, *offset, *len),
            Expr::Transport { offset, len, word } => a = payload(*word, 2, *offset, *len),
            Expr::Meta { key, word } => drop(a.be32(1, register(*word)).be32(2, *key)),
            Expr::Ct { key, original, word } => {
                a.be32(1, register(*word)).be32(2, *key);
                if *original {
                    a.byte(3, 0);
                }
            }
            Expr::CtReply { key, word } => drop(a.be32(1, register(*word)).be32(2, *key).byte(3, 1)),
            Expr::Compare { not, word, value: bytes } => {
                a.be32(1, register(*word)).be32(2, u32::from(*not)).nest(3, &value(bytes));
            }
            Expr::Mask { word, mask } => a = bitwise(*word, mask, &vec![0; mask.len()]),
            Expr::SetBits { word, bits } => {
                a = bitwise(*word, &bits.iter().map(|byte| !byte).collect::<Vec<_>>(), bits)
            }
            Expr::SetMark { word } => drop(a.be32(2, 3).be32(3, register(*word))),
            Expr::InSet { set, word, not } => {
                a.text(1, set).be32(2, register(*word));
                if *not {
                    a.be32(5, 1);
                }
            }
            Expr::Map { map, word } | Expr::VerdictMap { map, word } => {
                let to = if matches!(self, Expr::Map { .. }) { register(0) } else { 0 };
                a.text(1, map).be32(2, register(*word)).be32(3, to);
            }
            Expr::Random { below, offset, word } => a = numgen(1, *below, *offset, *word),
            Expr::Turn { below, offset, word } => a = numgen(0, *below, *offset, *word),
            Expr::Hash { from, len, below, offset, seed, word } => {
                a.be32(1, register(*from)).be32(2, register(*word)).be32(3, *len).be32(4, *below).be32(5, *seed);
                if *offset != 0 {
                    a.be32(6, *offset);
                }
            }
            Expr::AddressType { flags, word } => drop(a.be32(1, register(*word)).be32(2, 3).be32(3, *flags)),
            Expr::Verdict(verdict) => drop(a.be32(1, 0).nest(2, &verdict.attrs())),
            Expr::Immediate { word, value: bytes } => drop(a.be32(1, register(*word)).nest(2, &value(bytes))),
            Expr::Dnat { family, addr, port } => a = nat(1, *family, *addr, *port),
            Expr::Masquerade => {
                a.be32(1, 0x10);
            }
            Expr::Snat { family, addr } => a = nat(0, *family, *addr, None),
            Expr::Notrack => {}
            Expr::Reset => {
                a.be32(1, 1).byte(2, 0);
            }
            Expr::Unreachable(family) => {
                a.be32(1, 0).byte(2, if *family == IpFamily::V4 { 3 } else { 4 });
            }
            Expr::Count { set, key, timeout_ms } => {
                a.text(1, set).be32(3, 1).be32(4, register(*key)).be64(6, *timeout_ms);
            }
            Expr::Update { map, key, data, timeout_ms } => {
                a.text(1, map).be32(3, 1).be32(4, register(*key)).be32(5, register(*data)).be64(6, *timeout_ms);
            }
        }
        a
    }

    fn attrs(&self) -> Attrs {
        let mut a = Attrs::new();
        a.text(1, self.name()).nest(2, &self.data());
        a
    }
}

/// The list of a rule's expressions.
pub(in crate::dataplane) fn rule_body(exprs: &[Expr]) -> Attrs {
    let mut list = Attrs::new();
    for expr in exprs {
        list.nest(1, &expr.attrs());
    }
    list
}

/// The family's number in nf_tables.
pub(in crate::dataplane) fn nfproto(family: IpFamily) -> u8 {
    match family {
        IpFamily::V4 => 2,
        IpFamily::V6 => 10,
    }
}
