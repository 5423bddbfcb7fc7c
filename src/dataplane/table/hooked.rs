//! Base chains that every packet would meet, and that are there only while they are of use:
//! the one that marks costs new connections 3 in 100 (measured through veth pairs). Pure.

use super::expr::{Expr, Verdict};
use super::layout::{Chain, Words, base, goto, in_set, joined, translated};
use super::set::SetName;
use crate::dataplane::Options;
use crate::model::IpFamily;

/// Such a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum Hooked {
    /// While a Service remembers clients: connections to endpoints elsewhere.
    RememberForwarded,
    /// The same of endpoints on the box.
    RememberLocal,
    /// While a firewall of others may drop what is forwarded: the bit it is to accept.
    MarkForwarded,
}

impl Hooked {
    pub(super) const ALL: [Hooked; 3] = [Hooked::RememberForwarded, Hooked::RememberLocal, Hooked::MarkForwarded];
    /// What a Service that remembers clients needs.
    pub(super) const REMEMBER: [Hooked; 2] = [Hooked::RememberForwarded, Hooked::RememberLocal];

    pub(in crate::dataplane) fn as_str(self) -> &'static str {
        match self {
            Hooked::RememberForwarded => "remember-forwarded",
            Hooked::RememberLocal => "remember-local",
            Hooked::MarkForwarded => "mark-forwarded",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Hooked> {
        Hooked::ALL.into_iter().find(|chain| chain.as_str() == text)
    }

    pub(super) fn chain(self, family: IpFamily, options: &Options) -> Chain {
        let remember = || vec![joined([translated(true), vec![goto("remember")]])];
        match self {
            Hooked::RememberForwarded => base(self.as_str(), "filter", 4, 90, remember()),
            Hooked::RememberLocal => base(self.as_str(), "filter", 1, 0, remember()),
            // Before filters: those of others may accept by it.
            Hooked::MarkForwarded => {
                let rules = options.forward_mark.map(|bit| marking(Words(family), bit)).unwrap_or_default();
                base(self.as_str(), "filter", 2, -5, rules)
            }
        }
    }
}

/// Both directions of a connection to an endpoint get the bit.
fn marking(w: Words, bit: u32) -> Vec<Vec<Expr>> {
    let bits = bit.to_ne_bytes().to_vec();
    let mark = [Expr::Meta { key: 3, word: 0 }, Expr::SetBits { word: 0, bits }, Expr::SetMark { word: 0 }];
    let sides = [w.daddr(0), w.saddr(0)];
    let endpoint = |side| vec![side, in_set(SetName::EndpointIps)];
    // A packet goes one way: whoever goes there is not asked whether he comes back.
    let done = vec![Expr::Verdict(Verdict::Return)];
    sides.map(|side| joined([translated(false), endpoint(side), mark.to_vec(), done.clone()])).to_vec()
}
