//! The page of a Node: this box.

use serde_json::Value;
use time::OffsetDateTime;

use super::Related;
use super::moment;
use super::page::{Page, joined, list_at, members, or_none, text_at};
use super::quantity::Quantity;

/// Lines of `System Info`, with the members they show.
const SYSTEM_INFO: [(&str, &str); 10] = [
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
    ("Kube-Proxy Version", "kubeProxyVersion"),
];

pub(super) fn page(page: &mut Page, object: &Value, related: &Related) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    let labels = members(object.pointer("/metadata/labels"));
    let roles: Vec<&str> = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    page.row(0, "Roles", or_none(&roles.join(",")));
    page.labels_and_annotations(object);
    page.row(0, "CreationTimestamp", &moment::long(text_at(object, "/metadata/creationTimestamp")));
    page.many("Taints", &taints(list_at(object, "/spec/taints")));
    let closed = object.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or_default();
    page.row(0, "Unschedulable", &closed.to_string());
    lease(page, &related.lease);
    conditions(page, list_at(object, "/status/conditions"));
    page.line(0, "Addresses:");
    for address in list_at(object, "/status/addresses") {
        page.row(1, text_at(address, "/type"), text_at(address, "/address"));
    }
    for (title, path) in [("Capacity:", "/status/capacity"), ("Allocatable:", "/status/allocatable")] {
        let Some(amounts) = object.pointer(path).filter(|map| map.as_object().is_some_and(|map| !map.is_empty()))
        else {
            continue;
        };
        page.line(0, title);
        members(Some(amounts)).for_each(|(name, amount)| page.row(1, name, amount));
    }
    page.line(0, "System Info:");
    for (label, member) in SYSTEM_INFO {
        page.row(1, label, text_at(object, &format!("/status/nodeInfo/{member}")));
    }
    page.optional(0, "PodCIDR", text_at(object, "/spec/podCIDR"));
    let ranges = list_at(object, "/spec/podCIDRs");
    if !ranges.is_empty() {
        page.row(0, "PodCIDRs", &joined(ranges, ","));
    }
    page.optional(0, "ProviderID", text_at(object, "/spec/providerID"));
    pods(page, object, &related.pods, related.now);
}

fn taints(taints: &[Value]) -> Vec<String> {
    let mut words: Vec<String> = taints
        .iter()
        .map(|taint| {
            let (key, value, effect) = (text_at(taint, "/key"), text_at(taint, "/value"), text_at(taint, "/effect"));
            if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
        })
        .collect();
    words.sort();
    words
}

fn lease(page: &mut Page, lease: &Result<Value, String>) {
    let lease = match lease {
        Ok(lease) => lease,
        Err(reason) => return page.row(0, "Lease", &format!("Failed to get lease: {reason}")),
    };
    let moment_at = |path: &str| match text_at(lease, path) {
        "" => "<unset>".to_owned(),
        text => moment::long(text),
    };
    page.line(0, "Lease:");
    page.row(1, "HolderIdentity", super::page::or_unset(text_at(lease, "/spec/holderIdentity")));
    page.row(1, "AcquireTime", &moment_at("/spec/acquireTime"));
    page.row(1, "RenewTime", &moment_at("/spec/renewTime"));
}

fn conditions(page: &mut Page, conditions: &[Value]) {
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let text = |path: &str| text_at(condition, path);
        let (beat, since) = (moment::long(text("/lastHeartbeatTime")), moment::long(text("/lastTransitionTime")));
        let (kind, status) = (text("/type"), text("/status"));
        page.line(1, &format!("{kind} \t{status} \t{beat} \t{since} \t{} \t{}", text("/reason"), text("/message")));
    }
}

/// Requests and limits of some resource.
#[derive(Clone, Copy, Default)]
struct Asked {
    requests: Quantity,
    limits: Quantity,
}

fn asked(pod: &Value, resource: &str) -> Asked {
    let mut asked = Asked::default();
    for container in list_at(pod, "/spec/containers") {
        let amount = |what: &str| {
            let amounts = container.pointer(&format!("/resources/{what}"));
            Quantity::parse(amounts.map_or("0", |amounts| text_at(amounts, &format!("/{resource}"))))
        };
        asked.requests.add(amount("requests"));
        asked.limits.add(amount("limits"));
    }
    asked
}

fn pods(page: &mut Page, node: &Value, pods: &[Value], now: OffsetDateTime) {
    page.row(0, "Non-terminated Pods", &format!("({} in total)", pods.len()));
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let whole = |resource: &str| {
        let text = node.pointer(&format!("/status/allocatable/{resource}")).and_then(Value::as_str);
        Quantity::parse(text.unwrap_or("0"))
    };
    let share = |amount: Quantity, resource: &str| format!("{amount} ({}%)", amount.percent_of(whole(resource)));
    let resources = ["cpu", "memory", "ephemeral-storage"];
    let mut totals = [Asked::default(); 3];
    for pod in pods {
        let mut line = format!("{}\t{}\t", text_at(pod, "/metadata/namespace"), text_at(pod, "/metadata/name"));
        for (resource, total) in resources.into_iter().zip(&mut totals) {
            let Asked { requests, limits } = asked(pod, resource);
            total.requests.add(requests);
            total.limits.add(limits);
            if resource != "ephemeral-storage" {
                line.push_str(&format!("\t{}\t{}", share(requests, resource), share(limits, resource)));
            }
        }
        page.line(1, &format!("{line}\t{}", moment::age(text_at(pod, "/metadata/creationTimestamp"), now)));
    }
    page.line(0, "Allocated resources:");
    page.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line(1, "Resource\tRequests\tLimits");
    page.line(1, "--------\t--------\t------");
    for (resource, total) in resources.into_iter().zip(totals) {
        page.line(1, &format!("{resource}\t{}\t{}", share(total.requests, resource), share(total.limits, resource)));
    }
}
