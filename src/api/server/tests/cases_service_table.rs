//! Cases 1 to 44, 53 and 57 of spec/service.md as a client meets them: code,
//! fields of the refusal, or what the answer shows. The rules themselves are
//! tested in `kinds`. The range here is 10.43.0.0/16.

use serde_json::{Value, json};

use super::client::{Harness, SERVICES, causes};

/// Case, spec, and what stands where in the answer; null is nothing.
type Shown = (u32, Value, Vec<(&'static str, Value)>);

/// Creates a Service `a` of this spec, judges the answer, and takes it away again.
async fn answers(api: &Harness, spec: &Value) -> (u16, Value) {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec});
    let reply = api.post(SERVICES, &object).await;
    if reply.code == 201 {
        api.delete(&format!("{SERVICES}/a")).await.expect(200);
    }
    (reply.code, reply.json())
}

fn with_port(mut spec: Value) -> Value {
    spec["ports"] = json!([{"port": 80}]);
    spec
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases, one a line")]
async fn cases_1_to_44_are_refused_by_field() {
    let api = Harness::start().await;
    let taken = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_007}]}});
    api.post(SERVICES, &taken).await.expect(201);
    let ports = |ports: Value| json!({ "ports": ports });
    let target = |target: &str| json!({"ports": [{"port": 80, "targetPort": target}]});
    let named = |name: &str| json!({"ports": [{"port": 80, "name": name}]});
    let sticky = |seconds: i64| {
        with_port(
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}),
        )
    };
    let ip = |ip: &str| with_port(json!({ "clusterIP": ip }));
    let node = |number: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]});
    let timeout = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    let externals = json!({"externalIPs": ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "foo"]});
    let rows: Vec<(u32, Value, Vec<&str>)> = vec![
        (3, json!({}), vec!["spec.ports"]),
        (4, ports(json!([{"port": 80}, {"port": 81}])), vec!["spec.ports[0].name", "spec.ports[1].name"]),
        (5, ports(json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}])), vec!["spec.ports[1].name"]),
        (6, ports(json!([{"name": "a", "port": 80}, {"name": "b", "port": 80}])), vec!["spec.ports[1]"]),
        (8, ports(json!([{"port": 0}])), vec!["spec.ports[0].port", "spec.ports[0].targetPort"]),
        (9, ports(json!([{"port": 65_536}])), vec!["spec.ports[0].port", "spec.ports[0].targetPort"]),
        (10, ports(json!([{"port": 80, "protocol": "tcp"}])), vec!["spec.ports[0].protocol"]),
        (12, named("123_abc"), vec!["spec.ports[0].name"]),
        (12, named("-web"), vec!["spec.ports[0].name"]),
        (13, target("toolongportname16"), vec!["spec.ports[0].targetPort"]),
        (14, target("123"), vec!["spec.ports[0].targetPort"]),
        (15, target("WEB"), vec!["spec.ports[0].targetPort", "spec.ports[0].targetPort"]),
        (16, with_port(json!({"type": "Foo"})), vec!["spec.type"]),
        (17, with_port(json!({"sessionAffinity": "Foo"})), vec!["spec.sessionAffinity"]),
        (19, sticky(0), vec![timeout]),
        (19, sticky(86_401), vec![timeout]),
        (23, ip("10.43.0.1"), vec!["spec.clusterIPs"]),
        (24, ip("1.2.3.4"), vec!["spec.clusterIPs"]),
        (25, ip("10.43.0.0"), vec!["spec.clusterIPs"]),
        (25, ip("10.43.255.255"), vec!["spec.clusterIPs"]),
        (26, ip("foo"), vec!["spec.clusterIPs[0]"]),
        (27, ip("010.043.0.5"), vec!["spec.clusterIPs[0]"]),
        (28, with_port(json!({"clusterIPs": ["10.43.0.77"]})), vec!["spec.clusterIPs"]),
        (30, with_port(json!({"clusterIP": "None", "type": "NodePort"})), vec!["spec.clusterIPs[0]"]),
        (32, json!({"type": "ExternalName"}), vec!["spec.externalName"]),
        (33, json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.43.0.9"}), vec!["spec.clusterIPs"]),
        (35, node(30_007), vec!["spec.ports[0].nodePort"]),
        (36, node(29_999), vec!["spec.ports[0].nodePort"]),
        (38, ports(json!([{"port": 80, "nodePort": 30_008}])), vec!["spec.ports[0].nodePort"]),
        (42, with_port(json!({"externalTrafficPolicy": "Local"})), vec!["spec.externalTrafficPolicy"]),
        (
            43,
            with_port(externals),
            vec![
                "spec.externalIPs[0]",
                "spec.externalIPs[1]",
                "spec.externalIPs[2]",
                "spec.externalIPs[3]",
                "spec.externalIPs[4]",
            ],
        ),
        (44, with_port(json!({"trafficDistribution": "Foo"})), vec!["spec.trafficDistribution"]),
        (57, with_port(json!({"ipFamilies": ["IPv4", "IPv6"]})), vec!["spec.ipFamilyPolicy"]),
    ];
    for (case, spec, fields) in rows {
        let (code, status) = answers(&api, &spec).await;
        let told: Vec<String> = causes(&status).into_iter().map(|(_, field)| field).collect();
        // One address family: what is asked of the other is refused beside the policy.
        let told: Vec<&str> =
            told.iter().map(String::as_str).filter(|field| case != 57 || !field.contains("ipFamilies")).collect();
        assert_eq!((code, told), (422, fields), "case {case}: {status}");
    }
    for name in ["A", "a.b", "-a", &"x".repeat(64)] {
        let object = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        let status = api.post(SERVICES, &object).await.expect(422).json();
        assert_eq!(causes(&status)[0].1, "metadata.name", "case 53: {name}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases, one a line")]
async fn cases_1_to_44_show_what_was_made() {
    let api = Harness::start().await;
    let named = |name: &str| json!({"ports": [{"port": 80, "name": name}]});
    let sticky = |config: Value| with_port(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}));
    let external = json!({"type": "ExternalName", "externalName": "my.database.example.com"});
    let balanced = |more: Value| {
        let mut spec = with_port(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let rows: Vec<Shown> = vec![
        (
            1,
            json!({"selector": {"app": "MyApp"}, "ports": [{"port": 80, "targetPort": 9376}]}),
            vec![
                ("/spec/type", json!("ClusterIP")),
                ("/spec/ports/0/protocol", json!("TCP")),
                ("/spec/ports/0/targetPort", json!(9376)),
                ("/spec/sessionAffinity", json!("None")),
                ("/spec/internalTrafficPolicy", json!("Cluster")),
                ("/spec/ipFamilies", json!(["IPv4"])),
                ("/spec/ipFamilyPolicy", json!("SingleStack")),
                ("/spec/externalTrafficPolicy", json!(null)),
            ],
        ),
        (2, with_port(json!({})), vec![("/spec/ports/0/targetPort", json!(80)), ("/spec/selector", json!(null))]),
        (
            7,
            json!({"ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]}),
            vec![("/spec/ports/1/name", json!("b"))],
        ),
        (11, named("123-abc"), vec![("/spec/ports/0/name", json!("123-abc"))]),
        (11, named("web"), vec![("/spec/ports/0/name", json!("web"))]),
        (18, sticky(json!(null)), vec![("/spec/sessionAffinityConfig/clientIP/timeoutSeconds", json!(10_800))]),
        (
            20,
            sticky(json!({"clientIP": {"timeoutSeconds": 86_400}})),
            vec![("/spec/sessionAffinityConfig/clientIP/timeoutSeconds", json!(86_400))],
        ),
        (
            21,
            with_port(json!({"sessionAffinity": "None", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}})),
            vec![("/spec/sessionAffinityConfig", json!(null))],
        ),
        (22, with_port(json!({"clusterIP": "10.43.0.12"})), vec![("/spec/clusterIPs", json!(["10.43.0.12"]))]),
        (29, json!({"clusterIP": "None", "selector": {"a": "b"}}), vec![("/spec/clusterIPs", json!(["None"]))]),
        (
            31,
            external,
            vec![
                ("/spec/clusterIP", json!(null)),
                ("/spec/ipFamilies", json!(null)),
                ("/spec/internalTrafficPolicy", json!(null)),
            ],
        ),
        (34, with_port(json!({"type": "NodePort"})), vec![("/spec/externalTrafficPolicy", json!("Cluster"))]),
        (
            35,
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_007}]}),
            vec![("/spec/ports/0/nodePort", json!(30_007))],
        ),
        (
            39,
            balanced(json!({"healthCheckNodePort": 30_100})),
            vec![("/spec/healthCheckNodePort", json!(30_100)), ("/spec/allocateLoadBalancerNodePorts", json!(true))],
        ),
        (41, balanced(json!({"allocateLoadBalancerNodePorts": false})), vec![("/spec/ports/0/nodePort", json!(null))]),
        (
            42,
            with_port(json!({"externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]})),
            vec![("/spec/externalTrafficPolicy", json!("Local"))],
        ),
        (
            44,
            with_port(json!({"trafficDistribution": "PreferClose"})),
            vec![("/spec/trafficDistribution", json!("PreferClose"))],
        ),
    ];
    for (case, spec, shown) in rows {
        let (code, made) = answers(&api, &spec).await;
        assert_eq!(code, 201, "case {case}: {made}");
        for (place, value) in shown {
            assert_eq!(made.pointer(place).unwrap_or(&Value::Null), &value, "case {case}: {place}");
        }
        assert_eq!(made["spec"]["clusterIPs"][0], made["spec"]["clusterIP"], "case {case}");
    }
    let (_, twice) = answers(&api, &json!({"type": "NodePort", "ports": [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]})).await;
    assert_eq!(twice["spec"]["ports"][0]["nodePort"], twice["spec"]["ports"][1]["nodePort"], "case 37");
}
