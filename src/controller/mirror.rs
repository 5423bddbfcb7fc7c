//! Endpoints a user wrote, mirrored into slices (spec/endpoints.md section 5).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Scene;
use super::draft::{self, set};
use super::endpoints::LEADER;
use super::slices::{Desired, MANAGED_BY, apply, managed};
use super::trigger::TRIGGER;
use crate::model::endpoints::SERVICE_NAME_LABEL;
use crate::model::object::ParseError;
use crate::model::{IpFamily, Kind, Object, ObjectKey, name};
use crate::store::Op;

const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Most addresses mirrored from one subset.
const ADDRESSES_MAX: usize = 1000;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let existing = managed(scene.snapshot, key, CONTROLLER);
    let service = scene.snapshot.get(Kind::Service, key).and_then(|object| object.as_service());
    let wanted = service.is_some_and(|service| service.spec.selector.is_empty());
    let Some(object) = scene.snapshot.get(Kind::Endpoints, key).filter(|e| wanted && is_mirrored(e)) else {
        return Ok(existing.iter().map(|slice| draft::delete(slice)).collect());
    };
    let mut labels = object.meta.labels.to_map();
    labels.insert(SERVICE_NAME_LABEL.into(), key.name.to_string());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    let mut annotations = object.meta.annotations.to_map();
    annotations.remove(TRIGGER);
    let trigger = object.meta.annotations.get(TRIGGER).map(str::to_owned);
    let sets = BTreeMap::new();
    let mut desired = Desired { owner: object, labels, annotations, sets, max: ADDRESSES_MAX, trigger };
    for subset in object.value().get("subsets").and_then(Value::as_array).into_iter().flatten() {
        let ports = ports(subset.get("ports"));
        let addresses = ["addresses", "notReadyAddresses"].into_iter().flat_map(|member| {
            let list = subset.get(member).and_then(Value::as_array).into_iter().flatten();
            list.map(move |address| (address, member == "addresses"))
        });
        for (address, ready) in addresses.take(ADDRESSES_MAX) {
            // The API has validated addresses; what still does not parse is left out.
            let ip = address.get("ip").and_then(Value::as_str).unwrap_or_default();
            if let Some(addr) = name::strict_ip(ip) {
                desired.set(IpFamily::of(addr), ports.clone()).push(endpoint(address, &addr.to_string(), ready));
            }
        }
    }
    apply(scene, &desired, &existing)
}

fn is_mirrored(endpoints: &Object) -> bool {
    endpoints.meta.labels.get(SKIP).is_none_or(|skip| skip != "true")
        && !endpoints.meta.annotations.contains_key(LEADER)
}

/// The ports of a subset as a slice has them: with a name, even an empty one.
fn ports(subset: Option<&Value>) -> Value {
    let mut ports = subset.and_then(Value::as_array).cloned().unwrap_or_default();
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        port.entry("name").or_insert_with(|| Value::from(""));
    }
    ports.sort_by_key(Value::to_string);
    if ports.is_empty() { Value::Null } else { Value::from(ports) }
}

fn endpoint(address: &Value, ip: &str, ready: bool) -> Value {
    let mut value = json!({"addresses": [ip], "conditions": {"ready": ready}});
    for member in ["hostname", "nodeName", "targetRef"] {
        set(&mut value, member, address.get(member).cloned().unwrap_or_default());
    }
    value
}
