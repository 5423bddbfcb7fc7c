//! Whose clients an entry of `shared-affinity` remembers, as constants of a key. Pure.
//!
//! nft takes no constant into a key that is joined of fields, but a count below one: it
//! never leaves its offset.

use std::net::IpAddr;

use super::chain::Owner;
use super::expr::Expr;
use crate::model::IpFamily;

/// The words of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct OwnerKey(Vec<u32>);

impl OwnerKey {
    /// How many there are: nft packs the types of five fields, the client's with them, into
    /// one number.
    pub(in crate::dataplane) fn words(family: IpFamily) -> usize {
        match family {
            IpFamily::V4 => 2,
            IpFamily::V6 => 4,
        }
    }

    /// The address, and protocol, side and port in one word. Of IPv6 the upper half, which
    /// tells ranges apart, is folded: two would have to fold alike and hold a Service at the
    /// same lower half and port to meet.
    pub(in crate::dataplane) fn of(owner: Owner, family: IpFamily) -> OwnerKey {
        let half =
            |bits: u64| [u32::try_from(bits >> 32), u32::try_from(bits & 0xffff_ffff)].map(Result::unwrap_or_default);
        let mut words = match owner.place.addr {
            Some(IpAddr::V4(addr)) => vec![addr.to_bits()],
            Some(IpAddr::V6(addr)) => {
                let [upper, lower] = [addr.to_bits() >> 64, addr.to_bits() & u128::from(u64::MAX)]
                    .map(|half| u64::try_from(half).unwrap_or_default());
                let [folded, _] = half(upper.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                [vec![folded], half(lower).to_vec()].concat()
            }
            None => vec![0; OwnerKey::words(family) - 1],
        };
        let (protocol, local) = (u32::from(owner.place.protocol.number()), u32::from(owner.local));
        words.push(protocol << 24 | local << 16 | u32::from(owner.place.port));
        OwnerKey(words)
    }

    /// What of a key follows the client's address.
    pub(in crate::dataplane) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// Loads them from `word` on.
    pub(in crate::dataplane) fn load(&self, word: u32) -> impl Iterator<Item = Expr> {
        self.0.iter().zip(word..).map(|(offset, word)| Expr::Turn { below: 1, offset: *offset, word })
    }

    /// The same in nft's words.
    pub(in crate::dataplane) fn text(&self) -> String {
        let word = |word: &u32| match word {
            0 => "numgen inc mod 1".to_owned(),
            _ => format!("numgen inc mod 1 offset {word}"),
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(" . ")
    }
}
