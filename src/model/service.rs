//! Service as the rooms behind the store need it (spec/service.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::Claim;
use super::net::{ClusterIp, IpFamily, Protocol};

/// A stored Service. Defaults have been applied by the API, so absent optional
/// fields mean what Kubernetes says they mean for the Service's type.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// What the user asked for, completed by defaults and allocations.
    pub spec: ServiceSpec,
    /// What controllers reported.
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/service.md")]
pub struct ServiceSpec {
    pub r#type: ServiceType,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<ClusterIp>,
    pub ip_families: Vec<IpFamily>,
    pub session_affinity: SessionAffinity,
    pub session_affinity_config: SessionAffinityConfig,
    pub external_name: String,
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<IpAddr>,
    pub external_traffic_policy: TrafficPolicy,
    pub internal_traffic_policy: TrafficPolicy,
    pub health_check_node_port: u16,
    pub publish_not_ready_addresses: bool,
    pub load_balancer_source_ranges: Vec<String>,
    pub load_balancer_class: Option<String>,
    pub traffic_distribution: Option<String>,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Empty when the Service has a single unnamed port.
    pub name: String,
    /// TCP unless said otherwise.
    pub protocol: Protocol,
    /// The port clients use.
    pub port: u16,
    /// The port of the backends: a number or the name of a container port.
    pub target_port: TargetPort,
    /// 0 when none is allocated.
    pub node_port: u16,
    /// A hint for layer 7, copied to endpoints.
    pub app_protocol: Option<String>,
}

/// `targetPort`: a number or a container port's name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// A container port's name, resolved for each Pod.
    Name(String),
}

impl Default for TargetPort {
    fn default() -> Self {
        TargetPort::Number(0)
    }
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the variants are Kubernetes' own words")]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SessionAffinity {
    /// Every connection is balanced anew.
    #[default]
    None,
    /// A client address stays with its endpoint.
    ClientIP,
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinityConfig {
    /// Present when affinity is ClientIP.
    #[serde(rename = "clientIP")]
    pub client_ip: ClientIpConfig,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// Seconds since the last new connection, 1 to 86400.
    pub timeout_seconds: u32,
}

impl Default for ClientIpConfig {
    fn default() -> Self {
        ClientIpConfig { timeout_seconds: 10_800 }
    }
}

/// `externalTrafficPolicy` and `internalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TrafficPolicy {
    /// Any endpoint.
    #[default]
    Cluster,
    /// Endpoints of this node only.
    Local,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Addresses of the load balancer.
    pub load_balancer: LoadBalancerStatus,
    /// What is observed of it.
    pub conditions: Vec<ServiceCondition>,
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceCondition {
    /// What it is about; there is one of each.
    pub r#type: String,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerStatus {
    /// One entry for each address or name.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/service.md")]
pub struct LoadBalancerIngress {
    pub ip: Option<IpAddr>,
    pub hostname: Option<String>,
    pub ip_mode: Option<String>,
}

impl Service {
    /// `clusterIP: None`.
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ips.first() == Some(&ClusterIp::Headless)
    }

    /// Every value only this Service may hold: its cluster IPs, node ports and
    /// health-check node port, each once, as far as its type makes use of them.
    pub fn claims(&self) -> Vec<Claim> {
        let kind = self.spec.r#type;
        let ips = self.cluster_addrs().filter(|_| kind != ServiceType::ExternalName).map(Claim::ClusterIp);
        let ports = self.spec.ports.iter().map(|port| port.node_port);
        let ports = ports.filter(|_| matches!(kind, ServiceType::NodePort | ServiceType::LoadBalancer));
        let ports = ports.filter(|port| *port != 0).chain(self.health_check_port());
        let mut claims: Vec<Claim> = ips.chain(ports.map(Claim::NodePort)).collect();
        claims.sort_unstable();
        claims.dedup();
        claims
    }

    /// Where load balancers ask for its health, if they may.
    pub fn health_check_port(&self) -> Option<u16> {
        let balanced = self.spec.r#type == ServiceType::LoadBalancer;
        let local = self.spec.external_traffic_policy == TrafficPolicy::Local;
        Some(self.spec.health_check_node_port).filter(|port| balanced && local && *port != 0)
    }

    /// The virtual addresses, primary first.
    pub fn cluster_addrs(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.spec.cluster_ips.iter().filter_map(|ip| match ip {
            ClusterIp::Addr(addr) => Some(*addr),
            ClusterIp::Headless => None,
        })
    }

    /// Seconds of session affinity, if the Service asks for it.
    pub fn affinity_seconds(&self) -> Option<u32> {
        match self.spec.session_affinity {
            SessionAffinity::None => None,
            SessionAffinity::ClientIP => Some(self.spec.session_affinity_config.client_ip.timeout_seconds),
        }
    }
}
