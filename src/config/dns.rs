//! What must hold between the settings of DNS. Pure.

use super::{Config, DnsServer};
use crate::model::ListenPlace;

/// A setting, its value, and what is wrong with it beside the others.
type Fault = (&'static str, String, String);

/// Everything that is wrong.
pub(super) fn dns_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    for server in &config.upstream_dns {
        faults.extend(server_fault(config, server).map(|fault| ("upstream-dns", server.to_string(), fault)));
    }
    for zone in &config.dns_stub_zones {
        let fault = |fault: String| ("dns-stub-zones", zone.to_string(), fault);
        faults.extend(server_fault(config, &zone.server).map(fault));
        if within(&zone.domain, &config.cluster_domain) {
            faults.push(fault(format!("lies in the cluster domain {}, which is answered here", config.cluster_domain)));
        }
    }
    for listen in &config.dns_listen {
        let mut wrong = |fault: &str| faults.push(("dns-listen", listen.to_string(), fault.to_owned()));
        if config.cluster_dns.is_empty() {
            wrong("needs DNS for the box itself too: cluster-dns is none");
        }
        let mut loopback = false;
        if let ListenPlace::Address(at) = listen {
            loopback = at.ip().is_loopback();
            if at.ip().is_unspecified() || at.ip().is_multicast() {
                wrong("must be one address of the box: on all of them it would take the port of other resolvers");
            } else if config.service_cluster_ip_ranges.iter().any(|range| range.contains(&at.ip())) {
                wrong("must not lie in the service range: its addresses exist only for Services");
            }
            if [config.listen, config.metrics_listen].contains(&Some(*at)) {
                wrong("is the address of --listen or --metrics-listen already");
            }
        }
        if !loopback && config.node_port_range.contains(&listen.port()) {
            wrong("its port lies in the node port range, where a Service could take it");
        }
    }
    if !config.dns_listen.is_empty() && config.dns_allow.is_empty() {
        faults.push(("dns-allow", String::new(), "must name a network: nobody could ask at --dns-listen".to_owned()));
    }
    faults
}

fn server_fault(config: &Config, server: &DnsServer) -> Option<String> {
    let addr = server.addr;
    if config.cluster_dns.contains(&addr.ip()) || config.dns_listen.contains(&ListenPlace::Address(addr)) {
        Some("is our own DNS address: queries would go round for ever".to_owned())
    } else if addr.ip().is_unspecified() || addr.ip().is_multicast() {
        Some("must be the address of one server".to_owned())
    } else {
        None
    }
}

/// Whether a domain is the other one, or lies below it.
fn within(domain: &str, other: &str) -> bool {
    domain.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
