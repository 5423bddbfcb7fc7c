//! The DNS addresses, where no link of our own can be made and they stand on `lo`.
//! They do not go with a link, so they are noted in the set `on-lo` of our tables
//! for whoever takes them back.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Options;
use super::netlink::{Attrs, Link};
use super::table::{SetName, Slot, address, octets};
use crate::model::IpFamily;

const DELETE_ADDRESS: u16 = 21;

/// The note of every address we put on `lo`.
pub(super) fn notes(options: &Options) -> BTreeSet<Slot> {
    options.cluster_dns.iter().map(|addr| Slot::new(IpFamily::of(*addr), SetName::OnLo, octets(*addr))).collect()
}

/// Takes back what is noted, and answers what that was. What is gone already is
/// not told.
pub(super) fn take_back(slots: &BTreeSet<Slot>) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    if slots.is_empty() {
        return Ok(removed);
    }
    let lo = nix::net::if_::if_nametoindex("lo")?;
    let mut link = Link::open(netlink_sys::protocols::NETLINK_ROUTE)?;
    for addr in slots.iter().filter_map(|slot| address(&slot.key.start)) {
        match link.request(DELETE_ADDRESS, 0, &address_body(addr, lo)) {
            Ok(_) => removed.push(format!("address {addr} of lo")),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::EADDRNOTAVAIL | nix::libc::ESRCH | nix::libc::ENOENT)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn family(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 2 } else { 10 }
}

/// `struct ifaddrmsg` with the address.
fn address_body(addr: IpAddr, lo: u32) -> Vec<u8> {
    let mut a = Attrs::new();
    a.bytes(2, &octets(addr)).bytes(1, &octets(addr));
    let length = IpNet::from(addr).prefix_len();
    [&[family(addr), length, 0, 0], &lo.to_ne_bytes()[..], a.as_bytes()].concat()
}
