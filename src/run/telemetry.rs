//! What the outside sees of the process: logs on standard error, numbers for
//! Prometheus, and word to systemd.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::exit::{Code, Failure};
use crate::config::{Config, LogFormat};
use crate::dataplane::Count;
use crate::dns;
use crate::mdns;
use crate::model::Kind;
use crate::relay;
use crate::store::Store;

/// Starts logging. journald stamps lines itself, so they carry a time only on a
/// terminal or in a file.
///
/// # Errors
/// `EDGESVC_LOG` is no filter.
pub(super) fn logs(config: &Config) -> Result<(), Failure> {
    let filter = config.log_filter.clone().unwrap_or_else(|| {
        // The libraries below us log at info what is debugging to a user.
        format!("warn,edgesvc={0}", config.log_level.as_str())
    });
    let filter: Targets = filter
        .parse()
        .map_err(|error| Failure::new(Code::Config, format!("EDGESVC_LOG: {filter:?} is no filter: {error}")))?;
    let journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second start within one process could fail, and it would log as the first does.
    drop(match (config.log_format, journald) {
        (LogFormat::Json, _) => registry.with(lines.json()).try_init(),
        (LogFormat::Text, true) => registry.with(lines.without_time()).try_init(),
        (LogFormat::Text, false) => registry.with(lines).try_init(),
    });
    Ok(())
}

/// Numbers the rooms keep up to date.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// The revision the kernel was last made equal to.
    pub(super) kernel_revision: Gauge<i64>,
    /// Transactions that changed the kernel.
    pub(super) kernel_changes: Counter,
    /// Transactions the kernel refused.
    pub(super) kernel_failures: Counter,
}

/// Builds the function that renders `/metrics`.
pub(super) fn metrics(
    numbers: &Numbers,
    store: Store,
    names: Option<dns::Numbers>,
    relay: Option<relay::Numbers>,
    lan: mdns::Numbers,
    tally: Option<Tally>,
) -> crate::api::server::Metrics {
    let mut registry = Registry::with_prefix("edgesvc");
    let revision = "Revision the kernel was last made equal to";
    registry.register("kernel_revision", revision, numbers.kernel_revision.clone());
    registry.register("kernel_changes", "Transactions that changed the kernel", numbers.kernel_changes.clone());
    registry.register("kernel_failures", "Transactions the kernel refused", numbers.kernel_failures.clone());
    registry.register_collector(Box::new(StoreNumbers(store)));
    if let Some(numbers) = names {
        registry.register_collector(Box::new(DnsNumbers(numbers)));
    }
    for (name, help, counter) in [
        ("mdns_received", "Packets of the LAN on the port of multicast DNS, while it is open", lan.received),
        ("mdns_ignored", "Those that are no queries or answers", lan.ignored),
        ("mdns_sent", "Packets that said names of Services to the LAN", lan.sent),
        ("mdns_conflicts", "Names of Services on the LAN that another had too", lan.conflicts),
    ] {
        registry.register(name, help, counter);
    }
    if let Some(tally) = tally {
        registry.register_collector(Box::new(tally));
    }
    if let Some(relay) = relay {
        registry.register("relay_open", "Connections and UDP sessions the relay has", relay.open.clone());
        let (sent, received) = (relay.sent(), relay.received());
        for (name, help, counter) in [
            ("relay_connections", "TCP connections the relay took", relay.connections),
            ("relay_sessions", "UDP sessions the relay began", relay.sessions),
            ("relay_retries", "Endpoints that did not answer where another was tried", relay.retries),
            ("relay_failed", "Connections that no endpoint took", relay.failed),
            ("relay_refused", "Connections and sessions refused at a limit", relay.refused),
            ("relay_sent_bytes", "Bytes from clients to endpoints", sent),
            ("relay_received_bytes", "Bytes from endpoints to clients", received),
        ] {
            registry.register(name, help, counter);
        }
    }
    Arc::new(move || {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "metrics cannot be rendered");
        }
        text
    })
}

#[derive(Debug)]
struct StoreNumbers(Store);

impl Collector for StoreNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.0.snapshot();
        let gauge = |value: u64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        let revision = gauge(snapshot.revision().0);
        let help = "Revision of the newest change";
        revision.encode(encoder.encode_descriptor("store_revision", help, None, revision.metric_type())?)?;
        let mut objects = encoder.encode_descriptor("objects", "Objects by kind", None, revision.metric_type())?;
        // What shows another kind's objects is counted with that one.
        for kind in Kind::ALL.into_iter().filter(|kind| kind.stored() == *kind) {
            let labels = [("kind", kind.resource().kind)];
            gauge(snapshot.count(kind) as u64).encode(objects.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Services, and endpoints, that `/metrics` tells of: the busiest. A box with more
/// would fill the scraper's memory with names.
const SERIES_MAX: usize = 1_000;

/// What Services are used for, read when somebody asks.
pub(super) struct Tally {
    /// Packets and bytes are counted too.
    pub(super) traffic: bool,
    /// Reads the kernel.
    pub(super) read: Box<dyn Fn() -> Vec<Count> + Send + Sync>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("traffic", &self.traffic).finish_non_exhaustive()
    }
}

impl Collector for Tally {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (mut services, mut endpoints): (Vec<Count>, Vec<Count>) =
            (self.read)().into_iter().partition(|count| count.endpoint.is_none());
        for counts in [&mut services, &mut endpoints] {
            counts.sort_by_key(|count| std::cmp::Reverse((count.connections, count.packets)));
            counts.truncate(SERIES_MAX);
        }
        type Value = fn(&Count) -> u64;
        let connections: Value = |count| count.connections;
        let mut families: Vec<(&str, &str, &[Count], Value)> = vec![
            ("service_connections", "New connections to a Service", &services, connections),
            ("endpoint_connections", "New connections given to an endpoint by balance", &endpoints, connections),
        ];
        if self.traffic {
            let (packets, bytes): (Value, Value) = (|count| count.packets, |count| count.bytes);
            families.push(("service_packets", "Packets of a Service, both ways", &services, packets));
            families.push(("service_bytes", "Bytes of a Service, both ways", &services, bytes));
            families.push(("endpoint_packets", "Packets of an endpoint, both ways", &endpoints, packets));
            families.push(("endpoint_bytes", "Bytes of an endpoint, both ways", &endpoints, bytes));
        }
        for (name, help, counts, value) in families {
            let kind = ConstCounter::<u64>::new(0).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for count in counts {
                let endpoint = count.endpoint.map(|at| at.to_string()).unwrap_or_default();
                let labels = [
                    ("namespace", &*count.service.namespace),
                    ("service", &*count.service.name),
                    ("endpoint", endpoint.as_str()),
                ];
                let labels = if count.endpoint.is_some() { &labels[..] } else { &labels[..2] };
                ConstCounter::new(value(count)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct DnsNumbers(dns::Numbers);

impl Collector for DnsNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let totals = self.0.totals();
        let (cached, bytes) = self.0.cached();
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (name, help, value) in [
            ("dns_forwarded", "DNS questions that went upstream", totals.forwarded),
            ("dns_noise", "Packets on the DNS port that are no questions", totals.noise),
            ("dns_limited", "DNS questions of the LAN refused, cut or dropped", totals.limited),
            ("dns_cache_hits", "DNS answers from the cache", totals.cache_hits),
            ("dns_cache_misses", "DNS questions the cache could not answer", totals.cache_misses),
            ("dns_stale", "DNS answers past their time, given because no upstream answers", totals.stale),
            ("dns_prefetches", "DNS answers fetched anew before they were over", totals.prefetches),
            ("dns_loops", "DNS questions of ours that came back", totals.loops),
            ("dns_connections_closed", "TCP connections for DNS closed to make room", totals.connections_closed),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("dns_cache_entries", "DNS answers in the cache", cached),
            ("dns_cache_bytes", "Bytes of DNS answers in the cache", bytes),
            ("dns_connections", "Open TCP connections for DNS", self.0.connections()),
        ] {
            let value = ConstGauge::new(gauge(value));
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        self.questions(&mut encoder)?;
        self.latencies(&mut encoder)?;
        self.upstreams(&mut encoder)
    }
}

impl DnsNumbers {
    fn questions(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "DNS questions by type and result";
        let mut family = encoder.encode_descriptor("dns_questions", help, None, MetricType::Counter)?;
        for count in self.0.counts() {
            let labels = [("type", count.qtype), ("result", count.result)];
            ConstCounter::new(count.questions).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Time to a DNS answer by its source";
        let unit = prometheus_client::registry::Unit::Seconds;
        let mut family = encoder.encode_descriptor("dns_latency", help, Some(&unit), MetricType::Histogram)?;
        for latency in self.0.latencies() {
            let bounds = dns::LATENCY_BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(latency.within.iter().copied()).collect();
            let count = latency.within.iter().sum();
            let labels = [("source", latency.source)];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(latency.seconds, count, &buckets, None)?;
        }
        Ok(())
    }

    fn upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let upstreams = self.0.upstreams();
        let mut told = |name: &str, help: &str, kind: MetricType, value: &dyn Fn(&dns::RemoteHealth) -> f64| {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for upstream in &upstreams {
                let labels = [("server", upstream.server.as_str())];
                let mut metric = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value(upstream), None)?,
                    _ => metric.encode_gauge(&value(upstream))?,
                }
            }
            Ok(())
        };
        let flag = |set: bool| f64::from(u8::from(set));
        #[allow(clippy::cast_precision_loss, reason = "counts above 2^52 lose their last digits")]
        let number = |count: u64| count as f64;
        let gauge = MetricType::Gauge;
        let healthy = "Whether an upstream DNS server answers, and what it is asked does not come back";
        told("dns_upstream_healthy", healthy, gauge, &|one| flag(one.healthy && !one.loops))?;
        told("dns_upstream_seconds", "How long an upstream DNS server usually takes", gauge, &|one| {
            one.usual.as_secs_f64()
        })?;
        let (counter, help) = (MetricType::Counter, "Questions an upstream DNS server was sent");
        told("dns_upstream_questions", help, counter, &|one| number(one.questions))?;
        told("dns_upstream_failures", "Those without a usable answer", counter, &|one| number(one.failures))
    }
}

/// Tells systemd; silence when nobody listens is its protocol.
pub(super) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
