//! The containers of a Pod.

use serde_json::Value;

use super::super::jsonpath::go_text;
use super::moment;
use super::page::{Page, list_at, members, number_at, number_or_name, or_none, text_at};

/// All containers of one sort, with their states.
pub(super) fn all(page: &mut Page, title: &str, pod: &Value, specs: &str, statuses: &str) {
    let containers = list_at(pod, &format!("/spec/{specs}")).to_vec();
    page.line(0, &format!("{title}:{}", if containers.is_empty() { " <none>" } else { "" }));
    for container in &containers {
        let name = text_at(container, "/name");
        let known = list_at(pod, &format!("/status/{statuses}")).iter();
        let status = known.clone().find(|status| text_at(status, "/name") == name);
        page.line(1, &format!("{name}:"));
        basics(page, container, status);
        for (title, path) in [("Command:", "/command"), ("Args:", "/args")] {
            words(page, title, list_at(container, path));
        }
        if let Some(status) = status {
            state(page, "State", status.get("state"));
            if status.pointer("/lastState/terminated").is_some() {
                state(page, "Last State", status.get("lastState"));
            }
            let ready = status.get("ready").and_then(Value::as_bool).unwrap_or_default();
            page.row(2, "Ready", if ready { "True" } else { "False" });
            page.row(2, "Restart Count", &number_at(status, "/restartCount").to_string());
        }
        amounts(page, "Limits:", container.pointer("/resources/limits"));
        amounts(page, "Requests:", container.pointer("/resources/requests"));
        let probes = [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")];
        for (label, member) in probes {
            if let Some(probe) = container.get(member) {
                page.row(2, label, &self::probe(probe));
            }
        }
        environment_sources(page, list_at(container, "/envFrom"));
        environment(page, pod, list_at(container, "/env"));
        mounts(page, list_at(container, "/volumeMounts"));
    }
}

fn basics(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        page.row(2, "Container ID", text_at(status, "/containerID"));
    }
    page.row(2, "Image", text_at(container, "/image"));
    if let Some(status) = status {
        page.row(2, "Image ID", text_at(status, "/imageID"));
    }
    for (label, member) in [("Port", "/containerPort"), ("Host Port", "/hostPort")] {
        let ports = list_at(container, "/ports").iter();
        let ports: Vec<String> =
            ports.map(|port| format!("{}/{}", number_at(port, member), text_at(port, "/protocol"))).collect();
        let plural = if ports.len() > 1 { "s" } else { "" };
        page.row(2, &format!("{label}{plural}"), or_none(&ports.join(", ")));
    }
}

fn words(page: &mut Page, title: &str, words: &[Value]) {
    if words.is_empty() {
        return;
    }
    page.line(2, title);
    for line in words.iter().filter_map(Value::as_str).flat_map(|word| word.split('\n')) {
        page.line(3, line);
    }
}

fn state(page: &mut Page, label: &str, state: Option<&Value>) {
    let state = state.unwrap_or(&Value::Null);
    let moment_at = |page: &mut Page, label: &str, value: &Value, path: &str| {
        page.row(3, label, &moment::long(text_at(value, path)));
    };
    if let Some(running) = state.get("running") {
        page.row(2, label, "Running");
        moment_at(page, "Started", running, "/startedAt");
    } else if let Some(ended) = state.get("terminated") {
        page.row(2, label, "Terminated");
        page.optional(3, "Reason", text_at(ended, "/reason"));
        page.optional(3, "Message", text_at(ended, "/message"));
        page.row(3, "Exit Code", &number_at(ended, "/exitCode").to_string());
        if number_at(ended, "/signal") > 0 {
            page.row(3, "Signal", &number_at(ended, "/signal").to_string());
        }
        moment_at(page, "Started", ended, "/startedAt");
        moment_at(page, "Finished", ended, "/finishedAt");
    } else {
        page.row(2, label, "Waiting");
        page.optional(3, "Reason", text_at(state, "/waiting/reason"));
    }
}

fn amounts(page: &mut Page, title: &str, map: Option<&Value>) {
    let mut first = true;
    for (name, amount) in members(map) {
        if std::mem::take(&mut first) {
            page.line(2, title);
        }
        page.row(3, name, amount);
    }
}

fn probe(probe: &Value) -> String {
    let number = |path: &str| number_at(probe, path);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("/initialDelaySeconds"),
        number("/timeoutSeconds"),
        number("/periodSeconds"),
        number("/successThreshold"),
        number("/failureThreshold"),
    );
    if let Some(command) = probe.pointer("/exec/command") {
        return format!("exec {} {attributes}", go_text(command));
    }
    if let Some(get) = probe.get("httpGet") {
        let scheme = text_at(get, "/scheme").to_lowercase();
        let (host, port) = (text_at(get, "/host"), number_or_name(get.get("port")));
        return format!("http-get {scheme}://{host}:{port}{} {attributes}", text_at(get, "/path"));
    }
    if let Some(socket) = probe.get("tcpSocket") {
        return format!("tcp-socket {}:{} {attributes}", text_at(socket, "/host"), number_or_name(socket.get("port")));
    }
    if let Some(grpc) = probe.get("grpc") {
        return format!("grpc <pod>:{} {} {attributes}", number_at(grpc, "/port"), text_at(grpc, "/service"));
    }
    format!("unknown {attributes}")
}

fn environment_sources(page: &mut Page, sources: &[Value]) {
    if !sources.is_empty() {
        page.line(2, "Environment Variables from:");
    }
    for source in sources {
        let (sort, from) = match (source.get("configMapRef"), source.get("secretRef")) {
            (Some(map), _) => ("ConfigMap", map),
            (None, Some(secret)) => ("Secret", secret),
            (None, None) => continue,
        };
        let prefix = match text_at(source, "/prefix") {
            "" => String::new(),
            prefix => format!(" with prefix '{prefix}'"),
        };
        page.line(3, &format!("{}\t{sort}{prefix}\tOptional: {}", text_at(from, "/name"), optional(from)));
    }
}

fn optional(from: &Value) -> bool {
    from.get("optional").and_then(Value::as_bool).unwrap_or_default()
}

fn environment(page: &mut Page, pod: &Value, variables: &[Value]) {
    page.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
    for variable in variables {
        let name = text_at(variable, "/name");
        if let Some(field) = variable.pointer("/valueFrom/fieldRef") {
            let path = text_at(field, "/fieldPath");
            let version = match text_at(field, "/apiVersion") {
                "" => "v1",
                version => version,
            };
            let value = number_or_name(pod.pointer(&format!("/{}", path.replace('.', "/"))));
            page.row(3, name, &format!("{value} ({version}:{path})"));
        } else if let Some(field) = variable.pointer("/valueFrom/resourceFieldRef") {
            page.row(3, name, &format!(" ({})", text_at(field, "/resource")));
        } else if let Some(key) = variable.pointer("/valueFrom/secretKeyRef") {
            let words = format!("<set to the key '{}' in secret '{}'>", text_at(key, "/key"), text_at(key, "/name"));
            page.row(3, name, &format!("{words}\tOptional: {}", optional(key)));
        } else if let Some(key) = variable.pointer("/valueFrom/configMapKeyRef") {
            let words =
                format!("<set to the key '{}' of config map '{}'>", text_at(key, "/key"), text_at(key, "/name"));
            page.row(3, name, &format!("{words}\tOptional: {}", optional(key)));
        } else {
            let mut lines = text_at(variable, "/value").split('\n');
            page.row(3, name, lines.next().unwrap_or_default());
            lines.for_each(|line| page.line(3, &format!("\t{line}")));
        }
    }
}

fn mounts(page: &mut Page, mounts: &[Value]) {
    page.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
    let mut mounts: Vec<&Value> = mounts.iter().collect();
    mounts.sort_by_key(|mount| text_at(mount, "/mountPath"));
    for mount in mounts {
        let read_only = mount.get("readOnly").and_then(Value::as_bool).unwrap_or_default();
        let part = match text_at(mount, "/subPath") {
            "" => String::new(),
            path => format!(",path={path:?}"),
        };
        let access = if read_only { "ro" } else { "rw" };
        let (path, name) = (text_at(mount, "/mountPath"), text_at(mount, "/name"));
        page.line(3, &format!("{path} from {name} ({access}{part})"));
    }
}
