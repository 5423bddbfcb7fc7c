//! The machine on a simulated LAN: hosts, one clock, and packets that all of them hear.

mod conflicts;
mod corpus;
mod laws;
mod questions;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hickory_proto::rr::Name;

use super::link::Link;
use super::packet::{self, Incoming, Question};
use super::presence::{Moment, Outgoing, Stage};
use super::record::{self, Record};
use super::responder::{Arrival, Responder};
use super::{Notice, Numbers, Wanted};
use crate::desired::{Advertised, Instance, Reach};
use crate::model::{IpFamily, ObjectKey, Protocol};

/// A packet that was sent, and when.
#[derive(Clone, Debug)]
struct Sent {
    at: Moment,
    out: Outgoing,
}

impl Sent {
    fn read(&self) -> Incoming {
        packet::read(&self.out.bytes).expect("what we send can be read")
    }
}

struct Host {
    responder: Responder,
    addr: IpAddr,
    notices: Vec<Notice>,
}

/// Hosts 192.0.2.1 and so on, each on one link.
#[derive(Default)]
struct Lan {
    hosts: Vec<Host>,
    now: Moment,
    sent: Vec<Sent>,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn addr(number: usize) -> IpAddr {
    format!("192.0.2.{number}").parse().unwrap()
}

fn link(index: u32, addr: IpAddr) -> Link {
    let networks = vec![ipnet::IpNet::new(addr, 24).unwrap()];
    Link { index, name: format!("eth{index}"), networks, node_port_addrs: vec![addr] }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("t", name)
}

/// A Service with these kinds of ports, from 30080 on.
fn service(name: &str, kinds: &[&str]) -> Arc<Advertised> {
    let instance = |(number, kind): (usize, &&str)| Instance {
        kind: (*kind).into(),
        protocol: Protocol::Tcp,
        port: 30080 + u16::try_from(number).unwrap(),
        among: None,
    };
    let instances = kinds.iter().enumerate().map(instance).collect();
    let reach = Reach::Box(vec![IpFamily::V4, IpFamily::V6]);
    Arc::new(Advertised { name: name.into(), reach, instances, txt: [0].into() })
}

fn wanted(services: &[(&str, Arc<Advertised>)]) -> Wanted {
    services.iter().map(|(name, service)| (key(name), Arc::clone(service))).collect()
}

fn name(text: &str) -> Name {
    let labels: Vec<&str> = text.split('.').collect();
    record::name(&labels).unwrap()
}

impl Lan {
    /// A host that wants these Services from now on.
    fn join(&mut self, services: &[(&str, Arc<Advertised>)]) -> usize {
        let number = self.hosts.len() + 1;
        let responder = Responder::new(Rng::with_seed(number as u64), Numbers::default());
        self.hosts.push(Host { responder, addr: addr(number), notices: Vec::new() });
        let host = number - 1;
        self.with(host, |responder, now| {
            responder.set_links(now, vec![link(1, addr(number))]);
            responder.set_wanted(now, &wanted(services));
        });
        host
    }

    /// One host with one Service, whose name it has.
    fn settled(name: &str, kinds: &[&str]) -> Lan {
        let mut lan = Lan::default();
        lan.join(&[("web", service(name, kinds))]);
        lan.run(millis(5000));
        lan.sent.clear();
        lan
    }

    /// Does something to a host, and delivers what it says.
    fn with(&mut self, host: usize, work: impl FnOnce(&mut Responder, Moment)) {
        let now = self.now;
        work(&mut self.hosts[host].responder, now);
        self.deliver(host);
    }

    /// Everybody hears it, the sender too.
    fn deliver(&mut self, host: usize) {
        let notices = self.hosts[host].responder.take_notices();
        self.hosts[host].notices.extend(notices);
        let packets = self.hosts[host].responder.take_outgoing();
        let source = SocketAddr::new(self.hosts[host].addr, 5353);
        for out in packets {
            self.sent.push(Sent { at: self.now, out: out.clone() });
            if out.to.is_none() {
                self.hear(source, &out.bytes);
            }
        }
    }

    /// All hosts hear a packet.
    fn hear(&mut self, source: SocketAddr, bytes: &[u8]) {
        for host in 0..self.hosts.len() {
            let arrival = Arrival { link: 1, family: IpFamily::V4, source, bytes };
            self.with(host, |responder, now| responder.receive(now, &arrival));
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next =
                self.hosts.iter().enumerate().filter_map(|(host, one)| Some((one.responder.next()?, host))).min();
            let Some((at, host)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.with(host, |responder, now| responder.wake(now));
        }
        self.now = end;
    }

    /// A question from a neighbour; what is answered within a second and a half, to all
    /// and to it.
    fn ask(&mut self, asker: &str, incoming: &Incoming) -> Vec<Sent> {
        self.sent.clear();
        let begun = self.now;
        self.hear(asker.parse().unwrap(), &query(incoming));
        self.run(millis(1500));
        for sent in &mut self.sent {
            sent.at -= begun;
        }
        std::mem::take(&mut self.sent)
    }

    /// The names a host has.
    fn names(&self, host: usize) -> Vec<String> {
        let presences = self.hosts[host].responder.presences();
        let held = presences.flat_map(|presence| &presence.names).filter(|(_, owned)| owned.stage == Stage::Held);
        held.map(|(name, _)| name.to_utf8()).collect()
    }
}

fn asking(questions: &[(&str, u16)]) -> Incoming {
    let question = |(text, kind): &(&str, u16)| Question { name: name(text), kind: *kind, unicast: false };
    Incoming { questions: questions.iter().map(question).collect(), ..Incoming::default() }
}

/// A query as its sender would write it.
fn query(incoming: &Incoming) -> Vec<u8> {
    let flags = if incoming.truncated { 0x0200 } else { 0 };
    message(flags, incoming)
}

fn response(records: Vec<Record>) -> Vec<u8> {
    message(0x8400, &Incoming { answers: records, ..Incoming::default() })
}

/// An encoder of the tests' own: no name is compressed.
fn message(flags: u16, incoming: &Incoming) -> Vec<u8> {
    let Incoming { id, questions, answers, authorities, additionals, .. } = incoming;
    let count = |length: usize| u16::try_from(length).unwrap();
    let counts = [questions.len(), answers.len(), authorities.len(), additionals.len()].map(count);
    let mut bytes: Vec<u8> = [*id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
    for question in questions {
        bytes.extend(record::wire(&question.name));
        let class = if question.unicast { 0x8001 } else { 1_u16 };
        bytes.extend([question.kind, class].into_iter().flat_map(u16::to_be_bytes));
    }
    for record in answers.iter().chain(authorities).chain(additionals) {
        bytes.extend(record::wire(&record.owner));
        let class = if record.unique { 0x8001 } else { 1_u16 };
        bytes.extend([record.kind, class].into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(record.ttl.to_be_bytes());
        bytes.extend(count(record.data.len()).to_be_bytes());
        bytes.extend_from_slice(&record.data);
    }
    bytes
}

fn a_record(owner: &str, ttl: u32, addr: [u8; 4]) -> Record {
    Record { owner: name(owner), kind: record::A, ttl, unique: true, data: addr.into() }
}

fn ptr_record(owner: &str, ttl: u32, target: &str) -> Record {
    let data = record::wire(&name(target)).into();
    Record { owner: name(owner), kind: record::PTR, ttl, unique: false, data }
}

/// Type and owner of each record, for comparing.
fn shown(records: &[Record]) -> Vec<(u16, String)> {
    let mut shown: Vec<_> = records.iter().map(|record| (record.kind, record.owner.to_utf8())).collect();
    shown.sort();
    shown
}
