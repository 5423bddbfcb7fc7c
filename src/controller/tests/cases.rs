use super::*;

fn one(pod: Draft) -> World {
    World::new([service(json!({})), pod])
}

#[test]
fn case_01_no_pods() {
    let world = World::new([service(json!({}))]);
    assert!(world.endpoints().get("subsets").is_none());
    let [slice] = &world.slices()[..] else { panic!("one slice") };
    assert!(slice["endpoints"].is_null() && slice["ports"].is_null());
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "uid-my-service");
    assert_eq!(
        slice["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"],
        "2026-01-01T00:00:00Z"
    );
}

#[test]
fn case_02_a_ready_pod() {
    let world = one(pod("a", "10.244.1.1", true, json!({})));
    let subset = &world.endpoints()["subsets"][0];
    assert_eq!(subset["addresses"][0]["ip"], "10.244.1.1");
    assert_eq!(subset["ports"], json!([{"port": 9376, "protocol": "TCP"}]));
    assert_eq!(world.conditions(), [true, true, false]);
    let endpoint = world.endpoint();
    assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("node1"), &json!("za")));
    assert_eq!(endpoint["targetRef"]["uid"], "uid-a");
    assert_eq!(world.slices().len(), 1, "the placeholder is reused");
}

#[test]
fn case_03_not_ready() {
    let world = one(pod("a", "10.244.1.1", false, json!({})));
    let subset = &world.endpoints()["subsets"][0];
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.244.1.1");
    assert!(subset.get("addresses").is_none());
    assert_eq!(world.conditions(), [false; 3]);
}

#[test]
fn case_04_and_05_terminating() {
    for ready in [true, false] {
        let world = one(pod("a", "10.244.1.1", ready, deleting()));
        assert!(world.endpoints().get("subsets").is_none());
        assert_eq!(world.conditions(), [false, ready, true]);
    }
}

#[test]
fn case_06_to_08_pods_that_do_not_count() {
    let elsewhere = json!({"metadata": {"namespace": "other"}});
    let no_ip = json!({"status": {"podIP": null, "podIPs": null}});
    for content in [json!({"status": {"phase": "Succeeded"}}), no_ip, elsewhere] {
        let world = one(pod("a", "10.244.1.1", true, content));
        assert!(world.endpoints().get("subsets").is_none());
        assert!(world.slice_addrs().is_empty());
    }
}

#[test]
fn case_09_publish_not_ready() {
    let publish = service(json!({"spec": {"publishNotReadyAddresses": true}}));
    let world = World::new([publish, pod("a", "10.244.1.1", false, json!({}))]);
    assert_eq!(world.endpoints()["subsets"][0]["addresses"][0]["ip"], "10.244.1.1");
    assert_eq!(world.conditions(), [true, false, false]);
}

fn web(number: u16, protocol: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": number, "protocol": protocol}]}]}})
}

fn named() -> Draft {
    service(json!({"spec": {"ports": [{"protocol": "TCP", "port": 80, "targetPort": "web"}]}}))
}

#[test]
fn case_10_named_ports_per_pod() {
    let pods = [pod("a", "10.244.1.1", true, web(8080, "TCP")), pod("b", "10.244.1.2", true, web(9090, "TCP"))];
    let world = World::new([named()].into_iter().chain(pods));
    let mut ports: Vec<_> = world.slices().iter().map(|s| s["ports"][0]["port"].as_u64()).collect();
    ports.sort();
    assert_eq!(ports, [Some(8080), Some(9090)]);
    assert_eq!(world.endpoints()["subsets"].as_array().unwrap().len(), 2);
}

#[test]
fn case_11_and_12_a_named_port_the_pod_lacks() {
    for content in [json!({}), web(8080, "UDP")] {
        let world = World::new([named(), pod("a", "10.244.1.1", true, content)]);
        assert!(world.endpoints().get("subsets").is_none());
        assert_eq!(world.slices()[0]["ports"], Value::Null);
        assert_eq!(world.slice_addrs(), ["10.244.1.1"]);
    }
}

#[test]
fn case_13_and_14_hostname() {
    for (subdomain, hostname) in [("my-service", json!("h6")), ("other", Value::Null)] {
        let world = one(pod("a", "10.244.1.1", true, json!({"spec": {"hostname": "h6", "subdomain": subdomain}})));
        assert_eq!(world.endpoint()["hostname"], hostname);
        assert_eq!(world.endpoints()["subsets"][0]["addresses"][0]["hostname"], hostname);
    }
}

#[test]
fn case_15_headless_without_ports() {
    let headless = service(json!({"spec": {"clusterIPs": ["None"], "ports": null}}));
    let world = World::new([headless].into_iter().chain(ready_pods(2)));
    let endpoints = world.endpoints();
    assert_eq!(endpoints["subsets"][0]["addresses"].as_array().unwrap().len(), 2);
    assert!(endpoints["subsets"][0].get("ports").is_none());
    assert_eq!(endpoints["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    assert!(world.slices()[0]["ports"].is_null());
}

#[test]
fn case_16_and_17_full_slices() {
    for (pods, sizes) in [(101, vec![100, 1]), (250, vec![100, 100, 50])] {
        let world = World::new([service(json!({}))].into_iter().chain(ready_pods(pods)));
        let found: Vec<_> = world.slices().iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect();
        assert_eq!(found, sizes);
        let addrs = world.slice_addrs();
        assert_eq!(addrs.iter().collect::<BTreeSet<_>>().len(), pods);
    }
}

#[test]
fn case_18_over_capacity() {
    let world = World::new([service(json!({}))].into_iter().chain(ready_pods(1001)));
    let endpoints = world.endpoints();
    assert_eq!(endpoints["subsets"][0]["addresses"].as_array().unwrap().len(), 1000);
    assert_eq!(endpoints["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"], "truncated");
    assert_eq!(world.slice_addrs().len(), 1001);
}

#[test]
fn case_19_scaling_stays_in_one_slice() {
    let mut world = World::new([service(json!({}))].into_iter().chain(ready_pods(100)));
    (0..10).for_each(|i| world.delete(Kind::Pod, &format!("p{i}")));
    (0..5).for_each(|i| world.put(pod(&format!("n{i}"), &format!("10.245.0.{i}"), true, json!({}))));
    assert_eq!(world.slices().len(), 1);
    assert_eq!(world.slice_addrs().len(), 95);
}

#[test]
fn case_20_labels_follow_the_service() {
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    world.edit(Kind::Service, "my-service", json!({"metadata": {"labels": {"team": "x"}}}));
    assert_eq!(world.endpoints()["metadata"]["labels"]["team"], "x");
    assert_eq!(world.slices()[0]["metadata"]["labels"]["team"], "x");
    assert_eq!(world.slices()[0]["metadata"]["generation"], 2);
}

#[test]
fn case_21_to_23_deletes_and_edits() {
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    let name = world.slices()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(Kind::EndpointSlice, &name);
    assert_eq!(world.slice_addrs(), ["10.244.1.1"]);
    world.delete(Kind::Endpoints, "my-service");
    assert_eq!(world.endpoints()["subsets"][0]["addresses"][0]["ip"], "10.244.1.1");
    let name = world.slices()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.edit(Kind::EndpointSlice, &name, json!({"endpoints": null}));
    assert_eq!(world.slice_addrs(), ["10.244.1.1"]);
}

#[test]
fn a_hand_edit_of_endpoints_stays_until_a_pod_changes() {
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    world.edit(Kind::Endpoints, "my-service", json!({"subsets": null}));
    assert!(world.endpoints().get("subsets").is_none());
    world.put(pod("a", "10.244.1.9", true, json!({})));
    assert_eq!(world.endpoints()["subsets"][0]["addresses"][0]["ip"], "10.244.1.9");
}

#[test]
fn case_24_service_deleted() {
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    world.delete(Kind::Service, "my-service");
    assert!(world.get(Kind::Endpoints, "my-service").is_none());
    assert!(world.slices().is_empty());
}

#[test]
fn case_25_and_26_external_name() {
    let external = json!({"spec": {"type": "ExternalName"}});
    let world = World::new([service(external.clone()), pod("a", "10.244.1.1", true, json!({}))]);
    assert!(world.get(Kind::Endpoints, "my-service").is_none() && world.slices().is_empty());
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    world.edit(Kind::Service, "my-service", external);
    assert!(world.written.is_empty());
}

fn by_hand(content: Value) -> World {
    let mut value =
        json!({"subsets": [{"addresses": [{"ip": "192.0.2.42"}], "ports": [{"port": 9376, "protocol": "TCP"}]}]});
    json_patch::merge(&mut value, &content);
    World::new([service(json!({"spec": {"selector": null}})), draft(Kind::Endpoints, "my-service", value)])
}

#[test]
fn case_27_to_29_mirroring() {
    let mut world = by_hand(json!({}));
    let slice = world.slices()[0].clone();
    assert_eq!(
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslicemirroring-controller.k8s.io"
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Endpoints");
    assert_eq!(world.endpoint(), json!({"addresses": ["192.0.2.42"], "conditions": {"ready": true}}));
    world.edit(
        Kind::Endpoints,
        "my-service",
        json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}),
    );
    assert!(world.slices().is_empty());
    let both = json!({"subsets": [{"addresses": [{"ip": "192.0.2.42"}, {"ip": "fd00::1"}]}]});
    let mut families: Vec<_> = by_hand(both).slices().iter().map(|s| s["addressType"].to_string()).collect();
    families.sort();
    assert_eq!(families, ["\"IPv4\"", "\"IPv6\""]);
}

#[test]
fn case_30_a_selector_takes_over() {
    let mut world = by_hand(json!({}));
    world.edit(Kind::Service, "my-service", json!({"spec": {"selector": {"app": "MyApp"}}}));
    let [slice] = &world.slices()[..] else { panic!("one slice") };
    assert_eq!(
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslice-controller.k8s.io"
    );
}

#[test]
fn case_42_prefer_same_node() {
    let near = service(json!({"spec": {"trafficDistribution": "PreferSameNode"}}));
    let world = World::new([near.clone(), pod("a", "10.244.1.1", true, json!({}))]);
    assert_eq!(world.endpoint()["hints"], json!({"forZones": [{"name": "za"}], "forNodes": [{"name": "node1"}]}));
    let world = World::new([near, pod("a", "10.244.1.1", false, json!({}))]);
    assert!(world.endpoint().get("hints").is_none());
}

#[test]
fn case_43_dual_stack() {
    let both = service(json!({"spec": {"ipFamilies": ["IPv4", "IPv6"]}}));
    let addrs = json!({"status": {"podIPs": [{"ip": "10.244.1.1"}, {"ip": "fd00::1"}]}});
    let world = World::new([both, pod("a", "10.244.1.1", true, addrs)]);
    assert_eq!(world.slice_addrs(), ["10.244.1.1", "fd00::1"]);
    assert_eq!(world.slices().len(), 2);
    assert_eq!(world.endpoints()["subsets"][0]["addresses"].as_array().unwrap().len(), 1);
}

#[test]
fn case_44_label_off_selector() {
    let mut world = one(pod("a", "10.244.1.1", true, json!({})));
    world.edit(Kind::Pod, "a", json!({"metadata": {"labels": {"app": "other"}}}));
    assert!(world.slice_addrs().is_empty() && world.endpoints().get("subsets").is_none());
}

#[test]
fn shuffled_pods_give_the_same_endpoints() {
    let mut pods: Vec<Draft> = ready_pods(150).collect();
    let straight = World::new([service(json!({}))].into_iter().chain(pods.clone()));
    fastrand::Rng::with_seed(7).shuffle(&mut pods);
    let shuffled = World::new(pods.into_iter().chain([service(json!({}))]));
    assert_eq!(straight.endpoints()["subsets"], shuffled.endpoints()["subsets"]);
    let content = |world: &World| world.slices().iter().map(|s| s["endpoints"].clone()).collect::<Vec<_>>();
    assert_eq!(content(&straight), content(&shuffled));
}

#[test]
fn one_pod_among_two_thousand_services_costs_one_service() {
    let services = (0..2000).map(|i| {
        let app =
            json!({"metadata": {"namespace": format!("n{}", i % 20)}, "spec": {"selector": {"app": format!("a{i}")}}});
        let Draft { .. } = service(json!({}));
        let mut value = json!({"spec": {"ipFamilies": ["IPv4"], "ports": [{"port": 80, "targetPort": 8080}]}});
        json_patch::merge(&mut value, &app);
        draft(Kind::Service, &format!("s{i}"), value)
    });
    let mut world = World::new(services);
    let labels = json!({"metadata": {"namespace": "n7", "labels": {"app": "a7"}}});
    world.put(pod("a", "10.244.1.1", true, labels));
    let touched: Vec<_> =
        world.written.iter().map(|op| if let Op::Put { draft, .. } = op { draft.kind } else { Kind::Pod }).collect();
    assert_eq!(
        touched.iter().filter(|kind| **kind != Kind::Pod).collect::<Vec<_>>(),
        [&Kind::Endpoints, &Kind::EndpointSlice]
    );
}
