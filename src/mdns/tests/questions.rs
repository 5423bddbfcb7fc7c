//! What is answered, to whom and when.

use super::*;
use crate::mdns::record::{A, AAAA, ANY, NSEC, PTR, SRV, TXT};

const NEIGHBOUR: &str = "192.0.2.77:5353";
const KIND: &str = "_http._tcp.local";
const INSTANCE: &str = "shop._http._tcp.local";

#[test]
fn a_name_is_probed_three_times_and_announced_twice() {
    let mut lan = Lan::default();
    lan.join(&[("web", service("shop", &["http"]))]);
    lan.run(millis(5000));
    let (probes, announced): (Vec<&Sent>, Vec<&Sent>) = lan.sent.iter().partition(|sent| !sent.read().response);
    assert_eq!((probes.len(), announced.len()), (3, 2));
    for pair in probes.windows(2) {
        assert_eq!(pair[1].at - pair[0].at, millis(250));
    }
    assert!(probes[0].at <= millis(250));
    let probe = probes[0].read();
    assert_eq!(
        probe.questions.iter().map(|one| one.name.to_utf8()).collect::<Vec<_>>(),
        ["shop._http._tcp.local.", "shop.local."]
    );
    assert!(probe.questions.iter().all(|one| one.kind == ANY && !one.unicast));
    assert!(probe.authorities.iter().all(|record| !record.unique), "a probe flushes no cache");
    assert_eq!(announced[0].at - probes[2].at, millis(250));
    assert_eq!(announced[1].at - announced[0].at, millis(1000));
    let said = announced[0].read();
    for record in &said.answers {
        assert_eq!(record.unique, record.kind != PTR, "{record:?}");
        assert_eq!(record.ttl, if matches!(record.kind, A | SRV) { 120 } else { 4500 });
    }
    let kinds: Vec<u16> = said.answers.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [SRV, TXT, PTR, PTR, A]);
    assert_eq!(lan.hosts[0].responder.next(), None, "nothing is pending");
}

#[test]
fn an_address_is_answered_at_once_and_a_missing_type_is_denied() {
    let mut lan = Lan::settled("shop", &["http"]);
    let answers = lan.ask(NEIGHBOUR, &asking(&[("Shop.LOCAL", A)]));
    assert_eq!((answers.len(), answers[0].at, answers[0].out.to), (1, Duration::ZERO, None));
    assert_eq!(answers[0].read().answers, [a_record("shop.local", 120, [192, 0, 2, 1])]);
    assert_eq!(shown(&answers[0].read().additionals), [(NSEC, "shop.local.".to_owned())]);
    let answers = lan.ask(NEIGHBOUR, &asking(&[("shop.local", AAAA)]));
    let denial = &answers[0].read().answers[0];
    assert_eq!((denial.kind, &denial.data[denial.data.len() - 3..]), (NSEC, &[0, 1, 0x40][..]));
    assert!(lan.ask(NEIGHBOUR, &asking(&[("other.local", A), ("_ipp._tcp.local", PTR)])).is_empty());
}

#[test]
fn kinds_are_browsed_after_a_delay_and_bring_what_is_asked_next() {
    let mut lan = Lan::settled("shop", &["http", "ssh"]);
    let answers = lan.ask(NEIGHBOUR, &asking(&[(KIND, PTR)]));
    assert_eq!(answers.len(), 1);
    assert!((millis(20)..=millis(120)).contains(&answers[0].at), "{:?}", answers[0].at);
    assert_eq!(answers[0].read().answers, [ptr_record(KIND, 4500, INSTANCE)]);
    let next: Vec<u16> = shown(&answers[0].read().additionals).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(next, [A, TXT, SRV, NSEC, NSEC]);
    let answers = lan.ask(NEIGHBOUR, &asking(&[("_services._dns-sd._udp.local", PTR)]));
    let said = answers[0].read();
    assert_eq!((said.answers.len(), said.additionals.len()), (2, 0));
    let answers = lan.ask(NEIGHBOUR, &asking(&[(INSTANCE, SRV), (INSTANCE, TXT)]));
    let said = answers[0].read();
    assert_eq!(said.answers.iter().map(|record| record.kind).collect::<Vec<_>>(), [SRV, TXT]);
    assert_eq!(said.answers[0].data[..6], [0, 0, 0, 0, 0x75, 0x80]);
    assert_eq!(*said.answers[1].data, [0]);
}

#[test]
fn what_the_asker_knows_for_half_its_life_is_not_said() {
    let mut lan = Lan::settled("shop", &["http"]);
    for (ttl, said) in [(4500, 0), (2250, 0), (2249, 1)] {
        let mut question = asking(&[(KIND, PTR)]);
        question.answers = vec![ptr_record(KIND, ttl, INSTANCE)];
        assert_eq!(lan.ask(NEIGHBOUR, &question).len(), said, "{ttl}");
    }
    // The rest of what it knows comes in another packet.
    let mut question = Incoming { truncated: true, ..asking(&[(KIND, PTR)]) };
    let answers = lan.ask(NEIGHBOUR, &question);
    assert!((millis(400)..=millis(500)).contains(&answers[0].at), "{:?}", answers[0].at);
    lan.sent.clear();
    lan.hear(NEIGHBOUR.parse().unwrap(), &query(&question));
    question = Incoming { answers: vec![ptr_record(KIND, 4500, INSTANCE)], ..Incoming::default() };
    lan.hear(NEIGHBOUR.parse().unwrap(), &query(&question));
    lan.run(millis(1500));
    assert!(lan.sent.is_empty());
}

#[test]
fn a_record_is_said_to_all_once_a_second_and_to_a_prober_sooner() {
    let mut lan = Lan::settled("shop", &["http"]);
    let begun = lan.now;
    let question = query(&asking(&[("shop.local", A)]));
    for _ in 0..40 {
        lan.hear(NEIGHBOUR.parse().unwrap(), &question);
        lan.run(millis(100));
    }
    let times: Vec<Moment> = lan.sent.iter().map(|sent| sent.at - begun).collect();
    assert_eq!(times, [0, 1000, 2000, 3000, 4000].map(millis).into_iter().take(times.len()).collect::<Vec<_>>());
    assert!(times.len() >= 4);
    lan.run(millis(1500));
    lan.sent.clear();
    let mut probe = asking(&[("shop.local", ANY)]);
    probe.authorities = vec![a_record("shop.local", 120, [192, 0, 2, 9])];
    for _ in 0..4 {
        lan.hear(NEIGHBOUR.parse().unwrap(), &query(&probe));
        lan.run(millis(120));
    }
    assert_eq!(lan.sent.len(), 2, "once in 250 ms");
}

#[test]
fn a_plain_resolver_is_answered_alone_with_its_question_and_for_seconds() {
    let mut lan = Lan::settled("shop", &["http"]);
    let question = Incoming { id: 77, ..asking(&[("shop.local", A)]) };
    let answers = lan.ask("192.0.2.77:40000", &question);
    assert_eq!((answers.len(), answers[0].out.to), (1, Some("192.0.2.77:40000".parse().unwrap())));
    let said = answers[0].read();
    assert_eq!((said.id, said.questions), (77, question.questions.clone()));
    assert_eq!(said.answers, [Record { unique: false, ..a_record("shop.local", 10, [192, 0, 2, 1]) }]);
    assert!(answers[0].out.bytes.len() <= 512);
    assert!(lan.ask("198.51.100.7:40000", &question).is_empty(), "no neighbour is not answered alone");
}

#[test]
fn a_question_for_an_answer_alone_gets_it_if_all_heard_it_lately() {
    let mut lan = Lan::settled("shop", &["http"]);
    let mut question = asking(&[("shop.local", A)]);
    question.questions[0].unicast = true;
    let answers = lan.ask(NEIGHBOUR, &question);
    assert_eq!(answers[0].out.to, Some(NEIGHBOUR.parse().unwrap()));
    assert!(answers[0].read().answers[0].unique);
    lan.run(Duration::from_secs(30));
    assert_eq!(lan.ask(NEIGHBOUR, &question)[0].out.to, None);
    assert_eq!(lan.ask("198.51.100.7:5353", &question)[0].out.to, None);
}

#[test]
fn an_answer_alone_waits_too_where_others_may_answer() {
    let mut lan = Lan::settled("shop", &["http"]);
    let mut question = asking(&[(KIND, PTR)]);
    question.questions[0].unicast = true;
    let answers = lan.ask(NEIGHBOUR, &question);
    assert_eq!((answers.len(), answers[0].out.to), (1, Some(NEIGHBOUR.parse().unwrap())));
    assert!((millis(20)..=millis(120)).contains(&answers[0].at), "{:?}", answers[0].at);
    // What is taken back meanwhile is not said any more.
    lan.hear(NEIGHBOUR.parse().unwrap(), &query(&question));
    lan.with(0, |responder, now| responder.set_wanted(now, &Wanted::new()));
    lan.run(millis(500));
    assert!(lan.sent.iter().all(|sent| sent.out.to.is_none()), "{:?}", lan.sent);
    assert_eq!(lan.hosts[0].responder.next(), None);
}

#[test]
fn what_is_not_wanted_any_more_is_taken_back_but_not_what_another_says_too() {
    let mut lan = Lan::default();
    lan.join(&[("web", service("shop", &["http"])), ("api", service("api", &["http"]))]);
    lan.run(millis(5000));
    lan.sent.clear();
    lan.with(0, |responder, now| responder.set_wanted(now, &wanted(&[("api", service("api", &["http"]))])));
    let said = lan.sent[0].read();
    assert!(said.answers.iter().all(|record| record.ttl == 0));
    let owners = shown(&said.answers);
    let expected = [
        (A, "shop.local."),
        (PTR, "_http._tcp.local."),
        (TXT, "shop._http._tcp.local."),
        (SRV, "shop._http._tcp.local."),
    ];
    assert_eq!(owners, expected.map(|(kind, owner)| (kind, owner.to_owned())));
    lan.sent.clear();
    lan.with(0, |responder, now| responder.set_wanted(now, &Wanted::new()));
    assert!(shown(&lan.sent[0].read().answers).contains(&(PTR, "_services._dns-sd._udp.local.".to_owned())));
    assert_eq!(lan.hosts[0].responder.next(), None);
    assert!(lan.ask(NEIGHBOUR, &asking(&[("shop.local", A), (KIND, PTR)])).is_empty());
}

#[test]
fn a_new_address_or_port_is_announced_without_asking_for_the_name_again() {
    let mut lan = Lan::settled("shop", &["http"]);
    lan.with(0, |responder, now| responder.set_links(now, vec![link(1, addr(9))]));
    lan.run(millis(3000));
    assert!(lan.sent.iter().all(|sent| sent.read().response), "{:?}", lan.sent);
    assert_eq!(lan.sent.len(), 2);
    assert_eq!(lan.sent[0].read().answers, [a_record("shop.local", 120, [192, 0, 2, 9])]);
    lan.sent.clear();
    lan.with(0, |responder, now| responder.set_wanted(now, &wanted(&[("web", service("shop", &["http", "ssh"]))])));
    lan.run(millis(3000));
    assert_eq!(lan.sent.iter().filter(|sent| !sent.read().response).count(), 3, "the new instance is asked for");
    assert_eq!(lan.names(0).len(), 3);
}

#[test]
fn links_have_their_own_addresses_and_one_that_comes_back_is_asked_again() {
    let mut lan = Lan::settled("shop", &[]);
    let both = || vec![link(1, addr(1)), link(2, "198.51.100.1".parse().unwrap())];
    lan.with(0, |responder, now| responder.set_links(now, both()));
    lan.run(millis(5000));
    let on = |lan: &Lan, index: u32| {
        let of = |sent: &&Sent| sent.out.link == index && sent.read().response;
        lan.sent
            .iter()
            .filter(of)
            .flat_map(|sent| sent.read().answers)
            .map(|record| record.data[0])
            .collect::<Vec<u8>>()
    };
    assert_eq!((on(&lan, 1), on(&lan, 2)), (vec![], vec![198, 198]));
    lan.sent.clear();
    lan.with(0, |responder, now| responder.set_links(now, vec![link(1, addr(1))]));
    lan.run(millis(5000));
    assert!(lan.sent.is_empty());
    lan.with(0, |responder, now| responder.set_links(now, both()));
    lan.run(millis(5000));
    assert_eq!(lan.sent.iter().filter(|sent| !sent.read().response).count(), 3);
}
