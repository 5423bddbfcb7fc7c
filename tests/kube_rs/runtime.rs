//! A controller in a few lines: a Service for every ConfigMap that asks for one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::world::{config_map, in_world, soon};

const FINALIZER: &str = "test.example/service";

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

fn failed(error: impl std::fmt::Display) -> Failed {
    Failed(error.to_string())
}

/// Makes the Service by server-side apply, owned by the ConfigMap.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let services: Api<Service> = Api::default_namespaced((*client).clone());
    let maps: Api<ConfigMap> = Api::default_namespaced((*client).clone());
    finalizer(&maps, FINALIZER, map, |event| async {
        let Event::Apply(map) = event else {
            // Who cleans up leaves a note for the test.
            let note = config_map("cleaned", "1");
            let maps: Api<ConfigMap> = Api::default_namespaced((*client).clone());
            maps.create(&PostParams::default(), &note).await.map_err(failed)?;
            return Ok(Action::await_change());
        };
        let name = map.name_any();
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "ownerReferences": [map.controller_owner_ref(&()).unwrap()]},
            "spec": {"ports": [{"port": 80}], "selector": {"app": map.data.as_ref().unwrap()["a"]}}});
        services.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(service)).await.map_err(failed)?;
        Ok::<_, Failed>(Action::await_change())
    })
    .await
    .map_err(failed)
}

fn selects(app: &'static str) -> impl conditions::Condition<Service> {
    move |service: Option<&Service>| {
        let selector = service.and_then(|service| service.spec.as_ref()).and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| selector.get("app").is_some_and(|value| value == app))
    }
}

#[test]
fn a_controller_keeps_what_it_owns() {
    in_world("runtime::a_controller_keeps_what_it_owns", |client| async move {
        let services: Api<Service> = Api::default_namespaced(client.clone());
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let asked = watcher::Config::default().labels("wants=service");
        let controller = Controller::new(maps.clone(), asked).owns(services.clone(), watcher::Config::default()).run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(50)),
            Arc::new(client),
        );
        let running = tokio::spawn(controller.for_each(|_| std::future::ready(())));

        let mut map = config_map("web", "one");
        map.labels_mut().insert("wants".to_owned(), "service".to_owned());
        maps.create(&PostParams::default(), &map).await.unwrap();
        soon(await_condition(services.clone(), "web", selects("one"))).await.unwrap();

        let change = Patch::Merge(json!({"data": {"a": "two"}}));
        maps.patch("web", &PatchParams::default(), &change).await.unwrap();
        soon(await_condition(services.clone(), "web", selects("two"))).await.unwrap();

        let meddling = Patch::Merge(json!({"spec": {"selector": {"app": "three"}}}));
        services.patch("web", &PatchParams::default(), &meddling).await.unwrap();
        soon(await_condition(services.clone(), "web", selects("two"))).await.unwrap();

        let uid = services.get("web").await.unwrap().uid().unwrap();
        services.delete("web", &DeleteParams::default()).await.unwrap();
        soon(await_condition(services.clone(), "web", conditions::is_deleted(&uid))).await.unwrap();
        soon(await_condition(services.clone(), "web", selects("two"))).await.unwrap();

        // The finalizer is run, the ConfigMap goes, and the garbage collector takes what it owned.
        let owner = maps.get("web").await.unwrap();
        assert_eq!(owner.finalizers(), [FINALIZER]);
        let uid = services.get("web").await.unwrap().uid().unwrap();
        maps.delete("web", &DeleteParams::background()).await.unwrap();
        soon(await_condition(maps.clone(), "web", conditions::is_deleted(&owner.uid().unwrap()))).await.unwrap();
        maps.get("cleaned").await.unwrap();
        soon(await_condition(services, "web", conditions::is_deleted(&uid))).await.unwrap();
        running.abort();
    });
}
