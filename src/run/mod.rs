//! `edgesvc run`: opens, wires, starts and stops the rooms in order.
//!
//! Start: state directories, store recovered, first objects, controllers settled
//! (endpoints are derived anew: the kernel must never be told of a Service before
//! its endpoints are), kernel converged, DNS, API, controllers, `READY=1`. Stop:
//! no new connections, drain, close the store; the kernel keeps its rules, and what
//! the relay carries ends.

mod carry;
mod delivered;
mod diagnose;
mod facts;
mod follow;
mod host;
mod kernel;
mod memory;
mod naming;
mod refused;
mod reports;
mod telemetry;
mod watchdog;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api::kinds::Rules;
use crate::api::server::{self, Check, Limits, Server};
use crate::cli::DataplaneVerb;
use crate::cli::exit::{Code, Failure};
use crate::config::{Config, ProxyMode, SETTINGS, defaults};
use crate::controller;
use crate::dataplane::{self, health_check};
use crate::desired::{self, Tracker};
use crate::dns;
use crate::mdns;
use crate::relay::{self, Relay};
use crate::store::{self, Health, OpenError, Store};
pub use diagnose::{doctor, trace};
use follow::Follower;
pub use host::host_dns;
use reports::Reporter;
use telemetry::Numbers;
use watchdog::Watchdog;

/// The database's name in the data directory.
const STORE_NAME: &str = "store.redb";
/// Threads of the runtime: more do not help one box, and each costs memory.
const THREADS_MAX: usize = 4;
/// How long rooms may take to end after the API has drained.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Runs until told to stop.
///
/// # Errors
/// Whatever kept it from starting, with the exit code of its kind.
pub fn run(config: Config) -> Result<(), Failure> {
    telemetry::logs(&config)?;
    carry::raise_descriptors();
    directory(&config.data_dir, 0o700)?;
    directory(&config.run_dir, 0o755)?;
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| Failure::from_error(Code::Io, "the runtime", &error))?.block_on(serve(config))
}

/// Looks at the kernel, or clears it, without a daemon.
///
/// # Errors
/// The kernel refuses, mostly for want of privilege.
pub fn dataplane(verb: DataplaneVerb) -> Result<String, Failure> {
    let text = match verb {
        DataplaneVerb::Show => dataplane::show(),
        DataplaneVerb::Export => dataplane::export().map(|json| json + "\n"),
        DataplaneVerb::Cleanup => return carry::cleanup(),
    };
    text.map_err(|error| carry::failure(&error))
}

/// Makes a state directory, unless it is there.
fn directory(path: &Path, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| io_failure(path, &error))
}

fn io_failure(path: &Path, error: &std::io::Error) -> Failure {
    let code =
        if error.kind() == std::io::ErrorKind::PermissionDenied { Code::NoPermission } else { Code::CannotCreate };
    Failure::from_error(code, &path.display().to_string(), error)
}

async fn serve(config: Config) -> Result<(), Failure> {
    // Caught from the first moment, so that a stop during the start is a clean one.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);
    let mut running = tokio::select! {
        started = Running::start(&config) => started?,
        () = &mut stop => return Ok(()),
    };
    telemetry::notify(&[NotifyState::Ready]);
    running.announce(&config);
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        failure = running.watch() => Err(failure),
    };
    telemetry::notify(&[NotifyState::Stopping]);
    running.stop().await;
    ended
}

/// Everything that runs.
struct Running {
    store: Store,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
    checks: server::Checks,
    watchdog: Watchdog,
    api_address: Option<SocketAddr>,
}

impl Running {
    async fn start(config: &Config) -> Result<Running, Failure> {
        let (shutdown, stopped) = watch::channel(false);
        let (store, addresses, facts) = recover(config).await?;
        let numbers = Numbers::default();
        let (zone, zones) = watch::channel(dns::Zone::default());
        let (lag, lags) = watch::channel(None);
        let (busy, at_work) = watch::channel(None);
        let (advertised, wanted) = watch::channel(mdns::Wanted::new());
        let (checked, health_checks) = watch::channel(health_check::Checks::new());
        let carriers = carry::open(config, desired::service_ranges(&store.snapshot()), &addresses).await?;
        let desired_facts = facts::desired(config, &facts, carriers.unsupported());
        let kernel_options = carriers.dataplane.as_ref().map(|_| carry::dataplane_options(config, Vec::new()));
        let (notices, noticed) = mpsc::channel(reports::WAITING_MAX);
        let relayed = carriers.relay.as_ref().map(Relay::numbers);
        let (drain, relays) = (carriers.relay.as_ref().map(Relay::drain), carriers.relay.is_some());
        let mut follower = Follower {
            tracker: Tracker::new(desired_facts.clone()),
            dataplane: carriers.dataplane,
            relay: carriers.relay,
            notices,
            zone,
            namespaces: OrdSet::new(),
            advertised,
            checks: checked,
            ranges: Arc::default(),
            pods: naming::wants_pods(config).then(naming::Pods::default),
            numbers: numbers.clone(),
            lag,
            busy,
            misplaced: watch::Sender::default(),
            unserved: watch::Sender::default(),
            facts: desired_facts.clone(),
        };
        let snapshots = store.subscribe();
        follower.begin(&store.snapshot()).await.map_err(|error| carry::failure(&error))?;
        memory::give_back();

        let mut tasks = JoinSet::new();
        let dns_numbers = start_dns(config, &store, zones, addresses.clone(), stopped.clone(), &mut tasks)?;
        let inputs = health_check::Inputs {
            checks: health_checks,
            nodeport_addresses: config.nodeport_addresses.clone(),
            addresses: addresses.clone(),
            lag: lags.clone(),
        };
        let reporter = Reporter { store: store.clone(), facts: facts.clone() };
        serve_health_checks(config, inputs, reporter.clone(), &stopped, &mut tasks);
        tasks.spawn(until(stopped.clone(), reporter.clone().relay(noticed)));
        let lan = serve_lan(config, wanted, addresses.clone(), reporter, &stopped, &mut tasks);
        let (told, known) = watch::channel(facts.clone());
        let refused = report_refused(&follower, &store, &told, &stopped, &mut tasks);
        let checks = checks(&store, lags, refused.clone());
        let tally = kernel_options.as_ref().map(|options| kernel::tally(store.clone(), desired_facts.clone(), options));
        let metrics = telemetry::metrics(&numbers, store.clone(), dns_numbers, relayed, lan, tally);
        let (asked, options) = (store.clone(), kernel_options);
        let sources = kernel::Sources { store: asked, options, facts: facts.clone(), desired_facts, refused, relays };
        let kernel = kernel::answers(sources);
        let options = api_options(config, &facts, &checks, metrics, kernel, report_faults(&store, &facts));
        let api = Server::bind(options, store.clone(), stopped.clone()).await.map_err(|error| api_failure(&error))?;
        let api_address = api.address();
        tasks.spawn(api.run());
        tasks.spawn(until(stopped.clone(), follower.run(snapshots)));
        tasks.spawn(drained(drain, stopped.clone()));
        tasks.spawn(until(stopped.clone(), host::keep(config.clone(), addresses.clone())));
        tasks.spawn(until(stopped.clone(), facts::follow(addresses, told)));
        tasks.spawn(controller::run(store.clone(), known, turned(stopped.clone())));
        tasks.spawn(until(stopped, memory::follow(store.subscribe())));
        let watchdog = Watchdog { store: store.clone(), kernel: at_work, dns: first_dns(config) };
        Ok(Running { store, shutdown, tasks, checks, watchdog, api_address })
    }

    /// The one line that scripts wait for.
    fn announce(&self, config: &Config) {
        use std::io::Write as _;
        let api = self.api_address.map_or_else(|| "no TLS".to_owned(), |at| format!("https://{at}"));
        let dns = config.value_of("cluster-dns");
        let socket = config.socket();
        let line = format!("ready: API on {} and {api}, DNS on {dns}\n", socket.display());
        // A closed standard error has no reader to wait for the line.
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }

    /// Tells systemd that we are well, while we are; without a watchdog it only
    /// waits. A room that ended by itself is a fault: the process ends too, and is
    /// started again.
    async fn watch(&mut self) -> Failure {
        let feeding = async {
            let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending::<()>().await };
            let mut ticks = tokio::time::interval(limit / 3);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                match self.watchdog.failure().await {
                    None => telemetry::notify(&[NotifyState::Watchdog]),
                    Some(failure) => tracing::error!(failure, "not well; the watchdog is not fed"),
                }
            }
        };
        tokio::select! {
            () = feeding => {}
            _ = self.tasks.join_next() => {}
        }
        Failure::new(Code::Bug, "error: a part of edgesvc has ended by itself; the log says which")
    }

    async fn stop(mut self) {
        self.shutdown.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Limits::default().drain + STOP_MAX, ended).await.is_err() {
            tracing::warn!("a room did not end in time");
        }
        self.tasks.shutdown().await;
        let Running { store, checks, tasks, watchdog, .. } = self;
        drop((checks, tasks, watchdog));
        if tokio::time::timeout(STOP_MAX, store.close()).await.is_err() {
            tracing::warn!("the store did not close in time; nothing is lost");
        }
    }
}

/// The store with its first objects, settled, and what the box says of itself.
async fn recover(
    config: &Config,
) -> Result<(Store, watch::Receiver<crate::model::BoxAddresses>, controller::Facts), Failure> {
    if !config.load_balancer_pool.is_empty() {
        tracing::warn!("load-balancer-pool is not used yet: Services of type LoadBalancer stay pending");
    }
    let store = open(config).await?;
    let addresses =
        dataplane::addresses::follow().map_err(|error| Failure::from_error(Code::Io, "the box's addresses", &error))?;
    let facts = facts::facts(config, &addresses.borrow());
    let begun = controller::bootstrap(&store, &facts).await;
    begun.map_err(|error| Failure::from_error(Code::Io, "the first objects", &error))?;
    controller::report(&store, &facts, store.faults_at_start()).await;
    controller::settle(&store, &facts).await;
    Ok((store, addresses, facts))
}

async fn open(config: &Config) -> Result<Store, Failure> {
    let options = store::Options { path: config.data_dir.join(STORE_NAME) };
    let opened = tokio::task::spawn_blocking(move || Store::open(&options)).await;
    let opened = opened.map_err(|error| Failure::from_error(Code::Bug, "the store", &error))?;
    opened.map_err(|error| {
        let code = match &error {
            OpenError::Locked(_) | OpenError::Newer { .. } | OpenError::Damaged { .. } => Code::CannotCreate,
            OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Code::NoPermission,
            OpenError::Io { .. } => Code::Io,
        };
        Failure::from_error(code, "", &error)
    })
}

/// Reports the Services that the kernel refuses, and those of which endpoints or ports are
/// left out; answers the former.
fn report_refused(
    follower: &Follower,
    store: &Store,
    facts: &watch::Sender<controller::Facts>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<dataplane::Refusals> {
    let nobody = || watch::channel(dataplane::Refusals::new()).1;
    let refused = follower.dataplane.as_ref().map_or_else(nobody, dataplane::Dataplane::refused);
    let (misplaced, unserved) = (follower.misplaced.subscribe(), follower.unserved.subscribe());
    let troubles =
        [(&refused::KERNEL, refused.clone()), (&refused::MISPLACED, misplaced), (&refused::UNSERVED, unserved)];
    for (words, services) in troubles {
        // Apart: events are written with pauses, and a condition is to be right.
        tasks.spawn(until(stopped.clone(), refused::show(facts.clone(), words, services.clone())));
        let reporting = refused::report(store.clone(), facts.borrow().clone(), words, services);
        tasks.spawn(until(stopped.clone(), reporting));
    }
    refused
}

/// Opens the health-check ports of Services and reports those it cannot have.
fn serve_health_checks(
    config: &Config,
    inputs: health_check::Inputs,
    reporter: Reporter,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    // In proxy mode none the answers are another proxy's.
    if config.proxy_mode != ProxyMode::None {
        let (server, refused) = health_check::server(inputs);
        tasks.spawn(until(stopped.clone(), server));
        tasks.spawn(until(stopped.clone(), reporter.checks(refused)));
    }
}

/// Where DNS answers, and for which domain.
fn first_dns(config: &Config) -> Option<(SocketAddr, String)> {
    let addr = config.cluster_dns.first()?;
    Some((SocketAddr::new(*addr, defaults::DNS_PORT), config.cluster_domain.clone()))
}

/// Says to the LAN what Services want said there. It ends by itself after the stop, when
/// it has taken that back.
fn serve_lan(
    config: &Config,
    wanted: watch::Receiver<mdns::Wanted>,
    addresses: watch::Receiver<crate::model::BoxAddresses>,
    reporter: Reporter,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> mdns::Numbers {
    let numbers = mdns::Numbers::default();
    let (notices, noticed) = mpsc::channel(reports::WAITING_MAX);
    let options =
        mdns::Options { links: config.mdns_links.clone(), nodeport_addresses: config.nodeport_addresses.clone() };
    let inputs = mdns::Inputs { options, wanted, addresses, notices, numbers: numbers.clone() };
    tasks.spawn(mdns::serve(inputs, turned(stopped.clone())));
    tasks.spawn(until(stopped.clone(), reporter.lan(noticed)));
    numbers
}

fn start_dns(
    config: &Config,
    store: &Store,
    zones: watch::Receiver<dns::Zone>,
    addresses: watch::Receiver<crate::model::BoxAddresses>,
    stopped: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Option<dns::Numbers>, Failure> {
    if config.cluster_dns.is_empty() {
        return Ok(None);
    }
    let options = naming::options(config, store.clone(), addresses);
    let server = dns::Server::bind(options, zones).map_err(|error| {
        let code = if error.is_permission() { Code::NoPermission } else { Code::CannotCreate };
        Failure::from_error(code, "DNS", &error)
    })?;
    let numbers = server.numbers();
    tasks.spawn(server.run(turned(stopped)));
    Ok(Some(numbers))
}

fn checks(
    store: &Store,
    lags: watch::Receiver<Option<String>>,
    refused: watch::Receiver<dataplane::Refusals>,
) -> server::Checks {
    let store = store.clone();
    Arc::new(move || {
        let writable = match store.health() {
            Health::Writable => None,
            Health::ReadOnly(reason) => Some(reason),
        };
        let kernel = lags.borrow().clone().or_else(|| refused::failure(&refused.borrow()));
        vec![
            Check { name: "store", failure: writable, live: false },
            Check { name: "kernel", failure: kernel, live: false },
        ]
    })
}

fn report_faults(store: &Store, facts: &controller::Facts) -> server::ReportFaults {
    let (store, facts) = (store.clone(), facts.clone());
    Arc::new(move |faults| {
        let (store, facts) = (store.clone(), facts.clone());
        Box::pin(async move { controller::report(&store, &facts, &faults).await })
    })
}

fn api_options(
    config: &Config,
    facts: &controller::Facts,
    checks: &server::Checks,
    metrics: server::Metrics,
    kernel: server::Kernel,
    report_faults: server::ReportFaults,
) -> server::Options {
    let first = |range: &ipnet::IpNet| crate::allocate::first_cluster_ip(*range);
    server::Options {
        socket: config.socket(),
        socket_group: None,
        listen: config.listen,
        metrics_listen: config.metrics_listen,
        data_dir: config.data_dir.clone(),
        hostname: facts.node_name.clone(),
        service_ips: config.service_cluster_ip_ranges.iter().map(first).collect(),
        cluster_domain: config.cluster_domain.clone(),
        rules: Rules {
            service_ranges: config.service_cluster_ip_ranges.clone(),
            node_ports: config.node_port_range.clone(),
            cluster_dns: config.cluster_dns.clone(),
            external_ip_cidrs: config.external_ip_cidrs.clone(),
        },
        limits: Limits::default(),
        checks: Arc::clone(checks),
        metrics,
        kernel,
        settings: SETTINGS.iter().map(|setting| (setting.name, config.value_of(setting.name))).collect(),
        report_faults,
    }
}

fn api_failure(error: &server::ServeError) -> Failure {
    use server::ServeError;
    let code = match error {
        ServeError::Socket { source, .. } | ServeError::Listen { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Code::NoPermission
        }
        ServeError::Prepare(_) => Code::Bug,
        _ => Code::CannotCreate,
    };
    Failure::from_error(code, "the API", error)
}

/// After the stop, waits for what the relay carries.
async fn drained(drain: Option<relay::Drain>, stopped: watch::Receiver<bool>) {
    turned(stopped).await;
    if let Some(drain) = drain {
        drain.finish().await;
    }
}

/// Works until it is done or the flag is set, whatever comes first.
async fn until(flag: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = turned(flag) => {}
    }
}

/// Resolves when the flag turns true, or nobody is left to turn it.
async fn turned(mut flag: watch::Receiver<bool>) {
    while !*flag.borrow_and_update() {
        if flag.changed().await.is_err() {
            return;
        }
    }
}
