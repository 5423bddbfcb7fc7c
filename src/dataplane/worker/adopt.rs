//! Makes the kernel hold what the book says, from whatever it holds.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::super::kernel::{self, Held, Install};
use super::super::netlink::batch::{commit, commit_staged};
use super::super::table::{ChainName, Data, Edit, SetName, Slot, range_slots};
use super::super::{DataplaneError, Report, addresses, affinity, conntrack, hairpin, links, on_lo};
use super::{Worker, same_link};
use crate::desired::FrontendAddr;
use crate::model::IpFamily;

/// What was found in the kernel and made of it.
struct Adopted {
    operations: usize,
    /// UDP frontends the kernel had, of which some are not wanted any more.
    udp_gone: BTreeSet<(FrontendAddr, u16)>,
}

impl Worker {
    /// Makes the kernel hold what the book says, whatever became of its tables, and
    /// has the flows looked at that were made in the meantime.
    pub(in crate::dataplane) fn restore(&mut self) -> Result<Report, DataplaneError> {
        self.flows.before(self.book.frontends());
        let adopted = self.adopt()?;
        self.flows.adopted(self.book.frontends(), &adopted.udp_gone);
        affinity::Live::of(self.book.frontends().iter()).sweep(&mut self.nft)?;
        Ok(Report { operations: adopted.operations })
    }

    /// Makes the kernel hold what the book says, by the difference, in one
    /// transaction. Only a first install may be larger than one: then everything
    /// goes ahead that packets do not meet, and the chains they meet come last.
    fn adopt(&mut self) -> Result<Adopted, DataplaneError> {
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
        let wanted: BTreeSet<_> = self.book.chains().collect();
        let (mut all, mut taken_over, mut udp_gone) = (Install::default(), 0, BTreeSet::new());
        for family in IpFamily::BOTH {
            let held = kernel::read_held(&mut self.nft, family).map_err(DataplaneError::Socket)?;
            let ours = held.is_ours(family, &self.options, self.owned);
            let install = kernel::install(&held, family, &self.options, self.owned);
            all.prepare.extend(install.prepare);
            all.switch.extend(install.switch);
            all.replaces |= install.replaces;
            self.retired.forget(family);
            let edit = if ours {
                taken_over += 1;
                let mut edit = self.difference(family, &held, &wanted, &mut desired)?;
                self.retired.retire(&mut edit, Instant::now());
                edit
            } else {
                let known = kernel::read_frontends(&mut self.nft, family).map_err(DataplaneError::Socket)?;
                udp_gone.extend(known.iter().filter_map(conntrack::udp_frontend));
                filling(family, &wanted, &mut desired)
            };
            udp_gone.extend(edit.removed().filter_map(conntrack::udp_frontend));
            let part = if ours { &mut all.switch } else { &mut all.prepare };
            part.extend(kernel::edit_ops(&edit, &self.options));
        }
        let operations = all.prepare.len() + all.switch.len() - taken_over;
        self.commit(|nft| {
            if all.replaces {
                return commit(nft, &all.prepare.into_iter().chain(all.switch).collect::<Vec<_>>());
            }
            commit_staged(nft, all.prepare, all.switch)
        })?;
        self.unsettled = false;
        Ok(Adopted { operations, udp_gone })
    }

    /// What a table of ours lacks or has too much.
    fn difference(
        &mut self,
        family: IpFamily,
        held: &Held,
        wanted: &BTreeSet<(IpFamily, ChainName)>,
        desired: &mut BTreeMap<Slot, Data>,
    ) -> Result<Edit, DataplaneError> {
        let mut edit = Edit::default();
        for name in &held.chains {
            edit.chain(family, *name, true, wanted.contains(&(family, *name)));
        }
        for set in SetName::ALL.into_iter().filter(|set| !set.is_dynamic()) {
            for (slot, data) in kernel::read_set(&mut self.nft, family, set).map_err(DataplaneError::Socket)? {
                let after = desired.remove(&slot);
                if after.as_ref() != Some(&data) {
                    edit.element(slot, Some(data), after);
                }
            }
        }
        edit.extend(filling(family, wanted, desired));
        Ok(edit)
    }
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
