//! UDP of one frontend: a session for each client, with a socket of its own
//! towards the endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::aging::Aging;
use super::picker::{Backing, Chosen, Picker};
use super::socket::{Path, answer, connect_udp, receive, send, with_buffer};
use super::{Admission, Gate, Shared};

/// A session without an answer yet lives so long after its last datagram, as in conntrack.
const UNANSWERED_MS: u64 = 30_000;
/// One with an answer lives longer, as in conntrack.
const ANSWERED_MS: u64 = 180_000;
/// Sessions of one frontend. Beyond, the one that would end first makes room: a
/// flood of spoofed sources must not lock clients out for half a minute.
const SESSIONS_MAX: usize = 4096;
/// Datagrams read before other work of the frontend is looked at.
const BURST_MAX: usize = 64;
/// After a read that failed for another reason than an empty queue.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);

struct Session {
    upstream: Arc<UdpSocket>,
    state: Arc<State>,
    chosen: Arc<Chosen>,
    task: tokio::task::AbortHandle,
    _admission: Admission,
}

/// What the task that carries the answers tells.
#[derive(Default)]
struct State {
    answered_at: AtomicU64,
    refused: AtomicBool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Frontend {
    socket: Arc<UdpSocket>,
    picker: Picker,
    gate: Gate,
    shared: Arc<Shared>,
    sessions: Aging<Path, Session>,
    answers: JoinSet<()>,
}

/// Serves one frontend until the sender of its endpoints is gone. Sessions end with it.
pub(super) async fn serve(
    socket: UdpSocket,
    mut backings: watch::Receiver<Arc<Backing>>,
    gate: Gate,
    shared: Arc<Shared>,
) {
    let picker = Picker::new(backings.borrow_and_update().clone(), shared.site.clone());
    let (socket, sessions) = (Arc::new(socket), Aging::new(SESSIONS_MAX));
    let mut frontend = Frontend { socket, picker, gate, shared, sessions, answers: JoinSet::new() };
    loop {
        let due = frontend.sessions.next_due().map(|at| frontend.shared.instant(at));
        let socket = Arc::clone(&frontend.socket);
        tokio::select! {
            changed = backings.changed() => match changed {
                Ok(()) => frontend.adopt(backings.borrow_and_update().clone()),
                Err(_) => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => frontend.expire(),
            Some(_) = frontend.answers.join_next() => {}
            ready = socket.readable() => if ready.is_err() || frontend.read_burst().is_err() {
                sleep(FAILURE_PAUSE).await;
            },
        }
    }
}

impl Frontend {
    /// Takes over other endpoints; sessions to those that are gone end, so that
    /// their clients move with the next datagram. Endpoints that terminate and still
    /// serve keep theirs.
    fn adopt(&mut self, backing: Arc<Backing>) {
        self.sessions.retain(|_, session| backing.keeps(session.chosen.addr));
        self.picker.adopt(backing);
    }

    /// Ends sessions whose time is over. Answers are not told to the table one by
    /// one: a session that had one in the meantime gets its time now.
    fn expire(&mut self) {
        let now = self.shared.now();
        while let Some((path, session)) = self.sessions.pop_due(now) {
            let answered = session.state.answered_at.load(Ordering::Relaxed);
            if answered > 0 && answered + ANSWERED_MS > now {
                drop(self.sessions.put(path, session, answered + ANSWERED_MS));
            }
        }
    }

    fn read_burst(&mut self) -> io::Result<()> {
        with_buffer(|buffer| {
            for _ in 0..BURST_MAX {
                match receive(&self.socket, buffer) {
                    Ok((length, path)) => self.forward(&path, buffer.get(..length).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    // An ICMP answer to one of our answers: that client has gone.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => {
                        tracing::debug!(%error, "cannot read a datagram");
                        return Err(error);
                    }
                }
            }
            Ok(())
        })
    }

    /// Sends a datagram on. An endpoint that refused the one before is given up, and
    /// this one goes to another; each is tried once.
    fn forward(&mut self, path: &Path, datagram: &[u8]) {
        let now = self.shared.now();
        let mut tried: Vec<SocketAddr> = Vec::new();
        loop {
            let refused = |session: &Session| session.state.refused.load(Ordering::Relaxed);
            if self.sessions.get(path).is_none_or(refused) {
                if let Some(session) = self.sessions.remove(path) {
                    session.chosen.failed(now);
                    tried.push(session.chosen.addr);
                }
                let Some(session) = self.open(path, &tried, now) else { return };
                if let Some(other) = self.sessions.put(*path, session, now + UNANSWERED_MS) {
                    tracing::debug!(endpoint = %other.chosen.addr, "a UDP session makes room");
                }
            }
            let Some(session) = self.sessions.get(path) else { return };
            match send(&session.upstream, datagram) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    session.state.refused.store(true, Ordering::Relaxed);
                    self.shared.numbers.retries.inc();
                }
                // Lost, as datagrams may be: waiting for one client would stop all others.
                Err(error) => return tracing::debug!(%error, "cannot send a datagram on"),
                Ok(sent) => {
                    self.shared.numbers.bytes.sent.inc_by(sent as u64);
                    let answered = session.state.answered_at.load(Ordering::Relaxed) > 0;
                    return self.sessions.extend(path, now + if answered { ANSWERED_MS } else { UNANSWERED_MS });
                }
            }
        }
    }

    /// A new session, or none: the client may not, there is no room, or nobody is left.
    fn open(&mut self, path: &Path, tried: &[SocketAddr], now: u64) -> Option<Session> {
        let client = path.client.ip();
        if !self.gate.admits(path.local, &self.shared.site) || !self.picker.backing().admits(client) {
            return None;
        }
        let share = Arc::clone(&self.picker.backing().share);
        let admission = self.shared.admit(&share).or_else(|| {
            // The session that would end first makes room, if it is one of ours.
            drop(self.sessions.pop_first()?);
            self.shared.admit(&share)
        })?;
        let chosen = Arc::new(self.picker.choose(client, path.local, tried, now)?);
        let connected = connect_udp(chosen.addr);
        let upstream = Arc::new(connected.inspect_err(|error| tracing::debug!(%error, "no socket")).ok()?);
        self.shared.numbers.sessions.inc();
        let state = Arc::new(State::default());
        let carried = answers(
            Arc::clone(&upstream),
            Arc::clone(&self.socket),
            *path,
            Arc::clone(&state),
            Arc::clone(&self.shared),
        );
        let task = self.answers.spawn(carried);
        Some(Session { upstream, state, chosen, task, _admission: admission })
    }
}

/// Carries the answers of one session to its client.
async fn answers(upstream: Arc<UdpSocket>, socket: Arc<UdpSocket>, path: Path, state: Arc<State>, shared: Arc<Shared>) {
    while upstream.readable().await.is_ok() {
        let read = with_buffer(|buffer| {
            let length = upstream.try_recv(buffer)?;
            state.answered_at.store(shared.now().max(1), Ordering::Relaxed);
            shared.numbers.bytes.received.inc_by(length as u64);
            if let Err(error) = answer(&socket, buffer.get(..length).unwrap_or_default(), &path) {
                tracing::debug!(client = %path.client, %error, "an answer is lost");
            }
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
            Err(_) => return state.refused.store(true, Ordering::Relaxed),
        }
    }
}
