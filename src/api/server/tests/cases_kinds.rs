//! Kinds beyond the core: addresses and ranges, both groups' events, Leases, roles.

use serde_json::{Value, json};

use super::client::{Harness, SERVICES, causes, service};

const NETWORKING: &str = "/apis/networking.k8s.io/v1";
const EVENTS: &str = "/api/v1/namespaces/default/events";
const NEWER_EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

fn wishing(name: &str, ip: &str) -> Value {
    let mut value = service(name);
    value["spec"]["clusterIP"] = ip.into();
    value
}

#[tokio::test]
async fn the_object_of_an_address_comes_and_goes_with_its_service() {
    let api = Harness::start().await;
    let path = format!("{NETWORKING}/ipaddresses/10.43.7.7");
    api.post(&format!("{SERVICES}?dryRun=All"), &wishing("a", "10.43.7.7")).await.expect(201);
    api.get(&path).await.expect(404);
    api.post(SERVICES, &wishing("a", "10.43.7.7")).await.expect(201);
    let object = api.get(&path).await.expect(200).json();
    assert_eq!(object["spec"]["parentRef"], json!({"resource": "services", "namespace": "default", "name": "a"}));
    let named = json!({"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIP": null, "clusterIPs": null}});
    api.merge(&format!("{SERVICES}/a"), &named).await.expect(200);
    api.get(&path).await.expect(404);
    api.post(SERVICES, &wishing("b", "10.43.7.7")).await.expect(201);
    api.get(&path).await.expect(200);
    api.delete(&format!("{SERVICES}/b")).await.expect(200);
    api.get(&path).await.expect(404);
}

#[tokio::test]
async fn an_address_made_by_hand_is_not_given_to_a_service() {
    let api = Harness::start().await;
    let addresses = format!("{NETWORKING}/ipaddresses");
    let spec = json!({"parentRef": {"group": "x.y", "resource": "gateways", "name": "g"}});
    let mine = json!({"metadata": {"name": "10.43.7.7"}, "spec": spec});
    api.post(&addresses, &mine).await.expect(201);
    let refused = api.post(SERVICES, &wishing("a", "10.43.7.7")).await.expect(422).json();
    assert_eq!(causes(&refused), [("FieldValueInvalid".to_owned(), "spec.clusterIPs".to_owned())]);
    api.delete(&format!("{addresses}/10.43.7.7")).await.expect(200);
    api.post(SERVICES, &wishing("a", "10.43.7.7")).await.expect(201);
    assert_eq!(api.post(&addresses, &mine).await.expect(409).json()["reason"], "AlreadyExists");
    let generated = json!({"metadata": {"generateName": "10.43.7."}, "spec": spec});
    let refused = api.post(&addresses, &generated).await.expect(422).json();
    assert_eq!(refused["details"]["name"], "10.43.7.", "nothing is added to an address");
}

#[tokio::test]
async fn a_service_may_ask_another_range_for_its_address() {
    let api = Harness::start().await;
    let ranges = format!("{NETWORKING}/servicecidrs");
    let range = |name: &str, range: &str| json!({"metadata": {"name": name}, "spec": {"cidrs": [range]}});
    api.post(&ranges, &range("kubernetes", "10.43.0.0/16")).await.expect(201);
    api.post(SERVICES, &wishing("a", "10.99.0.9")).await.expect(422);
    api.post(&ranges, &range("more", "10.99.0.0/24")).await.expect(201);
    api.post(SERVICES, &wishing("a", "10.99.0.9")).await.expect(201);
    api.put(&format!("{ranges}/none"), &range("none", "10.98.0.0/24")).await.expect(404);
}

#[tokio::test]
async fn an_event_of_one_group_is_seen_through_the_other() {
    let api = Harness::start().await;
    let mut watch = api.watch(&format!("{NEWER_EVENTS}?watch=1&fieldSelector=regarding.name%3Dp")).await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R", "message": "m", "type": "Normal", "source": {"component": "c"}, "count": 2});
    let made = api.post(EVENTS, &event).await.expect(201).json();
    let seen = watch.next().await.unwrap();
    assert_eq!((&seen["type"], &seen["object"]["note"]), (&json!("ADDED"), &json!("m")));
    let newer = api.get(&format!("{NEWER_EVENTS}/e")).await.expect(200).json();
    assert_eq!(newer["apiVersion"], "events.k8s.io/v1");
    assert_eq!(newer["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!((&newer["regarding"]["name"], &newer["deprecatedCount"]), (&json!("p"), &json!(2)));
    let list = api.get(NEWER_EVENTS).await.expect(200).json();
    assert_eq!((&list["apiVersion"], &list["items"][0]["note"]), (&json!("events.k8s.io/v1"), &json!("m")));
    api.get(&format!("{NEWER_EVENTS}?fieldSelector=involvedObject.name%3Dp")).await.expect(400);
    let newer = json!({"metadata": {"name": "n"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "a.b/c",
        "reportingInstance": "i", "action": "A", "reason": "R", "note": "x", "type": "Normal",
        "regarding": {"namespace": "default", "name": "p"}});
    api.post(NEWER_EVENTS, &newer).await.expect(201);
    let core = api.get(&format!("{EVENTS}/n")).await.expect(200).json();
    assert_eq!((&core["kind"], &core["message"], &core["source"]), (&json!("Event"), &json!("x"), &json!({})));
    let refused = api.merge(&format!("{NEWER_EVENTS}/n"), &json!({"note": "y"})).await.expect(422).json();
    assert_eq!(refused["message"], "Event \"n\" is invalid: message: Invalid value: \"y\": field is immutable");
    api.delete(&format!("{NEWER_EVENTS}/n")).await.expect(200);
    api.get(&format!("{EVENTS}/n")).await.expect(404);
}

#[tokio::test]
async fn a_lease_is_replaced_only_by_who_saw_it() {
    let api = Harness::start().await;
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}});
    let path = format!("{LEASES}/a");
    let mut made = api.put(&path, &lease).await.expect(201).json();
    let refused = api.put(&path, &lease).await.expect(422).json();
    assert_eq!(causes(&refused)[0].1, "metadata.resourceVersion");
    made["spec"]["holderIdentity"] = "y".into();
    api.put(&path, &made).await.expect(200);
    api.put(&path, &made).await.expect(409);
    let unknown = api.get(&format!("{LEASES}?fieldSelector=spec.x%3Dy")).await.expect(400).json();
    assert_eq!(
        unknown["message"],
        "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
}

#[tokio::test]
async fn roles_can_only_be_read() {
    let api = Harness::start().await;
    assert_eq!(api.get(&format!("{ROLES}/clusterroles")).await.expect(200).json()["items"], json!([]));
    let role = json!({"metadata": {"name": "a"}, "rules": []});
    let refused = api.post(&format!("{ROLES}/clusterroles"), &role).await.expect(405).json();
    assert!(refused["message"].as_str().unwrap().contains("clusterroles.rbac.authorization.k8s.io"), "{refused}");
    api.put(&format!("{ROLES}/clusterroles/a"), &role).await.expect(405);
    api.delete(&format!("{ROLES}/clusterroles")).await.expect(405);
    let discovery = api.get(ROLES).await.expect(200).json();
    for resource in discovery["resources"].as_array().unwrap() {
        assert_eq!(resource["verbs"], json!(["get", "list", "watch"]), "{resource}");
    }
}

#[tokio::test]
async fn a_deletion_that_waits_raises_the_generation() {
    let api = Harness::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let spec = json!({"containers": [{"name": "a", "image": "b"}]});
    api.post(pods, &json!({"metadata": {"name": "a", "finalizers": ["x.y/z"]}, "spec": spec})).await.expect(201);
    for _ in 0..2 {
        let going = api.delete(&format!("{pods}/a")).await.expect(200).json();
        assert_eq!(going["metadata"]["generation"], 2);
    }
}

#[tokio::test]
async fn warnings_come_with_a_refused_name_too() {
    let api = Harness::start().await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = json!({"metadata": {"name": "a"}, "addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]});
    for code in [201, 409] {
        let reply = api.post(slices, &slice).await.expect(code);
        assert!(reply.header("warning").contains("FQDN endpoints are deprecated"), "{code}");
    }
}

#[tokio::test]
async fn a_service_without_a_name_can_hold_no_address() {
    let api = Harness::start().await;
    let spec = json!({"ports": [{"port": 80}]});
    for (metadata, spec, field) in [
        (json!({}), spec.clone(), "spec.clusterIPs"),
        (json!({"name": "a/b"}), spec.clone(), "spec.clusterIPs"),
        (json!({}), json!({"clusterIP": "None"}), "metadata.name"),
        (json!({"name": "A"}), spec, "metadata.name"),
    ] {
        let refused = api.post(SERVICES, &json!({"metadata": metadata, "spec": spec})).await.expect(422).json();
        assert_eq!(causes(&refused)[0].1, field, "{metadata}");
    }
}

#[tokio::test]
async fn an_object_of_the_other_group_is_refused_by_its_version() {
    let api = Harness::start().await;
    let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}});
    let refused = api.post(NEWER_EVENTS, &core).await.expect(400).json();
    let words = "the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)";
    assert_eq!(refused["message"], words);
}

#[tokio::test]
async fn a_repair_hands_over_what_it_mended_to_be_reported_and_a_dry_run_nothing() {
    let api = Harness::start().await;
    let value = json!({"metadata": {"name": "lost", "namespace": "default", "uid": "lost"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"]}});
    let draft = Box::new(crate::model::Draft::new(crate::model::Kind::Service, &value).unwrap());
    // A Service that holds no claim on the address it shows.
    let op = crate::store::Op::Put { draft, expect: crate::store::Expect::Any, claims: Vec::new() };
    let write = crate::store::Write { ops: vec![op], durability: crate::store::Durability::Flash };
    api.store.submit(write).await.unwrap();
    let fault = "ip/10.43.0.9 of services/default/lost was not recorded";
    for (path, mended, reported) in [
        ("/edgesvc/v1/repair?dryRun=All", json!(false), vec![]),
        ("/edgesvc/v1/repair", json!(true), vec![fault.to_owned()]),
    ] {
        let said = api.post(path, &json!({})).await.expect(200).json();
        assert_eq!((&said["mended"], &said["faults"][0]["message"]), (&mended, &json!(fault)));
        assert_eq!(*api.reported.lock().unwrap(), reported);
    }
    let said = api.post("/edgesvc/v1/repair", &json!({})).await.expect(200).json();
    assert_eq!(said["faults"], json!([]));
    assert_eq!(api.reported.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn discovery_names_the_stored_version_of_every_kind() {
    let api = Harness::start().await;
    // What the real server says of them.
    let expected = [
        ("/api/v1", "pods", "xPOwRZ+Yhw8="),
        ("/api/v1", "services", "0/CO1lhkEBI="),
        ("/api/v1", "events", "r2yiGXH7wu8="),
        ("/apis/events.k8s.io/v1", "events", "r2yiGXH7wu8="),
        ("/apis/networking.k8s.io/v1", "servicecidrs", "gNLvruQhW2g="),
        ("/apis/discovery.k8s.io/v1", "endpointslices", "qgS0xkrxYAI="),
    ];
    for (path, plural, hash) in expected {
        let list = api.get(path).await.expect(200).json();
        let row = list["resources"].as_array().unwrap().iter().find(|row| row["name"] == plural).unwrap().clone();
        assert_eq!(row["storageVersionHash"], hash, "{path} {plural}");
    }
    let services = api.get("/api/v1").await.json();
    let status = services["resources"].as_array().unwrap().iter().find(|row| row["name"] == "services/status").unwrap();
    assert!(status.get("storageVersionHash").is_none(), "{status}");
}

const CLASSES: &str = "/apis/networking.k8s.io/v1/ingressclasses";

#[tokio::test]
async fn a_namespace_told_of_what_lies_in_none_is_dropped_and_can_be_asked_for() {
    let api = Harness::start().await;
    let class = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"controller": "a.b/c"}});
    assert!(api.post(CLASSES, &class).await.expect(201).json()["metadata"].get("namespace").is_none());
    assert!(api.put(&format!("{CLASSES}/a"), &class).await.expect(200).json()["metadata"].get("namespace").is_none());
    let none = api.get(&format!("{CLASSES}?fieldSelector=metadata.namespace%3Dx")).await.expect(200).json();
    assert_eq!(none["items"], json!([]));
    let all = api.get(&format!("{CLASSES}?fieldSelector=metadata.namespace%3D")).await.expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    api.get("/api/v1/nodes?fieldSelector=metadata.namespace%3Dx").await.expect(400);
}

#[tokio::test]
async fn a_deleted_collection_is_told_as_it_was_found() {
    let api = Harness::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let kept = json!({"metadata": {"name": "kept", "finalizers": ["a.b/c"]}});
    api.post(maps, &kept).await.expect(201);
    for query in ["?dryRun=All", ""] {
        let told = api.delete(&format!("{maps}{query}")).await.expect(200).json();
        assert!(told["items"][0]["metadata"].get("deletionTimestamp").is_none(), "{told}");
        let stored = api.get(&format!("{maps}/kept")).await.expect(200).json();
        assert_eq!(stored["metadata"].get("deletionTimestamp").is_some(), query.is_empty());
    }
}

#[tokio::test]
async fn a_lease_may_have_a_finalizer_without_a_prefix_and_a_service_not() {
    let api = Harness::start().await;
    let lease = json!({"metadata": {"name": "a", "finalizers": ["mine"]}});
    api.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", &lease).await.expect(201);
    let refused = api.post("/api/v1/namespaces/default/configmaps", &lease).await.expect(422).json();
    assert_eq!(causes(&refused)[0].1, "metadata.finalizers[0]");
}

#[tokio::test]
async fn who_replaces_an_object_by_what_it_is_takes_no_list_from_its_applier() {
    let api = Harness::start().await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/a";
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.0.1"]}], "ports": [{"port": 80}]});
    let made = api.apply(&format!("{slices}?fieldManager=owner"), &slice).await.expect(201).json();
    let again = api.put(slices, &slice).await.expect(200).json();
    assert_eq!(again["metadata"]["managedFields"], made["metadata"]["managedFields"]);
}
