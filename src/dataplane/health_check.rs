//! The health-check node port of Services of type LoadBalancer with policy Local:
//! a load balancer outside asks whether this box has an endpoint of the Service.
//! Answers are kube-proxy's to the byte.
//!
//! In: the ports wanted, the box's addresses, whether the kernel equals the store.
//! Out: one listening socket for each port (or for each address that answers on
//! node ports), opened and closed with the Service. A port that cannot be had is
//! reported and tried again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use imbl::OrdMap;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::addresses::BoxAddresses;
use crate::desired::HealthCheck;
use crate::model::{NodePortAddress, ObjectKey};

/// Connections of one port at once; a load balancer asks with one or two.
const CONNECTIONS_MAX: usize = 32;
/// Ports waiting to be accepted; more are refused by the kernel.
const BACKLOG: u32 = 64;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// A check has a short request line and few headers.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long after a port could not be had it is tried again, as kube-proxy syncs.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted (no descriptors): it is not a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Reports of ports waiting to be written down; more are only in the log.
const REPORTS_MAX: usize = 64;

/// The checks wanted, by Service.
pub type Checks = OrdMap<ObjectKey, HealthCheck>;

/// What the checks look at.
#[derive(Debug)]
pub struct Inputs {
    /// The newest checks.
    pub checks: watch::Receiver<Checks>,
    /// Which addresses answer on node ports; empty means all.
    pub nodeport_addresses: Vec<NodePortAddress>,
    /// The box's addresses.
    pub addresses: watch::Receiver<BoxAddresses>,
    /// Why the kernel does not equal the store, if it does not: then this box does not
    /// want to be sent connections.
    pub lag: watch::Receiver<Option<String>>,
}

/// A port that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The Service.
    pub service: ObjectKey,
    /// What to tell of it.
    pub note: String,
}

/// Where to read which ports could not be had.
pub type Reports = mpsc::Receiver<Unavailable>;

/// The server, to be run until it is dropped, and its reports.
pub fn server(inputs: Inputs) -> (impl Future<Output = ()> + Send, Reports) {
    let (reports, inbox) = mpsc::channel(REPORTS_MAX);
    let server = Server { inputs, reports, open: BTreeMap::new(), tasks: JoinSet::new(), refused: BTreeMap::new() };
    (server.run(), inbox)
}

type Place = (ObjectKey, SocketAddr);

struct Server {
    inputs: Inputs,
    reports: mpsc::Sender<Unavailable>,
    open: BTreeMap<Place, AbortHandle>,
    tasks: JoinSet<()>,
    /// What was said of a place last: the same is not reported every time.
    refused: BTreeMap<Place, String>,
}

impl Server {
    async fn run(mut self) {
        loop {
            self.reconcile();
            let again = !self.refused.is_empty();
            tokio::select! {
                changed = self.inputs.checks.changed() => if changed.is_err() { return },
                // Nobody tells of addresses any more: they stay as they are.
                Ok(()) = self.inputs.addresses.changed() => {}
                () = tokio::time::sleep(RETRY_PAUSE), if again => {}
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// Closes what is not wanted and opens what is.
    fn reconcile(&mut self) {
        let checks = self.inputs.checks.borrow_and_update().clone();
        let addresses = self.inputs.addresses.borrow_and_update().clone();
        let at = places(&self.inputs.nodeport_addresses, &addresses);
        let wanted = checks
            .iter()
            .flat_map(|(service, check)| at.iter().map(|addr| (service.clone(), SocketAddr::new(*addr, check.port))));
        let wanted: std::collections::BTreeSet<Place> = wanted.collect();
        for (_, task) in self.open.extract_if(.., |place, task| !wanted.contains(place) || task.is_finished()) {
            task.abort();
        }
        self.refused.retain(|place, _| wanted.contains(place));
        for place in wanted {
            if self.open.contains_key(&place) {
                continue;
            }
            match listen(place.1) {
                Ok(listener) => {
                    let check = Check {
                        service: place.0.clone(),
                        inputs: self.inputs.checks.clone(),
                        lag: self.inputs.lag.clone(),
                    };
                    self.refused.remove(&place);
                    self.open.insert(place, self.tasks.spawn(accept(listener, Arc::new(check))));
                }
                Err(error) => self.refuse(place, &error),
            }
        }
    }

    fn refuse(&mut self, place: Place, error: &io::Error) {
        let (service, at) = &place;
        let note =
            format!("failed to start healthcheck {:?} on port {}: {at}: {error}", service.to_string(), at.port());
        if self.refused.get(&place) == Some(&note) {
            return;
        }
        tracing::warn!(%service, %at, %error, "the health-check port cannot be had");
        let report = Unavailable { service: service.clone(), note: note.clone() };
        if self.reports.try_send(report).is_err() {
            tracing::debug!("too many ports cannot be had to report each");
        }
        self.refused.insert(place, note);
    }
}

/// Where to listen: everywhere by one socket, or on the addresses that answer on
/// node ports. Addresses of one link only cannot be listened on without naming it.
fn places(entries: &[NodePortAddress], addresses: &BoxAddresses) -> Vec<IpAddr> {
    let everywhere = |entry: &NodePortAddress| matches!(entry, NodePortAddress::Network(net) if net.prefix_len() == 0);
    if entries.is_empty() || entries.iter().any(everywhere) {
        return vec![Ipv6Addr::UNSPECIFIED.into()];
    }
    let admitted = addresses.iter().filter(|one| super::addresses::is_reachable(one));
    let admitted = admitted.filter(|one| entries.iter().any(|entry| entry.admits(one.addr, &one.link, one.primary)));
    admitted.map(|one| one.addr).collect()
}

/// The unspecified address stands for both families; a box without IPv6 has the
/// other one only.
fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let bind = |at: SocketAddr| {
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        if at.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &!at.ip().is_unspecified())?;
        }
        socket.bind(at)?;
        socket.listen(BACKLOG)
    };
    match bind(at) {
        Err(error) if at.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()))
        }
        bound => bound,
    }
}

/// What a port answers about.
struct Check {
    service: ObjectKey,
    inputs: watch::Receiver<Checks>,
    lag: watch::Receiver<Option<String>>,
}

async fn accept(listener: TcpListener, check: Arc<Check>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Closing the port ends its connections: they are this task's.
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let check = Arc::clone(&check);
                connections.spawn(async move {
                    serve(stream, check).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a health check could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, check: Arc<Check>) {
    let service = service_fn(move |_| {
        let answer = check.answer();
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a health check ended early");
    }
}

impl Check {
    fn answer(&self) -> Response<Full<Bytes>> {
        let count = self.inputs.borrow().get(&self.service).map_or(0, |check| check.local_endpoints);
        let healthy = self.lag.borrow().is_none();
        let mut response = Response::new(Full::new(Bytes::from(body(&self.service, count, healthy))));
        if count == 0 || !healthy {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
        headers.insert("x-content-type-options", hyper::header::HeaderValue::from_static("nosniff"));
        headers.insert("x-load-balancing-endpoint-weight", count.into());
        response
    }
}

/// Names of Services need no escapes.
fn body(service: &ObjectKey, count: u32, healthy: bool) -> String {
    let (namespace, name) = (&service.namespace, &service.name);
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
         \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
    )
}
