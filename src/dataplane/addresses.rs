//! The addresses of this box, as they are now: a DHCP lease or a prefix of IPv6
//! may change them at any time.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use tokio::sync::watch;

use super::Options;
use super::table::{SetName, Slot, octets};
use super::watch::Notices;
use crate::model::{BoxAddress, BoxAddresses, IpFamily, NodePortAddress};

/// `RTNLGRP_LINK`, addresses and routes of both families: the default route says
/// which address is the primary one.
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
/// Addresses change in bursts: this long after the first notice we look.
const SETTLE: Duration = Duration::from_millis(20);
/// Looked at in any case so often, should notices be lost or not be had.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Anywhere in the world: where the default route leads. Nothing is sent there.
const AFAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// What a link is that carries multicast.
const MULTICASTING: InterfaceFlags =
    InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_RUNNING).union(InterfaceFlags::IFF_MULTICAST);

/// Reads them.
///
/// # Errors
/// The kernel does not tell.
pub fn read() -> io::Result<BoxAddresses> {
    let mut found: Vec<BoxAddress> = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let read = |at: SockaddrStorage| {
            let v4 = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
            v4.or_else(|| at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
        };
        let Some(addr) = interface.address.and_then(read) else { continue };
        let prefix_len = interface.netmask.and_then(read).map_or(0, prefix_len);
        let multicast =
            interface.flags.contains(MULTICASTING) && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        // An IPv4 address may carry a label such as eth0:1.
        let link = interface.interface_name.split(':').next().unwrap_or_default().to_owned();
        // A link that went meanwhile took its addresses along.
        let Ok(index) = nix::net::if_::if_nametoindex(link.as_str()) else { continue };
        found.push(BoxAddress { addr, link, index, prefix_len, multicast, routed: false, primary: false });
    }
    for afar in AFAR {
        let by_route = source_towards(afar);
        let fits = |one: &BoxAddress| one.addr.is_ipv4() == afar.is_ipv4() && is_reachable(one);
        let first = found.iter().position(|one| fits(one) && Some(one.addr) == by_route);
        if let Some(one) = first.or_else(|| found.iter().position(fits)).and_then(|at| found.get_mut(at)) {
            one.routed = first.is_some();
            one.primary = true;
        }
    }
    found.sort_by_key(|one| (!one.primary, one.index));
    Ok(found.into())
}

/// The bits of a netmask.
fn prefix_len(mask: IpAddr) -> u8 {
    let bits = match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    };
    u8::try_from(bits).unwrap_or_default()
}

/// Whether others may reach it: not loopback, of one link only, or on our own link.
pub fn is_reachable(one: &BoxAddress) -> bool {
    let general = match one.addr {
        IpAddr::V4(addr) => !addr.is_loopback() && !addr.is_link_local(),
        IpAddr::V6(addr) => !addr.is_loopback() && !addr.is_unicast_link_local(),
    };
    general && one.link != super::LINK_NAME
}

/// The address the box would send from; connecting a datagram socket sends nothing.
fn source_towards(afar: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if afar.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(afar, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Follows them, in a task of this runtime, until nobody looks any more.
///
/// # Errors
/// They cannot be read.
pub fn follow() -> io::Result<watch::Receiver<BoxAddresses>> {
    let notices = Notices::open(netlink_sys::protocols::NETLINK_ROUTE, &GROUPS);
    // Read after the notices were asked for: nothing falls between.
    let (sender, receiver) = watch::channel(read()?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = notices.next() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match read() {
                Ok(now) => drop(sender.send_if_modified(|known| {
                    let moved = *known != now;
                    *known = now;
                    moved
                })),
                Err(error) => tracing::warn!(%error, "the box's addresses could not be read"),
            }
        }
    });
    Ok(receiver)
}

/// The elements that stand for these addresses in our tables. Pure.
pub(super) fn slots(options: &Options, addresses: &[BoxAddress]) -> BTreeSet<Slot> {
    let mut slots = BTreeSet::new();
    for one in addresses {
        let family = IpFamily::of(one.addr);
        let bytes = octets(one.addr);
        let admits = |entry: &NodePortAddress| entry.admits(one.addr, &one.link, one.primary);
        // Loopback is the relay's.
        if !one.addr.is_loopback() && options.nodeport_addresses.iter().any(admits) {
            slots.insert(Slot::new(family, SetName::NodePortIps, bytes.clone()));
        }
        if options.address_sets {
            slots.insert(Slot::new(family, SetName::LocalIps, bytes.clone()));
            let on_link = [bytes, one.index.to_ne_bytes().to_vec()].concat();
            slots.insert(Slot::new(family, SetName::LocalOnLink, on_link));
        }
    }
    slots
}
