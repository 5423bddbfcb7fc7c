//! Cases of spec/dataplane.md and spec/dns.md that are decided here, and laws of
//! the tracker.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::*;
use super::{
    Balance, Change, Facts, Frontend, FrontendAddr, Tracker, Verdict, contribution, misplaced, service_ranges, unserved,
};
use crate::model::balance::Schedule;
use crate::model::{Draft, IpFamily, Kind, ObjectKey, Protocol};
use crate::store::{Expect, Op, Snapshot};

const EP1: &str = "10.244.1.10";
const EP2: &str = "10.244.2.10";
const BOTH: &str = "10.244.1.10:8080 10.244.2.10:8080";

fn virtual_addr(text: &str) -> FrontendAddr {
    FrontendAddr::Virtual(text.parse().unwrap())
}

fn both_ready() -> Draft {
    slice("web-1", json!([ready(EP1, "n1"), ready(EP2, "n2")]))
}

#[test]
fn case_1_a_cluster_ip_balances_over_all_ready_endpoints() {
    assert_eq!(internal(vec![service(json!({})), both_ready()]), BOTH);
}

#[test]
fn cases_4_5_18_without_usable_endpoints_connections_are_refused() {
    assert_eq!(internal(vec![service(json!({}))]), "refuse");
    let unready = slice("web-1", json!([endpoint(EP1, "n1", false, false, false)]));
    assert_eq!(internal(vec![service(json!({})), unready]), "refuse");
    let local = service(json!({"internalTrafficPolicy": "Local"}));
    assert_eq!(internal(vec![local]), "refuse");
}

#[test]
fn cases_8_and_11_a_node_port_answers_in_every_family_of_the_service() {
    let spec = json!({"type": "NodePort", "clusterIPs": ["10.96.0.10", "fd00::10"], "ipFamilies": ["IPv4", "IPv6"],
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
    let found = contribution_to(vec![service(spec), both_ready()]);
    assert_eq!(verdict_of(&found, FrontendAddr::NodePort(IpFamily::V4), Protocol::Tcp, 30080), BOTH);
    assert_eq!(verdict_of(&found, FrontendAddr::NodePort(IpFamily::V6), Protocol::Tcp, 30080), "refuse");
}

#[test]
fn case_12_external_ips_are_programmed_inside_the_allowed_ranges_only() {
    let found = contribution_to(vec![service(json!({"externalIPs": ["198.51.100.5", "203.0.113.5"]})), both_ready()]);
    assert_eq!(verdict_of(&found, virtual_addr("198.51.100.5"), Protocol::Tcp, 80), BOTH);
    assert_eq!(verdict_of(&found, virtual_addr("203.0.113.5"), Protocol::Tcp, 80), "absent");
    let snapshot = Snapshot::for_tests([service(json!({"externalIPs": ["198.51.100.5"]})), both_ready()]);
    let closed = contribution(&snapshot, &key("web"), &Facts { node_name: "n1".into(), ..Facts::default() }).unwrap();
    assert_eq!(verdict_of(&closed, virtual_addr("198.51.100.5"), Protocol::Tcp, 80), "absent");
}

fn load_balancer(spec: Value, ingress: Value) -> Draft {
    let mut spec = spec;
    spec["type"] = json!("LoadBalancer");
    let base = service(spec);
    let mut value = base.commit(crate::model::Revision(1)).value();
    value["status"] = json!({"loadBalancer": {"ingress": ingress}});
    Draft::new(Kind::Service, &value).unwrap()
}

#[test]
fn case_13_load_balancer_addresses_are_programmed_unless_the_balancer_is_a_proxy() {
    let ingress = json!([{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "VIP"},
        {"ip": "192.0.2.3", "ipMode": "Proxy"}, {"hostname": "lb.example"}, {"ip": "2001:db8::1"}]);
    let found = contribution_to(vec![load_balancer(json!({}), ingress), both_ready()]);
    for (addr, expected) in
        [("192.0.2.1", BOTH), ("192.0.2.2", BOTH), ("192.0.2.3", "absent"), ("2001:db8::1", "absent")]
    {
        assert_eq!(verdict_of(&found, virtual_addr(addr), Protocol::Tcp, 80), expected, "{addr}");
    }
}

#[test]
fn cases_14_and_15_source_ranges_close_the_load_balancer_address_only() {
    let ranges = |ranges: Value| {
        let spec = json!({"loadBalancerSourceRanges": ranges, "externalIPs": ["198.51.100.5", "198.51.100.6"]});
        let lb = load_balancer(spec, json!([{"ip": "198.51.100.5"}]));
        contribution_to(vec![lb, both_ready()]).frontends
    };
    let of = |frontends: &[super::Frontend], addr: &str| -> Vec<String> {
        let found = frontends.iter().find(|f| f.addr == virtual_addr(addr)).unwrap();
        found.source_ranges.iter().map(ToString::to_string).collect()
    };
    let some = ranges(json!([" 203.0.113.0/24 ", "10.1.2.3/8", "fd00::/8"]));
    assert_eq!(of(&some, "198.51.100.5"), ["10.0.0.0/8", "203.0.113.0/24"]);
    assert!(of(&some, "198.51.100.6").is_empty());
    assert!(of(&some, "10.96.0.10").is_empty());
    assert!(of(&ranges(json!(["203.0.113.0/24", "0.0.0.0/0"])), "198.51.100.5").is_empty());
}

#[test]
fn cases_16_17_and_27_external_policy_local_keeps_to_this_box() {
    let node_port = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
    let service = || service(node_port.clone());
    assert_eq!(external(vec![service(), both_ready()]), "10.244.1.10:8080");
    assert_eq!(internal(vec![service(), both_ready()]), BOTH);
    let elsewhere = slice("web-1", json!([ready(EP2, "n2")]));
    assert_eq!(external(vec![service(), elsewhere]), "drop");
    assert_eq!(external(vec![service()]), "refuse");
    let draining = slice("web-1", json!([endpoint(EP1, "n1", false, true, true), ready(EP2, "n2")]));
    assert_eq!(external(vec![service(), draining]), "10.244.1.10:8080");
}

#[test]
fn case_17_policy_local_does_not_bind_clients_of_the_cluster() {
    let node_port = |more: Value| {
        let mut spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        json_patch::merge(&mut spec, &more);
        service(spec)
    };
    let inside = |endpoints: Value| {
        let found = contribution_to(vec![node_port(json!({})), slice("web-1", endpoints)]);
        let of = |addr: FrontendAddr| found.frontends.iter().find(|f| f.addr == addr).unwrap().inside.clone();
        assert_eq!(of(virtual_addr("10.96.0.10")), None, "the cluster IP has one way for all");
        let text = |all: &super::Balance| all.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        of(FrontendAddr::NodePort(IpFamily::V4)).as_ref().map(text)
    };
    assert_eq!(inside(json!([ready(EP1, "n1"), ready(EP2, "n2")])).as_deref(), Some(BOTH));
    assert_eq!(inside(json!([ready(EP2, "n2")])).as_deref(), Some("10.244.2.10:8080"));
    assert_eq!(inside(json!([ready(EP1, "n1")])), None, "all are here");
    assert_eq!(inside(json!([])), None);
    let cluster = contribution_to(vec![node_port(json!({"externalTrafficPolicy": "Cluster"})), both_ready()]);
    assert!(cluster.frontends.iter().all(|frontend| frontend.inside.is_none()));
}

#[test]
fn cases_28_and_29_a_health_check_counts_addresses_of_ready_endpoints_here() {
    let lb = |more: Value| {
        let mut spec = json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000});
        json_patch::merge(&mut spec, &more);
        load_balancer(spec, json!([]))
    };
    let count = |endpoints: Value| {
        let found = contribution_to(vec![lb(json!({})), slice("web-1", endpoints.clone()), slice("web-2", endpoints)]);
        let health = found.health.unwrap();
        assert_eq!(health.port, 31000);
        health.local_endpoints
    };
    assert_eq!(count(json!([ready(EP1, "n1"), ready("10.244.1.11", "n1"), ready(EP2, "n2")])), 2);
    assert_eq!(count(json!([endpoint(EP1, "n1", false, true, true)])), 0, "it terminates");
    assert_eq!(count(json!([])), 0);
    let cluster = contribution_to(vec![lb(json!({"externalTrafficPolicy": "Cluster"})), both_ready()]);
    assert_eq!(cluster.health, None);
}

#[test]
fn cases_19_and_20_internal_policy_local_drops_when_endpoints_are_elsewhere() {
    let service = || service(json!({"internalTrafficPolicy": "Local"}));
    assert_eq!(internal(vec![service(), slice("web-1", json!([ready(EP2, "n2")]))]), "drop");
    assert_eq!(internal(vec![service(), both_ready()]), "10.244.1.10:8080");
    let nameless = slice("web-1", json!([{"addresses": [EP1]}]));
    assert_eq!(internal(vec![service(), nameless]), "drop");
}

#[test]
fn case_21_affinity_carries_its_timeout() {
    let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}});
    let found = contribution_to(vec![service(spec), both_ready()]);
    assert!(matches!(&found.frontends[0].verdict, Verdict::Balance(b) if b.affinity_seconds == Some(5)));
}

#[test]
fn frontends_of_a_port_share_affinity_and_policy_local_keeps_the_sides_apart() {
    let spec = |more: serde_json::Value| {
        let mut spec = json!({"sessionAffinity": "ClientIP"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let found = |more| contribution_to(vec![service(spec(more)), both_ready()]).frontends;
    let owner = |balance: &Balance| balance.affinity_owner.map(|owner| (owner.port, owner.local));
    let owners = |frontends: &[Frontend]| -> Vec<_> {
        let verdict = |frontend: &Frontend| match &frontend.verdict {
            Verdict::Balance(balance) => owner(balance),
            Verdict::Refuse | Verdict::Drop => None,
        };
        let inside = |frontend: &Frontend| frontend.inside.as_ref().and_then(owner);
        frontends.iter().map(|frontend| (verdict(frontend), inside(frontend))).collect()
    };
    assert_eq!(owners(&found(json!({}))), [(None, None)], "alone, nothing is shared");
    let (all, here) = (Some((80, false)), Some((80, true)));
    let node_port = |policy: &str| {
        let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30080}]);
        json!({"type": "NodePort", "externalTrafficPolicy": policy, "ports": ports})
    };
    assert_eq!(owners(&found(node_port("Cluster"))), [(all, None), (all, None)]);
    assert_eq!(owners(&found(node_port("Local"))), [(all, None), (here, all)]);
    let one_box = contribution_to(vec![service(spec(node_port("Local"))), slice("web-1", json!([ready(EP1, "n1")]))]);
    assert_eq!(owners(&one_box.frontends), [(all, None), (here, all)], "clients do not move when another box comes");
}

#[test]
fn cases_25_and_26_terminating_endpoints_serve_only_when_nothing_is_ready() {
    let draining = || endpoint(EP1, "n1", false, true, true);
    assert_eq!(internal(vec![service(json!({})), slice("web-1", json!([draining()]))]), "10.244.1.10:8080");
    let mixed = slice("web-1", json!([draining(), ready(EP2, "n2")]));
    assert_eq!(internal(vec![service(json!({})), mixed]), "10.244.2.10:8080");
    let dead = slice("web-1", json!([endpoint(EP1, "n1", false, false, true)]));
    assert_eq!(internal(vec![service(json!({})), dead]), "refuse");
}

#[test]
fn what_serves_without_being_chosen_keeps_its_flows() {
    let kept = |spec: Value, endpoints: Value| -> Vec<String> {
        let found = contribution_to(vec![service(spec), slice("web-1", endpoints)]);
        found.frontends[0].kept.iter().map(ToString::to_string).collect()
    };
    let draining = || endpoint(EP1, "n1", false, true, true);
    assert_eq!(kept(json!({}), json!([draining(), ready(EP2, "n2")])), ["10.244.1.10:8080"]);
    assert!(kept(json!({}), json!([draining()])).is_empty(), "it is chosen");
    assert!(kept(json!({}), json!([endpoint(EP1, "n1", false, false, true), ready(EP2, "n2")])).is_empty());
    let local = json!({"internalTrafficPolicy": "Local"});
    assert_eq!(kept(local, json!([ready(EP1, "n1"), ready(EP2, "n2")])), ["10.244.2.10:8080"], "a policy cuts no flow");
}

#[test]
fn case_33_tcp_and_udp_of_one_number_are_independent() {
    let spec = json!({"ports": [{"name": "dns-tcp", "protocol": "TCP", "port": 53}, {"name": "dns", "protocol": "UDP", "port": 53}]});
    let slices = slice_with(
        "web-1",
        json!({"endpoints": [ready(EP1, "n1")], "ports": [{"name": "dns", "protocol": "UDP", "port": 5353}]}),
    );
    let found = contribution_to(vec![service(spec), slices]);
    assert_eq!(verdict_of(&found, virtual_addr("10.96.0.10"), Protocol::Udp, 53), "10.244.1.10:5353");
    assert_eq!(verdict_of(&found, virtual_addr("10.96.0.10"), Protocol::Tcp, 53), "refuse");
}

#[test]
fn case_34_sctp_is_passed_on() {
    let spec = json!({"ports": [{"name": "http", "protocol": "SCTP", "port": 80}]});
    let slices = slice_with(
        "web-1",
        json!({"endpoints": [ready(EP1, "n1")], "ports": [{"name": "http", "protocol": "SCTP", "port": 9}]}),
    );
    let found = contribution_to(vec![service(spec), slices]);
    assert_eq!(verdict_of(&found, virtual_addr("10.96.0.10"), Protocol::Sctp, 80), "10.244.1.10:9");
}

#[test]
fn ports_of_a_protocol_that_cannot_be_carried_are_left_out_and_named_and_the_others_stay() {
    let ports = json!([{"name": "a", "protocol": "SCTP", "port": 80}, {"name": "b", "protocol": "TCP", "port": 80}]);
    let ports_of_slice =
        json!([{"name": "a", "protocol": "SCTP", "port": 9}, {"name": "b", "protocol": "TCP", "port": 8}]);
    let slices = slice_with("web-1", json!({"endpoints": [ready(EP1, "n1")], "ports": ports_of_slice}));
    let snapshot = Snapshot::for_tests([service(json!({"ports": ports})), slices]);
    let facts = Facts { unsupported: BTreeMap::from([(Protocol::Sctp, "no".to_owned())]), ..facts() };
    let found = contribution(&snapshot, &key("web"), &facts).unwrap();
    let frontends: Vec<_> = found.frontends.iter().map(|frontend| frontend.protocol).collect();
    assert_eq!(frontends, [Protocol::Tcp]);
    assert_eq!(found.records.ports.len(), 2, "names have nothing to do with it");
    assert_eq!(unserved(&snapshot, &key("web"), &facts), [(Protocol::Sctp, 80)]);
    assert_eq!(unserved(&snapshot, &key("web"), &Facts::default()), []);
    assert_eq!(unserved(&snapshot, &key("none"), &facts), []);
}

fn hinted(addr: &str, zones: &[&str], nodes: &[&str]) -> Value {
    let names = |list: &[&str]| list.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    json!({"addresses": [addr], "conditions": {"ready": true},
        "hints": {"forZones": names(zones), "forNodes": names(nodes)}})
}

#[test]
fn cases_35_36_and_37_hints_count_only_when_complete_and_pointing_here() {
    let verdict = |first: Value, second: Value| {
        internal(vec![node("n1", "za"), service(json!({})), slice("web-1", json!([first, second]))])
    };
    assert_eq!(verdict(hinted(EP1, &["za"], &[]), hinted(EP2, &["zb"], &[])), "10.244.1.10:8080");
    assert_eq!(verdict(hinted(EP1, &["za"], &[]), hinted(EP2, &[], &[])), BOTH);
    assert_eq!(verdict(hinted(EP1, &["zc"], &[]), hinted(EP2, &["zb"], &[])), BOTH);
    assert_eq!(verdict(hinted(EP1, &["za"], &["n1"]), hinted(EP2, &["za"], &["n2"])), "10.244.1.10:8080");
    assert_eq!(verdict(hinted(EP1, &["za"], &["n3"]), hinted(EP2, &["zb"], &["n2"])), "10.244.1.10:8080");
}

#[test]
fn hints_never_touch_policy_local_and_unready_endpoints_never_spoil_hints() {
    let local = service(json!({"internalTrafficPolicy": "Local"}));
    let mut here = hinted(EP1, &["zb"], &[]);
    here["nodeName"] = json!("n1");
    assert_eq!(
        internal(vec![node("n1", "za"), local, slice("web-1", json!([here, hinted(EP2, &["za"], &[])]))]),
        "10.244.1.10:8080"
    );
    let unready = endpoint("10.244.3.10", "n1", false, false, false);
    let slices = slice("web-1", json!([hinted(EP1, &["za"], &[]), hinted(EP2, &["zb"], &[]), unready]));
    assert_eq!(internal(vec![node("n1", "za"), service(json!({})), slices]), "10.244.1.10:8080");
}

#[test]
fn case_44_services_and_slices_of_another_proxy_are_left_alone_but_resolve() {
    let label = json!({"service.kubernetes.io/service-proxy-name": ""});
    let mut value = service(json!({})).commit(crate::model::Revision(1)).value();
    value["metadata"]["labels"] = label.clone();
    let found = contribution_to(vec![Draft::new(Kind::Service, &value).unwrap(), both_ready()]);
    assert!(found.frontends.is_empty() && found.cluster_ips.is_empty());
    assert_eq!(found.records.cluster_ips.len(), 1);
    let mut foreign = both_ready().commit(crate::model::Revision(1)).value();
    foreign["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = json!("x");
    assert_eq!(internal(vec![service(json!({})), Draft::new(Kind::EndpointSlice, &foreign).unwrap()]), "refuse");
}

#[test]
fn case_46_each_endpoint_is_reached_on_its_own_port() {
    let other =
        slice_with("web-2", json!({"endpoints": [ready(EP2, "n2")], "ports": [{"name": "http", "port": 9090}]}));
    let first = slice("web-1", json!([ready(EP1, "n1")]));
    assert_eq!(internal(vec![service(json!({})), first, other]), "10.244.1.10:8080 10.244.2.10:9090");
}

#[test]
fn case_47_ipv6_takes_the_endpoints_of_ipv6_slices() {
    let spec = json!({"clusterIPs": ["fd00::10"], "ipFamilies": ["IPv6"]});
    let six = slice_with("web-6", json!({"addressType": "IPv6", "endpoints": [ready("fd01::1", "n1")]}));
    let found = contribution_to(vec![service(spec), both_ready(), six]);
    assert_eq!(verdict_of(&found, virtual_addr("fd00::10"), Protocol::Tcp, 80), "[fd01::1]:8080");
    assert_eq!(found.frontends.len(), 1);
}

#[test]
fn slice_ports_without_a_number_other_names_and_other_families_do_not_match() {
    for ports in [
        json!([{"name": "http", "port": null}]),
        json!([{"name": "http", "port": 0}]),
        json!([{"name": "https", "port": 8080}]),
        json!([{"name": "http", "protocol": "UDP", "port": 8080}]),
        json!(null),
    ] {
        let slices = slice_with("web-1", json!({"endpoints": [ready(EP1, "n1")], "ports": ports}));
        assert_eq!(internal(vec![service(json!({})), slices]), "refuse", "{ports}");
    }
    let lying = slice_with("web-1", json!({"addressType": "IPv6", "endpoints": [ready(EP1, "n1")]}));
    assert_eq!(internal(vec![service(json!({})), lying]), "refuse");
}

#[test]
fn an_endpoint_that_is_a_cluster_ip_takes_no_connection_and_is_told() {
    let range = draft(Kind::ServiceCidr, "main", json!({}), json!({"spec": {"cidrs": ["10.96.0.0/16"]}}));
    let slices = slice("web-1", json!([ready(EP1, "n1"), ready("10.96.0.10", "n1"), ready("10.96.9.9", "n1")]));
    let snapshot = Snapshot::for_tests(vec![range.clone(), service(json!({})), slices.clone()]);
    let key = ObjectKey::new("t", "web");
    let told =
        |ranges: &[IpNet]| misplaced(&snapshot, &key, ranges).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(&service_ranges(&snapshot)), ["10.96.0.10", "10.96.9.9"]);
    assert_eq!(told(&[]), [""; 0]);
    assert_eq!(internal(vec![range.clone(), service(json!({})), slices.clone()]), "10.244.1.10:8080");
    // A range that comes and goes moves the Services that were there before.
    let without = Snapshot::for_tests(vec![service(json!({})), slices]);
    let create = Op::Put { draft: Box::new(range), expect: Expect::Any, claims: Vec::new() };
    let with = Arc::new(without.foresee(&[create]).unwrap());
    let mut tracker = Tracker::new(facts());
    let verdicts = |tracker: &Tracker| -> Vec<usize> {
        tracker.contributions().flat_map(|one| &one.frontends).map(|one| one.verdict.endpoints().len()).collect()
    };
    tracker.update(&Arc::new(without));
    assert_eq!(verdicts(&tracker), [3]);
    tracker.update(&with);
    assert_eq!(verdicts(&tracker), [1]);
}

#[test]
fn of_two_copies_of_an_endpoint_the_lasting_one_counts() {
    let old = slice("web-1", json!([endpoint(EP1, "n1", false, true, true)]));
    let new = slice("web-2", json!([ready(EP1, "n1")]));
    assert_eq!(internal(vec![service(json!({})), old, new]), "10.244.1.10:8080");
}

#[test]
fn absent_conditions_mean_ready() {
    assert_eq!(internal(vec![service(json!({})), slice("web-1", json!([{"addresses": [EP1]}]))]), "10.244.1.10:8080");
}

#[test]
fn headless_and_external_name_services_have_records_but_no_frontends() {
    let endpoints = json!([{"addresses": [EP1], "hostname": "pet-1", "conditions": {"ready": true}}, ready(EP2, "n2"),
        endpoint("10.244.9.3", "n1", false, false, false)]);
    let mut labelled = slice("web-1", endpoints).commit(crate::model::Revision(1)).value();
    labelled["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
    let labelled = || Draft::new(Kind::EndpointSlice, &labelled).unwrap();
    let found = contribution_to(vec![service(json!({"clusterIPs": ["None"]})), labelled()]);
    assert!(found.frontends.is_empty() && found.cluster_ips.is_empty());
    assert!(found.records.headless && found.records.cluster_ips.is_empty());
    let names: Vec<_> =
        found.records.endpoints.iter().map(|e| (e.addr.to_string(), e.hostname.as_deref(), e.ports[0].port)).collect();
    assert_eq!(names, [(EP1.to_owned(), Some("pet-1"), 8080), (EP2.to_owned(), None, 8080)]);
    assert_eq!(internal(vec![service(json!({})), labelled()]), "refuse");

    let external = service(json!({"type": "ExternalName", "externalName": "www.example.com", "clusterIPs": null}));
    let found = contribution_to(vec![external, both_ready()]);
    assert!(found.frontends.is_empty() && found.records.endpoints.is_empty() && !found.records.headless);
    assert_eq!(found.records.external_name.as_deref(), Some("www.example.com"));
}

#[test]
fn a_missing_service_contributes_nothing() {
    assert_eq!(contribution(&Snapshot::for_tests([both_ready()]), &key("web"), &facts()), None);
}

/// What a tracker that sees the snapshot for the first time holds.
fn fresh(snapshot: &Arc<Snapshot>) -> Tracker {
    let mut tracker = Tracker::new(facts());
    tracker.update(snapshot);
    tracker
}

fn keys(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.key.to_string()).collect()
}

#[test]
fn the_tracker_tells_each_change_once_and_nothing_else() {
    let mut tracker = Tracker::new(facts());
    let first = Arc::new(Snapshot::for_tests([
        service(json!({})),
        service_named("other", json!({"clusterIPs": ["10.96.0.11"]})),
    ]));
    assert_eq!(keys(&tracker.update(&first)), ["t/other", "t/web"]);
    assert!(tracker.update(&first).is_empty());

    let second = Arc::new(after(&first, vec![put(both_ready())]));
    let changes = tracker.update(&second);
    assert_eq!(keys(&changes), ["t/web"]);
    assert_eq!(changes[0].before.as_ref().unwrap().frontends[0].verdict, Verdict::Refuse);

    // The same slice under an annotation changes nothing the device sees.
    let mut value = both_ready().commit(crate::model::Revision(1)).value();
    value["metadata"]["annotations"] = json!({"a": "b"});
    let third = Arc::new(after(&second, vec![put(Draft::new(Kind::EndpointSlice, &value).unwrap())]));
    assert!(tracker.update(&third).is_empty());

    let fourth = Arc::new(after(&third, vec![delete(Kind::EndpointSlice, "web-1"), delete(Kind::Service, "other")]));
    let changes = tracker.update(&fourth);
    assert_eq!(keys(&changes), ["t/other", "t/web"]);
    assert!(changes[0].after.is_none() && changes[1].after.as_ref().unwrap().frontends[0].verdict == Verdict::Refuse);
}

#[test]
fn a_slice_that_changes_its_service_leaves_the_old_one() {
    let mut tracker = Tracker::new(facts());
    let other = service_named("other", json!({"clusterIPs": ["10.96.0.11"]}));
    let first = Arc::new(Snapshot::for_tests([service(json!({})), other, both_ready()]));
    tracker.update(&first);
    let mut value = both_ready().commit(crate::model::Revision(1)).value();
    value["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    let second = Arc::new(after(&first, vec![put(Draft::new(Kind::EndpointSlice, &value).unwrap())]));
    assert_eq!(keys(&tracker.update(&second)), ["t/other", "t/web"]);
    assert_eq!(
        tracker.contributions().cloned().collect::<Vec<_>>(),
        fresh(&second).contributions().cloned().collect::<Vec<_>>()
    );
}

#[test]
fn a_move_to_another_zone_and_a_lost_history_compute_everything_anew() {
    let mut tracker = Tracker::new(facts());
    let slices = slice("web-1", json!([hinted(EP1, &["za"], &[]), hinted(EP2, &["zb"], &[])]));
    let first = Arc::new(Snapshot::for_tests([node("n1", "za"), service(json!({})), slices]));
    tracker.update(&first);
    let second = Arc::new(after(&first, vec![put(node("n1", "zb"))]));
    assert_eq!(keys(&tracker.update(&second)), ["t/web"]);
    let third = Arc::new(after(&second, vec![delete(Kind::Service, "web")]).without_history_for_tests());
    let changes = tracker.update(&third);
    assert!(changes.len() == 1 && changes[0].after.is_none());
}

#[test]
fn namespaces_come_and_go() {
    let namespace = |name: &str| draft(Kind::Namespace, name, json!({}), json!({}));
    let first = Arc::new(Snapshot::for_tests([namespace("default"), namespace("dns")]));
    let mut tracker = Tracker::new(facts());
    tracker.update(&first);
    assert!(tracker.namespaces().contains("dns"));
    let gone = crate::store::Op::Delete {
        kind: Kind::Namespace,
        key: crate::model::ObjectKey::new("", "dns"),
        expect: crate::store::Expect::Any,
    };
    let second = Arc::new(after(&first, vec![gone, put(namespace("new"))]));
    tracker.update(&second);
    let names: Vec<&str> = tracker.namespaces().iter().map(|name| &**name).collect();
    assert_eq!(names, ["default", "new"]);
}

#[test]
fn ranges_come_with_their_service_cidr_and_go_with_it_sorted_and_once() {
    let cidr = |name: &str, cidrs: Value| draft(Kind::ServiceCidr, name, json!({}), json!({"spec": {"cidrs": cidrs}}));
    let first = Arc::new(Snapshot::for_tests([cidr("kubernetes", json!(["10.96.0.0/16"]))]));
    let mut tracker = Tracker::new(facts());
    tracker.update(&first);
    let known = Arc::clone(tracker.ranges());
    let second = Arc::new(after(&first, vec![put(service(json!({})))]));
    tracker.update(&second);
    assert!(Arc::ptr_eq(&known, tracker.ranges()));
    let more = put(cidr("more", json!(["fd50::/112", "10.50.0.0/24"])));
    let third = Arc::new(after(&second, vec![more, put(cidr("same", json!(["10.96.0.0/16"])))]));
    tracker.update(&third);
    let said = |tracker: &Tracker| tracker.ranges().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(said(&tracker), ["10.50.0.0/24", "10.96.0.0/16", "fd50::/112"]);
    let gone = crate::store::Op::Delete {
        kind: Kind::ServiceCidr,
        key: crate::model::ObjectKey::new("", "more"),
        expect: crate::store::Expect::Any,
    };
    tracker.update(&Arc::new(after(&third, vec![gone])));
    assert_eq!(said(&tracker), ["10.96.0.0/16"]);
}

fn any_endpoint() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["za", "zb", "n1", "n2"]);
    (1u8..6, any::<[bool; 3]>(), prop::sample::select(vec!["n1", "n2"]), prop::option::of(name)).prop_map(
        |(host, [ready, serving, terminating], node, hint)| {
            let mut value = endpoint(&format!("10.244.1.{host}"), node, ready, serving, terminating);
            if let Some(hint) = hint {
                value["hints"] = json!({"forZones": [{"name": hint}], "forNodes": [{"name": hint}]});
            }
            value
        },
    )
}

proptest! {
    #[test]
    fn shuffled_input_gives_the_same_contribution(
        endpoints in prop::collection::vec(any_endpoint(), 0..12), policy in prop::sample::select(vec!["Cluster", "Local"]), seed in any::<u64>(),
    ) {
        let build = |endpoints: &[Value], backwards: bool| {
            let halves = endpoints.split_at(endpoints.len() / 2);
            let mut objects = vec![node("n1", "za"), service(json!({"internalTrafficPolicy": policy})),
                slice("web-1", json!(halves.0)), slice("web-2", json!(halves.1))];
            if backwards { objects.reverse(); }
            contribution_to(objects)
        };
        let mut shuffled = endpoints.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        prop_assert_eq!(build(&endpoints, false), build(&shuffled, true));
    }

    #[test]
    fn step_by_step_or_at_once_the_tracker_holds_the_same(
        steps in prop::collection::vec((0u8..4, 0u8..3, prop::collection::vec(any_endpoint(), 0..3)), 1..12),
    ) {
        let mut tracker = Tracker::new(facts());
        let mut snapshot = Arc::new(Snapshot::for_tests([node("n1", "za")]));
        for (what, which, endpoints) in steps {
            let (service_name, slice_name) = (["web", "b", "c"][usize::from(which)], format!("slice-{which}"));
            let has = |kind, name: &str| snapshot.get(kind, &key(name)).is_some();
            let op = match what {
                0 => put(service_named(service_name, json!({"clusterIPs": [format!("10.96.0.{which}")]}))),
                1 if has(Kind::Service, service_name) => delete(Kind::Service, service_name),
                2 if has(Kind::EndpointSlice, &slice_name) => delete(Kind::EndpointSlice, &slice_name),
                _ => put(slice(&slice_name, json!(endpoints))),
            };
            snapshot = Arc::new(after(&snapshot, vec![op]));
            for change in tracker.update(&snapshot) {
                prop_assert_ne!(change.before, change.after);
            }
            let at_once = fresh(&snapshot);
            prop_assert_eq!(tracker.contributions().collect::<Vec<_>>(), at_once.contributions().collect::<Vec<_>>());
        }
    }
}

/// The Service of the tests with annotations.
fn annotated(annotations: Value) -> Draft {
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]);
    let spec = json!({"type": "ClusterIP", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"], "ports": ports});
    draft(Kind::Service, "web", json!({}), json!({"metadata": {"annotations": annotations}, "spec": spec}))
}

/// A slice of both endpoints with one annotation.
fn noted(name: &str, text: &str) -> Draft {
    let content = json!({"metadata": {"annotations": {name: text}}});
    slice_with("web-1", {
        let mut whole = json!({"endpoints": [ready(EP1, "n1"), ready(EP2, "n2")]});
        json_patch::merge(&mut whole, &content);
        whole
    })
}

fn balance_of(objects: Vec<Draft>) -> super::Balance {
    let frontends = contribution_to(objects).frontends;
    let [super::Frontend { verdict: Verdict::Balance(balance), .. }] = &frontends[..] else { panic!("{frontends:?}") };
    balance.clone()
}

#[test]
fn the_annotations_of_a_service_say_its_schedule_and_its_carrier() {
    assert_eq!(balance_of(vec![annotated(json!({})), both_ready()]).schedule, Schedule::Random);
    for schedule in Schedule::ALL {
        let service = annotated(json!({"edgesvc.io/balance": schedule.as_str(), "edgesvc.io/proxy-mode": "relay"}));
        let objects = vec![service, both_ready()];
        assert_eq!(balance_of(objects.clone()).schedule, schedule);
        assert!(contribution_to(objects).relayed);
    }
}

#[test]
fn weights_are_those_of_the_slice_and_0_takes_nothing_new() {
    let weighed = |text: &str| vec![annotated(json!({})), noted("edgesvc.io/weight", text)];
    let balance = balance_of(weighed("10.244.2.10=7"));
    assert_eq!(balance.weights[..], [1, 7]);
    assert!(balance_of(weighed("1")).weights.is_empty());
    assert_eq!(internal(weighed("10.244.2.10=0")), "10.244.1.10:8080");
    assert_eq!(internal(weighed("0")), "refuse");
    // Its flows go on.
    assert_eq!(contribution_to(weighed("10.244.2.10=0")).frontends[0].kept, ["10.244.2.10:8080".parse().unwrap()]);
}

#[test]
fn a_box_whose_endpoints_have_weight_0_drops_what_another_could_take() {
    let found = |text: &str| {
        let spec = json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        contribution_to(vec![load_balancer(spec, json!([])), noted("edgesvc.io/weight", text)])
    };
    let at = |found: &super::Contribution| {
        let of = |f: &&super::Frontend| f.addr == FrontendAddr::NodePort(IpFamily::V4);
        let frontend = found.frontends.iter().find(of).unwrap().clone();
        (frontend.verdict, frontend.inside.map(|inside| inside.endpoints), found.health.unwrap().local_endpoints)
    };
    let elsewhere = vec!["10.244.2.10:8080".parse().unwrap()];
    assert_eq!(at(&found("10.244.1.10=0")), (Verdict::Drop, Some(elsewhere), 0));
    // Nobody anywhere is a refusal, for clients inside too.
    assert_eq!(at(&found("0")), (Verdict::Refuse, None, 0));
}

#[test]
fn the_leader_is_the_oldest_ready_endpoint_and_has_no_substitute() {
    let leader = || annotated(json!({"edgesvc.io/balance": "leader"}));
    assert_eq!(internal(vec![leader(), both_ready()]), "10.244.1.10:8080");
    let by_age = noted("edgesvc.io/oldest-first", "10.244.2.10,10.244.1.10");
    assert_eq!(internal(vec![leader(), by_age]), "10.244.2.10:8080");
    let by_hand = slice("web-1", json!([endpoint(EP2, "n2", false, false, false), ready(EP1, "n1")]));
    assert_eq!(internal(vec![leader(), by_hand]), "10.244.1.10:8080");
}
