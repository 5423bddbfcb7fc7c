use super::super::chain::ChainName;
use super::super::{anchor_chain, dynamic_chain, read_rule, rule_body, static_chains};
use crate::dataplane::Options;
use crate::model::IpFamily;

pub(super) fn options() -> Options {
    Options {
        forward_mark: Some(0x2000),
        count_traffic: true,
        service_ranges: vec!["10.43.0.0/16".parse().unwrap(), "fd43::/112".parse().unwrap()],
        cluster_dns: vec!["10.43.0.10".parse().unwrap(), "fd43::a".parse().unwrap()],
        nodeport_addresses: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
        behind: vec!["10.43.0.0".parse().unwrap(), "fd43::".parse().unwrap()],
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd44::/64".parse().unwrap()],
        node_ports: None,
        address_sets: false,
        hashless: false,
    }
}

#[test]
fn every_rule_we_write_is_read_back_as_it_was() {
    for family in IpFamily::BOTH {
        let mut chains = static_chains(family, &options());
        chains.extend(static_chains(family, &Options { address_sets: true, ..options() }));
        chains.extend(static_chains(family, &Options { nodeport_addresses: Vec::new(), ..options() }));
        chains.push(anchor_chain(family));
        chains.extend(ChainName::samples(3).into_iter().map(|name| dynamic_chain(family, name, &options())));
        for chain in chains {
            for rule in &chain.rules {
                assert_eq!(read_rule(rule_body(rule).as_bytes()).as_ref(), Some(rule), "{}", chain.name);
            }
        }
    }
}

#[test]
fn what_is_torn_or_unknown_is_not_a_rule() {
    let rule = &dynamic_chain(IpFamily::V4, ChainName::parse("n-2").unwrap(), &options()).rules[0];
    let body = rule_body(rule);
    let foreign = String::from_utf8_lossy(body.as_bytes()).replace("numgen", "nomgen");
    assert_eq!(read_rule(foreign.as_bytes()), None);
    assert_eq!(read_rule(&[]), Some(Vec::new()));
}
