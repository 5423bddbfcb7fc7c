//! Cases 1 to 42, 49 and 50 of spec/dns.md: answers as functions of zone and
//! question.

use super::*;

const SVC: &str = "dns.svc.cluster.local.";
const NODATA: &str = "ok:  | soa";
const NXDOMAIN: &str = "nxdomain:  | soa";

/// Checks rows of (name under `dns.svc.cluster.local.`, type, expected).
fn check(rows: &[(&str, RecordType, &str)]) {
    for (name, qtype, expected) in rows {
        let name = format!("{name}.{SVC}");
        let expected = expected.replace('@', SVC);
        assert_eq!(ask(&name, *qtype), expected, "{name} {qtype}");
    }
}

#[test]
fn cases_1_to_3_a_cluster_ip_answers_in_the_case_of_the_question() {
    check(&[
        ("my-service", RecordType::A, "ok: my-service.@ 30 A 10.96.0.100"),
        ("my-service", RecordType::AAAA, NODATA),
    ]);
    let reply = send(&zone(), &question("MY-Service.dns.svc.Cluster.local.", RecordType::A), Transport::Udp);
    assert!(reply.authoritative && reply.recursion_desired && !reply.truncation);
    assert_eq!(reply.queries[0].name().to_ascii(), "MY-Service.dns.svc.Cluster.local.");
    assert_eq!(reply.answers[0].name.to_ascii(), "MY-Service.dns.svc.Cluster.local.");
}

#[test]
fn cases_4_to_8_srv_names_ports_of_a_service() {
    let target = "my-service.@ | my-service.@ 30 A 10.96.0.100";
    check(&[
        ("_http._tcp.my-service", RecordType::SRV, &format!("ok: _http._tcp.my-service.@ 30 SRV 0 100 80 {target}")),
        ("_dns._udp.my-service", RecordType::SRV, &format!("ok: _dns._udp.my-service.@ 30 SRV 0 100 53 {target}")),
        ("http.tcp.my-service", RecordType::SRV, &format!("ok: http.tcp.my-service.@ 30 SRV 0 100 80 {target}")),
        ("_http._udp.my-service", RecordType::SRV, NXDOMAIN),
        ("_foo._tcp.my-service", RecordType::SRV, NXDOMAIN),
        ("_foo._tcp.my-service", RecordType::A, NXDOMAIN),
        ("_http._tcp.my-service", RecordType::A, "ok: _http._tcp.my-service.@ 30 A 10.96.0.100"),
        (
            "my-service",
            RecordType::SRV,
            &format!("ok: my-service.@ 30 SRV 0 50 53 my-service.@; my-service.@ 30 SRV 0 50 80 {target}"),
        ),
    ]);
}

#[test]
fn cases_9_to_13_missing_names_and_names_without_data_differ() {
    for (name, expected) in [
        ("nope.dns.svc.cluster.local.", NXDOMAIN),
        ("nons.svc.cluster.local.", NXDOMAIN),
        ("a.nons.svc.cluster.local.", NXDOMAIN),
        ("dns.svc.cluster.local.", NODATA),
        ("dns.pod.cluster.local.", NODATA),
        ("nons.pod.cluster.local.", NXDOMAIN),
        ("svc.cluster.local.", NODATA),
        ("pod.cluster.local.", NODATA),
        ("cluster.local.", NODATA),
        ("foo.cluster.local.", NXDOMAIN),
    ] {
        assert_eq!(ask(name, RecordType::A), expected, "{name}");
    }
}

#[test]
fn cases_14_to_18_a_headless_service_is_its_ready_endpoints() {
    check(&[
        ("head", RecordType::A, "ok: head.@ 30 A 10.244.9.1; head.@ 30 A 10.244.9.2"),
        ("pet-1.head", RecordType::A, "ok: pet-1.head.@ 30 A 10.244.9.1"),
        ("PET-1.head", RecordType::A, "ok: PET-1.head.@ 30 A 10.244.9.1"),
        ("10-244-9-2.head", RecordType::A, "ok: 10-244-9-2.head.@ 30 A 10.244.9.2"),
        ("10-244-9-1.head", RecordType::A, NXDOMAIN),
        ("10-244-9-3.head", RecordType::A, NXDOMAIN),
        ("pet-1.head", RecordType::TXT, NODATA),
    ]);
}

#[test]
fn case_19_srv_of_a_headless_service_names_its_endpoints() {
    let head = |owner: &str| {
        format!(
            "ok: {owner}.@ 30 SRV 0 50 8080 10-244-9-2.head.@; {owner}.@ 30 SRV 0 50 8080 pet-1.head.@ \
             | 10-244-9-2.head.@ 30 A 10.244.9.2; pet-1.head.@ 30 A 10.244.9.1"
        )
    };
    check(&[
        ("_web._tcp.head", RecordType::SRV, &head("_web._tcp.head")),
        ("head", RecordType::SRV, &head("head")),
        ("_web._udp.head", RecordType::SRV, NXDOMAIN),
        ("_web._tcp.head", RecordType::A, "ok: _web._tcp.head.@ 30 A 10.244.9.1; _web._tcp.head.@ 30 A 10.244.9.2"),
        (
            "pet-1.head",
            RecordType::SRV,
            "ok: pet-1.head.@ 30 SRV 0 100 8080 pet-1.head.@ | pet-1.head.@ 30 A 10.244.9.1",
        ),
    ]);
}

#[test]
fn cases_20_to_22_a_headless_service_without_ready_endpoints_does_not_exist() {
    check(&[
        ("head", RecordType::AAAA, NODATA),
        ("headempty", RecordType::A, NXDOMAIN),
        ("headempty", RecordType::SRV, NXDOMAIN),
        (
            "headpub",
            RecordType::A,
            "ok: headpub.@ 30 A 10.244.9.1; headpub.@ 30 A 10.244.9.2; headpub.@ 30 A 10.244.9.3",
        ),
        ("portless", RecordType::A, "ok: portless.@ 30 A 10.244.8.1"),
        ("portless", RecordType::SRV, NODATA),
        ("2001-db8--0.six", RecordType::AAAA, "ok: 2001-db8--0.six.@ 30 AAAA 2001:db8::"),
        ("2001-db8--0.six", RecordType::A, NODATA),
        ("2001-0db8--5.six", RecordType::AAAA, NXDOMAIN),
    ]);
}

#[test]
fn cases_24_to_28_an_external_name_is_an_alias() {
    check(&[
        ("ext", RecordType::CNAME, "ok: ext.@ 30 CNAME www.example.com."),
        ("ext", RecordType::SRV, NODATA),
        ("ext", RecordType::TXT, NODATA),
        ("_http._tcp.ext", RecordType::A, NXDOMAIN),
        ("extip", RecordType::A, NXDOMAIN),
        ("extin", RecordType::A, "ok: extin.@ 30 CNAME my-service.@; my-service.@ 30 A 10.96.0.100"),
        ("extin", RecordType::AAAA, "ok: extin.@ 30 CNAME my-service.@ | soa"),
        ("extin", RecordType::CNAME, "ok: extin.@ 30 CNAME my-service.@"),
        ("extmissing", RecordType::A, NODATA),
        ("self", RecordType::A, NODATA),
        ("self", RecordType::AAAA, NODATA),
    ]);
}

#[test]
fn a_chain_of_external_names_is_followed_ten_times_and_no_more() {
    let mut zone = zone();
    for n in 0..11 {
        let records = external(&format!("c{}.{SVC}", n + 1));
        zone.apply(Change::Service { key: ObjectKey::new("dns", &format!("c{n}")), records: Some(records.into()) }, 1);
    }
    let end = cluster(&["10.96.0.99"], &[]);
    zone.apply(Change::Service { key: ObjectKey::new("dns", "c11"), records: Some(end.into()) }, 1);
    let length =
        |name: &str| send(&zone, &question(&format!("{name}.{SVC}"), RecordType::A), Transport::Tcp).answers.len();
    assert_eq!(length("c1"), 11);
    assert_eq!(length("c0"), 0);
}

#[test]
fn cases_29_to_31_addresses_have_the_names_of_their_services() {
    let ptr = |addr: &str| ask(&Name::from(addr.parse::<IpAddr>().unwrap()).to_string(), RecordType::PTR);
    assert_eq!(ptr("10.96.0.100"), format!("ok: 100.0.96.10.in-addr.arpa. 30 PTR my-service.{SVC}"));
    let owner = "1.9.244.10.in-addr.arpa. 30 PTR pet-1";
    assert_eq!(ptr("10.244.9.1"), format!("ok: {owner}.head.{SVC}; {owner}.headpub.{SVC}"));
    assert_eq!(ptr("10.244.9.3"), format!("ok: 3.9.244.10.in-addr.arpa. 30 PTR 10-244-9-3.headpub.{SVC}"));
    assert_eq!(ptr("10.96.7.7"), NXDOMAIN);
    assert_eq!(ask("100.0.96.10.in-addr.arpa.", RecordType::A), NODATA);
}

#[test]
fn the_reverse_zone_of_a_range_is_ours_from_its_apex_down() {
    let soa = |name: &str, qtype| {
        let reply = send(&zone(), &question(name, qtype), Transport::Udp);
        let owner = reply.authorities.first().map(|record| record.name.to_string());
        (show(&reply), owner.unwrap_or_default())
    };
    let apex = "96.10.in-addr.arpa.".to_owned();
    for name in ["100.0.96.10.in-addr.arpa.", "0.96.10.in-addr.arpa.", "96.10.in-addr.arpa."] {
        assert_eq!(soa(name, RecordType::A), (NODATA.to_owned(), apex.clone()), "{name}");
    }
    for name in ["7.7.96.10.in-addr.arpa.", "x.0.96.10.in-addr.arpa.", "1.100.0.96.10.in-addr.arpa."] {
        assert_eq!(soa(name, RecordType::PTR), (NXDOMAIN.to_owned(), apex.clone()), "{name}");
    }
    assert_eq!(soa(&apex, RecordType::SOA).0, "ok: soa");
    assert_eq!(soa(&apex, RecordType::NS).0, "ok: 96.10.in-addr.arpa. 30 NS ns.dns.cluster.local.");
    // An endpoint's address lies in no range of ours: only its own name is.
    let name = "1.9.244.10.in-addr.arpa.";
    assert_eq!(soa(name, RecordType::A), (NODATA.to_owned(), name.to_owned()));
    for name in ["9.244.10.in-addr.arpa.", "10.in-addr.arpa.", "in-addr.arpa."] {
        assert_eq!(soa(name, RecordType::SOA).0, "servfail: ", "{name} is asked upstream, and there is none");
    }
}

/// As CoreDNS answers: endpoints have names behind a virtual address too.
#[test]
fn an_endpoint_of_a_service_with_an_address_has_a_reverse_name() {
    let mut records = cluster(&["10.96.0.99"], &[port("web", Protocol::Tcp, 80)]);
    records.endpoints = vec![endpoint("10.244.9.7", None, &[port("web", Protocol::Tcp, 8080)])];
    let mut zone = Zone::default();
    zone.apply(Change::Service { key: ObjectKey::new("dns", "norm"), records: Some(records.into()) }, 1);
    zone.apply(Change::Synced, 1);
    let reply = send(&zone, &question("7.9.244.10.in-addr.arpa.", RecordType::PTR), Transport::Tcp);
    assert!(reply.answers[0].to_string().ends_with(&format!("PTR 10-244-9-7.norm.{SVC}")), "{:?}", reply.answers);
}

#[test]
fn cases_32_and_33_the_zone_tells_of_itself() {
    assert_eq!(ask("dns-version.cluster.local.", RecordType::TXT), "ok: dns-version.cluster.local. 28800 TXT 1.1.0");
    assert_eq!(ask("dns-version.cluster.local.", RecordType::A), NODATA);
    let reply = send(&zone(), &question("cluster.local.", RecordType::SOA), Transport::Udp);
    assert_eq!(
        reply.answers[0].to_string(),
        "cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 2000 7200 1800 86400 30"
    );
    let ns = "ok: cluster.local. 30 NS ns.dns.cluster.local. | ns.dns.cluster.local. 30 A 10.96.0.10";
    assert_eq!(ask("cluster.local.", RecordType::NS), ns);
    assert_eq!(ask("ns.dns.cluster.local.", RecordType::A), "ok: ns.dns.cluster.local. 30 A 10.96.0.10");
    check(&[("my-service", RecordType::SOA, NODATA), ("my-service", RecordType::NS, NODATA)]);
}

#[test]
fn cases_34_to_37_pod_names_echo_their_address() {
    for (name, qtype, expected) in [
        ("1-2-3-4.dns", RecordType::A, "ok: 1-2-3-4.dns.pod.cluster.local. 30 A 1.2.3.4"),
        ("1-2-3-4.dns", RecordType::AAAA, NODATA),
        ("1-2-3-4.nons", RecordType::A, NXDOMAIN),
        ("2001-db8--1.dns", RecordType::AAAA, "ok: 2001-db8--1.dns.pod.cluster.local. 30 AAAA 2001:db8::1"),
        ("x.dns", RecordType::A, NXDOMAIN),
        ("1-2-3-256.dns", RecordType::A, NXDOMAIN),
        ("a.1-2-3-4.dns", RecordType::A, NXDOMAIN),
    ] {
        assert_eq!(ask(&format!("{name}.pod.cluster.local."), qtype), expected, "{name} {qtype}");
    }
}

#[test]
fn pod_names_can_be_disabled_or_verified() {
    let mut zone = zone();
    let after = vec!["1.2.3.4".parse().unwrap()];
    zone.apply(Change::Pod { key: ObjectKey::new("dns", "pod-0"), before: vec![], after }, 1);
    let code = |mode, name: &str| {
        let packet = question(&format!("{name}.dns.pod.cluster.local."), RecordType::A).to_vec().unwrap();
        let outcome = responder(mode).respond(&zone, &packet, &client(Transport::Udp), &mut Rng::with_seed(1));
        let Outcome::Reply(bytes) = outcome else { panic!("no reply") };
        Message::from_vec(&bytes).unwrap().response_code
    };
    assert_eq!(code(PodMode::Disabled, "1-2-3-4"), ResponseCode::NXDomain);
    assert_eq!(code(PodMode::Verified, "1-2-3-4"), ResponseCode::NoError);
    assert_eq!(code(PodMode::Verified, "1-2-3-5"), ResponseCode::NXDomain);
}

#[test]
fn cases_38_to_42_no_wildcards_no_deeper_names_no_other_types() {
    check(&[
        ("*", RecordType::A, NXDOMAIN),
        ("any", RecordType::A, NXDOMAIN),
        ("any.my-service", RecordType::A, NXDOMAIN),
        ("a.b.c.my-service", RecordType::A, NXDOMAIN),
        ("my-service", RecordType::TXT, NODATA),
        ("my-service", RecordType::MX, NODATA),
        ("my-service", RecordType::ANY, NODATA),
        ("my-service", RecordType::CNAME, NODATA),
        ("unnamed", RecordType::A, "ok: unnamed.@ 30 A 10.96.0.101"),
        ("_._tcp.unnamed", RecordType::SRV, NXDOMAIN),
        ("unnamed", RecordType::SRV, "ok: unnamed.@ 30 SRV 0 100 80 unnamed.@ | unnamed.@ 30 A 10.96.0.101"),
    ]);
}

#[test]
fn case_49_a_deleted_service_is_gone_at_once() {
    let mut zone = zone();
    zone.apply(Change::Service { key: ObjectKey::new("dns", "my-service"), records: None }, 3_000);
    for name in ["my-service.dns.svc.cluster.local.", "100.0.96.10.in-addr.arpa."] {
        let reply = send(&zone, &question(name, RecordType::A), Transport::Udp);
        assert_eq!(show(&reply), NXDOMAIN, "{name}");
    }
}

#[test]
fn case_50_a_dual_stack_service_has_both_families() {
    check(&[
        ("dual", RecordType::A, "ok: dual.@ 30 A 10.96.0.110"),
        ("dual", RecordType::AAAA, "ok: dual.@ 30 AAAA fd00::110"),
    ]);
    for addr in ["10.96.0.110", "fd00::110"] {
        let name = Name::from(addr.parse::<IpAddr>().unwrap()).to_string();
        assert_eq!(ask(&name, RecordType::PTR), format!("ok: {name} 30 PTR dual.{SVC}"));
    }
}

#[test]
fn endpoint_names_work_for_services_with_a_cluster_ip_too() {
    let mut zone = zone();
    let mut records = cluster(&["10.96.0.120"], &[port("http", Protocol::Tcp, 80)]);
    records.endpoints = vec![endpoint("10.244.7.1", None, &[]), endpoint("10.244.7.2", Some("pet"), &[])];
    zone.apply(Change::Service { key: ObjectKey::new("dns", "both"), records: Some(records.into()) }, 1);
    let ask = |name: &str| show(&send(&zone, &question(&format!("{name}.both.{SVC}"), RecordType::A), Transport::Udp));
    assert_eq!(ask("10-244-7-1"), format!("ok: 10-244-7-1.both.{SVC} 30 A 10.244.7.1"));
    assert_eq!(ask("pet"), format!("ok: pet.both.{SVC} 30 A 10.244.7.2"));
    assert_eq!(ask("10-244-7-2"), NXDOMAIN);
}

#[test]
fn doubled_addresses_and_shared_host_names_are_answered_once() {
    let mut zone = zone();
    let (a, b) = ([port("a", Protocol::Tcp, 1)], [port("b", Protocol::Tcp, 2)]);
    let endpoints = vec![
        endpoint("10.0.0.1", Some("h"), &a),
        endpoint("10.0.0.1", Some("h"), &b),
        endpoint("10.0.0.2", Some("h"), &a),
    ];
    zone.apply(
        Change::Service { key: ObjectKey::new("dns", "twice"), records: Some(headless(&[], endpoints).into()) },
        1,
    );
    let ask = |name: &str, qtype| show(&send(&zone, &question(&format!("{name}.{SVC}"), qtype), Transport::Udp));
    assert_eq!(ask("twice", RecordType::A), format!("ok: twice.{SVC} 30 A 10.0.0.1; twice.{SVC} 30 A 10.0.0.2"));
    let h = format!("h.twice.{SVC}");
    let expected = format!(
        "ok: twice.{SVC} 30 SRV 0 50 1 {h}; twice.{SVC} 30 SRV 0 50 2 {h} | {h} 30 A 10.0.0.1; {h} 30 A 10.0.0.2"
    );
    assert_eq!(ask("twice", RecordType::SRV), expected);
    assert_eq!(ask("_a._tcp.twice", RecordType::SRV).matches("SRV").count(), 1);
}

#[test]
fn srv_weights_share_a_hundred_and_are_never_zero() {
    let mut zone = zone();
    for (count, expected) in [(1, 100), (2, 50), (3, 33), (100, 1), (101, 1)] {
        let ports = [port("p", Protocol::Tcp, 1)];
        let endpoints = (0..count).map(|n| endpoint(&format!("10.1.0.{n}"), None, &ports)).collect();
        zone.apply(
            Change::Service { key: ObjectKey::new("dns", "w"), records: Some(headless(&[], endpoints).into()) },
            1,
        );
        let reply = send(&zone, &question(&format!("w.{SVC}"), RecordType::SRV), Transport::Tcp);
        assert_eq!(reply.answers.len(), count);
        let text = reply.answers[0].to_string();
        assert!(text.contains(&format!("SRV 0 {expected} 1 ")), "{count}: {text}");
    }
}

#[test]
fn the_order_of_addresses_changes_from_answer_to_answer() {
    let zone = zone();
    let responder = responder(PodMode::Insecure);
    let packet = question(&format!("headpub.{SVC}"), RecordType::A).to_vec().unwrap();
    let mut rng = Rng::with_seed(3);
    let firsts: std::collections::BTreeSet<String> = (0..64)
        .map(|_| {
            let Outcome::Reply(bytes) = responder.respond(&zone, &packet, &client(Transport::Udp), &mut rng) else {
                panic!()
            };
            Message::from_vec(&bytes).unwrap().answers[0].data.to_string()
        })
        .collect();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn before_the_zone_is_complete_nobody_is_told_that_a_name_is_missing() {
    let mut zone = Zone::default();
    for name in ["nope.dns.svc.cluster.local.", "100.0.96.10.in-addr.arpa."] {
        let reply = send(&zone, &question(name, RecordType::A), Transport::Udp);
        assert_eq!(reply.response_code, ResponseCode::ServFail);
        assert!(!reply.authoritative);
    }
    zone.apply(Change::Synced, 1);
    assert_eq!(show(&send(&zone, &question("cluster.local.", RecordType::A), Transport::Udp)), NODATA);
}
