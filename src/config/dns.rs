//! What must hold between the settings of DNS. Pure.

use super::{Config, DnsServer};

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
        if listen.ip().is_unspecified() || listen.ip().is_multicast() {
            wrong("must be one address of the box: on all of them it would take the port of other resolvers");
        } else if config.service_cluster_ip_ranges.iter().any(|range| range.contains(&listen.ip())) {
            wrong("must not lie in the service range: its addresses exist only for Services");
        }
        if !listen.ip().is_loopback() && config.node_port_range.contains(&listen.port()) {
            wrong("its port lies in the node port range, where a Service could take it");
        }
        if [config.listen, config.metrics_listen].contains(&Some(*listen)) {
            wrong("is the address of --listen or --metrics-listen already");
        }
    }
    if !config.dns_listen.is_empty() && config.dns_allow.is_empty() {
        faults.push(("dns-allow", String::new(), "must name a network: nobody could ask at --dns-listen".to_owned()));
    }
    faults
}

fn server_fault(config: &Config, server: &DnsServer) -> Option<String> {
    let addr = server.addr;
    if config.cluster_dns.contains(&addr.ip()) || config.dns_listen.contains(&addr) {
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
