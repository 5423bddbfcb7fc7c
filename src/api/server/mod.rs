//! The server: listeners, who may ask, what is asked, and the answer.
//!
//! A connection comes in through `listen` (a Unix socket that knows its peers, or
//! TLS behind a `door`), is held to its deadlines by `guard` and `traffic` and
//! speaks HTTP/1.1 or HTTP/2 in `connection`. `handle` turns each request into a
//! `route` and an `action`, asks `identity` (who, by `pki`, `tokens` and `accounts`) and `roles`
//! (may he), takes the client's `share`, and calls one of the verbs; `answer` makes
//! the response, `audit` writes down what was refused.
//!
//! Holds always: a client can neither end the process nor make it hold more than
//! [`Limits`] says; nothing is answered as written before the store holds it;
//! LIST and WATCH copy stored bytes and queue nothing for slow readers.

mod accept;
mod accounts;
mod action;
mod amend;
mod answer;
mod audit;
mod body;
mod connection;
mod create;
mod credential;
mod delete;
mod discovery;
mod door;
mod guard;
mod handle;
mod health;
mod identity;
mod kept;
mod kernel;
mod limits;
mod list;
mod listen;
mod metadata;
mod openapi;
mod patch;
mod persist;
mod pki;
mod private_file;
mod query;
mod recent;
mod repair;
mod replace;
mod review;
mod roles;
mod route;
mod scrape;
mod selector;
mod settings;
mod share;
mod show;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;
mod traffic;
mod watch;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch as latest};

use super::kinds::Rules;
use crate::store::{Fault, Store};

pub use health::Check;
pub use kernel::{Kernel, KernelQuestion, Scope};
pub use limits::Limits;
pub use pki::PkiError;
pub use settings::Settings;

/// Gives the state of the rooms behind the API, for `/livez` and `/readyz`.
pub type Checks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;
/// Renders `/metrics`.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Reports what a repair found and mended, as Events.
pub type ReportFaults = Arc<dyn Fn(Vec<Fault>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the server is told.
pub struct Options {
    /// The Unix socket.
    pub socket: PathBuf,
    /// A group that may use the socket too; its members still need to be root or
    /// the daemon's user to be more than nobody.
    pub socket_group: Option<u32>,
    /// The TLS port, if there is one.
    pub listen: Option<SocketAddr>,
    /// Where `/metrics` is served over plain HTTP, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where certificates and `admin.kubeconfig` live.
    pub data_dir: PathBuf,
    /// A name clients may call this box by.
    pub hostname: String,
    /// The addresses of Service default/kubernetes.
    pub service_ips: Vec<IpAddr>,
    /// What names of Services end in: the API has such a name as maker of tokens.
    pub cluster_domain: String,
    /// What allocation and validation are bound to.
    pub rules: Rules,
    /// What clients may take of us.
    pub limits: Limits,
    /// The health of other rooms.
    pub checks: Checks,
    /// The text of `/metrics`.
    pub metrics: Metrics,
    /// The kernel beside the store.
    pub kernel: Kernel,
    /// What the daemon was told at its start.
    pub settings: Settings,
    /// Who reports what `/edgesvc/v1/repair` mends.
    pub report_faults: ReportFaults,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The Unix socket cannot be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is no socket stands in its place.
    #[error("{} is not a socket; move it away", .0.display())]
    NotASocket(PathBuf),
    /// A daemon answers there.
    #[error("another edgesvc answers on {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// The TLS port cannot be had.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The certificates do not make a TLS server.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The task that prepares the certificates died.
    #[error("cannot prepare the certificates: {0}")]
    Prepare(#[from] tokio::task::JoinError),
}

/// What every request sees.
struct Api {
    store: Store,
    rules: Rules,
    limits: Limits,
    checks: Checks,
    metrics: Metrics,
    kernel: Kernel,
    settings: Settings,
    report_faults: ReportFaults,
    /// Where the API answers, for discovery.
    address: Option<SocketAddr>,
    /// The certificates of the TLS port, if there is one.
    door: Option<door::Door>,
    tokens: Arc<kept::Kept<tokens::Tokens>>,
    accounts: accounts::Accounts,
    audit: audit::Audit,
    /// By address.
    connections: Arc<share::Pool>,
    /// By user.
    requests: Arc<share::Pool>,
    watches: Arc<share::Pool>,
    bodies: Arc<share::Pool>,
    /// Older states that a continued list still needs.
    recent: recent::Recent,
    /// Turns true at the stop: watches end.
    shutdown: latest::Receiver<bool>,
}

/// A server whose doors are open but which serves nobody yet.
pub struct Server {
    api: Arc<Api>,
    socket: PathBuf,
    unix: UnixListener,
    tls: Option<TcpListener>,
    scrape: Option<TcpListener>,
}

impl Server {
    /// Binds all doors, prepares the certificates and writes `admin.kubeconfig`.
    pub async fn bind(options: Options, store: Store, shutdown: latest::Receiver<bool>) -> Result<Server, ServeError> {
        let Options { socket, socket_group, listen, metrics_listen, data_dir, hostname, service_ips, .. } = options;
        let Options { cluster_domain, rules, limits, checks, metrics, kernel, settings, report_faults, .. } = options;
        let unix = listen::unix(&socket, socket_group).await?;
        let (mut tls, mut door, mut address) = (None, None, None);
        let state = data_dir.clone();
        if let Some(at) = listen {
            let listener = listen::tcp(at).await?;
            let bound = listener.local_addr().map_err(|source| ServeError::Listen { at, source })?;
            let subject = pki::Subject { data_dir, listen: bound, hostname, service_ips };
            door = Some(door::Door::open(subject, crate::clock::now()).await?);
            (tls, address) = (Some(listener), Some(bound));
        }
        let (tokens, accounts) = tokio::task::spawn_blocking(move || {
            (kept::Kept::open(&state), accounts::Accounts::open(&state, &cluster_domain, address))
        })
        .await?;
        let scrape = match metrics_listen {
            Some(at) => Some(listen::tcp(at).await?),
            None => None,
        };
        let api = Arc::new(Api {
            store,
            rules,
            limits,
            checks,
            metrics,
            kernel,
            settings,
            report_faults,
            address,
            door,
            tokens: Arc::new(tokens),
            accounts,
            audit: audit::Audit::new(),
            connections: share::Pool::new(limits.connections, limits.connections_each),
            requests: share::Pool::new(limits.requests, limits.requests_each),
            watches: share::Pool::new(limits.watches, limits.watches_each),
            bodies: share::Pool::new(body::units_of(limits.bodies_bytes), body::units_of(limits.bodies_bytes_each)),
            recent: recent::Recent::default(),
            shutdown,
        });
        Ok(Server { api, socket, unix, tls, scrape })
    }

    /// Where TLS answers.
    pub fn address(&self) -> Option<SocketAddr> {
        self.api.address
    }

    /// Serves until the shutdown turns true (or its sender is gone), then stops
    /// accepting, ends watches cleanly and lets requests finish within the drain time.
    pub async fn run(self) {
        let Server { api, socket, unix, tls, scrape } = self;
        let limits = api.limits;
        let permits = Arc::new(Semaphore::new(limits.connections as usize));
        let local_permits = Arc::new(Semaphore::new(limits.local_connections as usize));
        let local = listen::accept_loop(
            Arc::clone(&local_permits),
            || async { unix.accept().await.map(|(stream, _)| stream) },
            |stream, permit| connection::local(Arc::clone(&api), stream, permit),
        );
        let remote = async {
            let Some(listener) = &tls else { return std::future::pending().await };
            listen::accept_loop(
                Arc::clone(&permits),
                || async { listener.accept().await },
                |(stream, from), permit| connection::remote(Arc::clone(&api), stream, from, permit),
            )
            .await;
        };
        let scraped = async {
            let Some(listener) = &scrape else { return std::future::pending().await };
            listen::accept_loop(
                Arc::new(Semaphore::new(scrape::SCRAPERS_MAX)),
                || async { listener.accept().await.map(|(stream, _)| stream) },
                |stream, permit| scrape::serve(Arc::clone(&api), stream, permit),
            )
            .await;
        };
        let mut shutdown = api.shutdown.clone();
        tokio::select! {
            () = local => {}
            () = remote => {}
            () = scraped => {}
            () = stopped(&mut shutdown) => {}
        }
        if let Err(error) = std::fs::remove_file(&socket) {
            tracing::debug!(%error, "the socket is gone already");
        }
        // Every connection holds a permit: having them all means that all have ended.
        let ended = async {
            drop(permits.acquire_many(limits.connections).await);
            drop(local_permits.acquire_many(limits.local_connections).await);
        };
        if tokio::time::timeout(limits.drain, ended).await.is_err() {
            tracing::warn!("connections were cut at the end of the drain time");
        }
    }
}

/// Waits for the stop. That nobody is left to say it is one too.
async fn stopped(shutdown: &mut latest::Receiver<bool>) {
    while !*shutdown.borrow_and_update() {
        if shutdown.changed().await.is_err() {
            return;
        }
    }
}

/// Binds and serves; see [`Server`].
pub async fn serve(options: Options, store: Store, shutdown: latest::Receiver<bool>) -> Result<(), ServeError> {
    Server::bind(options, store, shutdown).await?.run().await;
    Ok(())
}
