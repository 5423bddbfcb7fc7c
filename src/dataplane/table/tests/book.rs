//! The book against a kernel that refuses what the real one refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::super::chain::ChainName;
use super::super::element::{Data, Slot};
use super::super::expr::Verdict;
use super::super::set::SetName;
use super::super::{Book, Edit};
use crate::desired::{self, AffinityOwner, Balance, Change, Contribution, Frontend, FrontendAddr};
use crate::model::balance::Schedule;
use crate::model::{IpFamily, ObjectKey, Protocol};

#[derive(Default)]
struct Kernel {
    elements: BTreeMap<Slot, Data>,
    chains: BTreeSet<(IpFamily, ChainName)>,
}

impl Kernel {
    /// One transaction, in the order in which it is sent.
    fn take(&mut self, edit: &Edit) {
        for (family, chain) in edit.chains_added() {
            assert!(chain.next().into_iter().all(|next| self.chains.contains(&(family, next))), "{chain} goes nowhere");
            assert!(self.chains.insert((family, chain)), "{chain} twice");
        }
        for slot in edit.removed() {
            assert!(self.elements.remove(slot).is_some(), "{slot:?} is not there");
        }
        for (slot, data) in edit.added() {
            assert!(self.elements.insert(slot.clone(), data.clone()).is_none(), "{slot:?} is there already");
        }
        for (family, chain) in edit.chains_removed() {
            assert!(self.chains.remove(&(family, chain)), "{chain} is not there");
            assert!(!self.is_used(family, chain), "{chain} is in use");
        }
        for (slot, data) in &self.elements {
            if let Data::Verdict(Verdict::Goto(name)) = data {
                let target = ChainName::parse(name).map(|chain| (slot.family, chain));
                assert!(target.is_none_or(|target| self.chains.contains(&target)), "{name} is missing");
            }
        }
    }

    fn is_used(&self, family: IpFamily, chain: ChainName) -> bool {
        let name = Data::Verdict(Verdict::Goto(chain.to_string()));
        self.chains.iter().any(|(of, other)| *of == family && other.next().contains(&chain))
            || self.elements.iter().any(|(slot, data)| slot.family == family && *data == name)
    }
}

type Place = (FrontendAddr, Protocol, u16);

fn place() -> impl Strategy<Value = Place> {
    let addrs = [
        FrontendAddr::Virtual("10.43.0.1".parse().unwrap()),
        FrontendAddr::Virtual("fd43::1".parse().unwrap()),
        FrontendAddr::NodePort(IpFamily::V4),
    ];
    (proptest::sample::select(addrs.to_vec()), any::<bool>(), 80u16..82)
        .prop_map(|(addr, udp, port)| (addr, if udp { Protocol::Udp } else { Protocol::Tcp }, port))
}

/// Endpoint hosts, affinity, schedule, source ranges; no host is a refusal or a drop.
type Shape = (BTreeSet<u8>, (Option<u32>, Schedule), BTreeSet<u8>, bool);

fn shape() -> impl Strategy<Value = Shape> {
    let affinity = proptest::sample::select(vec![None, Some(10), Some(20)]);
    let schedule = proptest::sample::select(Schedule::ALL.to_vec());
    (btree_set(1u8..5, 0..4), (affinity, schedule), btree_set(0u8..3, 0..2), any::<bool>())
}

fn frontend((addr, protocol, port): Place, (hosts, (affinity_seconds, schedule), ranges, drop): Shape) -> Frontend {
    let ip = |host: u8| -> IpAddr {
        match addr.family() {
            IpFamily::V4 => [10, 0, 0, host].into(),
            IpFamily::V6 => [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)].into(),
        }
    };
    let endpoints: Vec<SocketAddr> = hosts.into_iter().map(|host| SocketAddr::new(ip(host), 8080)).collect();
    let verdict = match (endpoints.is_empty(), drop) {
        (true, true) => desired::Verdict::Drop,
        (true, false) => desired::Verdict::Refuse,
        (false, _) => {
            let weights = (1..).take(endpoints.len()).collect();
            let shared = AffinityOwner { addr: ip(9), protocol, port: 80, local: false };
            let affinity_owner = (port == 80).then_some(shared);
            desired::Verdict::Balance(Balance { endpoints, schedule, weights, affinity_seconds, affinity_owner })
        }
    };
    let has_ranges = matches!(addr, FrontendAddr::Virtual(_));
    let range = |number: u8| IpNet::new(ip(number * 64), if addr.family() == IpFamily::V4 { 26 } else { 122 }).unwrap();
    let source_ranges = ranges.into_iter().filter(|_| has_ranges).map(range).collect();
    Frontend { addr, protocol, port, verdict, source_ranges, inside: None, kept: Vec::new() }
}

fn contribution(name: u8, frontends: BTreeMap<Place, Shape>) -> Arc<Contribution> {
    let frontends: Vec<Frontend> = frontends.into_iter().map(|(place, shape)| frontend(place, shape)).collect();
    let virtual_addr = |frontend: &Frontend| match frontend.addr {
        FrontendAddr::Virtual(addr) => Some(addr),
        FrontendAddr::NodePort(_) => None,
    };
    let cluster_ips: BTreeSet<IpAddr> = frontends.iter().filter_map(virtual_addr).collect();
    Arc::new(Contribution {
        key: ObjectKey::new("t", &name.to_string()),
        cluster_ips: cluster_ips.into_iter().collect(),
        frontends,
        relayed: false,
        health: None,
        records: Arc::default(),
    })
}

/// What happens: a Service becomes something or goes, or routes move.
#[derive(Clone, Debug)]
enum Step {
    Service(u8, Option<BTreeMap<Place, Shape>>),
    Routes(BTreeSet<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let service = btree_map(place(), shape(), 0..5);
    prop_oneof![
        8 => (0u8..3, proptest::option::weighted(0.8, service)).prop_map(|(name, after)| Step::Service(name, after)),
        1 => btree_set(1u8..5, 0..3).prop_map(Step::Routes),
    ]
}

/// The changes of Services in a transaction.
fn changes(transaction: &[Step], held: &BTreeMap<u8, Arc<Contribution>>) -> Vec<Change> {
    let mut held = held.clone();
    let mut changes = Vec::new();
    for step in transaction {
        let Step::Service(name, after) = step else { continue };
        let after = after.clone().map(|frontends| contribution(*name, frontends));
        let before = match &after {
            Some(after) => held.insert(*name, Arc::clone(after)),
            None => held.remove(name),
        };
        changes.push(Change { key: ObjectKey::new("t", &name.to_string()), before, after });
    }
    changes
}

fn host(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(addr) => addr.octets()[3],
        IpAddr::V6(addr) => addr.octets()[15],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However Services come, change, share addresses and go, in transactions of
    /// any number of steps: the kernel takes every edit and ends with what a book
    /// made afresh would ask for.
    #[test]
    fn the_kernel_follows_the_book(transactions in vec(vec(step(), 1..4), 1..12)) {
        let (mut book, mut kernel) = (Book::default(), Kernel::default());
        let mut held: BTreeMap<u8, Arc<Contribution>> = BTreeMap::new();
        let mut away = BTreeSet::new();
        for transaction in transactions {
            let mut edit = Edit::default();
            let touched = book.endpoints_touched(&changes(&transaction, &held));
            for step in transaction {
                match step {
                    Step::Service(name, after) => {
                        let after = after.map(|frontends| contribution(name, frontends));
                        let key = ObjectKey::new("t", &name.to_string());
                        let before = held.get(&name).cloned();
                        let mut off_box = |addr| {
                            assert!(touched.contains_key(&addr), "nobody has asked for the way to {addr}");
                            away.contains(&host(addr))
                        };
                        book.change(&key, before.as_ref(), after.as_ref(), &mut off_box, &mut edit);
                        match after {
                            Some(after) => drop(held.insert(name, after)),
                            None => drop(held.remove(&name)),
                        }
                    }
                    Step::Routes(now) => {
                        away = now;
                        book.reroute(&mut |addr| away.contains(&host(addr)), &mut edit);
                    }
                }
            }
            kernel.take(&edit);
            let mut fresh = Book::default();
            for (name, contribution) in &held {
                let key = ObjectKey::new("t", &name.to_string());
                fresh.change(&key, None, Some(contribution), &mut |addr| away.contains(&host(addr)), &mut Edit::default());
            }
            prop_assert_eq!(&kernel.elements, &fresh.elements());
            prop_assert_eq!(&kernel.elements, &book.elements());
            prop_assert_eq!(&kernel.chains, &fresh.chains().collect());
        }
        // When the last Service goes, nothing stays.
        let mut edit = Edit::default();
        for (name, contribution) in &held {
            let key = ObjectKey::new("t", &name.to_string());
            book.change(&key, Some(contribution), None, &mut |_| false, &mut edit);
        }
        kernel.take(&edit);
        prop_assert!(kernel.elements.is_empty() && kernel.chains.is_empty());
    }
}

fn vip(hosts: &[u8]) -> BTreeMap<Place, Shape> {
    let place = (FrontendAddr::Virtual("10.43.0.1".parse().unwrap()), Protocol::Tcp, 80);
    BTreeMap::from([(place, (hosts.iter().copied().collect(), (None, Schedule::Random), BTreeSet::new(), false))])
}

fn changed(book: &mut Book, name: u8, before: Option<&Arc<Contribution>>, after: Option<&Arc<Contribution>>) -> Edit {
    let mut edit = Edit::default();
    book.change(&ObjectKey::new("t", &name.to_string()), before, after, &mut |_| false, &mut edit);
    edit
}

#[test]
fn an_endpoint_that_is_replaced_costs_its_elements_only() {
    let (before, after) = (contribution(1, vip(&[1, 2])), contribution(1, vip(&[1, 3])));
    let mut book = Book::default();
    changed(&mut book, 1, None, Some(&before));
    let edit = changed(&mut book, 1, Some(&before), Some(&after));
    let sets: Vec<SetName> = edit.added().map(|(slot, _)| slot.set).collect();
    assert_eq!(sets, [SetName::Endpoints, SetName::Hairpin, SetName::EndpointIps]);
    assert_eq!(edit.removed().count(), 3);
    assert_eq!((edit.chains_added().count(), edit.chains_removed().count()), (0, 0));
    assert_eq!(edit.moved().count(), 1);
}

#[test]
fn the_first_of_two_services_keeps_an_address_both_want() {
    let (first, second) = (contribution(1, vip(&[1])), contribution(2, vip(&[2])));
    let mut book = Book::default();
    changed(&mut book, 2, None, Some(&second));
    let edit = changed(&mut book, 1, None, Some(&first));
    assert_eq!(edit.moved().count(), 1, "the key decides, not who came first");
    let edit = changed(&mut book, 2, Some(&second), None);
    assert_eq!((edit.moved().count(), edit.added().count(), edit.removed().count()), (0, 0, 0));
    changed(&mut book, 2, None, Some(&second));
    let edit = changed(&mut book, 1, Some(&first), None);
    let (before, after) = edit.moved().next().unwrap();
    assert_eq!((before, after), (Some(&first.frontends[0]), Some(&second.frontends[0])));
}

#[test]
fn an_edit_is_its_end() {
    let (one, two) = (contribution(1, vip(&[1])), contribution(1, vip(&[1, 2])));
    let mut book = Book::default();
    changed(&mut book, 1, None, Some(&one));
    let mut edit = changed(&mut book, 1, Some(&one), Some(&two));
    edit.extend(changed(&mut book, 1, Some(&two), Some(&one)));
    assert_eq!((edit.added().count(), edit.removed().count()), (0, 0));
    assert_eq!((edit.chains_added().count(), edit.chains_removed().count()), (0, 0));
    let (before, after) = edit.moved().next().unwrap();
    assert_eq!(before, after);
}
