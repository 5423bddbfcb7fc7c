//! The server: listeners on the given addresses, each answering from the newest
//! zone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::authority::{Authority, OptionsError, PodMode};
use super::connections::Connections;
use super::cookie::Cookies;
use super::counters::{Count, Counters, Latency, Totals};
use super::forward::Forwarder;
use super::guard::Guard;
use super::lan::Lan;
use super::listen::{ListenError, Sockets, open};
use super::reader::{self, Readers};
use super::remote::RemoteHealth;
use super::respond::{Client, Newest, Responder, Transport};
use super::tls::TlsError;
use super::upstream::Forwarding;
use super::zone::Zone;
use super::{tcp, udp};
use crate::model::{BoxAddresses, ListenPlace};

/// First and longest pause before an address that failed is opened again.
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(250);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the server is told at start; it does not change while it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster domain, with or without the last dot.
    pub domain: String,
    /// Where to listen for clients on the box, UDP and TCP. Port 0 takes any free port.
    pub listen: Vec<SocketAddr>,
    /// Where else, for the LAN, and who may ask there.
    pub gate: Gate,
    /// Seconds clients may keep an answer, 0 to 3600.
    pub ttl: u32,
    /// How pod names are answered.
    pub pod_mode: PodMode,
    /// Who answers the names that are not ours; `None` answers them SERVFAIL.
    pub forwarding: Option<Forwarding>,
    /// The newest revision clients can know of; `None` never waits for the zone.
    pub newest: Option<Newest>,
    /// Completes the search path of clients whose Pod is known.
    pub autopath: bool,
    /// One line of log for each question.
    pub query_log: bool,
}

/// Addresses offered to the LAN.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Where to listen.
    pub listen: Vec<ListenPlace>,
    /// The box's addresses, as they change.
    pub addresses: watch::Receiver<BoxAddresses>,
    /// From where questions are answered.
    pub allowed: Vec<IpNet>,
    /// Answers a second over UDP to one source; 0 is no limit.
    pub rate: u32,
}

impl Default for Gate {
    fn default() -> Gate {
        let addresses = watch::channel(BoxAddresses::default()).1;
        Gate { listen: vec![], addresses, allowed: vec![], rate: 0 }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            domain: "cluster.local".to_owned(),
            listen: vec![],
            ttl: 30,
            gate: Gate::default(),
            pod_mode: PodMode::Insecure,
            forwarding: None,
            newest: None,
            autopath: false,
            query_log: false,
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
    /// An upstream over TLS cannot be believed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There are no threads to answer on.
    #[error("cannot start the threads of DNS: {0}")]
    Threads(#[source] std::io::Error),
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
    lan: Lan,
    shared: Shared,
}

/// One address; without sockets while the address cannot be opened.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    sockets: Option<Sockets>,
}

/// What every listener shares.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) responder: Arc<Responder>,
    pub(crate) zone: watch::Receiver<Zone>,
    pub(crate) connections: Arc<Connections>,
    /// Datagrams that wait for an upstream.
    pub(crate) pending: Arc<Semaphore>,
    pub(crate) readers: Arc<Readers>,
    /// Who may ask here, at addresses of the LAN.
    pub(crate) guard: Option<Arc<Guard>>,
}

impl Shared {
    /// Who asks, from now on.
    pub(crate) fn client(&self, addr: IpAddr, transport: Transport) -> Client {
        Client { addr, transport, began: Instant::now(), guard: self.guard.clone() }
    }
}

/// What the server has done and how it is, for /metrics.
#[derive(Clone, Debug)]
pub struct Numbers {
    shared: Shared,
}

impl Numbers {
    /// Questions by type and result.
    pub fn counts(&self) -> Vec<Count> {
        self.shared.responder.counters.counts()
    }

    /// How long answers took, by source.
    pub fn latencies(&self) -> Vec<Latency> {
        self.shared.responder.counters.latencies()
    }

    /// Single counts.
    pub fn totals(&self) -> Totals {
        self.shared.responder.counters.totals()
    }

    /// Answers of upstreams remembered, and their bytes.
    pub fn cached(&self) -> (usize, usize) {
        self.shared.responder.forwarder.as_ref().map(|forwarder| forwarder.cached()).unwrap_or_default()
    }

    /// Open TCP connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// Every upstream server.
    pub fn upstreams(&self) -> Vec<RemoteHealth> {
        let forwarder = self.shared.responder.forwarder.as_ref();
        forwarder.map(|forwarder| forwarder.directory.health()).unwrap_or_default()
    }
}

impl Server {
    /// Opens the listeners. `zone` is read anew for every question, so a change
    /// is answered from as soon as it is sent. Must be called within the runtime.
    ///
    /// # Errors
    /// A taken or forbidden port is an error; an address that is not there yet
    /// is not: it is tried again while the server runs.
    pub fn bind(options: Options, zone: watch::Receiver<Zone>) -> Result<Server, BindError> {
        let Options { domain, listen, gate, ttl, pod_mode, forwarding, newest, autopath, query_log } = options;
        let addresses: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).collect();
        let counters = Arc::<Counters>::default();
        let (lan, own) = Lan::open(&gate, &listen)?;
        let forwarder =
            forwarding.map(|forwarding| Forwarder::new(forwarding, own, Arc::clone(&counters))).transpose()?;
        let responder = Responder {
            authority: Authority::new(&domain, ttl, pod_mode, addresses)?,
            counters: Arc::clone(&counters),
            forwarder,
            cookies: Cookies::new(),
            newest,
            autopath,
            log: query_log,
        };
        let guard =
            Arc::new(Guard::new(gate.allowed, if gate.listen.is_empty() { 0 } else { gate.rate }, Instant::now()));
        let listeners = listen.into_iter().map(Listener::open).collect::<Result<_, ListenError>>()?;
        let connections = Arc::new(Connections::new(counters));
        let pending = Arc::new(Semaphore::new(udp::PENDING_MAX));
        Ok(Server {
            listeners,
            lan,
            shared: Shared {
                responder: Arc::new(responder),
                zone,
                connections,
                pending,
                readers: Arc::new(Readers::start().map_err(BindError::Threads)?),
                guard: Some(guard),
            },
        })
    }

    /// The addresses listened on, with the ports in effect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().chain(self.lan.listeners()).map(|listener| listener.addr).collect()
    }

    /// What has been asked and answered.
    pub fn numbers(&self) -> Numbers {
        Numbers { shared: self.shared.clone() }
    }

    /// Answers until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(listener.serve(Shared { guard: None, ..self.shared.clone() }));
        }
        tasks.spawn(self.lan.serve(self.shared));
        // Dropping the set ends the listeners and, with them, all they started.
        shutdown.await;
    }
}

impl Listener {
    pub(super) fn open(addr: SocketAddr) -> Result<Listener, ListenError> {
        match open(addr, reader::sockets()) {
            Ok(sockets) => Ok(Listener { addr: sockets.addr, sockets: Some(sockets) }),
            Err(error) if error.is_absence() => {
                tracing::warn!(%addr, "DNS address is not there yet, trying again");
                Ok(Listener { addr, sockets: None })
            }
            Err(error) => Err(error),
        }
    }

    /// One that is opened when it serves.
    pub(super) fn closed(addr: SocketAddr) -> Listener {
        Listener { addr, sockets: None }
    }

    /// Serves the address for ever, opening it again when it fails.
    pub(super) async fn serve(self, shared: Shared) {
        let Listener { addr, mut sockets } = self;
        let mut pause = REOPEN_PAUSE_MIN;
        let mut told = None;
        loop {
            match sockets.take().map_or_else(|| open(addr, reader::sockets()), Ok) {
                Ok(opened) => {
                    let began = Instant::now();
                    let error = serve(opened, &shared).await;
                    tracing::warn!(%addr, %error, "DNS listener failed, opening it again");
                    if began.elapsed() > REOPEN_PAUSE_MAX {
                        pause = REOPEN_PAUSE_MIN;
                    }
                    told = None;
                }
                // The port may be another's for good: that is said once, not twice a minute.
                Err(error) => {
                    let words = Some(error.to_string());
                    if told != words {
                        tracing::warn!(%addr, %error, "DNS address cannot be opened, trying again");
                        told = words;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REOPEN_PAUSE_MAX);
        }
    }
}

/// Serves until one of the sockets fails for good.
async fn serve(sockets: Sockets, shared: &Shared) -> std::io::Error {
    let mut tasks = JoinSet::new();
    for (socket, reader) in sockets.udp.into_iter().zip(shared.readers.handles()) {
        tasks.spawn_on(udp::serve(socket, shared.clone(), Handle::current()), reader);
    }
    tasks.spawn(tcp::serve(sockets.tcp, shared.clone()));
    match tasks.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(error)) => std::io::Error::other(error),
        None => std::io::Error::other("no socket"),
    }
}
