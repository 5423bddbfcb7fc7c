//! Services: the order of spec/service.md section 1. A fault of the family or
//! allocation steps is answered alone; the faults of validation come together.

mod allocation;
mod defaults;
mod families;
mod update;
mod validation;
mod warnings;

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::read::{int, present, set, text, texts, unset};
use super::{Prepared, Rejection, Scene, metadata, settle};
use crate::model::{Claim, Kind, ObjectKey, Service};

pub(super) use defaults::default;
pub(super) use validation::target_port;

/// Deprecated in favour of `service.kubernetes.io/topology-mode`.
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// Completes and checks a new Service.
pub(super) fn create(scene: &Scene<'_>, value: &mut Value) -> Result<Prepared, Rejection> {
    set(value, "status", json!({"loadBalancer": {}}));
    default(value);
    if present(value, "/spec/clusterIP") && !present(value, "/spec/clusterIPs") {
        let first = text(value, "/spec/clusterIP").to_owned();
        set_spec(value, "clusterIPs", json!([first]));
    }
    families::settle(scene, None, value).map_err(Rejection::Invalid)?;
    allocation::cluster_ips(scene, None, value)?;
    allocation::ports(scene, None, value)?;
    let mut causes = metadata::validate(Kind::Service, value);
    causes.extend(validation::validate(value, None));
    tidy(value);
    settle(causes, prepared(scene, value, warnings::spec(scene, value)))
}

/// Completes and checks the successor of a Service.
pub(super) fn update(
    scene: &Scene<'_>,
    old: &Value,
    new: &mut Value,
    subresource: Option<&str>,
) -> Result<Prepared, Rejection> {
    default(new);
    let mut causes = metadata::validate_update(old, new);
    if subresource.is_some() {
        causes.extend(metadata::validate_kind_update(old, new));
        causes.extend(validation::status(new, old));
        return settle(causes, prepared(scene, new, warnings::status(new)));
    }
    let status = old.get("status").cloned().unwrap_or_else(|| json!({"loadBalancer": {}}));
    set(new, "status", status);
    update::carry(old, new);
    families::settle(scene, Some(old), new).map_err(Rejection::Invalid)?;
    allocation::cluster_ips(scene, Some(old), new)?;
    allocation::ports(scene, Some(old), new)?;
    update::wipe(old, new);
    causes.extend(metadata::validate_kind_update(old, new));
    causes.extend(update::immutable(old, new));
    causes.extend(validation::validate(new, Some(old)));
    tidy(new);
    settle(causes, prepared(scene, new, warnings::spec(scene, new)))
}

/// The cluster IPs and node ports a Service holds, by the model's rule, which the
/// audit of the store follows too. One that cannot be read holds nothing: it is
/// refused before anything is stored.
pub(super) fn held_claims(value: &Value) -> Vec<Claim> {
    Service::deserialize(value).map(|service| service.claims()).unwrap_or_default()
}

fn prepared(scene: &Scene<'_>, value: &Value, warnings: Vec<String>) -> Prepared {
    let claims = if scene.dry_run { Vec::new() } else { held_claims(value) };
    Prepared { claims, warnings }
}

/// Members that mean nothing when empty are not stored.
fn tidy(value: &mut Value) {
    let Some(spec) = value.get_mut("spec") else { return };
    for port in super::read::list_mut(spec, "/ports").filter(|port| int(port, "/nodePort") == 0) {
        unset(port, "nodePort");
    }
    for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy", "selector"] {
        if !present(spec, &format!("/{member}")) {
            unset(spec, member);
        }
    }
    if int(spec, "/healthCheckNodePort") == 0 {
        unset(spec, "healthCheckNodePort");
    }
}

fn key(value: &Value) -> ObjectKey {
    ObjectKey::new(text(value, "/metadata/namespace"), text(value, "/metadata/name"))
}

fn set_spec(value: &mut Value, member: &str, content: Value) {
    if let Some(spec) = super::read::within(value, "spec") {
        set(spec, member, content);
    }
}

fn unset_spec(value: &mut Value, member: &str) {
    if let Some(spec) = value.get_mut("spec") {
        unset(spec, member);
    }
}

fn kind_of(value: &Value) -> &str {
    text(value, "/spec/type")
}

fn is_external_name(value: &Value) -> bool {
    kind_of(value) == "ExternalName"
}

fn is_headless(value: &Value) -> bool {
    !is_external_name(value) && texts(value, "/spec/clusterIPs").first().is_some_and(|ip| ip == "None")
}

/// NodePort or LoadBalancer.
fn has_node_ports(value: &Value) -> bool {
    matches!(kind_of(value), "NodePort" | "LoadBalancer")
}

/// Reachable from outside, so that externalTrafficPolicy means something.
fn is_external(value: &Value) -> bool {
    has_node_ports(value) || (kind_of(value) == "ClusterIP" && present(value, "/spec/externalIPs"))
}

fn needs_health_check(value: &Value) -> bool {
    kind_of(value) == "LoadBalancer" && text(value, "/spec/externalTrafficPolicy") == "Local"
}
