//! The server: listeners on the given addresses, each answering from the newest
//! zone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::authority::{Authority, OptionsError, PodMode};
use super::counters::Counters;
use super::forward::Forwarder;
use super::listen::{ListenError, Sockets, open};
use super::respond::Responder;
use super::upstream::{Directory, Upstreams};
use super::zone::Zone;
use super::{tcp, udp};

/// UDP sockets of one address: more than one only where several cores can read.
const UDP_SOCKETS_MAX: usize = 4;
/// First and longest pause before an address that failed is opened again.
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(250);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the server is told at start; it does not change while it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster domain, with or without the last dot.
    pub domain: String,
    /// Where to listen, UDP and TCP. Port 0 takes any free port.
    pub listen: Vec<SocketAddr>,
    /// Seconds clients may keep an answer, 0 to 3600.
    pub ttl: u32,
    /// How pod names are answered.
    pub pod_mode: PodMode,
    /// Who answers the names that are not ours; `None` answers them SERVFAIL.
    pub upstreams: Option<Upstreams>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            domain: "cluster.local".to_owned(),
            listen: vec![],
            ttl: 30,
            pod_mode: PodMode::Insecure,
            upstreams: None,
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The options are wrong.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl BindError {
    /// Whether a privilege is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, BindError::Listen(error) if error.is_permission())
    }
}

/// A bound server, not yet answering.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    shared: Shared,
}

/// One address; without sockets while the address cannot be opened.
#[derive(Debug)]
struct Listener {
    addr: SocketAddr,
    sockets: Option<Sockets>,
}

/// What every listener shares.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) responder: Arc<Responder>,
    pub(crate) zone: watch::Receiver<Zone>,
    pub(crate) connections: Arc<Semaphore>,
    /// Datagrams that wait for an upstream.
    pub(crate) pending: Arc<Semaphore>,
}

impl Server {
    /// Opens the listeners. `zone` is read anew for every question, so a change
    /// is answered from as soon as it is sent. Must be called within the runtime.
    ///
    /// # Errors
    /// A taken or forbidden port is an error; an address that is not there yet
    /// is not: it is tried again while the server runs.
    pub fn bind(options: Options, zone: watch::Receiver<Zone>) -> Result<Server, BindError> {
        let addresses: Vec<IpAddr> = options.listen.iter().map(SocketAddr::ip).collect();
        let Options { domain, listen, ttl, pod_mode, upstreams } = options;
        let forwarder = upstreams.map(|from| Forwarder::new(Directory::new(from, listen.clone())));
        let authority = Authority::new(&domain, ttl, pod_mode, addresses)?;
        let listeners = listen.into_iter().map(Listener::open).collect::<Result<_, ListenError>>()?;
        let responder = Responder { authority, counters: Arc::default(), forwarder };
        let connections = Arc::new(Semaphore::new(tcp::CONNECTIONS_MAX));
        let pending = Arc::new(Semaphore::new(udp::PENDING_MAX));
        Ok(Server { listeners, shared: Shared { responder: Arc::new(responder), zone, connections, pending } })
    }

    /// The addresses listened on, with the ports in effect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.addr).collect()
    }

    /// The upstream servers in effect.
    pub fn upstream_servers(&self) -> Vec<SocketAddr> {
        self.shared.responder.forwarder.as_ref().map(|forwarder| forwarder.servers().to_vec()).unwrap_or_default()
    }

    /// What has been asked and answered.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.responder.counters.clone()
    }

    /// Answers until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(listener.serve(self.shared.clone()));
        }
        // Dropping the set ends the listeners and, with them, all they started.
        shutdown.await;
    }
}

impl Listener {
    fn open(addr: SocketAddr) -> Result<Listener, ListenError> {
        match open(addr, udp_sockets()) {
            Ok(sockets) => Ok(Listener { addr: sockets.addr, sockets: Some(sockets) }),
            Err(error) if error.is_absence() => {
                tracing::warn!(%addr, "DNS address is not there yet, trying again");
                Ok(Listener { addr, sockets: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Serves the address for ever, opening it again when it fails.
    async fn serve(self, shared: Shared) {
        let Listener { addr, mut sockets } = self;
        let mut pause = REOPEN_PAUSE_MIN;
        loop {
            match sockets.take().map_or_else(|| open(addr, udp_sockets()), Ok) {
                Ok(opened) => {
                    let began = tokio::time::Instant::now();
                    let error = serve(opened, &shared).await;
                    tracing::warn!(%addr, %error, "DNS listener failed, opening it again");
                    if began.elapsed() > REOPEN_PAUSE_MAX {
                        pause = REOPEN_PAUSE_MIN;
                    }
                }
                Err(error) => tracing::warn!(%addr, %error, "DNS address cannot be opened, trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REOPEN_PAUSE_MAX);
        }
    }
}

/// Serves until one of the sockets fails for good.
async fn serve(sockets: Sockets, shared: &Shared) -> std::io::Error {
    let mut tasks = JoinSet::new();
    for socket in sockets.udp {
        tasks.spawn(udp::serve(socket, shared.clone()));
    }
    tasks.spawn(tcp::serve(sockets.tcp, shared.clone()));
    match tasks.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(error)) => std::io::Error::other(error),
        None => std::io::Error::other("no socket"),
    }
}

fn udp_sockets() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(UDP_SOCKETS_MAX))
}
