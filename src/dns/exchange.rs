//! One question to one upstream: UDP first, TCP when the answer was cut.
//!
//! Always true: an answer counts only if it comes from the server's address, to a
//! port of its own, with the id and the question that were sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// Longest answer read from a datagram.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// How long the first datagram is waited for before it is sent once more: one of
/// the two may be lost.
const RESEND_PAUSE: Duration = Duration::from_millis(700);

/// Asks; the caller sets the limit of time.
pub(crate) async fn ask(server: SocketAddr, question: Message) -> io::Result<Message> {
    let packet = question.to_vec().map_err(io::Error::other)?;
    let reply = over_udp(server, &question, &packet).await?;
    if reply.metadata.truncation { over_tcp(server, &question, &packet).await } else { Ok(reply) }
}

async fn over_udp(server: SocketAddr, question: &Message, packet: &[u8]) -> io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A socket for each question: the kernel's random port is half of what an
    // off-path forger has to guess, and a connected socket hears no one else.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut resend = Some(Instant::now() + RESEND_PAUSE);
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = match resend {
            Some(at) => match timeout_at(at, socket.recv(&mut bytes)).await {
                Ok(received) => received,
                Err(_) => {
                    resend = None;
                    socket.send(packet).await?;
                    continue;
                }
            },
            None => socket.recv(&mut bytes).await,
        };
        let reply = Message::from_vec(bytes.get(..received?).unwrap_or_default());
        match reply {
            Ok(reply) if belongs(&reply, question) => return Ok(reply),
            // A forged or late packet must not end the wait for the real one.
            _ => tracing::debug!(%server, "a datagram that answers nothing we asked"),
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, packet: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(packet);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    let reply = Message::from_vec(&bytes).map_err(io::Error::other)?;
    if belongs(&reply, question) { Ok(reply) } else { Err(io::Error::other("the reply answers another question")) }
}

/// Whether it is the reply to this question.
fn belongs(reply: &Message, question: &Message) -> bool {
    let same = |(theirs, ours): (&hickory_proto::op::Query, &hickory_proto::op::Query)| {
        theirs.query_type == ours.query_type
            && theirs.query_class == ours.query_class
            && theirs.name.to_lowercase() == ours.name.to_lowercase()
    };
    reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == question.metadata.id
        && reply.queries.len() == question.queries.len()
        && reply.queries.iter().zip(&question.queries).all(same)
}
