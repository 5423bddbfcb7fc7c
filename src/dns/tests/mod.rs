//! The cases of spec/dns.md, and what must hold for any input. Every reply is
//! read back through hickory-proto, which did not write it.

mod cases;
mod corpus;
mod forwarding;
mod memory;
mod sockets;
mod tls;
mod transport;

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::authority::{Authority, PodMode};
use super::cookie::Cookies;
use super::respond::{Client, Outcome, Responder, Transport};
use super::zone::{Change, Zone};
use crate::desired::{EndpointRecord, PortRecord, ServiceRecords};
use crate::model::{ObjectKey, Protocol};

fn port(name: &str, protocol: Protocol, port: u16) -> PortRecord {
    PortRecord { name: name.to_owned(), protocol, port }
}

fn cluster(addrs: &[&str], ports: &[PortRecord]) -> ServiceRecords {
    let cluster_ips = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    ServiceRecords { cluster_ips, ports: ports.to_vec(), ..ServiceRecords::default() }
}

fn endpoint(addr: &str, hostname: Option<&str>, ports: &[PortRecord]) -> EndpointRecord {
    EndpointRecord { addr: addr.parse().unwrap(), hostname: hostname.map(Into::into), ports: ports.into() }
}

fn headless(ports: &[PortRecord], endpoints: Vec<EndpointRecord>) -> ServiceRecords {
    ServiceRecords { headless: true, ports: ports.to_vec(), endpoints, ..ServiceRecords::default() }
}

fn external(target: &str) -> ServiceRecords {
    ServiceRecords { external_name: Some(target.to_owned()), ..ServiceRecords::default() }
}

/// The Services the cases speak of, and a few more.
fn services() -> Vec<(&'static str, ServiceRecords)> {
    let web = port("web", Protocol::Tcp, 80);
    let served = [port("web", Protocol::Tcp, 8080)];
    let pet = || endpoint("10.244.9.1", Some("pet-1"), &served);
    let plain = |addr| endpoint(addr, None, &served);
    let many = (0..100).map(|n| endpoint(&format!("10.245.0.{n}"), None, &served)).collect();
    vec![
        ("my-service", cluster(&["10.96.0.100"], &[port("http", Protocol::Tcp, 80), port("dns", Protocol::Udp, 53)])),
        ("unnamed", cluster(&["10.96.0.101"], &[port("", Protocol::Tcp, 80)])),
        ("head", headless(std::slice::from_ref(&web), vec![pet(), plain("10.244.9.2")])),
        ("headempty", headless(std::slice::from_ref(&web), vec![])),
        ("headpub", headless(std::slice::from_ref(&web), vec![pet(), plain("10.244.9.2"), plain("10.244.9.3")])),
        ("portless", headless(&[], vec![endpoint("10.244.8.1", None, &[])])),
        ("big", headless(std::slice::from_ref(&web), many)),
        ("dual", cluster(&["10.96.0.110", "fd00::110"], &[port("http", Protocol::Tcp, 80)])),
        ("six", headless(&[web], vec![plain("2001:db8::"), plain("2001:db8::5")])),
        ("ext", external("www.example.com")),
        ("extip", external("1.2.3.4")),
        ("extin", external("My-Service.dns.svc.cluster.local.")),
        ("extmissing", external("nope.dns.svc.cluster.local")),
        ("self", external("self.dns.svc.cluster.local")),
        ("hop", external("ext.dns.svc.cluster.local")),
    ]
}

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.apply(Change::Namespace { name: "dns".into(), exists: true }, 1);
    for (name, records) in services() {
        zone.apply(Change::Service { key: ObjectKey::new("dns", name), records: Some(records.into()) }, 1_000);
    }
    zone.apply(Change::ServiceRanges(["10.96.0.0/16".parse().unwrap()].into()), 1_000);
    zone.apply(Change::Synced, 2_000);
    zone
}

fn responder(pod_mode: PodMode) -> Responder {
    let own = vec!["10.96.0.10".parse::<IpAddr>().unwrap()];
    let authority = Authority::new("cluster.local", 30, pod_mode, own).unwrap();
    Responder {
        authority,
        counters: Arc::default(),
        forwarder: None,
        cookies: Cookies::new(),
        newest: None,
        autopath: false,
        log: false,
    }
}

fn client(transport: Transport) -> Client {
    Client { addr: "10.9.0.11".parse().unwrap(), transport, began: tokio::time::Instant::now(), guard: None }
}

/// A question as a client sends it.
fn question(name: &str, qtype: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), qtype));
    message
}

fn send(zone: &Zone, message: &Message, transport: Transport) -> Message {
    send_bytes(zone, &message.to_vec().unwrap(), transport).expect("an answer").1
}

fn send_bytes(zone: &Zone, packet: &[u8], transport: Transport) -> Option<(Vec<u8>, Message)> {
    match responder(PodMode::Insecure).respond(zone, packet, &client(transport), &mut Rng::with_seed(7)) {
        Outcome::Reply(bytes) => {
            let message = Message::from_vec(&bytes).expect("a reply that hickory-proto can read");
            Some((bytes, message))
        }
        Outcome::Silence => None,
        Outcome::Pending(_) => panic!("nobody to wait for"),
    }
}

/// Asks over TCP and shows the reply as text, records sorted.
fn ask(name: &str, qtype: RecordType) -> String {
    show(&send(&zone(), &question(name, qtype), Transport::Tcp))
}

/// `CODE`, then each record as `name ttl type data`, sections parted by `|`. The
/// SOA of an empty answer is shown as `soa`.
fn show(reply: &Message) -> String {
    let section = |records: &[hickory_proto::rr::Record]| -> String {
        let mut lines: Vec<_> = records
            .iter()
            .map(|record| {
                if record.record_type() == RecordType::SOA {
                    "soa".to_owned()
                } else {
                    record.to_string().replace(" IN ", " ")
                }
            })
            .collect();
        lines.sort();
        lines.join("; ")
    };
    let code = match reply.response_code {
        ResponseCode::NoError => "ok",
        ResponseCode::NXDomain => "nxdomain",
        ResponseCode::ServFail => "servfail",
        ResponseCode::Refused => "refused",
        ResponseCode::NotImp => "notimp",
        ResponseCode::FormErr => "formerr",
        _ => "other",
    };
    let mut shown = format!("{code}: {}", section(&reply.answers));
    for records in [&reply.authorities, &reply.additionals] {
        if !records.is_empty() {
            shown = format!("{shown} | {}", section(records));
        }
    }
    shown
}
