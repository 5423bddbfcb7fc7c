//! `events.k8s.io/v1`: Event, the other view of the core group's Events.

use super::Shape::{Int32, List, MicroTime, Object, String, Time};
use super::Type;
use super::build::{opt, own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    events!(top "events.Event" as "Event" => "Event reports that something happened to an object. Kept for a limited time.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "eventTime", MicroTime, "When it was first observed, to the microsecond."),
        ptr(3, "series", Object("events.EventSeries"), "How often it was seen as a series; absent for a single event."),
        opt(4, "reportingController", String, "Name of the reporting controller."),
        opt(5, "reportingInstance", String, "Instance of the reporting controller."),
        opt(6, "action", String, "What was done or failed."),
        opt(7, "reason", String, "Short machine-readable reason."),
        own(8, "regarding", Object("ObjectReference"), "The object this is about."),
        ptr(9, "related", Object("ObjectReference"), "A second object involved."),
        opt(10, "note", String, "Explanation for people."),
        opt(11, "type", String, "Normal or Warning."),
        own(12, "deprecatedSource", Object("EventSource"), "The component that reports, of the older form."),
        own(13, "deprecatedFirstTimestamp", Time, "When it was first seen, of the older form."),
        own(14, "deprecatedLastTimestamp", Time, "When it was last seen, of the older form."),
        opt(15, "deprecatedCount", Int32, "How often it was seen, of the older form."),
    ]),
    events!(top "events.EventList" as "EventList" => "EventList is a list of Events.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("events.Event")), "The objects."),
    ]),
    events!("events.EventSeries" as "EventSeries" => "EventSeries counts an event that goes on.", [
        req(1, "count", Int32, "How often it was seen until the last heartbeat."),
        req(2, "lastObservedTime", MicroTime, "When it was last seen."),
    ]),
];
