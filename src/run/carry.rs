//! Who carries connections: the kernel's tables, the relay, or both side by side.

use std::collections::BTreeMap;
use std::io;

use ipnet::IpNet;
use tokio::sync::watch;

use crate::cli::exit::{Code, Failure};
use crate::config::{Config, ProxyMode, defaults};
use crate::dataplane::{self, Dataplane};
use crate::host_dns::{self, Paths};
use crate::model::{BoxAddresses, IpFamily, Protocol};
use crate::relay::{self, Relay};

/// Open files: every connection of the API's doors, and as many again for all the
/// rest; half of what is there is the relay's.
const DESCRIPTORS: u64 = 131_072;

/// Those that run; neither in proxy mode none.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    pub(super) dataplane: Option<Dataplane>,
    pub(super) relay: Option<Relay>,
}

impl Carriers {
    /// The protocols that none of them carries, and why.
    pub(super) fn unsupported(&self) -> BTreeMap<Protocol, String> {
        let why = match (&self.dataplane, &self.relay) {
            (Some(dataplane), _) if dataplane.tracks_sctp() => None,
            (Some(_), _) => Some("the kernel does not track it: CONFIG_NF_CT_PROTO_SCTP is missing"),
            (None, Some(_)) => Some("--proxy-mode relay does not support it"),
            (None, None) => None,
        };
        why.map(|why| (Protocol::Sctp, why.to_owned())).into_iter().collect()
    }
}

/// Opens what the proxy mode asks for. Where nf_tables or the privilege for it is
/// missing, the relay carries everything. The ranges are those in force at the start.
pub(super) async fn open(
    config: &Config,
    ranges: Vec<IpNet>,
    addresses: &watch::Receiver<BoxAddresses>,
) -> Result<Carriers, Failure> {
    match config.proxy_mode {
        ProxyMode::None => Ok(Carriers::default()),
        ProxyMode::Relay => Ok(relay_alone(config, addresses).await),
        ProxyMode::Nftables => match open_dataplane(config, ranges) {
            Ok(dataplane) => {
                let relay = Relay::open(relay_options(config, false), addresses.clone()).await;
                Ok(Carriers { dataplane: Some(dataplane), relay: Some(relay) })
            }
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "no nftables: falling back to --proxy-mode relay");
                Ok(relay_alone(config, addresses).await)
            }
            Err(error) => Err(failure(&error)),
        },
    }
}

/// What the kernel refused, with the exit code of its kind.
pub(super) fn failure(error: &dataplane::DataplaneError) -> Failure {
    let code = if error.is_permission() { Code::NoPermission } else { Code::CannotCreate };
    Failure::from_error(code, "the kernel", error)
}

/// Removes what any mode left in the kernel, and says what that was.
pub(super) fn cleanup() -> Result<String, Failure> {
    let mut removed = relay::cleanup().map_err(|error| {
        let code =
            if error.kind() == io::ErrorKind::PermissionDenied { Code::NoPermission } else { Code::CannotCreate };
        Failure::from_error(code, "routes", &error)
    })?;
    match dataplane::cleanup() {
        Ok(more) => removed.extend(more),
        // The relay is for kernels without nf_tables, too.
        Err(error) if error.is_unavailable() && !error.is_permission() => {}
        Err(error) => return Err(failure(&error)),
    }
    let mut told: String = removed.iter().map(|what| format!("removed {what}\n")).collect();
    if removed.is_empty() {
        told.push_str("nothing to remove\n");
    }
    // Its address is gone now: every name would wait for an answer that cannot come.
    if host_dns::ways_set_up(&host_dns::look(&Paths::of_box(defaults::DATA_DIR.into()))).is_empty() {
        return Ok(told);
    }
    Ok(told + "note: programs of this box still ask edgesvc for names: `edgesvc dns undo`\n")
}

/// Takes as many file descriptors as connections need, if the box lets us: with the
/// usual 1,024 a thousand watchers would lock out everybody else.
pub(super) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = DESCRIPTORS.min(hard);
        if soft >= wanted { Ok(()) } else { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn relay_alone(config: &Config, addresses: &watch::Receiver<BoxAddresses>) -> Carriers {
    // Rules of a run in mode nftables would go on translating, past the relay.
    match dataplane::cleanup() {
        Ok(removed) => {
            for what in removed {
                tracing::info!(what, "removed, the relay takes over");
            }
        }
        Err(error) if error.is_unavailable() => tracing::debug!(%error, "no nftables to clear"),
        Err(error) => tracing::warn!(
            %error,
            "nftables rules of an earlier run stay and take precedence; remove them with `edgesvc dataplane cleanup`"
        ),
    }
    Carriers { dataplane: None, relay: Some(Relay::open(relay_options(config, true), addresses.clone()).await) }
}

fn relay_options(config: &Config, whole: bool) -> relay::Options {
    use nix::sys::resource::{Resource, getrlimit};
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    relay::Options {
        whole,
        service_ranges: config.service_cluster_ip_ranges.clone(),
        nodeport_addresses: config.nodeport_addresses.clone(),
        cluster_cidrs: config.cluster_cidrs.clone(),
        connections_max: relay::connections_within(descriptors),
    }
}

/// What the dataplane is told.
pub(super) fn dataplane_options(config: &Config, service_ranges: Vec<IpNet>) -> dataplane::Options {
    let behind = |family| relay::behind(&config.service_cluster_ip_ranges, family);
    dataplane::Options {
        service_ranges,
        cluster_dns: config.cluster_dns.clone(),
        nodeport_addresses: config.nodeport_addresses.clone(),
        behind: IpFamily::BOTH.into_iter().filter_map(behind).collect(),
        cluster_cidrs: config.cluster_cidrs.clone(),
        node_ports: Some(config.node_port_range.clone()),
        address_sets: false,
        hashless: false,
        count_traffic: config.count_traffic,
        forward_mark: config.forward_mark,
    }
}

fn open_dataplane(config: &Config, service_ranges: Vec<IpNet>) -> Result<Dataplane, dataplane::DataplaneError> {
    let dataplane = Dataplane::open(dataplane_options(config, service_ranges))?;
    for warning in dataplane.warnings() {
        tracing::warn!(warning, "dataplane");
    }
    Ok(dataplane)
}
