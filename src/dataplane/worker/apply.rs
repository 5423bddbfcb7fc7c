//! Changes of Services: all together, and where the kernel refuses that, all but the
//! ones it does not take.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::affinity;
use super::super::kernel;
use super::super::links::Way;
use super::super::netlink::batch::{commit, commit_staged};
use super::super::portion::portions;
use super::super::sift::{SetAside, sift};
use super::super::table::{Book, ChainName, Data, Edit, SetName, Slot};
use super::super::{DataplaneError, Report};
use super::{Worker, bridges, is_off_box};
use crate::desired::{Change, Contribution};
use crate::model::IpFamily;

/// What stands in the kernel while the Services are put in anew, in groups: rests of a
/// process before us stay until all of them are there.
#[derive(Debug, Default)]
struct Standing {
    elements: BTreeMap<Slot, Data>,
    chains: BTreeSet<(IpFamily, ChainName)>,
}

/// What came of groups of changes.
#[derive(Debug, Default)]
struct Taken {
    operations: usize,
    edit: Edit,
}

impl Worker {
    /// Applies changes in one transaction; where that does not fit, in as few as do,
    /// each Service still in one step. A Service that the kernel refuses is set aside
    /// and holds up no other.
    pub(in crate::dataplane) async fn apply(&mut self, changes: &[Change]) -> Result<Report, DataplaneError> {
        let changes = self.set_aside.rebase(changes);
        let mut report = Report::default();
        for portion in portions(&changes, self.nft.send_bytes_max()) {
            report.operations += self.apply_portion(portion).await?.operations;
        }
        self.tell_refused();
        Ok(report)
    }

    /// When Services that were refused are to be tried again.
    pub(in crate::dataplane) fn next_retry(&self) -> Option<Instant> {
        self.set_aside.next()
    }

    /// Tries Services that were refused again.
    pub(in crate::dataplane) async fn retry(&mut self) -> Result<(), DataplaneError> {
        let due = self.set_aside.due(Instant::now());
        let tried = self.apply(&due).await.map(drop);
        if let Err(error) = &tried {
            // Without a later time this would be a loop.
            due.iter().for_each(|change| self.set_aside.add(change, error.to_string(), Instant::now()));
        }
        tried
    }

    async fn apply_portion(&mut self, changes: &[Change]) -> Result<Report, DataplaneError> {
        let touched = self.book.endpoints_touched(changes);
        let unknown = touched.iter().filter(|(_, off_box)| off_box.is_none()).map(|(addr, _)| *addr).collect();
        let ways = self.ways(unknown).await;
        let mut off_box =
            |addr: IpAddr| touched.get(&addr).copied().flatten().unwrap_or_else(|| is_off_box(&ways, addr));
        let bridges_before = self.bridges.len();
        self.bridges.extend(bridges(&ways));
        if self.unsettled {
            self.restore()?;
        }
        let taken = self.take(changes, &mut off_box)?;
        self.flows.moved(self.book.frontends(), &taken.edit);
        self.live.moved(&taken.edit);
        self.forward();
        if self.bridges.len() > bridges_before {
            self.bend().await?;
        }
        if taken.edit.moved().any(|(before, after)| affinity::forgets(before, after)) {
            affinity::Live::of(self.book.frontends().iter()).sweep(&mut self.nft)?;
        }
        Ok(Report { operations: taken.operations })
    }

    fn take(&mut self, changes: &[Change], off_box: &mut dyn FnMut(IpAddr) -> bool) -> Result<Taken, DataplaneError> {
        let mut taken = Taken::default();
        let first = self.attempt(changes, off_box, None, &mut taken);
        let refused = match first {
            Ok(()) => Vec::new(),
            Err(error) if !error.is_refusal() => return Err(error),
            Err(error) if changes.len() == 1 && self.set_aside.has_all(changes) => vec![(changes, error)],
            Err(error) => {
                tracing::warn!(%error, "the kernel refused a change, its tables are read again");
                // Somebody may have changed them; if that was all, the change is taken now.
                self.restore()?;
                sift(changes, &mut |group| self.attempt(group, off_box, None, &mut taken))
            }
        };
        self.note(changes, refused)?;
        Ok(taken)
    }

    /// Puts all Services in anew, where the kernel refuses that together.
    pub(super) fn take_all(
        &mut self,
        contributions: &[Arc<Contribution>],
        ways: &BTreeMap<IpAddr, Way>,
    ) -> Result<Report, DataplaneError> {
        self.book = Book::default();
        self.adopt(true)?;
        let mut standing = self.read_standing()?;
        let wish = |wanted: &Arc<Contribution>| Change {
            key: wanted.key.clone(),
            before: None,
            after: Some(Arc::clone(wanted)),
        };
        let changes: Vec<Change> = contributions.iter().map(wish).collect();
        let (off_box, mut taken) = (&mut |addr| is_off_box(ways, addr), Taken::default());
        let refused = sift(&changes, &mut |group| self.attempt(group, off_box, Some(&mut standing), &mut taken));
        self.note(&changes, refused)?;
        let rests = self.restore()?;
        Ok(Report { operations: taken.operations + rests.operations })
    }

    fn read_standing(&mut self) -> Result<Standing, DataplaneError> {
        let mut standing = Standing::default();
        for family in IpFamily::BOTH {
            let held = kernel::read_held(&mut self.nft, family).map_err(DataplaneError::Socket)?;
            standing.chains.extend(held.chains.into_iter().map(|name| (family, name)));
            for set in SetName::ALL.into_iter().filter(|set| !set.is_dynamic()) {
                let found = kernel::read_set(&mut self.nft, family, set).map_err(DataplaneError::Socket)?;
                standing.elements.extend(found);
            }
        }
        Ok(standing)
    }

    /// Applies a group of changes, or leaves book and kernel as they are.
    fn attempt(
        &mut self,
        group: &[Change],
        off_box: &mut dyn FnMut(IpAddr) -> bool,
        standing: Option<&mut Standing>,
        taken: &mut Taken,
    ) -> Result<(), DataplaneError> {
        if self.unsettled {
            self.restore()?;
        }
        let mut edit = Edit::default();
        for change in group {
            self.book.change(&change.key, change.before.as_ref(), change.after.as_ref(), off_box, &mut edit);
        }
        if let Some(standing) = &standing {
            edit.onto(&standing.elements, &standing.chains);
        }
        self.flows.before(self.book.frontends());
        let retired = self.retired.clone();
        self.retired.retire(&mut edit, Instant::now());
        match self.commit_edit(&edit) {
            Ok(operations) => {
                taken.operations += operations;
                if let Some(standing) = standing {
                    edit.enter(&mut standing.elements, &mut standing.chains);
                }
                taken.edit.extend(edit);
                Ok(())
            }
            Err(error) => {
                self.retired = retired;
                self.unsettled |= !error.is_refusal();
                for change in group.iter().rev() {
                    let (before, after) = (change.before.as_ref(), change.after.as_ref());
                    self.book.change(&change.key, after, before, off_box, &mut Edit::default());
                }
                Err(error)
            }
        }
    }

    /// Sends an edit as one transaction. One that does not fit is one Service: what no
    /// packet meets yet goes ahead of its switch, what none meets any more follows.
    fn commit_edit(&mut self, edit: &Edit) -> Result<usize, DataplaneError> {
        let mut ops = kernel::edit_ops(edit, &self.options);
        let restarts = self.restarts(edit);
        ops.extend(restarts.iter().cloned());
        match self.commit(|nft| commit(nft, &ops)) {
            Err(error) if error.is_too_large() => {
                let mut stages = kernel::edit_stages(edit, &self.options);
                stages.switch.extend(restarts);
                let begins = !stages.ahead.is_empty();
                let sent = self.commit(|nft| commit_staged(nft, stages));
                // One stage may have taken effect without the others.
                sent.inspect_err(|error| self.unsettled |= begins && !error.is_too_large())?;
            }
            sent => sent?,
        }
        Ok(ops.len())
    }

    /// Notes what was taken and what was refused. An error that is no refusal, of the
    /// socket perhaps, is the caller's.
    fn note(&mut self, changes: &[Change], refused: Vec<(&[Change], DataplaneError)>) -> Result<(), DataplaneError> {
        if let Some(at) = refused.iter().position(|(_, error)| !error.is_refusal()) {
            let mut refused = refused;
            return Err(refused.swap_remove(at).1);
        }
        let mut left: BTreeSet<_> = BTreeSet::new();
        for (group, error) in refused {
            for change in group {
                let service = &change.key;
                tracing::error!(%service, %error, "the kernel refuses a Service; it is tried again");
                self.set_aside.add(change, error.to_string(), Instant::now());
                left.insert(&change.key);
            }
        }
        for change in changes.iter().filter(|change| !left.contains(&change.key)) {
            if self.set_aside.settle(&change.key) {
                tracing::info!(service = %change.key, "the kernel takes a Service again");
            }
        }
        Ok(())
    }

    /// Begins anew: nothing was refused yet.
    pub(super) fn forget_refused(&mut self) {
        self.set_aside = SetAside::default();
    }

    pub(super) fn tell_refused(&self) {
        let reasons = self.set_aside.reasons();
        self.refused.send_if_modified(|told| {
            let moved = *told != reasons;
            *told = reasons;
            moved
        });
    }
}
