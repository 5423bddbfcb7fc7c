//! What the DNS zone says of a Service (spec/dns.md section 1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::contribution::{EndpointRecord, PortRecord, ServiceRecords};
use super::service::virtual_addrs;
use crate::model::endpoints::{AddressType, EndpointPort};
use crate::model::service::ServiceType;
use crate::model::{IpFamily, Object, Service};

/// The records of a Service with these slices, all its own. Slices for DNS only
/// (label service.kubernetes.io/headless) count here.
pub(super) fn service_records(service: &Service, slices: &[&Arc<Object>]) -> ServiceRecords {
    let external = service.spec.r#type == ServiceType::ExternalName;
    let ports = service.spec.ports.iter().map(|port| PortRecord {
        name: port.name.clone(),
        protocol: port.protocol,
        port: port.port,
    });
    ServiceRecords {
        cluster_ips: virtual_addrs(service),
        headless: !external && service.is_headless(),
        external_name: external.then(|| service.spec.external_name.clone()),
        ports: ports.collect(),
        endpoints: if external { Vec::new() } else { ready_endpoints(slices) },
        advertised: None,
    }
}

/// The ready endpoints, each address and host name once with the ports of all
/// slices that mention it.
fn ready_endpoints(slices: &[&Arc<Object>]) -> Vec<EndpointRecord> {
    let mut found: BTreeMap<(IpAddr, Option<Box<str>>), BTreeSet<PortRecord>> = BTreeMap::new();
    for slice in slices.iter().filter_map(|slice| slice.as_endpoint_slice()) {
        let ports: Vec<PortRecord> = slice.ports.iter().filter_map(port_record).collect();
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.conditions.is_ready()) {
            let hostname = endpoint.hostname.clone().filter(|name| !name.is_empty());
            for addr in &endpoint.addrs {
                if fits(IpFamily::of(*addr), slice.address_type) {
                    found.entry((*addr, hostname.clone())).or_default().extend(ports.iter().cloned());
                }
            }
        }
    }
    let mut lists: BTreeMap<BTreeSet<PortRecord>, Arc<[PortRecord]>> = BTreeMap::new();
    let record = |((addr, hostname), ports): ((IpAddr, Option<Box<str>>), BTreeSet<PortRecord>)| {
        let list = lists.entry(ports).or_insert_with_key(|ports| ports.iter().cloned().collect());
        EndpointRecord { addr, hostname, ports: Arc::clone(list) }
    };
    found.into_iter().map(record).collect()
}

/// A slice port with a number; "all ports" has no SRV.
fn port_record(port: &EndpointPort) -> Option<PortRecord> {
    let number = port.port.filter(|number| *number != 0)?;
    Some(PortRecord { name: port.name.clone(), protocol: port.protocol, port: number })
}

fn fits(family: IpFamily, address_type: AddressType) -> bool {
    match address_type {
        AddressType::IPv4 => family == IpFamily::V4,
        AddressType::IPv6 => family == IpFamily::V6,
        AddressType::FQDN => false,
    }
}
