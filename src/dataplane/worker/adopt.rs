//! Makes the kernel hold what the book says, from whatever it holds.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::super::kernel::{self, Found, Held};
use super::super::netlink::batch::{Stages, commit_staged};
use super::super::table::{ChainName, Data, Edit, SetName, Slot, TABLE, range_slots};
use super::super::{DataplaneError, Report, addresses, affinity, conntrack, hairpin, links, on_lo};
use super::{Worker, same_link};
use crate::desired::FrontendAddr;
use crate::model::IpFamily;

/// What the table of a family is to get.
pub(super) struct Filling {
    pub(super) family: IpFamily,
    /// It is ours already, and stays.
    ours: bool,
    /// Packets are served by another one so far.
    pub(super) replaces: bool,
    pub(super) edit: Edit,
    /// Clients that the one before remembers.
    pub(super) remembered: Vec<Found>,
}

/// What was found in the kernel and made of it.
pub(super) struct Adopted {
    operations: usize,
    /// UDP frontends the kernel had, of which some are not wanted any more.
    udp_gone: BTreeSet<(FrontendAddr, u16)>,
}

impl Worker {
    /// Makes the kernel hold what the book says, whatever became of its tables, and
    /// has the flows looked at that were made in the meantime.
    pub(in crate::dataplane) fn restore(&mut self) -> Result<Report, DataplaneError> {
        self.flows.before(self.book.frontends());
        let adopted = self.adopt(false)?;
        self.flows.adopted(self.book.frontends(), &adopted.udp_gone);
        self.live.adopted(self.book.frontends());
        affinity::Live::of(self.book.frontends().iter()).sweep(&mut self.nft)?;
        Ok(Report { operations: adopted.operations })
    }

    /// Makes the kernel hold what the book says, by the difference, in one
    /// transaction. Where that does not fit everything goes ahead that packets do not
    /// meet. With `keep` what the book does not know of stays.
    pub(super) fn adopt(&mut self, keep: bool) -> Result<Adopted, DataplaneError> {
        let mut desired = self.book.elements();
        if !self.has_link {
            desired.extend(on_lo::notes(&self.options).into_iter().map(|slot| (slot, Data::Nothing)));
        }
        self.shared = links::shared_links(&self.links).collect();
        desired.extend(self.shared.iter().flat_map(|index| same_link(*index)).map(|slot| (slot, Data::Nothing)));
        let ranges = range_slots(&self.options.service_ranges);
        desired.extend(ranges.into_iter().map(|slot| (slot, Data::Nothing)));
        self.local = addresses::slots(&self.options, &self.addresses.borrow());
        desired.extend(self.local.iter().chain(&self.reserved).map(|slot| (slot.clone(), Data::Nothing)));
        desired.extend(self.bent.iter().map(|index| (hairpin::note(*index), Data::Nothing)));
        let wanted: BTreeSet<_> = self.book.chains().chain(self.marking.iter().copied()).collect();
        let (mut stages, mut fillings, mut taken_over) = (Stages::default(), Vec::new(), 0);
        let (mut udp_gone, mut left) = (BTreeSet::new(), BTreeSet::new());
        let mut live = None;
        for family in IpFamily::BOTH {
            let held = kernel::read_held(&mut self.nft, family).map_err(DataplaneError::Socket)?;
            let ours = held.is_ours(family, &self.options, self.owned);
            stages.extend(kernel::install(&held, ours, family, &self.options, self.owned));
            self.retired.forget(family);
            let edit = if ours {
                taken_over += 1;
                let mut edit = self.difference(family, &held, &wanted, &mut desired, keep)?;
                self.retired.retire(&mut edit, Instant::now());
                edit
            } else {
                let known = kernel::read_frontends(&mut self.nft, family).map_err(DataplaneError::Socket)?;
                udp_gone.extend(known.iter().filter_map(conntrack::udp_frontend));
                filling(family, &wanted, &mut desired)
            };
            udp_gone.extend(edit.removed().filter_map(conntrack::udp_frontend));
            // Without its marker a table was never finished, and serves nobody.
            let replaces = !ours && held.layout.is_some();
            left.extend(held.stood_in.then_some(family));
            let remembered = match replaces {
                true => live
                    .get_or_insert_with(|| affinity::Live::of(self.book.frontends().iter()))
                    .remembered(&mut self.nft, family)?,
                false => Vec::new(),
            };
            fillings.push(Filling { family, ours, replaces, edit, remembered });
        }
        if let Err(error) = self.stand_in(&fillings, &left) {
            forget_clients(error, &mut fillings)?;
            self.stand_in(&fillings, &left)?;
        }
        // Should that fail, it goes on standing in.
        let operations = match self.send_install(&stages, &fillings) {
            Err(error) => {
                forget_clients(error, &mut fillings)?;
                self.send_install(&stages, &fillings)?
            }
            Ok(operations) => operations,
        } - taken_over;
        self.step_back(&fillings, &left)?;
        self.unsettled = false;
        Ok(Adopted { operations, udp_gone })
    }

    /// Sends what makes or takes over the tables, and what they are to hold. Answers the
    /// number of messages.
    fn send_install(&mut self, install: &Stages, fillings: &[Filling]) -> Result<usize, DataplaneError> {
        let stages_of = |options: &_, apart: bool| {
            let mut all = install.clone();
            for Filling { ours, edit, remembered, .. } in fillings {
                all.ahead.extend(kernel::entry_ops(TABLE, remembered));
                match (ours, apart) {
                    (false, _) => all.ahead.extend(kernel::edit_ops(edit, options)),
                    (true, false) => all.switch.extend(kernel::edit_ops(edit, options)),
                    (true, true) => all.extend(kernel::edit_stages(edit, options)),
                }
            }
            all
        };
        let whole = stages_of(&self.options, false);
        let operations = whole.len();
        match self.commit(|nft| commit_staged(nft, whole)) {
            Err(error) if error.is_too_large() => {
                let apart = stages_of(&self.options, true);
                self.commit(|nft| commit_staged(nft, apart))?;
            }
            sent => sent?,
        }
        Ok(operations)
    }

    /// Whether the Services are to be put in one by one after this error. Not where a
    /// table in use would be emptied for want of room: it serves on.
    pub(super) fn may_sift(&mut self, error: &DataplaneError) -> Result<bool, DataplaneError> {
        if !error.is_too_large() {
            return Ok(error.is_refusal());
        }
        let mut ours = true;
        for family in IpFamily::BOTH {
            let held = kernel::read_held(&mut self.nft, family).map_err(DataplaneError::Socket)?;
            ours &= held.is_ours(family, &self.options, self.owned);
        }
        Ok(ours)
    }

    /// What a table of ours lacks or has too much.
    fn difference(
        &mut self,
        family: IpFamily,
        held: &Held,
        wanted: &BTreeSet<(IpFamily, ChainName)>,
        desired: &mut BTreeMap<Slot, Data>,
        keep: bool,
    ) -> Result<Edit, DataplaneError> {
        let mut edit = Edit::default();
        for name in held.chains.iter().filter(|_| !keep) {
            edit.chain(family, *name, true, wanted.contains(&(family, *name)));
        }
        for set in SetName::ALL.into_iter().filter(|set| !set.is_dynamic()) {
            for (slot, data) in kernel::read_set(&mut self.nft, family, set).map_err(DataplaneError::Socket)? {
                let after = desired.remove(&slot);
                if after.is_some() && self.book.is_a_turn(&slot, &data) {
                    continue;
                }
                if after.as_ref() != Some(&data) && !(keep && after.is_none()) {
                    edit.element(slot, Some(data), after);
                }
            }
        }
        edit.extend(filling(family, wanted, desired));
        Ok(edit)
    }
}

/// Goes on without the clients that were remembered, should the kernel refuse them: tables
/// that serve are worth more. The error is the caller's where there are none.
fn forget_clients(error: DataplaneError, fillings: &mut [Filling]) -> Result<(), DataplaneError> {
    if !error.is_refusal() || fillings.iter().all(|filling| filling.remembered.is_empty()) {
        return Err(error);
    }
    tracing::warn!(%error, "clients of Services with affinity are balanced anew");
    fillings.iter_mut().for_each(|filling| filling.remembered.clear());
    Ok(())
}

/// Puts everything of a family into its table.
fn filling(family: IpFamily, wanted: &BTreeSet<(IpFamily, ChainName)>, desired: &mut BTreeMap<Slot, Data>) -> Edit {
    let mut edit = Edit::default();
    for (_, name) in wanted.iter().filter(|(of, _)| *of == family) {
        edit.chain(family, *name, false, true);
    }
    for (slot, data) in desired.extract_if(.., |slot, _| slot.family == family) {
        edit.element(slot, None, Some(data));
    }
    edit
}
