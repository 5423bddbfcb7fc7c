//! The cases of spec/env.md, by their numbers, and the limits.

use serde_json::{Value, json};

use super::*;

type Services = BTreeMap<ObjectKey, Service>;

/// A map of (namespace, name, spec), with default/kubernetes in it.
fn services(list: &[(&str, &str, Value)]) -> Services {
    let api = json!({"clusterIPs": ["10.96.0.1"], "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]});
    let all = list.iter().cloned().chain([("default", "kubernetes", api)]);
    let parse = |spec: Value| serde_json::from_value::<Service>(json!({"spec": spec})).unwrap();
    all.rev().map(|(namespace, name, spec)| (ObjectKey::new(namespace, name), parse(spec))).collect()
}

fn spec(ip: &str, ports: Value) -> Value {
    json!({"clusterIPs": [ip], "ports": ports})
}

fn redis() -> (&'static str, &'static str, Value) {
    ("default", "redis-master", spec("10.0.0.11", json!([{"port": 6379}])))
}

fn lines_of(services: &Services, namespace: &str, links: bool) -> Vec<String> {
    let made = variables(services, &Wanted { namespace, links, names: &[] }).unwrap();
    made.iter().map(|variable| format!("{}={}", variable.name, variable.value)).collect()
}

/// The lines of namespace `default` that are not of the API's Service.
fn own(list: &[(&str, &str, Value)]) -> Vec<String> {
    let mut lines = lines_of(&services(list), "default", true);
    lines.retain(|line| !line.starts_with("KUBERNETES_"));
    lines
}

/// The lines of one Service `s` at 10.0.0.1 with these ports.
fn of_ports(ports: Value) -> Vec<String> {
    own(&[("default", "s", spec("10.0.0.1", ports))])
}

#[track_caller]
fn assert_has(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(lines.iter().any(|have| have == line), "{line} is not in {lines:#?}");
    }
}

const API_LINES: [&str; 8] = [
    "KUBERNETES_SERVICE_HOST=10.96.0.1",
    "KUBERNETES_SERVICE_PORT=443",
    "KUBERNETES_SERVICE_PORT_HTTPS=443",
    "KUBERNETES_PORT=tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO=tcp",
    "KUBERNETES_PORT_443_TCP_PORT=443",
    "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
];
const REDIS_LINES: [&str; 7] = [
    "REDIS_MASTER_SERVICE_HOST=10.0.0.11",
    "REDIS_MASTER_SERVICE_PORT=6379",
    "REDIS_MASTER_PORT=tcp://10.0.0.11:6379",
    "REDIS_MASTER_PORT_6379_TCP=tcp://10.0.0.11:6379",
    "REDIS_MASTER_PORT_6379_TCP_PROTO=tcp",
    "REDIS_MASTER_PORT_6379_TCP_PORT=6379",
    "REDIS_MASTER_PORT_6379_TCP_ADDR=10.0.0.11",
];

#[test]
fn case_01_the_seven_of_redis_master_and_the_eight_of_kubernetes() {
    let lines = lines_of(&services(&[redis()]), "default", true);
    assert_eq!(lines, [&API_LINES[..], &REDIS_LINES[..]].concat());
}

#[test]
fn case_02_without_service_links_only_kubernetes() {
    assert_eq!(lines_of(&services(&[redis()]), "default", false), API_LINES);
}

#[test]
fn case_03_another_namespace_sees_only_kubernetes() {
    assert_eq!(lines_of(&services(&[redis()]), "other", true), API_LINES);
}

#[test]
fn case_04_named_ports_two_protocols_and_ipv6() {
    let ports = json!([
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "dns-udp", "port": 53, "protocol": "UDP"}
    ]);
    let wanted = [
        "MY_WEB_SERVICE_HOST=fd00::1234",
        "MY_WEB_SERVICE_PORT=80",
        "MY_WEB_SERVICE_PORT_HTTP=80",
        "MY_WEB_SERVICE_PORT_DNS_UDP=53",
        "MY_WEB_PORT=tcp://[fd00::1234]:80",
        "MY_WEB_PORT_80_TCP=tcp://[fd00::1234]:80",
        "MY_WEB_PORT_80_TCP_PROTO=tcp",
        "MY_WEB_PORT_80_TCP_PORT=80",
        "MY_WEB_PORT_80_TCP_ADDR=fd00::1234",
        "MY_WEB_PORT_53_UDP=udp://[fd00::1234]:53",
        "MY_WEB_PORT_53_UDP_PROTO=udp",
        "MY_WEB_PORT_53_UDP_PORT=53",
        "MY_WEB_PORT_53_UDP_ADDR=fd00::1234",
    ];
    assert_eq!(own(&[("default", "my-web", spec("fd00::1234", ports))]), wanted);
}

#[test]
fn case_05_a_headless_service_gives_nothing() {
    assert!(own(&[("default", "s", spec("None", json!([{"port": 80}])))]).is_empty());
}

#[test]
fn case_06_an_external_name_gives_nothing() {
    let external = json!({"type": "ExternalName", "externalName": "example.org", "ports": [{"port": 80}]});
    assert!(own(&[("default", "s", external)]).is_empty());
}

#[test]
fn case_07_the_node_port_is_nowhere() {
    let mut service = spec("10.0.0.1", json!([{"port": 80, "nodePort": 30080}]));
    service["type"] = "NodePort".into();
    let lines = own(&[("default", "s", service)]);
    assert_has(&lines, &["S_SERVICE_PORT=80", "S_PORT_80_TCP_PORT=80"]);
    assert!(!lines.concat().contains("30080"));
}

#[test]
fn case_08_the_target_port_is_nowhere() {
    let lines = of_ports(json!([{"port": 80, "targetPort": 9376}]));
    assert_has(&lines, &["S_SERVICE_PORT=80"]);
    assert!(!lines.concat().contains("9376"));
}

#[test]
fn case_09_a_single_named_port_is_there_under_both_names() {
    let lines = of_ports(json!([{"name": "http", "port": 80}]));
    assert_eq!(lines[1..3], ["S_SERVICE_PORT=80", "S_SERVICE_PORT_HTTP=80"]);
}

#[test]
fn case_10_the_first_port_is_the_services_port() {
    let lines = of_ports(json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]));
    assert_has(&lines, &["S_SERVICE_PORT=80", "S_PORT=tcp://10.0.0.1:80"]);
    assert_has(&lines, &["S_PORT_80_TCP=tcp://10.0.0.1:80", "S_PORT_81_TCP=tcp://10.0.0.1:81"]);
}

#[test]
fn case_11_a_first_port_of_udp() {
    let lines = of_ports(json!([{"port": 53, "protocol": "UDP"}]));
    assert_has(&lines, &["S_PORT=udp://10.0.0.1:53", "S_PORT_53_UDP_PROTO=udp"]);
}

#[test]
fn case_12_sctp() {
    assert_has(&of_ports(json!([{"port": 132, "protocol": "SCTP"}])), &["S_PORT_132_SCTP=sctp://10.0.0.1:132"]);
}

#[test]
fn case_13_a_hyphen_in_a_port_name() {
    assert_has(&of_ports(json!([{"name": "dns-tcp", "port": 53}])), &["S_SERVICE_PORT_DNS_TCP=53"]);
}

#[test]
fn case_14_one_number_in_two_protocols() {
    let ports = json!([{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]);
    let lines = of_ports(ports);
    assert_eq!(lines.iter().filter(|line| line.starts_with("S_PORT_53_TCP")).count(), 4);
    assert_eq!(lines.iter().filter(|line| line.starts_with("S_PORT_53_UDP")).count(), 4);
}

#[test]
fn case_15_the_second_address_is_never_used() {
    let dual = json!({"clusterIPs": ["10.96.0.9", "fd00::9"], "ports": [{"port": 80}]});
    let lines = own(&[("default", "s", dual)]);
    assert_has(&lines, &["S_SERVICE_HOST=10.96.0.9"]);
    assert!(!lines.concat().contains("fd00"));
}

#[test]
fn case_16_every_hyphen_becomes_an_underscore() {
    let lines = own(&[("default", "a-b-c", spec("10.0.0.1", json!([{"port": 80}])))]);
    assert!(lines.iter().all(|line| line.starts_with("A_B_C_")), "{lines:?}");
}

#[test]
fn case_17_a_leading_digit_stays() {
    let lines = own(&[("default", "1abc", spec("10.0.0.1", json!([{"port": 80}])))]);
    assert_eq!(lines[0], "1ABC_SERVICE_HOST=10.0.0.1");
}

#[test]
fn case_18_nobody_asks_for_endpoints() {
    // No selector, and no endpoints among what the rule is given at all.
    assert_eq!(of_ports(json!([{"port": 80}])).len(), 7);
}

#[test]
fn case_19_and_20_what_was_computed_once_does_not_follow_later_services() {
    let mut known = services(&[]);
    let before = lines_of(&known, "default", true);
    known.extend(services(&[redis()]));
    let after = lines_of(&known, "default", true);
    assert_eq!((before.len(), after.len()), (8, 15));
    known.clear();
    assert_has(&after, &REDIS_LINES);
}

fn merged(declared: (&str, &str)) -> Vec<String> {
    let made = variables(&services(&[redis()]), &Wanted { namespace: "default", links: true, names: &[] }).unwrap();
    let set = merge(&[(declared.0.to_owned(), declared.1.to_owned())], |_| None, &made);
    set.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn case_21_a_declared_variable_refers_to_one_of_a_service() {
    assert_eq!(merged(("FOO", "$(REDIS_MASTER_SERVICE_HOST)"))[0], "FOO=10.0.0.11");
}

#[test]
fn case_22_a_declared_variable_wins_once() {
    let lines = merged(("REDIS_MASTER_SERVICE_HOST", "x"));
    let of_name: Vec<_> = lines.iter().filter(|line| line.starts_with("REDIS_MASTER_SERVICE_HOST=")).collect();
    assert_eq!(of_name, ["REDIS_MASTER_SERVICE_HOST=x"]);
    assert_eq!(lines.len(), 15);
}

#[test]
fn case_23_an_unknown_reference_stays() {
    assert_eq!(merged(("FOO", "$(NOPE)"))[0], "FOO=$(NOPE)");
}

#[test]
fn case_24_and_25_a_kubernetes_of_the_namespace_stands_in_only_with_links() {
    let known = services(&[("other", "kubernetes", spec("10.0.0.7", json!([{"port": 80}])))]);
    let lines = lines_of(&known, "other", true);
    assert_eq!((lines[0].as_str(), lines.len()), ("KUBERNETES_SERVICE_HOST=10.0.0.7", 7));
    assert_eq!(lines_of(&known, "other", false), API_LINES);
    let headless = services(&[("other", "kubernetes", spec("None", json!([{"port": 80}])))]);
    assert_eq!(lines_of(&headless, "other", true), API_LINES);
}

#[test]
fn case_26_three_and_named_and_four_times_ports() {
    for n in 1..20_usize {
        for m in 0..=n {
            let port = |at: usize| {
                let name = if at < m { format!("p{at}") } else { String::new() };
                json!({"name": name, "port": 1000 + at})
            };
            assert_eq!(of_ports((0..n).map(port).collect()).len(), 3 + m + 4 * n, "{n} ports, {m} named");
        }
    }
}

#[test]
fn of_two_services_with_one_name_for_a_variable_the_first_by_name_wins() {
    let ports = || json!([{"port": 80}]);
    let lines = own(&[
        ("default", "foo-port-80-tcp", spec("10.0.0.2", ports())),
        ("default", "foo", spec("10.0.0.1", ports())),
    ]);
    let clash: Vec<_> = lines.iter().filter(|line| line.starts_with("FOO_PORT_80_TCP_PORT=")).collect();
    assert_eq!(clash, ["FOO_PORT_80_TCP_PORT=80"]);
    assert_eq!(lines.len(), 13);
}

#[test]
fn only_the_services_named_and_why_one_gives_nothing() {
    let known = services(&[redis(), ("default", "none", spec("None", json!([{"port": 80}])))]);
    let ask = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Wanted { namespace: "default", links: true, names: &names };
        (variables(&known, &wanted).unwrap().len(), unmet(&known, &wanted))
    };
    assert_eq!(ask(&["redis-master"]), (7, Vec::new()));
    assert_eq!(ask(&["kubernetes", "redis-master"]), (15, Vec::new()));
    let unmet = ask(&["none", "gone"]).1;
    assert_eq!(unmet, [EnvError::NoAddress("none".to_owned()), EnvError::NotFound("gone".to_owned())]);
}

#[test]
fn a_name_no_variable_may_have_is_refused_with_its_service() {
    let known = services(&[("default", "a=b", spec("10.0.0.1", json!([{"port": 80}])))]);
    let said = variables(&known, &Wanted { namespace: "default", links: true, names: &[] }).unwrap_err().to_string();
    assert!(said.contains("\"a=b\""), "{said}");
}

#[test]
fn more_than_a_process_can_be_given_is_refused_with_the_largest_service() {
    let ports: Vec<Value> = (1..1000).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    let names: Vec<String> = (0..10).map(|at| format!("wide{at}")).collect();
    let list: Vec<_> =
        names.iter().map(|name| ("default", name.as_str(), spec("10.0.0.1", ports.clone().into()))).collect();
    let wanted = Wanted { namespace: "default", links: true, names: &[] };
    let error = variables(&services(&list), &wanted).unwrap_err();
    assert!(matches!(&error, EnvError::TooLarge { services: 11, .. }), "{error}");
    assert!(error.to_string().contains("\"wide"), "{error}");
    assert!(variables(&services(&list[..3]), &wanted).is_ok());
}
