//! Opening sockets, and datagrams that know the address they were sent to.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrStorage, bind, listen, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Connections the kernel holds for us between two accepts; it caps them at net.core.somaxconn.
const ACCEPT_BACKLOG: i32 = 4096;
/// The largest datagram there can be.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Silence on a connection after which the kernel asks whether the peer is still
/// there: one that lost its power sends no reset.
const KEEPALIVE_IDLE_SECONDS: u32 = 120;

thread_local! {
    /// Bytes on their way through. One for each thread and not for each connection:
    /// ten thousand idle connections must not hold a buffer each.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_BYTES_MAX]);
}

/// Lends the thread's buffer.
pub(super) fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}

/// Opens a listener; with `freebind` on an address that is routed to us and on no link.
pub(super) fn open_tcp(addr: SocketAddr, freebind: bool) -> io::Result<TcpListener> {
    let fd = new_socket(addr, SockType::Stream, SockProtocol::Tcp, freebind)?;
    // Connections of an earlier process in TIME_WAIT do not hold the port.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    listen(&fd, Backlog::new(ACCEPT_BACKLOG)?)?;
    TcpListener::from_std(net::TcpListener::from(fd))
}

/// Opens a socket for datagrams that tells their destination.
pub(super) fn open_udp(addr: SocketAddr, freebind: bool) -> io::Result<UdpSocket> {
    let fd = new_socket(addr, SockType::Datagram, SockProtocol::Udp, freebind)?;
    if addr.is_ipv4() {
        setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    UdpSocket::from_std(net::UdpSocket::from(fd))
}

/// A socket for one client's datagrams to an endpoint.
pub(super) fn connect_udp(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = net::UdpSocket::bind((any, 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn new_socket(addr: SocketAddr, kind: SockType, protocol: SockProtocol, freebind: bool) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, protocol)?;
    if addr.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    if freebind {
        setsockopt(&fd.as_fd(), sockopt::IpFreebind, &true)?;
    }
    Ok(fd)
}

/// What every relayed connection has on both sides.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Nagle's delay was the sender's to choose; a second one on the way doubles it.
    stream.set_nodelay(true)?;
    setsockopt(&stream.as_fd(), sockopt::KeepAlive, &true)?;
    setsockopt(&stream.as_fd(), sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_SECONDS)?;
    Ok(())
}

/// Ends a connection by reset: whoever is refused must not take it for an answer.
pub(super) fn reset(stream: TcpStream) {
    if let Err(error) = setsockopt(&stream.as_fd(), sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }) {
        tracing::debug!(%error, "a connection cannot be reset and is closed");
    }
    drop(stream);
}

/// Where a datagram came from and which address of ours it was sent to, with the
/// link for addresses that need one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    pub(super) client: SocketAddr,
    pub(super) local: IpAddr,
    link: u32,
}

/// Receives one datagram; `WouldBlock` when there is none.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Path)> {
    socket.try_io(Interest::READABLE, || {
        let mut space = nix::cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let client = message.address.as_ref().and_then(socket_addr).ok_or(io::ErrorKind::InvalidData)?;
        let told = message.cmsgs()?.find_map(|told| match told {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some((IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())), 0))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some((IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)), info.ipi6_ifindex))
            }
            _ => None,
        });
        let (local, link) = told.ok_or(io::ErrorKind::InvalidData)?;
        let needs_link = matches!(local, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Ok((message.bytes, Path { client, local, link: if needs_link { link } else { 0 } }))
    })
}

/// Sends to the endpoint of a session. Past tokio, which does not let a socket send
/// that it has not yet seen ready: the first datagram of every session would be lost.
pub(super) fn send(upstream: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    Ok(nix::sys::socket::send(upstream.as_raw_fd(), datagram, MsgFlags::MSG_DONTWAIT)?)
}

/// Sends an answer from the address that was asked.
pub(super) fn answer(socket: &UdpSocket, bytes: &[u8], path: &Path) -> io::Result<()> {
    let parts = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(path.client);
    let send = |told: ControlMessage<'_>| {
        sendmsg(socket.as_raw_fd(), &parts, &[told], MsgFlags::MSG_DONTWAIT, Some(&to)).map(drop)
    };
    match path.local {
        IpAddr::V4(local) => {
            let source = libc::in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
            send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: source,
                ipi_addr: source,
            }))
        }
        IpAddr::V6(local) => {
            let source = libc::in6_addr { s6_addr: local.octets() };
            send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: path.link }))
        }
    }
    .map_err(io::Error::from)
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|at| SocketAddr::V4((*at).into()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|at| SocketAddr::V6((*at).into())))
}
