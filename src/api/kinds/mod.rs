//! Everything that differs from kind to kind: defaults, validation, allocation,
//! field selectors and printer columns. Pure: what is decided here depends on the
//! snapshot, the rules and the moment in [`Scene`] alone. Objects arrive with
//! their JSON types checked and unknown members dropped (the codec's work).

mod address;
mod cluster;
mod config;
mod endpoint_slice;
mod endpoints;
mod event;
mod field;
mod ingress;
mod lease;
mod metadata;
mod pod;
mod read;
mod review;
mod service;
mod service_account;
mod service_cidr;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::model::{Cause, Claim, Kind, Object};
use crate::store::Snapshot;

pub use field::{field, field_supported, has_own_fields};
pub use review::{review_faults, token_request_faults};
pub use table::{Column, row, table};

/// What the configuration says about Services.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The ranges of cluster IPs, the primary family first; at most one a family.
    pub service_ranges: Vec<IpNet>,
    /// The range of node ports.
    pub node_ports: RangeInclusive<u16>,
    /// The addresses of cluster DNS: never given out by chance, and on request
    /// only to Service `kube-system/kube-dns`.
    pub cluster_dns: Vec<IpAddr>,
    /// Where externalIPs are served; elsewhere they are kept and not served.
    pub external_ip_cidrs: Vec<IpNet>,
}

/// What a decision may depend on beside the object.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The state the decision is made against.
    pub snapshot: &'a Snapshot,
    /// What the configuration says.
    pub rules: &'a Rules,
    /// Nothing will be stored: allocations answer with plausible values only.
    pub dry_run: bool,
    /// The present moment.
    pub now: OffsetDateTime,
}

/// An object ready to be stored.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// Every claim the object holds from now on.
    pub claims: Vec<Claim>,
    /// What the client should hear although the request succeeds.
    pub warnings: Vec<String>,
}

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 422 with every fault found.
    Invalid(Vec<Cause>),
    /// 403.
    Forbidden {
        /// Why, without the resource's name.
        message: String,
        /// The faults, if fields are to blame.
        causes: Vec<Cause>,
    },
    /// 400.
    BadRequest(String),
    /// 500: a range is full, for instance.
    Internal(String),
    /// 404.
    NotFound(String),
    /// 409.
    Conflict(String),
}

/// Static defaults, right after decoding.
pub fn default(kind: Kind, value: &mut Value) {
    match kind {
        Kind::Service => service::default(value),
        Kind::Endpoints => endpoints::default(value),
        Kind::EndpointSlice => endpoint_slice::default(value),
        Kind::Pod => pod::default(value),
        Kind::Namespace => cluster::default_namespace(value),
        Kind::Secret => config::default_secret(value),
        Kind::Node => cluster::default_node(value),
        Kind::ServiceAccount => service_account::default(value),
        Kind::IngressClass => ingress::default_class(value),
        _ => {}
    }
}

/// Completes and checks a new object. The caller has set name, uid, creation
/// time and generation.
pub fn create(kind: Kind, scene: &Scene<'_>, value: &mut Value) -> Result<Prepared, Rejection> {
    match kind {
        Kind::Service => return service::create(scene, value),
        Kind::EndpointSlice => endpoint_slice::begin(value, None),
        Kind::Pod => pod::begin(value),
        Kind::Namespace => cluster::begin_namespace(value),
        Kind::Node => cluster::begin_node(value),
        Kind::Lease => lease::begin(value),
        Kind::Ingress => ingress::begin(value),
        Kind::ServiceCidr => read::set(value, "status", json!({})),
        _ => {}
    }
    let causes = if kind.stored() == Kind::Event {
        create_event(kind, value)
    } else {
        let mut causes = metadata::validate(kind, value);
        causes.extend(validate(kind, value, None));
        causes
    };
    let mut warnings = warnings(kind, value, None);
    if kind == Kind::EndpointSlice {
        warnings.extend(endpoint_slice::warnings(value));
    }
    settle(causes, Prepared { claims: held_claims(kind, value), warnings })
}

/// Through the core group, the real server looks at an event's metadata only when
/// the rest is good.
fn create_event(kind: Kind, value: &Value) -> Vec<Cause> {
    let core = viewed(Kind::Event, value.clone());
    let mut causes = event::validate(kind, &core);
    if kind == Kind::EventsEvent {
        causes.extend(metadata::validate(kind, value));
        causes.extend(event::validate_newer(&core));
    } else if causes.is_empty() {
        causes = metadata::validate(kind, value);
    }
    causes
}

/// The content of an object in the words of `kind`, which shows or stores it
/// ([`Kind::stored`]).
pub fn viewed(kind: Kind, value: Value) -> Value {
    if kind.stored() == Kind::Event { event::converted(kind, value) } else { value }
}

/// The path a field selector's field has in the stored object.
pub fn stored_path(kind: Kind, path: &str) -> String {
    let core = if kind == Kind::EventsEvent { event::core_path(path) } else { None };
    core.unwrap_or_else(|| path.to_owned())
}

/// Completes and checks the successor of a stored object. A subresource writes
/// its own part only; the caller has kept the rest as it was.
pub fn update(
    kind: Kind,
    scene: &Scene<'_>,
    old: &Value,
    new: &mut Value,
    subresource: Option<&str>,
) -> Result<Prepared, Rejection> {
    if kind == Kind::Service {
        return service::update(scene, old, new, subresource);
    }
    match kind {
        Kind::EndpointSlice => endpoint_slice::begin(new, Some(old)),
        Kind::Pod if subresource.is_some() => pod::keep(old, new),
        Kind::ServiceCidr if subresource.is_some() => metadata::keep(old, new),
        Kind::Lease => lease::begin(new),
        _ => {}
    }
    let mut causes = metadata::validate_update(old, new);
    if let Some(subresource) = subresource {
        causes.extend(metadata::validate_kind_update(old, new));
        causes.extend(match kind {
            Kind::Namespace => cluster::validate_namespace_part(new, subresource),
            Kind::Node => cluster::validate_node_change(old, new),
            Kind::Pod => pod::validate_status(old, new),
            Kind::Ingress => ingress::validate_status(old, new),
            _ => Vec::new(),
        });
        let warnings = if kind == Kind::Ingress { ingress::status_warnings(new) } else { Vec::new() };
        return settle(causes, Prepared { claims: Vec::new(), warnings });
    }
    causes.extend(validate_kind_update(kind, old, new));
    settle(causes, Prepared { claims: held_claims(kind, new), warnings: warnings(kind, new, Some(old)) })
}

/// The kind's own rules of an update, in the real server's order.
fn validate_kind_update(kind: Kind, old: &Value, new: &Value) -> Vec<Cause> {
    let whole = || {
        let mut causes = metadata::validate(kind, new);
        causes.extend(validate(kind, new, Some(old)));
        causes
    };
    let meta = || metadata::validate_kind_update(old, new);
    let parts = match kind {
        Kind::Endpoints | Kind::Pod | Kind::ServiceAccount | Kind::Ingress => vec![meta(), whole()],
        Kind::IngressClass => vec![meta(), ingress::validate_class_change(old, new), whole()],
        Kind::IpAddress => vec![whole(), meta(), service_cidr::validate_address_change(old, new)],
        Kind::ServiceCidr => vec![meta(), service_cidr::validate_change(old, new)],
        Kind::ConfigMap | Kind::Secret => vec![meta(), config::validate_change(kind, old, new), whole()],
        Kind::Namespace => vec![whole(), meta()],
        Kind::Node => vec![whole(), meta(), cluster::validate_node_change(old, new)],
        Kind::EndpointSlice => vec![whole()],
        Kind::Lease => vec![metadata::changes(old, new), lease::validate(new)],
        Kind::EventsEvent => {
            let (before, after) = (viewed(Kind::Event, old.clone()), viewed(Kind::Event, new.clone()));
            vec![event::validate(kind, &after), meta(), event::validate_newer_change(&before, &after)]
        }
        _ => vec![validate(kind, new, Some(old))],
    };
    parts.into_iter().flatten().collect()
}

/// The rules of a kind, metadata aside.
fn validate(kind: Kind, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    match kind {
        Kind::Endpoints => endpoints::validate(value, old),
        Kind::EndpointSlice => endpoint_slice::validate(value, old),
        Kind::Pod => pod::validate(value, old),
        Kind::Namespace => cluster::validate_namespace(value),
        Kind::Node => cluster::validate_node(value),
        Kind::ConfigMap => config::validate_config_map(value),
        Kind::Secret => config::validate_secret(value, old),
        Kind::Event => event::validate(kind, value),
        Kind::Lease => lease::validate(value),
        Kind::Ingress => ingress::validate(value, old),
        Kind::IngressClass => ingress::validate_class(value),
        Kind::IpAddress => service_cidr::validate_address(value),
        Kind::ServiceCidr => service_cidr::validate(value),
        // Service goes its own way, with allocation in between.
        Kind::Service | Kind::ServiceAccount | Kind::EventsEvent => Vec::new(),
        // Nobody writes them.
        Kind::ClusterRole | Kind::ClusterRoleBinding | Kind::Role | Kind::RoleBinding => Vec::new(),
    }
}

/// What the client should hear of an object that is accepted.
fn warnings(kind: Kind, value: &Value, old: Option<&Value>) -> Vec<String> {
    match kind {
        Kind::Endpoints => endpoints::warnings(value),
        Kind::Secret => config::warnings(value),
        Kind::ServiceAccount => service_account::warnings(value, old),
        Kind::Ingress if old.is_none() => ingress::warnings(value),
        _ => Vec::new(),
    }
}

/// The claims an object shows.
pub fn held_claims(kind: Kind, value: &Value) -> Vec<Claim> {
    match kind {
        Kind::Service => service::held_claims(value),
        Kind::IpAddress => service_cidr::held_address(value),
        _ => Vec::new(),
    }
}

/// Whether an object may be deleted at all.
pub fn may_delete(kind: Kind, object: &Object) -> Result<(), Rejection> {
    let kept = ["default", "kube-system", "kube-public"];
    if kind == Kind::Namespace && kept.contains(&&*object.key.name) {
        let message = "this namespace may not be deleted".to_owned();
        return Err(Rejection::Forbidden { message, causes: Vec::new() });
    }
    Ok(())
}

fn settle(causes: Vec<Cause>, prepared: Prepared) -> Result<Prepared, Rejection> {
    if causes.is_empty() { Ok(prepared) } else { Err(Rejection::Invalid(causes)) }
}
