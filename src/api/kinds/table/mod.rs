//! Printer columns (spec/api.md section 9): what `kubectl get` shows.

mod networking;
mod pod;
mod rbac;

use std::collections::BTreeSet;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::read::{given, int, list, pairs, present, text, texts};
use crate::model::{Kind, Object};

/// One column of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// What the cells are called; `string` even where they are numbers, as in Kubernetes.
    pub r#type: &'static str,
    /// `name` for the first column, otherwise empty.
    pub format: &'static str,
    /// What the cells say.
    pub description: &'static str,
    /// Above 0: shown with `-o wide` only.
    pub priority: i32,
}

const fn column(name: &'static str, priority: i32, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", description, priority }
}

const NAME: Column =
    Column { name: "Name", r#type: "string", format: "name", description: "Name of the object.", priority: 0 };
const AGE: Column = column("Age", 0, "Time since the object was created.");
const DATA: Column = column("Data", 0, "Number of entries.");

static SERVICE: [Column; 7] = [
    NAME,
    column("Type", 0, "How the Service is exposed."),
    column("Cluster-IP", 0, "The virtual address."),
    column("External-IP", 0, "Addresses reachable from outside."),
    column("Port(s)", 0, "Ports, with node ports."),
    AGE,
    column("Selector", 1, "Labels of the Pods behind it."),
];
static ENDPOINTS: [Column; 3] = [NAME, column("Endpoints", 0, "Ready addresses with their ports."), AGE];
static SLICE: [Column; 5] = [
    NAME,
    column("AddressType", 0, "What the addresses are."),
    column("Ports", 0, "Port numbers."),
    column("Endpoints", 0, "Addresses."),
    AGE,
];
static POD: [Column; 9] = [
    NAME,
    column("Ready", 0, "Ready containers of all containers."),
    column("Status", 0, "The phase, or why it is not running."),
    column("Restarts", 0, "Restarts of its containers."),
    AGE,
    column("IP", 1, "The Pod's address."),
    column("Node", 1, "Where it runs."),
    column("Nominated Node", 1, "Where it is to run."),
    column("Readiness Gates", 1, "Passed readiness gates of all."),
];
static NAMESPACE: [Column; 3] = [NAME, column("Status", 0, "The phase."), AGE];
static NODE: [Column; 10] = [
    NAME,
    column("Status", 0, "Whether the node is ready."),
    column("Roles", 0, "The node's roles."),
    AGE,
    column("Version", 0, "The agent's version."),
    column("Internal-IP", 1, "The node's address inside."),
    column("External-IP", 1, "The node's address outside."),
    column("OS-Image", 1, "The operating system."),
    column("Kernel-Version", 1, "The kernel and architecture."),
    column("Container-Runtime", 1, "What runs containers."),
];
static CONFIG_MAP: [Column; 3] = [NAME, DATA, AGE];
static SECRET: [Column; 4] = [NAME, column("Type", 0, "The Secret's type."), DATA, AGE];
static SERVICE_ACCOUNT: [Column; 2] = [NAME, AGE];
static LEASE: [Column; 3] = [NAME, column("Holder", 0, "Who holds it."), AGE];
static EVENT: [Column; 10] = [
    column("Last Seen", 0, "Time since it was last seen."),
    column("Type", 0, "Normal or Warning."),
    column("Reason", 0, "Why, in one word."),
    column("Object", 0, "What it is about."),
    column("Subobject", 1, "The part it is about."),
    column("Source", 1, "Who reports it."),
    column("Message", 0, "What happened."),
    column("First Seen", 1, "Time since it was first seen."),
    column("Count", 1, "How often."),
    Column { name: "Name", r#type: "string", format: "name", description: "Name of the object.", priority: 1 },
];

/// The columns of a kind.
pub fn table(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Service => &SERVICE,
        Kind::Endpoints => &ENDPOINTS,
        Kind::EndpointSlice => &SLICE,
        Kind::Pod => &POD,
        Kind::Namespace => &NAMESPACE,
        Kind::Node => &NODE,
        Kind::ConfigMap => &CONFIG_MAP,
        Kind::Secret => &SECRET,
        Kind::Event | Kind::EventsEvent => &EVENT,
        Kind::Lease => &LEASE,
        Kind::IpAddress => &networking::IP_ADDRESS,
        Kind::ServiceCidr => &networking::SERVICE_CIDR,
        Kind::Ingress => &networking::INGRESS,
        Kind::IngressClass => &networking::INGRESS_CLASS,
        Kind::ClusterRole => &rbac::CLUSTER_ROLE,
        Kind::Role => &rbac::ROLE,
        Kind::ClusterRoleBinding | Kind::RoleBinding => &rbac::BINDING,
        Kind::ServiceAccount => &SERVICE_ACCOUNT,
    }
}

/// The cells of an object, one for each column of its kind.
pub fn row(kind: Kind, object: &Object, now: OffsetDateTime) -> Vec<Value> {
    let value = object.value();
    let name = || Value::from(&*object.key.name);
    let age = || Value::from(age(&object.meta.created, now));
    match kind {
        Kind::Service => {
            let ip = or(text(&value, "/spec/clusterIP"), "<none>");
            let selector: Vec<String> = pairs(&value, "/spec/selector")
                .map(|(key, content)| format!("{key}={}", content.as_str().unwrap_or_default()))
                .collect();
            let outside = external(&value);
            vec![
                name(),
                text(&value, "/spec/type").into(),
                ip,
                outside,
                service_ports(&value),
                age(),
                or(&selector.join(","), "<none>"),
            ]
        }
        Kind::Endpoints => vec![name(), endpoint_pairs(&value), age()],
        Kind::EndpointSlice => {
            let ports = list(&value, "/ports").iter().map(|port| match port.get("port").and_then(Value::as_i64) {
                Some(number) => number.to_string(),
                None => given(port, "/name").unwrap_or("*").to_owned(),
            });
            let addrs = list(&value, "/endpoints").iter().flat_map(|endpoint| texts(endpoint, "/addresses"));
            let (ports, addrs) = (few(ports.collect()), few(addrs.collect()));
            vec![name(), text(&value, "/addressType").into(), or(&ports, "<unset>"), or(&addrs, "<unset>"), age()]
        }
        Kind::Pod => pod::row(&value, object, now),
        Kind::Namespace => vec![name(), text(&value, "/status/phase").into(), age()],
        Kind::Node => node(&value, object, &age()),
        Kind::ConfigMap => {
            let count = pairs(&value, "/data").count() + pairs(&value, "/binaryData").count();
            vec![name(), count.into(), age()]
        }
        Kind::Secret => vec![name(), text(&value, "/type").into(), pairs(&value, "/data").count().into(), age()],
        Kind::Event | Kind::EventsEvent => event(&super::viewed(Kind::Event, value), object, now),
        Kind::IpAddress | Kind::ServiceCidr | Kind::Ingress | Kind::IngressClass => {
            networking::row(kind, &value, &name(), age())
        }
        Kind::ClusterRole | Kind::Role => vec![name(), (&*object.meta.created).into()],
        Kind::ClusterRoleBinding | Kind::RoleBinding => rbac::binding(&value, &name(), &age()),
        Kind::Lease => vec![name(), text(&value, "/spec/holderIdentity").into(), age()],
        Kind::ServiceAccount => vec![name(), age()],
    }
}

fn or(text: &str, fallback: &str) -> Value {
    if text.is_empty() { fallback.into() } else { text.into() }
}

fn external(value: &Value) -> Value {
    let mut outside = texts(value, "/spec/externalIPs");
    match text(value, "/spec/type") {
        "ExternalName" => return text(value, "/spec/externalName").into(),
        "LoadBalancer" => {
            let ingress = list(value, "/status/loadBalancer/ingress").iter();
            let mut found: BTreeSet<String> = ingress
                .map(|row| if present(row, "/ip") { text(row, "/ip") } else { text(row, "/hostname") }.to_owned())
                .collect();
            found.remove("");
            let mut all: Vec<String> = found.into_iter().collect();
            all.append(&mut outside);
            return or(&all.join(","), "<pending>");
        }
        _ => {}
    }
    or(&outside.join(","), "<none>")
}

fn service_ports(value: &Value) -> Value {
    let ports = list(value, "/spec/ports").iter().map(|port| {
        let (number, node, protocol) = (int(port, "/port"), int(port, "/nodePort"), text(port, "/protocol"));
        if node == 0 { format!("{number}/{protocol}") } else { format!("{number}:{node}/{protocol}") }
    });
    or(&ports.collect::<Vec<_>>().join(","), "<none>")
}

/// Up to three, then how many more.
fn few(items: Vec<String>) -> String {
    const SHOWN: usize = 3;
    let more = items.len().saturating_sub(SHOWN);
    let shown = items.into_iter().take(SHOWN).collect::<Vec<_>>().join(",");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

/// Ready addresses, port by port. That there are only others shows as nothing.
fn endpoint_pairs(value: &Value) -> Value {
    if !present(value, "/subsets") {
        return "<none>".into();
    }
    let mut found = Vec::new();
    for subset in list(value, "/subsets") {
        let ips: Vec<&str> = list(subset, "/addresses").iter().map(|address| text(address, "/ip")).collect();
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            found.extend(ips.iter().map(|ip| (*ip).to_owned()));
        }
        for port in ports.iter().map(|port| int(port, "/port")) {
            found.extend(ips.iter().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{port}"),
                false => format!("{ip}:{port}"),
            }));
        }
    }
    few(found).into()
}

fn condition<'a>(value: &'a Value, r#type: &str) -> &'a str {
    let mut conditions = list(value, "/status/conditions").iter();
    conditions.find(|row| text(row, "/type") == r#type).map(|row| text(row, "/status")).unwrap_or_default()
}

fn node(value: &Value, object: &Object, age: &Value) -> Vec<Value> {
    let mut state = match condition(value, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }
    .to_owned();
    if value.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        state.push_str(",SchedulingDisabled");
    }
    let labels = object.meta.labels.iter();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, content)| match key {
            "kubernetes.io/role" => Some(content),
            key => key.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    let address = |wanted: &str| {
        let found = list(value, "/status/addresses").iter().find(|row| text(row, "/type") == wanted);
        or(found.map(|row| text(row, "/address")).unwrap_or_default(), "<none>")
    };
    let info = |member: &str| text(value, &format!("/status/nodeInfo/{member}"));
    let (kernel, arch) = (info("kernelVersion"), info("architecture"));
    let kernel = if kernel.is_empty() { "<unknown>" } else { kernel };
    let kernel = if arch.is_empty() { kernel.to_owned() } else { format!("{kernel} ({arch})") };
    vec![
        (&*object.key.name).into(),
        state.into(),
        or(&roles.join(","), "<none>"),
        age.clone(),
        info("kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        or(info("osImage"), "<unknown>"),
        kernel.into(),
        or(info("containerRuntimeVersion"), "<unknown>"),
    ]
}

fn event(value: &Value, object: &Object, now: OffsetDateTime) -> Vec<Value> {
    let of = |members: &[&str]| members.iter().map(|member| text(value, member)).find(|own| !own.is_empty());
    let first = age(of(&["/firstTimestamp", "/eventTime"]).unwrap_or_default(), now);
    let last = of(&["/series/lastObservedTime", "/lastTimestamp"]).map(|at| age(at, now));
    let count = if present(value, "/series") { int(value, "/series/count") } else { int(value, "/count").max(1) };
    let kind = text(value, "/involvedObject/kind").to_lowercase();
    let about = of(&["/involvedObject/name"]).map(|name| format!("{kind}/{name}"));
    let component = of(&["/source/component", "/reportingComponent"]).unwrap_or_default();
    let source = of(&["/source/host", "/reportingInstance"]).map(|instance| format!("{component}, {instance}"));
    vec![
        last.unwrap_or_else(|| first.clone()).into(),
        text(value, "/type").into(),
        text(value, "/reason").into(),
        about.unwrap_or(kind).into(),
        text(value, "/involvedObject/fieldPath").into(),
        source.unwrap_or_else(|| component.to_owned()).into(),
        text(value, "/message").trim().into(),
        first.into(),
        count.into(),
        (&*object.key.name).into(),
    ]
}

/// A span as kubectl writes it: finer for the young.
fn age(created: &str, now: OffsetDateTime) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let Ok(created) = OffsetDateTime::parse(created, &Rfc3339) else { return "<unknown>".to_owned() };
    // A box without a clock may have objects from its future.
    let seconds = (now - created).whole_seconds().max(0);
    let two = |big: i64, unit: char, rest: i64, small: char| {
        if rest == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{rest}{small}") }
    };
    match seconds {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, 'm', s % MINUTE, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, 'h', s % HOUR / MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, 'd', s % DAY / HOUR, 'h'),
        s if s < 2 * 365 * DAY => format!("{}d", s / DAY),
        s if s < 8 * 365 * DAY => two(s / (365 * DAY), 'y', s / DAY % 365, 'd'),
        s => format!("{}y", s / (365 * DAY)),
    }
}
