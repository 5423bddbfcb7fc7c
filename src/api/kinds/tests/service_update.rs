//! Cases 45 to 52 of spec/service.md and sections 6 and 7: changing.

use serde_json::{Value, json};

use super::world::{FORB, INV, NS, REQ, World, failed, refused, service};
use crate::model::Kind;

fn spec(mut more: Value) -> Value {
    if more.get("ports").is_none() {
        more["ports"] = json!([{"port": 80}]);
    }
    more["selector"] = json!({"a": "b"});
    more
}

fn world(more: Value) -> (World, Value) {
    let mut world = World::single();
    let made = world.post(spec(more)).unwrap();
    (world, made)
}

fn ip(value: &Value) -> String {
    value["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
}

fn node_port(value: &Value, i: usize) -> i64 {
    value["spec"]["ports"][i]["nodePort"].as_i64().unwrap_or_default()
}

#[test]
fn case_45_the_cluster_ip_may_not_change() {
    for other in ["10.96.0.99", "None"] {
        let (mut world, _) = world(json!({}));
        refused(world.patch(json!({"clusterIP": other})), &[("spec.clusterIPs[0]", INV)]);
        refused(world.put(spec(json!({"clusterIP": other}))), &[("spec.clusterIPs[0]", INV)]);
    }
    let (mut headless, _) = world(json!({"clusterIP": "None"}));
    refused(headless.patch(json!({"clusterIP": "10.96.0.99"})), &[("spec.clusterIPs[0]", INV)]);
    let (mut both, _) = world(json!({}));
    let faults = [("spec.clusterIPs[0]", INV), ("spec.type", NS)];
    refused(both.patch(json!({"clusterIP": "10.96.0.99", "type": "Foo"})), &faults);
}

#[test]
fn case_46_a_cleared_cluster_ip_stays() {
    for cleared in
        [json!({"clusterIP": ""}), json!({"clusterIP": null}), json!({"clusterIP": null, "clusterIPs": null})]
    {
        let (mut world, made) = world(json!({}));
        assert_eq!(world.patch(cleared).unwrap()["spec"], made["spec"]);
    }
    let (mut headless, made) = world(json!({"clusterIP": "None"}));
    assert_eq!(headless.patch(json!({"clusterIP": ""})).unwrap()["spec"], made["spec"]);
}

#[test]
fn case_47_the_manifest_again_changes_nothing() {
    let rows = [
        json!({}),
        json!({"type": "NodePort"}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        json!({"clusterIP": "None"}),
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}),
    ];
    for more in rows {
        let (mut world, made) = world(more.clone());
        assert_eq!(world.put(spec(more.clone())).unwrap(), made, "{more}");
    }
}

#[test]
fn section_6_node_ports_follow_the_name() {
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    let (mut world, made) = world(json!({"type": "NodePort", "ports": ports}));
    let (a, b) = (node_port(&made, 0), node_port(&made, 1));
    // A renamed port gets another; the other keeps its own, wherever it stands.
    let ports = json!([{"name": "b", "port": 82}, {"name": "c", "port": 80}]);
    let next = world.put(spec(json!({"type": "NodePort", "ports": ports}))).unwrap();
    assert_eq!(node_port(&next, 0), b);
    assert_ne!(node_port(&next, 1), a);
    assert_eq!(world.port_holder(a), None);
    // A number used by hand elsewhere is not carried over.
    let ports = json!([{"name": "b", "port": 82}, {"name": "c", "port": 80, "nodePort": b}]);
    let next = world.put(spec(json!({"type": "NodePort", "ports": ports}))).unwrap();
    assert_eq!(node_port(&next, 1), b);
    assert_ne!(node_port(&next, 0), b);
}

#[test]
fn section_5_node_ports_of_a_changed_service() {
    let two = |tcp: i64, udp: i64, udp_port: i64| {
        json!([
            {"name": "t", "port": 53, "nodePort": tcp},
            {"name": "u", "port": udp_port, "protocol": "UDP", "nodePort": udp},
        ])
    };
    let (mut one, _) = world(json!({"type": "NodePort", "ports": [{"name": "x", "port": 1}]}));
    let next = one.put(spec(json!({"type": "NodePort", "ports": two(0, 0, 53)}))).unwrap();
    assert_ne!(node_port(&next, 0), node_port(&next, 1), "not shared on update");
    let next = one.put(spec(json!({"type": "NodePort", "ports": two(30_010, 30_010, 54)}))).unwrap();
    assert_eq!(node_port(&next, 0), node_port(&next, 1));
    let mut twice = two(30_011, 30_011, 54);
    twice[1]["protocol"] = "TCP".into();
    failed(one.put(spec(json!({"type": "NodePort", "ports": twice}))), "duplicate nodePort");
    let mut other = service("b", spec(json!({"type": "NodePort"})));
    other["spec"]["ports"][0]["nodePort"] = 30_012.into();
    one.create(Kind::Service, other).unwrap();
    let taken = one.put(spec(json!({"type": "NodePort", "ports": two(30_010, 30_012, 54)})));
    refused(taken, &[("spec.ports[1].nodePort", INV)]);
    let outside = one.put(spec(json!({"type": "NodePort", "ports": two(80, 30_010, 54)})));
    refused(outside, &[("spec.ports[0].nodePort", INV)]);
}

#[test]
fn section_5_node_ports_of_a_load_balancer_can_be_cleared() {
    let (mut world, made) = world(json!({"type": "LoadBalancer"}));
    let number = node_port(&made, 0);
    let kept = world.patch(json!({"allocateLoadBalancerNodePorts": false})).unwrap();
    assert_eq!(node_port(&kept, 0), number, "a switch alone keeps them");
    let cleared = json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
    assert_eq!(node_port(&world.patch(cleared).unwrap(), 0), 0);
    assert_eq!(world.port_holder(number), None);
    let again = world.patch(json!({"allocateLoadBalancerNodePorts": true})).unwrap();
    assert_ne!(node_port(&again, 0), 0);
}

#[test]
fn case_48_to_node_port_and_back() {
    let (mut world, made) = world(json!({}));
    let next = world.patch(json!({"type": "NodePort"})).unwrap();
    let number = node_port(&next, 0);
    assert_eq!(world.port_holder(number).as_deref(), Some("a"));
    assert_eq!(next["spec"]["externalTrafficPolicy"], "Cluster");
    let back = world.patch(json!({"type": "ClusterIP"})).unwrap();
    assert_eq!(back["spec"], made["spec"]);
    assert_eq!(world.port_holder(number), None, "reusable");
}

#[test]
fn case_49_to_external_name_and_back() {
    let (mut world, made) = world(json!({"type": "NodePort", "internalTrafficPolicy": "Local"}));
    let named = world.patch(json!({"type": "ExternalName", "externalName": "x.example.com"})).unwrap();
    let expected = json!({
        "type": "ExternalName", "externalName": "x.example.com", "sessionAffinity": "None", "selector": {"a": "b"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    });
    assert_eq!(named["spec"], expected);
    assert_eq!(world.ip_holder(&ip(&made)), None);
    assert_eq!(world.port_holder(node_port(&made, 0)), None);
    let back = world.patch(json!({"type": "ClusterIP"})).unwrap();
    assert_eq!(world.ip_holder(&ip(&back)).as_deref(), Some("a"));
    assert_eq!(back["spec"]["externalName"], "x.example.com", "kept");
    assert_eq!(world.warnings, ["spec.externalName is ignored when spec.type is not \"ExternalName\""]);
    let asked = world.patch(json!({"type": "ExternalName", "externalName": null}));
    refused(asked, &[("spec.externalName", REQ)]);
}

#[test]
fn section_7_what_the_user_changes_with_the_type_is_refused() {
    let (mut world, made) = world(json!({"type": "LoadBalancer", "loadBalancerClass": "x.y/z"}));
    let number = node_port(&made, 0);
    let ports = |number: i64| json!([{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": number}]);
    let patch = json!({
        "type": "ClusterIP", "ports": ports(number + 1), "allocateLoadBalancerNodePorts": false,
        "loadBalancerClass": "x.y/other", "externalTrafficPolicy": "Local",
    });
    let expected = [
        ("spec.ports[0].nodePort", FORB),
        ("spec.allocateLoadBalancerNodePorts", FORB),
        ("spec.loadBalancerClass", FORB),
        ("spec.externalTrafficPolicy", INV),
    ];
    refused(world.patch(patch), &expected);
    let next = world.patch(json!({"type": "NodePort"})).unwrap();
    assert_eq!(node_port(&next, 0), number, "the same node ports");
    for member in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        assert!(next["spec"].get(member).is_none(), "{member}");
    }
}

#[test]
fn section_7_the_health_check_port() {
    let (mut world, made) = world(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
    let health = made["spec"]["healthCheckNodePort"].as_i64().unwrap();
    let fixed = [("spec.healthCheckNodePort", FORB)];
    refused(world.patch(json!({"healthCheckNodePort": 30_001})), &fixed);
    refused(world.patch(json!({"healthCheckNodePort": 80})), &fixed);
    // A node port cannot be the own health check's.
    let ports = json!([{"port": 80, "nodePort": health}]);
    refused(world.patch(json!({"ports": ports})), &[("spec.ports[0].nodePort", INV)]);
    let next = world.patch(json!({"externalTrafficPolicy": "Cluster"})).unwrap();
    assert!(next["spec"].get("healthCheckNodePort").is_none());
    assert_eq!(world.port_holder(health), None);
    let back = world.patch(json!({"externalTrafficPolicy": "Local"})).unwrap();
    assert!(back["spec"]["healthCheckNodePort"].as_i64().unwrap() > 0);
    let off = world.patch(json!({"type": "ClusterIP"})).unwrap();
    assert!(off["spec"].get("healthCheckNodePort").is_none());
    assert!(off["spec"].get("externalTrafficPolicy").is_none());
}

#[test]
fn case_50_the_class_of_a_load_balancer_is_fixed() {
    let field = [("spec.loadBalancerClass", INV)];
    let (mut without, _) = world(json!({"type": "LoadBalancer"}));
    refused(without.patch(json!({"loadBalancerClass": "x.y/z"})), &field);
    let (mut with, _) = world(json!({"type": "LoadBalancer", "loadBalancerClass": "x.y/z"}));
    refused(with.patch(json!({"loadBalancerClass": "x.y/other"})), &field);
    refused(with.patch(json!({"loadBalancerClass": null})), &field);
    let (mut other, _) = world(json!({}));
    other.patch(json!({"type": "LoadBalancer", "loadBalancerClass": "x.y/z"})).unwrap();
}

#[test]
fn case_51_the_status_of_a_load_balancer() {
    let status = |ingress: Value| json!({"loadBalancer": {"ingress": ingress}});
    let write = |world: &mut World, ingress: Value| {
        let mut value = world.get(Kind::Service, "a");
        value["status"] = status(ingress);
        world.write(Kind::Service, value, Some("status"))
    };
    let (mut balanced, made) = world(json!({"type": "LoadBalancer"}));
    let next = write(&mut balanced, json!([{"ip": "192.0.2.127"}])).unwrap();
    assert_eq!(next["status"], status(json!([{"ip": "192.0.2.127", "ipMode": "VIP"}])));
    assert_eq!(balanced.ip_holder(&ip(&made)).as_deref(), Some("a"), "claims are kept");
    assert_eq!(balanced.port_holder(node_port(&made, 0)).as_deref(), Some("a"));
    let field = |i: usize, member: &str| format!("status.loadBalancer.ingress[{i}].{member}");
    let bad = json!([
        {"ip": "foo"}, {"ip": "192.0.2.1", "ipMode": "Foo"}, {"hostname": "x", "ipMode": "VIP"},
        {"hostname": "1.2.3.4"}, {"hostname": "A"},
    ]);
    refused(
        write(&mut balanced, bad),
        &[
            (&field(0, "ip"), INV),
            (&field(1, "ipMode"), NS),
            (&field(2, "ipMode"), FORB),
            (&field(3, "hostname"), INV),
            (&field(4, "hostname"), INV),
        ],
    );
    let (mut plain, _) = world(json!({}));
    refused(write(&mut plain, json!([{"ip": "192.0.2.127"}])), &[("status.loadBalancer.ingress", FORB)]);
    // Another type empties the addresses and keeps the conditions.
    let mut value = balanced.get(Kind::Service, "a");
    let condition = json!({
        "type": "x", "status": "True", "reason": "r", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    value["status"]["conditions"] = json!([condition]);
    balanced.write(Kind::Service, value, Some("status")).unwrap();
    let next = balanced.patch(json!({"type": "NodePort"})).unwrap();
    assert_eq!(next["status"], json!({"loadBalancer": {}, "conditions": [condition]}));
}

#[test]
fn case_52_what_a_deleted_service_held_is_free() {
    let (mut world, made) = world(json!({"type": "NodePort"}));
    world.delete("a");
    let ports = json!([{"port": 80, "nodePort": node_port(&made, 0)}]);
    let again = world.post(spec(json!({"type": "NodePort", "clusterIP": ip(&made), "ports": ports}))).unwrap();
    assert_eq!(again["spec"], made["spec"]);
}

#[test]
fn what_is_stored_is_not_held_against_an_update() {
    let (mut world, _) = world(json!({"externalIPs": ["192.0.2.1"]}));
    let next = world.patch(json!({"externalIPs": ["192.0.2.1", "010.0.0.1"]}));
    refused(next, &[("spec.externalIPs[1]", INV)]);
}

#[test]
fn bad_labels_of_an_update_are_told_as_often_as_the_real_server_looks() {
    let (mut world, _) = world(json!({}));
    let mut value = world.get(Kind::Service, "a");
    value["metadata"]["labels"] = json!({"a": "b c"});
    let thrice = [("metadata.labels", INV); 3];
    refused(world.write(Kind::Service, value.clone(), None), &thrice);
    refused(world.write(Kind::Service, value, Some("status")), &thrice);
}
