//! `networking.k8s.io`: Ingress, IngressClass, IPAddress and ServiceCIDR.

use serde_json::{Value, json};

use super::super::Rejection;
use super::world::{FORB, INV, NS, REQ, World, failed, object, refused};
use crate::model::Kind;

fn ingress(spec: Value) -> Result<Value, Rejection> {
    World::single().create(Kind::Ingress, object(Kind::Ingress, "a", json!({ "spec": spec })))
}

fn backend() -> Value {
    json!({"service": {"name": "web", "port": {"number": 80}}})
}

fn path(kind: Value, path: &str) -> Result<Value, Rejection> {
    let row = json!({"path": path, "pathType": kind, "backend": backend()});
    ingress(json!({"rules": [{"http": {"paths": [row]}}]}))
}

#[test]
fn an_ingress_has_a_backend_or_rules() {
    ingress(json!({"defaultBackend": backend()})).unwrap();
    ingress(json!({"rules": [{"host": "a.b"}]})).unwrap();
    refused(ingress(json!({})), &[("spec", INV)]);
    refused(ingress(json!({"rules": [{"http": {"paths": []}}]})), &[("spec.rules[0].http.paths", REQ)]);
}

#[test]
fn a_path_fits_its_type() {
    let field = "spec.rules[0].http.paths[0].path";
    for good in ["/", "/a/b", "/a..b"] {
        path("Prefix".into(), good).unwrap();
    }
    for (bad, faults) in [("a", 1), ("", 1), ("/a//b", 1), ("/a/../b", 1), ("/a/..", 1), ("/a%2fb", 1), ("/./%2F", 2)] {
        refused(path("Exact".into(), bad), &vec![(field, INV); faults]);
    }
    path("ImplementationSpecific".into(), "").unwrap();
    refused(path("ImplementationSpecific".into(), "a"), &[(field, INV)]);
    refused(path("Other".into(), "/"), &[("spec.rules[0].http.paths[0].pathType", NS)]);
    refused(path(Value::Null, "/"), &[("spec.rules[0].http.paths[0].pathType", REQ)]);
}

#[test]
fn a_backend_is_a_port_of_a_service_or_a_resource() {
    let field = "spec.defaultBackend";
    let rows = [
        (json!({}), vec![(field, INV)]),
        (json!({"service": {"name": "a"}}), vec![(field, REQ)]),
        (json!({"service": {"port": {"number": 1}}}), vec![("spec.defaultBackend.service.name", REQ)]),
        (json!({"service": {"name": "a", "port": {"number": 1, "name": "b"}}}), vec![(field, INV)]),
        (
            json!({"service": {"name": "A", "port": {"number": 70_000}}}),
            vec![("spec.defaultBackend.service.name", INV), ("spec.defaultBackend.service.port.number", INV)],
        ),
        (
            json!({"service": {"name": "a", "port": {"number": 1}}, "resource": {"kind": "K", "name": "n"}}),
            vec![(field, INV)],
        ),
        (
            json!({"resource": {"apiGroup": "A_", "kind": "a/b"}}),
            vec![
                ("spec.defaultBackend.resource.apiGroup", INV),
                ("spec.defaultBackend.resource.kind", INV),
                ("spec.defaultBackend.resource.name", REQ),
            ],
        ),
    ];
    for (backend, expected) in rows {
        refused(ingress(json!({ "defaultBackend": backend })), &expected);
    }
}

#[test]
fn hosts_are_names_or_wildcards() {
    let host = |host: &str| ingress(json!({"rules": [{"host": host}]}));
    for good in ["a.b", "*.a.b"] {
        host(good).unwrap();
    }
    for (bad, faults) in [("1.2.3.4", 1), ("*", 1), ("*.*.a", 1), ("a.*", 1), ("A", 1)] {
        refused(host(bad), &vec![("spec.rules[0].host", INV); faults]);
    }
    let tls = json!([{"hosts": ["*x", "a.b"], "secretName": "A"}]);
    let spec = json!({"defaultBackend": backend(), "tls": tls, "ingressClassName": "A"});
    refused(
        ingress(spec),
        &[("spec.tls[0].hosts[0]", INV), ("spec.tls[0].secretName", INV), ("spec.ingressClassName", INV)],
    );
}

#[test]
fn the_status_of_an_ingress_has_its_own_door() {
    let mut world = World::single();
    let sent = json!({"spec": {"defaultBackend": backend()}, "status": {"loadBalancer": {"ingress": [{"ip": "x"}]}}});
    let mut made = world.create(Kind::Ingress, object(Kind::Ingress, "a", sent)).unwrap();
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    let points = |rows: Value| json!({"loadBalancer": {"ingress": rows}});
    made["status"] = points(json!([{"ip": "192.0.2.1"}, {"hostname": "a.b"}]));
    world.write(Kind::Ingress, made.clone(), Some("status")).unwrap();
    made["status"] = points(json!([{"ip": "x"}, {"hostname": "1.2.3.4"}]));
    let field = "status.loadBalancer.ingress";
    let fields = [format!("{field}[0].ip"), format!("{field}[1].hostname")];
    refused(world.write(Kind::Ingress, made, Some("status")), &[(&fields[0], INV), (&fields[1], INV)]);
}

#[test]
fn a_class_by_annotation_is_warned_of() {
    let mut world = World::single();
    let mut value = object(Kind::Ingress, "a", json!({"spec": {"defaultBackend": backend()}}));
    value["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "x"});
    world.create(Kind::Ingress, value.clone()).unwrap();
    assert_eq!(world.warnings.len(), 1);
    value["spec"]["ingressClassName"] = "y".into();
    refused(world.create(Kind::Ingress, value), &[("annotations.kubernetes.io/ingress.class", INV)]);
}

#[test]
fn classes_name_a_controller_for_good() {
    let class = |spec: Value| {
        World::single().create(Kind::IngressClass, object(Kind::IngressClass, "a", json!({ "spec": spec })))
    };
    let parameters = |parameters: Value| class(json!({"controller": "a.b/c", "parameters": parameters}));
    assert_eq!(parameters(json!({"kind": "K", "name": "n"})).unwrap()["spec"]["parameters"]["scope"], "Cluster");
    refused(class(json!({})), &[("spec.controller", REQ)]);
    for bad in ["x", "/x", "a.b/", "A/x", "a.b/ x"] {
        refused(class(json!({ "controller": bad })), &[("spec.controller", INV)]);
    }
    let field = |member: &str| format!("spec.parameters.{member}");
    refused(parameters(json!({"kind": "K", "name": "n", "scope": "X"})), &[(&field("scope"), NS)]);
    refused(parameters(json!({"kind": "K", "name": "n", "scope": "Namespace"})), &[(&field("namespace"), REQ)]);
    refused(parameters(json!({"kind": "K", "name": "n", "namespace": "x"})), &[(&field("namespace"), FORB)]);
    refused(parameters(json!({})), &[(&field("kind"), REQ), (&field("name"), REQ)]);
    let mut world = World::single();
    let spec = json!({"spec": {"controller": "a.b/c"}});
    let mut made = world.create(Kind::IngressClass, object(Kind::IngressClass, "a", spec)).unwrap();
    made["spec"]["controller"] = "a.b/d".into();
    refused(world.write(Kind::IngressClass, made, None), &[("spec.controller", INV)]);
}

#[test]
fn an_address_is_named_by_itself_and_belongs_to_something() {
    let address = |name: &str, parent: Value| {
        let spec = json!({"spec": {"parentRef": parent}});
        World::single().create(Kind::IpAddress, object(Kind::IpAddress, name, spec))
    };
    let parent = json!({"resource": "services", "namespace": "n", "name": "a"});
    for good in ["192.0.2.1", "fd00::1"] {
        address(good, parent.clone()).unwrap();
    }
    for bad in ["a", "010.0.0.1", "FD00::1", "fd00:0::1", "::ffff:1.2.3.4"] {
        refused(address(bad, parent.clone()), &[("metadata.name", INV)]);
    }
    let field = |member: &str| format!("spec.parentRef.{member}");
    refused(address("192.0.2.1", Value::Null), &[("spec.parentRef", REQ)]);
    refused(address("192.0.2.1", json!({})), &[(&field("resource"), REQ), (&field("name"), REQ)]);
    let odd = json!({"group": "A_", "resource": "a/b", "name": "..", "namespace": "%"});
    let fields = ["group", "resource", "name", "namespace"].map(field);
    let expected: Vec<(&str, &str)> = fields.iter().map(|field| (field.as_str(), INV)).collect();
    refused(address("192.0.2.1", odd), &expected);
}

#[test]
fn an_address_made_by_hand_is_kept_from_services() {
    let mut world = World::single();
    let spec = json!({"spec": {"parentRef": {"group": "x.y", "resource": "gateways", "name": "a"}}});
    let mut made = world.create(Kind::IpAddress, object(Kind::IpAddress, "10.96.7.7", spec)).unwrap();
    assert_eq!(world.ip_holder("10.96.7.7").as_deref(), Some("10.96.7.7"));
    let wish = json!({"clusterIP": "10.96.7.7", "ports": [{"port": 80}]});
    refused(world.post(wish), &[("spec.clusterIPs", INV)]);
    made["metadata"]["labels"] = json!({"a": "b"});
    made = world.write(Kind::IpAddress, made, None).unwrap();
    assert!(world.ip_holder("10.96.7.7").is_some(), "a change keeps it");
    made["spec"]["parentRef"]["name"] = "b".into();
    refused(world.write(Kind::IpAddress, made, None), &[("spec.parentRef", INV)]);
}

#[test]
fn an_address_shown_for_a_service_to_come_is_not_given_to_another() {
    let mut world = World::with(&["10.96.0.0/29"]);
    for last in 2..=5 {
        let addr: std::net::IpAddr = format!("10.96.0.{last}").parse().unwrap();
        let content = crate::model::ip_address::content(addr, &crate::model::ObjectKey::new("n", "to-come"));
        world.create(Kind::IpAddress, content).unwrap();
        assert_eq!(world.ip_holder(&addr.to_string()), None);
    }
    refused(world.post(json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]})), &[("spec.clusterIPs", INV)]);
    assert_eq!(world.post(json!({"ports": [{"port": 80}]})).unwrap()["spec"]["clusterIP"], "10.96.0.6");
    let second = super::world::service("b", json!({"ports": [{"port": 80}]}));
    failed(world.create(Kind::Service, second), "range is full");
}

#[test]
fn ranges_are_of_one_family_each_and_stay() {
    let ranges = |ranges: Value| {
        let spec = json!({"spec": {"cidrs": ranges}});
        World::single().create(Kind::ServiceCidr, object(Kind::ServiceCidr, "a", spec))
    };
    ranges(json!(["10.99.0.0/24", "fd00::/64"])).unwrap();
    for (bad, expected) in [
        (json!([]), ("spec.cidrs", REQ)),
        (json!(["x"]), ("spec.cidrs[0]", INV)),
        (json!(["10.99.0.1/24"]), ("spec.cidrs[0]", INV)),
        (json!(["fd00:0::/64"]), ("spec.cidrs[0]", INV)),
        (json!(["10.99.0.0/24", "10.98.0.0/24"]), ("spec.cidrs", INV)),
        (json!(["10.99.0.0/24", "fd00::/64", "fd01::/64"]), ("spec.cidrs", INV)),
    ] {
        refused(ranges(bad), &[expected]);
    }
    let mut world = World::single();
    let spec = json!({"spec": {"cidrs": ["10.99.0.0/24"]}, "status": {"conditions": []}});
    let made = world.create(Kind::ServiceCidr, object(Kind::ServiceCidr, "a", spec)).unwrap();
    for (after, expected) in [
        (json!(["10.98.0.0/24"]), "spec.cidrs[0]"),
        (json!([]), "spec.cidrs"),
        (json!(["10.98.0.0/24", "fd00::/64"]), "spec.cidrs[0]"),
        (json!(["10.99.0.0/24", "10.98.0.0/24"]), "spec.cidrs"),
    ] {
        let mut changed = made.clone();
        changed["spec"]["cidrs"] = after;
        refused(world.write(Kind::ServiceCidr, changed, None), &[(expected, INV)]);
    }
    let mut changed = made;
    changed["spec"]["cidrs"] = json!(["10.99.0.0/24", "fd00::/64"]);
    world.write(Kind::ServiceCidr, changed, None).unwrap();
}

#[test]
fn addresses_come_from_every_range_that_is_ready() {
    let mut world = World::single();
    let range = |name: &str, range: &str| object(Kind::ServiceCidr, name, json!({"spec": {"cidrs": [range]}}));
    world.create(Kind::ServiceCidr, range("kubernetes", "10.96.0.0/30")).unwrap();
    let wish = |ip: &str| json!({"clusterIP": ip, "ports": [{"port": 80}]});
    refused(world.post(wish("10.99.0.9")), &[("spec.clusterIPs", INV)]);
    let more = world.create(Kind::ServiceCidr, range("more", "10.99.0.0/24")).unwrap();
    world.post(wish("10.99.0.9")).unwrap();
    world.delete("a");
    // 10.96.0.1 is default/kubernetes', so .2 is the last of the first range.
    assert_eq!(world.post(json!({"ports": [{"port": 80}]})).unwrap()["spec"]["clusterIP"], "10.96.0.2");
    let next = |world: &mut World, name: &str| {
        world.create(Kind::Service, super::world::service(name, json!({"ports": [{"port": 80}]})))
    };
    let ip = next(&mut world, "b").unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.99.0."), "{ip}");
    let mut going = more;
    going["status"] = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Terminating",
        "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]});
    world.write(Kind::ServiceCidr, going, Some("status")).unwrap();
    failed(next(&mut world, "c"), "range is full");
}
