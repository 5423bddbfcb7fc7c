//! The page of a Pod.

use serde_json::Value;
use time::OffsetDateTime;

use super::page::{Page, list_at, number_at, text_at};
use super::{container, moment, volume};

pub(super) fn page(page: &mut Page, object: &Value, now: OffsetDateTime) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.row(0, "Namespace", text_at(object, "/metadata/namespace"));
    if object.pointer("/spec/priority").is_some_and(Value::is_number) {
        page.row(0, "Priority", &number_at(object, "/spec/priority").to_string());
    }
    page.optional(0, "Priority Class Name", text_at(object, "/spec/priorityClassName"));
    page.optional(0, "Runtime Class Name", text_at(object, "/spec/runtimeClassName"));
    page.optional(0, "Service Account", text_at(object, "/spec/serviceAccountName"));
    page.row(
        0,
        "Node",
        &match text_at(object, "/spec/nodeName") {
            "" => "<none>".to_owned(),
            node => format!("{node}/{}", text_at(object, "/status/hostIP")),
        },
    );
    if !text_at(object, "/status/startTime").is_empty() {
        page.row(0, "Start Time", &moment::long(text_at(object, "/status/startTime")));
    }
    page.labels_and_annotations(object);
    status(page, object, now);
    page.row(0, "IP", text_at(object, "/status/podIP"));
    let addresses = list_at(object, "/status/podIPs");
    if addresses.is_empty() {
        page.row(0, "IPs", "<none>");
    } else {
        page.line(0, "IPs:");
        addresses.iter().for_each(|address| page.row(1, "IP", text_at(address, "/ip")));
    }
    controller(page, list_at(object, "/metadata/ownerReferences"));
    page.optional(0, "NominatedNodeName", text_at(object, "/status/nominatedNodeName"));
    if !list_at(object, "/spec/initContainers").is_empty() {
        container::all(page, "Init Containers", object, "initContainers", "initContainerStatuses");
    }
    container::all(page, "Containers", object, "containers", "containerStatuses");
    if !list_at(object, "/spec/ephemeralContainers").is_empty() {
        container::all(page, "Ephemeral Containers", object, "ephemeralContainers", "ephemeralContainerStatuses");
    }
    conditions(page, object);
    volume::all(page, list_at(object, "/spec/volumes"));
    page.row(0, "QoS Class", text_at(object, "/status/qosClass"));
    page.pairs("Node-Selectors", object.pointer("/spec/nodeSelector"));
    let tolerations: Vec<String> = list_at(object, "/spec/tolerations").iter().map(toleration).collect();
    page.many("Tolerations", &tolerations);
}

fn status(page: &mut Page, object: &Value, now: OffsetDateTime) {
    let phase = text_at(object, "/status/phase");
    let deleted = text_at(object, "/metadata/deletionTimestamp");
    if !deleted.is_empty() && !matches!(phase, "Failed" | "Succeeded") {
        page.row(0, "Status", &format!("Terminating (lasts {})", moment::age(deleted, now)));
        let grace = number_at(object, "/metadata/deletionGracePeriodSeconds");
        page.row(0, "Termination Grace Period", &format!("{grace}s"));
    } else {
        page.row(0, "Status", phase);
    }
    page.optional(0, "Reason", text_at(object, "/status/reason"));
    page.optional(0, "Message", text_at(object, "/status/message"));
    let seccomp = text_at(object, "/spec/securityContext/seccompProfile/type");
    page.optional(0, "SeccompProfile", seccomp);
    if seccomp == "Localhost" {
        let profile = text_at(object, "/spec/securityContext/seccompProfile/localhostProfile");
        page.row(0, "LocalhostProfile", profile);
    }
}

fn controller(page: &mut Page, owners: &[Value]) {
    let controller = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true));
    if let Some(owner) = controller {
        page.row(0, "Controlled By", &format!("{}/{}", text_at(owner, "/kind"), text_at(owner, "/name")));
    }
}

fn conditions(page: &mut Page, object: &Value) {
    let conditions = list_at(object, "/status/conditions");
    let gates = list_at(object, "/spec/readinessGates");
    if !gates.is_empty() {
        page.line(0, "Readiness Gates:");
        page.line(1, "Type\tStatus");
    }
    for gate in gates {
        let kind = text_at(gate, "/conditionType");
        let found = conditions.iter().find(|condition| text_at(condition, "/type") == kind);
        page.line(1, &format!("{kind} \t{} ", found.map_or("<none>", |condition| text_at(condition, "/status"))));
    }
    if !conditions.is_empty() {
        page.line(0, "Conditions:");
        page.line(1, "Type\tStatus");
    }
    for condition in conditions {
        page.line(1, &format!("{} \t{} ", text_at(condition, "/type"), text_at(condition, "/status")));
    }
}

fn toleration(toleration: &Value) -> String {
    let text = |path: &str| text_at(toleration, path);
    let mut words = text("/key").to_owned();
    for (mark, part) in [("=", text("/value")), (":", text("/effect"))] {
        if !part.is_empty() {
            words.push_str(&format!("{mark}{part}"));
        }
    }
    if text("/operator") == "Exists" && text("/value").is_empty() {
        words.push_str(if words.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if toleration.get("tolerationSeconds").is_some_and(Value::is_number) {
        words.push_str(&format!(" for {}s", number_at(toleration, "/tolerationSeconds")));
    }
    words
}
