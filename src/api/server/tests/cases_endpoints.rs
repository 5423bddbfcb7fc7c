//! Cases 31 to 41 of spec/endpoints.md as a client meets them, and what stands
//! behind the table of spec/api.md.

use serde_json::{Value, json};

use super::client::{CONFIG_MAPS, Harness, SERVICES, causes, config_map, service};

const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[tokio::test]
async fn cases_31_to_40_are_refused_by_field() {
    let api = Harness::start().await;
    let first = "subsets[0].addresses[0].ip";
    let address = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]);
    let mut rows = vec![(31, address("127.0.0.1"), vec![first]), (33, address("foo"), vec![first, first])];
    rows.extend(["169.254.1.1", "224.0.0.5", "::1", "fe80::1", "0.0.0.0"].map(|ip| (32, address(ip), vec![first])));
    rows.push((35, json!([{}]), vec!["subsets[0]"]));
    let unnamed = json!([{"addresses": [{"ip": "10.9.0.1"}], "ports": [{"port": 80}, {"port": 81}]}]);
    rows.push((36, unnamed, vec!["subsets[0].ports[0].name", "subsets[0].ports[1].name"]));
    for (case, subsets, fields) in rows {
        let status =
            api.post(ENDPOINTS, &json!({"metadata": {"name": "a"}, "subsets": subsets})).await.expect(422).json();
        let told: Vec<String> = causes(&status).into_iter().map(|(_, field)| field).collect();
        assert_eq!(told, fields, "case {case}: {status}");
    }
    let good = json!({"metadata": {"name": "a"}, "subsets": address("10.43.0.1")});
    let reply = api.post(ENDPOINTS, &good).await.expect(201);
    assert!(reply.header("warning").contains("deprecated"), "case 34 is made, with a warning");

    let slice = |family: &str, addresses: Value| json!({"metadata": {"name": "a"}, "addressType": family, "endpoints": [{"addresses": addresses}]});
    let many: Vec<Value> = (0..1_001).map(|_| json!({"addresses": ["10.9.0.1"]})).collect();
    for (case, object, reason, field) in [
        (37, json!({"metadata": {"name": "a"}, "endpoints": []}), "FieldValueRequired", "addressType"),
        (38, slice("IPv4", json!(["fd00::1"])), "FieldValueInvalid", "endpoints[0].addresses"),
        (39, slice("IPv6", json!(["FD00::1"])), "FieldValueInvalid", "endpoints[0].addresses[0]"),
        (
            40,
            json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": many}),
            "FieldValueTooMany",
            "endpoints",
        ),
    ] {
        let status = api.post(SLICES, &object).await.expect(422).json();
        let (told, at) = &causes(&status)[0];
        assert!(told == reason && at.starts_with(field), "case {case}: {status}");
    }
    api.post(SLICES, &slice("IPv4", json!(["10.9.0.1"]))).await.expect(201);
    let status = api.merge(&format!("{SLICES}/a"), &json!({"addressType": "IPv6"})).await.expect(422).json();
    assert_eq!(causes(&status)[0], ("FieldValueInvalid".to_owned(), "addressType".to_owned()), "case 41");
}

/// The facts under the table of spec/api.md.
#[tokio::test]
async fn what_else_was_seen_on_the_running_server() {
    let api = Harness::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = |time: &str| json!({"metadata": {"name": "l"}, "spec": {"renewTime": time}});
    api.post(leases, &lease("2026-01-01T00:00:09Z")).await.expect(400);
    api.post(leases, &lease("2026-01-01T00:00:09.000000Z")).await.expect(201);
    let yaml = [("content-type", "application/yaml")];
    for wrong in ["metadata: {name: y}\n", "metadata: {name: c}\ndata: {k: off}\n"] {
        api.send("POST", CONFIG_MAPS, &yaml, wrong).await.expect(400);
    }
    api.send("POST", CONFIG_MAPS, &yaml, "metadata: {name: c}\ndata: {on: \"1\"}\n").await.expect(201);
    let mut untyped = config_map("untyped");
    untyped.as_object_mut().unwrap().retain(|member, _| member == "metadata");
    api.post(CONFIG_MAPS, &untyped).await.expect(201);
    api.get(&format!("{CONFIG_MAPS}?limit=-1")).await.expect(200);
    api.post(SERVICES, &service("web")).await.expect(201);
    for method in ["HEAD", "OPTIONS"] {
        api.send(method, SERVICES, &[], "").await.expect(405);
    }
    api.get("/api/v1/namespaces//services/").await.expect(200);
}
