//! Chains that no Service needs any more, until it is safe to remove them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{ChainName, Edit};
use crate::model::IpFamily;

/// How long such a chain stays. A packet may have been sent there by the rules before,
/// and would leave an empty chain untranslated; conntrack would then keep its
/// connection so.
const STAYS: Duration = Duration::from_secs(1);

/// Chains in the kernel that nothing leads to, and since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Retired(BTreeMap<(IpFamily, ChainName), Instant>);

impl Retired {
    /// Takes chains out of an edit that are to stay for a while, or are still there.
    pub(super) fn retire(&mut self, edit: &mut Edit, now: Instant) {
        for chain in edit.chains_removed().collect::<Vec<_>>() {
            self.0.insert(chain, now);
            edit.leave_chain(chain);
        }
        for chain in edit.chains_added().collect::<Vec<_>>() {
            if self.0.remove(&chain).is_some() {
                edit.leave_chain(chain);
            }
        }
    }

    /// The table of a family is read again or made anew.
    pub(super) fn forget(&mut self, family: IpFamily) {
        self.0.retain(|chain, _| chain.0 != family);
    }

    /// When the next one is to go.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().map(|since| *since + STAYS)
    }

    /// The edit that removes those nothing has led to for long enough.
    pub(super) fn due(&mut self, now: Instant) -> Edit {
        let mut edit = Edit::default();
        for ((family, name), _) in self.0.extract_if(.., |_, since| *since + STAYS <= now) {
            edit.chain(family, name, true, false);
        }
        edit
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn a_chain_stays_for_a_while_and_is_not_made_twice() {
        let chain = (IpFamily::V4, ChainName::parse("n-2").unwrap());
        let begin = Instant::now();
        let moved = |before, after| {
            let mut edit = Edit::default();
            edit.chain(chain.0, chain.1, before, after);
            edit
        };
        let mut retired = Retired::default();
        let mut edit = moved(true, false);
        retired.retire(&mut edit, begin);
        assert_eq!(edit, Edit::default(), "not yet");
        assert_eq!(retired.due(begin + STAYS / 2), Edit::default());
        let mut edit = moved(false, true);
        retired.retire(&mut edit, begin);
        assert_eq!((edit, retired.next()), (Edit::default(), None), "it is still there");
        retired.retire(&mut moved(true, false), begin);
        assert_eq!(retired.next(), Some(begin + STAYS));
        assert_eq!(retired.due(begin + STAYS), moved(true, false));
        let mut edit = moved(false, true);
        retired.retire(&mut edit, begin);
        assert_eq!(edit, moved(false, true), "it is gone");
    }
}
