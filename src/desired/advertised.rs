//! What a Service is called on the LAN, and what clients there find under the name.
//!
//! Said only of what answers: a port without a ready endpoint is not advertised, a Service
//! without any not at all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::contribution::{Advertised, Frontend, FrontendAddr, Instance, Reach, Verdict};
use super::service::load_balancer_addrs;
use crate::model::mdns::{MDNS_ANNOTATION, MDNS_TXT_ANNOTATION, protocol_label, service_name, txt};
use crate::model::service::ServicePort;
use crate::model::{IpFamily, Object, Protocol, Service};

/// What is said of a Service with these frontends, if it asks for a name.
pub(super) fn advertised(object: &Object, service: &Service, frontends: &[Frontend]) -> Option<Advertised> {
    let name = object.meta.annotations.get(MDNS_ANNOTATION)?;
    let balanced: BTreeSet<IpAddr> =
        IpFamily::BOTH.into_iter().flat_map(|family| load_balancer_addrs(service, family)).collect();
    let served = frontends.iter().filter(|frontend| matches!(frontend.verdict, Verdict::Balance(_)));
    let (mut addrs, mut families) = (BTreeSet::new(), BTreeSet::new());
    let (mut outside, mut on_box) = (BTreeSet::new(), BTreeSet::new());
    for frontend in served {
        match frontend.addr {
            FrontendAddr::Virtual(addr) if balanced.contains(&addr) => {
                addrs.insert(addr);
                outside.insert((frontend.protocol, frontend.port));
            }
            FrontendAddr::Virtual(_) => {}
            FrontendAddr::NodePort(family) => {
                families.insert(family);
                on_box.insert((frontend.protocol, frontend.port));
            }
        }
    }
    // A load balancer that has no address yet is reached as a node port is.
    let (reach, instances) = if !addrs.is_empty() {
        let ports = instances(service, &outside, |port| port.port);
        (Reach::Addresses(addrs.into_iter().collect()), ports)
    } else if !families.is_empty() {
        let ports = instances(service, &on_box, |port| port.node_port);
        (Reach::Box(families.into_iter().collect()), ports)
    } else {
        return None;
    };
    // The API takes none that are wrong.
    let attributes = object.meta.annotations.get(MDNS_TXT_ANNOTATION).unwrap_or_default();
    let txt = txt(attributes).ok()?.into();
    Some(Advertised { name: name.into(), reach, instances, txt })
}

/// The ports that are served, as clients look for them. The first of a kind has the
/// Service's own name.
fn instances(
    service: &Service,
    served: &BTreeSet<(Protocol, u16)>,
    number: impl Fn(&ServicePort) -> u16,
) -> Vec<Instance> {
    let mut found: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut instances = Vec::new();
    for port in &service.spec.ports {
        let Some(kind) = service_name(port.app_protocol.as_deref(), &port.name, port.port) else { continue };
        // Those that nobody serves count too, or names would move when their endpoints come.
        let first = found.insert((kind.clone(), protocol_label(port.protocol)));
        if served.contains(&(port.protocol, number(port))) {
            let among = (!first).then_some(port.port);
            instances.push(Instance { kind: kind.into(), protocol: port.protocol, port: number(port), among });
        }
    }
    instances.sort();
    instances
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{contribution_to, draft, endpoint, ready, slice, slice_with};
    use super::*;
    use crate::model::{Draft, Kind};

    fn service(spec: Value, ingress: Value) -> Draft {
        let mut whole = json!({"type": "NodePort", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        json_patch::merge(&mut whole, &spec);
        let annotations = json!({"annotations": {"edgesvc.io/mdns": "shop"}});
        let status = json!({"loadBalancer": {"ingress": ingress}});
        draft(Kind::Service, "web", json!({}), json!({"metadata": annotations, "spec": whole, "status": status}))
    }

    fn told(objects: Vec<Draft>) -> Option<Advertised> {
        contribution_to(objects).records.advertised.as_deref().cloned()
    }

    fn serving() -> Draft {
        slice("web-1", json!([ready("10.244.1.10", "n1")]))
    }

    #[test]
    fn a_node_port_is_told_while_an_endpoint_is_ready() {
        let web = || service(json!({}), json!([]));
        let found = told(vec![web(), serving()]).unwrap();
        assert_eq!((&*found.name, found.reach), ("shop", Reach::Box(vec![IpFamily::V4])));
        let port = Instance { kind: "http".into(), protocol: Protocol::Tcp, port: 30080, among: None };
        assert_eq!(found.instances, [port]);
        assert_eq!(told(vec![web()]), None);
        let waiting = slice("web-1", json!([endpoint("10.244.1.10", "n1", false, false, false)]));
        assert_eq!(told(vec![web(), waiting]), None);
    }

    #[test]
    fn policy_local_is_told_where_clients_outside_are_served() {
        let local = || service(json!({"externalTrafficPolicy": "Local"}), json!([]));
        assert!(told(vec![local(), serving()]).is_some());
        assert_eq!(told(vec![local(), slice("web-1", json!([ready("10.244.1.10", "n2")]))]), None);
    }

    #[test]
    fn a_load_balancer_is_told_at_its_addresses_or_as_a_node_port_before_it_has_any() {
        let spec = json!({"type": "LoadBalancer"});
        let at = json!([{"ip": "192.0.2.7"}, {"ip": "192.0.2.9", "ipMode": "Proxy"}]);
        let found = told(vec![service(spec.clone(), at), serving()]).unwrap();
        assert_eq!(found.reach, Reach::Addresses(vec!["192.0.2.7".parse().unwrap()]));
        assert_eq!(found.instances[0].port, 80);
        let waiting = told(vec![service(spec, json!([])), serving()]).unwrap();
        assert_eq!(waiting.reach, Reach::Box(vec![IpFamily::V4]));
        assert_eq!(waiting.instances[0].port, 30080);
    }

    #[test]
    fn what_the_lan_cannot_reach_is_not_told() {
        assert_eq!(told(vec![service(json!({"type": "ClusterIP"}), json!([])), serving()]), None);
        let headless = json!({"type": "ClusterIP", "clusterIPs": ["None"]});
        assert_eq!(told(vec![service(headless, json!([])), serving()]), None);
    }

    #[test]
    fn the_second_port_of_a_kind_says_its_number_and_keeps_it_whoever_is_ready() {
        let ports = json!([{"name": "a", "port": 80, "nodePort": 30080, "appProtocol": "http"},
            {"name": "b", "port": 81, "nodePort": 30081, "appProtocol": "http"},
            {"name": "none-that-is-known", "port": 9999, "nodePort": 30099}]);
        let web = || service(json!({"ports": ports.clone()}), json!([]));
        let serving = |names: &[&str]| {
            let ports: Vec<Value> = names.iter().map(|name| json!({"name": name, "port": 8080})).collect();
            slice_with("web-1", json!({"endpoints": [ready("10.244.1.10", "n1")], "ports": ports}))
        };
        let seen = |objects: Vec<Draft>| -> Vec<(u16, Option<u16>)> {
            told(objects).unwrap().instances.iter().map(|one| (one.port, one.among)).collect()
        };
        assert_eq!(seen(vec![web(), serving(&["a", "b"])]), [(30080, None), (30081, Some(81))]);
        assert_eq!(seen(vec![web(), serving(&["b"])]), [(30081, Some(81))]);
        assert_eq!(seen(vec![web(), serving(&["none-that-is-known"])]), []);
    }
}
