//! Events in the words of both groups, Leases, accounts, and what is warned of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{Rejection, stored_path, viewed};
use super::world::{INV, NS, REQ, World, object, refused};
use crate::model::Kind;

fn newer(changes: Value) -> Value {
    let mut members = json!({
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "a.b/c", "reportingInstance": "i",
        "action": "A", "reason": "R", "note": "n", "type": "Normal",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    json_patch::merge(&mut members, &changes);
    object(Kind::EventsEvent, "a", members)
}

fn made(changes: Value) -> Result<Value, Rejection> {
    World::single().create(Kind::EventsEvent, newer(changes))
}

#[test]
fn an_event_is_the_same_in_the_words_of_both_groups() {
    let core = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "message": "m", "count": 2, "reason": "R",
        "involvedObject": {"name": "p"}, "source": {"component": "c"}, "firstTimestamp": "t", "lastTimestamp": "u",
        "reportingComponent": "r", "reportingInstance": "i",
    });
    let newer = viewed(Kind::EventsEvent, core.clone());
    assert_eq!(
        newer,
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "note": "m",
            "deprecatedCount": 2, "reason": "R", "regarding": {"name": "p"}, "deprecatedSource": {"component": "c"},
            "deprecatedFirstTimestamp": "t", "deprecatedLastTimestamp": "u", "reportingController": "r",
            "reportingInstance": "i",
        })
    );
    assert_eq!(viewed(Kind::Event, newer), core);
    assert_eq!(stored_path(Kind::EventsEvent, "regarding.name"), "involvedObject.name");
    assert_eq!(stored_path(Kind::Event, "involvedObject.name"), "involvedObject.name");
}

#[test]
fn the_newer_group_is_strict() {
    made(json!({})).unwrap();
    made(json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}})).unwrap();
    for (changes, expected) in [
        (json!({"eventTime": null}), vec![("eventTime", REQ)]),
        (json!({"type": "X"}), vec![("type", INV)]),
        (json!({"action": null}), vec![("action", REQ)]),
        (json!({"deprecatedCount": 1}), vec![("count", INV)]),
        (json!({"deprecatedSource": {"host": "h"}}), vec![("source", INV)]),
        (json!({"series": {"count": 1}}), vec![("series.count", INV), ("series.lastObservedTime", REQ)]),
        (json!({"regarding": {"namespace": ""}}), vec![]),
        (json!({"metadata": {"name": "A_"}}), vec![("metadata.name", INV)]),
    ] {
        match made(changes.clone()) {
            Ok(_) => assert!(expected.is_empty(), "{changes}"),
            refusal => refused(refusal, &expected),
        }
    }
}

#[test]
fn only_the_series_of_a_newer_event_changes() {
    let mut world = World::single();
    let made = world.create(Kind::EventsEvent, newer(json!({}))).unwrap();
    let mut old = made.clone();
    old["note"] = "other".into();
    old["regarding"]["name"] = "q".into();
    let changed = super::super::update(Kind::EventsEvent, &world.scene(), &made, &mut old, None);
    refused(changed.map(|_| Value::Null), &[("involvedObject", INV), ("message", INV)]);
    let mut series = made.clone();
    series["series"] = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"});
    super::super::update(Kind::EventsEvent, &world.scene(), &made, &mut series, None).unwrap();
}

#[test]
fn leases() {
    let lease = |spec: Value| World::single().create(Kind::Lease, object(Kind::Lease, "a", json!({ "spec": spec })));
    lease(json!({})).unwrap();
    lease(json!({"leaseDurationSeconds": 1, "leaseTransitions": 0})).unwrap();
    refused(
        lease(json!({"leaseDurationSeconds": 0, "leaseTransitions": -1})),
        &[("spec.leaseDurationSeconds", INV), ("spec.leaseTransitions", INV)],
    );
    let coordinated = lease(json!({"strategy": "OldestEmulationVersion", "preferredHolder": "x"})).unwrap();
    assert_eq!(coordinated["spec"], json!({}));
}

#[test]
fn an_account_keeps_only_the_names_of_secrets() {
    let mut world = World::single();
    let secrets = json!({"secrets": [{"name": "s", "kind": "Secret", "uid": "u"}]});
    let mut value = object(Kind::ServiceAccount, "a", secrets);
    value["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": "true"});
    let made = world.create(Kind::ServiceAccount, value).unwrap();
    assert_eq!(made["secrets"], json!([{"name": "s"}]));
    assert_eq!(world.warnings.len(), 1);
    world.write(Kind::ServiceAccount, made, None).unwrap();
    assert_eq!(world.warnings.len(), 0, "told once");
}

#[test]
fn taints_are_checked_and_a_new_node_is_not_ready() {
    let node = |taints: Value| {
        World::single().create(Kind::Node, object(Kind::Node, "n", json!({"spec": {"taints": taints}})))
    };
    let made = node(json!([{"key": "a", "effect": "NoExecute"}])).unwrap();
    assert_eq!(made["spec"]["taints"][1]["key"], "node.kubernetes.io/not-ready");
    let field = |i: usize, member: &str| format!("metadata.taints[{i}].{member}");
    refused(node(json!([{"key": "a", "effect": "x"}])), &[(&field(0, "effect"), NS)]);
    refused(
        node(json!([{"key": "a b", "value": "c d"}])),
        &[(&field(0, "key"), INV), (&field(0, "value"), INV), (&field(0, "effect"), REQ)],
    );
    let twice = json!({"key": "a", "effect": "NoSchedule"});
    refused(node(json!([twice, twice])), &[("metadata.taints[1]", super::world::DUP)]);
}

#[test]
fn a_tls_secret_that_no_server_can_use_is_warned_of() {
    let block = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
    let warned = |crt: &str, key: &str| {
        let mut world = World::single();
        let data = json!({"tls.crt": STANDARD.encode(crt), "tls.key": STANDARD.encode(key)});
        let secret = json!({"type": "kubernetes.io/tls", "data": data});
        world.create(Kind::Secret, object(Kind::Secret, "a", secret)).unwrap();
        world.warnings.concat()
    };
    let (certificate, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
    assert_eq!(warned(&certificate, &key), "");
    assert_eq!(warned(&format!("{}{certificate}", block("X")), &format!("{}{key}", block("EC PARAMETERS"))), "");
    for (crt, key, words) in [
        ("", "", "failed to find any PEM data in certificate input"),
        (key.as_str(), key.as_str(), "PEM inputs may have been switched"),
        (&block("X"), &key, "after skipping PEM blocks of the following types: [X]"),
        (&certificate, "", "failed to find any PEM data in key input"),
        (&certificate, &certificate, "found a certificate rather than a key"),
    ] {
        assert!(warned(crt, key).contains(words), "{}", warned(crt, key));
    }
}
