//! Cases 56 and 57 of spec/service.md and the tables of section 4.

use serde_json::{Value, json};

use super::super::Rejection;
use super::world::{DUP, INV, NS, World, faults, refused};
use crate::model::Kind;

fn spec(mut more: Value) -> Value {
    more["ports"] = json!([{"port": 80}]);
    more["selector"] = json!({"a": "b"});
    more
}

fn shape(made: &Value) -> (Value, Value, usize) {
    let spec = &made["spec"];
    (spec["ipFamilies"].clone(), spec["ipFamilyPolicy"].clone(), spec["clusterIPs"].as_array().unwrap().len())
}

const POLICY: &str = "spec.ipFamilyPolicy";

#[test]
fn single_stack_input_and_result() {
    let made = |more: Value| World::single().post(spec(more)).unwrap();
    assert_eq!(shape(&made(json!({}))), (json!(["IPv4"]), json!("SingleStack"), 1));
    let prefer = made(json!({"ipFamilyPolicy": "PreferDualStack"}));
    assert_eq!(shape(&prefer), (json!(["IPv4"]), json!("PreferDualStack"), 1));
    let headless = made(json!({"clusterIP": "None"}));
    assert_eq!(shape(&headless), (json!(["IPv4"]), json!("SingleStack"), 1));
    let selectorless = World::single().post(json!({"clusterIP": "None"})).unwrap();
    assert_eq!(shape(&selectorless), (json!(["IPv4", "IPv6"]), json!("RequireDualStack"), 1));
    let rows = [
        (json!({"ipFamilyPolicy": "RequireDualStack"}), vec![(POLICY, INV)]),
        (json!({"ipFamilies": ["IPv6"]}), vec![("spec.ipFamilies[0]", INV)]),
        (json!({"clusterIP": "fd00::5"}), vec![("spec.clusterIPs[0]", INV)]),
        (json!({"ipFamilies": ["IPv5"]}), vec![("spec.ipFamilies[0]", NS)]),
        (json!({"ipFamilies": ["IPv4", "IPv4"]}), vec![("spec.ipFamilies[1]", DUP)]),
        (json!({"ipFamilyPolicy": "Foo"}), vec![(POLICY, NS)]),
        (json!({"ipFamilies": ["IPv4", "IPv6"]}), vec![(POLICY, INV)]),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}),
            vec![(POLICY, INV), ("spec.ipFamilies[1]", INV)],
        ),
    ];
    for (more, expected) in rows {
        refused(World::single().post(spec(more)), &expected);
    }
}

#[test]
fn cases_56_and_57_dual_stack_input_and_result() {
    let made = |more: Value| World::dual().post(spec(more)).unwrap();
    assert_eq!(shape(&made(json!({}))), (json!(["IPv4"]), json!("SingleStack"), 1));
    for policy in ["PreferDualStack", "RequireDualStack"] {
        let made = made(json!({"ipFamilyPolicy": policy}));
        assert_eq!(shape(&made), (json!(["IPv4", "IPv6"]), json!(policy), 2));
        assert!(made["spec"]["clusterIPs"][0].as_str().unwrap().starts_with("10.96."));
        assert!(made["spec"]["clusterIPs"][1].as_str().unwrap().starts_with("fd00::"));
    }
    let six = made(json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}));
    assert_eq!(six["spec"]["ipFamilies"], json!(["IPv6", "IPv4"]));
    assert!(six["spec"]["clusterIP"].as_str().unwrap().starts_with("fd00::"));
    let by_hand = made(json!({"clusterIP": "fd00::5"}));
    assert_eq!(shape(&by_hand), (json!(["IPv6"]), json!("SingleStack"), 1));
    let two = json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"]});
    refused(World::dual().post(spec(json!({"ipFamilies": ["IPv4", "IPv6"]}))), &[(POLICY, INV)]);
    refused(World::dual().post(spec(two.clone())), &[(POLICY, INV)]);
    let mut policy = two;
    policy["ipFamilyPolicy"] = "PreferDualStack".into();
    assert_eq!(shape(&made(policy)), (json!(["IPv4", "IPv6"]), json!("PreferDualStack"), 2));
}

#[test]
fn lists_of_cluster_ips() {
    let dual = |ips: Value| {
        let first = ips[0].clone();
        World::dual().post(spec(json!({"ipFamilyPolicy": "PreferDualStack", "clusterIP": first, "clusterIPs": ips})))
    };
    let all = "spec.clusterIPs";
    refused(dual(json!(["10.96.0.5", "10.96.0.6"])), &[(all, INV)]);
    refused(dual(json!(["10.96.0.5", "fd00::5", "10.96.0.6"])), &[(all, INV)]);
    refused(dual(json!(["10.96.0.5", "10.96.0.6", "10.96.0.7"])), &[(all, INV), (all, INV)]);
    refused(dual(json!(["None", "10.96.0.5"])), &[(all, INV)]);
    refused(dual(json!(["10.96.0.5", "None"])), &[("spec.clusterIPs[1]", INV)]);
    let swapped = json!({
        "ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00::5"],
        "ipFamilies": ["IPv6", "IPv4"],
    });
    refused(World::dual().post(spec(swapped)), &[("spec.clusterIPs[0]", INV), ("spec.clusterIPs[1]", INV)]);
}

#[test]
fn policies_change_the_number_of_addresses() {
    let mut world = World::dual();
    let before = world.post(spec(json!({}))).unwrap();
    let up = world.patch(json!({"ipFamilyPolicy": "PreferDualStack"})).unwrap();
    assert_eq!(shape(&up), (json!(["IPv4", "IPv6"]), json!("PreferDualStack"), 2));
    assert_eq!(up["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    let second = up["spec"]["clusterIPs"][1].as_str().unwrap().to_owned();
    assert_eq!(world.ip_holder(&second).as_deref(), Some("a"));
    let down = world.patch(json!({"ipFamilyPolicy": "SingleStack"})).unwrap();
    assert_eq!(shape(&down), (json!(["IPv4"]), json!("SingleStack"), 1));
    assert_eq!(world.ip_holder(&second), None, "released");
}

#[test]
fn a_second_address_may_be_named() {
    let mut world = World::dual();
    world.post(spec(json!({}))).unwrap();
    let ip = world.get(Kind::Service, "a")["spec"]["clusterIP"].clone();
    // The singular left out follows the stored one.
    let up = world.put(spec(json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": [ip, "fd00::77"]}))).unwrap();
    assert_eq!(up["spec"]["clusterIPs"], json!([ip, "fd00::77"]));
    assert_eq!(world.ip_holder("fd00::77").as_deref(), Some("a"));
}

#[test]
fn dropping_one_of_two_needs_the_policy() {
    for more in [json!({"ipFamilies": ["IPv4"]}), json!({"clusterIPs": null})] {
        let mut world = World::dual();
        let made = world.post(spec(json!({"ipFamilyPolicy": "RequireDualStack"}))).unwrap();
        let mut patch = more;
        if patch.get("clusterIPs").is_some() {
            patch = json!({"clusterIPs": [made["spec"]["clusterIP"]]});
        }
        refused(world.patch(patch), &[(POLICY, INV)]);
    }
    let mut world = World::dual();
    world.post(spec(json!({"ipFamilyPolicy": "RequireDualStack"}))).unwrap();
    let swapped = world.patch(json!({"ipFamilies": ["IPv6", "IPv4"]}));
    refused(swapped, &[("spec.clusterIPs[0]", INV), ("spec.clusterIPs[1]", INV)]);
    let single = json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]});
    assert_eq!(shape(&world.patch(single).unwrap()), (json!(["IPv4"]), json!("SingleStack"), 1));
}

#[test]
fn a_service_that_prefers_two_is_not_upgraded_by_saving_it() {
    let mut world = World::single();
    world.post(spec(json!({"ipFamilyPolicy": "PreferDualStack"}))).unwrap();
    world.rules = World::dual().rules;
    let saved = world.patch(json!({"sessionAffinity": "ClientIP"})).unwrap();
    assert_eq!(shape(&saved), (json!(["IPv4"]), json!("PreferDualStack"), 1));
    let asked = world.patch(json!({"ipFamilyPolicy": "RequireDualStack"})).unwrap();
    assert_eq!(shape(&asked), (json!(["IPv4", "IPv6"]), json!("RequireDualStack"), 2));
}

#[test]
fn the_primary_family_stays_but_for_headless_services() {
    let mut world = World::dual();
    world.post(spec(json!({}))).unwrap();
    let faults = faults(world.patch(json!({"ipFamilies": ["IPv6"]})));
    assert_eq!(faults, [("spec.clusterIPs[0]".to_owned(), INV)]);
    let mut world = World::dual();
    world.post(spec(json!({"clusterIP": "None"}))).unwrap();
    let made = world.patch(json!({"ipFamilies": ["IPv6"]})).unwrap();
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv6"]));
}

#[test]
fn an_address_of_another_family_says_which() {
    match World::single().post(spec(json!({"clusterIP": "fd00::5"}))) {
        Err(Rejection::Invalid(causes)) => {
            let expected = "spec.clusterIPs[0]: Invalid value: [\"fd00::5\"]: IPv6 is not configured on this cluster";
            assert_eq!(causes[0].to_string(), expected);
        }
        other => panic!("{other:?}"),
    }
}
