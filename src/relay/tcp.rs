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
    let mut picker = Picker::new(backings.borrow_and_update().clone());
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
                Ok((stream, client)) => take(stream, client.ip().to_canonical(), &mut picker, &gate, &again, &shared),
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
    gate: &Gate,
    again: &mpsc::Sender<Again>,
    shared: &Arc<Shared>,
) {
    let Ok(local) = stream.local_addr().map(|addr| addr.ip()) else { return };
    if !gate.admits(local) || !picker.backing().admits(client) {
        return reset(stream);
    }
    let Some(admission) = shared.admit(&picker.backing().share) else { return reset(stream) };
    let Some(chosen) = picker.choose(client, local, &[], shared.now()) else { return reset(stream) };
    shared.numbers.connections.inc();
    let (again, shared, mut cut) = (again.clone(), Arc::clone(shared), shared.cut.subscribe());
    tokio::spawn(async move {
        let _admission = admission;
        tokio::select! {
            () = carry(stream, client, local, chosen, again, &shared) => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
    });
}

/// Carries one connection to its end.
async fn carry(
    stream: TcpStream,
    client: IpAddr,
    local: IpAddr,
    mut chosen: Chosen,
    again: mpsc::Sender<Again>,
    shared: &Shared,
) {
    let mut tried = Vec::new();
    let endpoint = loop {
        let error = match timeout(limit(tried.len(), chosen.others), TcpStream::connect(chosen.addr)).await {
            Ok(Ok(endpoint)) => break endpoint,
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        tracing::debug!(endpoint = %chosen.addr, %error, "does not take a connection");
        if is_ours(&error) {
            shared.numbers.refused.inc();
            return reset(stream);
        }
        chosen.failed(shared.now());
        tried.push(chosen.addr);
        let next = if tried.len() < TRIES_MAX { ask(&again, client, local, &tried).await } else { None };
        let Some(next) = next else {
            shared.numbers.failed.inc();
            return reset(stream);
        };
        shared.numbers.retries.inc();
        chosen = next;
    };
    drop((again, tried));
    let prepared = prepare(&stream).and_then(|()| prepare(&endpoint));
    let ended = match prepared {
        Ok(()) => pump(&stream, &endpoint, &shared.numbers.bytes).await,
        Err(error) => Err(error),
    };
    if ended.is_err() {
        // One side broke: the other must not take it for an orderly end.
        reset(stream);
        reset(endpoint);
    }
    drop(chosen);
}

/// How long this try may take.
fn limit(tried: usize, others: bool) -> Duration {
    match (others, TRY_MAX) {
        (false, _) => LAST_TRY_MAX,
        (true, [.., longest]) => TRY_MAX.get(tried).copied().unwrap_or(longest),
    }
}

async fn ask(again: &mpsc::Sender<Again>, client: IpAddr, local: IpAddr, tried: &[SocketAddr]) -> Option<Chosen> {
    let (answer, answered) = oneshot::channel();
    // The frontend may be gone, and with it the choice.
    again.send(Again { client, local, tried: tried.to_vec(), answer }).await.ok()?;
    answered.await.ok()?
}

/// A failure that says nothing about the endpoint: no descriptor, no memory, no free port here.
fn is_ours(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|number| ours.contains(&Errno::from_raw(number)))
}
