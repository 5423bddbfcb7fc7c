//! Services as environment variables, as the kubelet gives them to a container
//! (spec/env.md).
//!
//! In: Services, and whose namespace it is. Out: variables in order, the text a
//! shell, systemd or Docker reads, and what becomes of variables declared beside
//! them. Pure: the same Services give the same bytes.

mod declared;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use thiserror::Error;

use crate::model::{ClusterIp, ObjectKey, Service};

pub use declared::merge;
pub use text::Format;

/// Bytes of all variables together, as `NAME=value` and a zero each: half of what
/// Linux grants a new process (a quarter of its stack of 8 MiB), which leaves the
/// rest to its arguments and its own variables.
pub const ENVIRONMENT_BYTES_MAX: usize = 1024 * 1024;

/// The Service that every namespace sees: namespace and name.
pub const API_SERVICE: (&str, &str) = ("default", "kubernetes");

/// One variable, and which Service it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Of capitals, digits and underscores.
    pub name: String,
    /// An address, a port, a protocol or a URL.
    pub value: String,
    /// The Service's name, for messages.
    pub service: String,
}

/// Whose variables are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The namespace the program belongs to.
    pub namespace: &'a str,
    /// `enableServiceLinks`: without it only default/kubernetes is seen.
    pub links: bool,
    /// Only these Services; all when empty.
    pub names: &'a [String],
}

/// Why there are no variables, or not in this form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum EnvError {
    #[error("Error from server (NotFound): services \"{0}\" not found")]
    NotFound(String),
    #[error("error: service \"{0}\" has no cluster IP (headless, or of type ExternalName), so it makes no variables")]
    NoAddress(String),
    #[error("error: service \"{service}\": {name} cannot be the name of a variable")]
    Name { service: String, name: String },
    #[error(
        "error: service \"{service}\": {reader} can set no variable named {name}: \
         take --format docker or json, or name the Services wanted"
    )]
    NameIn { service: String, name: String, reader: &'static str },
    #[error("error: service \"{service}\": the value of {name} has {what}, which {reader} cannot read")]
    ValueIn { service: String, name: String, what: &'static str, reader: &'static str },
    #[error(
        "error: the variables of {services} Services have {bytes} bytes, {ENVIRONMENT_BYTES_MAX} are allowed \
         (service \"{service}\" has the most, {most}): name the Services wanted, or use several namespaces"
    )]
    TooLarge { services: usize, bytes: usize, service: String, most: usize },
}

/// The variables wanted: Services by name, those of one Service in the kubelet's
/// order. Of two Services that make the same name the first by name wins, so that
/// the answer does not depend on chance.
pub fn variables(services: &BTreeMap<ObjectKey, Service>, wanted: &Wanted<'_>) -> Result<Vec<Variable>, EnvError> {
    let mut made = Vec::new();
    let mut taken = BTreeSet::new();
    let named = |name: &str| wanted.names.is_empty() || wanted.names.iter().any(|one| one == name);
    for (name, (ip, service)) in visible(services, wanted).into_iter().filter(|(name, _)| named(name)) {
        made.extend(of_service(name, ip, service).into_iter().filter(|variable| taken.insert(variable.name.clone())));
    }
    // The API gives no other names; a server behind a kubeconfig is somebody else's.
    let sound = |name: &str| name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    if let Some(wrong) = made.iter().find(|variable| !sound(&variable.name)) {
        return Err(EnvError::Name { service: wrong.service.clone(), name: format!("{:?}", wrong.name) });
    }
    within_limit(&made)?;
    Ok(made)
}

/// What is wrong with each Service asked for by name that makes no variables.
pub fn unmet(services: &BTreeMap<ObjectKey, Service>, wanted: &Wanted<'_>) -> Vec<EnvError> {
    let visible = visible(services, wanted);
    let missing = wanted.names.iter().filter(|name| !visible.contains_key(name.as_str()));
    let fault = |name: &String| {
        let known = services.contains_key(&ObjectKey::new(wanted.namespace, name));
        if known { EnvError::NoAddress(name.clone()) } else { EnvError::NotFound(name.clone()) }
    };
    missing.map(fault).collect()
}

/// The Services a program of the namespace sees, with their first address. A
/// `kubernetes` of its own stands in for the one of `default`.
fn visible<'a>(
    services: &'a BTreeMap<ObjectKey, Service>,
    wanted: &Wanted<'_>,
) -> BTreeMap<&'a str, (IpAddr, &'a Service)> {
    let own = services.iter().filter(|(key, _)| wanted.links && &*key.namespace == wanted.namespace);
    let api = services.get_key_value(&ObjectKey::new(API_SERVICE.0, API_SERVICE.1));
    let with_address = |(key, service): (&'a ObjectKey, &'a Service)| match service.spec.cluster_ips.first() {
        Some(ClusterIp::Addr(ip)) => Some((&*key.name, (*ip, service))),
        Some(ClusterIp::Headless) | None => None,
    };
    api.into_iter().chain(own).filter_map(with_address).collect()
}

/// The 3 + m + 4n variables of a Service with n ports of which m are named.
fn of_service(service: &str, ip: IpAddr, content: &Service) -> Vec<Variable> {
    let Some(first) = content.spec.ports.first() else { return Vec::new() };
    let prefix = word(service);
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    let mut made = Vec::new();
    let mut add = |suffix: &str, value: String| {
        made.push(Variable { name: format!("{prefix}_{suffix}"), value, service: service.to_owned() });
    };
    add("SERVICE_HOST", ip.to_string());
    add("SERVICE_PORT", first.port.to_string());
    for port in content.spec.ports.iter().filter(|port| !port.name.is_empty()) {
        add(&format!("SERVICE_PORT_{}", word(&port.name)), port.port.to_string());
    }
    add("PORT", format!("{}://{host}:{}", first.protocol.lower(), first.port));
    for port in &content.spec.ports {
        let group = format!("PORT_{}_{}", port.port, port.protocol);
        add(&group, format!("{}://{host}:{}", port.protocol.lower(), port.port));
        add(&format!("{group}_PROTO"), port.protocol.lower().to_owned());
        add(&format!("{group}_PORT"), port.port.to_string());
        add(&format!("{group}_ADDR"), ip.to_string());
    }
    made
}

/// A name as part of a variable's name. Nothing but this is changed: `1abc`
/// becomes `1ABC`, which no shell can set.
fn word(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

fn within_limit(variables: &[Variable]) -> Result<(), EnvError> {
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for variable in variables {
        *of.entry(&variable.service).or_default() += variable.name.len() + variable.value.len() + 2;
    }
    let bytes: usize = of.values().sum();
    match of.iter().max_by_key(|(_, bytes)| **bytes) {
        Some((service, most)) if bytes > ENVIRONMENT_BYTES_MAX => {
            Err(EnvError::TooLarge { services: of.len(), bytes, service: (*service).to_owned(), most: *most })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
