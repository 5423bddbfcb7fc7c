//! Which tasks a change makes necessary. The cost follows the change and its
//! namespace, never the objects of other namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Facts, Task, bootstrap};
use crate::model::balance::WEIGHT_ANNOTATION;
use crate::model::endpoints::service_of;
use crate::model::selector::selects;
use crate::model::{Kind, Object, ObjectKey, Pod, Revision, ip_address};
use crate::store::{Event, EventType, Expired, Snapshot};

/// Every task there is: at start and when the history is too short.
pub(super) fn all(snapshot: &Snapshot) -> BTreeSet<Task> {
    let mut tasks = BTreeSet::new();
    for object in Kind::ALL.into_iter().flat_map(|kind| snapshot.list(kind, None)) {
        of_object(snapshot, object, &mut tasks);
        if object.kind == Kind::Endpoints {
            // Orphans from the time before the start.
            tasks.insert(Task::Endpoints(object.key.clone()));
        }
    }
    tasks
}

/// The tasks made necessary by other facts of the box than before.
pub(super) fn by_facts(snapshot: &Snapshot, before: &Facts, now: &Facts) -> BTreeSet<Task> {
    let troubled = now.troubles.differing(&before.troubles).map(|key| Task::Condition(key.clone()));
    let mut tasks: BTreeSet<Task> = troubled.collect();
    if before.node_addrs != now.node_addrs {
        tasks.insert(Task::Permanent);
        tasks.extend(snapshot.list(Kind::Pod, None).map(|pod| Task::Pod(pod.key.clone())));
    }
    tasks
}

/// The tasks made necessary by what happened after `since`.
pub(super) fn since(snapshot: &Snapshot, since: Revision) -> Result<BTreeSet<Task>, Expired> {
    let mut tasks = BTreeSet::new();
    let mut gone: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for kind in Kind::ALL {
        for event in snapshot.events_since(kind, since)? {
            of_event(snapshot, &event, &mut tasks);
            if event.r#type == EventType::Deleted {
                let object = &event.object;
                gone.entry(object.key.namespace.clone()).or_default().insert(object.meta.uid.clone());
            }
        }
    }
    for (namespace, uids) in gone {
        // One pass over the namespace, however many owners went.
        let scope = Some(&*namespace).filter(|namespace| !namespace.is_empty());
        for object in Kind::ALL.into_iter().flat_map(|kind| snapshot.list(kind, scope)) {
            if object.meta.owners.iter().any(|uid| uids.contains(uid.as_str())) {
                tasks.insert(Task::Garbage(object.kind, object.key.clone()));
            }
        }
    }
    Ok(tasks)
}

fn of_event(snapshot: &Snapshot, event: &Event, tasks: &mut BTreeSet<Task>) {
    let object = &event.object;
    of_object(snapshot, object, tasks);
    match object.kind {
        Kind::Pod if matters(event) => {
            let labels = [Some(object), event.previous.as_ref()].into_iter().flatten().map(|o| &o.meta.labels);
            let labels: Vec<_> = labels.collect();
            for service in snapshot.list(Kind::Service, Some(&object.key.namespace)) {
                let selector = service.as_service().map(|service| &service.spec.selector);
                if selector.is_some_and(|selector| labels.iter().any(|labels| selects(selector, labels))) {
                    tasks.extend([Task::Endpoints(service.key.clone()), Task::Slices(service.key.clone())]);
                }
            }
        }
        // A hand edit of Endpoints stays until a Pod or the Service changes.
        Kind::Endpoints if event.r#type == EventType::Deleted => {
            tasks.insert(Task::Endpoints(object.key.clone()));
        }
        Kind::ServiceAccount if event.r#type == EventType::Deleted && &*object.key.name == "default" => {
            tasks.insert(Task::ServiceAccount(object.key.clone()));
        }
        Kind::Service => tasks.extend(event.previous.iter().flat_map(|previous| addresses(previous))),
        // An address or range that comes or goes may free a range that is going.
        Kind::IpAddress | Kind::ServiceCidr if event.r#type != EventType::Modified => {
            let going = snapshot.list(Kind::ServiceCidr, None).filter(|range| range.meta.deleting);
            tasks.extend(going.map(|range| Task::ServiceCidr(range.key.clone())));
        }
        Kind::EndpointSlice => {
            tasks.extend(event.previous.iter().flat_map(|previous| of_slice(previous)));
        }
        Kind::Node if event.previous.as_ref().is_none_or(|previous| previous.meta.labels != object.meta.labels) => {
            tasks.extend(snapshot.list(Kind::Service, None).map(|service| Task::Slices(service.key.clone())));
        }
        _ => {}
    }
    if event.r#type == EventType::Deleted {
        if bootstrap::is_permanent(object.kind, &object.key) {
            tasks.insert(Task::Permanent);
        }
        // An owner in foreground deletion waits for its dependents.
        tasks.extend(owners(object));
    }
}

fn of_object(snapshot: &Snapshot, object: &Object, tasks: &mut BTreeSet<Task>) {
    let key = || object.key.clone();
    match object.kind {
        Kind::Service => {
            tasks.extend([
                Task::Repair(key()),
                Task::Condition(key()),
                Task::Endpoints(key()),
                Task::Slices(key()),
                Task::Mirror(key()),
            ]);
            tasks.extend(addresses(object));
        }
        Kind::IpAddress => tasks.extend([Task::IpAddress(key())]),
        Kind::Event => tasks.extend([Task::Event(key())]),
        Kind::ServiceCidr => tasks.extend([Task::ServiceCidr(key())]),
        Kind::Endpoints => tasks.extend([Task::Mirror(key())]),
        Kind::EndpointSlice => tasks.extend(of_slice(object)),
        Kind::Pod => tasks.extend([Task::Pod(key())]),
        Kind::Namespace if object.meta.deleting => tasks.extend([Task::Namespace(key())]),
        Kind::Namespace => {
            let account = ObjectKey::new(&object.key.name, "default");
            tasks.extend([Task::ServiceAccount(account), Task::RoleBindings(key())]);
        }
        _ => {}
    }
    if !object.meta.owners.is_empty() || (object.meta.deleting && object.meta.finalizers) {
        tasks.insert(Task::Garbage(object.kind, key()));
    }
    let namespace = ObjectKey::new("", &object.key.namespace);
    if snapshot.get(Kind::Namespace, &namespace).is_some_and(|namespace| namespace.meta.deleting) {
        tasks.insert(Task::Namespace(namespace));
    }
}

fn addresses(service: &Object) -> Vec<Task> {
    let addrs = service.as_service().map(|service| service.cluster_addrs().collect::<Vec<_>>()).unwrap_or_default();
    addrs.into_iter().map(|addr| Task::IpAddress(ip_address::key(addr))).collect()
}

fn of_slice(slice: &Object) -> Vec<Task> {
    let Some(key) = service_of(slice) else { return Vec::new() };
    vec![Task::Slices(key.clone()), Task::Mirror(key)]
}

/// Whether a change of a Pod can change endpoints.
fn matters(event: &Event) -> bool {
    let (Some(previous), EventType::Modified) = (&event.previous, event.r#type) else { return true };
    let seen = |object: &Object| {
        let pod: &Pod = object.as_pod()?;
        let addrs = pod.addrs();
        Some((
            object.meta.labels.clone(),
            object.meta.annotations.get(WEIGHT_ANNOTATION).map(str::to_owned),
            object.meta.deleting,
            pod.spec.clone(),
            addrs,
            pod.is_ready(),
            pod.is_finished(),
        ))
    };
    seen(previous) != seen(&event.object)
}

fn owners(object: &Object) -> Vec<Task> {
    if object.meta.owners.is_empty() {
        return Vec::new();
    }
    let value = object.value();
    let references = value.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let task = |reference: &Value| {
        let text = |member: &str| reference.get(member).and_then(Value::as_str);
        let kind = Kind::from_type_meta(text("apiVersion")?, text("kind")?)?;
        let namespace = if kind.resource().namespaced { &*object.key.namespace } else { "" };
        Some(Task::Garbage(kind, ObjectKey::new(namespace, text("name")?)))
    };
    references.filter_map(task).collect()
}
