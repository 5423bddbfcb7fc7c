//! One Service and its EndpointSlices to one [`Contribution`]
//! (spec/dataplane.md sections 1 and 2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::advertised::advertised;
use super::contribution::{
    AffinityOwner, Balance, Contribution, Frontend, FrontendAddr, HealthCheck, ServiceRecords, Verdict,
};
use super::ranges::service_ranges;
use super::records::service_records;
use super::selection::{Here, PortEndpoints, Slice, Taker, ready_here};
use crate::model::balance::{BALANCE_ANNOTATION, PROXY_MODE_ANNOTATION, RELAY, Schedule};
use crate::model::endpoints::AddressType;
use crate::model::service::{ServicePort, ServiceType, TrafficPolicy};
use crate::model::{IpFamily, Kind, Object, ObjectKey, Protocol, Service};
use crate::store::Snapshot;

/// Services and slices with this label belong to another proxy.
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Slices with this label are for DNS only.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// The zone of a Node.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// What a contribution depends on besides the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of this box's Node. Endpoints that carry it are local; the Node's
    /// zone label is read from the snapshot.
    pub node_name: Arc<str>,
    /// externalIPs outside these ranges are not programmed.
    pub external_ip_cidrs: Vec<IpNet>,
    /// Protocols that cannot be carried here, and why: their ports are left out.
    pub unsupported: BTreeMap<Protocol, String>,
}

impl Facts {
    /// The zone this box's Node is labelled with.
    pub(super) fn zone(&self, snapshot: &Snapshot) -> Option<String> {
        let node = snapshot.get(Kind::Node, &ObjectKey { namespace: "".into(), name: Arc::clone(&self.node_name) })?;
        node.meta.labels.get(ZONE_LABEL).filter(|zone| !zone.is_empty()).map(str::to_owned)
    }
}

/// What the Service `service` asks of the device, or `None` when the snapshot
/// does not hold it.
pub fn contribution(snapshot: &Snapshot, service: &ObjectKey, facts: &Facts) -> Option<Contribution> {
    let object = snapshot.get(Kind::Service, service)?;
    let slices: Vec<&Arc<Object>> = snapshot.slices_of(service).collect();
    contribution_of(object, &slices, facts, facts.zone(snapshot).as_deref(), &service_ranges(snapshot))
}

/// The addresses in a Service's slices that are cluster IPs, which no connection is led
/// to.
pub fn misplaced(snapshot: &Snapshot, service: &ObjectKey, ranges: &[IpNet]) -> Vec<IpAddr> {
    let here = Here { node_name: "", zone: None, ranges };
    let slices: Vec<&Arc<Object>> = snapshot.slices_of(service).collect();
    let endpoints = proxied(&slices).into_iter().flat_map(Slice::endpoints);
    let found: BTreeSet<IpAddr> =
        endpoints.filter_map(|endpoint| endpoint.addr()).filter(|a| here.is_of_services(*a)).collect();
    found.into_iter().collect()
}

/// The ports of a Service that are left out, because their protocol cannot be carried.
pub fn unserved(snapshot: &Snapshot, service: &ObjectKey, facts: &Facts) -> Vec<(Protocol, u16)> {
    let object = snapshot.get(Kind::Service, service);
    let ours = object.filter(|object| !object.meta.labels.contains_key(PROXY_NAME_LABEL));
    let Some(service) = ours.and_then(|object| object.as_service()) else { return Vec::new() };
    let proxied = !virtual_addrs(service).is_empty();
    let ports = service.spec.ports.iter().filter(|port| proxied && facts.unsupported.contains_key(&port.protocol));
    ports.map(|port| (port.protocol, port.port)).collect()
}

/// What a Service with these slices, all its own, asks of a device in `zone`, where
/// cluster IPs come from `ranges`.
pub(super) fn contribution_of(
    object: &Object,
    slices: &[&Arc<Object>],
    facts: &Facts,
    zone: Option<&str>,
    ranges: &[IpNet],
) -> Option<Contribution> {
    let service = object.as_service()?;
    let mut cluster_ips: Vec<IpAddr> = virtual_addrs(service);
    let mut frontends = Vec::new();
    let mut health = None;
    if object.meta.labels.contains_key(PROXY_NAME_LABEL) {
        // Another proxy guards these addresses; refusing their ports here would break it.
        cluster_ips.clear();
    } else if !cluster_ips.is_empty() {
        let here = Here { node_name: &facts.node_name, zone, ranges };
        let schedule = object.meta.annotations.get(BALANCE_ANNOTATION).and_then(Schedule::parse).unwrap_or_default();
        let slices = proxied(slices);
        frontends = service_frontends(service, schedule, &slices, facts, here);
        health =
            service.health_check_port().map(|port| HealthCheck { port, local_endpoints: ready_here(&slices, here) });
    }
    let advertised = advertised(object, service, &frontends).map(Arc::new);
    let records = ServiceRecords { advertised, ..service_records(service, slices) };
    Some(Contribution {
        key: object.key.clone(),
        cluster_ips,
        frontends,
        relayed: object.meta.annotations.get(PROXY_MODE_ANNOTATION) == Some(RELAY),
        health,
        records: Arc::new(records),
    })
}

/// The cluster IPs, sorted and unique; none for headless and ExternalName.
pub(super) fn virtual_addrs(service: &Service) -> Vec<IpAddr> {
    if service.spec.r#type == ServiceType::ExternalName || service.is_headless() {
        return Vec::new();
    }
    let mut addrs: Vec<IpAddr> = service.cluster_addrs().collect();
    addrs.sort_unstable();
    addrs.dedup();
    addrs
}

/// The slices a proxy looks at.
fn proxied<'a>(slices: &[&'a Arc<Object>]) -> Vec<Slice<'a>> {
    let ours = |slice: &&&Arc<Object>| {
        !slice.meta.labels.contains_key(PROXY_NAME_LABEL) && !slice.meta.labels.contains_key(HEADLESS_LABEL)
    };
    slices.iter().filter(ours).filter_map(|slice| Slice::of(slice)).collect()
}

/// Every frontend, sorted. An address that is told twice (an external IP that is
/// also a load-balancer IP) keeps its first form, so that an external IP never
/// opens what loadBalancerSourceRanges closes.
fn service_frontends(
    service: &Service,
    schedule: Schedule,
    slices: &[Slice<'_>],
    facts: &Facts,
    here: Here<'_>,
) -> Vec<Frontend> {
    let mut found: BTreeMap<(FrontendAddr, Protocol, u16), Frontend> = BTreeMap::new();
    for family in families(service) {
        let ranges = source_ranges(service, family);
        for port in service.spec.ports.iter().filter(|port| !facts.unsupported.contains_key(&port.protocol)) {
            let endpoints = PortEndpoints::gather(slices, address_type(family), port, here);
            let owner = affinity_owner(service, family, port, facts);
            let balance = |chosen, local| {
                let affinity_owner = owner.map(|owner| AffinityOwner { local, ..owner });
                let found = balance(schedule, chosen, service.affinity_seconds())?;
                Some(Balance { affinity_owner, ..found })
            };
            let frontend = |policy: TrafficPolicy, addr: FrontendAddr, number: u16| {
                let verdict = verdict(balance, &endpoints, policy, here);
                let kept = endpoints.serving_besides(verdict.endpoints());
                let source_ranges = Vec::new();
                Frontend { addr, protocol: port.protocol, port: number, verdict, source_ranges, inside: None, kept }
            };
            let mut insert = |frontend: Frontend| {
                found.entry((frontend.addr, frontend.protocol, frontend.port)).or_insert(frontend);
            };
            for addr in service.cluster_addrs().filter(|addr| IpFamily::of(*addr) == family) {
                insert(frontend(service.spec.internal_traffic_policy, FrontendAddr::Virtual(addr), port.port));
            }
            let external = |addr, number| {
                let mut found = frontend(service.spec.external_traffic_policy, addr, number);
                // Clients of the cluster go to any endpoint, whatever the policy says of those outside.
                let inside = balance(endpoints.cluster_set(here), false);
                // Where all endpoints are here at the moment affinity keeps the sides apart
                // all the same: clients would be forgotten when another box gets one.
                let apart = owner.is_some() && service.spec.external_traffic_policy == TrafficPolicy::Local;
                found.inside = inside.filter(|all| apart || all.endpoints != found.verdict.endpoints());
                found.kept.retain(|kept| found.inside.iter().all(|all| all.endpoints.binary_search(kept).is_err()));
                found
            };
            for addr in load_balancer_addrs(service, family) {
                let open = external(FrontendAddr::Virtual(addr), port.port);
                insert(Frontend { source_ranges: ranges.clone(), ..open });
            }
            for addr in external_addrs(service, family, facts) {
                insert(external(FrontendAddr::Virtual(addr), port.port));
            }
            if takes_node_ports(service) && port.node_port != 0 {
                insert(external(FrontendAddr::NodePort(family), port.node_port));
            }
        }
    }
    found.into_values().collect()
}

/// The families the Service is proxied in: those of its cluster IPs, each once.
fn families(service: &Service) -> impl Iterator<Item = IpFamily> + '_ {
    IpFamily::BOTH.into_iter().filter(|family| service.cluster_addrs().any(|addr| IpFamily::of(addr) == *family))
}

fn address_type(family: IpFamily) -> AddressType {
    match family {
        IpFamily::V4 => AddressType::IPv4,
        IpFamily::V6 => AddressType::IPv6,
    }
}

fn takes_node_ports(service: &Service) -> bool {
    matches!(service.spec.r#type, ServiceType::NodePort | ServiceType::LoadBalancer)
}

/// What happens to a connection under a traffic policy (spec/dataplane.md
/// sections 1 and 2). Nobody to take it anywhere is a refusal; with somebody
/// elsewhere, policy Local drops, so that the client asks there.
fn verdict(
    balance: impl Fn(Vec<Taker>, bool) -> Option<Balance>,
    endpoints: &PortEndpoints,
    policy: TrafficPolicy,
    here: Here<'_>,
) -> Verdict {
    let chosen = match policy {
        TrafficPolicy::Cluster => endpoints.cluster_set(here),
        TrafficPolicy::Local => endpoints.local_set(),
    };
    match balance(chosen, policy == TrafficPolicy::Local) {
        Some(balance) => Verdict::Balance(balance),
        None if policy == TrafficPolicy::Local && endpoints.any_usable() => Verdict::Drop,
        None => Verdict::Refuse,
    }
}

/// Who of the chosen takes connections. When all are drained by weight 0 nobody
/// does, as with IPVS.
fn balance(schedule: Schedule, mut chosen: Vec<Taker>, affinity_seconds: Option<u32>) -> Option<Balance> {
    chosen.retain(|taker| taker.weight != 0);
    if schedule == Schedule::Leader {
        chosen = chosen.into_iter().min_by_key(|taker| (taker.age, taker.addr)).into_iter().collect();
    }
    if chosen.is_empty() {
        return None;
    }
    let weighted = chosen.iter().any(|taker| taker.weight != 1);
    let weights = if weighted { chosen.iter().map(|taker| taker.weight).collect() } else { Box::default() };
    let endpoints = chosen.iter().map(|taker| taker.addr).collect();
    Some(Balance { endpoints, schedule, weights, affinity_seconds, affinity_owner: None })
}

/// With whom the frontends of a port remember clients, if there is affinity and more than
/// the cluster IP.
fn affinity_owner(service: &Service, family: IpFamily, port: &ServicePort, facts: &Facts) -> Option<AffinityOwner> {
    service.affinity_seconds()?;
    let addr = service.cluster_addrs().find(|addr| IpFamily::of(*addr) == family)?;
    let several = takes_node_ports(service) && port.node_port != 0
        || load_balancer_addrs(service, family).chain(external_addrs(service, family, facts)).next().is_some();
    several.then_some(AffinityOwner { addr, protocol: port.protocol, port: port.port, local: false })
}

/// Load-balancer addresses that are ours to answer: ipMode Proxy means that the
/// load balancer rewrites the destination itself.
pub(super) fn load_balancer_addrs(service: &Service, family: IpFamily) -> impl Iterator<Item = IpAddr> + '_ {
    let ingress = match service.spec.r#type {
        ServiceType::LoadBalancer => service.status.load_balancer.ingress.as_slice(),
        ServiceType::ClusterIP | ServiceType::NodePort | ServiceType::ExternalName => &[],
    };
    ingress
        .iter()
        .filter(|ingress| ingress.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
        .filter_map(|ingress| ingress.ip)
        .filter(move |addr| IpFamily::of(*addr) == family)
}

fn external_addrs<'a>(service: &'a Service, family: IpFamily, facts: &'a Facts) -> impl Iterator<Item = IpAddr> + 'a {
    service
        .spec
        .external_ips
        .iter()
        .copied()
        .filter(move |addr| IpFamily::of(*addr) == family)
        .filter(|addr| facts.external_ip_cidrs.iter().any(|cidr| cidr.contains(addr)))
}

/// `loadBalancerSourceRanges` of one family, sorted; empty when there is no
/// filter, which one range of the whole family also says.
fn source_ranges(service: &Service, family: IpFamily) -> Vec<IpNet> {
    let parsed = service.spec.load_balancer_source_ranges.iter().filter_map(|text| text.trim().parse::<IpNet>().ok());
    let mut ranges: Vec<IpNet> =
        parsed.filter(|net| IpFamily::of(net.addr()) == family).map(|net| net.trunc()).collect();
    if ranges.iter().any(|net| net.prefix_len() == 0) {
        return Vec::new();
    }
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}
