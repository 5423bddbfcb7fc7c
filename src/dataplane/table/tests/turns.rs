//! Slots that open connections fill.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::turns::{TURNS_AHEAD, turns};
use super::super::{Book, Data, Edit, SetName, endpoint_data, live_chains, live_slot};
use crate::desired::{Balance, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::balance::Schedule;
use crate::model::{ObjectKey, Protocol};

fn endpoint(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).unwrap()], 80))
}

fn balance(schedule: Schedule, endpoints: usize) -> Balance {
    Balance { endpoints: (1..=endpoints).map(endpoint).collect(), schedule, ..Balance::default() }
}

fn service(endpoints: usize, inside: Option<usize>) -> Arc<Contribution> {
    let frontend = Frontend {
        addr: FrontendAddr::Virtual("10.43.0.7".parse().unwrap()),
        protocol: Protocol::Tcp,
        port: 80,
        verdict: Verdict::Balance(balance(Schedule::LeastConnection, endpoints)),
        source_ranges: Vec::new(),
        inside: inside.map(|endpoints| balance(Schedule::LeastConnection, endpoints)),
        kept: Vec::new(),
    };
    Arc::new(Contribution {
        key: ObjectKey::new("t", "web"),
        cluster_ips: Vec::new(),
        frontends: vec![frontend],
        relayed: false,
        health: None,
        records: Arc::default(),
    })
}

fn moved(book: &mut Book, before: Option<&Arc<Contribution>>, after: Option<&Arc<Contribution>>) -> Edit {
    let mut edit = Edit::default();
    book.change(&ObjectKey::new("t", "web"), before, after, &mut |_| false, &mut edit);
    edit
}

#[test]
fn slots_hold_whole_rounds_and_as_many_turns_as_are_written_ahead() {
    for endpoints in 1..40 {
        let slots = turns(&balance(Schedule::LeastConnection, endpoints));
        assert!(slots.len() >= TURNS_AHEAD && slots.len().is_multiple_of(endpoints), "{endpoints}");
        assert!(slots.iter().zip((1..=endpoints).cycle()).all(|(slot, number)| *slot == endpoint(number)));
        assert_eq!(turns(&balance(Schedule::RoundRobin, endpoints)).len(), endpoints, "others choose among these");
    }
    assert!(turns(&balance(Schedule::NeverQueue, 0)).is_empty());
}

#[test]
fn a_move_writes_every_slot_whatever_it_holds_by_now() {
    let mut book = Book::default();
    let (three, two) = (service(3, None), service(2, None));
    let made = moved(&mut book, None, Some(&three));
    assert_eq!(made.added().filter(|(slot, _)| slot.set == SetName::LiveEndpoints).count(), 18);
    let edit = moved(&mut book, Some(&three), Some(&two));
    let live = |slot: &&super::super::Slot| slot.set == SetName::LiveEndpoints;
    assert_eq!(edit.removed().filter(live).count(), 18);
    assert_eq!(edit.added().filter(|(slot, _)| live(slot)).count(), 16);
}

#[test]
fn every_endpoint_of_its_side_is_good_for_a_slot_and_no_other() {
    let mut book = Book::default();
    moved(&mut book, None, Some(&service(2, Some(3))));
    let id = (FrontendAddr::Virtual("10.43.0.7".parse().unwrap()), Protocol::Tcp, 80);
    let is_good = |number: u32, endpoint: SocketAddr| {
        let (slot, data) = live_slot(id, number, endpoint);
        assert_eq!(data, Data::Bytes(endpoint_data(endpoint)));
        book.is_a_turn(&slot, &data)
    };
    let inside = 1 << 31;
    assert!(is_good(0, endpoint(1)) && is_good(0, endpoint(2)) && is_good(7, endpoint(1)));
    assert!(!is_good(0, endpoint(3)) && is_good(inside, endpoint(3)), "who is inside has three");
    assert!(!is_good(inside, endpoint(4)));
    let other = (id.0, Protocol::Udp, 80);
    let (slot, data) = live_slot(other, 0, endpoint(1));
    assert!(!book.is_a_turn(&slot, &data), "no such frontend");
}

#[test]
fn the_chains_that_take_turns_are_those_at_the_end() {
    let names = |service: &Contribution| -> Vec<String> {
        live_chains(&service.frontends[0]).iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&service(3, None)), ["o-18-10.43.0.7-tcp-80"]);
    assert_eq!(names(&service(2, Some(3))), ["wo-18-10.43.0.7-tcp-80", "o-16-10.43.0.7-tcp-80"]);
    let mut random = (*service(3, None)).clone();
    random.frontends[0].verdict = Verdict::Balance(balance(Schedule::Random, 3));
    assert_eq!(names(&random), Vec::<String>::new());
}
