//! Static defaults of a Service (spec/service.md section 2).

use serde_json::{Value, json};

use super::super::read::{given, list_mut, present, set, set_default, text, unset, within};
use super::{is_external, is_external_name};

/// Seconds a client stays with its endpoint unless told otherwise: three hours.
const AFFINITY_SECONDS: i64 = 10_800;

/// Fills what follows from the object alone.
pub(in super::super) fn default(value: &mut Value) {
    let Some(spec) = within(value, "spec") else { return };
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    let timeless = spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds").is_none_or(Value::is_null);
    match text(spec, "/sessionAffinity") {
        "None" => unset(spec, "sessionAffinityConfig"),
        "ClientIP" if timeless => {
            set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}));
        }
        _ => {}
    }
    for port in list_mut(spec, "/ports") {
        set_default(port, "protocol", "TCP");
        let absent = matches!(port.get("targetPort"), None | Some(Value::Null))
            || port.get("targetPort") == Some(&json!(0))
            || port.get("targetPort") == Some(&json!(""));
        if absent {
            let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
            set(port, "targetPort", number);
        }
    }
    let kind = text(spec, "/type").to_owned();
    let absent = given(spec, "/internalTrafficPolicy").is_none();
    if absent && matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind == "LoadBalancer" {
        // An address of a load balancer is virtual unless said otherwise.
        let ingress = list_mut(value, "/status/loadBalancer/ingress");
        for row in ingress.filter(|row| present(row, "/ip") && given(row, "/ipMode").is_none()) {
            set(row, "ipMode", "VIP");
        }
    }
    if is_external_name(value) {
        super::unset_spec(value, "internalTrafficPolicy");
    }
    if is_external(value) && !present(value, "/spec/externalTrafficPolicy") {
        super::set_spec(value, "externalTrafficPolicy", "Cluster".into());
    }
}
