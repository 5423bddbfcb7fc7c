//! TCP of one frontend: accepts, chooses, connects, and tries another endpoint
//! when one does not answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::picker::{Backing, Chosen, Picker};
use super::pump::pump;
use super::socket::{prepare, reset};
use super::{Gate, Shared};

/// How long an endpoint may take while there is another: as long as kube-proxy's
/// userspace mode gave it. A dead one must not cost the client a second.
const TRY_MAX: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How long the last endpoint may take: a lost SYN is sent again after 1 and 3 seconds.
const LAST_TRY_MAX: Duration = Duration::from_secs(8);
/// Endpoints tried for one connection: with all of them dead a client is told within half a minute.
const TRIES_MAX: usize = 16;
/// Failed connections of one frontend that may wait for another endpoint.
const AGAIN_MAX: usize = 64;
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A connection that asks for another endpoint.
struct Again {
    client: IpAddr,
    local: IpAddr,
    tried: Vec<SocketAddr>,
    answer: oneshot::Sender<Option<Chosen>>,
}

/// Serves one frontend until the sender of its endpoints is gone. Connections that
/// are open stay.
pub(super) async fn serve(
    listener: TcpListener,
    mut backings: watch::Receiver<Arc<Backing>>,
    gate: Gate,
    shared: Arc<Shared>,
) {
    let mut picker = Picker::new(backings.borrow_and_update().clone(), shared.site.clone());
    let (again, mut asked) = mpsc::channel::<Again>(AGAIN_MAX);
    loop {
        tokio::select! {
            biased;
            changed = backings.changed() => match changed {
                Ok(()) => picker.adopt(backings.borrow_and_update().clone()),
                Err(_) => return,
            },
            Some(Again { client, local, tried, answer }) = asked.recv() => {
                // Whoever asked may have been cut in the meantime.
                drop(answer.send(picker.choose(client, local, &tried, shared.now())));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => take(stream, client.ip().to_canonical(), &mut picker, gate, &again, &shared),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Takes a connection or resets it.
fn take(
    stream: TcpStream,
    client: IpAddr,
    picker: &mut Picker,
    gate: Gate,
    again: &mpsc::Sender<Again>,
    shared: &Arc<Shared>,
) {
    let Ok(local) = stream.local_addr().map(|addr| addr.ip()) else { return };
    if !gate.admits(local, &shared.site) || !picker.backing().admits(client) {
        return reset(stream);
    }
    let Some(admission) = shared.admit(&picker.backing().share) else { return reset(stream) };
    let Some(chosen) = picker.choose(client, local, &[], shared.now()) else { return reset(stream) };
    shared.numbers.connections.inc();
    let asker = Asker { client, local, again: again.clone() };
    let (shared, cut) = (Arc::clone(shared), shared.cut.subscribe());
    tokio::spawn(async move {
        let _admission = admission;
        carry(stream, chosen, asker, cut, &shared).await;
    });
}

/// Carries one connection to its end, or until it is cut.
async fn carry(stream: TcpStream, chosen: Chosen, asker: Asker, mut cut: watch::Receiver<bool>, shared: &Shared) {
    let connected = tokio::select! {
        connected = connect(chosen, asker, shared) => connected,
        _ = cut.wait_for(|cut| *cut) => None,
    };
    // Counts as open until both sides have ended.
    let Some((endpoint, _chosen)) = connected else { return reset(stream) };
    let whole = async {
        prepare(&stream)?;
        prepare(&endpoint)?;
        pump(&stream, &endpoint, &shared.numbers.bytes).await
    };
    let ended = tokio::select! {
        ended = whole => ended,
        _ = cut.wait_for(|cut| *cut) => Err(io::ErrorKind::Interrupted.into()),
    };
    if ended.is_err() {
        // One side broke, or we do: nobody must take it for an orderly end.
        reset(stream);
        reset(endpoint);
    }
}

/// Connects to the chosen endpoint, or to another when it does not answer.
async fn connect(mut chosen: Chosen, asker: Asker, shared: &Shared) -> Option<(TcpStream, Chosen)> {
    let mut tried = Vec::new();
    loop {
        let error = match timeout(limit(tried.len(), chosen.others), TcpStream::connect(chosen.addr)).await {
            Ok(Ok(endpoint)) => return Some((endpoint, chosen)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        tracing::debug!(endpoint = %chosen.addr, %error, "does not take a connection");
        if is_ours(&error) {
            shared.numbers.refused.inc();
            return None;
        }
        chosen.failed(shared.now());
        tried.push(chosen.addr);
        let next = if tried.len() < TRIES_MAX { asker.ask(&tried).await } else { None };
        let Some(next) = next else {
            shared.numbers.failed.inc();
            return None;
        };
        shared.numbers.retries.inc();
        chosen = next;
    }
}

/// Who asks the task of the frontend for another endpoint.
struct Asker {
    client: IpAddr,
    local: IpAddr,
    again: mpsc::Sender<Again>,
}

impl Asker {
    async fn ask(&self, tried: &[SocketAddr]) -> Option<Chosen> {
        let (answer, answered) = oneshot::channel();
        let again = Again { client: self.client, local: self.local, tried: tried.to_vec(), answer };
        // The frontend may be gone, and with it the choice.
        self.again.send(again).await.ok()?;
        answered.await.ok()?
    }
}

/// How long this try may take.
fn limit(tried: usize, others: bool) -> Duration {
    match (others, TRY_MAX) {
        (false, _) => LAST_TRY_MAX,
        (true, [.., longest]) => TRY_MAX.get(tried).copied().unwrap_or(longest),
    }
}

/// A failure that says nothing about the endpoint: no descriptor, no memory, no free port here.
fn is_ours(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|number| ours.contains(&Errno::from_raw(number)))
}
