//! Pods and Nodes as far as Services need them (spec/endpoints.md sections 1, 2, 7).

use std::net::IpAddr;

use serde::Deserialize;

use super::net::Protocol;

/// `v1` Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// What was asked for.
    pub spec: PodSpec,
    /// Where it runs and whether it is ready.
    pub status: PodStatus,
}

/// The part of `spec` Services need.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct PodSpec {
    pub node_name: Option<String>,
    pub hostname: Option<String>,
    pub subdomain: Option<String>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
}

/// The part of a container Services need.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct Container {
    pub name: String,
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar whose ports count.
    pub restart_policy: Option<String>,
}

/// A named container port, the goal of a named `targetPort`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct ContainerPort {
    pub name: String,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// The part of `status` Services need.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct PodStatus {
    pub phase: String,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<IpAddr>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    pub conditions: Vec<Condition>,
}

/// One entry of `status.podIPs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: IpAddr,
}

/// A condition of a Pod or Node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub last_transition_time: Option<String>,
}

impl Pod {
    /// Condition Ready is True.
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|c| c.r#type == "Ready" && c.status == "True")
    }

    /// Phase Succeeded or Failed: it will never serve again.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// The addresses, primary first, each once.
    pub fn addrs(&self) -> Vec<IpAddr> {
        if self.status.pod_ips.is_empty() {
            return self.status.pod_ip.into_iter().collect();
        }
        self.status.pod_ips.iter().map(|entry| entry.ip).collect()
    }
}

/// `v1` Node, as far as topology needs it; labels are on the object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {}
