//! What our tables note of the box: what we changed there and are to take back, also
//! after a process that was killed.

use std::collections::BTreeSet;
use std::io;

use super::kernel::read_set;
use super::netlink::Link;
use super::reserved;
use super::table::{SetName, Slot};
use crate::model::IpFamily;

/// The bridge ports noted as switched by us; none where there is no table.
pub(super) fn hairpin_ports(link: &mut Link) -> io::Result<BTreeSet<u32>> {
    let found = match read_set(link, IpFamily::V4, SetName::HairpinPorts) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => return Ok(BTreeSet::new()),
        found => found?,
    };
    let index = |slot: &Slot| Some(u32::from_ne_bytes(slot.key.start.get(..4)?.try_into().ok()?));
    Ok(found.keys().filter_map(index).collect())
}

/// The notes of what we put on `lo`, of both families; none where there is no table.
pub(super) fn on_lo(link: &mut Link) -> io::Result<BTreeSet<Slot>> {
    let mut notes = BTreeSet::new();
    for family in IpFamily::BOTH {
        match read_set(link, family, SetName::OnLo) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
            found => notes.extend(found?.into_keys()),
        }
    }
    Ok(notes)
}

/// The ports noted as reserved by us; none where there is no table.
pub(super) fn reserved_ports(link: &mut Link) -> io::Result<BTreeSet<u16>> {
    match read_set(link, IpFamily::V4, SetName::ReservedPorts) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(BTreeSet::new()),
        found => Ok(reserved::noted(found?.into_keys())),
    }
}
