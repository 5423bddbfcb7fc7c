//! Bodies as clients send them, and laws over generated objects of every kind.

use proptest::prelude::*;
use serde_json::json;

use super::generated::any_kind;
use super::{DecodeError, FieldProblem, decode_json, decode_yaml, fill, protobuf, prune};
use crate::model::Kind;
use crate::model::schema::{find, type_of};

fn service(body: &str) -> Result<super::Decoded, DecodeError> {
    decode_json(type_of(Kind::Service), body.as_bytes())
}

#[test]
fn unknown_and_duplicate_fields_are_told_with_their_paths() {
    let body = r#"{"kind":"Service","spec":{"ports":[{"port":1,"foo":2,"port":3}],"Type":"x","type":"a","type":"b"}}"#;
    let decoded = service(body).unwrap();
    let told: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "duplicate field \"spec.ports[0].port\"",
            "duplicate field \"spec.type\"",
            "unknown field \"spec.Type\"",
            "unknown field \"spec.ports[0].foo\"",
        ]
    );
    assert_eq!(decoded.value, json!({"kind": "Service", "spec": {"ports": [{"port": 3}], "type": "b"}}));
}

#[test]
fn yaml_tells_the_same() {
    let decoded = decode_yaml(type_of(Kind::Service), b"spec:\n  type: a\n  type: b\n  x: 1\n").unwrap();
    assert_eq!(
        decoded.problems,
        [FieldProblem::Duplicate { path: "spec.type".to_owned() }, FieldProblem::Unknown { path: "spec.x".to_owned() }]
    );
}

#[test]
fn values_of_another_type_are_refused_with_path_and_type() {
    let cases = [
        (r#"{"spec":{"ports":"a"}}"#, "string into field spec.ports of type list"),
        (r#"{"spec":{"ports":[{"port":"80"}]}}"#, "string into field spec.ports[0].port of type int32"),
        (
            r#"{"spec":{"ports":[{"port":2147483648}]}}"#,
            "number 2147483648 into field spec.ports[0].port of type int32",
        ),
        (r#"{"spec":{"ports":[{"port":1.5}]}}"#, "number 1.5 into field spec.ports[0].port of type int32"),
        (r#"{"spec":{"selector":{"a":true}}}"#, "bool into field spec.selector.a of type string"),
        (r#"{"metadata":{"name":true}}"#, "bool into field metadata.name of type string"),
        (
            r#"{"spec":{"ports":[{"targetPort":{}}]}}"#,
            "object into field spec.ports[0].targetPort of type int32 or string",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            "string \"x\" into field metadata.creationTimestamp of type RFC 3339 time",
        ),
        ("[]", "array into field Service of type object"),
    ];
    for (body, expected) in cases {
        let fault = service(body).unwrap_err().to_string();
        assert!(fault.contains(expected), "{body}: {fault}");
    }
}

#[test]
fn what_go_cannot_tell_from_absent_is_left_out() {
    let body = r#"{"metadata":{"labels":{},"name":"a","creationTimestamp":null,"annotations":{"k":null}},
        "spec":{"clusterIP":"","type":null,"allocateLoadBalancerNodePorts":false,"ports":[{"port":0,"targetPort":0}]},
        "status":{"loadBalancer":{}}}"#;
    let expected = json!({
        "metadata": {"name": "a", "annotations": {"k": ""}},
        "spec": {"allocateLoadBalancerNodePorts": false, "ports": [{"port": 0}]},
        "status": {"loadBalancer": {}},
    });
    assert_eq!(service(body).unwrap().value, expected);
}

#[test]
fn filling_adds_what_the_server_always_writes() {
    let mut value = json!({"spec": {"containers": [{"name": "a"}]}});
    fill(type_of(Kind::Pod), &mut value);
    let expected = json!({
        "metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}]}, "status": {},
    });
    assert_eq!(value, expected);
}

#[test]
fn lists_the_server_always_writes_are_null_when_empty() {
    for sent in [json!({"addressType": "IPv4"}), json!({"addressType": "IPv4", "endpoints": [], "ports": []})] {
        let mut value = sent;
        fill(type_of(Kind::EndpointSlice), &mut value);
        let expected = json!({"metadata": {}, "addressType": "IPv4", "endpoints": null, "ports": null});
        assert_eq!(value, expected);
    }
}

#[test]
fn times_are_written_in_utc() {
    let body = br#"{"metadata":{"creationTimestamp":"2024-02-29T23:30:00.75-01:00"},"eventTime":"2024-01-02T03:04:05.000006Z"}"#;
    let value = decode_json(type_of(Kind::Event), body).unwrap().value;
    assert_eq!(value["metadata"]["creationTimestamp"], "2024-03-01T00:30:00Z");
    assert_eq!(value["eventTime"], "2024-01-02T03:04:05.000006Z");
    let seconds = br#"{"eventTime":"2024-01-02T03:04:05Z"}"#;
    assert!(decode_json(type_of(Kind::Event), seconds).is_err(), "six decimals are needed");
}

#[test]
fn secrets_take_only_base64() {
    assert!(decode_json(type_of(Kind::Secret), br#"{"data":{"a":"Yg=="}}"#).is_ok());
    let fault = decode_json(type_of(Kind::Secret), br#"{"data":{"a":"%"}}"#).unwrap_err();
    assert!(fault.to_string().contains("data.a"), "{fault}");
}

#[test]
fn deep_and_large_bodies_are_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(service(&deep).is_err());
    let large = format!("[{}1]", "1,".repeat(super::NODES_MAX));
    assert!(service(&large).unwrap_err().to_string().contains("more than"));
    assert!(service("{bad").is_err());
    assert!(service("{} {}").is_err());
}

#[test]
fn a_service_of_client_go_is_read_and_written_to_the_byte() {
    // spec: ports [{name p, protocol TCP, port 80, targetPort 8080, nodePort 0}], selector {a: b}
    let spec =
        b"\x0a\x15\x0a\x01p\x12\x03TCP\x18\x50\x22\x07\x08\x00\x10\x90\x3f\x1a\x00\x28\x00\x12\x06\x0a\x01a\x12\x01b";
    let mut raw = b"\x0a\x05\x0a\x03web\x12".to_vec();
    raw.push(u8::try_from(spec.len()).unwrap());
    raw.extend_from_slice(spec);
    let sealed = protobuf::seal_envelope("v1", "Service", &raw);
    assert!(sealed.starts_with(b"k8s\0\x0a\x0d\x0a\x02v1\x12\x07Service\x12"));
    let envelope = protobuf::open_envelope(&sealed).unwrap();
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str(), envelope.raw), ("v1", "Service", &raw[..]));
    let value = protobuf::decode(type_of(Kind::Service), &raw).unwrap();
    let expected = json!({"metadata": {"name": "web"}, "spec": {
        "ports": [{"name": "p", "protocol": "TCP", "port": 80, "targetPort": 8080}], "selector": {"a": "b"}}});
    assert_eq!(value, expected);
    let again = protobuf::encode(type_of(Kind::Service), &value);
    assert_eq!(protobuf::decode(type_of(Kind::Service), &again).unwrap(), expected);
}

#[test]
fn a_map_of_lists_is_read_and_written_to_the_byte() {
    // UserInfo: username 1, extra 4; an entry is {1: key, 2: {1: item, 1: item}}.
    let bytes = b"\x0a\x01u\x22\x0b\x0a\x01k\x12\x06\x0a\x01a\x0a\x01b";
    let (ty, value) = (find("UserInfo").unwrap(), json!({"username": "u", "extra": {"k": ["a", "b"]}}));
    assert_eq!(protobuf::decode(ty, bytes).unwrap(), value);
    assert_eq!(protobuf::encode(ty, &value), bytes);
}

#[test]
fn lists_and_statuses_are_messages_too() {
    let list = json!({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]});
    let ty = find("ServiceList").unwrap();
    assert_eq!(protobuf::decode(ty, &protobuf::encode(ty, &list)).unwrap(), list);
    let status = json!({"metadata": {}, "status": "Failure", "code": 404, "details": {"name": "x"}});
    let ty = find("Status").unwrap();
    assert_eq!(protobuf::decode(ty, &protobuf::encode(ty, &status)).unwrap(), status);
}

#[test]
fn a_list_that_is_a_maps_value_is_a_message_of_items() {
    let ty = find("SubjectAccessReviewSpec").unwrap();
    // As client-go writes extra {scopes: [a, b]}.
    let bytes = b"\x2a\x10\x0a\x06scopes\x12\x06\x0a\x01a\x0a\x01b";
    let value = json!({"extra": {"scopes": ["a", "b"]}});
    assert_eq!(protobuf::decode(ty, bytes).unwrap(), value);
    assert_eq!(protobuf::encode(ty, &value), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn decoding_undoes_encoding((kind, value) in any_kind()) {
        let ty = type_of(kind);
        let value = prune(ty, value).unwrap().value;
        prop_assert_eq!(&protobuf::decode(ty, &protobuf::encode(ty, &value)).unwrap(), &value);
        prop_assert_eq!(&decode_json(ty, value.to_string().as_bytes()).unwrap().value, &value);
        prop_assert_eq!(&prune(ty, value.clone()).unwrap().value, &value);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), flip in any::<(u16, u8)>(), (kind, value) in any_kind()) {
        let ty = type_of(kind);
        let _any = (protobuf::decode(ty, &bytes), protobuf::open_envelope(&bytes), decode_json(ty, &bytes));
        let mut torn = protobuf::encode(ty, &value);
        let at = usize::from(flip.0) % torn.len().max(1);
        if let Some(byte) = torn.get_mut(at) {
            *byte ^= flip.1;
        }
        let _torn = protobuf::decode(ty, &torn);
        torn.truncate(at);
        let _cut = protobuf::decode(ty, &torn);
    }
}
