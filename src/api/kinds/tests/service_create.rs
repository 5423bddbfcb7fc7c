//! Cases 1 to 44, 53 to 55 of spec/service.md, and section 5: creating.

use serde_json::{Value, json};

use super::world::{DUP, FORB, INV, NS, REQ, World, failed, faults, refused, service};
use crate::model::Kind;

fn p() -> Value {
    json!([{"port": 80}])
}

fn spec(mut more: Value) -> Value {
    if more.get("ports").is_none() {
        more["ports"] = p();
    }
    more
}

#[track_caller]
fn each_refused(rows: &[(Value, &[(&str, &str)])]) {
    for (spec, expected) in rows {
        let faults = faults(World::single().post(spec.clone()));
        let faults: Vec<(&str, &str)> = faults.iter().map(|(field, reason)| (field.as_str(), *reason)).collect();
        assert_eq!(&faults, expected, "{spec}");
    }
}

#[test]
fn case_01_the_seed_service_is_defaulted() {
    let ports = json!([{"protocol": "TCP", "port": 80, "targetPort": 9376}]);
    let made = World::single().post(json!({"selector": {"app": "MyApp"}, "ports": ports})).unwrap();
    let ip = made["spec"]["clusterIP"].as_str().unwrap();
    let expected = json!({
        "type": "ClusterIP", "selector": {"app": "MyApp"}, "sessionAffinity": "None",
        "ports": [{"protocol": "TCP", "port": 80, "targetPort": 9376}],
        "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    });
    assert_eq!(made["spec"], expected);
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
}

#[test]
fn case_02_the_target_port_follows_the_port() {
    for target in [Value::Null, json!(0), json!("")] {
        let made = World::single().post(json!({"ports": [{"port": 80, "targetPort": target}]})).unwrap();
        assert_eq!(made["spec"]["ports"][0]["targetPort"], 80);
        assert!(made["spec"].get("selector").is_none());
    }
}

#[test]
fn cases_03_to_09_ports() {
    let two = [("spec.ports[0].port", INV), ("spec.ports[0].targetPort", INV)];
    each_refused(&[
        (json!({}), &[("spec.ports", REQ)]),
        (json!({"ports": [{"port": 80}, {"port": 81}]}), &[("spec.ports[0].name", REQ), ("spec.ports[1].name", REQ)]),
        (json!({"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}), &[("spec.ports[1].name", DUP)]),
        (json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}), &[("spec.ports[1]", DUP)]),
        (json!({"ports": [{"port": 0}]}), &two),
        (json!({"ports": [{"port": 65536}]}), &two),
    ]);
    let dns = json!([{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]);
    World::single().post(json!({"ports": dns})).unwrap();
}

#[test]
fn cases_10_to_15_words_of_a_port() {
    let target = |target: &str| json!({"ports": [{"port": 80, "targetPort": target}]});
    let named = |name: &str| json!({"ports": [{"port": 80, "name": name}]});
    let at = "spec.ports[0].targetPort";
    each_refused(&[
        (json!({"ports": [{"port": 80, "protocol": "tcp"}]}), &[("spec.ports[0].protocol", NS)]),
        (named("123_abc"), &[("spec.ports[0].name", INV)]),
        (named("-web"), &[("spec.ports[0].name", INV)]),
        (named(&"x".repeat(64)), &[("spec.ports[0].name", INV)]),
        (target("toolongportname16"), &[(at, INV)]),
        (target("123"), &[(at, INV)]),
        (target("WEB"), &[(at, INV), (at, INV)]),
        (target("a--b"), &[(at, INV)]),
        (json!({"ports": [{"port": 80, "appProtocol": "a b"}]}), &[("spec.ports[0].appProtocol", INV)]),
    ]);
    for name in ["123-abc", "web"] {
        World::single().post(named(name)).unwrap();
    }
}

#[test]
fn cases_10_16_and_17_say_what_is_supported() {
    let message = |spec: Value| match World::single().post(spec) {
        Err(super::super::Rejection::Invalid(causes)) => causes[0].to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        message(json!({"ports": [{"port": 80, "protocol": "tcp"}]})),
        r#"spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP""#
    );
    assert_eq!(
        message(spec(json!({"type": "Foo"}))),
        r#"spec.type: Unsupported value: "Foo": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#
    );
    assert_eq!(
        message(spec(json!({"sessionAffinity": "Foo"}))),
        r#"spec.sessionAffinity: Unsupported value: "Foo": supported values: "ClientIP", "None""#
    );
    assert_eq!(
        message(spec(json!({"trafficDistribution": "Foo"}))),
        r#"spec.trafficDistribution: Unsupported value: "Foo": supported values: "PreferClose", "PreferSameZone", "PreferSameNode""#
    );
}

#[test]
fn cases_18_to_21_session_affinity() {
    let seconds = |made: &Value| made["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].clone();
    let client = |timeout: i64| {
        let config = json!({"clientIP": {"timeoutSeconds": timeout}});
        spec(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}))
    };
    for config in [Value::Null, json!({}), json!({"clientIP": {}})] {
        let asked = spec(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}));
        assert_eq!(seconds(&World::single().post(asked).unwrap()), 10_800);
    }
    let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    each_refused(&[(client(0), &[(field, INV)]), (client(86_401), &[(field, INV)])]);
    assert_eq!(seconds(&World::single().post(client(86_400)).unwrap()), 86_400);
    let config = json!({"clientIP": {"timeoutSeconds": 5}});
    let none = World::single().post(spec(json!({"sessionAffinity": "None", "sessionAffinityConfig": config}))).unwrap();
    assert!(none["spec"].get("sessionAffinityConfig").is_none());
}

#[test]
fn cases_22_to_28_cluster_ips_by_hand() {
    let mut world = World::single();
    let made = world.post(spec(json!({"clusterIP": "10.96.0.10"}))).unwrap();
    assert_eq!(made["spec"]["clusterIPs"], json!(["10.96.0.10"]));
    assert_eq!(world.ip_holder("10.96.0.10").as_deref(), Some("a"));
    for taken in ["10.96.0.1", "1.2.3.4", "10.96.0.0", "10.96.255.255"] {
        refused(World::single().post(spec(json!({"clusterIP": taken}))), &[("spec.clusterIPs", INV)]);
    }
    each_refused(&[
        (spec(json!({"clusterIP": "foo"})), &[("spec.clusterIPs[0]", INV)]),
        (spec(json!({"clusterIP": "010.096.0.5"})), &[("spec.clusterIPs[0]", INV)]),
        (spec(json!({"clusterIP": "::ffff:10.96.0.5"})), &[("spec.clusterIPs[0]", INV)]),
        (spec(json!({"clusterIPs": ["10.96.0.77"]})), &[("spec.clusterIPs", INV)]),
        (spec(json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.8"]})), &[("spec.clusterIPs", INV)]),
    ]);
}

#[test]
fn a_fault_of_allocation_is_answered_alone() {
    let asked = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 0}], "type": "NodePort"});
    refused(World::single().post(asked), &[("spec.clusterIPs", INV)]);
}

#[test]
fn an_address_taken_by_the_same_name_is_taken() {
    let mut world = World::single();
    world.post(spec(json!({"clusterIP": "10.96.0.10"}))).unwrap();
    refused(world.post(spec(json!({"clusterIP": "10.96.0.10"}))), &[("spec.clusterIPs", INV)]);
}

#[test]
fn the_dns_address_is_kept_for_dns() {
    let mut world = World::single();
    world.rules.cluster_dns = vec!["10.96.0.10".parse().unwrap()];
    refused(world.post(spec(json!({"clusterIP": "10.96.0.10"}))), &[("spec.clusterIPs", INV)]);
    let mut dns = service("kube-dns", spec(json!({"clusterIP": "10.96.0.10"})));
    dns["metadata"]["namespace"] = "kube-system".into();
    world.create(Kind::Service, dns).unwrap();
}

#[test]
fn cases_29_and_30_headless() {
    let made = World::single().post(json!({"clusterIP": "None", "selector": {"a": "b"}})).unwrap();
    assert_eq!(made["spec"]["clusterIPs"], json!(["None"]));
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4"]));
    for r#type in ["NodePort", "LoadBalancer"] {
        let asked = spec(json!({"clusterIP": "None", "type": r#type, "selector": {"a": "b"}}));
        refused(World::single().post(asked), &[("spec.clusterIPs[0]", INV)]);
    }
}

#[test]
fn cases_31_to_33_external_name() {
    let named = |more: Value| {
        let mut spec = json!({"type": "ExternalName", "externalName": "my.database.example.com"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let made = World::single().post(named(json!({}))).unwrap();
    for absent in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        assert!(made["spec"].get(absent).is_none(), "{absent}");
    }
    for good in ["my.example.", "1.2.3.4"] {
        World::single().post(named(json!({"externalName": good}))).unwrap();
    }
    let families = json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"});
    each_refused(&[
        (json!({"type": "ExternalName"}), &[("spec.externalName", REQ)]),
        (named(json!({"externalName": "A.b"})), &[("spec.externalName", INV)]),
        (named(json!({"clusterIP": "10.96.0.9"})), &[("spec.clusterIPs", FORB)]),
        (named(families), &[("spec.ipFamilies", FORB), ("spec.ipFamilyPolicy", FORB)]),
    ]);
    let mut world = World::single();
    world.post(named(json!({"ports": [{"port": 80, "nodePort": 30_100}]}))).unwrap();
    assert_eq!(world.port_holder(30_100), None, "shown, not held");
}

#[test]
fn cases_34_to_38_node_ports() {
    let made = World::single().post(spec(json!({"type": "NodePort"}))).unwrap();
    let number = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30_086..=32_767).contains(&number), "{number}");
    assert_eq!(made["spec"]["externalTrafficPolicy"], "Cluster");
    let asked = |number: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]});
    let mut world = World::single();
    world.post(asked(30_007)).unwrap();
    let field = "spec.ports[0].nodePort";
    refused(world.create(Kind::Service, service("b", asked(30_007))), &[(field, INV)]);
    each_refused(&[
        (asked(29_999), &[(field, INV)]),
        (asked(-1), &[(field, INV)]),
        (json!({"ports": [{"port": 80, "nodePort": 30_007}]}), &[(field, FORB)]),
    ]);
    match World::single().post(asked(29_999)) {
        Err(super::super::Rejection::Invalid(causes)) => assert!(causes[0].message.contains("30000-32767")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_37_one_number_on_tcp_and_udp_shares_a_node_port() {
    let dns = |tcp: i64, udp: i64| {
        json!({"type": "NodePort", "ports": [
            {"name": "t", "port": 53, "nodePort": tcp}, {"name": "u", "port": 53, "protocol": "UDP", "nodePort": udp},
        ]})
    };
    for (tcp, udp) in [(0, 0), (30_053, 0), (0, 30_053)] {
        let made = World::single().post(dns(tcp, udp)).unwrap();
        let ports = &made["spec"]["ports"];
        assert_eq!(ports[0]["nodePort"], ports[1]["nodePort"]);
        assert!(tcp + udp == 0 || ports[0]["nodePort"] == 30_053);
    }
    let different = json!({"type": "NodePort", "ports": [
        {"name": "t", "port": 53, "nodePort": 30_053}, {"name": "u", "port": 54, "protocol": "UDP", "nodePort": 30_053},
    ]});
    refused(World::single().post(different), &[("spec.ports[1].nodePort", INV)]);
}

#[test]
fn cases_39_to_41_load_balancers() {
    let local = |more: Value| {
        let mut asked = spec(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let mut world = World::single();
    let made = world.post(local(json!({}))).unwrap();
    let health = made["spec"]["healthCheckNodePort"].as_i64().unwrap();
    assert_ne!(health, made["spec"]["ports"][0]["nodePort"].as_i64().unwrap());
    assert_eq!(made["spec"]["allocateLoadBalancerNodePorts"], true);
    assert_eq!(world.port_holder(health).as_deref(), Some("a"));
    let taken = service("b", local(json!({"healthCheckNodePort": health})));
    failed(world.create(Kind::Service, taken), "failed to allocate requested HealthCheck NodePort");
    failed(World::single().post(local(json!({"healthCheckNodePort": 80}))), "30000-32767");
    let own = json!({"healthCheckNodePort": 30_200, "ports": [{"port": 80, "nodePort": 30_200}]});
    failed(World::single().post(local(own)), "already allocated");
    let manual = World::single().post(local(json!({"allocateLoadBalancerNodePorts": false}))).unwrap();
    assert!(manual["spec"]["ports"][0].get("nodePort").is_none());
    assert!(manual["spec"]["healthCheckNodePort"].as_i64().unwrap() > 0, "also without node ports");
    let by_hand = json!({"allocateLoadBalancerNodePorts": false, "ports": [{"port": 80, "nodePort": 30_300}]});
    let mut world = World::single();
    assert_eq!(world.post(local(by_hand)).unwrap()["spec"]["ports"][0]["nodePort"], 30_300);
    assert_eq!(world.port_holder(30_300).as_deref(), Some("a"));
}

#[test]
fn a_full_range_of_node_ports_is_500() {
    let mut world = World::single();
    world.rules.node_ports = 30_000..=30_001;
    let asked = |name: &str| service(name, spec(json!({"type": "NodePort"})));
    for name in ["a", "b"] {
        world.create(Kind::Service, asked(name)).unwrap();
    }
    failed(world.create(Kind::Service, asked("c")), "range is full");
}

#[test]
fn case_42_external_traffic_policy() {
    let local = spec(json!({"externalTrafficPolicy": "Local"}));
    each_refused(&[
        (local, &[("spec.externalTrafficPolicy", INV)]),
        (spec(json!({"type": "NodePort", "externalTrafficPolicy": "Foo"})), &[("spec.externalTrafficPolicy", NS)]),
        (spec(json!({"internalTrafficPolicy": "Foo"})), &[("spec.internalTrafficPolicy", NS)]),
        (spec(json!({"healthCheckNodePort": 30_001})), &[("spec.healthCheckNodePort", INV)]),
    ]);
    let mut world = World::single();
    let asked = spec(json!({"externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]}));
    assert_eq!(world.post(asked).unwrap()["spec"]["externalTrafficPolicy"], "Local");
    assert!(world.warnings[0].contains("spec.externalIPs is deprecated"), "{:?}", world.warnings);
    let made = World::single().post(spec(json!({"externalIPs": ["192.0.2.1"]}))).unwrap();
    assert_eq!(made["spec"]["externalTrafficPolicy"], "Cluster");
}

#[test]
fn case_43_external_ips() {
    let ips = json!(["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "foo"]);
    let fields: Vec<String> = (0..5).map(|i| format!("spec.externalIPs[{i}]")).collect();
    let expected: Vec<(&str, &str)> = fields.iter().map(|field| (field.as_str(), INV)).collect();
    refused(World::single().post(spec(json!({"externalIPs": ips}))), &expected);
    World::single().post(spec(json!({"externalIPs": ["239.1.1.1", "255.255.255.255"]}))).unwrap();
}

#[test]
fn an_external_ip_that_is_not_served_is_told() {
    let mut world = World::single();
    world.post(spec(json!({"externalIPs": ["198.51.100.5", "203.0.113.5"]}))).unwrap();
    let told = "spec.externalIPs[1]: 203.0.113.5 is outside --external-ip-cidrs and not served";
    assert!(world.warnings.iter().any(|warning| warning == told), "{:?}", world.warnings);
    assert!(!world.warnings.iter().any(|warning| warning.contains("externalIPs[0]")));
}

#[test]
fn case_44_and_the_other_warnings() {
    let heard = |asked: Value, annotations: Value| {
        let mut world = World::single();
        let mut value = service("a", asked);
        value["metadata"]["annotations"] = annotations;
        world.create(Kind::Service, value).unwrap();
        world.warnings.join("; ")
    };
    let none = json!({});
    let rows = [
        (spec(json!({"trafficDistribution": "PreferClose"})), "\"PreferClose\" is deprecated; use \"PreferSameZone\""),
        (spec(json!({"externalName": "x.y"})), "spec.externalName is ignored"),
        (json!({"clusterIP": "None", "loadBalancerIP": "1.2.3.4"}), "spec.loadBalancerIP is ignored for headless"),
        (json!({"clusterIP": "None", "externalIPs": ["1.2.3.4"]}), "spec.externalIPs is ignored for headless"),
        (json!({"clusterIP": "None", "sessionAffinity": "ClientIP"}), "spec.SessionAffinity is ignored for headless"),
        (
            json!({"type": "ExternalName", "externalName": "x.y", "externalIPs": ["1.2.3.4"]}),
            "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
        ),
        (spec(json!({"externalIPs": ["FD00::1"]})), "spec.externalIPs[0]: IPv6 address \"FD00::1\" should be"),
        (spec(json!({"loadBalancerIP": "010.1.1.1"})), "spec.loadBalancerIP: non-standard IP address"),
    ];
    for (asked, words) in rows {
        let told = heard(asked.clone(), none.clone());
        assert!(told.contains(words), "{asked}: {told}");
    }
    let hints = json!({"service.kubernetes.io/topology-aware-hints": "Auto"});
    assert!(heard(spec(json!({})), hints).contains("topology-mode"));
    assert_eq!(heard(spec(json!({})), none), "");
}

#[test]
fn section_3_fields_of_load_balancers() {
    let balanced = |more: Value| {
        let mut asked = spec(json!({"type": "LoadBalancer"}));
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let ranges = "spec.LoadBalancerSourceRanges";
    each_refused(&[
        (spec(json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]})), &[(ranges, FORB)]),
        (spec(json!({"allocateLoadBalancerNodePorts": false})), &[("spec.allocateLoadBalancerNodePorts", FORB)]),
        (spec(json!({"loadBalancerClass": "x.y/z"})), &[("spec.loadBalancerClass", FORB)]),
        (balanced(json!({"loadBalancerClass": "a b"})), &[("spec.loadBalancerClass", INV)]),
        (
            balanced(json!({"loadBalancerSourceRanges": [
                " 10.0.0.0/8 ", "10.0.0.1/8", "010.0.0.0/8", "10.0.0.0/08", "::ffff:10.0.0.0/104", "x", "10.0.0.0/33",
            ]})),
            &[
                ("spec.LoadBalancerSourceRanges[1]", INV),
                ("spec.LoadBalancerSourceRanges[2]", INV),
                ("spec.LoadBalancerSourceRanges[3]", INV),
                ("spec.LoadBalancerSourceRanges[4]", INV),
                ("spec.LoadBalancerSourceRanges[5]", INV),
                ("spec.LoadBalancerSourceRanges[6]", INV),
            ],
        ),
    ]);
}

#[test]
fn section_3_annotations() {
    let noted = |asked: Value, key: &str, content: &str| {
        let mut value = service("a", asked);
        value["metadata"]["annotations"] = json!({key: content});
        World::single().create(Kind::Service, value)
    };
    let key = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let field = format!("metadata.annotations[{key}]");
    let balanced = spec(json!({"type": "LoadBalancer"}));
    noted(balanced.clone(), key, "10.0.0.0/8, 192.0.2.0/24").unwrap();
    refused(noted(balanced, key, "10.0.0.0/8,x"), &[(&field, INV)]);
    refused(noted(spec(json!({})), key, "10.0.0.0/8"), &[(&field, FORB)]);
    let mut both = service("a", spec(json!({})));
    both["metadata"]["annotations"] = json!({
        "service.kubernetes.io/topology-mode": "a", "service.kubernetes.io/topology-aware-hints": "b",
    });
    let field = "metadata.annotations[service.kubernetes.io/topology-mode]";
    refused(World::single().create(Kind::Service, both), &[(field, INV)]);
}

#[test]
fn causes_come_in_the_real_servers_order() {
    let mut value = service(
        "a.b",
        json!({
            "ports": [{"port": 0, "targetPort": 1, "nodePort": 30_001}], "selector": {"a b": "x"}, "sessionAffinity": "Foo",
            "externalIPs": ["foo"], "loadBalancerClass": "x", "externalTrafficPolicy": "Foo", "healthCheckNodePort": 1,
            "internalTrafficPolicy": "Foo", "trafficDistribution": "Foo", "allocateLoadBalancerNodePorts": true,
        }),
    );
    value["metadata"]["labels"] = json!({"a": "b c"});
    refused(
        World::single().create(Kind::Service, value),
        &[
            ("metadata.name", INV),
            ("metadata.labels", INV),
            ("spec.ports[0].port", INV),
            ("spec.selector", INV),
            ("spec.sessionAffinity", NS),
            ("spec.externalIPs[0]", INV),
            ("spec.ports[0].nodePort", FORB),
            ("spec.allocateLoadBalancerNodePorts", FORB),
            ("spec.loadBalancerClass", FORB),
            ("spec.externalTrafficPolicy", NS),
            ("spec.healthCheckNodePort", INV),
            ("spec.internalTrafficPolicy", NS),
            ("spec.trafficDistribution", NS),
        ],
    );
}

#[test]
fn case_53_names() {
    for bad in ["A", "a.b", "-a", &"x".repeat(64)] {
        refused(World::single().create(Kind::Service, service(bad, spec(json!({})))), &[("metadata.name", INV)]);
    }
    World::single().create(Kind::Service, service("1abc", spec(json!({})))).unwrap();
}

#[test]
fn case_54_a_small_range_fills_up() {
    let mut world = World::with(&["10.0.0.0/28"]);
    for i in 0..13 {
        world.create(Kind::Service, service(&format!("s{i}"), spec(json!({})))).unwrap();
    }
    failed(world.post(spec(json!({}))), "range is full");
    let freed = world.get(Kind::Service, "s7")["spec"]["clusterIP"].clone();
    world.delete("s7");
    assert_eq!(world.post(spec(json!({}))).unwrap()["spec"]["clusterIP"], freed);
}

#[test]
fn case_55_the_static_band_is_left_alone() {
    let mut world = World::single();
    for i in 0..300 {
        let made = world.create(Kind::Service, service(&format!("s{i}"), spec(json!({})))).unwrap();
        let ip: std::net::Ipv4Addr = made["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        assert!(ip > std::net::Ipv4Addr::new(10, 96, 1, 0), "{ip}");
    }
}

#[test]
fn a_status_that_was_sent_is_dropped() {
    let mut value = service("a", spec(json!({"type": "LoadBalancer"})));
    value["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let made = World::single().create(Kind::Service, value).unwrap();
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
}

#[test]
fn our_own_annotations_are_known_words_and_numbers() {
    let refusal = |kind: Kind, name: &str, text: &str, content: Value| {
        let mut value = json!({"metadata": {"name": "a", "namespace": "t", "annotations": {name: text}}});
        json_patch::merge(&mut value, &content);
        match World::single().create(kind, value) {
            Ok(_) => Vec::new(),
            refused => faults(refused),
        }
    };
    let ports = |protocol: &str| json!({"spec": {"ports": [{"port": 80, "protocol": protocol}]}});
    let on = |name: &str, reason: &'static str| vec![(format!("metadata.annotations[{name}]"), reason)];
    let (balance, mode, weight) = ("edgesvc.io/balance", "edgesvc.io/proxy-mode", "edgesvc.io/weight");
    for word in ["random", "rr", "sh", "dh", "weighted", "lc", "sed", "nq", "leader"] {
        assert_eq!(refusal(Kind::Service, balance, word, ports("TCP")), []);
    }
    assert_eq!(refusal(Kind::Service, balance, "wlc", ports("TCP")), on(balance, NS));
    assert_eq!(refusal(Kind::Service, mode, "relay", ports("UDP")), []);
    assert_eq!(refusal(Kind::Service, mode, "ipvs", ports("TCP")), on(mode, NS));
    assert_eq!(refusal(Kind::Service, mode, "relay", ports("SCTP")), on(mode, INV));
    let containers = json!({"spec": {"containers": [{"name": "a", "image": "i"}]}});
    assert_eq!(refusal(Kind::Pod, weight, "65535", containers.clone()), []);
    assert_eq!(refusal(Kind::Pod, weight, "10.0.0.1=2", containers), on(weight, INV));
    let slice = json!({"addressType": "IPv4", "endpoints": []});
    assert_eq!(refusal(Kind::EndpointSlice, weight, "10.0.0.1=2,10.0.0.2=0", slice.clone()), []);
    assert_eq!(refusal(Kind::EndpointSlice, weight, "heavy", slice), on(weight, INV));
    assert_eq!(refusal(Kind::Endpoints, weight, "-1", json!({})), on(weight, INV));
}

#[test]
fn a_name_on_the_lan_is_one_label_and_has_no_effect_where_the_lan_reaches_nothing() {
    let create = |name: &str, kind: &str| {
        let mut world = World::single();
        let made = world.create(
            Kind::Service,
            json!({"metadata": {"name": "a", "namespace": "t", "annotations": {"edgesvc.io/mdns": name}},
                "spec": {"type": kind, "externalName": "a.example", "ports": [{"port": 80}]}}),
        );
        (made.err().map(|refused| faults(Err(refused))).unwrap_or_default(), world.warnings)
    };
    for bad in ["", "shop.local", "Shop", "a b", "-a", &"a".repeat(64)] {
        assert_eq!(create(bad, "NodePort").0, [("metadata.annotations[edgesvc.io/mdns]".to_owned(), INV)], "{bad:?}");
    }
    for (kind, warned) in [("NodePort", false), ("LoadBalancer", false), ("ClusterIP", true), ("ExternalName", true)] {
        let (faults, warnings) = create("shop-1", kind);
        assert_eq!(faults, [], "{kind}");
        assert_eq!(
            warnings.iter().any(|text| text.contains("edgesvc.io/mdns has no effect")),
            warned,
            "{kind}: {warnings:?}"
        );
    }
}

#[test]
fn what_instances_on_the_lan_say_is_checked_and_means_nothing_without_a_name() {
    let create = |annotations: Value| {
        let mut world = World::single();
        let made = world.create(
            Kind::Service,
            json!({"metadata": {"name": "a", "namespace": "t", "annotations": annotations},
                "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
        );
        (made.err().map(|refused| faults(Err(refused))).unwrap_or_default(), world.warnings)
    };
    for bad in ["=1", "a=1,a=2", "{\"a\": []}", &"a".repeat(256)] {
        let (faults, _) = create(json!({"edgesvc.io/mdns": "shop", "edgesvc.io/mdns-txt": bad}));
        assert_eq!(faults, [("metadata.annotations[edgesvc.io/mdns-txt]".to_owned(), INV)], "{bad}");
    }
    let (faults, warnings) = create(json!({"edgesvc.io/mdns": "shop", "edgesvc.io/mdns-txt": "path=/,version=1"}));
    assert_eq!((faults, warnings), (Vec::new(), Vec::new()));
    let (faults, warnings) = create(json!({"edgesvc.io/mdns-txt": "path=/"}));
    assert_eq!(faults, []);
    assert_eq!(warnings, ["annotation edgesvc.io/mdns-txt has no effect without edgesvc.io/mdns"]);
}
