//! `edgesvc describe`: one object for people, with its endpoints and events.

use serde_json::Value;

use super::client::{Ask, Client};
use super::exit::Failure;
use super::output;
use super::resource::{self, Named};
use crate::manifest::emit;
use crate::model::Kind;

/// Width of the first column of a Service, as kubectl has it.
const LABEL_WIDTH: usize = 26;
/// Endpoints printed of one port; kubectl prints as many.
const ENDPOINTS_SHOWN: usize = 3;

/// Describes everything named; a type alone means all of its objects.
pub(super) async fn describe(client: &mut Client, things: &[Named], namespace: &str) -> Result<(), Failure> {
    let mut first = true;
    for thing in things {
        let objects = match &thing.name {
            Some(name) => vec![client.ask(Ask::get(&resource::object(thing.kind, namespace, name))).await?.value],
            None => items(client.ask(Ask::get(&resource::collection(thing.kind, Some(namespace)))).await?.value),
        };
        for object in objects {
            let mut text = String::new();
            if !first {
                text.push_str("\n\n");
            }
            first = false;
            match thing.kind {
                Kind::Service => service(client, &object, &mut text).await?,
                kind => other(kind, &object, &mut text),
            }
            events(client, thing.kind, &object, &mut text).await?;
            output::print(&text)?;
        }
    }
    if first {
        output::note(&format!("No resources found in {namespace} namespace."));
    }
    Ok(())
}

fn items(mut list: Value) -> Vec<Value> {
    list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
}

fn text_at<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn list_at<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn row(out: &mut String, label: &str, value: &str) {
    out.push_str(&format!("{:<LABEL_WIDTH$}{value}\n", format!("{label}:")));
}

fn head(object: &Value, out: &mut String) {
    row(out, "Name", text_at(object, "/metadata/name"));
    let namespace = text_at(object, "/metadata/namespace");
    if !namespace.is_empty() {
        row(out, "Namespace", namespace);
    }
    pairs(out, "Labels", object.pointer("/metadata/labels"), "=");
    pairs(out, "Annotations", object.pointer("/metadata/annotations"), ": ");
}

fn pairs(out: &mut String, label: &str, map: Option<&Value>, between: &str) {
    // What kubectl stores for itself would fill the screen.
    let entries: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration")
        .map(|(key, value)| format!("{key}{between}{}", value.as_str().unwrap_or_default()))
        .collect();
    let (first, rest) = entries.split_first().map_or(("<none>", &[][..]), |(first, rest)| (first.as_str(), rest));
    row(out, label, first);
    for entry in rest {
        out.push_str(&format!("{:LABEL_WIDTH$}{entry}\n", ""));
    }
}

async fn service(client: &mut Client, object: &Value, out: &mut String) -> Result<(), Failure> {
    head(object, out);
    let selector: Vec<String> = object
        .pointer("/spec/selector")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    row(out, "Selector", if selector.is_empty() { "<none>".to_owned() } else { selector.join(",") }.as_str());
    row(out, "Type", text_at(object, "/spec/type"));
    row(out, "IP Family Policy", text_at(object, "/spec/ipFamilyPolicy"));
    row(out, "IP Families", &joined(list_at(object, "/spec/ipFamilies")));
    row(out, "IP", text_at(object, "/spec/clusterIP"));
    row(out, "IPs", &joined(list_at(object, "/spec/clusterIPs")));
    optional(out, "External Name", text_at(object, "/spec/externalName"));
    optional(
        out,
        "External IPs",
        &list_at(object, "/spec/externalIPs").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
    );
    let ingress: Vec<&str> = list_at(object, "/status/loadBalancer/ingress")
        .iter()
        .filter_map(|entry| entry.get("ip").or_else(|| entry.get("hostname")).and_then(Value::as_str))
        .collect();
    optional(out, "LoadBalancer Ingress", &ingress.join(", "));
    let slices = slices_of(client, object).await?;
    for port in list_at(object, "/spec/ports") {
        port_rows(port, &slices, out);
    }
    row(out, "Session Affinity", text_at(object, "/spec/sessionAffinity"));
    optional(out, "External Traffic Policy", text_at(object, "/spec/externalTrafficPolicy"));
    optional(out, "Internal Traffic Policy", text_at(object, "/spec/internalTrafficPolicy"));
    if let Some(port) = object.pointer("/spec/healthCheckNodePort").and_then(Value::as_u64).filter(|port| *port != 0) {
        row(out, "HealthCheck NodePort", &port.to_string());
    }
    optional(
        out,
        "LoadBalancer Source Ranges",
        &joined(list_at(object, "/spec/loadBalancerSourceRanges")).replace("<none>", ""),
    );
    Ok(())
}

fn optional(out: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        row(out, label, value);
    }
}

fn joined(values: &[Value]) -> String {
    let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    if words.is_empty() { "<none>".to_owned() } else { words.join(",") }
}

fn port_rows(port: &Value, slices: &[Value], out: &mut String) {
    let name = text_at(port, "/name");
    let protocol = text_at(port, "/protocol");
    let number = |member: &str| port.get(member).and_then(Value::as_u64).filter(|number| *number != 0);
    let shown = if name.is_empty() { "<unset>" } else { name };
    row(out, "Port", &format!("{shown}  {}/{protocol}", number("port").unwrap_or_default()));
    let target = port.get("targetPort").map(|target| target.as_str().map_or_else(|| target.to_string(), str::to_owned));
    row(out, "TargetPort", &format!("{}/{protocol}", target.unwrap_or_default()));
    if let Some(node_port) = number("nodePort") {
        row(out, "NodePort", &format!("{shown}  {node_port}/{protocol}"));
    }
    row(out, "Endpoints", &endpoints_of(name, protocol, slices));
}

fn endpoints_of(name: &str, protocol: &str, slices: &[Value]) -> String {
    let mut found = Vec::new();
    for slice in slices {
        let ports = list_at(slice, "/ports").iter();
        let port = ports.filter(|port| text_at(port, "/name") == name && text_at(port, "/protocol") == protocol);
        for number in port.filter_map(|port| port.get("port").and_then(Value::as_u64)) {
            for endpoint in list_at(slice, "/endpoints") {
                let ready = endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
                if let (true, Some(addr)) = (ready, list_at(endpoint, "/addresses").first().and_then(Value::as_str)) {
                    found.push(if addr.contains(':') {
                        format!("[{addr}]:{number}")
                    } else {
                        format!("{addr}:{number}")
                    });
                }
            }
        }
    }
    found.sort();
    found.dedup();
    let more = found.len().saturating_sub(ENDPOINTS_SHOWN);
    found.truncate(ENDPOINTS_SHOWN);
    let text = found.join(",");
    if more > 0 { format!("{text} + {more} more...") } else { text }
}

async fn slices_of(client: &mut Client, object: &Value) -> Result<Vec<Value>, Failure> {
    let label = format!("kubernetes.io/service-name={}", text_at(object, "/metadata/name"));
    let path = resource::collection(Kind::EndpointSlice, Some(text_at(object, "/metadata/namespace")));
    let path = format!("{path}?labelSelector={}", resource::escaped(&label));
    Ok(items(client.ask(Ask::get(&path)).await?.value))
}

/// Kinds without a form of their own: what the object says, as YAML.
fn other(kind: Kind, object: &Value, out: &mut String) {
    head(object, out);
    let mut rest = object.clone();
    if let Some(members) = rest.as_object_mut() {
        members.retain(|member, _| !matches!(member.as_str(), "apiVersion" | "kind" | "metadata"));
        if kind == Kind::Secret {
            // As kubectl: sizes, never values.
            for data in members.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
                let bytes = data.1.as_str().map_or(0, |text| text.trim_end_matches('=').len() * 3 / 4);
                *data.1 = format!("{bytes} bytes").into();
            }
        }
    }
    if rest.as_object().is_some_and(|members| !members.is_empty()) {
        out.push_str(&emit::to_string(&rest));
    }
}

async fn events(client: &mut Client, kind: Kind, object: &Value, out: &mut String) -> Result<(), Failure> {
    let namespace = text_at(object, "/metadata/namespace");
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let selector = format!(
        "involvedObject.name={},involvedObject.kind={},involvedObject.uid={}",
        text_at(object, "/metadata/name"),
        kind.resource().kind,
        text_at(object, "/metadata/uid"),
    );
    let path = resource::collection(Kind::Event, Some(namespace));
    let list = client.ask(Ask::get(&format!("{path}?fieldSelector={}", resource::escaped(&selector)))).await?;
    let found = items(list.value);
    if found.is_empty() {
        row(out, "Events", "<none>");
        return Ok(());
    }
    out.push_str("Events:\n  Type     Reason               Last Seen             Message\n");
    for event in found {
        let last = ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        let last = last.into_iter().map(|path| text_at(&event, path)).find(|text| !text.is_empty()).unwrap_or_default();
        let (kind, reason, message) =
            (text_at(&event, "/type"), text_at(&event, "/reason"), text_at(&event, "/message"));
        out.push_str(&format!("  {kind:<8} {reason:<20} {last:<21} {message}\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_the_port_and_ready() {
        let slices = [serde_json::json!({
            "ports": [{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 53}],
            "endpoints": [
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.1"], "conditions": {}},
                {"addresses": ["10.0.0.9"], "conditions": {"ready": false}}
            ]
        })];
        assert_eq!(endpoints_of("web", "TCP", &slices), "10.0.0.1:8080,10.0.0.2:8080");
        assert_eq!(endpoints_of("web", "UDP", &slices), "");
    }
}
