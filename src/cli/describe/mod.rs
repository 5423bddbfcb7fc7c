//! `edgesvc describe`: one object for people, with its endpoints and events, as
//! kubectl lays it out. What belongs to an object is fetched here; the pages
//! themselves are pure.

mod access;
mod container;
mod data;
mod endpoints;
mod generic;
mod moment;
mod namespace;
mod network;
mod node;
mod page;
mod pod;
mod quantity;
mod service;
mod volume;

use std::collections::BTreeMap;

use serde_json::Value;
use time::OffsetDateTime;

use super::client::{Ask, AskError, Client};
use super::exit::{Code, Failure};
use super::get;
use super::output;
use super::resource::{self, Named};
use crate::clock;
use crate::model::Kind;
use page::{Page, text_at};

/// What `describe` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) things: Vec<Named>,
    pub(super) namespace: String,
    pub(super) all_namespaces: bool,
    pub(super) selector: Option<String>,
    pub(super) field_selector: Option<String>,
    pub(super) events: bool,
}

/// Kinds whose pages have no events in kubectl either.
const WITHOUT_EVENTS: [Kind; 6] =
    [Kind::Secret, Kind::Namespace, Kind::Role, Kind::ClusterRole, Kind::RoleBinding, Kind::ClusterRoleBinding];

/// What a page shows beside its object.
struct Related {
    /// Slices of a Service.
    slices: Vec<Value>,
    /// Services that an Ingress names.
    backends: BTreeMap<String, network::Backend>,
    /// Secrets beside an account, where they may be read.
    secrets: Option<Vec<Value>>,
    /// Pods of a Node.
    pods: Vec<Value>,
    /// The Lease of a Node, or why there is none.
    lease: Result<Value, String>,
    /// Events of the object; none when nobody wants them.
    events: Option<Vec<Value>>,
    now: OffsetDateTime,
}

/// Describes everything named; a type alone means all of its objects.
pub(super) async fn describe(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let named = options.things.iter().any(|thing| thing.name.is_some());
    if named && (options.selector.is_some() || options.field_selector.is_some()) {
        return Err(Failure::new(Code::Usage, "error: name cannot be provided when a selector is specified"));
    }
    let mut first = true;
    let mut refusals = Vec::new();
    for thing in &options.things {
        let objects = match found(client, thing, options).await {
            Ok(objects) => objects,
            Err(AskError::Refused(refusal)) => {
                refusals.push(refusal.to_string());
                continue;
            }
            Err(AskError::Failed(failure)) => return Err(failure),
        };
        for object in objects {
            let related = related(client, thing.kind, &object, options.events).await?;
            // kubectl ends the pages of names that only begin so with an empty line each.
            let begins = thing.name.as_deref().is_some_and(|name| name != text_at(&object, "/metadata/name"));
            let (before, after) = match (begins, first) {
                (true, _) => ("", "\n"),
                (false, true) => ("", ""),
                (false, false) => ("\n\n", ""),
            };
            first = false;
            output::print(&format!("{before}{}{after}", render(thing.kind, &object, &related)))?;
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::new(Code::Refused, refusals.join("\n")));
    }
    if first {
        let thing = options.things.first();
        let namespaced = thing.is_some_and(|thing| thing.kind.resource().namespaced) && !options.all_namespaces;
        output::note(&get::nothing(namespaced.then_some(options.namespace.as_str())));
    }
    Ok(())
}

/// The objects of one name, of names that begin so, or of a type.
async fn found(client: &mut Client, thing: &Named, options: &Options) -> Result<Vec<Value>, AskError> {
    let namespace = thing.namespace.as_deref().unwrap_or(&options.namespace);
    let Some(name) = &thing.name else {
        let all = options.all_namespaces;
        return list(client, thing.kind, (!all).then_some(namespace), &query(options)).await;
    };
    match client.ask(Ask::get(&resource::object(thing.kind, namespace, name))).await {
        Ok(answer) => {
            output::warn(&answer.warnings);
            Ok(vec![answer.value])
        }
        Err(AskError::Refused(refusal)) if refusal.is_not_found() => {
            let mut objects = list(client, thing.kind, Some(namespace), &[]).await?;
            objects.retain(|object| text_at(object, "/metadata/name").starts_with(name.as_str()));
            if objects.is_empty() { Err(AskError::Refused(refusal)) } else { Ok(objects) }
        }
        Err(error) => Err(error),
    }
}

fn query(options: &Options) -> Vec<String> {
    let pair =
        |name: &str, value: &Option<String>| value.as_ref().map(|text| format!("{name}={}", resource::escaped(text)));
    pair("labelSelector", &options.selector).into_iter().chain(pair("fieldSelector", &options.field_selector)).collect()
}

async fn list(
    client: &mut Client,
    kind: Kind,
    namespace: Option<&str>,
    query: &[String],
) -> Result<Vec<Value>, AskError> {
    let path = get::with_query(resource::collection(kind, namespace), query);
    let mut answer = client.ask(Ask::get(&path)).await?;
    output::warn(&answer.warnings);
    let items = answer.value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    Ok(items.unwrap_or_default().into_iter().map(|item| get::typed(kind, item)).collect())
}

async fn related(client: &mut Client, kind: Kind, object: &Value, events: bool) -> Result<Related, Failure> {
    let namespace = text_at(object, "/metadata/namespace");
    let name = text_at(object, "/metadata/name");
    let mut related = Related {
        slices: Vec::new(),
        backends: BTreeMap::new(),
        secrets: None,
        pods: Vec::new(),
        lease: Err(String::new()),
        events: None,
        now: clock::now(),
    };
    if kind == Kind::Service {
        related.slices = slices(client, namespace, name).await?;
    }
    if kind == Kind::Ingress {
        for name in network::backends_of(object) {
            let backend = backend(client, namespace, &name).await?;
            related.backends.insert(name, backend);
        }
    }
    if kind == Kind::ServiceAccount {
        related.secrets = match list(client, Kind::Secret, Some(namespace), &[]).await {
            Ok(secrets) => Some(secrets),
            Err(AskError::Refused(_)) => None,
            Err(AskError::Failed(failure)) => return Err(failure),
        };
    }
    if kind == Kind::Node {
        let running = format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed");
        let running = format!("fieldSelector={}", resource::escaped(&running));
        related.pods = list(client, Kind::Pod, None, &[running]).await?;
        related.lease = lease(client, name).await?;
    }
    if events && !WITHOUT_EVENTS.contains(&kind) {
        let scope = (!namespace.is_empty()).then_some(namespace);
        let mut found = Vec::new();
        // A kubelet's events name their Node by its name where others have the uid.
        let uids = [Some("/metadata/uid"), (kind == Kind::Node).then_some("/metadata/name")];
        for path in uids.into_iter().flatten() {
            let about = format!(
                "involvedObject.name={name},involvedObject.namespace={namespace},involvedObject.kind={},involvedObject.uid={}",
                kind.resource().kind,
                text_at(object, path),
            );
            let about = format!("fieldSelector={}", resource::escaped(&about));
            found.extend(list(client, Kind::Event, scope, &[about]).await?);
        }
        related.events = Some(found);
    }
    Ok(related)
}

/// The slices of a Service.
async fn slices(client: &mut Client, namespace: &str, service: &str) -> Result<Vec<Value>, AskError> {
    let label = format!("labelSelector={}", resource::escaped(&format!("kubernetes.io/service-name={service}")));
    list(client, Kind::EndpointSlice, Some(namespace), &[label]).await
}

/// A Service that an Ingress names; what is refused is shown in its place.
async fn backend(client: &mut Client, namespace: &str, name: &str) -> Result<network::Backend, Failure> {
    let asked = match client.ask(Ask::get(&resource::object(Kind::Service, namespace, name))).await {
        Ok(answer) => slices(client, namespace, name).await.map(|slices| (answer.value, slices)),
        Err(error) => Err(error),
    };
    match asked {
        Ok(found) => Ok(Ok(found)),
        Err(AskError::Refused(refusal)) => Ok(Err(refusal.message)),
        Err(AskError::Failed(failure)) => Err(failure),
    }
}

/// The Lease of a Node; edgesvc need not serve Leases to be described.
async fn lease(client: &mut Client, node: &str) -> Result<Result<Value, String>, Failure> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}", resource::escaped(node));
    match client.ask(Ask::get(&path)).await {
        Ok(answer) => Ok(Ok(answer.value)),
        Err(AskError::Refused(refusal)) if refusal.is_not_found() && refusal.message.contains("leases") => {
            Ok(Err(refusal.message))
        }
        Err(AskError::Refused(_)) => {
            Ok(Err(format!("the server could not find the requested resource (get leases.coordination.k8s.io {node})")))
        }
        Err(AskError::Failed(failure)) => Err(failure),
    }
}

/// The page of an object.
fn render(kind: Kind, object: &Value, related: &Related) -> String {
    let mut page = Page::default();
    match kind {
        Kind::Service => service::page(&mut page, object, &related.slices),
        Kind::Endpoints => endpoints::endpoints(&mut page, object),
        Kind::EndpointSlice => endpoints::slice(&mut page, object),
        Kind::Pod => pod::page(&mut page, object, related.now),
        Kind::Node => node::page(&mut page, object, related),
        Kind::Namespace => namespace::page(&mut page, object),
        Kind::ConfigMap => data::config_map(&mut page, object),
        Kind::Secret => data::secret(&mut page, object),
        Kind::Ingress => network::ingress(&mut page, object, &related.backends),
        Kind::IngressClass => network::ingress_class(&mut page, object),
        Kind::ServiceCidr => network::service_cidr(&mut page, object),
        Kind::IpAddress => network::ip_address(&mut page, object),
        Kind::ServiceAccount => access::service_account(&mut page, object, related.secrets.as_deref()),
        Kind::Role | Kind::ClusterRole => access::role(&mut page, object),
        Kind::RoleBinding | Kind::ClusterRoleBinding => access::binding(&mut page, object),
        // Every other kind has fields, and no form of its own.
        _ => generic::page(&mut page, object),
    }
    if let Some(events) = &related.events {
        events_of(&mut page, events, related.now);
    }
    page.text()
}

fn events_of(page: &mut Page, events: &[Value], now: OffsetDateTime) {
    if events.is_empty() {
        page.line(0, "Events:\t<none>");
        return;
    }
    page.flush();
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| text_at(event, "/lastTimestamp"));
    page.line(0, "Events:");
    page.line(1, "Type\tReason\tAge\tFrom\tMessage");
    page.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let age = |path: &str| moment::age(text_at(event, path), now);
        let first = if text_at(event, "/eventTime").is_empty() { age("/firstTimestamp") } else { age("/eventTime") };
        let count = |path: &str| event.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        let interval = if event.get("series").is_some_and(|series| !series.is_null()) {
            format!("{} (x{} over {first})", age("/series/lastObservedTime"), count("/series/count"))
        } else if count("/count") > 1 {
            format!("{} (x{} over {first})", age("/lastTimestamp"), count("/count"))
        } else {
            first
        };
        let component = text_at(event, "/source/component");
        let source = if component.is_empty() { text_at(event, "/reportingComponent") } else { component };
        page.line(
            1,
            &format!(
                "{}\t{}\t{interval}\t{source}\t{}",
                text_at(event, "/type"),
                text_at(event, "/reason"),
                text_at(event, "/message").trim()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_stand_in_a_table_of_their_own() {
        let event = json!({"type": "Normal", "reason": "Made", "message": "it is there\n", "count": 3,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:04:00Z",
            "source": {"component": "edgesvc"}});
        let mut page = Page::default();
        page.line(0, "Name:\ta");
        events_of(&mut page, &[event], time::macros::datetime!(2026-01-01 00:05:00 UTC));
        assert_eq!(
            page.text(),
            "Name:  a\nEvents:\n  Type    Reason  Age               From     Message\n  ----    ------  ----              ----     -------\n  Normal  Made    60s (x3 over 5m)  edgesvc  it is there\n"
        );
    }
}
