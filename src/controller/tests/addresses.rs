//! Addresses follow their claims, ranges go when nobody needs them, and every
//! namespace has its account.

use super::*;
use crate::model::{Claim, ip_address};

fn holding(world: &mut World, name: &str, ips: &[&str]) {
    let value = json!({"spec": {"type": "ClusterIP", "clusterIPs": ips, "ports": [{"port": 80}]}});
    let claims = ips.iter().map(|ip| Claim::ClusterIp(ip.parse().unwrap())).collect();
    let op = Op::Put { draft: Box::new(draft(Kind::Service, name, value)), expect: Expect::Any, claims };
    world.snapshot = world.snapshot.foresee(&[op]).unwrap();
    world.settle();
}

fn addresses(world: &World) -> Vec<String> {
    world.snapshot.list(Kind::IpAddress, None).map(|object| object.key.name.to_string()).collect()
}

fn later(world: &mut World, seconds: i64) {
    world.now += time::Duration::seconds(seconds);
    world.seen = None;
    world.settle();
}

fn range(name: &str, range: &str) -> Draft {
    draft(Kind::ServiceCidr, name, json!({"spec": {"cidrs": [range]}}))
}

fn condition(world: &World, name: &str) -> Value {
    world.get(Kind::ServiceCidr, name).unwrap()["status"]["conditions"][0].clone()
}

#[test]
fn every_cluster_ip_has_its_object() {
    let mut world = World::new([]);
    holding(&mut world, "a", &["10.96.0.9", "fd00::9"]);
    assert_eq!(addresses(&world), ["10.96.0.9", "fd00::9"]);
    let object = world.get(Kind::IpAddress, "fd00::9").unwrap();
    assert_eq!(object["spec"]["parentRef"], json!({"resource": "services", "namespace": "default", "name": "a"}));
    assert_eq!(object["metadata"]["labels"][ip_address::FAMILY], "IPv6");
    assert_eq!(object["metadata"]["labels"][ip_address::MANAGED_BY], ip_address::MANAGER);
    world.delete(Kind::IpAddress, "fd00::9");
    assert_eq!(addresses(&world), ["10.96.0.9", "fd00::9"], "the claim is the truth");
    world.edit(Kind::IpAddress, "10.96.0.9", json!({"spec": {"parentRef": {"name": "b"}}}));
    assert_eq!(world.get(Kind::IpAddress, "10.96.0.9").unwrap()["spec"]["parentRef"]["name"], "a");
}

/// Case 60 of spec/service.md.
#[test]
fn an_object_a_client_made_of_no_claim_goes_after_a_minute() {
    let mut world = World::new([]);
    let mut value = ip_address::content("10.96.0.7".parse().unwrap(), &key(Kind::Service, "none"));
    value["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z".into();
    world.put(Draft::new(Kind::IpAddress, &value).unwrap());
    assert!(addresses(&world).is_empty(), "nobody but us made it");
    value["metadata"]["managedFields"] = json!([{"manager": "m"}]);
    world.put(Draft::new(Kind::IpAddress, &value).unwrap());
    value["metadata"] = json!({"name": "10.96.0.8", "creationTimestamp": "2026-01-02T03:04:05Z"});
    world.put(Draft::new(Kind::IpAddress, &value).unwrap());
    later(&mut world, 59);
    assert_eq!(addresses(&world), ["10.96.0.7", "10.96.0.8"]);
    later(&mut world, 1);
    assert_eq!(addresses(&world), ["10.96.0.8"], "what was made by hand stays");
    let events: Vec<Value> = world.snapshot.list(Kind::Event, None).map(|event| event.value()).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["reason"], &events[0]["involvedObject"]["name"]),
        (&json!("IPAddressNotAllocated"), &json!("10.96.0.7"))
    );
    later(&mut world, 3600);
    assert_eq!(world.snapshot.count(Kind::Event), 0, "an event is kept for an hour");
}

#[test]
fn of_too_many_events_the_oldest_go() {
    let event = |i: usize| {
        draft(Kind::Event, &format!("e{i:04}"), json!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}}))
    };
    let world = World::new((0..2003).map(event));
    assert_eq!(world.snapshot.count(Kind::Event), 2000);
    assert!(world.get(Kind::Event, "e0002").is_none() && world.get(Kind::Event, "e0003").is_some());
}

#[test]
fn a_range_is_ready_and_goes_when_nobody_needs_it() {
    let mut world = World::new([range("kubernetes", "10.96.0.0/16"), range("more", "10.99.0.0/24")]);
    assert_eq!(condition(&world, "more")["status"], "True");
    assert_eq!(
        world.get(Kind::ServiceCidr, "more").unwrap()["metadata"]["finalizers"],
        json!(["networking.k8s.io/service-cidr-finalizer"])
    );
    holding(&mut world, "a", &["10.99.0.9"]);
    world.edit(Kind::ServiceCidr, "more", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    let blocked = condition(&world, "more");
    assert_eq!((&blocked["status"], &blocked["reason"]), (&json!("False"), &json!("Terminating")));
    world.delete(Kind::Service, "a");
    later(&mut world, 60);
    assert!(addresses(&world).is_empty());
    world.seen = None;
    world.settle();
    assert!(world.get(Kind::ServiceCidr, "more").is_none());
}

#[test]
fn a_range_within_another_goes_after_its_grace() {
    let mut world = World::new([range("kubernetes", "10.96.0.0/16"), range("part", "10.96.7.0/24")]);
    holding(&mut world, "a", &["10.96.7.9"]);
    world.edit(Kind::ServiceCidr, "part", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    later(&mut world, 9);
    assert!(world.get(Kind::ServiceCidr, "part").is_some());
    later(&mut world, 1);
    assert!(world.get(Kind::ServiceCidr, "part").is_none());
}

#[test]
fn every_namespace_has_its_account() {
    let mut world = World::new([draft(Kind::Namespace, "other", json!({}))]);
    let own = ObjectKey::new("other", "default");
    let account =
        |world: &World| world.snapshot.get(Kind::ServiceAccount, &own).map(|account| account.meta.uid.clone());
    let first = account(&world).unwrap();
    let op = Op::Delete { kind: Kind::ServiceAccount, key: own.clone(), expect: Expect::Any };
    world.snapshot = world.snapshot.foresee(&[op]).unwrap();
    world.settle();
    assert_ne!(account(&world).unwrap(), first, "it came back");
    let going =
        json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}, "spec": {"finalizers": ["kubernetes"]}});
    world.edit(Kind::Namespace, "other", going);
    assert!(account(&world).is_none());
}

#[test]
fn a_service_in_a_range_that_is_going_is_not_outside_of_it() {
    let more = json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z",
        "finalizers": ["networking.k8s.io/service-cidr-finalizer"]}, "spec": {"cidrs": ["10.99.0.0/24"]}});
    let world = World::new([
        draft(Kind::ServiceCidr, "more", more),
        service(json!({"spec": {"clusterIPs": ["10.99.0.9"], "clusterIP": "10.99.0.9"}})),
    ]);
    let out = |event: &Value| event["reason"] == "ClusterIPOutOfRange";
    assert!(!world.snapshot.list(Kind::Event, None).any(|event| out(&event.value())));
}

/// spec/service.md section 9: what lies outside every range is told once, and
/// again when the event is over.
#[test]
fn a_service_outside_the_ranges_is_reported_once_an_hour() {
    let spec = json!({"spec": {"type": "NodePort", "clusterIPs": ["10.99.0.9"],
        "ports": [{"protocol": "TCP", "port": 80, "nodePort": 40000}]}});
    let mut world = World::new([service(spec)]);
    world.facts.node_ports = Some(30000..=32767);
    world.seen = None;
    world.settle();
    let told = |world: &World| -> Vec<String> {
        let mut reasons: Vec<String> = world
            .snapshot
            .list(Kind::Event, None)
            .map(|event| event.value()["reason"].as_str().unwrap().to_owned())
            .collect();
        reasons.sort();
        reasons
    };
    assert_eq!(told(&world), ["ClusterIPOutOfRange", "PortOutOfRange"]);
    world.seen = None;
    world.settle();
    assert_eq!(told(&world).len(), 2);
    let event = world.snapshot.list(Kind::Event, None).next().unwrap().value();
    assert_eq!(event["involvedObject"]["name"], "my-service");
    assert_eq!(event["type"], "Warning");
}
