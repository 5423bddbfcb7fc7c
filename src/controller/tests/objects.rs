//! Pods without a runtime, namespaces, garbage, first objects.

use super::*;
use crate::controller::bootstrap;

fn registered(content: Value) -> Draft {
    let mut value = json!({"metadata": {"labels": {"app": "MyApp"}, "annotations": {"edgesvc.io/pod-ip": "192.0.2.7"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Pending"}});
    json_patch::merge(&mut value, &content);
    draft(Kind::Pod, "a", value)
}

#[test]
fn a_registered_pod_runs_here_and_serves() {
    let mut world = World::new([service(json!({})), registered(json!({}))]);
    let pod = world.get(Kind::Pod, "a").unwrap();
    assert_eq!(pod["spec"]["nodeName"], "node1");
    assert_eq!((&pod["status"]["phase"], &pod["status"]["hostIP"]), (&json!("Running"), &json!("192.0.2.1")));
    assert_eq!(world.slice_addrs(), ["192.0.2.7"]);
    assert_eq!(world.conditions(), [true, true, false]);
    world.edit(Kind::Pod, "a", json!({"metadata": {"annotations": {"edgesvc.io/pod-ip": "192.0.2.8"}}}));
    assert_eq!(world.slice_addrs(), ["192.0.2.8"], "the annotation may move the Pod");
}

#[test]
fn a_status_the_client_patched_wins() {
    let mut world = World::new([service(json!({})), registered(json!({}))]);
    let status = json!({"podIP": "192.0.2.9", "podIPs": [{"ip": "192.0.2.9"}], "conditions": [{"type": "Ready", "status": "False"}]});
    world.edit(Kind::Pod, "a", json!({"status": status}));
    assert_eq!(world.slice_addrs(), ["192.0.2.9"]);
    assert_eq!(world.conditions(), [false; 3]);
}

#[test]
fn an_address_by_status_binds_and_nothing_stays_unbound() {
    let world = World::new([service(json!({})), pod("a", "10.244.1.1", true, json!({"spec": {"nodeName": null}}))]);
    assert_eq!(world.slice_addrs(), ["10.244.1.1"]);
    let world = World::new([registered(json!({"metadata": {"annotations": null}}))]);
    let pod = world.get(Kind::Pod, "a").unwrap();
    assert!(pod["spec"].get("nodeName").is_none());
    assert_eq!(pod["status"]["conditions"][0]["reason"], "NoRuntime");
}

#[test]
fn a_pod_goes_when_its_grace_is_over() {
    let mut world = World::new([pod("a", "10.244.1.1", true, deleting())]);
    assert!(world.get(Kind::Pod, "a").is_some());
    world.now += time::Duration::seconds(30);
    world.seen = None;
    world.settle();
    assert!(world.get(Kind::Pod, "a").is_none());
}

#[test]
fn a_namespace_goes_after_its_content() {
    let config = draft(Kind::ConfigMap, "held", json!({"metadata": {"finalizers": ["x.y/z"]}}));
    let namespace = json!({"spec": {"finalizers": ["kubernetes"]}});
    let mut world = World::new([draft(Kind::Namespace, "default", namespace), service(json!({})), config]);
    world.edit(Kind::Namespace, "default", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    assert!(world.get(Kind::Service, "my-service").is_none());
    assert!(world.get(Kind::Namespace, "default").is_some(), "a finalizer holds its content");
    world.delete(Kind::ConfigMap, "held");
    let back = world.get(Kind::Namespace, "default").unwrap();
    assert!(
        back.pointer("/metadata/deletionTimestamp").is_none(),
        "it went, and default is one of those that come back"
    );
}

#[test]
fn a_namespace_shows_which_groups_hold_roles_in_it() {
    let mut world = World::new([]);
    world.put(draft(Kind::Namespace, "shop", json!({})));
    let bindings = |world: &World| -> Vec<String> {
        let all = world.snapshot.list(Kind::RoleBinding, Some("shop")).map(|binding| binding.value());
        all.map(|value| {
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
            [text("/metadata/name"), text("/roleRef/kind"), text("/roleRef/name"), text("/subjects/0/name")].join(" ")
        })
        .collect()
    };
    assert_eq!(
        bindings(&world),
        ["edit ClusterRole edit edgesvc:edit:shop", "view ClusterRole view edgesvc:view:shop"]
    );
    world.edit(Kind::Namespace, "shop", json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(bindings(&world).len(), 2);
    world.edit(Kind::Namespace, "shop", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    assert_eq!((bindings(&world).len(), world.get(Kind::Namespace, "shop")), (0, None));
}

#[test]
fn garbage_follows_its_owner() {
    let owned = |name| {
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "uid-owner"}]);
        draft(Kind::Secret, name, json!({"metadata": {"ownerReferences": owner}}))
    };
    let owner = || draft(Kind::ConfigMap, "owner", json!({}));
    let mut world = World::new([owner(), owned("a")]);
    world.delete(Kind::ConfigMap, "owner");
    assert!(world.get(Kind::Secret, "a").is_none(), "background");
    for (finalizer, stays) in [("foregroundDeletion", false), ("orphan", true)] {
        let mut world = World::new([owner(), owned("a")]);
        let going = json!({"metadata": {"finalizers": [finalizer], "deletionTimestamp": "2026-01-02T03:04:05Z"}});
        world.edit(Kind::ConfigMap, "owner", going);
        assert!(world.get(Kind::ConfigMap, "owner").is_none());
        assert_eq!(world.get(Kind::Secret, "a").is_some(), stays, "{finalizer}");
    }
}

#[test]
fn bootstrap_is_idempotent_and_names_the_api() {
    let mut world = World::new([]);
    for round in 0..2 {
        let random = fastrand::Rng::with_seed(1);
        let triggers = &mut Triggers::default();
        let mut scene = Scene { snapshot: &world.snapshot, facts: &world.facts, now: NOW, random, triggers };
        let mut ops = bootstrap::durable(&mut scene).unwrap();
        ops.extend(bootstrap::observed(&mut scene).unwrap());
        assert_eq!(ops.is_empty(), round == 1);
        world.snapshot = world.snapshot.foresee(&ops).unwrap();
        world.settle();
    }
    let service = world.get(Kind::Service, "kubernetes").unwrap();
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(world.get(Kind::Endpoints, "kubernetes").unwrap()["subsets"][0]["addresses"][0]["ip"], "192.0.2.1");
    assert_eq!(world.get(Kind::EndpointSlice, "kubernetes").unwrap()["endpoints"][0]["addresses"][0], "192.0.2.1");
}

#[test]
fn the_trigger_time_is_the_earliest_of_what_changed_since_the_service_was_looked_at() {
    const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    let at = |name: &str, ip: &str, ready: bool, time: &str| {
        let ready = if ready { "True" } else { "False" };
        let condition = json!([{"type": "Ready", "status": ready, "lastTransitionTime": time}]);
        pod(name, ip, true, json!({"status": {"conditions": condition}}))
    };
    let told = |world: &World| {
        let slices = world.slices();
        [slices[0]["metadata"]["annotations"].get(TRIGGER), world.endpoints()["metadata"]["annotations"].get(TRIGGER)]
            .map(|time| time.and_then(Value::as_str).unwrap_or("none").to_owned())
    };
    let created = "2026-01-01T00:00:00Z";
    let mut world = World::new([service(json!({})), at("a", "10.244.1.1", true, "2026-01-01T01:00:00Z")]);
    assert_eq!(told(&world), [created; 2], "the first look");
    let slice = world.slices()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(Kind::EndpointSlice, &slice);
    assert_eq!(told(&world), ["none", created], "nothing changed but that the slice was gone");
    world.put(at("b", "10.244.1.2", true, "2026-01-01T00:30:00Z"));
    assert_eq!(told(&world), ["2026-01-01T00:30:00Z"; 2], "a Pod that is new, however old");
    world.put(at("a", "10.244.1.1", false, "2026-01-01T02:00:00Z"));
    assert_eq!(told(&world), ["2026-01-01T02:00:00Z"; 2]);
    world.delete(Kind::Pod, "b");
    assert_eq!(told(&world), ["none"; 2], "a Pod that is gone has no time");
    world.delete(Kind::Service, "my-service");
    world.put(service(json!({})));
    assert_eq!(told(&world), [created; 2], "another Service of the name");
}
