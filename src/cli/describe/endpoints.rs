//! The pages of Endpoints and EndpointSlices.

use serde_json::Value;

use super::page::{Page, joined, list_at, number_at, or_none, or_unset, text_at};

pub(super) fn endpoints(page: &mut Page, object: &Value) {
    page.head(object);
    page.line(0, "Subsets:");
    for subset in list_at(object, "/subsets") {
        let addresses = |path: &str| {
            let found: Vec<&str> = list_at(subset, path).iter().map(|address| text_at(address, "/ip")).collect();
            or_none(&found.join(",")).to_owned()
        };
        page.row(1, "Addresses", &addresses("/addresses"));
        page.row(1, "NotReadyAddresses", &addresses("/notReadyAddresses"));
        let ports = list_at(subset, "/ports");
        if !ports.is_empty() {
            page.line(1, "Ports:");
            page.line(2, "Name\tPort\tProtocol");
            page.line(2, "----\t----\t--------");
        }
        for port in ports {
            let name = or_unset(text_at(port, "/name"));
            page.line(2, &format!("{name}\t{}\t{}", number_at(port, "/port"), text_at(port, "/protocol")));
        }
        page.line(0, "");
    }
}

pub(super) fn slice(page: &mut Page, object: &Value) {
    page.head(object);
    page.row(0, "AddressType", text_at(object, "/addressType"));
    let ports = list_at(object, "/ports");
    if ports.is_empty() {
        page.line(0, "Ports: <unset>");
    } else {
        page.line(0, "Ports:");
        page.line(1, "Name\tPort\tProtocol");
        page.line(1, "----\t----\t--------");
    }
    for port in ports {
        let number = port.get("port").filter(|number| !number.is_null()).map(ToString::to_string);
        let (name, protocol) = (or_unset(text_at(port, "/name")), text_at(port, "/protocol"));
        page.line(1, &format!("{name}\t{}\t{protocol}", number.as_deref().unwrap_or("<unset>")));
    }
    let endpoints = list_at(object, "/endpoints");
    page.line(0, if endpoints.is_empty() { "Endpoints: <none>" } else { "Endpoints:" });
    for endpoint in endpoints {
        page.row(1, "- Addresses", &joined(list_at(endpoint, "/addresses"), ", "));
        page.line(2, "Conditions:");
        let ready = endpoint.pointer("/conditions/ready").and_then(Value::as_bool).map(|ready| ready.to_string());
        page.row(3, "Ready", ready.as_deref().unwrap_or("<unset>"));
        page.row(2, "Hostname", or_unset(text_at(endpoint, "/hostname")));
        if let Some(target) = endpoint.get("targetRef") {
            page.row(2, "TargetRef", &format!("{}/{}", text_at(target, "/kind"), text_at(target, "/name")));
        }
        page.row(2, "NodeName", or_unset(text_at(endpoint, "/nodeName")));
        page.row(2, "Zone", or_unset(text_at(endpoint, "/zone")));
    }
}
