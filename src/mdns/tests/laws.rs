//! Laws over generated LANs.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::*;
use crate::mdns::record::{A, ANY, PTR};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hosts_that_want_one_name_have_different_ones_in_the_end(
        starts in prop::collection::vec(0_u64..3000, 2..5),
        kinds in prop::collection::vec(prop::sample::select(vec!["http", "ssh", "ipp"]), 0..3),
    ) {
        let mut lan = Lan::default();
        let mut starts = starts;
        starts.sort_unstable();
        for start in &starts {
            lan.run(millis(*start).saturating_sub(lan.now));
            lan.join(&[("web", service("shop", &kinds))]);
        }
        lan.run(Duration::from_secs(60));
        let mut names: Vec<String> = (0..starts.len()).flat_map(|host| lan.names(host)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count, "a name is had twice: {:?}", names);
        prop_assert!(names.contains(&"shop.local.".to_owned()), "{:?}", names);
        prop_assert!(lan.hosts.iter().all(|host| host.responder.next().is_none()), "somebody is never done");
    }

    #[test]
    fn whatever_is_asked_no_record_is_said_to_all_twice_within_a_second(
        questions in prop::collection::vec((0_u64..400, 0_usize..4, any::<bool>()), 1..60),
    ) {
        let mut lan = Lan::settled("shop", &["http", "ssh"]);
        let asked = [("shop.local", A), ("_http._tcp.local", PTR), ("shop._ssh._tcp.local", ANY), ("_services._dns-sd._udp.local", PTR)];
        for (pause, which, truncated) in questions {
            lan.run(millis(pause));
            let question = Incoming { truncated, ..asking(&asked[which..=which]) };
            lan.hear("192.0.2.77:5353".parse().unwrap(), &query(&question));
        }
        lan.run(millis(3000));
        let mut last: BTreeMap<(u16, String, Vec<u8>), Moment> = BTreeMap::new();
        for sent in &lan.sent {
            for record in sent.read().answers {
                let before = last.insert((record.kind, record.owner.to_utf8(), record.data.to_vec()), sent.at);
                prop_assert!(before.is_none_or(|before| sent.at >= before + millis(1000)), "{:?}", record);
            }
        }
        prop_assert!(lan.hosts[0].responder.next().is_none());
    }

    #[test]
    fn a_flood_from_one_address_is_answered_to_it_alone_within_a_budget(port in prop::sample::select(vec![5353_u16, 40_000])) {
        let mut lan = Lan::settled("shop", &["http"]);
        let mut question = asking(&[("shop.local", A)]);
        question.questions[0].unicast = true;
        for number in 0..1000 {
            question.id = number;
            lan.hear(SocketAddr::new(addr(77), port), &query(&question));
        }
        lan.run(millis(3000));
        prop_assert!(lan.sent.len() <= 51, "{}", lan.sent.len());
    }
}

#[test]
fn askers_who_are_waited_for_are_few_and_the_others_answered() {
    let mut lan = Lan::settled("shop", &["http"]);
    let question = Incoming { truncated: true, ..asking(&[("_http._tcp.local", PTR)]) };
    for number in 0..1000 {
        lan.hear(SocketAddr::new(addr(2 + number % 250), 5353), &query(&question));
    }
    assert!(lan.hosts[0].responder.presences().all(|presence| presence.deferred.len() <= 32));
    lan.run(millis(3000));
    assert!(!lan.sent.is_empty() && lan.sent.len() <= 4, "{}", lan.sent.len());
    assert!(lan.hosts[0].responder.next().is_none());
}
