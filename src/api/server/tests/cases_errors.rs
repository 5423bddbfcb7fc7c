//! Cases 1 to 21 of spec/api.md: what is refused, and how.

use serde_json::{Value, json};

use super::client::{CONFIG_MAPS, Harness, SERVICES, causes, config_map, service};

#[tokio::test]
async fn case_01_a_missing_service_is_named() {
    let api = Harness::start().await;
    let status = api.get(&format!("{SERVICES}/nope")).await.expect(404).json();
    assert_eq!(status["reason"], "NotFound");
    assert_eq!(status["details"], json!({"name": "nope", "kind": "services"}));
}

#[tokio::test]
async fn case_02_a_missing_resource_has_empty_details() {
    let api = Harness::start().await;
    let status = api.get("/api/v1/nosuch").await.expect(404).json();
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["details"], json!({}));
}

#[tokio::test]
async fn case_03_another_path_is_plain_text() {
    let api = Harness::start().await;
    let reply = api.get("/foo/bar").await.expect(404);
    assert!(reply.header("content-type").starts_with("text/plain"));
}

#[tokio::test]
async fn case_04_and_05_a_body_that_is_no_service_is_bad() {
    let api = Harness::start().await;
    let reply = api.send("POST", SERVICES, &[("content-type", "application/json")], "{bad").await.expect(400);
    assert_eq!(reply.json()["reason"], "BadRequest");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    assert_eq!(api.post(SERVICES, &pod).await.expect(400).json()["reason"], "BadRequest");
}

#[tokio::test]
async fn case_06_and_07_unknown_content_types_are_415() {
    let api = Harness::start().await;
    api.send("POST", SERVICES, &[("content-type", "text/plain")], "x").await.expect(415);
    api.service("a").await;
    api.send("PATCH", &format!("{SERVICES}/a"), &[("content-type", "application/json")], "{}").await.expect(415);
}

#[tokio::test]
async fn case_08_an_apply_names_its_manager() {
    let api = Harness::start().await;
    let status = api.apply(&format!("{CONFIG_MAPS}/a"), &config_map("a")).await.expect(422).json();
    assert_eq!(causes(&status), [("FieldValueRequired".to_owned(), "fieldManager".to_owned())]);
    assert_eq!(status["details"]["kind"], "PatchOptions");
    assert_eq!(status["details"]["group"], "meta.k8s.io");
}

#[tokio::test]
async fn case_09_and_10_the_accept_header_rules_the_answer() {
    let api = Harness::start().await;
    api.accept(SERVICES, "application/xml").await.expect(406);
    let reply = api.accept(&format!("{SERVICES}/nope"), "application/yaml").await.expect(404);
    assert_eq!(reply.header("content-type"), "application/yaml");
    assert!(reply.text().contains("kind: Status"));
}

#[tokio::test]
async fn case_11_and_13_body_and_url_must_agree() {
    let api = Harness::start().await;
    let mut other = config_map("a");
    other["metadata"]["namespace"] = "other".into();
    api.post(CONFIG_MAPS, &other).await.expect(400);
    api.put(&format!("{CONFIG_MAPS}/a"), &config_map("b")).await.expect(400);
    api.put(&format!("{CONFIG_MAPS}/a"), &json!({"kind": "ConfigMap", "apiVersion": "v1"})).await.expect(400);
}

#[tokio::test]
async fn case_12_a_missing_namespace_is_named() {
    let api = Harness::start().await;
    let status = api.post("/api/v1/namespaces/none/configmaps", &config_map("a")).await.expect(404).json();
    assert_eq!(status["details"]["kind"], "namespaces");
    assert_eq!(status["message"], "namespaces \"none\" not found");
}

#[tokio::test]
async fn case_14_methods_that_do_not_fit_are_405() {
    let api = Harness::start().await;
    api.post(&format!("{SERVICES}/a"), &service("a")).await.expect(405);
    api.send("OPTIONS", SERVICES, &[], "").await.expect(405);
    assert_eq!(api.send("HEAD", SERVICES, &[], "").await.code, 405);
    api.delete("/api/v1/namespaces").await.expect(405);
}

#[tokio::test]
async fn case_15_a_body_over_3_mib_is_413() {
    let api = Harness::start().await;
    let reply = api.send("POST", SERVICES, &[("content-type", "application/json")], vec![b' '; 3_145_729]).await;
    assert_eq!(reply.expect(413).json()["reason"], "RequestEntityTooLarge");
}

#[tokio::test]
async fn case_17_a_wrong_token_is_401_everywhere() {
    let api = Harness::start().await;
    for path in ["/api", "/version"] {
        let reply = api.send("GET", path, &[("authorization", "Bearer wrong")], "").await;
        assert_eq!(reply.expect(401).json()["reason"], "Unauthorized");
    }
}

#[tokio::test]
async fn case_18_to_20_bad_query_values_are_refused() {
    let api = Harness::start().await;
    api.get(&format!("{SERVICES}?limit=abc")).await.expect(400);
    api.get(&format!("{SERVICES}?fieldSelector=spec.foo=1")).await.expect(400);
    api.get(&format!("{SERVICES}?labelSelector=a%20like%20b")).await.expect(400);
    let status = api.get(&format!("{SERVICES}?resourceVersion=99999999")).await.expect(504).json();
    assert_eq!(status["reason"], "Timeout");
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn case_21_a_match_needs_a_revision() {
    let api = Harness::start().await;
    for query in ["resourceVersionMatch=Exact", "resourceVersionMatch=Exact&resourceVersion=0"] {
        let status = api.get(&format!("{SERVICES}?{query}")).await.expect(422).json();
        assert_eq!(status["details"]["kind"], "ListOptions", "{query}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_common_headers() {
    let api = Harness::start().await;
    for path in [SERVICES, "/version", "/foo", "/api/v1/nosuch", "/healthz"] {
        let reply = api.get(path).await;
        assert!(!reply.header("audit-id").is_empty(), "{path}");
        assert_eq!(reply.header("cache-control"), "no-cache, private", "{path}");
        assert!(!reply.header("content-type").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn case_49_endpoints_are_called_deprecated() {
    let api = Harness::start().await;
    let reply = api.get("/api/v1/namespaces/default/endpoints").await.expect(200);
    assert!(reply.header("warning").contains("v1 Endpoints is deprecated"));
}

#[tokio::test]
async fn what_edgesvc_does_not_do_is_named() {
    let api = Harness::start().await;
    let status = api.get("/api/v1/namespaces/default/pods/p/log").await.expect(501).json();
    assert!(status["message"].as_str().unwrap().contains("pods/log"));
}

#[tokio::test]
async fn discovery_tells_every_kind_in_both_forms() {
    let api = Harness::start().await;
    let list = api.get("/api/v1").await.expect(200).json();
    let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in ["services", "services/status", "endpoints", "pods", "namespaces/finalize", "nodes", "secrets"] {
        assert!(names.contains(&name), "{name}");
    }
    let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let reply = api.accept("/apis", &format!("{media},application/json")).await.expect(200);
    assert_eq!(reply.header("content-type"), media);
    assert_eq!(reply.header("cache-control"), "public");
    let groups = reply.json();
    let found: Vec<&Value> = groups["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert!(found.contains(&&json!("discovery.k8s.io")));
    let etag = reply.header("etag");
    api.send("GET", "/apis", &[("accept", media), ("if-none-match", &etag)], "").await.expect(304);
    assert_eq!(api.get("/apis").await.expect(200).json()["kind"], "APIGroupList");
    assert!(api.get("/version").await.json()["gitVersion"].as_str().unwrap().starts_with("v1.36."));
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let api = Harness::start().await;
    assert_eq!(api.get("/readyz").await.expect(200).text(), "ok");
    assert!(api.get("/livez?verbose").await.expect(200).text().contains("[+]ping ok\nlivez check passed"));
    api.get("/livez/ping").await.expect(200);
    api.get("/livez/none").await.expect(404);
}

/// A client that is still sending must find the answer, not a broken connection.
#[tokio::test]
async fn a_refusal_does_not_wait_for_nor_break_on_the_body() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let api = Harness::start().await;
    let mut stream = tokio::net::UnixStream::connect(api.socket()).await.unwrap();
    stream.write_all(b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
    for _ in 0..100 {
        stream.write_all(&[b' '; 1000]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 405");
}

#[tokio::test]
async fn a_patch_that_makes_no_object_names_the_field_patch() {
    let api = Harness::start().await;
    api.service("a").await;
    for patch in [json!({"spec": {"ports": "x"}}), json!({"kind": "Pod"})] {
        let refused = api.merge(&format!("{SERVICES}/a"), &patch).await.expect(422).json();
        assert_eq!(refused["details"]["causes"][0]["field"], "patch", "{refused}");
        assert_eq!(refused["reason"], "Invalid");
    }
}

#[tokio::test]
async fn what_an_apply_does_not_find_in_the_schema_nobody_can_own() {
    let api = Harness::start().await;
    let value = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"foo": 1}});
    let refused = api.apply(&format!("{SERVICES}/a?fieldManager=m"), &value).await.expect(500).json();
    assert!(refused["message"].as_str().unwrap().ends_with(".spec.foo: field not declared in schema"), "{refused}");
    let value = json!({"metadata": {"name": "b"}, "spec": {"ports": [{"port": 80}]}});
    let shown = api.post(&format!("{SERVICES}?dryRun=All"), &value).await.expect(201).json();
    assert!(shown["metadata"].get("resourceVersion").is_none(), "{shown}");
}
