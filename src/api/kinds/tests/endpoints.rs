//! Cases 31 to 41 of spec/endpoints.md and the rest of its section 6.

use serde_json::{Value, json};

use super::super::Rejection;
use super::world::{DUP, INV, MANY, NS, REQ, World, object, refused};
use crate::model::Kind;

fn endpoints(subsets: Value) -> Result<Value, Rejection> {
    World::single().create(Kind::Endpoints, object(Kind::Endpoints, "a", json!({"subsets": subsets})))
}

fn slice_value(address_type: &str, addresses: Value) -> Value {
    let members = json!({"addressType": address_type, "endpoints": [{"addresses": addresses}]});
    object(Kind::EndpointSlice, "a", members)
}

fn slice(value: Value) -> Result<Value, Rejection> {
    World::single().create(Kind::EndpointSlice, value)
}

fn with(member: &str, content: Value) -> Value {
    let mut value = slice_value("IPv4", json!(["10.0.0.1"]));
    value[member] = content;
    value
}

#[test]
fn cases_31_to_34_addresses() {
    let ip = |ip: &str| endpoints(json!([{"addresses": [{"ip": ip}]}]));
    let at = "subsets[0].addresses[0].ip";
    for special in ["127.0.0.1", "169.254.1.1", "224.0.0.5", "::1", "fe80::1", "0.0.0.0", "::", "ff02::1"] {
        refused(ip(special), &[(at, INV)]);
    }
    for strict in ["010.0.0.1", "::ffff:10.0.0.1"] {
        refused(ip(strict), &[(at, INV)]);
    }
    for not_one in ["foo", ""] {
        refused(ip(not_one), &[(at, INV), (at, INV)]);
    }
    for good in ["10.96.0.1", "239.1.1.1", "255.255.255.255", "fd00::1"] {
        ip(good).unwrap();
    }
    let not_ready = endpoints(json!([{"notReadyAddresses": [{"ip": "127.0.0.1"}]}]));
    refused(not_ready, &[("subsets[0].notReadyAddresses[0].ip", INV)]);
}

#[test]
fn cases_35_and_36_subsets_and_ports() {
    refused(endpoints(json!([{}])), &[("subsets[0]", REQ)]);
    endpoints(json!([])).unwrap();
    let ports = |ports: Value| endpoints(json!([{"addresses": [{"ip": "10.0.0.1"}], "ports": ports}]));
    refused(
        ports(json!([{"port": 1}, {"port": 2}])),
        &[("subsets[0].ports[0].name", REQ), ("subsets[0].ports[1].name", REQ)],
    );
    refused(
        ports(json!([{"name": "A", "port": 0, "protocol": "tcp", "appProtocol": "a b"}])),
        &[
            ("subsets[0].ports[0].name", INV),
            ("subsets[0].ports[0].port", INV),
            ("subsets[0].ports[0].protocol", NS),
            ("subsets[0].ports[0].appProtocol", INV),
        ],
    );
    let made = ports(json!([{"port": 1}])).unwrap();
    assert_eq!(made["subsets"][0]["ports"], json!([{"port": 1, "protocol": "TCP"}]));
    let names = json!([{"addresses": [{"ip": "foo", "hostname": "A", "nodeName": "B_"}]}]);
    let at = |member: &str| format!("subsets[0].addresses[0].{member}");
    refused(endpoints(names), &[(&at("ip"), INV), (&at("hostname"), INV), (&at("nodeName"), INV), (&at("ip"), INV)]);
}

#[test]
fn unchanged_subsets_are_not_looked_at_again() {
    let mut world = World::single();
    let made = world.create(Kind::Endpoints, object(Kind::Endpoints, "a", json!({}))).unwrap();
    let mut bad = made;
    bad["subsets"] = json!([{"addresses": [{"ip": "127.0.0.1"}]}]);
    refused(world.write(Kind::Endpoints, bad, None), &[("subsets[0].addresses[0].ip", INV)]);
}

#[test]
fn case_37_a_slice_says_what_its_addresses_are() {
    let mut value = slice_value("IPv4", json!(["10.0.0.1"]));
    value.as_object_mut().unwrap().remove("addressType");
    refused(slice(value), &[("addressType", REQ)]);
    refused(slice(slice_value("Foo", json!(["10.0.0.1"]))), &[("addressType", NS)]);
}

#[test]
fn cases_38_and_39_addresses_of_a_slice() {
    let (list, first) = ("endpoints[0].addresses", "endpoints[0].addresses[0]");
    let rows = [
        ("IPv4", "fd00::1", vec![(list, INV)]),
        ("IPv6", "10.0.0.1", vec![(list, INV)]),
        ("IPv4", "foo", vec![(first, INV)]),
        ("IPv4", "127.0.0.1", vec![(first, INV)]),
        ("IPv4", "::1", vec![(list, INV), (first, INV)]),
        ("IPv4", "010.0.0.1", vec![(first, INV)]),
        ("IPv6", "FD00::1", vec![(first, INV)]),
        ("IPv6", "fe80::1", vec![(first, INV)]),
        ("FQDN", "host", vec![(first, INV)]),
        ("FQDN", "A.b", vec![(first, INV)]),
        ("FQDN", "", vec![(first, REQ)]),
    ];
    for (address_type, address, expected) in rows {
        refused(slice(slice_value(address_type, json!([address]))), &expected);
    }
    for (address_type, address) in [("IPv4", "10.0.0.1"), ("IPv6", "fd00::1"), ("FQDN", "host.example.com.")] {
        slice(slice_value(address_type, json!([address]))).unwrap();
    }
    refused(slice(slice_value("IPv4", json!([]))), &[(list, REQ)]);
    let many: Vec<String> = (0..101).map(|i| format!("10.0.0.{i}")).collect();
    refused(slice(slice_value("IPv4", json!(many))), &[(list, MANY)]);
}

#[test]
fn case_40_limits_of_a_slice() {
    let row = json!({"addresses": ["10.0.0.1"]});
    slice(with("endpoints", vec![row.clone(); 1000].into())).unwrap();
    refused(slice(with("endpoints", vec![row; 1001].into())), &[("endpoints", MANY)]);
    let ports = |count: usize| (0..count).map(|i| json!({"name": format!("p{i}"), "port": 1})).collect::<Vec<_>>();
    slice(with("ports", ports(101).into())).unwrap();
    refused(slice(with("ports", ports(20_001).into())), &[("ports", MANY)]);
    let hints = |member: &str, names: Vec<String>| {
        let names: Vec<Value> = names.into_iter().map(|name| json!({"name": name})).collect();
        let row = json!({"addresses": ["10.0.0.1"], "hints": {member: names}});
        slice(with("endpoints", json!([row])))
    };
    let nine = || (0..9).map(|i| format!("z{i}")).collect::<Vec<_>>();
    refused(hints("forZones", nine()), &[("endpoints[0].hints.forZones", MANY)]);
    refused(hints("forNodes", nine()), &[("endpoints[0].hints.forNodes", MANY)]);
    let twice = || vec!["z".to_owned(), "z".to_owned()];
    refused(hints("forZones", twice()), &[("endpoints[0].hints.forZones[1].name", DUP)]);
    refused(hints("forNodes", twice()), &[("endpoints[0].hints.forNodes[1].name", DUP)]);
    refused(hints("forNodes", vec!["A".to_owned()]), &[("endpoints[0].hints.forNodes[0].name", INV)]);
}

#[test]
fn ports_of_a_slice() {
    let made = slice(with("ports", json!([{"port": 80}]))).unwrap();
    assert_eq!(made["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    slice(with("ports", json!([{"name": "all"}, {"name": "zero", "port": 0}]))).unwrap();
    refused(slice(with("ports", json!([{"port": 1}, {"port": 2}]))), &[("ports[1].name", DUP)]);
    refused(slice(with("ports", json!([{"name": "A"}]))), &[("ports[0].name", INV)]);
    refused(slice(with("ports", json!([{"protocol": "tcp"}]))), &[("ports[0].protocol", NS)]);
}

#[test]
fn what_is_not_set_stays_unset() {
    let made = slice(with("ports", json!([]))).unwrap();
    assert_eq!(made["ports"], Value::Null);
    assert_eq!(made["endpoints"], json!([{"addresses": ["10.0.0.1"], "conditions": {}}]));
    let empty = slice(object(Kind::EndpointSlice, "a", json!({"addressType": "IPv4", "endpoints": []}))).unwrap();
    assert!(empty.get("endpoints").is_some_and(Value::is_null), "{empty}");
    let topology = json!([{"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}]);
    let made = slice(with("endpoints", topology)).unwrap();
    assert!(made["endpoints"][0].get("deprecatedTopology").is_none());
}

#[test]
fn case_41_the_address_type_is_fixed() {
    let mut world = World::single();
    let made = world.create(Kind::EndpointSlice, slice_value("IPv4", json!(["10.0.0.1"]))).unwrap();
    let mut other = made;
    other["addressType"] = "IPv6".into();
    refused(world.write(Kind::EndpointSlice, other.clone(), None), &[("addressType", INV)]);
    other["endpoints"][0]["addresses"] = json!(["10.0.0.2"]);
    let both = [("endpoints[0].addresses", INV), ("addressType", INV)];
    refused(world.write(Kind::EndpointSlice, other, None), &both);
}

#[test]
fn names_of_slices_and_their_warnings() {
    let mut world = World::single();
    let mut value = slice_value("FQDN", json!(["a.example.com"]));
    value["metadata"]["name"] = "a.b".into();
    world.create(Kind::EndpointSlice, value).unwrap();
    assert_eq!(world.warnings, ["spec.addressType: FQDN endpoints are deprecated"]);
    let subsets = json!([{"addresses": [{"ip": "FD00::1"}]}]);
    world.create(Kind::Endpoints, object(Kind::Endpoints, "a", json!({"subsets": subsets}))).unwrap();
    assert!(world.warnings[0].starts_with("subsets[0].addresses[0].ip: IPv6 address"), "{:?}", world.warnings);
}
