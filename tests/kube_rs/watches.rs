//! Watches as they come, and the watcher that never ends.

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::world::{config_map, in_world, soon};

/// Type and name of the next event; a bookmark has its annotations instead.
async fn next(
    stream: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
) -> (&'static str, String) {
    match soon(stream.next()).await.expect("the watch goes on").unwrap() {
        WatchEvent::Added(object) => ("ADDED", object.name_any()),
        WatchEvent::Modified(object) => ("MODIFIED", object.name_any()),
        WatchEvent::Deleted(object) => ("DELETED", object.name_any()),
        WatchEvent::Bookmark(mark) => ("BOOKMARK", mark.metadata.annotations.keys().cloned().collect()),
        WatchEvent::Error(status) => ("ERROR", status.reason),
    }
}

#[test]
fn a_streaming_list_ends_with_a_bookmark_and_goes_on() {
    in_world("watches::a_streaming_list_ends_with_a_bookmark_and_goes_on", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        for name in ["a", "b"] {
            maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
        }
        let params = WatchParams::streaming_lists().fields("metadata.namespace=default");
        let mut events = maps.watch(&params, "0").await.unwrap().boxed();
        assert_eq!(next(&mut events).await, ("ADDED", "a".to_owned()));
        assert_eq!(next(&mut events).await, ("ADDED", "b".to_owned()));
        assert_eq!(next(&mut events).await, ("BOOKMARK", "k8s.io/initial-events-end".to_owned()));
        maps.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
        assert_eq!(next(&mut events).await, ("ADDED", "c".to_owned()));
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        assert_eq!(next(&mut events).await, ("DELETED", "a".to_owned()));
    });
}

#[test]
fn a_watch_goes_on_from_a_revision_and_says_when_it_is_too_old() {
    in_world("watches::a_watch_goes_on_from_a_revision_and_says_when_it_is_too_old", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let made = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
        maps.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
        let since = made.resource_version().unwrap();
        let mut events = maps.watch(&WatchParams::default(), &since).await.unwrap().boxed();
        assert_eq!(next(&mut events).await, ("ADDED", "b".to_owned()));
        fill_history(&maps).await;
        let mut late = maps.watch(&WatchParams::default(), &since).await.unwrap().boxed();
        assert_eq!(next(&mut late).await, ("ERROR", "Expired".to_owned()));
        assert!(soon(late.next()).await.is_none(), "nothing follows an error");
    });
}

/// Writes more than the history of the store holds.
async fn fill_history(maps: &Api<ConfigMap>) {
    let filler = "x".repeat(900_000);
    for number in 0..12 {
        let large = config_map("large", &format!("{number}{filler}"));
        let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
            "data": large.data}));
        maps.patch("large", &PatchParams::apply("filler").force(), &patch).await.unwrap();
    }
}

#[test]
fn a_watcher_begins_again_after_410() {
    in_world("watches::a_watcher_begins_again_after_410", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let quiet = |name: &str| {
            let mut map = config_map(name, "1");
            map.labels_mut().insert("set".to_owned(), "quiet".to_owned());
            map
        };
        maps.create(&PostParams::default(), &quiet("a")).await.unwrap();
        // Without bookmarks nothing brings a watch forward of which nothing is told.
        let config = watcher::Config::default().labels("set=quiet").disable_bookmarks().timeout(1);
        let mut events = watcher::watcher(maps.clone(), config).boxed();
        let mut begun = 0;
        let mut expired = false;
        while let Some(event) = soon(events.next()).await {
            match event {
                Ok(Event::InitDone) if begun == 0 => {
                    begun += 1;
                    fill_history(&maps).await;
                }
                Ok(Event::InitDone) => {
                    begun += 1;
                    maps.create(&PostParams::default(), &quiet("b")).await.unwrap();
                }
                Ok(Event::Apply(map)) if map.name_any() == "b" => break,
                Err(watcher::Error::WatchError(status)) if status.code == 410 => expired = true,
                Err(error) => panic!("{error}"),
                _ => {}
            }
        }
        assert!(expired && begun == 2, "expired: {expired}, begun {begun} times");
    });
}

/// Fills a store by a watcher with `config`, and follows a change and a deletion.
async fn reflected(maps: Api<ConfigMap>, config: watcher::Config) {
    for number in 0..5 {
        maps.patch(
            &format!("r{number}"),
            &PatchParams::apply("test").force(),
            &Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
                "metadata": {"name": format!("r{number}"), "labels": {"set": "r"}}})),
        )
        .await
        .unwrap();
    }
    let (reader, writer) = reflector::store();
    let mut stream = reflector::reflector(writer, watcher::watcher(maps.clone(), config)).default_backoff().boxed();
    while reader.len() < 5 {
        soon(stream.next()).await.expect("a watcher does not end").unwrap();
    }
    let listed = maps.list(&ListParams::default().labels("set=r")).await.unwrap();
    let mut names: Vec<String> = reader.state().iter().map(|map| map.name_any()).collect();
    names.sort();
    assert_eq!(names, listed.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    maps.patch("r0", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "2"}}))).await.unwrap();
    // An object that no longer fits is gone for who watches by label.
    maps.patch("r1", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": null}}))).await.unwrap();
    maps.delete("r2", &DeleteParams::default()).await.unwrap();
    while reader.len() > 3 {
        soon(stream.next()).await.expect("a watcher does not end").unwrap();
    }
    let changed = reader.get(&reflector::ObjectRef::new("r0").within("default")).unwrap();
    assert_eq!(changed.data.as_ref().unwrap()["a"], "2");
}

#[test]
fn a_reflector_holds_what_there_is() {
    in_world("watches::a_reflector_holds_what_there_is", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let config = watcher::Config::default().labels("set=r");
        reflected(maps.clone(), config.clone().page_size(2)).await;
        reflected(maps, config.streaming_lists()).await;
    });
}
