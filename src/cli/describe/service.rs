//! The page of a Service.

use serde_json::Value;

use super::page::{Page, joined, list_at, members, number_at, number_or_name, or_none, or_unset, text_at};

/// Endpoints printed of one port; kubectl prints as many.
const ENDPOINTS_SHOWN: usize = 3;

pub(super) fn page(page: &mut Page, object: &Value, slices: &[Value]) {
    page.head(object);
    let selector: Vec<String> =
        members(object.pointer("/spec/selector")).map(|(key, value)| format!("{key}={value}")).collect();
    page.row(0, "Selector", or_none(&selector.join(",")));
    page.row(0, "Type", text_at(object, "/spec/type"));
    page.optional(0, "IP Family Policy", text_at(object, "/spec/ipFamilyPolicy"));
    page.row(0, "IP Families", &joined(list_at(object, "/spec/ipFamilies"), ","));
    page.row(0, "IP", text_at(object, "/spec/clusterIP"));
    page.row(0, "IPs", &joined(list_at(object, "/spec/clusterIPs"), ","));
    page.optional(0, "External IPs", &given(list_at(object, "/spec/externalIPs")));
    page.optional(0, "Desired LoadBalancer IP", text_at(object, "/spec/loadBalancerIP"));
    page.optional(0, "External Name", text_at(object, "/spec/externalName"));
    page.optional(0, "LoadBalancer Ingress", &ingress(list_at(object, "/status/loadBalancer/ingress")));
    for port in list_at(object, "/spec/ports") {
        self::port(page, port, slices);
    }
    page.row(0, "Session Affinity", text_at(object, "/spec/sessionAffinity"));
    page.optional(0, "External Traffic Policy", text_at(object, "/spec/externalTrafficPolicy"));
    page.optional(0, "Internal Traffic Policy", text_at(object, "/spec/internalTrafficPolicy"));
    page.optional(0, "Traffic Distribution", text_at(object, "/spec/trafficDistribution"));
    if number_at(object, "/spec/healthCheckNodePort") != 0 {
        page.row(0, "HealthCheck NodePort", &number_at(object, "/spec/healthCheckNodePort").to_string());
    }
    page.optional(0, "LoadBalancer Source Ranges", &given(list_at(object, "/spec/loadBalancerSourceRanges")));
}

fn given(values: &[Value]) -> String {
    values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn ingress(entries: &[Value]) -> String {
    let words = entries.iter().map(|entry| {
        let address = text_at(entry, "/ip");
        let shown = if address.is_empty() { text_at(entry, "/hostname") } else { address };
        match text_at(entry, "/ipMode") {
            "" => shown.to_owned(),
            mode => format!("{shown} ({mode})"),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

fn port(page: &mut Page, port: &Value, slices: &[Value]) {
    let protocol = text_at(port, "/protocol");
    let name = text_at(port, "/name");
    page.row(0, "Port", &format!("{}\t{}/{protocol}", or_unset(name), number_at(port, "/port")));
    page.row(0, "TargetPort", &format!("{}/{protocol}", number_or_name(port.get("targetPort"))));
    if number_at(port, "/nodePort") != 0 {
        page.row(0, "NodePort", &format!("{}\t{}/{protocol}", or_unset(name), number_at(port, "/nodePort")));
    }
    page.row(0, "Endpoints", &endpoints_of(name, slices));
}

/// The ready endpoints of a port, the first few by address.
pub(super) fn endpoints_of(name: &str, slices: &[Value]) -> String {
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let mut found = Vec::new();
    for slice in slices {
        let ports = list_at(slice, "/ports");
        let numbers: Vec<Option<u64>> = if ports.is_empty() {
            // A headless Service may have no ports: addresses alone.
            vec![None]
        } else {
            let named = ports.iter().filter(|port| text_at(port, "/name") == name);
            named.map(|port| port.get("port").and_then(Value::as_u64)).collect()
        };
        for number in numbers {
            found.extend(list_at(slice, "/endpoints").iter().filter_map(|endpoint| ready(endpoint, number)));
        }
    }
    let more = found.len().saturating_sub(ENDPOINTS_SHOWN);
    found.truncate(ENDPOINTS_SHOWN);
    let text = found.join(",");
    if more > 0 { format!("{text} + {more} more...") } else { text }
}

fn ready(endpoint: &Value, port: Option<u64>) -> Option<String> {
    if endpoint.pointer("/conditions/ready").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    let address = list_at(endpoint, "/addresses").first().and_then(Value::as_str)?;
    Some(match port {
        None => address.to_owned(),
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_those_of_the_port_and_ready() {
        let slices = [json!({
            "ports": [{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 53}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["fd00::2"], "conditions": {}},
                {"addresses": ["10.0.0.9"], "conditions": {"ready": false}}
            ]
        })];
        assert_eq!(endpoints_of("web", &slices), "10.0.0.1:8080,[fd00::2]:8080");
        assert_eq!(endpoints_of("none", &slices), "");
        assert_eq!(endpoints_of("web", &[]), "<none>");
        let many =
            [json!({"endpoints": (1..=5).map(|n| json!({"addresses": [format!("10.0.0.{n}")]})).collect::<Vec<_>>()})];
        assert_eq!(endpoints_of("", &many), "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...");
    }
}
