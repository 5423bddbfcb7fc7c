//! Endpoints and EndpointSlices as the rooms behind the store need them
//! (spec/endpoints.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::net::Protocol;
use super::{Kind, Object, ObjectKey};

/// The label that names the Service of an EndpointSlice, in its namespace.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The Service an EndpointSlice is labelled with; `None` for other kinds.
pub fn service_of(slice: &Object) -> Option<ObjectKey> {
    let name = slice.meta.labels.get(SERVICE_NAME_LABEL).filter(|_| slice.kind == Kind::EndpointSlice)?;
    Some(ObjectKey { namespace: slice.key.namespace.clone(), name: name.into() })
}

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// What the addresses of this slice are.
    pub address_type: AddressType,
    /// The endpoints; `null` on the wire when there are none.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports every endpoint of the slice serves.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Vec<EndpointPort>,
}

/// `addressType` of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are Kubernetes' own words")]
pub enum AddressType {
    #[default]
    IPv4,
    IPv6,
    FQDN,
}

/// One endpoint of a slice: what the rooms behind the store need of it, in the
/// least room, because there may be a hundred thousand.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/endpoints.md")]
pub struct Endpoint {
    /// `addresses`, without the names of an FQDN slice. Proxies use the first.
    #[serde(rename = "addresses", deserialize_with = "ip_addrs")]
    pub addrs: Box<[IpAddr]>,
    pub conditions: Conditions,
    pub hostname: Option<Box<str>>,
    pub node_name: Option<Box<str>>,
    /// Absent from most.
    pub hints: Option<Box<Hints>>,
}

impl Endpoint {
    /// The endpoint's address, unless the slice holds names.
    pub fn addr(&self) -> Option<IpAddr> {
        self.addrs.first().copied()
    }
}

fn ip_addrs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Box<[IpAddr]>, D::Error> {
    let texts = Vec::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// `conditions` of an endpoint. Absent ready and serving count as true, absent
/// terminating as false (spec/endpoints.md section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/endpoints.md")]
pub struct Conditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

impl Conditions {
    /// Takes new connections.
    pub fn is_ready(self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// Could take connections, were it not terminating.
    pub fn is_serving(self) -> bool {
        self.serving.unwrap_or(true)
    }

    /// On its way out.
    pub fn is_terminating(self) -> bool {
        self.terminating.unwrap_or(false)
    }
}

/// `hints` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Zones that should use this endpoint.
    pub for_zones: Vec<Named>,
    /// Nodes that should use this endpoint.
    pub for_nodes: Vec<Named>,
}

/// An object with nothing but a name, as hints hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// The object an endpoint stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own")]
pub struct TargetRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// One port of a slice or of an Endpoints subset.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The Service port's name; empty or absent for an unnamed one.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// TCP unless said otherwise.
    pub protocol: Protocol,
    /// The number; absent means all ports and is ignored by proxies.
    pub port: Option<u16>,
    /// Copied from the Service port.
    pub app_protocol: Option<String>,
}

/// `v1` Endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Groups of addresses that serve the same ports.
    #[serde(deserialize_with = "null_as_default")]
    pub subsets: Vec<EndpointSubset>,
}

/// One subset of Endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/endpoints.md")]
pub struct EndpointSubset {
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "null_as_default")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Vec<EndpointPort>,
}

/// One address of a subset.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Kubernetes' own, described in spec/endpoints.md")]
pub struct EndpointAddress {
    pub ip: String,
    pub hostname: Option<String>,
    pub node_name: Option<String>,
    pub target_ref: Option<BTreeMap<String, String>>,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
