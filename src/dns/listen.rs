//! The sockets of one address: several for UDP, one for TCP, on one port.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use std::os::fd::AsRawFd;
use tokio::net::TcpListener;

/// Connections the kernel holds for us between two accepts.
const ACCEPT_BACKLOG: i32 = 128;
/// Bytes of questions the kernel holds for a socket: what arrives while we are
/// not scheduled must not be lost. The kernel caps it at net.core.rmem_max.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// The sockets of one address.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The address with the port in effect.
    pub(crate) addr: SocketAddr,
    /// They do not block; their threads make them ready for tasks.
    pub(crate) udp: Vec<net::UdpSocket>,
    pub(crate) tcp: TcpListener,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program holds the port: stop it, or choose another address.
    #[error("cannot listen for DNS on {addr} ({transport}): the port is taken by another program")]
    Taken {
        /// The address.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
    },
    /// The process may not: ports below 1024 need CAP_NET_BIND_SERVICE.
    #[error(
        "cannot listen for DNS on {addr} ({transport}): not permitted (ports below 1024 need CAP_NET_BIND_SERVICE; \
         --cluster-dns none does without)"
    )]
    Forbidden {
        /// The address.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
    },
    /// Anything else.
    #[error("cannot listen for DNS on {addr} ({transport}): {source}")]
    Failed {
        /// The address.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A wildcard address: answers to datagrams would leave from another address
    /// than the one asked, and the port of every other resolver would be taken.
    #[error("cannot listen for DNS on {addr}: name one address, not all of them")]
    Wildcard {
        /// The address.
        addr: SocketAddr,
    },
}

impl ListenError {
    /// Whether a privilege is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, ListenError::Forbidden { .. })
    }
}

/// Opens `udp_count` UDP sockets and a TCP listener on `addr`. Port 0 takes any
/// free port, the same for both. Must be called within the runtime.
pub(crate) fn open(addr: SocketAddr, udp_count: usize) -> Result<Sockets, ListenError> {
    if addr.ip().is_unspecified() {
        return Err(ListenError::Wildcard { addr });
    }
    // TCP first: without SO_REUSEPORT, it is what finds a second edgesvc.
    let told = |transport| move |source: io::Error| ListenError::of(addr, transport, source);
    let tcp = open_tcp(addr).map_err(told("TCP"))?;
    let addr = tcp.local_addr().map_err(told("TCP"))?;
    let udp = (0..udp_count.max(1)).map(|_| open_udp(addr)).collect::<io::Result<_>>().map_err(told("UDP"))?;
    Ok(Sockets { addr, udp, tcp })
}

fn open_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let fd = new_socket(addr, SockType::Stream, SockProtocol::Tcp)?;
    // Connections of an earlier process in TIME_WAIT do not hold the port.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    listen(&fd, Backlog::new(ACCEPT_BACKLOG)?)?;
    TcpListener::from_std(net::TcpListener::from(fd))
}

fn open_udp(addr: SocketAddr) -> io::Result<net::UdpSocket> {
    let fd = new_socket(addr, SockType::Datagram, SockProtocol::Udp)?;
    setsockopt(&fd, sockopt::ReusePort, &true)?;
    setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    Ok(net::UdpSocket::from(fd))
}

fn new_socket(addr: SocketAddr, kind: SockType, protocol: SockProtocol) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, protocol)?;
    // The address may come later than we do and go before us: with this the
    // sockets outlive its absence. A kernel that refuses it costs only that.
    if let Err(error) = setsockopt(&fd.as_fd(), sockopt::IpFreebind, &true) {
        tracing::debug!(%addr, %error, "no IP_FREEBIND");
    }
    Ok(fd)
}

impl ListenError {
    fn of(addr: SocketAddr, transport: &'static str, source: io::Error) -> ListenError {
        match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::Taken { addr, transport },
            io::ErrorKind::PermissionDenied => ListenError::Forbidden { addr, transport },
            _ => ListenError::Failed { addr, transport, source },
        }
    }

    /// Whether waiting may help: the address is not there yet.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, ListenError::Failed { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable)
    }
}
