//! One question to one upstream: UDP first, TCP when the answer was cut; or TLS.
//!
//! Always true: an answer counts only if it comes from the server's address, to a
//! port of its own, with the id and the question that were sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::remote::Remote;

/// Longest answer read from a datagram.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// How long the first datagram is waited for before it is sent once more: one of
/// the two may be lost.
const RESEND_PAUSE: Duration = Duration::from_millis(700);

/// Asks a server the way it wants to be asked; the caller sets the limit of time.
pub(crate) async fn ask_remote(remote: &Remote, tls: Option<&TlsConnector>, question: &Message) -> io::Result<Message> {
    let reply = once(remote, tls, question).await?;
    // A server from before EDNS does not understand the question (RFC 6891 section 7).
    let plain = matches!(reply.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp);
    if !plain || question.edns.is_none() {
        return Ok(reply);
    }
    let mut question = question.clone();
    question.edns = None;
    once(remote, tls, &question).await
}

async fn once(remote: &Remote, tls: Option<&TlsConnector>, question: &Message) -> io::Result<Message> {
    match (&remote.upstream.tls, tls) {
        (None, _) => ask(remote.upstream.addr, question).await,
        (Some(_), Some(tls)) => remote.pipelines.ask(&remote.upstream, tls, question).await,
        (Some(_), None) => Err(io::Error::other("TLS is not set up")),
    }
}

/// Asks over plain DNS; the caller sets the limit of time.
pub(crate) async fn ask(server: SocketAddr, question: &Message) -> io::Result<Message> {
    let packet = question.to_vec().map_err(io::Error::other)?;
    let reply = over_udp(server, question, &packet).await?;
    if !reply.metadata.truncation {
        return Ok(reply);
    }
    let mut stream = TcpStream::connect(server).await?;
    converse(&mut stream, question).await
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

async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), question: &Message) -> io::Result<Message> {
    stream.write_all(&framed(question)?).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    let reply = Message::from_vec(&bytes).map_err(io::Error::other)?;
    if belongs(&reply, question) { Ok(reply) } else { Err(io::Error::other("the reply answers another question")) }
}

/// A question behind its length, to leave in one write: servers that take a length alone for
/// a question would be waited for (RFC 7766 section 8).
pub(crate) fn framed(question: &Message) -> io::Result<Vec<u8>> {
    let packet = question.to_vec().map_err(io::Error::other)?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), packet.as_slice()].concat())
}

/// Whether it is the reply to this question.
pub(crate) fn belongs(reply: &Message, question: &Message) -> bool {
    let same = |(theirs, ours): (&hickory_proto::op::Query, &hickory_proto::op::Query)| {
        theirs.query_type == ours.query_type
            && theirs.query_class == ours.query_class
            && theirs.name.to_lowercase() == ours.name.to_lowercase()
    };
    // Some servers leave the question out of a refusal, and out of nothing else.
    let refusal = reply.queries.is_empty() && reply.metadata.response_code == ResponseCode::FormErr;
    reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == question.metadata.id
        && (refusal || reply.queries.len() == question.queries.len())
        && reply.queries.iter().zip(&question.queries).all(same)
}
