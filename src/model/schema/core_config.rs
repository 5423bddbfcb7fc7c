//! ConfigMaps, Secrets, Events, ServiceAccounts and references.

use super::Shape::{Bool, Bytes, Int32, List, Map, MicroTime, Object, String, Time};
use super::Type;
use super::build::{opt, own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    core!(top "ConfigMap" => "ConfigMap holds configuration as keys and values.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        ptr(4, "immutable", Bool, "When true, data can no longer be changed; only the object deleted."),
        opt(2, "data", Map(&String), "Text values by key."),
        opt(3, "binaryData", Map(&Bytes), "Binary values by key, base64 in JSON; keys must not stand in data too."),
    ]),
    core!(top "ConfigMapList" => "ConfigMapList is a list of ConfigMaps.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("ConfigMap")), "The objects."),
    ]),
    core!(top "Secret" => "Secret holds confidential values such as passwords and keys.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        ptr(5, "immutable", Bool, "When true, data can no longer be changed; only the object deleted."),
        opt(2, "data", Map(&Bytes), "Values by key, base64 in JSON."),
        opt(4, "stringData", Map(&String), "Values by key as plain text, moved into data when written; never returned."),
        opt(3, "type", String, "What the values are for, for instance Opaque or kubernetes.io/tls."),
    ]),
    core!(top "SecretList" => "SecretList is a list of Secrets.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Secret")), "The objects."),
    ]),
    core!(top "Event" => "Event reports that something happened to an object. Kept for a limited time.", [
        req(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "involvedObject", Object("ObjectReference"), "The object this is about."),
        opt(3, "reason", String, "Short machine-readable reason."),
        opt(4, "message", String, "Explanation for people."),
        own(5, "source", Object("EventSource"), "The component that reports."),
        own(6, "firstTimestamp", Time, "When it was first seen."),
        own(7, "lastTimestamp", Time, "When it was last seen."),
        opt(8, "count", Int32, "How often it was seen."),
        opt(9, "type", String, "Normal or Warning."),
        own(10, "eventTime", MicroTime, "When it was first observed, to the microsecond."),
        ptr(11, "series", Object("EventSeries"), "How often it was seen as a series; absent for a single event."),
        opt(12, "action", String, "What was done or failed."),
        ptr(13, "related", Object("ObjectReference"), "A second object involved."),
        own(14, "reportingComponent", String, "Name of the reporting controller."),
        own(15, "reportingInstance", String, "Instance of the reporting controller."),
    ]),
    core!(top "EventList" => "EventList is a list of Events.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Event")), "The objects."),
    ]),
    core!(top "ServiceAccount" => "ServiceAccount is an identity for what runs in pods.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        opt(2, "secrets", List(&Object("ObjectReference")), "Secrets pods of this account may use; only the names count.").merge("name").keys(&["name"]),
        opt(3, "imagePullSecrets", List(&Object("LocalObjectReference")), "Secrets for pulling images.").atomic(),
        ptr(4, "automountServiceAccountToken", Bool, "Whether pods of this account get its token mounted."),
    ]),
    core!(top "ServiceAccountList" => "ServiceAccountList is a list of ServiceAccounts.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("ServiceAccount")), "The objects."),
    ]),
    core!("EventSource" => "EventSource is the component that reports an event.", [
        opt(1, "component", String, "The component."),
        opt(2, "host", String, "Node it runs on."),
    ]),
    core!("EventSeries" => "EventSeries counts an event that goes on.", [
        opt(1, "count", Int32, "How often it was seen until the last heartbeat."),
        own(2, "lastObservedTime", MicroTime, "When it was last seen."),
    ]),
    core!(atomic "ObjectReference" => "ObjectReference names another object.", [
        opt(1, "kind", String, "Kind of the object."),
        opt(2, "namespace", String, "Namespace of the object."),
        opt(3, "name", String, "Name."),
        opt(4, "uid", String, "Unique id of the object."),
        opt(5, "apiVersion", String, "API version of the object."),
        opt(6, "resourceVersion", String, "Version of the object."),
        opt(7, "fieldPath", String, "Part of the object, for instance spec.containers{name}."),
    ]),
    core!(atomic "LocalObjectReference" => "LocalObjectReference names an object of the same namespace.", [
        opt(1, "name", String, "Name.").default(""),
    ]),
];
