//! Questions over TCP: length-prefixed, any number on a connection, answered as
//! they become ready (RFC 7766).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connections::Place;
use super::respond::{Outcome, Transport};
use super::server::Shared;

/// How long a connection may stay without a whole question.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a client may take to accept a reply.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// Longest question; a longer one ends the connection.
const QUESTION_BYTES_MAX: u16 = 4096;
/// Replies waiting to be written on one connection, and questions waiting for
/// upstreams: beyond them no more questions are read.
const REPLIES_MAX: usize = 32;
/// Pause after a failed accept: it failed for lack of file descriptors or
/// memory, which does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for ever: no error of accept is fatal, and nobody waits for
/// those of others to end.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) -> io::Error {
    let mut tasks = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (shared, place) = (shared.clone(), shared.connections.enter(peer.ip()));
                tasks.spawn(async move {
                    tokio::select! {
                        ended = converse(stream, peer.ip(), &shared, &place) => if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "DNS connection ended");
                        },
                        () = place.closed() => tracing::debug!(%peer, "DNS connection closed to make room"),
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Reads questions and writes replies, side by side, until the client is done.
async fn converse(stream: TcpStream, peer: IpAddr, shared: &Shared, place: &Place) -> io::Result<()> {
    let (questions, replies) = stream.into_split();
    let (sender, receiver) = mpsc::channel(REPLIES_MAX);
    let writing = write_replies(replies, receiver);
    tokio::pin!(writing);
    tokio::select! {
        written = &mut writing => return written,
        read = read_questions(questions, sender, peer, shared, place) => read?,
    }
    // The client asks no more, but still waits for what it asked.
    writing.await
}

async fn read_questions(
    mut questions: OwnedReadHalf,
    replies: mpsc::Sender<Vec<u8>>,
    peer: IpAddr,
    shared: &Shared,
    place: &Place,
) -> io::Result<()> {
    let mut rng = Rng::new();
    let mut waiting = JoinSet::new();
    while let Some(question) = next_question(&mut questions).await? {
        place.used();
        let zone = shared.zone.borrow().clone();
        let client = shared.client(peer, Transport::Tcp);
        let outcome = shared.responder.respond(&zone, &question, &client, &mut rng);
        let sent = match outcome {
            Outcome::Silence => Ok(()),
            Outcome::Reply(reply) => replies.send(reply).await,
            // A place in the queue is taken before the upstream is asked, so that
            // no connection has more questions under way than replies may wait.
            Outcome::Pending(question) => replies
                .clone()
                .reserve_owned()
                .await
                .map(|slot| {
                    let (responder, zones) = (Arc::clone(&shared.responder), shared.zone.clone());
                    waiting.spawn(async move { drop(slot.send(responder.complete(*question, zones).await)) });
                })
                .map_err(|_| mpsc::error::SendError(Vec::new())),
        };
        if sent.is_err() {
            break;
        }
        while waiting.try_join_next().is_some() {}
    }
    // The client asks no more, but what it asked is still answered.
    drop(replies);
    while waiting.join_next().await.is_some() {}
    Ok(())
}

/// One question, or none at the end of the stream; all of it within [`IDLE_MAX`],
/// so that nobody holds a place with a byte a minute.
async fn next_question(questions: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    timeout(IDLE_MAX, read_question(questions)).await?
}

async fn read_question(questions: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match questions.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > QUESTION_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
    }
    let mut question = vec![0; length.into()];
    questions.read_exact(&mut question).await?;
    Ok(Some(question))
}

async fn write_replies(mut stream: OwnedWriteHalf, mut replies: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(reply) = replies.recv().await {
        if reply.is_empty() {
            continue;
        }
        // One write for length and message: two would be two segments.
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let mut framed = Vec::with_capacity(reply.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&reply);
        timeout(WRITE_MAX, stream.write_all(&framed)).await??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_is_no_question() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let slow = tokio::spawn(async move {
            for byte in [0, 100].into_iter().chain(std::iter::repeat(1)) {
                if client.write_u8(byte).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = tokio::time::Instant::now();
        let error = next_question(&mut server).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), IDLE_MAX);
        drop(server);
        slow.await.unwrap();
    }

    #[tokio::test]
    async fn a_question_longer_than_any_ends_the_connection() {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_u16(QUESTION_BYTES_MAX + 1).await.unwrap();
        assert_eq!(next_question(&mut server).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
