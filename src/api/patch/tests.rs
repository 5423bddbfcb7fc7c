//! Each directive by tables, the laws of merge patches, and hostile input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::schema::find;

fn service() -> Value {
    json!({
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"a": "1", "b": "2"}, "finalizers": ["x/a", "x/b"]},
        "spec": {
            "ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 8080, "name": "http"},
                {"port": 443, "protocol": "TCP", "targetPort": 8443},
            ],
            "selector": {"app": "web"},
            "clusterIPs": ["10.0.0.1"],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}},
        },
    })
}

fn strategic_service(patch: &Value) -> Result<Value, PatchError> {
    strategic(find("Service").unwrap(), &service(), patch)
}

/// The patched service must differ from the original exactly at `pointer`.
fn check(patch: Value, pointer: &str, expected: Value) {
    let patched = strategic_service(&patch).unwrap_or_else(|error| panic!("{patch}: {error}"));
    assert_eq!(patched.pointer(pointer), Some(&expected), "{patch}");
    let mut wanted = service();
    if let Some(place) = wanted.pointer_mut(pointer) {
        *place = expected;
        assert_eq!(patched, wanted, "{patch}");
    }
}

/// kube-rs adds a first finalizer so; Go's own library lets it pass.
#[test]
fn a_test_for_null_is_true_of_a_member_that_is_not_there() {
    let current = json!({"metadata": {"name": "a", "list": []}});
    let test = |path: &str, value: Value| {
        json_patch(&current, json!([{"op": "test", "path": path, "value": value}]).to_string().as_bytes())
    };
    test("/metadata/finalizers", Value::Null).unwrap();
    for (path, value) in [
        ("/metadata/finalizers", json!([])),
        ("/metadata/name", Value::Null),
        ("/spec/finalizers", Value::Null),
        ("/metadata/list/0", Value::Null),
    ] {
        assert!(matches!(test(path, value), Err(PatchError::Invalid { .. })), "{path}");
    }
}

#[test]
fn strategic_merges_objects_and_deletes_by_null() {
    check(json!({"metadata": {"labels": {"a": null, "c": "3"}}}), "/metadata/labels", json!({"b": "2", "c": "3"}));
    check(json!({"spec": {"type": null}}), "/spec", service()["spec"].clone());
    check(json!({"spec": {"sessionAffinity": "None"}}), "/spec/sessionAffinity", json!("None"));
}

#[test]
fn strategic_merges_ports_by_their_key() {
    let [http, https] = [service()["spec"]["ports"][0].clone(), service()["spec"]["ports"][1].clone()];
    let changed = json!({"port": 443, "protocol": "TCP", "targetPort": 9443});
    let new = json!({"port": 22});
    for (patch, expected) in [
        (json!([{"port": 443, "targetPort": 9443}]), json!([http, changed])),
        (json!([new]), json!([new, http, https])),
        (json!([{"port": 443, "targetPort": 9443}, new]), json!([http, changed, new])),
        (json!([{"port": 443}, {"port": 80}]), json!([https, http])),
        (json!([{"port": 80, "$patch": "delete"}]), json!([https])),
        (json!([{"port": 81, "$patch": "delete"}]), json!([http, https])),
        (json!([{"$patch": "replace"}, new]), json!([new])),
        (json!([{"$patch": "replace"}]), json!([])),
        (json!([{"port": 80, "name": null}]), json!([{"port": 80, "protocol": "TCP", "targetPort": 8080}, https])),
        (json!([]), json!([http, https])),
    ] {
        check(json!({"spec": {"ports": patch}}), "/spec/ports", expected);
    }
}

#[test]
fn strategic_puts_new_finalizers_first() {
    for (patch, expected) in [
        (json!({"finalizers": ["x/c"]}), json!(["x/c", "x/a", "x/b"])),
        (json!({"finalizers": ["x/b", "x/c"]}), json!(["x/a", "x/b", "x/c"])),
        (json!({"finalizers": ["x/a", "x/a"]}), json!(["x/a", "x/b"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["x/a"]}), json!(["x/b"])),
        (
            json!({
                "$deleteFromPrimitiveList/finalizers": ["x/a"],
                "$setElementOrder/finalizers": ["x/c", "x/b"],
                "finalizers": ["x/c"],
            }),
            json!(["x/c", "x/b"]),
        ),
    ] {
        check(json!({"metadata": patch}), "/metadata/finalizers", expected);
    }
}

#[test]
fn strategic_orders_elements_as_told() {
    let [http, https] = [service()["spec"]["ports"][0].clone(), service()["spec"]["ports"][1].clone()];
    let new = json!({"port": 22});
    for (ports, order, expected) in [
        (json!(null), json!([{"port": 443}, {"port": 80}]), None),
        (json!([new]), json!([{"port": 80}, {"port": 22}, {"port": 443}]), Some(json!([http, new, https]))),
        (json!([new]), json!([{"port": 22}, {"port": 443}]), Some(json!([new, http, https]))),
        (json!([{"port": 80, "$patch": "delete"}]), json!([{"port": 443}]), Some(json!([https]))),
    ] {
        let patch = json!({"spec": {"$setElementOrder/ports": order, "ports": ports}});
        match expected {
            Some(expected) => check(patch, "/spec/ports", expected),
            None => assert_eq!(strategic_service(&patch).unwrap()["spec"].get("ports"), None),
        }
    }
    let only_order = json!({"spec": {"$setElementOrder/ports": [{"port": 443}, {"port": 80}]}});
    check(only_order, "/spec/ports", json!([https, http]));
}

#[test]
fn strategic_replaces_what_has_no_merge_key() {
    check(json!({"spec": {"clusterIPs": ["::1"]}}), "/spec/clusterIPs", json!(["::1"]));
    check(json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}), "/metadata/labels", json!({"c": "3"}));
    check(json!({"spec": {"selector": {"$patch": "delete"}}}), "/spec/selector", json!({}));
    check(json!({"spec": {"sessionAffinityConfig": {"$retainKeys": []}}}), "/spec/sessionAffinityConfig", json!({}));
}

#[test]
fn strategic_refuses_what_it_does_not_understand() {
    for (patch, field) in [
        (json!({"spec": {"ports": [{"targetPort": 1}]}}), "spec.ports"),
        (json!({"spec": {"ports": ["80"]}}), "spec.ports"),
        (json!({"spec": {"ports": [{"port": 80, "$patch": "merge"}]}}), "spec.ports"),
        (json!({"spec": {"ports": [{"port": 80, "$patch": "explode"}]}}), "spec.ports.$patch"),
        (json!({"spec": {"$patch": "explode"}}), "spec.$patch"),
        (json!({"spec": {"$explode": true}}), "spec.$explode"),
        (json!({"spec": {"sessionAffinityConfig": {"$retainKeys": [], "clientIP": {}}}}), "spec.sessionAffinityConfig"),
        (json!({"spec": {"sessionAffinityConfig": {"$retainKeys": "clientIP"}}}), "spec.sessionAffinityConfig"),
        (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "x/a"}}), "metadata.$deleteFromPrimitiveList"),
        (json!({"metadata": {"$deleteFromPrimitiveList": ["x/a"]}}), "metadata.$deleteFromPrimitiveList"),
        (json!({"metadata": {"$setElementOrder/finalizers": {}}}), "metadata.$setElementOrder/finalizers"),
        (json!({"metadata": {"finalizers": [{"a": 1}]}}), "metadata.finalizers"),
        (
            json!({"spec": {"ports": [{"port": 443}, {"port": 80}], "$setElementOrder/ports": [{"port": 80}, {"port": 443}]}}),
            "spec.ports",
        ),
    ] {
        let error = strategic_service(&patch).expect_err(&patch.to_string()).to_string();
        assert!(error.contains(field), "{patch}: {error}");
    }
}

#[test]
fn json_patch_applies_all_or_nothing() {
    let current = json!({"a": 1, "list": [1, 2]});
    let patched =
        json_patch(&current, br#"[{"op":"test","path":"/a","value":1},{"op":"add","path":"/list/-","value":3}]"#);
    assert_eq!(patched, Ok(json!({"a": 1, "list": [1, 2, 3]})));
    for invalid in [
        r#"[{"op":"test","path":"/a","value":2}]"#,
        r#"[{"op":"remove","path":"/b"}]"#,
        r#"[{"op":"replace","path":"/b/c","value":1}]"#,
        r#"[{"op":"move","from":"/b","path":"/a"}]"#,
        r#"[{"op":"add","path":"/list/7","value":3}]"#,
        r#"[{"op":"replace","path":"","value":3}]"#,
        r#"[{"op":"explode","path":"/a"}]"#,
        r#"[{"path":"/a"}]"#,
    ] {
        let error = json_patch(&current, invalid.as_bytes());
        assert!(matches!(error, Err(PatchError::Invalid { .. })), "{invalid}: {error:?}");
    }
    for bad in [r#"{"op":"remove","path":"/a"}"#, "[{", "[1]", "1"] {
        let error = json_patch(&current, bad.as_bytes());
        assert!(matches!(error, Err(PatchError::BadRequest { .. })), "{bad}: {error:?}");
    }
}

#[test]
fn json_patch_counts_operations_and_copies() {
    let operation = r#"{"op":"test","path":"/a","value":1}"#;
    let many = format!("[{}]", vec![operation; JSON_PATCH_OPERATIONS_MAX + 1].join(","));
    assert!(matches!(json_patch(&json!({"a": 1}), many.as_bytes()), Err(PatchError::TooLarge { .. })));

    let double = (0..40).map(|step| format!(r#"{{"op":"copy","from":"/a","path":"/a/{step}"}}"#)).collect::<Vec<_>>();
    let doubling = format!("[{}]", double.join(","));
    let refused = json_patch(&json!({"a": {"x": 1}}), doubling.as_bytes());
    assert!(matches!(refused, Err(PatchError::TooLarge { .. })), "{refused:?}");
}

#[test]
fn nesting_is_bounded_in_every_patch() {
    let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    let bad = |result: Result<Value, PatchError>| assert!(matches!(result, Err(PatchError::BadRequest { .. })));
    bad(merge_patch(&json!({}), &deep));
    bad(strategic(find("Service").unwrap(), &json!({}), &deep));
    bad(json_patch(&json!({}), json!([{"op": "add", "path": "/a", "value": deep}]).to_string().as_bytes()));
    let sink: Vec<Value> = (0..200)
        .flat_map(|_| {
            [
                json!({"op": "add", "path": "/b", "value": {}}),
                json!({"op": "move", "from": "/a", "path": "/b/a"}),
                json!({"op": "move", "from": "/b", "path": "/a"}),
            ]
        })
        .collect();
    bad(json_patch(&json!({"a": {}}), Value::Array(sink).to_string().as_bytes()));
}

#[test]
fn long_merged_lists_are_refused() {
    let many: Vec<String> = (0..200_000).map(|n| format!("x/{n}")).collect();
    let refused = strategic_service(&json!({"metadata": {"finalizers": many}}));
    assert!(matches!(refused, Err(PatchError::TooLarge { .. })), "{refused:?}");
}

fn document(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from), Just(Value::Null)];
    let nested = leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-d]", nested, 0..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn merge_patch_is_idempotent(current in document(3), patch in document(3)) {
        let once = merge_patch(&current, &patch).unwrap();
        prop_assert_eq!(merge_patch(&once, &patch).unwrap(), once);
    }

    #[test]
    fn an_empty_patch_changes_nothing(current in document(3)) {
        prop_assert_eq!(merge_patch(&current, &json!({})).unwrap(), current.clone());
        prop_assert_eq!(strategic(find("Service").unwrap(), &current, &json!({})).unwrap(), current.clone());
        prop_assert_eq!(json_patch(&current, b"[]").unwrap(), current);
    }

    #[test]
    fn strategic_never_panics_and_is_idempotent_without_lists(current in document(3), patch in document(3)) {
        let ty = find("ConfigMap").unwrap();
        if let Ok(once) = strategic(ty, &current, &patch) {
            prop_assert_eq!(strategic(ty, &once, &patch).unwrap(), once);
        }
    }
}
