//! A second table that serves new connections while ours is replaced: a packet under way in
//! the old rules would find their sets empty, and one connection in 50,000 went untranslated.
//!
//! It holds the same and is met first at every hook. So whoever comes while ours goes and
//! comes again is translated already, and ours, old or new, lets him pass. Then it leaves the
//! packets' way, and is removed [`STAYS`] later, when none can be in its rules any more. It
//! goes with the process where the kernel knows owners of tables, else the next one removes it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::netlink::batch::{Op, Stages, commit, commit_staged};
use super::super::table::STAND_IN;
use super::super::{DataplaneError, kernel};
use super::Worker;
use super::adopt::Filling;
use crate::model::IpFamily;

/// The time between the last packet it can have met and its end.
const STAYS: Duration = Duration::from_secs(1);

/// Tables that no packet meets any more, and when they go.
#[derive(Clone, Debug)]
pub(super) struct StoodIn {
    families: BTreeSet<IpFamily>,
    at: Instant,
}

impl StoodIn {
    pub(super) fn ends(&self) -> Instant {
        self.at
    }
}

impl Worker {
    /// Puts it beside the tables that are to be replaced. `left` has one of before, perhaps
    /// of a process that was killed.
    pub(super) fn stand_in(&mut self, fillings: &[Filling], left: &BTreeSet<IpFamily>) -> Result<(), DataplaneError> {
        let mut stages = Stages::default();
        for filling in fillings.iter().filter(|filling| filling.replaces) {
            if left.contains(&filling.family) {
                stages.ahead.push(kernel::delete_table(STAND_IN, filling.family));
            }
            stages.extend(kernel::stand_in(filling.family, &filling.edit, &self.options, self.owned));
            stages.ahead.extend(kernel::entry_ops(STAND_IN, &filling.remembered));
        }
        if stages.len() == 0 { Ok(()) } else { self.commit(|nft| commit_staged(nft, stages)) }
    }

    /// Takes it out of the packets' way: our tables are whole.
    pub(super) fn step_back(&mut self, fillings: &[Filling], left: &BTreeSet<IpFamily>) -> Result<(), DataplaneError> {
        let replacing = || fillings.iter().filter(|filling| filling.replaces);
        let replaced: BTreeSet<IpFamily> = replacing().map(|filling| filling.family).collect();
        let back = replacing().flat_map(|filling| kernel::step_back(filling.family, &filling.edit, &self.options));
        let done = left.difference(&replaced).map(|family| kernel::delete_table(STAND_IN, *family));
        let ops: Vec<Op> = back.chain(done).collect();
        self.stood_in = None;
        if ops.is_empty() {
            return Ok(());
        }
        self.commit(|nft| commit(nft, &ops))?;
        self.stood_in = (!replaced.is_empty()).then(|| StoodIn { families: replaced, at: Instant::now() + STAYS });
        Ok(())
    }

    /// Removes it if it is time.
    pub(super) fn remove_stood_in(&mut self) {
        let Some(StoodIn { families, .. }) = self.stood_in.take_if(|stood_in| stood_in.at <= Instant::now()) else {
            return;
        };
        let ops: Vec<Op> = families.iter().map(|family| kernel::delete_table(STAND_IN, *family)).collect();
        if let Err(error) = self.commit(|nft| commit(nft, &ops)) {
            tracing::debug!(%error, "the table that stood in is not there any more");
        }
    }
}
