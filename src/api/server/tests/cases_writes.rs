//! Cases 23 to 34 and 42 to 50 of spec/api.md: creating, changing, deleting.

use serde_json::{Value, json};

use super::client::{CONFIG_MAPS, Harness, SERVICES, causes, config_map, service};

#[tokio::test]
async fn case_23_to_25_put_honours_revisions_and_does_nothing_twice() {
    let api = Harness::start().await;
    let created = api.service("a").await;
    let path = format!("{SERVICES}/a");
    let mut changed = created.clone();
    changed["metadata"]["labels"] = json!({"x": "1"});
    let second = api.put(&path, &changed).await.expect(200).json();
    assert_ne!(second["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    let stale = api.put(&path, &changed).await.expect(409).json();
    assert_eq!(stale["reason"], "Conflict");
    let mut unconditional = second.clone();
    unconditional["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let third = api.put(&path, &unconditional).await.expect(200).json();
    assert_eq!(
        third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"],
        "an identical PUT is no write"
    );
    let mut other = second.clone();
    other["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111".into();
    api.put(&path, &other).await.expect(409);
}

#[tokio::test]
async fn case_26_a_revision_cannot_be_created() {
    let api = Harness::start().await;
    let mut object = config_map("a");
    object["metadata"]["resourceVersion"] = "5".into();
    assert!(api.post(CONFIG_MAPS, &object).await.code >= 400);
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
}

#[tokio::test]
async fn case_27_names_are_generated() {
    let api = Harness::start().await;
    let mut object = config_map("");
    object["metadata"] = json!({"generateName": "gen-"});
    let created = api.post(CONFIG_MAPS, &object).await.expect(201).json();
    let name = created["metadata"]["name"].as_str().unwrap();
    let suffix = name.strip_prefix("gen-").unwrap();
    assert_eq!(suffix.len(), 5);
    assert!(suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{name}");
}

#[tokio::test]
async fn case_28_to_30_unknown_and_duplicate_fields() {
    let api = Harness::start().await;
    let mut object = service("a");
    object["spec"]["foo"] = 1.into();
    let reply = api.post(SERVICES, &object).await.expect(201);
    assert!(reply.header("warning").contains("unknown field \\\"spec.foo\\\""), "{}", reply.header("warning"));
    assert!(reply.json()["spec"].get("foo").is_none());
    object["metadata"]["name"] = "b".into();
    let status = api.post(&format!("{SERVICES}?fieldValidation=Strict"), &object).await.expect(400).json();
    assert!(status["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.foo\""));
    api.get(&format!("{SERVICES}/b")).await.expect(404);
    let double = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"},"data":{"a":"1","a":"2"}}"#;
    let headers = [("content-type", "application/json")];
    let reply = api.send("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), &headers, double).await.expect(400);
    assert!(reply.text().contains("duplicate field"));
    api.post(&format!("{SERVICES}?fieldValidation=Maybe"), &service("d")).await.expect(422);
}

#[tokio::test]
async fn case_31_a_dry_run_stores_nothing() {
    let api = Harness::start().await;
    api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a")).await.expect(201);
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
    let kept = api.config_map("b").await;
    api.send("DELETE", &format!("{CONFIG_MAPS}/b?dryRun=All"), &[], "").await.expect(200);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/b")).await.expect(200).json(), kept);
    api.post(&format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("c")).await.expect(422);
}

#[tokio::test]
async fn case_32_to_34_apply_owns_fields() {
    let api = Harness::start().await;
    let path = |manager: &str, more: &str| format!("{CONFIG_MAPS}/a?fieldManager={manager}{more}");
    let object =
        |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    api.apply(&path("m1", ""), &object(json!({"a": "1", "b": "1"}))).await.expect(201);
    let status = api.apply(&path("m2", ""), &object(json!({"a": "2"}))).await.expect(409).json();
    assert_eq!(causes(&status), [("FieldManagerConflict".to_owned(), ".data.a".to_owned())]);
    let forced = api.apply(&path("m2", "&force=true"), &object(json!({"a": "2"}))).await.expect(200).json();
    assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
    let m1 = forced["metadata"]["managedFields"].as_array().unwrap().iter().find(|entry| entry["manager"] == "m1");
    assert!(m1.unwrap()["fieldsV1"]["f:data"].get("f:a").is_none());
    let dropped = api.apply(&path("m1", ""), &object(json!({}))).await.expect(200).json();
    assert_eq!(dropped["data"], json!({"a": "2"}));
}

#[tokio::test]
async fn case_42_finalizers_keep_an_object() {
    let api = Harness::start().await;
    let mut object = service("a");
    object["metadata"]["finalizers"] = json!(["x.y/z"]);
    api.post(SERVICES, &object).await.expect(201);
    let path = format!("{SERVICES}/a");
    let marked = api.delete(&path).await.expect(200).json();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    api.delete(&path).await.expect(200);
    let again = api.post(SERVICES, &service("a")).await.expect(409).json();
    assert!(again["message"].as_str().unwrap().starts_with("object is being deleted: "));
    api.merge(&path, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    api.get(&path).await.expect(404);
}

#[tokio::test]
async fn case_43_and_44_preconditions_and_the_answer_of_a_deletion() {
    let api = Harness::start().await;
    let created = api.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let wrong = json!({"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}});
    api.send("DELETE", &path, &[("content-type", "application/json")], wrong.to_string()).await.expect(409);
    let status = api.delete(&path).await.expect(200).json();
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["kind"], "configmaps");
    assert_eq!(status["details"]["uid"], created["metadata"]["uid"]);
}

#[tokio::test]
async fn case_45_and_50_namespaces_are_not_thrown_away() {
    let api = Harness::start().await;
    api.delete("/api/v1/namespaces").await.expect(405);
    api.delete("/api/v1/namespaces/default").await.expect(403);
}

#[tokio::test]
async fn case_46_and_47_patches_that_do_not_fit() {
    let api = Harness::start().await;
    api.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let test = json!([{"op": "test", "path": "/data/a", "value": "no"}]);
    let headers = [("content-type", "application/json-patch+json")];
    let status = api.send("PATCH", &path, &headers, test.to_string()).await.expect(422).json();
    assert_eq!(status["reason"], "Invalid");
    api.send("PATCH", &path, &headers, "{}").await.expect(400);
    api.merge(&path, &json!({"metadata": {"name": "b"}})).await.expect(400);
    api.merge(&path, &json!({"metadata": {"uid": "other"}})).await.expect(422);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "3"}});
    api.merge(&path, &stale).await.expect(409);
    let merged = api.merge(&path, &json!({"data": {"b": "2"}})).await.expect(200).json();
    assert_eq!(merged["data"], json!({"a": "1", "b": "2"}));
}

#[tokio::test]
async fn put_creates_only_where_kubernetes_does() {
    let api = Harness::start().await;
    api.put(&format!("{SERVICES}/a"), &service("a")).await.expect(201);
    api.put(&format!("{CONFIG_MAPS}/a"), &config_map("a")).await.expect(404);
    api.put(&format!("{SERVICES}/none/status"), &service("none")).await.expect(404);
}

#[tokio::test]
async fn a_status_write_leaves_the_spec_alone() {
    let api = Harness::start().await;
    api.service("a").await;
    api.merge(&format!("{SERVICES}/a"), &json!({"spec": {"type": "LoadBalancer"}})).await.expect(200);
    let patch =
        json!({"spec": {"selector": {"app": "other"}}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let patched = api.merge(&format!("{SERVICES}/a/status"), &patch).await.expect(200).json();
    assert_eq!(patched["spec"]["selector"]["app"], "a");
    assert_eq!(patched["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
    let main = api.merge(&format!("{SERVICES}/a"), &json!({"status": {"loadBalancer": null}})).await.expect(200).json();
    assert_eq!(main["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
}

#[tokio::test]
async fn endpoints_go_with_their_service() {
    let api = Harness::start().await;
    api.service("a").await;
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "a"}});
    api.post("/api/v1/namespaces/default/endpoints", &endpoints).await.expect(201);
    assert_eq!(api.delete(&format!("{SERVICES}/a")).await.expect(200).json()["kind"], "Service");
    api.get("/api/v1/namespaces/default/endpoints/a").await.expect(404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let api = Harness::start().await;
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"k": label});
        api.post(CONFIG_MAPS, &object).await.expect(201);
    }
    let deleted = api.delete(&format!("{CONFIG_MAPS}?labelSelector=k%3Dx")).await.expect(200).json();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    assert_eq!(api.get(CONFIG_MAPS).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new() {
    let api = Harness::start().await;
    let namespace = json!({"metadata": {"name": "n", "finalizers": ["x.y/z"]}});
    api.post("/api/v1/namespaces", &namespace).await.expect(201);
    let marked = api.delete("/api/v1/namespaces/n").await.expect(200).json();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let status = api.post("/api/v1/namespaces/n/configmaps", &config_map("a")).await.expect(403).json();
    assert_eq!(causes(&status), [("NamespaceTerminating".to_owned(), "metadata.namespace".to_owned())]);
}

#[tokio::test]
async fn yaml_and_protobuf_bodies_are_read() {
    let api = Harness::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: from-yaml\ndata:\n  a: \"1\"\n";
    api.send("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], yaml).await.expect(201);
    // k8s\0, Unknown{1: {1: "v1", 2: "Namespace"}, 2: Namespace{1: ObjectMeta{1: "pb"}}}: what `kubectl create namespace` sends.
    let mut body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x06\x0a\x04\x0a\x02pb".to_vec();
    body.extend_from_slice(b"\x1a\x00\x22\x00");
    let headers = [
        ("content-type", "application/vnd.kubernetes.protobuf"),
        ("accept", "application/vnd.kubernetes.protobuf,application/json"),
    ];
    let created = api.send("POST", "/api/v1/namespaces", &headers, body).await.expect(201).json();
    assert_eq!(created["metadata"]["name"], "pb");
}

#[tokio::test]
async fn reviews_answer_about_the_caller() {
    let api = Harness::start().await;
    let whoami = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let reply = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &whoami).await.expect(201).json();
    assert_eq!(reply["status"]["userInfo"]["username"], "system:admin");
    let reviews = "/apis/authorization.k8s.io/v1";
    let path = format!("{reviews}/selfsubjectaccessreviews");
    let action = json!({"verb": "get", "resource": "pods"});
    let reply = api.post(&path, &json!({"spec": {"resourceAttributes": action}})).await.expect(201).json();
    assert_eq!(reply["status"], json!({"allowed": true}));
    let nothing = api.post(&path, &json!({"spec": {}})).await.expect(422).json();
    assert_eq!(nothing["details"]["causes"][0]["field"], "spec.resourceAttributes");
    let rules = json!({"spec": {"namespace": "default"}});
    let reply = api.post(&format!("{reviews}/selfsubjectrulesreviews"), &rules).await.expect(201).json();
    assert_eq!(reply["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    api.post(&format!("{reviews}/selfsubjectrulesreviews"), &json!({"spec": {}})).await.expect(400);
}

#[tokio::test]
async fn reviews_answer_about_others() {
    let api = Harness::start().await;
    let reviews = "/apis/authorization.k8s.io/v1";
    let path = format!("{reviews}/subjectaccessreviews");
    let ask = |groups: Value, spec: Value| {
        let mut spec = spec;
        spec["user"] = "u".into();
        spec["groups"] = groups;
        json!({ "spec": spec })
    };
    let action = json!({"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}});
    let read = json!({"nonResourceAttributes": {"verb": "get", "path": "/version"}});
    let own = json!({"resourceAttributes": {"verb": "create", "group": "authorization.k8s.io",
        "resource": "selfsubjectaccessreviews"}});
    for (groups, spec, allowed) in [
        (json!(["system:masters"]), &action, true),
        (json!(["system:authenticated"]), &action, false),
        (json!(["system:unauthenticated"]), &read, true),
        (json!(["system:authenticated"]), &own, true),
        (json!(["system:unauthenticated"]), &own, false),
    ] {
        let reply = api.post(&path, &ask(groups.clone(), spec.clone())).await.expect(201).json();
        assert_eq!(reply["status"]["allowed"], allowed, "{groups} {spec}");
    }
    api.post(&path, &json!({"spec": action})).await.expect(422);
    let local = format!("{reviews}/namespaces/default/localsubjectaccessreviews");
    let reply = api.post(&local, &ask(json!([]), action)).await.expect(201).json();
    assert_eq!(reply["metadata"]["namespace"], "default");
    let elsewhere = json!({"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}});
    let refused = api.post(&local, &ask(json!([]), elsewhere)).await.expect(422).json();
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.resourceAttributes.namespace");
    api.get(&path).await.expect(405);
    api.post(&format!("{reviews}/localsubjectaccessreviews"), &json!({})).await.expect(404);
}
