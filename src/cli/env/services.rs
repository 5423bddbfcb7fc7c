//! Services as the server tells them: lists, and the changes of a watch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use tokio::time::timeout;

use super::super::args::Server;
use super::super::client::{Ask, Client};
use super::super::connect;
use super::super::exit::{Code, Failure};
use super::super::resource;
use crate::env::API_SERVICE;
use crate::model::{Kind, ObjectKey, Service};

/// Services by namespace and name.
pub(super) type Services = BTreeMap<ObjectKey, Service>;

/// How long a list may take: 10,000 Services over a slow link.
const LIST_SECONDS_MAX: u64 = 120;

/// One collection that is listed and watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collection {
    namespace: String,
    /// Only the Service of this name.
    name: Option<&'static str>,
}

impl Collection {
    /// What a program of `namespace` sees: its own Services, and default/kubernetes.
    pub(super) fn seen_from(namespace: &str) -> Vec<Collection> {
        let mut seen = vec![Collection { namespace: namespace.to_owned(), name: None }];
        if namespace != API_SERVICE.0 {
            seen.push(Collection { namespace: API_SERVICE.0.to_owned(), name: Some(API_SERVICE.1) });
        }
        seen
    }

    /// Puts what was listed in the place of what is known; whether that changed anything.
    pub(super) fn replace(&self, known: &mut Services, listed: Services) -> bool {
        let mut next: Services = listed;
        let inside =
            |key: &ObjectKey| *key.namespace == *self.namespace && self.name.is_none_or(|name| *key.name == *name);
        next.extend(known.iter().filter(|(key, _)| !inside(key)).map(|(key, service)| (key.clone(), service.clone())));
        let changed = *known != next;
        *known = next;
        changed
    }

    /// The path of a list with these parameters.
    pub(super) fn path(&self, parameters: &str) -> String {
        let selector = self.name.map(|name| format!("fieldSelector=metadata.name%3D{name}&")).unwrap_or_default();
        format!("{}?{selector}{parameters}", resource::collection(Kind::Service, Some(&self.namespace)))
    }
}

/// Everything a program of `namespace` sees, now.
pub(super) async fn seen_from(server: &Server, namespace: &str) -> Result<Services, Failure> {
    let mut client = connect(server).await?;
    let mut services = Services::new();
    for collection in Collection::seen_from(namespace) {
        services.extend(list(&mut client, &collection).await?.0);
    }
    Ok(services)
}

/// A collection and the revision it is of.
pub(super) async fn list(client: &mut Client, collection: &Collection) -> Result<(Services, String), Failure> {
    let path = collection.path("");
    let answer = timeout(Duration::from_secs(LIST_SECONDS_MAX), client.ask(Ask::get(&path))).await;
    let answer = answer.map_err(|_| Failure::new(Code::Unreachable, "the list of Services does not end"))??;
    let items = answer.value.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let services = items.iter().map(service).collect::<Result<Services, Failure>>()?;
    let revision = answer.value.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
    Ok((services, revision.to_owned()))
}

/// What one line of a watch means.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// A Service is there, new or changed.
    There(ObjectKey, Box<Service>),
    /// A Service is gone.
    Gone(ObjectKey),
    /// Nothing changed.
    Bookmark,
    /// The watch cannot go on, for instance because it is too old (410).
    Ended(String),
}

impl Event {
    pub(super) fn read(line: &[u8]) -> Result<Event, Failure> {
        let event: Value =
            serde_json::from_slice(line).map_err(|error| Failure::from_error(Code::Io, "a watch event", &error))?;
        let object = event.get("object").unwrap_or(&Value::Null);
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "ADDED" | "MODIFIED" => service(object).map(|(key, service)| Event::There(key, Box::new(service))),
            "DELETED" => Ok(Event::Gone(key(object))),
            "ERROR" => {
                let words = object.get("message").and_then(Value::as_str).unwrap_or("the server ended the watch");
                Ok(Event::Ended(words.to_owned()))
            }
            _ => Ok(Event::Bookmark),
        }
    }
}

fn key(object: &Value) -> ObjectKey {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    ObjectKey::new(text("/metadata/namespace"), text("/metadata/name"))
}

fn service(object: &Value) -> Result<(ObjectKey, Service), Failure> {
    let key = key(object);
    let service = Service::deserialize(object).map_err(|error| {
        Failure::from_error(Code::Io, &format!("service \"{}\" cannot be understood", key.name), &error)
    })?;
    Ok((key, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_and_the_apis_service_are_asked_for() {
        let paths = |namespace| Collection::seen_from(namespace).iter().map(|c| c.path("w=1")).collect::<Vec<_>>();
        assert_eq!(paths("default"), ["/api/v1/namespaces/default/services?w=1"]);
        let api = "/api/v1/namespaces/default/services?fieldSelector=metadata.name%3Dkubernetes&w=1";
        assert_eq!(paths("a"), ["/api/v1/namespaces/a/services?w=1", api]);
    }

    #[test]
    fn a_list_replaces_its_own_collection_only() {
        let of = |keys: &[(&str, &str)]| -> Services {
            keys.iter().map(|(namespace, name)| (ObjectKey::new(namespace, name), Service::default())).collect()
        };
        let [own, api] = &Collection::seen_from("a")[..] else { panic!("not two") };
        let mut known = of(&[("a", "kubernetes"), ("a", "old"), ("default", "kubernetes")]);
        assert!(own.replace(&mut known, of(&[("a", "kubernetes")])));
        assert_eq!(known, of(&[("a", "kubernetes"), ("default", "kubernetes")]));
        assert!(!api.replace(&mut known, of(&[("default", "kubernetes")])));
        assert!(api.replace(&mut known, of(&[])));
        assert_eq!(known, of(&[("a", "kubernetes")]));
    }

    #[test]
    fn events_are_read_and_a_service_nobody_understands_is_named() {
        let object = r#"{"metadata":{"namespace":"n","name":"a"},"spec":{"clusterIPs":["10.0.0.1"]}}"#;
        let read =
            |kind: &str, object: &str| Event::read(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes());
        assert!(matches!(read("MODIFIED", object).unwrap(), Event::There(key, _) if &*key.name == "a"));
        assert_eq!(read("DELETED", object).unwrap(), Event::Gone(ObjectKey::new("n", "a")));
        assert_eq!(read("BOOKMARK", "{}").unwrap(), Event::Bookmark);
        let gone = r#"{"code":410,"message":"too old resource version"}"#;
        assert_eq!(read("ERROR", gone).unwrap(), Event::Ended("too old resource version".to_owned()));
        let odd = object.replace("10.0.0.1", "ten");
        assert!(read("ADDED", &odd).unwrap_err().message.starts_with("service \"a\""));
        assert!(Event::read(b"{").is_err());
    }
}
