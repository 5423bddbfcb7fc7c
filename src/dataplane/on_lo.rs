//! What stands on `lo` where no link of our own can be made: the DNS addresses and
//! the routes of the service ranges. They do not go with a link, so they are noted
//! in the set `on-lo` of our tables for whoever takes them back.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Options;
use super::netlink::{Attrs, Link};
use super::table::{SetName, Slot, address, octets};
use crate::model::IpFamily;

const DELETE_ADDRESS: u16 = 21;
const DELETE_ROUTE: u16 = 25;
/// `RT_TABLE_MAIN`, and `RT_SCOPE_NOWHERE`, which stands for any scope.
const MAIN: u8 = 254;
const ANY_SCOPE: u8 = 255;

/// The note of everything we put on `lo`. An address is a network of itself; no
/// service range is as small.
pub(super) fn notes(options: &Options) -> BTreeSet<Slot> {
    let addresses = options.cluster_dns.iter().map(|addr| IpNet::from(*addr));
    addresses.chain(options.service_ranges.iter().copied()).map(note).collect()
}

/// Its first and last address.
fn note(net: IpNet) -> Slot {
    let key = [octets(net.network()), octets(net.broadcast())].concat();
    Slot::new(IpFamily::of(net.addr()), SetName::OnLo, key)
}

/// The network of a note.
fn noted(slot: &Slot) -> Option<IpNet> {
    let (first, last) = slot.key.start.split_at_checked(slot.key.start.len() / 2)?;
    let (first, last) = (address(first)?, address(last)?);
    let nets = (0..=IpNet::from(first).prefix_len()).filter_map(|length| IpNet::new(first, length).ok());
    nets.into_iter().find(|net| net.network() == first && net.broadcast() == last)
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
    for net in slots.iter().filter_map(noted) {
        let (kind, body, what) = if net.prefix_len() == net.max_prefix_len() {
            (DELETE_ADDRESS, address_body(net.addr(), lo), format!("address {} of lo", net.addr()))
        } else {
            (DELETE_ROUTE, route_body(net, lo), format!("route {net} over lo"))
        };
        match link.request(kind, 0, &body) {
            Ok(_) => removed.push(what),
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

/// `struct rtmsg` with destination and link.
fn route_body(net: IpNet, lo: u32) -> Vec<u8> {
    let mut a = Attrs::new();
    a.bytes(1, &octets(net.network())).bytes(4, &lo.to_ne_bytes());
    let header = [family(net.addr()), net.prefix_len(), 0, 0, MAIN, 0, ANY_SCOPE, 0, 0, 0, 0, 0];
    [&header[..], a.as_bytes()].concat()
}
