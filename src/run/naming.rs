//! What DNS is told: its options, from the configuration, and the addresses of
//! Pods, from snapshots.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Config, DnsServer, PodRecords, defaults};
use crate::dns::{self, Upstream};
use crate::model::{BoxAddresses, Kind, Object, ObjectKey, Revision};
use crate::store::{Snapshot, Store};

/// By what programs of the box resolve names.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The server's options.
pub(super) fn options(config: &Config, store: Store, addresses: watch::Receiver<BoxAddresses>) -> dns::Options {
    let forwarding = dns::Forwarding {
        upstreams: upstreams(config),
        stubs: config.dns_stub_zones.iter().map(|zone| (zone.domain.clone(), upstream(&zone.server))).collect(),
        hosts: config.dns_hosts.clone(),
        ca_file: config.dns_ca_file.clone(),
        resolv_conf: Some(RESOLV_CONF.into()),
    };
    dns::Options {
        domain: config.cluster_domain.clone(),
        listen: config.cluster_dns.iter().map(|addr| SocketAddr::new(*addr, defaults::DNS_PORT)).collect(),
        gate: dns::Gate {
            listen: config.dns_listen.clone(),
            addresses,
            allowed: config.dns_allow.clone(),
            rate: config.dns_rate_limit,
        },
        ttl: config.dns_ttl,
        pod_mode: match config.dns_pod_records {
            PodRecords::Disabled => dns::PodMode::Disabled,
            PodRecords::Insecure => dns::PodMode::Insecure,
            PodRecords::Verified => dns::PodMode::Verified,
        },
        forwarding: Some(forwarding),
        newest: Some(dns::Newest(Arc::new(move || store.snapshot().revision().0))),
        autopath: config.dns_autopath,
        query_log: config.dns_query_log,
    }
}

/// Who answers other names.
pub(super) fn upstreams(config: &Config) -> dns::Upstreams {
    if config.upstream_dns.is_empty() {
        dns::Upstreams::system()
    } else {
        dns::Upstreams::Named(config.upstream_dns.iter().map(upstream).collect())
    }
}

fn upstream(server: &DnsServer) -> Upstream {
    Upstream { addr: server.addr, tls: server.tls.clone() }
}

/// Whether DNS needs to know the addresses of Pods.
pub(super) fn wants_pods(config: &Config) -> bool {
    config.dns_autopath || config.dns_pod_records == PodRecords::Verified
}

/// The Pods that DNS was told of.
#[derive(Debug, Default)]
pub(super) struct Pods {
    told: BTreeMap<ObjectKey, Vec<IpAddr>>,
    since: Option<Revision>,
}

impl Pods {
    /// What to tell DNS of a newer snapshot: the Pods that changed, or all of them
    /// when the history does not reach back.
    pub(super) fn changes(&mut self, snapshot: &Snapshot) -> Vec<dns::Change> {
        let events = self.since.and_then(|since| snapshot.events_since(Kind::Pod, since).ok());
        self.since = Some(snapshot.revision());
        let keys: Vec<ObjectKey> = match events {
            Some(events) => events.iter().map(|event| event.object.key.clone()).collect(),
            None => self.told.keys().chain(snapshot.list(Kind::Pod, None).map(|pod| &pod.key)).cloned().collect(),
        };
        // By what is there now: a Pod may have changed several times.
        let now = |key: &ObjectKey| snapshot.get(Kind::Pod, key).map(|pod| addresses(pod)).unwrap_or_default();
        keys.into_iter().map(|key| self.tell(now(&key), key)).collect()
    }

    fn tell(&mut self, after: Vec<IpAddr>, key: ObjectKey) -> dns::Change {
        let before =
            if after.is_empty() { self.told.remove(&key) } else { self.told.insert(key.clone(), after.clone()) };
        dns::Change::Pod { key, before: before.unwrap_or_default(), after }
    }
}

/// A Pod's addresses while it runs: those of a finished one may be another's.
fn addresses(object: &Object) -> Vec<IpAddr> {
    object.as_pod().filter(|pod| !pod.is_finished()).map(crate::model::pod::Pod::addrs).unwrap_or_default()
}
