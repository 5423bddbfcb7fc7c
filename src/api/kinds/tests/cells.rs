//! The cells of every kind (spec/api.md section 9).

use serde_json::{Value, json};
use time::macros::datetime;

use super::super::{field, field_supported, row, table};
use super::world::{object, stored};
use crate::model::Kind;

fn cells(kind: Kind, members: Value) -> Vec<Value> {
    let mut value = object(kind, "a", json!({}));
    value["metadata"]["creationTimestamp"] = "2026-01-02T03:00:00Z".into();
    for (member, content) in members.as_object().unwrap() {
        if member == "metadata" {
            value["metadata"].as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        } else {
            value[member.as_str()] = content.clone();
        }
    }
    row(kind, &stored(kind, &value), datetime!(2026-01-02 03:04:05 UTC))
}

fn headings(kind: Kind) -> Vec<String> {
    let columns = table(kind).iter();
    columns.map(|column| format!("{}{}", column.name, if column.priority > 0 { "*" } else { "" })).collect()
}

#[test]
fn columns_of_every_kind() {
    let rows = [
        (Kind::Service, "Name Type Cluster-IP External-IP Port(s) Age Selector*"),
        (Kind::Endpoints, "Name Endpoints Age"),
        (Kind::EndpointSlice, "Name AddressType Ports Endpoints Age"),
        (Kind::Pod, "Name Ready Status Restarts Age IP* Node* Nominated Node* Readiness Gates*"),
        (Kind::Namespace, "Name Status Age"),
        (
            Kind::Node,
            "Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* Container-Runtime*",
        ),
        (Kind::ConfigMap, "Name Data Age"),
        (Kind::Secret, "Name Type Data Age"),
        (Kind::Event, "Last Seen Type Reason Object Subobject* Source* Message First Seen* Count* Name*"),
    ];
    for (kind, expected) in rows {
        assert_eq!(headings(kind).join(" "), expected);
        assert_eq!(table(kind).len(), cells(kind, json!({})).len(), "{kind}");
        assert_eq!(table(kind).iter().filter(|column| column.format == "name").count(), 1, "{kind}");
    }
}

#[test]
fn services() {
    let shown = |spec: Value, status: Value| cells(Kind::Service, json!({"spec": spec, "status": status}));
    let none = json!({});
    let plain = json!({
        "type": "ClusterIP", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "protocol": "TCP"}],
        "selector": {"a": "b", "c": "d"},
    });
    let expected = json!(["a", "ClusterIP", "10.96.0.9", "<none>", "80/TCP", "4m5s", "a=b,c=d"]);
    assert_eq!(Value::from(shown(plain, none.clone())), expected);
    let ports = json!([
        {"port": 80, "nodePort": 30_007, "protocol": "TCP"}, {"port": 53, "nodePort": 30_053, "protocol": "UDP"},
    ]);
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": ports, "externalIPs": ["192.0.2.1"]});
    let row = shown(spec, none.clone());
    assert_eq!(row[3..5], [json!("192.0.2.1"), json!("80:30007/TCP,53:30053/UDP")]);
    assert_eq!(row[6], "<none>");
    let headless = shown(json!({"type": "ClusterIP", "clusterIP": "None"}), none.clone());
    assert_eq!((&headless[2], &headless[4]), (&json!("None"), &json!("<none>")));
    let named = shown(json!({"type": "ExternalName", "externalName": "x.y"}), none.clone());
    assert_eq!(named[2..4], [json!("<none>"), json!("x.y")]);
    let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9"});
    assert_eq!(shown(balanced.clone(), none)[3], "<pending>");
    let ingress =
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "a.b"}, {"ip": "192.0.2.10"}]}});
    assert_eq!(shown(balanced, ingress)[3], "192.0.2.10,192.0.2.9,a.b");
}

#[test]
fn endpoints_and_slices() {
    let subset = |ips: &[&str], ports: Value| {
        let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        json!({"addresses": addresses, "ports": ports})
    };
    let shown = |subsets: Value| cells(Kind::Endpoints, json!({"subsets": subsets}))[1].clone();
    assert_eq!(shown(json!([])), "<none>");
    assert_eq!(shown(json!([{"notReadyAddresses": [{"ip": "10.0.0.1"}]}])), "");
    let ports = json!([{"port": 1}, {"port": 2}]);
    let two = subset(&["10.0.0.1", "fd00::1"], ports);
    assert_eq!(shown(json!([two])), "10.0.0.1:1,[fd00::1]:1,10.0.0.1:2 + 1 more...");
    assert_eq!(shown(json!([subset(&["10.0.0.1"], json!([]))])), "10.0.0.1");
    let slice = |members: Value| cells(Kind::EndpointSlice, members);
    let empty = slice(json!({"addressType": "IPv4", "endpoints": null, "ports": null}));
    assert_eq!(empty[1..4], [json!("IPv4"), json!("<unset>"), json!("<unset>")]);
    let ports = json!([{"name": "", "port": 80}, {"name": "all"}, {"name": "z", "port": 0}]);
    let endpoints: Vec<Value> = (1..6).map(|i| json!({"addresses": [format!("10.0.0.{i}")]})).collect();
    let full = slice(json!({"addressType": "IPv4", "endpoints": endpoints, "ports": ports}));
    assert_eq!(full[2..4], [json!("80,all,0"), json!("10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...")]);
}

#[test]
fn pods() {
    let shown = |spec: Value, status: Value, metadata: Value| {
        cells(Kind::Pod, json!({"spec": spec, "status": status, "metadata": metadata}))
    };
    let spec = json!({"containers": [{"name": "c"}, {"name": "d"}], "nodeName": "n"});
    let running = json!({"ready": true, "state": {"running": {}}, "restartCount": 0});
    let status = |phase: &str, rows: Value| json!({"phase": phase, "containerStatuses": rows, "podIP": "10.0.0.1"});
    let row = shown(spec.clone(), status("Running", json!([running, running])), json!({}));
    let expected = json!(["a", "2/2", "Running", "0", "4m5s", "10.0.0.1", "n", "<none>", "<none>"]);
    assert_eq!(Value::from(row), expected);
    let crashed = json!({
        "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T03:03:05Z"}},
    });
    let row = shown(spec.clone(), status("Running", json!([running, crashed])), json!({}));
    assert_eq!(row[1..4], [json!("1/2"), json!("CrashLoopBackOff"), json!("3 (60s ago)")]);
    let ended = json!({"ready": false, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    assert_eq!(shown(spec.clone(), status("Succeeded", json!([ended, ended])), json!({}))[2], "Completed");
    assert_eq!(shown(spec.clone(), status("Running", json!([ended, running])), json!({}))[2], "NotReady");
    let killed = json!({"ready": false, "state": {"terminated": {"exitCode": 137, "signal": 9}}});
    assert_eq!(shown(spec.clone(), status("Failed", json!([killed])), json!({}))[2], "Signal:9");
    let deleting = json!({"deletionTimestamp": "2026-01-02T03:04:00Z"});
    assert_eq!(shown(spec.clone(), status("Running", json!([running])), deleting.clone())[2], "Terminating");
    assert_eq!(shown(spec.clone(), status("Failed", json!([killed])), deleting)[2], "Signal:9");
    let init = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
    let waiting = json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}},
    ]});
    assert_eq!(shown(init, waiting, json!({}))[2], "Init:1/2");
    let gated =
        json!({"containers": [{"name": "c"}], "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}]});
    let conditions = json!({"phase": "Pending", "conditions": [{"type": "x", "status": "True"}]});
    assert_eq!(shown(gated, conditions, json!({}))[8], "1/2");
}

#[test]
fn nodes() {
    let labels = json!({"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""});
    let status = json!({
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "192.0.2.5"}],
        "nodeInfo": {"kubeletVersion": "v1", "osImage": "Linux", "kernelVersion": "6.1", "architecture": "amd64"},
    });
    let members = json!({"metadata": {"labels": labels}, "spec": {"unschedulable": true}, "status": status});
    let expected = json!([
        "a",
        "Ready,SchedulingDisabled",
        "control-plane,worker",
        "4m5s",
        "v1",
        "192.0.2.5",
        "<none>",
        "Linux",
        "6.1 (amd64)",
        "<unknown>",
    ]);
    assert_eq!(Value::from(cells(Kind::Node, members)), expected);
    let down = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    assert_eq!(cells(Kind::Node, down)[1], "NotReady");
    assert_eq!(cells(Kind::Node, json!({}))[1], "Unknown");
}

#[test]
fn namespaces_config_maps_and_secrets() {
    assert_eq!(cells(Kind::Namespace, json!({"status": {"phase": "Active"}}))[1], "Active");
    let data = json!({"data": {"a": "", "b": ""}, "binaryData": {"c": "AAAA"}});
    assert_eq!(cells(Kind::ConfigMap, data)[1], 3);
    let secret = json!({"type": "Opaque", "data": {"a": "AAAA"}});
    assert_eq!(cells(Kind::Secret, secret)[1..3], [json!("Opaque"), json!(1)]);
}

#[test]
fn events() {
    let event = json!({
        "type": "Warning", "reason": "Failed", "message": " text \n", "count": 4,
        "involvedObject": {"kind": "Service", "name": "web", "fieldPath": "spec"},
        "firstTimestamp": "2026-01-02T03:00:05Z", "lastTimestamp": "2026-01-02T03:04:00Z",
        "source": {"component": "allocator", "host": "box"},
    });
    let expected = json!(["5s", "Warning", "Failed", "service/web", "spec", "allocator, box", "text", "4m", 4, "a",]);
    assert_eq!(Value::from(cells(Kind::Event, event)), expected);
    let newer = json!({
        "eventTime": "2026-01-02T03:02:05.000000Z", "reportingComponent": "x.y/z", "reportingInstance": "i",
        "series": {"count": 7, "lastObservedTime": "2026-01-02T03:04:04.000000Z"},
    });
    let row = cells(Kind::Event, newer);
    assert_eq!((&row[0], &row[5], &row[7], &row[8]), (&json!("1s"), &json!("x.y/z, i"), &json!("2m"), &json!(7)));
    let bare = cells(Kind::Event, json!({}));
    assert_eq!((&bare[0], &bare[8]), (&json!("<unknown>"), &json!(1)));
}

#[test]
fn ages() {
    let rows = [
        ("2026-01-02T03:04:00Z", "5s"),
        ("2026-01-02T03:02:06Z", "119s"),
        ("2026-01-02T03:02:05Z", "2m"),
        ("2026-01-02T02:55:00Z", "9m5s"),
        ("2026-01-02T02:04:05Z", "60m"),
        ("2026-01-01T23:00:05Z", "4h4m"),
        ("2026-01-01T03:04:05Z", "24h"),
        ("2025-12-30T01:04:05Z", "3d2h"),
        ("2025-12-20T03:04:05Z", "13d"),
        ("2023-12-03T03:04:05Z", "2y31d"),
        ("2010-01-02T03:04:05Z", "16y"),
        ("2026-01-03T03:04:05Z", "0s"),
    ];
    for (created, expected) in rows {
        let metadata = json!({"creationTimestamp": created});
        assert_eq!(cells(Kind::Namespace, json!({"metadata": metadata}))[2], expected, "{created}");
    }
}

#[test]
fn fields_a_selector_compares() {
    let shown = |kind: Kind, members: Value, path: &str| field(kind, &stored(kind, &object(kind, "a", members)), path);
    let service = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9"}});
    let event = json!({"reportingComponent": "x", "involvedObject": {"name": "web"}});
    let pod = json!({"spec": {"nodeName": "n"}, "status": {"podIP": "10.0.0.1", "phase": "Running"}});
    let rows = [
        (Kind::Service, &service, "spec.type", Some("NodePort")),
        (Kind::Service, &service, "spec.clusterIP", Some("10.96.0.9")),
        (Kind::Service, &service, "metadata.name", Some("a")),
        (Kind::Service, &service, "metadata.namespace", Some("default")),
        (Kind::Service, &service, "spec.externalName", None),
        (Kind::Event, &event, "source", Some("x")),
        (Kind::Event, &event, "involvedObject.name", Some("web")),
        (Kind::Pod, &pod, "status.podIP", Some("10.0.0.1")),
        (Kind::Pod, &pod, "spec.nodeName", Some("n")),
        (Kind::Pod, &pod, "spec.hostNetwork", Some("false")),
        (Kind::Pod, &pod, "status.nominatedNodeName", Some("")),
        (Kind::Node, &json!({}), "spec.unschedulable", Some("false")),
        (Kind::Node, &json!({}), "metadata.namespace", None),
        (Kind::Namespace, &json!({"status": {"phase": "Active"}}), "status.phase", Some("Active")),
        (Kind::Secret, &json!({"type": "Opaque"}), "type", Some("Opaque")),
        (Kind::ConfigMap, &json!({}), "type", None),
    ];
    for (kind, members, path, expected) in rows {
        assert_eq!(shown(kind, members.clone(), path).as_deref(), expected, "{kind} {path}");
        assert_eq!(field_supported(kind, path), expected.is_some(), "{kind} {path}");
    }
}
