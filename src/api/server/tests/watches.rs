//! Cases 35 to 37: watches.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{CONFIG_MAPS, Harness, config_map};

async fn revision(api: &Harness) -> String {
    let list = api.get(CONFIG_MAPS).await.expect(200).json();
    list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

fn named(r#type: &str, name: &str) -> (String, String) {
    (r#type.to_owned(), name.to_owned())
}

#[tokio::test]
async fn case_35_objects_come_into_view_and_leave_it() {
    let api = Harness::start().await;
    let mut object = config_map("a");
    object["metadata"]["labels"] = json!({"k": "x"});
    api.post(CONFIG_MAPS, &object).await.expect(201);
    let since = revision(&api).await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={since}&labelSelector=k%3Dx")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let changed = api.merge(&path, &json!({"metadata": {"labels": null}})).await.expect(200).json();
    let gone = events.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["labels"]), (&json!("DELETED"), &json!({"k": "x"})));
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
    api.merge(&path, &json!({"metadata": {"labels": {"k": "x"}}})).await.expect(200);
    assert_eq!(events.next_named().await, named("ADDED", "a"));
    api.merge(&path, &json!({"data": {"a": "2"}})).await.expect(200);
    assert_eq!(events.next_named().await, named("MODIFIED", "a"));
    api.delete(&path).await.expect(200);
    assert_eq!(events.next_named().await, named("DELETED", "a"));
}

#[tokio::test]
async fn case_36_the_initial_state_has_an_end() {
    let api = Harness::start().await;
    api.config_map("a").await;
    api.config_map("b").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(events.next_named().await, named("ADDED", "a"));
    assert_eq!(events.next_named().await, named("ADDED", "b"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    api.config_map("c").await;
    assert_eq!(events.next_named().await, named("ADDED", "c"));
    api.get(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true")).await.expect(422);
    api.get(&format!("{CONFIG_MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")).await.expect(422);
}

#[tokio::test]
async fn case_37_a_timeout_ends_a_watch_cleanly() {
    let api = Harness::start().await;
    let started = tokio::time::Instant::now();
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1")).await;
    assert_eq!(events.next().await, None);
    assert!(started.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_there_is() {
    let api = Harness::start().await;
    api.config_map("a").await;
    for query in ["watch=true", "watch=1&resourceVersion=0"] {
        let mut events = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!(events.next_named().await, named("ADDED", "a"), "{query}");
    }
    let mut legacy = api.watch("/api/v1/watch/namespaces/default/configmaps/a").await;
    assert_eq!(legacy.next_named().await, named("ADDED", "a"));
}

#[tokio::test]
async fn tables_tell_their_columns_once() {
    let api = Harness::start().await;
    api.config_map("a").await;
    api.config_map("b").await;
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let path = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1");
    let text = api.send("GET", &path, &accept, "").await.expect(200).text();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert!(events[0]["object"]["columnDefinitions"].is_array());
    assert!(events[1]["object"]["columnDefinitions"].is_null());
}

#[tokio::test]
async fn a_stop_ends_watches_cleanly() {
    let api = Harness::start().await;
    let since = revision(&api).await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={since}")).await;
    api.stop.send(true).unwrap();
    assert_eq!(events.next().await, None);
    tokio::time::timeout(super::client::DEADLINE, api.task).await.expect("the server stops").unwrap();
    assert!(!api.dir.path().join("edgesvc.sock").exists());
}
