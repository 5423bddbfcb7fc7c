use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::chain::{Affinity, ChainName, How, Owner, Place, Remember, Side, Way};
use super::super::expr::{Expr, Verdict};
use super::super::hooked::Hooked;
use super::super::set::{SetName, shape};
use super::super::{Chain, Maps, anchor_chain, dynamic_chain, static_chains};
use super::read::options;
use crate::dataplane::Options;
use crate::model::{IpFamily, Protocol};

fn every_chain(family: IpFamily) -> Vec<Chain> {
    let mut chains = static_chains(family, &options());
    chains.extend(ChainName::samples(3).into_iter().map(|name| dynamic_chain(family, name, &options())));
    chains
}

#[test]
fn a_chain_goes_only_to_chains_made_before_it() {
    for family in IpFamily::BOTH {
        let mut known = BTreeSet::new();
        for chain in every_chain(family) {
            for expr in chain.rules.iter().flatten() {
                if let Expr::Verdict(Verdict::Goto(target) | Verdict::Jump(target)) = expr {
                    assert!(known.contains(target), "{} goes to {target}", chain.name);
                }
            }
            assert!(known.insert(chain.name.clone()), "{} twice", chain.name);
        }
    }
}

#[test]
fn names_of_chains_are_read_back_and_those_of_static_ones_are_not() {
    for number in [1, 2, 10_800] {
        for name in ChainName::samples(number) {
            assert_eq!(ChainName::parse(&name.to_string()), Some(name));
            assert!(name.next().into_iter().all(|next| next < name), "{name} is made before what it goes to");
        }
    }
    for family in IpFamily::BOTH {
        for chain in static_chains(family, &options()) {
            assert_eq!(ChainName::parse(&chain.name), None, "{}", chain.name);
        }
    }
    for text in [
        "",
        "n",
        "n-",
        "n-x",
        "x-1",
        "shape-1234",
        "n-99999999999",
        "n-02",
        "an-2",
        "r-2",
        "r-2-tcp",
        "s-2-tcp-80",
        "lw-1-2",
    ] {
        assert_eq!(ChainName::parse(text), None, "{text}");
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    let addr = prop_oneof![
        Just(None),
        any::<[u8; 4]>().prop_map(|octets| Some(octets.into())),
        any::<[u16; 8]>().prop_map(|words| Some(words.into())),
        Just(Some("::ffff:10.0.0.1".parse().unwrap())),
        Just(Some("::".parse().unwrap())),
    ];
    let protocol = proptest::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    (addr, protocol, any::<u16>()).prop_map(|(addr, protocol, port)| Place { addr, protocol, port })
}

fn any_way() -> impl Strategy<Value = Way> {
    let side = prop_oneof![
        any::<u32>().prop_map(Side::Others),
        any::<u32>().prop_map(Side::Inside),
        any::<[u32; 2]>().prop_map(|[others, inside]| Side::Both { others, inside }),
    ];
    let how = prop_oneof![
        Just(How::Random),
        Just(How::SourceHash),
        Just(How::DestinationHash),
        any_place().prop_map(How::Turn),
        any_place().prop_map(How::Live)
    ];
    (any::<[bool; 2]>(), side, proptest::option::of(any_affinity()), how)
        .prop_map(|([filter, node_port], side, affinity, how)| Way { filter, side, affinity, how, node_port })
}

fn any_affinity() -> impl Strategy<Value = Affinity> {
    prop_oneof![
        Just(Affinity::Own),
        (any_place(), any::<bool>()).prop_map(|(place, local)| Affinity::Shared(Owner { place, local })),
    ]
}

fn any_name() -> impl Strategy<Value = ChainName> {
    let remember = (any_affinity(), any::<u32>(), any::<bool>()).prop_map(|(affinity, seconds, both)| {
        // Both sides are told apart by policy Local alone.
        let both = both && matches!(affinity, Affinity::Shared(Owner { local: true, .. }));
        ChainName::Remember(Remember { both, affinity, seconds })
    });
    let hooked = proptest::sample::select(Hooked::ALL.to_vec()).prop_map(ChainName::Hooked);
    prop_oneof![8 => any_way().prop_map(ChainName::Way), 8 => remember, 1 => hooked]
}

proptest! {
    #[test]
    fn every_name_is_read_back_and_belongs_to_one_chain(one in any_name(), other in any_name()) {
        prop_assert_eq!(ChainName::parse(&one.to_string()), Some(one));
        prop_assert_eq!(one == other, one.to_string() == other.to_string());
        prop_assert!(one.to_string().len() < 128, "the kernel takes 255 bytes: {}", one);
        // A name of nft's, and no number of a chain is cut.
        prop_assert!(one.to_string().chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)));
        for next in one.next() {
            prop_assert!(next < one, "{} is made before {}", one, next);
        }
    }
}

#[test]
fn a_new_connection_is_decided_by_one_lookup_before_anything_else() {
    for family in IpFamily::BOTH {
        let chains = static_chains(family, &Options::default());
        let dispatch = chains.iter().find(|chain| chain.name == "dispatch").unwrap();
        let first = dispatch.rules[0].last().unwrap();
        assert_eq!(first, &Expr::VerdictMap { map: SetName::Services.as_str(), word: 0 });
    }
}

#[test]
fn dns_is_passed_over_by_conntrack_both_ways_and_only_where_there_is_dns() {
    for family in IpFamily::BOTH {
        let untracked = |options: &Options| {
            let chains = static_chains(family, options);
            let rules = chains.iter().flat_map(|chain| &chain.rules);
            rules.filter(|rule| rule.last() == Some(&Expr::Notrack)).count()
        };
        let dns = vec!["10.43.0.10".parse().unwrap(), "fd43::a".parse().unwrap()];
        // UDP and TCP, questions and answers.
        assert_eq!(untracked(&Options { cluster_dns: dns, ..Options::default() }), 4);
        assert_eq!(untracked(&Options::default()), 0);
    }
}

#[test]
fn sets_have_names_of_their_own_and_keys_the_kernel_takes() {
    let names: BTreeSet<_> = SetName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), SetName::ALL.len());
    for family in IpFamily::BOTH {
        for name in SetName::ALL {
            assert_eq!(SetName::parse(name.as_str()), Some(name));
            let shape = shape(name, family);
            let len: usize = shape.fields.iter().map(|field| field.len().next_multiple_of(4)).sum();
            assert!(len <= 64, "{} is longer than the registers", name.as_str());
            assert!(shape.fields.len() <= 5, "nft packs five types into one number");
            assert_eq!(shape.size.is_some(), name.is_dynamic(), "only what packets fill has a ceiling");
            assert!(!name.is_dynamic() || shape.maps == Maps::Endpoint || shape.counted);
        }
    }
}

#[test]
fn the_anchor_translates_nothing() {
    for family in IpFamily::BOTH {
        let chain = anchor_chain(family);
        let compares = chain.rules[0].iter().filter(|expr| matches!(expr, Expr::Compare { not: false, .. }));
        assert_eq!(compares.count(), 2, "source and destination no packet has");
        assert_eq!(chain.hook.unwrap().kind, "nat");
    }
}
