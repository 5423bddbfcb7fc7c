//! `v1` Pod: where endpoints come from. Checked as far as edgesvc reads it, and
//! defaulted as far as the real server's answer to a simple manifest shows.

mod validation;

use serde_json::{Value, json};

use super::read::{int, list, list_mut, pairs, present, set, set_default, text, unset, within};

pub(super) use validation::{validate, validate_status};

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
/// Files of volumes are readable by all, 0644.
const FILE_MODE: i64 = 420;
const TOKEN_SECONDS: i64 = 3600;

/// Static defaults.
pub(super) fn default(value: &mut Value) {
    default_addresses(value);
    let Some(spec) = within(value, "spec") else { return };
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "enableServiceLinks", true);
    within(spec, "securityContext");
    if spec.get("terminationGracePeriodSeconds").is_none_or(Value::is_null) {
        set(spec, "terminationGracePeriodSeconds", 30);
    }
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for member in ["/containers", "/initContainers"] {
        for container in list_mut(spec, member) {
            default_container(container);
            for port in list_mut(container, "/ports").filter(|port| on_host && int(port, "/hostPort") == 0) {
                set(port, "hostPort", int(port, "/containerPort"));
            }
        }
    }
    list_mut(spec, "/volumes").for_each(default_volume);
}

/// The first address and the list of all say the same; of two the single one counts.
fn default_addresses(value: &mut Value) {
    let Some(status) = value.get_mut("status") else { return };
    for (single, plural) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let own = text(status, &format!("/{single}")).to_owned();
        let first = text(status, &format!("/{plural}/0/ip")).to_owned();
        if own.is_empty() && !first.is_empty() {
            set(status, single, first);
        } else if !own.is_empty() && own != first {
            set(status, plural, json!([{"ip": own}]));
        }
    }
}

fn default_container(container: &mut Value) {
    let image = text(container, "/image");
    let last = image.rsplit('/').next().unwrap_or_default();
    let fresh = !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    set_default(container, "imagePullPolicy", if fresh { "Always" } else { "IfNotPresent" });
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    if let Some(resources) = within(container, "resources") {
        default_requests(resources);
    }
    for port in list_mut(container, "/ports") {
        set_default(port, "protocol", "TCP");
    }
    for variable in list_mut(container, "/env") {
        default_field_ref(variable.pointer_mut("/valueFrom/fieldRef"));
    }
    for member in PROBES {
        if let Some(probe) = container.get_mut(member).filter(|probe| probe.is_object()) {
            default_probe(probe);
        }
    }
    for hook in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        default_http_get(container.pointer_mut(hook));
    }
}

/// Who limits a resource asks for as much unless told otherwise.
fn default_requests(resources: &mut Value) {
    let limits: Vec<(String, Value)> =
        pairs(resources, "/limits").map(|(name, amount)| (name.clone(), amount.clone())).collect();
    let Some(requests) = within(resources, "requests").filter(|_| !limits.is_empty()) else {
        if !present(resources, "/requests") {
            unset(resources, "requests");
        }
        return;
    };
    for (name, amount) in limits {
        if requests.get(&name).is_none() {
            set(requests, &name, amount);
        }
    }
}

fn default_probe(probe: &mut Value) {
    for (field, content) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if int(probe, &format!("/{field}")) == 0 {
            set(probe, field, content);
        }
    }
    default_http_get(probe.get_mut("httpGet"));
    if let Some(grpc) = probe.get_mut("grpc").filter(|grpc| grpc.is_object()) {
        set_default(grpc, "service", "");
    }
}

fn default_http_get(get: Option<&mut Value>) {
    if let Some(get) = get.filter(|get| get.is_object()) {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}

fn default_field_ref(field: Option<&mut Value>) {
    if let Some(field) = field.filter(|field| field.is_object()) {
        set_default(field, "apiVersion", "v1");
    }
}

fn default_volume(volume: &mut Value) {
    for member in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(member).filter(|source| source.is_object()) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = volume.get_mut("hostPath").filter(|path| path.is_object()) {
        set_default(path, "type", "");
    }
    for item in list_mut(volume, "/downwardAPI/items") {
        default_field_ref(item.get_mut("fieldRef"));
    }
    for source in list_mut(volume, "/projected/sources") {
        if let Some(token) = source.get_mut("serviceAccountToken").filter(|token| token.is_object()) {
            set_default(token, "expirationSeconds", TOKEN_SECONDS);
        }
        for item in list_mut(source, "/downwardAPI/items") {
            default_field_ref(item.get_mut("fieldRef"));
        }
    }
}

/// The status of a new Pod.
pub(super) fn begin(value: &mut Value) {
    let class = quality(value);
    set(value, "status", json!({"phase": "Pending", "qosClass": class}));
}

/// What a write to the status leaves as it is: the owners, and the class if the
/// writer does not know it.
pub(super) fn keep(old: &Value, new: &mut Value) {
    if let Some(metadata) = within(new, "metadata") {
        match old.pointer("/metadata/ownerReferences") {
            Some(owners) => set(metadata, "ownerReferences", owners.clone()),
            None => unset(metadata, "ownerReferences"),
        }
    }
    if let (Some(class), Some(status)) = (old.pointer("/status/qosClass"), within(new, "status")) {
        set_default(status, "qosClass", class.clone());
    }
}

fn quality(value: &Value) -> &'static str {
    let containers = || list(value, "/spec/containers").iter().chain(list(value, "/spec/initContainers"));
    let asks = |c: &Value| present(c, "/resources/limits") || present(c, "/resources/requests");
    let full = |c: &Value| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = c.pointer(&format!("/resources/limits/{resource}"));
            let request = c.pointer(&format!("/resources/requests/{resource}"));
            limit.is_some() && (request.is_none() || request == limit)
        })
    };
    match () {
        () if !containers().any(asks) => "BestEffort",
        () if containers().all(full) => "Guaranteed",
        () => "Burstable",
    }
}
