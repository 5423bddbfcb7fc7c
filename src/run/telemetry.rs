//! What the outside sees of the process: logs on standard error, numbers for
//! Prometheus, and word to systemd.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::exit::{Code, Failure};
use crate::config::{Config, LogFormat};
use crate::dataplane::Count;
use crate::dns::Counters;
use crate::model::Kind;
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
    dns: Option<Arc<Counters>>,
    tally: Option<Tally>,
) -> crate::api::server::Metrics {
    let mut registry = Registry::with_prefix("edgesvc");
    let revision = "Revision the kernel was last made equal to";
    registry.register("kernel_revision", revision, numbers.kernel_revision.clone());
    registry.register("kernel_changes", "Transactions that changed the kernel", numbers.kernel_changes.clone());
    registry.register("kernel_failures", "Transactions the kernel refused", numbers.kernel_failures.clone());
    registry.register_collector(Box::new(StoreNumbers(store)));
    if let Some(counters) = dns {
        registry.register_collector(Box::new(DnsNumbers(counters)));
    }
    if let Some(tally) = tally {
        registry.register_collector(Box::new(tally));
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
struct DnsNumbers(Arc<Counters>);

impl Collector for DnsNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counter = ConstCounter::<u64>::new(0);
        let help = "DNS questions by type and result";
        let mut family = encoder.encode_descriptor("dns_questions", help, None, counter.metric_type())?;
        for count in self.0.counts() {
            let labels = [("type", count.qtype), ("result", count.result)];
            ConstCounter::new(count.questions).encode(family.encode_family(&labels)?)?;
        }
        let forwarded = ConstCounter::new(self.0.forwarded());
        let help = "DNS questions that went upstream";
        forwarded.encode(encoder.encode_descriptor("dns_forwarded", help, None, forwarded.metric_type())?)
    }
}

/// Tells systemd; silence when nobody listens is its protocol.
pub(super) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
