//! kube-rs, unmodified, over TLS with `admin.kubeconfig`: what a controller
//! written in Rust does all day.
//!
//! The daemon listens on the loopback of its world, so every test runs itself
//! again there (see `world`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use self::world::{config_map, in_world, refused};

#[path = "kube_rs/runtime.rs"]
mod runtime;
#[path = "kube_rs/typed.rs"]
mod typed;
#[path = "kube_rs/watches.rs"]
mod watches;
#[path = "kube_rs/world.rs"]
mod world;

#[test]
fn an_object_is_created_replaced_and_deleted() {
    in_world("an_object_is_created_replaced_and_deleted", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let new = PostParams { field_manager: Some("one".to_owned()), ..PostParams::default() };
        let mut made = maps.create(&new, &config_map("a", "1")).await.unwrap();
        assert_eq!(made.managed_fields()[0].manager.as_deref(), Some("one"));
        assert_eq!(refused(maps.create(&new, &config_map("a", "1")).await).reason, "AlreadyExists");
        let stale = made.clone();
        made.data.as_mut().unwrap().insert("b".to_owned(), "2".to_owned());
        let replaced = maps.replace("a", &PostParams::default(), &made).await.unwrap();
        assert_ne!(replaced.resource_version(), made.resource_version());
        let conflict = refused(maps.replace("a", &PostParams::default(), &stale).await);
        assert!(conflict.is_conflict() && conflict.message.contains("the object has been modified"), "{conflict}");
        let dry = DeleteParams::default().dry_run();
        maps.delete("a", &dry).await.unwrap();
        let said = maps.delete("a", &DeleteParams::background()).await.unwrap();
        assert!(said.right().is_some_and(|status| status.is_success()), "a ConfigMap goes with a Status");
        assert!(maps.get_opt("a").await.unwrap().is_none());
        assert!(refused(maps.delete("a", &DeleteParams::default()).await).is_not_found());
    });
}

#[test]
fn an_entry_is_written_by_who_saw_it_last() {
    in_world("an_entry_is_written_by_who_saw_it_last", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let set = |value: &'static str| {
            move |map: &mut ConfigMap| drop(map.data.get_or_insert_default().insert("a".to_owned(), value.to_owned()))
        };
        let mut first = maps.entry("e").await.unwrap().or_insert(|| config_map("e", "0"));
        first.commit(&PostParams::default()).await.unwrap();
        let mut second = maps.entry("e").await.unwrap().and_modify(set("1")).or_insert(|| config_map("e", "0"));
        second.commit(&PostParams::default()).await.unwrap();
        let mut late = first.and_modify(set("2"));
        late.commit(&PostParams::default()).await.expect_err("it has seen an older object");
        assert_eq!(maps.get("e").await.unwrap().data.unwrap()["a"], "1");
    });
}

#[test]
fn every_type_of_patch_does_what_it_says() {
    in_world("every_type_of_patch_does_what_it_says", |client| async move {
        let services: Api<Service> = Api::default_namespaced(client);
        let web = json!({"metadata": {"name": "web", "labels": {"a": "1"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}});
        services.create(&PostParams::default(), &serde_json::from_value(web).unwrap()).await.unwrap();
        let plain = PatchParams::default();
        let ports = |service: &Service| -> Vec<i32> {
            service.spec.as_ref().unwrap().ports.as_ref().unwrap().iter().map(|port| port.port).collect()
        };

        let more = Patch::Strategic(json!({"spec": {"ports": [{"name": "metrics", "port": 9100}]}}));
        let patched = services.patch("web", &plain, &more).await.unwrap();
        assert_eq!(ports(&patched).len(), 2, "the new port stands beside the old");
        let fewer = Patch::Merge(json!({"spec": {"ports": [{"name": "http", "port": 81}]}}));
        assert_eq!(ports(&services.patch("web", &plain, &fewer).await.unwrap()), [81], "a list is replaced");

        let operations = json!([{"op": "test", "path": "/metadata/labels/a", "value": "1"},
            {"op": "replace", "path": "/metadata/labels/a", "value": "2"}]);
        let swap = Patch::Json::<()>(serde_json::from_value(operations).unwrap());
        assert_eq!(services.patch("web", &plain, &swap).await.unwrap().labels()["a"], "2");
        assert_eq!(refused(services.patch("web", &plain, &swap).await).code, 422, "the test no longer holds");

        let dry = Patch::Merge(json!({"metadata": {"labels": {"a": "3"}}}));
        services.patch("web", &plain.clone().dry_run(), &dry).await.unwrap();
        assert_eq!(services.get("web").await.unwrap().labels()["a"], "2");
        let odd = Patch::Merge(json!({"spec": {"foo": 1}}));
        let strict = refused(services.patch("web", &plain.clone().validation_strict(), &odd).await);
        assert!(strict.message.contains("unknown field \"spec.foo\""), "{strict}");

        let seen = Patch::Merge(json!({"spec": {"selector": {"app": "no"}}, "status": {"conditions": [{
            "type": "Seen", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}));
        let seen = services.patch_status("web", &plain, &seen).await.unwrap();
        assert_eq!(seen.status.unwrap().conditions.unwrap()[0].type_, "Seen");
        assert_eq!(services.get_status("web").await.unwrap().spec.unwrap().selector.unwrap()["app"], "web");
        assert_eq!(services.get_metadata("web").await.unwrap().metadata.labels.unwrap()["a"], "2");
    });
}

#[test]
fn an_apply_conflicts_until_it_is_forced() {
    in_world("an_apply_conflicts_until_it_is_forced", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let wish = |value: &str| {
            Patch::Apply(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": value}}),
            )
        };
        maps.patch("c", &PatchParams::apply("one"), &wish("1")).await.unwrap();
        let conflict = refused(maps.patch("c", &PatchParams::apply("two"), &wish("2")).await);
        assert!(conflict.is_conflict(), "{conflict}");
        let causes = conflict.details.clone().unwrap().causes;
        assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldManagerConflict", ".data.a"));
        assert!(causes[0].message.contains("\"one\""), "{conflict}");
        let taken = maps.patch("c", &PatchParams::apply("two").force(), &wish("2")).await.unwrap();
        assert_eq!(taken.data.as_ref().unwrap()["a"], "2");
        assert_eq!(taken.managed_fields().len(), 1, "nothing is left to the first: {:?}", taken.managed_fields());
        let nothing = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}));
        let emptied = maps.patch("c", &PatchParams::apply("two"), &nothing).await.unwrap();
        assert_eq!(emptied.data.unwrap_or_default().len(), 0, "what its owner drops is gone");
        let nameless = PatchParams { force: false, ..PatchParams::default() };
        assert_eq!(refused(maps.patch("c", &nameless, &wish("3")).await).code, 422);
    });
}

#[test]
fn lists_come_in_pages() {
    in_world("lists_come_in_pages", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let names: Vec<String> = (0..7).map(|number| format!("page-{number}")).collect();
        for name in &names {
            let mut map = config_map(name, "1");
            map.labels_mut().insert("set".to_owned(), "pages".to_owned());
            maps.create(&PostParams::default(), &map).await.unwrap();
        }
        let (mut seen, mut pages, mut params) = (Vec::new(), 0, ListParams::default().labels("set=pages").limit(3));
        let mut revisions = std::collections::BTreeSet::new();
        loop {
            let page = maps.list(&params).await.unwrap();
            pages += 1;
            seen.extend(page.iter().map(ResourceExt::name_any));
            revisions.insert(page.metadata.resource_version.clone());
            // What happens between two pages is not seen in the later one.
            if pages == 1 {
                maps.delete(&names[6], &DeleteParams::default()).await.unwrap();
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        assert_eq!((pages, revisions.len()), (3, 1), "every page shows the state of the first");
        assert_eq!(seen, names);
        let bad = ListParams::default().limit(3).continue_token("rubbish");
        assert_eq!(refused(maps.list(&bad).await).code, 400);
    });
}

#[test]
fn a_deletion_keeps_to_its_preconditions() {
    in_world("a_deletion_keeps_to_its_preconditions", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let made = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
        let only = |uid: Option<String>, resource_version: Option<String>| {
            DeleteParams::default().preconditions(Preconditions { uid, resource_version })
        };
        let other = only(Some("00000000-0000-4000-8000-000000000000".to_owned()), None);
        assert!(refused(maps.delete("a", &other).await).is_conflict());
        assert!(refused(maps.delete("a", &only(None, Some("1".to_owned()))).await).is_conflict());
        maps.delete("a", &only(made.uid(), made.resource_version())).await.unwrap();
        for name in ["b", "c"] {
            maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
        }
        let gone =
            maps.delete_collection(&DeleteParams::default(), &ListParams::default().fields("metadata.name=b")).await;
        assert_eq!(gone.unwrap().left().unwrap().items[0].name_any(), "b");
        maps.get("c").await.unwrap();
    });
}

#[test]
fn discovery_names_every_kind_in_both_forms() {
    in_world("discovery_names_every_kind_in_both_forms", |client| async move {
        let plain = kube::Discovery::new(client.clone()).run().await.unwrap();
        let aggregated = kube::Discovery::new(client.clone()).run_aggregated().await.unwrap();
        for discovery in [plain, aggregated] {
            let slice = kube::core::GroupVersionKind::gvk("discovery.k8s.io", "v1", "EndpointSlice");
            let (resource, capabilities) = discovery.resolve_gvk(&slice).unwrap();
            assert_eq!(resource.plural, "endpointslices");
            assert!(capabilities.supports_operation("watch"));
            let core = discovery.get("").unwrap().recommended_resources();
            let (_, services) = core.iter().find(|(resource, _)| resource.kind == "Service").unwrap();
            assert_eq!(services.subresources.len(), 1);
        }
        let any: Api<EndpointSlice> = Api::all(client.clone());
        assert!(any.list(&ListParams::default()).await.unwrap().iter().any(|slice| slice.name_any() == "kubernetes"));
        assert!(client.apiserver_version().await.unwrap().git_version.starts_with("v1."));
    });
}
