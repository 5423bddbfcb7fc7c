//! What generated requests are made of.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::codec::generated::any_kind;
use crate::model::Kind;

/// Objects with something in every corner, to be changed.
pub(super) fn objects() -> [(Kind, Value); 6] {
    [
        (
            Kind::Service,
            json!({"metadata": {"name": "a", "labels": {"k": "x"}, "finalizers": ["x.y/z"]},
            "spec": {"type": "NodePort", "selector": {"app": "a"}, "sessionAffinity": "ClientIP",
                "externalIPs": ["198.51.100.1"], "ports": [{"name": "http", "port": 80, "targetPort": "web"},
                    {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
        ),
        (
            Kind::Pod,
            json!({"metadata": {"name": "a", "annotations": {"edgesvc.io/pod-ip": "10.9.0.1"}},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80}],
                "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "100m"}},
                "readinessProbe": {"httpGet": {"port": "web"}}}], "tolerations": [{"operator": "Exists"}]}}),
        ),
        (
            Kind::EndpointSlice,
            json!({"metadata": {"name": "a"}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80}],
            "endpoints": [{"addresses": ["10.9.0.1"], "hints": {"forZones": [{"name": "z"}]}}]}),
        ),
        (
            Kind::Endpoints,
            json!({"metadata": {"name": "b"},
            "subsets": [{"addresses": [{"ip": "10.9.0.1", "hostname": "h"}], "ports": [{"port": 80}]}]}),
        ),
        (
            Kind::Ingress,
            json!({"metadata": {"name": "a"}, "spec": {"rules": [{"host": "a.b", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}]}}]}}),
        ),
        (Kind::ConfigMap, json!({"metadata": {"name": "a"}, "data": {"a": "1"}, "binaryData": {"b": "AAEC"}})),
    ]
}

/// A value at some place of a document: removed, or another put there.
fn changed(mut document: Value, steps: &[usize], put: Option<Value>) -> Value {
    let mut at = &mut document;
    for (depth, step) in steps.iter().enumerate() {
        let size = match at {
            Value::Object(members) => members.len(),
            Value::Array(items) => items.len(),
            _ => 0,
        };
        if size == 0 {
            break;
        }
        let (step, last) = (step % size, depth + 1 == steps.len());
        match at {
            Value::Object(members) if last && put.is_none() => {
                let name = members.keys().nth(step).unwrap().clone();
                members.remove(&name);
                return document;
            }
            Value::Array(items) if last && put.is_none() => {
                items.remove(step);
                return document;
            }
            Value::Object(members) => at = members.values_mut().nth(step).unwrap(),
            Value::Array(items) => at = &mut items[step],
            _ => {}
        }
    }
    if let Some(value) = put {
        *at = value;
    }
    document
}

/// What stands where it is not expected.
pub(super) fn odd() -> impl Strategy<Value = Value> {
    let texts = [
        "",
        " ",
        "a",
        "-1",
        "0",
        "65536",
        "1e999",
        "10.43.0.1",
        "::1",
        "fe80::1%lo",
        "é\u{0}",
        "kubernetes.io/x",
        "2024-03-01T00:30:00Z",
        "$patch",
        "../..",
        "AAEC",
        "1.5Gi",
    ];
    let long = Just(Value::from("x".repeat(300)));
    let leaf = prop_oneof![
        4 => prop::sample::select(texts.to_vec()).prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        2 => prop::sample::select(vec![0, -1, 80, 65_535, 65_536, 30_000, i64::MIN, i64::MAX]).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => long,
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names of members that mean something somewhere, and some that never do.
fn member() -> impl Strategy<Value = String> {
    let names = [
        "name",
        "namespace",
        "labels",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "uid",
        "apiVersion",
        "kind",
        "port",
        "ports",
        "protocol",
        "$patch",
        "$retainKeys",
        "$setElementOrder/ports",
        "$deleteFromPrimitiveList/finalizers",
        "spec",
        "metadata",
        "data",
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "type",
        "addresses",
        "resourceVersion",
        "~1",
        "",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

/// One of [`objects`] with a few places changed.
pub(super) fn near_valid() -> impl Strategy<Value = (Kind, Value)> {
    let changes =
        prop::collection::vec((prop::collection::vec(0..8_usize, 1..6), prop::option::weighted(0.8, odd())), 0..4);
    (0..objects().len(), changes).prop_map(|(which, changes)| {
        let (kind, object) = objects()[which].clone();
        (kind, changes.into_iter().fold(object, |object, (steps, put)| changed(object, &steps, put)))
    })
}

pub(super) fn any_object() -> impl Strategy<Value = (Kind, Value)> {
    prop_oneof![
        3 => near_valid(),
        1 => any_kind().prop_map(|(kind, mut object)| {
            object["metadata"]["name"] = "a".into();
            (kind, object)
        }),
    ]
}

/// A pointer into one of [`objects`], or beside it.
fn pointer() -> impl Strategy<Value = String> {
    let step = prop_oneof![3 => member(), 1 => prop::sample::select(vec!["0", "1", "-", "01", "9", "a"]).prop_map(str::to_owned)];
    prop::collection::vec(step, 0..5).prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

pub(super) fn operations() -> impl Strategy<Value = Value> {
    let names = vec!["add", "remove", "replace", "move", "copy", "test", "explode"];
    let operation = (prop::sample::select(names), pointer(), pointer(), odd());
    let operation =
        operation.prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}));
    prop::collection::vec(operation, 0..6).prop_map(Value::from)
}

/// Directives and values under the members an object has.
pub(super) fn fragment() -> impl Strategy<Value = Value> {
    let inner = prop::collection::vec((member(), odd()), 0..4);
    (near_valid(), inner, pointer()).prop_map(|((_, object), inner, path)| {
        let members: Value = Value::Object(inner.into_iter().collect());
        let mut patch = json!({"metadata": members, "spec": members});
        if path.len() % 2 == 0 {
            patch["spec"] = object["spec"].clone();
        }
        patch
    })
}

/// Requests that are almost HTTP.
pub(super) fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET /version HTTP/1.1",
        "GET /api/v1/services HTTP/1.1",
        "POST /api/v1/namespaces/default/configmaps HTTP/1.1",
        "PATCH /api/v1/namespaces/default/configmaps/a HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://x/version HTTP/1.0",
        "CONNECT x:1 HTTP/1.1",
        "GET //api//v1/%2e%2e/%00 HTTP/1.1",
        "PRI * HTTP/2.0",
        "HEAD /readyz HTTP/1.1",
        "G\u{e9}T / HTTP/9.9",
    ]);
    let header = prop::sample::select(vec![
        "host: x",
        "content-length: 2",
        "content-length: 5",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "connection: close",
        "connection: upgrade",
        "upgrade: h2c",
        "expect: 100-continue",
        "content-type: application/json",
        "content-type: \u{7f}",
        "accept: ;;;,",
        "authorization: Bearer",
        "authorization: Bearer x.y.z",
        "x\u{e9}: 1",
        ": empty",
        "no colon",
        " folded",
        "te: trailers",
    ]);
    let body = prop::sample::select(vec![
        "",
        "{}",
        "{\"a\":1}",
        "2\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "-1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ]);
    let flips = prop::collection::vec((any::<u16>(), any::<u8>()), 0..3);
    (line, prop::collection::vec(header, 0..5), body, flips).prop_map(|(line, headers, body, flips)| {
        let head: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut bytes = format!("{line}\r\n{head}\r\n{body}").into_bytes();
        for (at, byte) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        bytes
    })
}
