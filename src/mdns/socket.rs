//! The sockets of one link: one a family, bound to the group's address.
//!
//! Not to the wildcard: what is sent to the box alone on port 5353 stays with whoever
//! listens there, a resolver of the system for instance, and from beyond the link nothing
//! reaches us.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::task::Poll;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, IpMembershipRequest, MsgFlags, SockFlag, SockProtocol,
    SockType, SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::PORT;
use super::link::Link;
use crate::model::IpFamily;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// RFC 6762 section 11: whoever wants to know that a packet began on its link looks at this.
const HOPS: u8 = 255;

/// A socket of a link.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    link: u32,
    family: IpFamily,
    /// The address that joined the group; another one must join again.
    joined_by: Option<Ipv4Addr>,
}

impl Socket {
    /// Opens the socket of a family. Must be called within the runtime.
    pub(super) fn open(link: &Link, family: IpFamily) -> io::Result<Socket> {
        let joined_by = joining(link, family);
        let group = group(link.index, family);
        let domain = if group.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(domain, SockType::Datagram, flags, SockProtocol::Udp)?;
        // The port is everybody's: avahi, systemd-resolved and browsers listen there too.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::ReusePort, &true)?;
        if let Some(by) = joined_by {
            setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
            setsockopt(&fd, sockopt::IpMulticastTtl, &HOPS)?;
            setsockopt(&fd, sockopt::Ipv4Ttl, &HOPS.into())?;
            bind(fd.as_raw_fd(), &SockaddrStorage::from(group))?;
            setsockopt(&fd, sockopt::IpAddMembership, &IpMembershipRequest::new(GROUP_V4, Some(by)))?;
        } else {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            setsockopt(&fd, sockopt::Ipv6MulticastHops, &HOPS.into())?;
            setsockopt(&fd, sockopt::Ipv6Ttl, &HOPS.into())?;
            bind(fd.as_raw_fd(), &SockaddrStorage::from(group))?;
        }
        let socket = net::UdpSocket::from(fd);
        if joined_by.is_none() {
            socket.join_multicast_v6(&GROUP_V6, link.index)?;
        }
        Ok(Socket { socket: UdpSocket::from_std(socket)?, link: link.index, family, joined_by })
    }

    /// Whether it serves the link as it is now.
    pub(super) fn serves(&self, link: &Link) -> bool {
        self.joined_by == joining(link, self.family)
    }

    /// Receives one packet of this link; `WouldBlock` when there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (length, source, link) = self.socket.try_io(Interest::READABLE, || {
                let mut space = nix::cmsg_space!(libc::in_pktinfo);
                let mut parts = [IoSliceMut::new(buffer)];
                let flags = MsgFlags::MSG_DONTWAIT;
                let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
                let source = message.address.as_ref().and_then(socket_addr).ok_or(io::ErrorKind::InvalidData)?;
                let link = message.cmsgs()?.find_map(|told| match told {
                    ControlMessageOwned::Ipv4PacketInfo(info) => u32::try_from(info.ipi_ifindex).ok(),
                    _ => None,
                });
                Ok((message.bytes, source, link))
            })?;
            // In IPv4 the group is one for all links of the box: others read the same packet.
            if link.is_none_or(|link| link == self.link) {
                return Ok((length, source));
            }
        }
    }

    /// Sends to the group, or to one neighbour.
    pub(super) fn send(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        let to = SockaddrStorage::from(to.unwrap_or_else(|| group(self.link, self.family)));
        let parts = [IoSlice::new(bytes)];
        let nowhere = libc::in_addr { s_addr: 0 };
        let ipi_ifindex = i32::try_from(self.link).map_err(io::Error::other)?;
        let info = libc::in_pktinfo { ipi_ifindex, ipi_spec_dst: nowhere, ipi_addr: nowhere };
        // In IPv6 the socket is bound to the link.
        let by_link = [ControlMessage::Ipv4PacketInfo(&info)];
        let told = if self.family == IpFamily::V4 { by_link.as_slice() } else { &[] };
        sendmsg(self.socket.as_raw_fd(), &parts, told, MsgFlags::MSG_DONTWAIT, Some(&to))?;
        Ok(())
    }
}

/// Waits until one of them can be read; for ever, if there is none.
pub(super) async fn readable(sockets: impl Iterator<Item = &Socket> + Clone) {
    poll_fn(|context| {
        // Those before one that is ready have been asked, and wake us.
        let ready = sockets.clone().any(|one| one.socket.poll_recv_ready(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn joining(link: &Link, family: IpFamily) -> Option<Ipv4Addr> {
    link.first_v4().filter(|_| family == IpFamily::V4)
}

fn group(link: u32, family: IpFamily) -> SocketAddr {
    match family {
        IpFamily::V4 => SocketAddr::new(IpAddr::V4(GROUP_V4), PORT),
        IpFamily::V6 => SocketAddrV6::new(GROUP_V6, PORT, 0, link).into(),
    }
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|at| SocketAddr::V4((*at).into()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|at| SocketAddr::V6((*at).into())))
}
