//! Entries of the affinity maps that lead to an endpoint that is gone: its
//! clients are balanced anew (spec section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::DataplaneError;
use super::kernel::{self, Found};
use super::netlink::Link;
use super::netlink::batch::commit;
use super::table::{Data, SetName, Slot, TABLE, affinity_places, endpoint_data};
use crate::desired::Frontend;
use crate::model::IpFamily;

/// Entries deleted in one transaction.
const AT_ONCE: usize = 256;

/// Which endpoints a client may be bound to, by what follows its address in a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live(BTreeMap<(IpFamily, SetName, Vec<u8>), BTreeSet<Vec<u8>>>);

impl Live {
    pub(super) fn of<'a>(frontends: impl Iterator<Item = &'a Frontend>) -> Live {
        let mut live: BTreeMap<_, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for frontend in frontends {
            for (set, key, endpoints) in affinity_places(frontend) {
                let place = (frontend.addr.family(), set, key);
                live.entry(place).or_default().extend(endpoints.into_iter().map(endpoint_data));
            }
        }
        Live(live)
    }

    /// Whether an entry leads to an endpoint its frontend still has.
    pub(super) fn holds(&self, slot: &Slot, data: &Data) -> bool {
        let client = if slot.family == IpFamily::V4 { 4 } else { 16 };
        let key = slot.key.start.get(client..).unwrap_or_default().to_vec();
        let Data::Bytes(bytes) = data else { return false };
        self.0.get(&(slot.family, slot.set, key)).is_some_and(|endpoints| endpoints.contains(bytes))
    }

    /// Deletes what it does not hold.
    pub(super) fn sweep(&self, nft: &mut Link) -> Result<(), DataplaneError> {
        for family in IpFamily::BOTH {
            for set in [SetName::Affinity, SetName::SharedAffinity] {
                let known = kernel::read_set(nft, family, set).map_err(DataplaneError::Socket)?;
                let dead = known.into_iter().filter(|(slot, data)| !self.holds(slot, data));
                let dead: Vec<Slot> = dead.map(|(slot, _)| slot).collect();
                for some in dead.chunks(AT_ONCE) {
                    delete(nft, some)?;
                }
            }
        }
        Ok(())
    }

    /// What the table of a family, of whatever version of us, remembers and may go on to:
    /// it goes with the table.
    pub(super) fn remembered(&self, nft: &mut Link, family: IpFamily) -> Result<Vec<Found>, DataplaneError> {
        let mut kept = Vec::new();
        for set in [SetName::Affinity, SetName::SharedAffinity] {
            match kernel::read_elements(nft, family, set) {
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                found => kept.extend(found.map_err(DataplaneError::Socket)?),
            }
        }
        let lives = |found: &Found| found.timeout_ms.zip(found.expires_ms).is_some_and(|(_, left)| left > 0);
        kept.retain(|found| lives(found) && self.holds(&found.slot, &found.data));
        Ok(kept)
    }
}

/// An entry may time out at any moment, and takes those deleted with it along: then
/// one by one.
fn delete(nft: &mut Link, slots: &[Slot]) -> Result<(), DataplaneError> {
    let ops = kernel::element_ops(TABLE, kernel::messages::DELSETELEM, slots.iter().map(|slot| (slot, None)));
    match commit(nft, &ops) {
        Err(error) if error.errno() != Some(nix::libc::ENOENT) => Err(error.into()),
        Err(_) if slots.len() > 1 => slots.chunks(1).try_for_each(|one| delete(nft, one)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a move can have left entries behind.
pub(super) fn forgets(before: Option<&Frontend>, after: Option<&Frontend>) -> bool {
    let ends = |frontend: Option<&Frontend>| -> BTreeSet<_> {
        let places = frontend.map(affinity_places).unwrap_or_default();
        let all = |(set, key, endpoints): (SetName, Vec<u8>, Vec<SocketAddr>)| {
            endpoints.into_iter().map(move |endpoint| (set, key.clone(), endpoint))
        };
        places.into_iter().flat_map(all).collect()
    };
    !ends(before).is_subset(&ends(after))
}
