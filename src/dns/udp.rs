//! Questions over UDP: one task for each socket.

use std::sync::Arc;
use std::{io, net};

use fastrand::Rng;
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;

use super::respond::{Outcome, Transport};
use super::server::Shared;

/// Longest question read; a longer one is cut and refused as malformed.
const QUESTION_BYTES_MAX: usize = 4096;
/// Datagrams that wait for an upstream, over all sockets.
pub(crate) const PENDING_MAX: usize = 1024;
/// Failed reads in a row after which the socket is given up and opened anew.
const FAILURES_MAX: u32 = 16;

/// Answers questions until the socket fails for good. What must be waited for is
/// waited for at `elsewhere`: this thread only answers.
pub(crate) async fn serve(socket: net::UdpSocket, shared: Shared, elsewhere: Handle) -> io::Error {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Arc::new(socket),
        Err(error) => return error,
    };
    let mut zones = shared.zone.clone();
    let mut zone = zones.borrow_and_update().clone();
    let mut rng = Rng::new();
    // Dropped with the listener, and with it all that still waits.
    let mut waiting = JoinSet::new();
    let mut packet = vec![0; QUESTION_BYTES_MAX];
    let mut failures = 0;
    loop {
        if let Err(error) = socket.readable().await {
            return error;
        }
        loop {
            // The other sockets of the thread get their turn: a flood on one address must
            // not silence another.
            consume_budget().await;
            let (length, peer) = match socket.try_recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if failures < FAILURES_MAX => {
                    failures += 1;
                    tracing::debug!(%error, "cannot read a DNS question");
                    continue;
                }
                Err(error) => return error,
            };
            failures = 0;
            // A sender that is gone leaves its last zone in place.
            if zones.has_changed().unwrap_or(false) {
                zone = zones.borrow_and_update().clone();
            }
            let question = packet.get(..length).unwrap_or_default();
            let client = shared.client(peer.ip(), Transport::Udp);
            match shared.responder.respond(&zone, question, &client, &mut rng) {
                Outcome::Silence => {}
                Outcome::Pending(question) => {
                    // Without a place to wait the question is lost, as datagrams may
                    // be: the client asks again.
                    let Ok(permit) = Arc::clone(&shared.pending).try_acquire_owned() else { continue };
                    while waiting.try_join_next().is_some() {}
                    let (socket, responder) = (Arc::clone(&socket), Arc::clone(&shared.responder));
                    let zones = zones.clone();
                    let wait = async move {
                        let reply = responder.complete(*question, zones).await;
                        if reply.is_empty() {
                            return;
                        }
                        if let Err(error) = socket.send_to(&reply, peer).await {
                            tracing::debug!(%peer, %error, "cannot send a DNS answer");
                        }
                        drop(permit);
                    };
                    waiting.spawn_on(wait, &elsewhere);
                }
                Outcome::Reply(reply) => {
                    // A reply that cannot leave at once is lost, as datagrams may
                    // be: waiting for one client would stop all others.
                    if let Err(error) = socket.try_send_to(&reply, peer) {
                        tracing::debug!(%peer, %error, "cannot send a DNS answer");
                    }
                }
            }
        }
    }
}
