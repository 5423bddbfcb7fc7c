use super::super::element::{Data, Slot, frontend_at, of_frontend};
use super::super::expr::Verdict;
use super::super::set::SetName;
use super::super::{ChainName, affinity_places};
use crate::desired::{self, AffinityOwner, Balance, Frontend, FrontendAddr};
use crate::model::{IpFamily, Protocol};

fn frontend(addr: FrontendAddr, verdict: desired::Verdict) -> Frontend {
    Frontend {
        addr,
        protocol: Protocol::Udp,
        port: 0x1234,
        verdict,
        source_ranges: Vec::new(),
        inside: None,
        kept: Vec::new(),
    }
}

fn balance(endpoints: &[&str], affinity_seconds: Option<u32>) -> desired::Verdict {
    let endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    desired::Verdict::Balance(Balance { endpoints, affinity_seconds, ..Balance::default() })
}

fn vip(text: &str) -> FrontendAddr {
    FrontendAddr::Virtual(text.parse().unwrap())
}

fn goto(chain: &str) -> Data {
    Data::Verdict(Verdict::Goto(chain.to_owned()))
}

fn named(chains: &[&str]) -> Vec<ChainName> {
    chains.iter().map(|name| ChainName::parse(name).unwrap()).collect()
}

#[test]
fn every_field_of_a_key_begins_at_a_whole_word() {
    let (elements, chains) = of_frontend(&frontend(vip("10.43.0.1"), balance(&["10.0.0.1:258", "10.0.0.2:258"], None)));
    let key = [10, 43, 0, 1, 17, 0, 0, 0, 0x12, 0x34, 0, 0];
    let slot = |number: u32| [&key[..], &number.to_ne_bytes()].concat();
    let endpoint = |last: u8| Data::Bytes(vec![10, 0, 0, last, 1, 2, 0, 0]);
    assert_eq!(
        elements,
        [
            (Slot::new(IpFamily::V4, SetName::Endpoints, slot(0)), endpoint(1)),
            (Slot::new(IpFamily::V4, SetName::Endpoints, slot(1)), endpoint(2)),
            (Slot::new(IpFamily::V4, SetName::Services, key.to_vec()), goto("n-2")),
        ]
    );
    assert_eq!(chains, named(&["n-2"]));
}

#[test]
fn a_node_port_has_no_address_and_affinity_a_chain_for_its_time() {
    let node_port = frontend(FrontendAddr::NodePort(IpFamily::V6), balance(&["[fd00::1]:80"], Some(60)));
    let (elements, chains) = of_frontend(&node_port);
    let key = vec![17, 0, 0, 0, 0x12, 0x34, 0, 0];
    assert_eq!(elements[0].0.set, SetName::NodePortEndpoints);
    assert_eq!(elements[1], (Slot::new(IpFamily::V6, SetName::AffinityNodePorts, key.clone()), goto("tb-60-udp-4660")));
    assert_eq!(elements[2], (Slot::new(IpFamily::V6, SetName::NodePorts, key.clone()), goto("pb-1-udp-4660")));
    assert_eq!(chains, named(&["pb-1-udp-4660", "p-1", "tb-60-udp-4660", "remember-forwarded", "remember-local"]));
}

#[test]
fn frontends_of_one_port_remember_together_and_policy_local_apart() {
    let owner = AffinityOwner { addr: "10.43.0.7".parse().unwrap(), protocol: Protocol::Udp, port: 53, local: false };
    let owned = |endpoint: &str, local| {
        let desired::Verdict::Balance(found) = balance(&[endpoint], Some(60)) else { return Balance::default() };
        Balance { affinity_owner: Some(AffinityOwner { local, ..owner }), ..found }
    };
    let cluster_ip = frontend(vip("10.43.0.7"), desired::Verdict::Balance(owned("10.0.0.1:80", false)));
    let mut local = frontend(vip("198.51.100.7"), desired::Verdict::Balance(owned("10.0.0.2:80", true)));
    local.inside = Some(owned("10.0.0.1:80", false));
    let key = |side: u32| {
        [0x0a2b_0007, 17 << 24 | side << 16 | 53].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
    };
    let place = |side, endpoint: &str| (SetName::SharedAffinity, key(side), vec![endpoint.parse().unwrap()]);
    assert_eq!(affinity_places(&cluster_ip), [place(0, "10.0.0.1:80")]);
    assert_eq!(affinity_places(&local), [place(1, "10.0.0.2:80"), place(0, "10.0.0.1:80")]);
    let chains = [
        "lc-1-1-10.43.0.7-udp-53",
        "wb-1-10.43.0.7-udp-53",
        "w-1",
        "c-1-10.43.0.7-udp-53",
        "n-1",
        "tl-60-10.43.0.7-udp-53",
        "tb-60-10.43.0.7-udp-53",
        "tc-60-10.43.0.7-udp-53",
        "remember-forwarded",
        "remember-local",
    ];
    assert_eq!(of_frontend(&local).1, named(&chains));
    local.verdict = desired::Verdict::Drop;
    assert_eq!(affinity_places(&local)[1], place(0, "10.0.0.1:80"));
    assert_eq!(of_frontend(&local).1[0], named(&["lc-0-1-10.43.0.7-udp-53"])[0]);
}

#[test]
fn source_ranges_are_merged_and_told_from_first_to_last_address() {
    let mut filtered = frontend(vip("198.51.100.5"), balance(&["10.0.0.1:80"], Some(5)));
    filtered.source_ranges =
        ["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7/32"].map(|range| range.parse().unwrap()).to_vec();
    let (elements, chains) = of_frontend(&filtered);
    let sources: Vec<_> = elements.iter().filter(|(slot, _)| slot.set == SetName::Sources).collect();
    assert_eq!(sources.len(), 1, "overlapping elements of an interval set are refused");
    assert_eq!(sources[0].0.key.start[12..], [10, 0, 0, 0]);
    assert_eq!(sources[0].0.key.end.as_ref().unwrap()[12..], [10, 0, 0, 255]);
    assert_eq!(chains, named(&["fa-1", "a-1", "n-1", "t-5", "remember-forwarded", "remember-local"]));
}

#[test]
fn a_refusal_needs_no_chain_of_its_own() {
    for (verdict, data) in
        [(desired::Verdict::Refuse, goto("refuse")), (desired::Verdict::Drop, Data::Verdict(Verdict::Drop))]
    {
        let (elements, chains) = of_frontend(&frontend(vip("fd43::1"), verdict));
        assert_eq!(elements.len(), 1);
        assert_eq!((elements[0].0.family, &elements[0].1), (IpFamily::V6, &data));
        assert!(chains.is_empty());
    }
}

#[test]
fn an_element_tells_its_frontend() {
    for addr in [vip("10.43.0.1"), vip("fd43::1"), FrontendAddr::NodePort(IpFamily::V4)] {
        let (elements, _) = of_frontend(&frontend(addr, desired::Verdict::Refuse));
        assert_eq!(frontend_at(&elements[0].0), Some((addr, Protocol::Udp, 0x1234)));
    }
    assert_eq!(frontend_at(&Slot::new(IpFamily::V4, SetName::Services, vec![1, 2, 3])), None);
    assert_eq!(frontend_at(&Slot::new(IpFamily::V4, SetName::NodePorts, vec![99, 0, 0, 0, 0, 80, 0, 0])), None);
}
