//! Which Pods stand behind a Service, and what a port means on each of them
//! (spec/endpoints.md sections 1 and 2).

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::model::pod::PodSpec;
use crate::model::selector::selects;
use crate::model::service::{ServicePort, ServiceType, TargetPort};
use crate::model::{IpFamily, Kind, Object, Pod, Service};
use crate::store::Snapshot;

/// A Service whose endpoints we manage.
pub(super) fn is_managed(service: &Service) -> bool {
    service.spec.r#type != ServiceType::ExternalName && !service.spec.selector.is_empty()
}

/// A Pod that counts, in one place and of one Service.
pub(super) struct Selected<'a> {
    pub(super) object: &'a Arc<Object>,
    pub(super) pod: &'a Pod,
    pub(super) node: &'a str,
}

impl Selected<'_> {
    pub(super) fn addr(&self, family: IpFamily) -> Option<IpAddr> {
        self.pod.addrs().into_iter().find(|addr| IpFamily::of(*addr) == family)
    }

    pub(super) fn hostname(&self, service: &Object) -> Option<&str> {
        let subdomain = self.pod.spec.subdomain.as_deref()?;
        (subdomain == &*service.key.name).then_some(self.pod.spec.hostname.as_deref()?).filter(|name| !name.is_empty())
    }

    pub(super) fn target_ref(&self) -> Value {
        let key = &self.object.key;
        json!({"kind": "Pod", "namespace": &*key.namespace, "name": &*key.name, "uid": &*self.object.meta.uid})
    }

    /// The ports of `service` this Pod serves, as EndpointPorts, in a stable
    /// order. A named port the Pod lacks is left out.
    pub(super) fn ports(&self, service: &Service) -> Vec<Value> {
        let mut ports: Vec<Value> = service
            .spec
            .ports
            .iter()
            .filter_map(|port| Some(endpoint_port(port, number(port, &self.pod.spec)?)))
            .collect();
        ports.sort_by_key(Value::to_string);
        ports
    }
}

/// The Pods behind `service`, sorted by name. Unbound Pods, finished ones and
/// those without an address do not count.
pub(super) fn selected<'a>(snapshot: &'a Snapshot, object: &Object, service: &Service) -> Vec<Selected<'a>> {
    snapshot
        .list(Kind::Pod, Some(&object.key.namespace))
        .filter(|candidate| selects(&service.spec.selector, &candidate.meta.labels))
        .filter_map(|object| {
            let pod = object.as_pod().filter(|pod| !pod.is_finished() && !pod.addrs().is_empty())?;
            let node = pod.spec.node_name.as_deref().filter(|node| !node.is_empty())?;
            Some(Selected { object, pod, node })
        })
        .collect()
}

fn endpoint_port(port: &ServicePort, number: u16) -> Value {
    let mut value = json!({"name": port.name, "port": number, "protocol": port.protocol.as_str()});
    super::draft::set(&mut value, "appProtocol", Value::from(port.app_protocol.clone()));
    value
}

/// The first container port with the name and the protocol; sidecars last.
fn number(port: &ServicePort, spec: &PodSpec) -> Option<u16> {
    let name = match &port.target_port {
        TargetPort::Number(0) => return Some(port.port),
        TargetPort::Number(number) => return Some(*number),
        TargetPort::Name(name) => name,
    };
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports.find(|p| p.name == *name && p.protocol == port.protocol).map(|p| p.container_port)
}
