//! Objects as the generated types write and read them.

use std::fmt::Debug;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event as NewEvent;
use k8s_openapi::{ByteString, NamespaceResourceScope};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::events::{Event as Note, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::world::{in_world, refused, soon};

/// Creates, reads and lists an object; what was sent must come back.
async fn round<K>(client: &Client, object: Value) -> K
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let kind = K::kind(&());
    let api: Api<K> = Api::default_namespaced(client.clone());
    let sent: K = serde_json::from_value(object.clone()).unwrap();
    let made = api.create(&PostParams::default(), &sent).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    let name = made.name_any();
    assert_eq!(made.uid(), api.get(&name).await.unwrap().uid());
    let got = serde_json::to_value(made).unwrap();
    for part in ["spec", "data", "endpoints", "type", "reason"] {
        assert!(holds(&got[part], &object[part]), "{kind}.{part}: {} lacks {}", got[part], object[part]);
    }
    let list = api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.unwrap();
    assert_eq!(list.items.len(), 1, "{kind}");
    // Controllers write too: who comes second looks again.
    soon(async {
        loop {
            match api.replace(&name, &PostParams::default(), &api.get(&name).await.unwrap()).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                answer => return answer.unwrap_or_else(|error| panic!("{kind}: {error}")),
            }
        }
    })
    .await
}

/// Whether `whole` says all that `part` says.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (_, Value::Null) => true,
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        _ => whole == part,
    }
}

#[test]
fn typed_objects_come_back_as_they_were_sent() {
    in_world("typed::typed_objects_come_back_as_they_were_sent", |client| async move {
        let service: Service = round(&client, json!({"metadata": {"name": "web"}, "spec": {
            "selector": {"app": "web"}, "sessionAffinity": "ClientIP",
            "ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}))
        .await;
        assert!(service.spec.unwrap().cluster_ip.unwrap().starts_with("10.43."));
        let slice: EndpointSlice = round(
            &client,
            json!({"metadata": {"name": "web-x",
            "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.9.0.11"], "conditions": {"ready": true}, "zone": "z"}]}),
        )
        .await;
        assert_eq!(slice.endpoints.unwrap()[0].zone.as_deref(), Some("z"));
        let pod: Pod = round(
            &client,
            json!({"metadata": {"name": "one", "labels": {"app": "web"},
            "annotations": {"edgesvc.io/pod-ip": "10.9.0.11"}},
            "spec": {"containers": [{"name": "app", "image": "none", "ports": [{"name": "web", "containerPort": 8080}],
                "resources": {"limits": {"memory": "64Mi"}}, "env": [{"name": "A", "value": "b"}]}]}}),
        )
        .await;
        assert_eq!(pod.spec.unwrap().restart_policy.as_deref(), Some("Always"));
        let secret: Secret = round(&client, json!({"metadata": {"name": "s"}, "data": {"a": "/wA="}})).await;
        assert_eq!(secret.data.unwrap()["a"], ByteString(vec![0xff, 0]));
        let lease: Lease = round(
            &client,
            json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "me",
            "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.123456Z"}}),
        )
        .await;
        let later = lease.spec.unwrap().renew_time.unwrap();
        assert_eq!(later.0.to_string(), "2026-01-01T00:00:00.123456Z");
        let event: Event = round(
            &client,
            json!({"metadata": {"name": "e"}, "reason": "Tested", "type": "Normal",
            "involvedObject": {"kind": "Service", "name": "web", "namespace": "default"}, "message": "m"}),
        )
        .await;
        assert_eq!(event.involved_object.name.as_deref(), Some("web"));
    });
}

#[test]
fn cluster_kinds_are_there_from_the_start() {
    in_world("typed::cluster_kinds_are_there_from_the_start", |client| async move {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let names: Vec<String> =
            namespaces.list(&ListParams::default()).await.unwrap().iter().map(|n| n.name_any()).collect();
        assert!(["default", "kube-system"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
        let nodes: Api<Node> = Api::all(client.clone());
        let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0);
        assert!(node.status.unwrap().conditions.unwrap().iter().any(|c| c.type_ == "Ready" && c.status == "True"));
        let protected = namespaces.delete("default", &DeleteParams::default()).await;
        assert!(refused(protected).is_forbidden());
        let shop: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
        namespaces.create(&PostParams::default(), &shop).await.unwrap();
        let going = namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
        let uid = going.left().and_then(|namespace| namespace.uid()).expect("a Namespace is answered");
        let gone = kube::runtime::wait::conditions::is_deleted(&uid);
        soon(kube::runtime::wait::await_condition(namespaces, "shop", gone)).await.unwrap();
    });
}

#[test]
fn a_recorder_writes_one_event_for_what_happens_again() {
    in_world("typed::a_recorder_writes_one_event_for_what_happens_again", |client| async move {
        let services: Api<Service> = Api::default_namespaced(client.clone());
        let about = services.get("kubernetes").await.unwrap().object_ref(&());
        let recorder = Recorder::new(client.clone(), Reporter { controller: "test".to_owned(), instance: None });
        let note = Note {
            type_: EventType::Normal,
            reason: "Seen".to_owned(),
            note: Some("again".to_owned()),
            action: "Look".to_owned(),
            secondary: None,
        };
        for _ in 0..3 {
            recorder.publish(&note, &about).await.unwrap();
        }
        let events: Api<NewEvent> = Api::namespaced(client.clone(), "default");
        let found = events.list(&ListParams::default().fields("reason=Seen")).await.unwrap();
        assert_eq!(found.items.len(), 1, "{found:?}");
        assert_eq!(found.items[0].series.as_ref().unwrap().count, 3);
        let old: Api<Event> = Api::namespaced(client, "default");
        let same = old.get(&found.items[0].name_any()).await.unwrap();
        assert_eq!(
            (same.message.as_deref(), same.involved_object.name.as_deref()),
            (Some("again"), Some("kubernetes"))
        );
    });
}
