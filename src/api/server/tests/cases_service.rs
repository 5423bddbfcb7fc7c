//! Cases of spec/service.md and spec/endpoints.md that need the server: bodies of
//! refusals, subresources, patches, deletion. The rest stands with the rules.

use serde_json::{Value, json};

use crate::model::{Draft, Kind};
use crate::store::{Durability, Expect, Op, Write};

use super::client::{Harness, Reply, SERVICES, causes, service};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const JSON: (&str, &str) = ("content-type", "application/json");
const STRATEGIC: (&str, &str) = ("content-type", "application/strategic-merge-patch+json");

fn spec(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn with_ports(mut more: Value) -> Value {
    more["ports"] = json!([{"port": 80}]);
    more
}

impl Harness {
    async fn patch_spec(&self, name: &str, patch: Value) -> Reply {
        self.merge(&format!("{SERVICES}/{name}"), &json!({"spec": patch})).await
    }
}

#[tokio::test]
async fn case_03_and_04_the_body_of_a_422() {
    let api = Harness::start().await;
    let status = api.post(SERVICES, &spec("a", json!({}))).await.expect(422).json();
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
        "message": "Service \"a\" is invalid: spec.ports: Required value",
        "details": {"name": "a", "kind": "Service", "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.ports"},
        ]},
    });
    assert_eq!(status, expected);
    let two = spec("a", json!({"ports": [{"port": 80}, {"port": 81}]}));
    let status = api.post(SERVICES, &two).await.expect(422).json();
    let message = "Service \"a\" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]";
    assert_eq!(status["message"], message);
}

#[tokio::test]
async fn case_40_and_54_what_cannot_be_allocated_is_500() {
    let api = Harness::start().await;
    let local = |name: &str| {
        let mut spec = with_ports(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
        spec["healthCheckNodePort"] = 30_200.into();
        self::spec(name, spec)
    };
    api.post(SERVICES, &local("a")).await.expect(201);
    let status = api.post(SERVICES, &local("b")).await.expect(500).json();
    assert_eq!(status["reason"], "InternalError");
    assert!(status["message"].as_str().unwrap().starts_with("Internal error occurred: failed to allocate"));
}

#[tokio::test]
async fn case_44_warnings_are_headers() {
    let api = Harness::start().await;
    let reply = api.post(SERVICES, &spec("a", with_ports(json!({"trafficDistribution": "PreferClose"})))).await;
    assert!(reply.expect(201).header("warning").starts_with("299 - \"spec.trafficDistribution: "));
    let reply = api.patch_spec("a", json!({"externalName": "x.y"})).await.expect(200);
    assert!(reply.header("warning").contains("spec.externalName is ignored"), "{}", reply.header("warning"));
}

#[tokio::test]
async fn cases_45_to_47_the_cluster_ip_stays() {
    let api = Harness::start().await;
    let made = api.service("a").await;
    let status = api.patch_spec("a", json!({"clusterIP": "10.43.0.99"})).await.expect(422).json();
    assert_eq!(causes(&status), [("FieldValueInvalid".to_owned(), "spec.clusterIPs[0]".to_owned())]);
    for cleared in [json!(""), Value::Null] {
        let next = api.patch_spec("a", json!({"clusterIP": cleared})).await.expect(200).json();
        assert_eq!(next, made, "and nothing is written");
    }
    let again = api.put(&format!("{SERVICES}/a"), &service("a")).await.expect(200).json();
    assert_eq!(again["spec"], made["spec"]);
}

#[tokio::test]
async fn case_48_a_released_node_port_can_be_had() {
    let api = Harness::start().await;
    api.service("a").await;
    let next = api.patch_spec("a", json!({"type": "NodePort"})).await.expect(200).json();
    let number = next["spec"]["ports"][0]["nodePort"].clone();
    let ports = json!([{"port": 80, "nodePort": number}]);
    let other = spec("b", json!({"type": "NodePort", "ports": ports}));
    let status = api.post(SERVICES, &other).await.expect(422).json();
    assert_eq!(causes(&status), [("FieldValueInvalid".to_owned(), "spec.ports[0].nodePort".to_owned())]);
    let back = api.patch_spec("a", json!({"type": "ClusterIP"})).await.expect(200).json();
    assert!(back["spec"]["ports"][0].get("nodePort").is_none());
    api.post(SERVICES, &other).await.expect(201);
}

#[tokio::test]
async fn case_49_a_released_cluster_ip_can_be_had() {
    let api = Harness::start().await;
    let made = api.service("a").await;
    let named = json!({"type": "ExternalName", "externalName": "x.y"});
    let next = api.patch_spec("a", named).await.expect(200).json();
    assert!(next["spec"].get("clusterIP").is_none());
    let other = spec("b", with_ports(json!({"clusterIP": made["spec"]["clusterIP"]})));
    api.post(SERVICES, &other).await.expect(201);
    let back = api.patch_spec("a", json!({"type": "ClusterIP"})).await.expect(200).json();
    assert_ne!(back["spec"]["clusterIP"], made["spec"]["clusterIP"]);
}

#[tokio::test]
async fn case_51_status_and_spec_are_written_apart() {
    let api = Harness::start().await;
    api.post(SERVICES, &spec("a", with_ports(json!({"type": "LoadBalancer"})))).await.expect(201);
    let path = format!("{SERVICES}/a/status");
    let patch = json!({
        "metadata": {"labels": {"x": "y"}}, "spec": {"type": "NodePort"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.127"}]}},
    });
    let next = api.merge(&path, &patch).await.expect(200).json();
    assert_eq!(next["status"]["loadBalancer"]["ingress"], json!([{"ip": "192.0.2.127", "ipMode": "VIP"}]));
    assert_eq!(next["spec"]["type"], "LoadBalancer");
    assert_eq!(next["metadata"]["labels"], json!({"x": "y"}));
    let mut main = next.clone();
    main["status"] = json!({"loadBalancer": {}});
    let kept = api.put(&format!("{SERVICES}/a"), &main).await.expect(200).json();
    assert_eq!(kept["status"], next["status"]);
    let fetched = api.get(&path).await.expect(200).json();
    assert_eq!(fetched["status"], next["status"]);
    api.service("b").await;
    let status = api.merge(&format!("{SERVICES}/b/status"), &patch).await.expect(422).json();
    assert_eq!(causes(&status), [("FieldValueForbidden".to_owned(), "status.loadBalancer.ingress".to_owned())]);
    let missing = api.put(&format!("{SERVICES}/none/status"), &spec("none", json!({}))).await;
    missing.expect(404);
}

#[tokio::test]
async fn case_52_a_deleted_service_gives_back_all_it_held() {
    let api = Harness::start().await;
    let asked = spec("a", with_ports(json!({"type": "NodePort"})));
    let made = api.post(SERVICES, &asked).await.expect(201).json();
    let path = format!("{SERVICES}/a");
    api.merge(&path, &json!({"metadata": {"finalizers": ["x.y/z"]}})).await.expect(200);
    let mut again = asked;
    again["metadata"]["name"] = "b".into();
    again["spec"]["clusterIP"] = made["spec"]["clusterIP"].clone();
    again["spec"]["ports"] = made["spec"]["ports"].clone();
    api.delete(&path).await.expect(200);
    api.post(SERVICES, &again).await.expect(422);
    // The last finalizer may go through the status.
    api.merge(&format!("{path}/status"), &json!({"metadata": {"finalizers": null}})).await.expect(200);
    api.get(&path).await.expect(404);
    api.post(SERVICES, &again).await.expect(201);
}

#[tokio::test]
async fn case_58_and_59_creating_twice_and_by_put() {
    let api = Harness::start().await;
    api.service("a").await;
    assert_eq!(api.post(SERVICES, &service("a")).await.expect(409).json()["reason"], "AlreadyExists");
    // A fault is told first.
    api.post(SERVICES, &spec("a", json!({}))).await.expect(422);
    let made = api.put(&format!("{SERVICES}/b"), &service("b")).await.expect(201).json();
    assert!(made["spec"]["clusterIP"].is_string());
}

#[tokio::test]
async fn a_strategic_patch_merges_ports_by_number() {
    let api = Harness::start().await;
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    let made = api.post(SERVICES, &spec("a", json!({"type": "NodePort", "ports": ports}))).await.expect(201).json();
    let patch = json!({"spec": {"ports": [{"port": 81, "targetPort": 8081}]}}).to_string();
    let next = api.send("PATCH", &format!("{SERVICES}/a"), &[STRATEGIC], patch).await.expect(200).json();
    assert_eq!(next["spec"]["ports"][0], made["spec"]["ports"][0]);
    assert_eq!(next["spec"]["ports"][1]["targetPort"], 8081);
    assert_eq!(next["spec"]["ports"][1]["nodePort"], made["spec"]["ports"][1]["nodePort"]);
}

#[tokio::test]
async fn an_applied_manifest_keeps_what_was_allocated() {
    let api = Harness::start().await;
    let path = format!("{SERVICES}/a?fieldManager=m");
    let asked = spec("a", with_ports(json!({"type": "NodePort"})));
    let made = api.apply(&path, &asked).await.expect(201).json();
    let again = api.apply(&path, &asked).await.expect(200).json();
    assert_eq!(again, made);
    let owned = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert!(owned.get("f:clusterIP").is_none(), "{owned}");
    let plain = spec("a", with_ports(json!({})));
    let next = api.apply(&path, &plain).await.expect(200).json();
    assert_eq!(next["spec"]["type"], "ClusterIP");
    assert!(next["spec"]["ports"][0].get("nodePort").is_none());
}

#[tokio::test]
async fn a_dry_run_allocates_nothing() {
    let api = Harness::start().await;
    let asked = spec("a", with_ports(json!({"type": "NodePort", "clusterIP": "10.43.0.77"})));
    for _ in 0..2 {
        api.post(&format!("{SERVICES}?dryRun=All"), &asked).await.expect(201);
    }
    api.post(SERVICES, &asked).await.expect(201);
    api.put(&format!("{SERVICES}/a?dryRun=All"), &spec("a", with_ports(json!({})))).await.expect(200);
    let ports = json!([{"port": 80, "nodePort": api.get(&format!("{SERVICES}/a")).await.json()["spec"]["ports"][0]["nodePort"]}]);
    api.post(SERVICES, &spec("b", json!({"type": "NodePort", "ports": ports}))).await.expect(422);
}

#[tokio::test]
async fn endpoint_slices_write_null_and_count_generations() {
    let api = Harness::start().await;
    let slice = |members: Value| {
        let mut value =
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"}});
        value.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        value
    };
    let empty = json!({"addressType": "IPv4", "endpoints": [], "ports": []});
    let made = api.post(SLICES, &slice(empty)).await.expect(201).json();
    assert!(made.get("endpoints").is_some_and(Value::is_null), "{made}");
    assert!(made.get("ports").is_some_and(Value::is_null), "{made}");
    let path = format!("{SLICES}/a");
    let text = api.get(&path).await.expect(200).text();
    assert!(text.contains("\"endpoints\":null") && text.contains("\"ports\":null"), "{text}");
    let generation = |value: &Value| value["metadata"]["generation"].clone();
    assert_eq!(generation(&made), 1);
    let next = api.merge(&path, &json!({"endpoints": [{"addresses": ["10.0.0.1"]}]})).await.expect(200).json();
    assert_eq!((generation(&next), &next["endpoints"][0]["conditions"]), (json!(2), &json!({})));
    let noted = api.merge(&path, &json!({"metadata": {"annotations": {"a": "b"}}})).await.expect(200).json();
    assert_eq!(generation(&noted), 2);
    let labelled = api.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200).json();
    assert_eq!(generation(&labelled), 3);
    let status = api.merge(&path, &json!({"addressType": "IPv6"})).await.expect(422).json();
    assert_eq!(causes(&status), [("FieldValueInvalid".to_owned(), "addressType".to_owned())]);
    assert_eq!(status["details"]["group"], "discovery.k8s.io");
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("EndpointSlice.discovery.k8s.io \"a\" is invalid: addressType: "), "{message}");
    let mut other = slice(json!({"addressType": "IPv4"}));
    other["metadata"]["name"] = "none".into();
    api.put(&format!("{SLICES}/none"), &other).await.expect(404);
}

#[tokio::test]
async fn a_namespace_named_by_the_server_carries_its_name() {
    let api = Harness::start().await;
    let made = api.send("POST", "/api/v1/namespaces", &[JSON], r#"{"metadata":{"generateName":"n-"}}"#).await;
    let made = made.expect(201).json();
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], made["metadata"]["name"]);
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
}

#[tokio::test]
async fn services_have_no_generation() {
    let api = Harness::start().await;
    let made = api.service("a").await;
    assert!(made["metadata"].get("generation").is_none());
    let next = api.patch_spec("a", json!({"sessionAffinity": "ClientIP"})).await.expect(200).json();
    assert!(next["metadata"].get("generation").is_none());
}

#[tokio::test]
async fn who_writes_owns_the_defaults_and_nobody_the_allocations() {
    let api = Harness::start().await;
    api.service("a").await;
    let owned = |object: &Value, manager: &str, subresource: &str| {
        let entries = object["metadata"]["managedFields"].as_array().unwrap();
        let by = |entry: &&Value| {
            entry["manager"] == manager && entry["subresource"].as_str().unwrap_or_default() == subresource
        };
        entries.iter().find(by).unwrap()["fieldsV1"].clone()
    };
    let patch = json!({"spec": {"type": "LoadBalancer"}});
    let next = api.merge(&format!("{SERVICES}/a?fieldManager=m"), &patch).await.expect(200).json();
    let fields = owned(&next, "m", "");
    for member in ["f:type", "f:externalTrafficPolicy", "f:allocateLoadBalancerNodePorts"] {
        assert!(fields["f:spec"].get(member).is_some(), "{member}: {fields}");
    }
    assert!(!next["metadata"]["managedFields"].to_string().contains("f:nodePort"), "{next}");
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let next = api.merge(&format!("{SERVICES}/a/status?fieldManager=s"), &patch).await.expect(200).json();
    assert_eq!(owned(&next, "s", "status"), json!({"f:status": {"f:loadBalancer": {"f:ingress": {}}}}));
}

#[tokio::test]
async fn what_other_rooms_stored_without_defaults_can_be_changed() {
    let api = Harness::start().await;
    let at = "2026-01-02T03:04:05Z";
    let metadata = json!({"name": "a", "namespace": "default", "uid": "u", "creationTimestamp": at, "generation": 1});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}],
    });
    let put = |kind: Kind, value: &Value| {
        let draft = Box::new(Draft::new(kind, value).unwrap());
        Op::Put { draft, expect: Expect::Absent, claims: Vec::new() }
    };
    let ops = vec![put(Kind::Pod, &pod), put(Kind::EndpointSlice, &slice)];
    api.store.submit(Write { ops, durability: Durability::Memory }).await.unwrap();
    for path in ["/api/v1/namespaces/default/pods/a", &format!("{SLICES}/a")] {
        let stored = api.get(path).await.expect(200).json();
        assert_eq!(api.put(path, &stored).await.expect(200).json(), stored, "no change");
        api.merge(path, &json!({"metadata": {"labels": {"x": "y"}}})).await.expect(200);
    }
}
