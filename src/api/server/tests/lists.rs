//! Case 22 and the forms of lists.

use serde_json::{Value, json};

use super::client::{CONFIG_MAPS, Harness, SERVICES, config_map, service};

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn case_22_pages_show_one_revision_whatever_happens_between() {
    let api = Harness::start().await;
    for name in ["a", "b", "c"] {
        api.config_map(name).await;
    }
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200).json();
    assert_eq!(names(&first), ["a"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    api.config_map("bb").await;
    api.delete(&format!("{CONFIG_MAPS}/c")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{CONFIG_MAPS}?limit=5&continue={token}")).await.expect(200).json();
    assert_eq!(names(&rest), ["b", "c"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(rest["metadata"].get("continue").is_none());
    api.get(&format!("{CONFIG_MAPS}?continue={token}&resourceVersion=5")).await.expect(400);
    api.get(&format!("{CONFIG_MAPS}?continue=rubbish")).await.expect(400);
}

#[tokio::test]
async fn a_token_that_is_too_old_comes_with_one_to_go_on() {
    let api = Harness::start().await;
    for name in ["a", "b"] {
        api.config_map(name).await;
    }
    let token = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        json!({"v": "meta.k8s.io/v1", "rv": 1, "start": "default/a"}).to_string(),
    );
    let expired = api.get(&format!("{CONFIG_MAPS}?continue={token}")).await.expect(410).json();
    assert_eq!(expired["reason"], "Expired");
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{CONFIG_MAPS}?continue={token}")).await.expect(200).json();
    assert_eq!(names(&rest), ["b"]);
}

#[tokio::test]
async fn items_are_untyped_and_the_list_is_typed() {
    let api = Harness::start().await;
    api.service("a").await;
    let list = api.get("/api/v1/services").await.expect(200).json();
    assert_eq!(list["kind"], "ServiceList");
    assert!(list["items"][0].get("kind").is_none());
    let empty = api.get("/api/v1/namespaces/none/services").await.expect(200).json();
    assert_eq!(empty["items"], json!([]));
    let yaml = api.accept(SERVICES, "application/yaml").await.expect(200).text();
    assert!(yaml.contains("kind: ServiceList"), "{yaml}");
}

#[tokio::test]
async fn a_long_list_comes_in_chunks_and_whole() {
    let api = Harness::start().await;
    for number in 0..40 {
        let mut object = config_map(&format!("c{number:02}"));
        object["data"]["a"] = "x".repeat(5_000).into();
        api.post(CONFIG_MAPS, &object).await.expect(201);
    }
    let list = api.get(CONFIG_MAPS).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn selectors_choose() {
    let api = Harness::start().await;
    for (name, label) in [("a", "x"), ("b", "y")] {
        let mut object = service(name);
        object["metadata"]["labels"] = json!({"k": label});
        api.post(SERVICES, &object).await.expect(201);
    }
    let by_label = api.get(&format!("{SERVICES}?labelSelector=k%20in%20(x,z)")).await.expect(200).json();
    assert_eq!(names(&by_label), ["a"]);
    let by_name = api.get(&format!("{SERVICES}?fieldSelector=metadata.name%3Db")).await.expect(200).json();
    assert_eq!(names(&by_name), ["b"]);
}

#[tokio::test]
async fn tables_and_metadata_are_made_on_demand() {
    let api = Harness::start().await;
    api.service("a").await;
    let table = api.accept(SERVICES, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = api.accept(SERVICES, accept).await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test]
async fn old_states_are_served_only_exactly() {
    let api = Harness::start().await;
    let first = api.config_map("a").await;
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{CONFIG_MAPS}?resourceVersionMatch=Exact&resourceVersion={revision}");
    assert_eq!(names(&api.get(&exact).await.expect(200).json()), ["a"]);
    api.config_map("b").await;
    api.get(&exact).await.expect(410);
    let fresh = api.get(&format!("{CONFIG_MAPS}?resourceVersion={revision}")).await.expect(200).json();
    assert_eq!(names(&fresh), ["a", "b"]);
}
