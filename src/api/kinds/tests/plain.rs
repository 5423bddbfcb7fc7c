//! The metadata of every kind, and the kinds without much of their own.

use serde_json::{Value, json};

use super::super::Rejection;
use super::world::{DUP, FORB, INV, LONG, NS, REQ, World, object, refused};
use crate::model::Kind;

fn create(kind: Kind, members: Value) -> Result<Value, Rejection> {
    World::single().create(kind, object(kind, "a", members))
}

fn noted(metadata: Value) -> Result<Value, Rejection> {
    let mut value = object(Kind::ConfigMap, "a", json!({}));
    value["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    World::single().create(Kind::ConfigMap, value)
}

#[test]
fn names_by_kind() {
    let rows = [
        (Kind::Service, vec!["1a"], vec!["a.b", "A", "-a", "a-"]),
        (Kind::Namespace, vec!["1a"], vec!["a.b", "A"]),
        (Kind::ConfigMap, vec!["a.b", "1a"], vec!["A", "a_b", "a..b"]),
        (Kind::Secret, vec!["a.b"], vec!["A"]),
        (Kind::Endpoints, vec!["a.b"], vec!["A"]),
        (Kind::Node, vec!["a.b"], vec!["A"]),
        (Kind::Event, vec!["A_b.1"], vec!["a/b", "a%b", ".."]),
    ];
    for (kind, good, bad) in rows {
        let members = match kind {
            Kind::Service => json!({"spec": {"ports": [{"port": 1}]}}),
            Kind::Event => json!({"involvedObject": {"namespace": "default"}}),
            _ => json!({}),
        };
        for name in good {
            World::single().create(kind, object(kind, name, members.clone())).unwrap();
        }
        for name in bad {
            let faults = super::world::faults(World::single().create(kind, object(kind, name, members.clone())));
            assert_eq!(faults, [("metadata.name".to_owned(), INV)], "{kind} {name}");
        }
    }
    refused(World::single().create(Kind::ConfigMap, object(Kind::ConfigMap, "", json!({}))), &[("metadata.name", REQ)]);
}

#[test]
fn generated_names_are_checked_as_they_will_be() {
    let generated = |base: &str| noted(json!({"generateName": base}));
    for good in ["a-", "a", "a--"] {
        generated(good).unwrap();
    }
    for bad in ["AB-", "a.", "-"] {
        refused(generated(bad), &[("metadata.generateName", INV)]);
    }
}

#[test]
fn labels_annotations_and_finalizers() {
    refused(noted(json!({"labels": {"a b": "x y"}})), &[("metadata.labels", INV), ("metadata.labels", INV)]);
    refused(noted(json!({"labels": {"a": "x".repeat(64)}})), &[("metadata.labels", INV)]);
    refused(noted(json!({"annotations": {"a b": ""}})), &[("metadata.annotations", INV)]);
    noted(json!({"annotations": {"Example.COM/Key": "any text"}})).unwrap();
    noted(json!({"annotations": {"a": "x".repeat(256 * 1024 - 1)}})).unwrap();
    refused(noted(json!({"annotations": {"a": "x".repeat(256 * 1024)}})), &[("metadata.annotations", LONG)]);
    noted(json!({"finalizers": ["x.y/z", "orphan"]})).unwrap();
    refused(noted(json!({"finalizers": ["x"]})), &[("metadata.finalizers[0]", INV)]);
    refused(noted(json!({"finalizers": ["a/b/c"]})), &[("metadata.finalizers", INV)]);
    refused(noted(json!({"finalizers": ["orphan", "foregroundDeletion"]})), &[("metadata.finalizers", INV)]);
}

#[test]
fn owners_are_whole_and_one_controls() {
    let owner = |name: &str, controller: bool| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": controller});
    noted(json!({"ownerReferences": [owner("a", true), owner("b", false)]})).unwrap();
    refused(
        noted(json!({"ownerReferences": [owner("a", true), owner("b", true)]})),
        &[("metadata.ownerReferences", INV)],
    );
    let members = ["apiVersion", "kind", "name", "uid"].map(|member| format!("metadata.ownerReferences.{member}"));
    let expected: Vec<(&str, &str)> = members.iter().map(|field| (field.as_str(), INV)).collect();
    refused(noted(json!({"ownerReferences": [{}]})), &expected);
}

#[test]
fn a_deleting_object_takes_no_new_finalizers() {
    let mut world = World::single();
    let mut value = object(Kind::ConfigMap, "a", json!({}));
    value["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
    value["metadata"]["finalizers"] = json!(["x.y/z"]);
    let mut made = world.create(Kind::ConfigMap, value).unwrap();
    made["metadata"]["finalizers"] = json!(["x.y/z", "x.y/new"]);
    // Told by the rules of all kinds and again by the kind's own.
    refused(world.write(Kind::ConfigMap, made, None), &[("metadata.finalizers", FORB); 2]);
}

#[test]
fn config_maps() {
    let made = |members: Value| create(Kind::ConfigMap, members);
    made(json!({"data": {"key.name": "", "KEY_NAME": ""}, "binaryData": {"b": "AAAA"}})).unwrap();
    refused(made(json!({"data": {"a b": ""}})), &[("data[a b]", INV)]);
    refused(made(json!({"data": {".": ""}})), &[("data[.]", INV)]);
    refused(made(json!({"binaryData": {"..": ""}})), &[("binaryData[..]", INV)]);
    refused(made(json!({"data": {"a": "x"}, "binaryData": {"a": "AAAA"}})), &[("data[a]", INV)]);
    made(json!({"data": {"a": "x".repeat(1024 * 1024)}})).unwrap();
    refused(made(json!({"data": {"a": "x".repeat(1024 * 1024 + 1)}})), &[("[]", LONG)]);
    // Bytes count, not their base64.
    made(json!({"binaryData": {"a": "A".repeat(1024 * 1024)}})).unwrap();
}

#[test]
fn frozen_data_stays() {
    for (kind, content, other) in [(Kind::ConfigMap, "x", "y"), (Kind::Secret, "AAAA", "BBBB")] {
        let mut world = World::single();
        let members = json!({"immutable": true, "data": {"a": content}});
        let made = world.create(kind, object(kind, "a", members)).unwrap();
        let mut changed = made.clone();
        changed["data"]["a"] = other.into();
        refused(world.write(kind, changed.clone(), None), &[("data", FORB)]);
        changed["immutable"] = false.into();
        refused(world.write(kind, changed, None), &[("immutable", FORB), ("data", FORB)]);
        let mut labelled = made;
        labelled["metadata"]["labels"] = json!({"a": "b"});
        world.write(kind, labelled, None).unwrap();
    }
}

#[test]
fn secrets() {
    let made = |members: Value| create(Kind::Secret, members);
    let opaque = made(json!({"stringData": {"a": "b"}})).unwrap();
    assert_eq!((&opaque["type"], &opaque["data"]), (&json!("Opaque"), &json!({"a": "Yg=="})));
    assert!(opaque.get("stringData").is_none());
    let typed = |r#type: &str, data: Value| made(json!({"type": format!("kubernetes.io/{type}"), "data": data}));
    refused(typed("tls", json!({})), &[("data[tls.crt]", REQ), ("data[tls.key]", REQ)]);
    typed("tls", json!({"tls.crt": "", "tls.key": ""})).unwrap();
    refused(typed("basic-auth", json!({})), &[("data[username]", REQ), ("data[password]", REQ)]);
    typed("basic-auth", json!({"password": "AAAA"})).unwrap();
    refused(typed("ssh-auth", json!({"ssh-privatekey": ""})), &[("data[ssh-privatekey]", REQ)]);
    refused(typed("dockerconfigjson", json!({})), &[("data[.dockerconfigjson]", REQ)]);
    refused(typed("dockerconfigjson", json!({".dockerconfigjson": "AAAA"})), &[("data[.dockerconfigjson]", INV)]);
    typed("dockerconfigjson", json!({".dockerconfigjson": "e30="})).unwrap();
    let account = "metadata.annotations[kubernetes.io/service-account.name]";
    refused(typed("service-account-token", json!({})), &[(account, REQ)]);
    let mut of_account = object(Kind::Secret, "a", json!({"type": "kubernetes.io/service-account-token"}));
    of_account["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "robot"});
    refused(World::single().create(Kind::Secret, of_account), &[("type", "FieldValueForbidden")]);
    let mut world = World::single();
    let mut made = world.create(Kind::Secret, object(Kind::Secret, "a", json!({}))).unwrap();
    made["type"] = "x.y/z".into();
    refused(world.write(Kind::Secret, made, None), &[("type", INV)]);
}

#[test]
fn namespaces() {
    let mut world = World::single();
    let made = world.create(Kind::Namespace, object(Kind::Namespace, "n", json!({}))).unwrap();
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(made["status"], json!({"phase": "Active"}));
    let mut other = made.clone();
    other["status"]["phase"] = "Terminating".into();
    refused(world.write(Kind::Namespace, other, Some("status")), &[("status.Phase", INV)]);
    let own = object(Kind::Namespace, "m", json!({"spec": {"finalizers": ["x.y/z"]}}));
    let made = world.create(Kind::Namespace, own).unwrap();
    assert_eq!(made["spec"]["finalizers"], json!(["x.y/z", "kubernetes"]));
    let bad = object(Kind::Namespace, "o", json!({"spec": {"finalizers": ["x"]}}));
    refused(world.create(Kind::Namespace, bad), &[("spec.finalizers", INV)]);
}

#[test]
fn nodes() {
    let mut world = World::single();
    let spec = json!({"spec": {"podCIDRs": ["10.1.0.0/24"], "providerID": "p"}});
    let mut made = world.create(Kind::Node, object(Kind::Node, "n", spec)).unwrap();
    made["spec"] = json!({"podCIDRs": ["10.2.0.0/24"], "providerID": "q"});
    refused(world.write(Kind::Node, made, None), &[("spec.podCIDRs", FORB), ("spec.providerID", FORB)]);
    let two = json!({"spec": {"podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]}});
    refused(create(Kind::Node, two), &[("spec.podCIDRs", INV)]);
    refused(create(Kind::Node, json!({"spec": {"podCIDRs": ["x"]}})), &[("spec.podCIDRs[0]", INV)]);
}

#[test]
fn events() {
    let about = |namespace: &str| json!({"involvedObject": {"namespace": namespace}});
    create(Kind::Event, about("default")).unwrap();
    create(Kind::Event, about("")).unwrap();
    refused(create(Kind::Event, about("other")), &[("involvedObject.namespace", INV)]);
    let mut newer = about("other");
    newer["eventTime"] = "2026-01-02T03:04:05.000000Z".into();
    refused(
        create(Kind::Event, newer.clone()),
        &[
            ("reportingComponent", REQ),
            ("reportingComponent", INV),
            ("reportingComponent", INV),
            ("reportingInstance", REQ),
            ("action", REQ),
            ("reason", REQ),
        ],
    );
    for (member, content) in
        [("reportingComponent", "x.y/z"), ("reportingInstance", "i"), ("action", "a"), ("reason", "r")]
    {
        newer[member] = content.into();
    }
    create(Kind::Event, newer).unwrap();
}

fn pod(container: Value) -> Result<Value, Rejection> {
    create(Kind::Pod, json!({"spec": {"containers": [container]}}))
}

#[test]
fn pods_are_defaulted() {
    let made = pod(json!({"name": "c", "image": "nginx", "readinessProbe": {"httpGet": {"port": 80}}})).unwrap();
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let container = &made["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    let probe = json!({
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    });
    assert_eq!(container["readinessProbe"], probe);
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    assert_eq!(made["spec"]["terminationGracePeriodSeconds"], 30);
}

#[test]
fn pods_are_checked_as_far_as_they_are_read() {
    let at = |member: &str| format!("spec.containers[0].{member}");
    refused(create(Kind::Pod, json!({"spec": {}})), &[("spec.containers", REQ)]);
    refused(pod(json!({})), &[(&at("name"), REQ), (&at("image"), REQ)]);
    let ports = json!([{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 70_000}]);
    refused(
        pod(json!({"name": "c", "image": "i", "ports": ports})),
        &[(&at("ports[1].name"), DUP), (&at("ports[1].containerPort"), INV)],
    );
    let probe = |probe: Value| pod(json!({"name": "c", "image": "i", "livenessProbe": probe}));
    refused(probe(json!({})), &[(&at("livenessProbe"), REQ)]);
    refused(
        probe(json!({"tcpSocket": {"port": 0}, "successThreshold": 2, "periodSeconds": -1})),
        &[
            (&at("livenessProbe.tcpSocket.port"), INV),
            (&at("livenessProbe.periodSeconds"), INV),
            (&at("livenessProbe.successThreshold"), INV),
        ],
    );
    let spec = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Foo", "hostname": "A"});
    refused(create(Kind::Pod, json!({"spec": spec})), &[("spec.restartPolicy", NS), ("spec.hostname", INV)]);
}

#[test]
fn handlers_of_a_probe() {
    let probe = |probe: Value| pod(json!({"name": "c", "image": "i", "readinessProbe": probe}));
    let at = |member: &str| format!("spec.containers[0].readinessProbe.{member}");
    let two = json!({"httpGet": {"port": 80, "scheme": "FTP"}, "exec": {}, "terminationGracePeriodSeconds": 0});
    let grace = at("terminationGracePeriodSeconds");
    refused(probe(two), &[(&at("exec.command"), REQ), (&at("httpGet"), FORB), (&grace, INV), (&grace, INV)]);
    let made = probe(json!({"grpc": {"port": 80}})).unwrap();
    assert_eq!(made["spec"]["containers"][0]["readinessProbe"]["grpc"], json!({"port": 80, "service": ""}));
}

#[test]
fn a_pods_first_address_and_its_addresses_agree() {
    let written = |status: Value| {
        let mut world = World::single();
        let members = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let mut made = world.create(Kind::Pod, object(Kind::Pod, "a", members)).unwrap();
        made["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "x", "name": "y", "uid": "z"}]);
        made["status"] = status;
        world.write(Kind::Pod, made, Some("status"))
    };
    let single = written(json!({"podIP": "10.0.0.1"})).unwrap();
    assert_eq!(single["status"]["podIPs"], json!([{"ip": "10.0.0.1"}]));
    assert_eq!(single["status"]["qosClass"], "BestEffort", "kept");
    assert!(single["metadata"].get("ownerReferences").is_none(), "kept too");
    let plural = written(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]})).unwrap();
    assert_eq!(plural["status"]["podIP"], "10.0.0.1");
    let both = written(json!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]})).unwrap();
    assert_eq!(both["status"]["podIPs"], json!([{"ip": "10.0.0.2"}]));
    refused(written(json!({"podIP": "foo"})), &[("status.podIPs[0]", INV)]);
    let alike = json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]});
    refused(written(alike), &[("status.podIPs", INV)]);
    refused(written(json!({"qosClass": "Guaranteed"})), &[("status.qosClass", INV)]);
}

#[test]
fn who_limits_a_resource_asks_for_it() {
    let resources = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let made = pod(json!({"name": "c", "image": "i", "resources": resources})).unwrap();
    assert_eq!(made["spec"]["containers"][0]["resources"]["requests"], resources["limits"]);
    assert_eq!(made["status"]["qosClass"], "Guaranteed");
    let plain = pod(json!({"name": "c", "image": "i"})).unwrap();
    assert_eq!(plain["spec"]["containers"][0]["resources"], json!({}));
}

#[test]
fn of_a_pod_only_little_may_change() {
    let mut world = World::single();
    let members = json!({"spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let made = world.create(Kind::Pod, object(Kind::Pod, "a", members)).unwrap();
    let mut image = made.clone();
    image["spec"]["containers"][0]["image"] = "i:2".into();
    world.write(Kind::Pod, image, None).unwrap();
    let mut other = made;
    other["spec"]["hostname"] = "h".into();
    refused(world.write(Kind::Pod, other, None), &[("spec", FORB)]);
}
