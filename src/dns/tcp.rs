//! Questions over TCP: length-prefixed, any number on a connection, answered as
//! they become ready (RFC 7766).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::respond::{Outcome, Transport};
use super::server::Shared;

/// Open connections, over all addresses; further ones wait in the kernel.
pub(crate) const CONNECTIONS_MAX: usize = 256;
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

/// Accepts connections for ever: no error of accept is fatal.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) -> io::Error {
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = shared.connections.clone().acquire_owned().await else {
            return io::Error::other("the server is stopping");
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let shared = shared.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, shared).await {
                        tracing::debug!(%peer, %error, "DNS connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Reads questions and writes replies, side by side, until the client is done.
async fn converse(stream: TcpStream, shared: Shared) -> io::Result<()> {
    let (questions, replies) = stream.into_split();
    let (sender, receiver) = mpsc::channel(REPLIES_MAX);
    let writing = write_replies(replies, receiver);
    tokio::pin!(writing);
    tokio::select! {
        written = &mut writing => return written,
        read = read_questions(questions, sender, &shared) => read?,
    }
    // The client asks no more, but still waits for what it asked.
    writing.await
}

async fn read_questions(
    mut questions: OwnedReadHalf,
    replies: mpsc::Sender<Vec<u8>>,
    shared: &Shared,
) -> io::Result<()> {
    let mut rng = Rng::new();
    let mut waiting = JoinSet::new();
    while let Some(question) = timeout(IDLE_MAX, read_question(&mut questions)).await?? {
        let zone = shared.zone.borrow().clone();
        let outcome = shared.responder.respond(&zone, &question, Transport::Tcp, &mut rng);
        let sent = match outcome {
            Outcome::Silence => Ok(()),
            Outcome::Reply(reply) => replies.send(reply).await,
            // A place in the queue is taken before the upstream is asked, so that
            // no connection has more questions under way than replies may wait.
            Outcome::Pending(question) => replies
                .clone()
                .reserve_owned()
                .await
                .map(|place| {
                    let responder = Arc::clone(&shared.responder);
                    waiting.spawn(async move { drop(place.send(responder.complete(*question).await)) });
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

/// One question; none at the end of the stream.
async fn read_question(questions: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
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
        // One write for length and message: two would be two segments.
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let mut framed = Vec::with_capacity(reply.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&reply);
        timeout(WRITE_MAX, stream.write_all(&framed)).await??;
    }
    Ok(())
}
