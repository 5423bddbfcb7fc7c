//! What holds of a Service whatever is done to it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::held_claims;
use super::world::{World, service};
use crate::model::{Claim, Kind};

/// One change somebody may ask for: a merge patch of the spec.
fn patch() -> impl Strategy<Value = Value> {
    let r#type = prop_oneof![Just("ClusterIP"), Just("NodePort"), Just("LoadBalancer"), Just("ExternalName")];
    let number = prop_oneof![Just(0), 30_000..30_006_i64];
    let ports = proptest::collection::vec((0..3_usize, number.clone(), any::<bool>()), 1..4).prop_map(|rows| {
        let rows = rows.into_iter().enumerate();
        let rows = rows.map(|(i, (name, number, udp))| {
            let protocol = if udp { "UDP" } else { "TCP" };
            json!({"name": format!("p{name}{i}"), "port": 80 + i, "protocol": protocol, "nodePort": number})
        });
        rows.collect::<Value>()
    });
    let address = prop_oneof![Just(json!(null)), Just(json!("")), Just(json!("None")), Just(json!("10.96.0.9"))];
    let policies = vec!["SingleStack", "PreferDualStack", "RequireDualStack"];
    prop_oneof![
        r#type.prop_map(|r#type| json!({"type": r#type, "externalName": "x.y"})),
        ports.prop_map(|ports| json!({"ports": ports})),
        any::<bool>().prop_map(|on| json!({"allocateLoadBalancerNodePorts": on})),
        any::<bool>().prop_map(|local| json!({"externalTrafficPolicy": if local { "Local" } else { "Cluster" }})),
        number.prop_map(|number| json!({"healthCheckNodePort": number})),
        address.prop_map(|ip| json!({"clusterIP": ip})),
        proptest::sample::select(policies).prop_map(|policy| json!({"ipFamilyPolicy": policy})),
        any::<bool>().prop_map(|some| json!({"externalIPs": if some { json!(["192.0.2.1"]) } else { json!(null) }})),
    ]
}

fn claims_of(world: &World, name: &str) -> Vec<Claim> {
    let claims = world.snapshot.claims().iter();
    claims.filter(|(_, key)| &*key.name == name).map(|(claim, _)| *claim).collect()
}

proptest! {
    /// After every change that is accepted a Service holds exactly what it shows,
    /// nothing of another Service is among it, and saving it again changes nothing.
    #[test]
    fn a_service_holds_what_it_shows(changes in proptest::collection::vec((any::<bool>(), patch()), 1..12)) {
        let mut world = World::dual();
        for name in ["a", "b"] {
            world.create(Kind::Service, service(name, json!({"ports": [{"port": 80}], "selector": {"x": "y"}}))).unwrap();
        }
        for (first, change) in changes {
            let name = if first { "a" } else { "b" };
            let mut wanted = crate::api::patch::merge_patch(&world.get(Kind::Service, name), &json!({"spec": change})).unwrap();
            let before = world.snapshot.clone();
            if world.write(Kind::Service, wanted.take(), None).is_err() {
                prop_assert_eq!(before.revision(), world.snapshot.revision());
                continue;
            }
            for name in ["a", "b"] {
                let stored = world.get(Kind::Service, name);
                prop_assert_eq!(held_claims(Kind::Service, &stored), claims_of(&world, name));
                let saved = world.write(Kind::Service, stored.clone(), None);
                prop_assert_eq!(saved.unwrap(), stored);
            }
        }
    }
}

/// A body full of faults is answered in kilobytes, whatever the list they stand in.
#[test]
fn many_faults_are_told_up_to_a_limit() {
    let many = 20_000;
    let labels: Value =
        (0..many).map(|i| (format!("bad key {i}"), json!("bad value"))).collect::<serde_json::Map<_, _>>().into();
    let owner = json!({"apiVersion": "v1", "kind": "x", "name": "y", "uid": "z", "controller": true});
    let metadata = json!({
        "labels": labels, "annotations": labels, "finalizers": vec!["bad name"; many],
        "ownerReferences": vec![owner; 1000],
    });
    let rows = [
        (
            Kind::Service,
            json!({"spec": {
                "ports": vec![json!({}); many], "externalIPs": vec!["foo"; many], "selector": labels, "type": "LoadBalancer",
                "allocateLoadBalancerNodePorts": false, "loadBalancerSourceRanges": vec!["foo"; many],
            }}),
        ),
        (
            Kind::Service,
            json!({"spec": {"clusterIP": "foo", "clusterIPs": vec!["foo"; many], "ipFamilies": vec!["x"; many]}}),
        ),
        (Kind::Endpoints, json!({"subsets": vec![json!({}); many]})),
        (Kind::Endpoints, json!({"subsets": [{"addresses": vec![json!({}); many], "ports": vec![json!({}); many]}]})),
        (
            Kind::EndpointSlice,
            json!({"addressType": "IPv4", "endpoints": vec![json!({"addresses": vec!["x"; 90]}); 1000]}),
        ),
        (Kind::EndpointSlice, json!({"addressType": "IPv4", "ports": vec![json!({"name": "A"}); 20_000]})),
        (Kind::ConfigMap, json!({"data": labels})),
        (Kind::Pod, json!({"spec": {"containers": vec![json!({}); many]}})),
        (Kind::Node, json!({"spec": {"podCIDRs": vec!["x"; many]}})),
    ];
    for (kind, members) in rows {
        let mut value = super::world::object(kind, "a", members);
        value["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let faults = super::world::faults(World::single().create(kind, value));
        assert!((1000..20_000).contains(&faults.len()), "{kind}: {}", faults.len());
    }
}
