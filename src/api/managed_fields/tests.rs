//! Ownership as clients see it: what managedFields print after creates, updates
//! and applies, and who is refused.

use serde_json::{Value, json};

use super::*;
use crate::model::Kind;
use crate::model::schema::type_of;

const T1: &str = "2024-01-01T00:00:01Z";
const T2: &str = "2024-01-01T00:00:02Z";

fn writer<'a>(manager: &'a str, time: &'a str) -> Writer<'a> {
    Writer { manager, api_version: "v1", subresource: None, time }
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, "data": data})
}

fn update(kind: Kind, live: Option<&Value>, new: Value, writer: &Writer<'_>) -> Value {
    let decoded = new.clone();
    let mut new = new;
    track_update(type_of(kind), live, &decoded, &mut new, writer);
    new
}

fn applied(live: Option<&Value>, data: Value, manager: &str, time: &str, force: bool) -> Result<Value, ApplyError> {
    apply(type_of(Kind::ConfigMap), live, &config_map(data), &writer(manager, time), force)
}

fn entry(object: &Value, manager: &str) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    entries.iter().find(|entry| entry["manager"] == manager).cloned()
}

fn owned(object: &Value, manager: &str) -> Value {
    entry(object, manager).map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
            "selector": {"app": "web"},
        },
    })
}

#[test]
fn a_creator_owns_what_it_sent_and_not_what_was_allocated() {
    let mut new = service();
    new["spec"]["clusterIP"] = json!("10.43.0.5");
    track_update(type_of(Kind::Service), None, &service(), &mut new, &writer("kubectl-create", T1));
    assert_eq!(
        new["metadata"]["managedFields"],
        json!([{
            "manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:internalTrafficPolicy": {},
                    "f:ports": {
                        ".": {},
                        "k:{\"port\":80,\"protocol\":\"TCP\"}":
                            {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}},
                    },
                    "f:selector": {}, "f:sessionAffinity": {}, "f:type": {},
                },
            },
        }])
    );
    assert_eq!(new["spec"]["clusterIP"], "10.43.0.5");
}

#[test]
fn slices_and_pods_are_owned_as_on_the_real_server() {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": "web-1",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u", "controller": true}],
        },
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}],
    });
    let slice = update(Kind::EndpointSlice, None, slice, &writer("controller", T1));
    assert_eq!(
        owned(&slice, "controller"),
        json!({
            "f:addressType": {}, "f:endpoints": {}, "f:ports": {},
            "f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}},
        })
    );
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]},
    });
    let pod = update(Kind::Pod, None, pod, &writer("kubectl-run", T1));
    assert_eq!(
        owned(&pod, "kubectl-run"),
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
            ".": {}, "f:image": {}, "f:name": {},
            "f:ports": {
                ".": {},
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}},
            },
        }}}})
    );
}

#[test]
fn a_manager_that_changes_a_field_takes_it() {
    let first = update(Kind::ConfigMap, None, config_map(json!({"a": "1", "b": "1"})), &writer("m1", T1));
    let mut changed = first.clone();
    changed["data"] = json!({"a": "2", "c": "1"});
    let second = update(Kind::ConfigMap, Some(&first), changed, &writer("m2", T2));
    assert_eq!(owned(&second, "m1"), json!({"f:data": {}}));
    assert_eq!(owned(&second, "m2"), json!({"f:data": {"f:a": {}, "f:c": {}}}));
    assert_eq!(entry(&second, "m1").unwrap()["time"], T1);
}

#[test]
fn an_update_without_change_changes_no_entry() {
    let first = update(Kind::Service, None, service(), &writer("m1", T1));
    assert_eq!(update(Kind::Service, Some(&first), first.clone(), &writer("m2", T2)), first);
    assert_eq!(update(Kind::Service, Some(&first), service(), &writer("m1", T2)), first);
}

#[test]
fn status_and_spec_have_writers_of_their_own() {
    let first = update(Kind::Service, None, service(), &writer("m1", T1));
    let mut with_status = first.clone();
    with_status["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    with_status["spec"]["type"] = json!("LoadBalancer");
    let by_status = Writer { subresource: Some("status"), ..writer("m1", T2) };
    let second = update(Kind::Service, Some(&first), with_status.clone(), &by_status);
    let entries = second["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(entries[1]["fieldsV1"]["f:status"]["f:loadBalancer"]["f:ingress"], json!({}));
    assert_eq!(entries[1]["fieldsV1"].get("f:spec"), None);
    let main = update(Kind::Service, Some(&first), with_status, &writer("m2", T2));
    assert_eq!(owned(&main, "m2"), json!({"f:spec": {"f:type": {}}}));
}

#[test]
fn entries_can_be_cleared_replaced_and_not_spoilt() {
    let first = update(Kind::ConfigMap, None, config_map(json!({"a": "1"})), &writer("m1", T1));
    for reset in [json!([]), json!([{}])] {
        let mut cleared = first.clone();
        cleared["metadata"]["managedFields"] = reset;
        let cleared = update(Kind::ConfigMap, Some(&first), cleared, &writer("m2", T2));
        assert_eq!(cleared["metadata"].get("managedFields"), None);
    }
    for nonsense in [json!([{"manager": "x"}]), json!("x"), json!([7]), json!(null)] {
        let mut spoilt = first.clone();
        spoilt["metadata"]["managedFields"] = nonsense;
        assert_eq!(update(Kind::ConfigMap, Some(&first), spoilt, &writer("m2", T2)), first);
    }
    // kubectl moves a client-side manager to Apply by replacing the list.
    let mut moved = first.clone();
    moved["metadata"]["managedFields"][0]["manager"] = json!("kubectl");
    moved["metadata"]["managedFields"][0]["operation"] = json!("Apply");
    assert_eq!(update(Kind::ConfigMap, Some(&first), moved.clone(), &writer("kubectl-ssa", T2)), moved);
}

#[test]
fn only_ten_update_entries_are_kept() {
    let mut live = update(Kind::ConfigMap, None, config_map(json!({"k0": "1"})), &writer("m00", T1));
    for n in 1..15 {
        let mut next = live.clone();
        next["data"][format!("k{n}")] = json!("1");
        let (manager, time) = (format!("m{n:02}"), format!("2024-01-01T00:01:{n:02}Z"));
        live = update(Kind::ConfigMap, Some(&live), next, &writer(&manager, &time));
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    let ancient = json!({".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}, "f:k4": {}, "f:k5": {}});
    assert_eq!(owned(&live, "ancient-changes")["f:data"], ancient);
}

#[test]
fn apply_creates_and_does_nothing_twice() {
    let live = applied(None, json!({"a": "1", "b": "1"}), "m1", T1, false).unwrap();
    assert_eq!(live["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(owned(&live, "m1"), json!({"f:data": {"f:a": {}, "f:b": {}}}));
    assert_eq!(entry(&live, "m1").unwrap()["operation"], "Apply");
    assert_eq!(applied(Some(&live), json!({"a": "1", "b": "1"}), "m1", T2, false), Ok(live));
}

#[test]
fn apply_refuses_to_take_a_field_unless_forced() {
    let live = applied(None, json!({"a": "1", "b": "1"}), "m1", T1, false).unwrap();
    let Err(refused) = applied(Some(&live), json!({"a": "2"}), "m2", T2, false) else { panic!("must conflict") };
    let conflict = Conflict { field: ".data.a".into(), manager: "m1".into(), subresource: None, via: None };
    assert_eq!(refused.to_string(), r#"Apply failed with 1 conflict: conflict with "m1": .data.a"#);
    assert_eq!(refused, ApplyError::Conflict(vec![conflict]));

    let forced = applied(Some(&live), json!({"a": "2"}), "m2", T2, true).unwrap();
    assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
    assert_eq!(owned(&forced, "m1"), json!({"f:data": {"f:b": {}}}));
    assert_eq!(owned(&forced, "m2"), json!({"f:data": {"f:a": {}}}));
}

#[test]
fn apply_shares_a_field_of_the_same_value() {
    let live = applied(None, json!({"a": "1"}), "m1", T1, false).unwrap();
    let shared = applied(Some(&live), json!({"a": "1"}), "m2", T2, false).unwrap();
    assert_eq!(owned(&shared, "m1"), owned(&shared, "m2"));
    let dropped = applied(Some(&shared), json!({}), "m1", T2, false).unwrap();
    assert_eq!(dropped["data"], json!({"a": "1"}), "m2 still owns it");
    assert_eq!(entry(&dropped, "m1").map(|entry| entry["fieldsV1"].clone()), Some(json!({"f:data": {}})));
}

#[test]
fn apply_removes_what_the_sole_owner_leaves_out() {
    let live = applied(None, json!({"a": "1", "b": "1"}), "m1", T1, false).unwrap();
    let dropped = applied(Some(&live), json!({"a": "1"}), "m1", T2, false).unwrap();
    assert_eq!(dropped["data"], json!({"a": "1"}));
    assert_eq!(entry(&dropped, "m1").unwrap()["time"], T2);
}

#[test]
fn update_managers_are_named_with_their_version() {
    let live = update(Kind::ConfigMap, None, config_map(json!({"a": "1", "b": "1"})), &writer("kubectl", T1));
    let Err(refused) = applied(Some(&live), json!({"a": "2", "b": "2"}), "m2", T2, false) else {
        panic!("must conflict")
    };
    assert_eq!(
        refused.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1:\n- .data.a\n- .data.b"
    );
    let ApplyError::Conflict(conflicts) = refused else { panic!("must conflict") };
    assert_eq!(conflicts[0].to_string(), r#"conflict with "kubectl" using v1"#);
}

#[test]
fn an_untracked_object_belongs_to_whoever_came_before() {
    let live = config_map(json!({"a": "1"}));
    let Err(ApplyError::Conflict(conflicts)) = applied(Some(&live), json!({"a": "2"}), "m2", T2, false) else {
        panic!("must conflict")
    };
    assert_eq!(conflicts[0].manager, "before-first-apply");
    let joined = applied(Some(&live), json!({"a": "1"}), "m2", T2, false).unwrap();
    assert_eq!(owned(&joined, "before-first-apply"), json!({"f:data": {".": {}, "f:a": {}}}));
}

#[test]
fn kubectl_moves_from_client_side_apply_without_conflict() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut first = config_map(json!({"a": "1"}));
    first["metadata"]["annotations"] = json!({annotation: format!("{}\n", config_map(json!({"a": "1"})))});
    let live = update(Kind::ConfigMap, None, first, &writer("kubectl-client-side-apply", T1));
    let moved = applied(Some(&live), json!({"a": "2"}), "kubectl", T2, false).unwrap();
    assert_eq!(moved["data"], json!({"a": "2"}));
    let kept: Value = serde_json::from_str(moved["metadata"]["annotations"][annotation].as_str().unwrap()).unwrap();
    assert_eq!(kept, config_map(json!({"a": "2"})));
    assert!(applied(Some(&live), json!({"a": "2"}), "other", T2, false).is_err());
}

fn apply_ports(live: Option<&Value>, ports: Value, manager: &str) -> Result<Value, ApplyError> {
    let config = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": ports}});
    apply(type_of(Kind::Service), live, &config, &writer(manager, T1), false)
}

#[test]
fn applied_ports_are_merged_by_port_and_protocol() {
    let live = apply_ports(None, json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "t"}]), "m1").unwrap();
    let ports = owned(&live, "m1")["f:spec"]["f:ports"].clone();
    let keys: Vec<&String> = ports.as_object().unwrap().keys().collect();
    assert_eq!(keys, [r#"k:{"port":53,"protocol":"TCP"}"#, r#"k:{"port":53,"protocol":"UDP"}"#]);

    let both = apply_ports(Some(&live), json!([{"port": 80}]), "m2").unwrap();
    assert_eq!(
        both["spec"]["ports"],
        json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "t"}, {"port": 80}])
    );
    let less = apply_ports(Some(&both), json!([{"port": 53, "protocol": "UDP"}]), "m1").unwrap();
    assert_eq!(less["spec"]["ports"], json!([{"port": 53, "protocol": "UDP"}, {"port": 80}]));

    let Err(ApplyError::Conflict(conflicts)) =
        apply_ports(Some(&live), json!([{"port": 53, "protocol": "TCP", "name": "x"}]), "m2")
    else {
        panic!("must conflict")
    };
    assert_eq!(conflicts[0].field, r#".spec.ports[port=53,protocol="TCP"].name"#);
}

#[test]
fn applied_lists_keep_the_order_of_the_configuration() {
    let port = |n: u32| json!({"port": n, "protocol": "TCP"});
    let of = |ports: &[u32]| Value::Array(ports.iter().map(|n| port(*n)).collect());
    for (live, applied, expected) in [
        (&[1, 2, 3][..], &[2, 9][..], &[1, 2, 3, 9][..]),
        (&[1, 2, 3], &[9, 3], &[1, 2, 9, 3]),
        (&[1, 2], &[2, 1], &[2, 1]),
        (&[1, 5, 2], &[2, 1], &[5, 2, 1]),
        (&[4, 5], &[], &[4, 5]),
    ] {
        let mut base = service();
        base["spec"]["ports"] = of(live);
        let base = update(Kind::Service, None, base, &writer("m1", T1));
        let merged = apply_ports(Some(&base), of(applied), "m2").unwrap();
        assert_eq!(merged["spec"]["ports"], of(expected), "{live:?} {applied:?}");
    }
}

#[test]
fn atomic_fields_are_owned_and_replaced_whole() {
    let live = update(Kind::Service, None, service(), &writer("m1", T1));
    let config =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"b": "2"}}});
    let ty = type_of(Kind::Service);
    let Err(ApplyError::Conflict(conflicts)) = apply(ty, Some(&live), &config, &writer("m2", T2), false) else {
        panic!("must conflict")
    };
    assert_eq!(conflicts[0].field, ".spec.selector");
    let forced = apply(ty, Some(&live), &config, &writer("m2", T2), true).unwrap();
    assert_eq!(forced["spec"]["selector"], json!({"b": "2"}));
    assert_eq!(owned(&forced, "m2"), json!({"f:spec": {"f:selector": {}}}));
}

/// A Service as the store holds it: allocated, with what the server wrote.
fn stored(config: &Value, manager: &str) -> Value {
    let mut live = apply(type_of(Kind::Service), None, config, &writer(manager, T1), false).unwrap();
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["resourceVersion"] = json!("7");
    live["metadata"]["creationTimestamp"] = json!(T1);
    live["spec"]["clusterIP"] = json!("10.43.0.5");
    live["spec"]["clusterIPs"] = json!(["10.43.0.5"]);
    live["status"] = json!({"loadBalancer": {}});
    live
}

#[test]
fn applying_again_leaves_what_the_server_wrote() {
    let ty = type_of(Kind::Service);
    let live = stored(&service(), "m1");
    assert_eq!(apply(ty, Some(&live), &service(), &writer("m1", T2), false), Ok(live.clone()));
    // As people send it: with nulls, a status and a creation time.
    let mut noisy = service();
    noisy["metadata"]["creationTimestamp"] = json!(null);
    noisy["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}});
    noisy["spec"]["clusterIP"] = json!(null);
    assert_eq!(apply(ty, Some(&live), &noisy, &writer("m1", T2), false), Ok(live));
}

#[test]
fn leaving_fields_out_removes_only_what_was_owned() {
    let live = stored(&service(), "m1");
    let mut bare = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}});
    // Without any spec the whole of it would go, as on the real server.
    bare["spec"] = json!({"type": "ClusterIP"});
    let mut left = apply(type_of(Kind::Service), Some(&live), &bare, &writer("m1", T2), false).unwrap();
    assert_eq!(owned(&left, "m1"), json!({"f:spec": {"f:type": {}}}));
    take_fields(&mut left);
    assert_eq!(
        left,
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7", "creationTimestamp": T1,
            },
            "spec": {"type": "ClusterIP", "clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"]},
            "status": {"loadBalancer": {}},
        })
    );
}

#[test]
fn an_item_in_which_another_manager_owns_a_field_stays() {
    let ty = type_of(Kind::Service);
    let live = stored(&service(), "m1");
    let named = json!([{"port": 80, "protocol": "TCP", "name": "http"}]);
    let named = apply_ports(Some(&live), named, "m2").unwrap();
    let mut without = service();
    without["spec"].as_object_mut().unwrap().remove("ports");
    let left = apply(ty, Some(&named), &without, &writer("m1", T2), false).unwrap();
    assert_eq!(left["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "name": "http"}]));
}

#[test]
fn finalizers_are_owned_one_by_one() {
    let ty = type_of(Kind::ConfigMap);
    let with = |finalizers: Value| {
        let mut config = config_map(json!({"a": "1"}));
        config["metadata"]["finalizers"] = finalizers;
        config
    };
    let live = apply(ty, None, &with(json!(["x/a", "x/b"])), &writer("m1", T1), false).unwrap();
    assert_eq!(owned(&live, "m1")["f:metadata"], json!({"f:finalizers": {"v:\"x/a\"": {}, "v:\"x/b\"": {}}}));
    let live = apply(ty, Some(&live), &with(json!(["x/c", "x/b"])), &writer("m2", T1), false).unwrap();
    assert_eq!(live["metadata"]["finalizers"], json!(["x/a", "x/c", "x/b"]));
    let live = apply(ty, Some(&live), &with(json!([])), &writer("m1", T1), false).unwrap();
    assert_eq!(live["metadata"]["finalizers"], json!(["x/c", "x/b"]));
}

#[test]
fn a_configuration_that_cannot_be_applied_is_refused() {
    let ty = type_of(Kind::Service);
    let bad = |config: Value| apply(ty, None, &config, &writer("m1", T1), true).unwrap_err();
    let base = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
    let with = |path: &str, value: Value| {
        let mut config = base.clone();
        config[path] = value;
        config
    };
    let fields = with("metadata", json!({"name": "web", "managedFields": []}));
    for (config, wanted) in [
        (fields, "metadata.managedFields must be nil"),
        (with("apiVersion", json!("v2")), "Incorrect version"),
        (json!({"kind": "Service"}), "apiVersion"),
        (json!("Service"), "must be an object"),
        (with("spec", (0..100).fold(json!(1), |inner, _| json!([inner]))), "nested"),
    ] {
        let error = bad(config);
        assert!(matches!(&error, ApplyError::BadRequest { .. }), "{error:?}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    for (ports, wanted) in [
        (
            json!([{"port": 80}, {"port": 80, "protocol": "TCP"}]),
            "duplicate entries for key [port=80,protocol=\"TCP\"]",
        ),
        (json!(["80"]), "omits all key fields"),
    ] {
        let error = bad(with("spec", json!({ "ports": ports })));
        let ApplyError::Invalid { field, message } = &error else { panic!("{error:?}") };
        assert_eq!(field, "spec.ports");
        assert!(message.contains(wanted), "{message}");
    }
}
