//! The row of a Pod: one word for the state of all its containers.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::read::{int, list, present, text};
use super::{age, or};
use crate::model::Object;

/// What the containers come to.
struct Summary {
    state: String,
    ready: usize,
    restarts: i64,
    /// When a container that was restarted last ended; texts of RFC 3339 in UTC sort by time.
    ended: String,
}

/// The cells of a Pod.
pub(super) fn row(value: &Value, object: &Object, now: OffsetDateTime) -> Vec<Value> {
    let summary = summary(value);
    let ended = OffsetDateTime::parse(&summary.ended, &Rfc3339).is_ok();
    let restarts = match summary.restarts {
        0 => "0".to_owned(),
        count if ended => format!("{count} ({} ago)", age(&summary.ended, now)),
        count => count.to_string(),
    };
    let gates = list(value, "/spec/readinessGates");
    let passed = gates.iter().filter(|gate| super::condition(value, text(gate, "/conditionType")) == "True").count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{passed}/{}", gates.len()) };
    let sidecars = list(value, "/spec/initContainers").iter().filter(|container| is_sidecar(container)).count();
    vec![
        (&*object.key.name).into(),
        format!("{}/{}", summary.ready, list(value, "/spec/containers").len() + sidecars).into(),
        state(value, object, summary.state).into(),
        restarts.into(),
        age(&object.meta.created, now).into(),
        or(pod_ip(value), "<none>"),
        or(text(value, "/spec/nodeName"), "<none>"),
        or(text(value, "/status/nominatedNodeName"), "<none>"),
        gates.into(),
    ]
}

fn pod_ip(value: &Value) -> &str {
    let first = text(value, "/status/podIPs/0/ip");
    if first.is_empty() { text(value, "/status/podIP") } else { first }
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

/// A deletion shows over what the containers do.
fn state(value: &Value, object: &Object, containers: String) -> String {
    let over = matches!(text(value, "/status/phase"), "Succeeded" | "Failed");
    match () {
        () if object.meta.deleting && text(value, "/status/reason") == "NodeLost" => "Unknown".to_owned(),
        () if object.meta.deleting && !over => "Terminating".to_owned(),
        () => containers,
    }
}

fn summary(value: &Value) -> Summary {
    let reason = text(value, "/status/reason");
    let state = if reason.is_empty() { text(value, "/status/phase") } else { reason };
    let mut summary = Summary { state: state.to_owned(), ready: 0, restarts: 0, ended: String::new() };
    let gated = list(value, "/status/conditions")
        .iter()
        .any(|row| text(row, "/type") == "PodScheduled" && text(row, "/reason") == "SchedulingGated");
    if gated {
        summary.state = "SchedulingGated".to_owned();
    }
    let mut sidecars = Summary { state: String::new(), ready: 0, restarts: 0, ended: String::new() };
    let initializing = initialize(value, &mut summary, &mut sidecars);
    if !initializing || super::condition(value, "Initialized") == "True" {
        (summary.restarts, summary.ended) = (sidecars.restarts, sidecars.ended);
        run(value, &mut summary);
    }
    summary
}

fn count_restarts(status: &Value, summary: &mut Summary) {
    summary.restarts = summary.restarts.saturating_add(int(status, "/restartCount"));
    let ended = text(status, "/lastState/terminated/finishedAt");
    if *ended > *summary.ended {
        summary.ended = ended.to_owned();
    }
}

/// How a container ended, in one word.
fn end(terminated: &Value) -> String {
    let (reason, signal) = (text(terminated, "/reason"), int(terminated, "/signal"));
    match () {
        () if !reason.is_empty() => reason.to_owned(),
        () if signal != 0 => format!("Signal:{signal}"),
        () => format!("ExitCode:{}", int(terminated, "/exitCode")),
    }
}

/// Looks at init containers up to the first that is not done; says whether there is one.
fn initialize(value: &Value, summary: &mut Summary, sidecars: &mut Summary) -> bool {
    let specs = list(value, "/spec/initContainers");
    for (i, status) in list(value, "/status/initContainerStatuses").iter().enumerate() {
        count_restarts(status, summary);
        let own = text(status, "/name");
        let sidecar = specs.iter().any(|spec| text(spec, "/name") == own && is_sidecar(spec));
        if sidecar {
            count_restarts(status, sidecars);
        }
        let (terminated, waiting) = (status.pointer("/state/terminated"), text(status, "/state/waiting/reason"));
        if terminated.is_some_and(|end| int(end, "/exitCode") == 0) {
            continue;
        }
        if sidecar && status.get("started") == Some(&Value::Bool(true)) {
            summary.ready += usize::from(status.get("ready") == Some(&Value::Bool(true)));
            continue;
        }
        summary.state = match terminated {
            Some(terminated) => format!("Init:{}", end(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{}", specs.len()),
        };
        return true;
    }
    false
}

/// Looks at the containers from the last to the first: the first one's state stands.
fn run(value: &Value, summary: &mut Summary) {
    let (mut running, mut failed) = (false, None);
    for status in list(value, "/status/containerStatuses").iter().rev() {
        count_restarts(status, summary);
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            summary.state = waiting.to_owned();
        } else if let Some(terminated) = status.pointer("/state/terminated").filter(|end| end.is_object()) {
            summary.state = end(terminated);
            if int(terminated, "/exitCode") != 0 {
                failed = Some(summary.state.clone());
            }
        } else if status.get("ready") == Some(&Value::Bool(true)) && is_running(status) {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.state == "Completed" {
        summary.state = match (running, failed) {
            (true, _) if super::condition(value, "Ready") == "True" => "Running".to_owned(),
            (_, Some(failed)) => failed,
            (true, None) => "NotReady".to_owned(),
            (false, None) => return,
        };
    }
}

/// What no observer said anything of is taken to run, as it is ready.
fn is_running(status: &Value) -> bool {
    status.pointer("/state/running").is_some() || !present(status, "/state")
}
