//! Laws over generated sets and objects.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::path::{Element, Scalar};
use super::set::Set;
use super::*;
use crate::model::Kind;
use crate::model::schema::type_of;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i64>().prop_map(Value::from), any::<bool>().prop_map(Value::from), ".{0,6}".prop_map(Value::from)]
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-c.:/\"]{0,3}".prop_map(Element::Field),
        prop::collection::btree_map("[a-c]", scalar(), 1..3)
            .prop_map(|keys| Element::Key(keys.into_iter().map(|(name, value)| (name, Scalar(value))).collect())),
        scalar().prop_map(|value| Element::Item(Scalar(value))),
        any::<i64>().prop_map(Element::Index),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    prop::collection::vec(prop::collection::vec(element(), 1..5), 0..8).prop_map(|paths| paths.into_iter().collect())
}

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[0-2]", 0..4).prop_map(|map| json!(map))
}

fn ports() -> impl Strategy<Value = Value> {
    prop::collection::btree_map((1_u32..5, prop::sample::select(vec!["TCP", "UDP"])), "[a-c]", 0..4).prop_map(|ports| {
        let port = |((port, protocol), name)| json!({"port": port, "protocol": protocol, "name": name});
        Value::Array(ports.into_iter().map(port).collect())
    })
}

fn service() -> impl Strategy<Value = Value> {
    let finalizers = prop::collection::btree_set("[a-d]", 0..3);
    (labels(), ports(), labels(), finalizers).prop_map(|(labels, ports, selector, finalizers)| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "labels": labels, "finalizers": finalizers},
            "spec": {"ports": ports, "selector": selector},
        })
    })
}

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, api_version: "v1", subresource: None, time: "2024-01-01T00:00:00Z" }
}

proptest! {
    #[test]
    fn sets_survive_their_encoding(set in set()) {
        let text = set.encode().to_string();
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Set::decode(&value), Ok(set));
    }

    #[test]
    fn set_operations_agree(a in set(), b in set()) {
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert!(a.paths().iter().all(|path| a.union(&b).contains(path)));
    }

    #[test]
    fn decoding_survives_any_member_names(names in prop::collection::vec(".{0,8}", 0..4)) {
        let members: Map<String, Value> = names.into_iter().map(|name| (name, json!({}))).collect();
        let decoded = Set::decode(&Value::Object(members));
        prop_assert!(decoded.is_err() || decoded.is_ok_and(|set| Set::decode(&set.encode()) == Ok(set)));
    }

    #[test]
    fn apply_is_idempotent(first in service(), second in service(), third in service()) {
        let ty = type_of(Kind::Service);
        let live = apply(ty, None, &first, &writer("m1"), false).unwrap();
        let live = apply(ty, Some(&live), &second, &writer("m2"), true).unwrap();
        let live = apply(ty, Some(&live), &third, &writer("m1"), true).unwrap();
        let later = Writer { time: "2025-01-01T00:00:00Z", ..writer("m1") };
        prop_assert_eq!(apply(ty, Some(&live), &third, &later, false), Ok(live));
    }

    #[test]
    fn a_sole_applier_gets_what_it_applied(first in service(), second in service()) {
        let ty = type_of(Kind::Service);
        let fresh = apply(ty, None, &second, &writer("m1"), false).unwrap();
        let live = apply(ty, None, &first, &writer("m1"), false).unwrap();
        let live = apply(ty, Some(&live), &second, &writer("m1"), false).unwrap();
        prop_assert_eq!(&live["metadata"]["managedFields"], &fresh["metadata"]["managedFields"]);
        let second = shape::tidy(ty, &second);
        for path in ["/spec/ports", "/spec/selector", "/metadata/finalizers", "/metadata/labels"] {
            prop_assert_eq!(live.pointer(path), second.pointer(path), "{}", path);
        }
    }

    #[test]
    fn an_update_owns_its_changes_and_nothing_it_left_alone(old in service(), new in service()) {
        let ty = type_of(Kind::Service);
        let mut live = old.clone();
        track_update(ty, None, &old, &mut live, &writer("m1"));
        let mut after = new.clone();
        track_update(ty, Some(&live), &new, &mut after, &writer("m2"));
        let fields = Managers::decode(metadata(&after, "managedFields")).unwrap();
        let owned: Vec<&Set> = fields.0.values().map(|owned| &owned.set).collect();
        if let [one, other] = owned.as_slice() {
            prop_assert!(one.intersection(other).is_empty());
        }
        let changes = compare(ty, &live, &new);
        let by_m2 = fields.0.iter().find(|(identity, _)| identity.manager == "m2").map(|(_, owned)| owned.set.clone());
        prop_assert_eq!(by_m2.unwrap_or_default(), stripped(&changes.written()));
    }
}
