//! Names that another has, wants, or takes.

use super::*;
use crate::mdns::record::A;
use crate::mdns::responder::SERVICES_MAX;

const NEIGHBOUR: &str = "192.0.2.77:5353";

#[test]
fn who_comes_late_takes_another_name_and_says_so() {
    let mut lan = Lan::settled("shop", &["http"]);
    lan.join(&[("web", service("shop", &["http"]))]);
    lan.run(millis(10_000));
    assert_eq!(lan.names(0), ["shop._http._tcp.local.", "shop.local."]);
    assert_eq!(lan.names(1), ["shop-2._http._tcp.local.", "shop-2.local."]);
    assert_eq!(lan.hosts[0].notices, []);
    let note = "is shop-2.local on the LAN: another has the name shop.local".to_owned();
    assert_eq!(lan.hosts[1].notices, [Notice { service: key("web"), reason: "NameConflict", note }]);
    assert_eq!(lan.hosts[1].responder.next(), None);
}

#[test]
fn of_two_that_ask_at_the_same_time_the_later_records_have_the_name() {
    let mut lan = Lan::default();
    for _ in 0..2 {
        lan.join(&[("web", service("shop", &[]))]);
    }
    lan.run(millis(10_000));
    // 192.0.2.2 is later than 192.0.2.1.
    assert_eq!((lan.names(0), lan.names(1)), (vec!["shop-2.local.".to_owned()], vec!["shop.local.".to_owned()]));
}

#[test]
fn two_services_of_one_box_do_not_share_a_name() {
    let mut lan = Lan::default();
    lan.join(&[("a", service("shop", &["http"])), ("b", service("shop", &["http"]))]);
    lan.run(millis(5000));
    assert_eq!(lan.names(0).len(), 4);
    assert_eq!(lan.hosts[0].notices.len(), 1);
    assert_eq!(lan.hosts[0].notices[0].service, key("b"));
}

#[test]
fn the_same_said_by_another_is_no_conflict() {
    let mut lan = Lan::settled("shop", &[]);
    lan.hear(NEIGHBOUR.parse().unwrap(), &response(vec![a_record("shop.local", 120, [192, 0, 2, 1])]));
    lan.run(millis(5000));
    assert!(lan.sent.is_empty());
    // What another takes back is said again.
    lan.hear(NEIGHBOUR.parse().unwrap(), &response(vec![a_record("shop.local", 0, [192, 0, 2, 1])]));
    lan.run(millis(5000));
    assert_eq!(lan.sent[0].read().answers, [a_record("shop.local", 120, [192, 0, 2, 1])]);
    assert_eq!(lan.names(0), ["shop.local."]);
}

#[test]
fn who_is_contradicted_asks_again_and_keeps_the_name_if_nobody_answers() {
    let mut lan = Lan::settled("shop", &[]);
    let other = response(vec![a_record("shop.local", 120, [192, 0, 2, 66])]);
    lan.hear(NEIGHBOUR.parse().unwrap(), &other);
    lan.run(millis(5000));
    assert_eq!(lan.sent.iter().filter(|sent| !sent.read().response).count(), 3);
    assert_eq!(lan.names(0), ["shop.local."]);
    lan.run(Duration::from_secs(60));
    lan.hear(NEIGHBOUR.parse().unwrap(), &other);
    lan.run(millis(100));
    lan.hear(NEIGHBOUR.parse().unwrap(), &other);
    lan.run(millis(5000));
    assert_eq!(lan.names(0), ["shop-2.local."]);
    assert!(lan.ask(NEIGHBOUR, &asking(&[("shop.local", A)])).is_empty());
}

#[test]
fn who_is_contradicted_by_one_that_answers_no_probes_gives_way_the_second_time() {
    let mut lan = Lan::settled("shop", &["http"]);
    let other = response(vec![a_record("shop.local", 120, [192, 0, 2, 66])]);
    for name in ["shop.local.", "shop-2.local."] {
        lan.hear(NEIGHBOUR.parse().unwrap(), &other);
        lan.run(millis(5000));
        assert!(lan.names(0).contains(&name.to_owned()), "{:?}", lan.names(0));
    }
}

#[test]
fn a_name_that_one_service_gives_up_is_free_for_another_at_the_same_time() {
    let mut lan = Lan::default();
    lan.join(&[("b", service("shop", &[]))]);
    lan.run(millis(5000));
    let after = wanted(&[("a", service("shop", &[])), ("b", service("store", &[]))]);
    lan.with(0, |responder, now| responder.set_wanted(now, &after));
    lan.run(millis(5000));
    assert_eq!(lan.names(0), ["shop.local.", "store.local."]);
    assert_eq!(lan.hosts[0].notices, []);
}

#[test]
fn answers_from_another_port_contradict_nobody() {
    let mut lan = Lan::settled("shop", &[]);
    let other = response(vec![a_record("shop.local", 120, [192, 0, 2, 66])]);
    lan.hear("192.0.2.77:40000".parse().unwrap(), &other);
    lan.run(millis(5000));
    assert!(lan.sent.is_empty());
}

#[test]
fn two_links_of_one_network_do_not_contradict_each_other() {
    let mut lan = Lan::default();
    lan.join(&[("web", service("shop", &["http"]))]);
    lan.with(0, |responder, now| responder.set_links(now, vec![link(1, addr(1)), link(2, addr(2))]));
    // All that is said on link 2 is heard on link 1.
    lan.run(millis(10_000));
    assert_eq!(lan.hosts[0].notices, []);
    assert_eq!(lan.names(0).len(), 4);
    assert_eq!(lan.sent.iter().filter(|sent| !sent.read().response).count(), 6);
}

#[test]
fn a_peer_that_has_every_name_makes_us_slow_and_is_told_of() {
    let mut lan = Lan::default();
    lan.join(&[("web", service("shop", &[]))]);
    let mut probes = 0;
    for _ in 0..600 {
        lan.run(millis(100));
        for sent in std::mem::take(&mut lan.sent) {
            let asked = sent.read().questions.into_iter().map(|question| question.name.to_utf8());
            for asked in asked {
                probes += 1;
                let record = a_record(asked.trim_end_matches('.'), 120, [192, 0, 2, 66]);
                lan.hear(NEIGHBOUR.parse().unwrap(), &response(vec![record]));
            }
        }
    }
    assert!((16..=45).contains(&probes), "{probes}");
    assert!(lan.hosts[0].notices.iter().any(|notice| notice.note.starts_with("finds no free name")));
    assert_eq!(lan.names(0), [] as [&str; 0]);
}

#[test]
fn more_services_than_the_limit_are_told_and_have_no_name() {
    let mut lan = Lan::default();
    let names: Vec<String> = (0..SERVICES_MAX + 2).map(|number| format!("s{number:03}")).collect();
    let services: Vec<(&str, Arc<Advertised>)> = names.iter().map(|name| (name.as_str(), service(name, &[]))).collect();
    lan.join(&services);
    lan.run(millis(5000));
    assert_eq!(lan.names(0).len(), SERVICES_MAX);
    assert_eq!(lan.hosts[0].notices.iter().filter(|notice| notice.reason == "TooManyNames").count(), 2);
    // Somebody goes: another has the place.
    lan.with(0, |responder, now| responder.set_wanted(now, &wanted(&services[1..])));
    lan.run(millis(5000));
    assert_eq!(lan.names(0).len(), SERVICES_MAX);
}
