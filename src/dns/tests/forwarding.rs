//! Names of others: upstreams of our own making, asked through real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, MessageType};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::dns::{Forwarding, Numbers, Options, Server, Upstreams};

const LIMIT: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(super) fn a(owner: &str, ttl: u32, addr: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A(addr.parse().unwrap())))
}

/// An upstream that counts what it is asked.
struct Upstream {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Answers as `reply` says; `None` is silence. TCP and UDP alike.
    async fn start(reply: fn(&Message, bool) -> Option<Message>) -> Upstream {
        // Another test's connection may have the port that is free for datagrams.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let addr = udp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut bytes = vec![0; 4096];
            loop {
                let (length, peer) = udp.recv_from(&mut bytes).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(reply) = reply(&Message::from_vec(&bytes[..length]).unwrap(), false) {
                    udp.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut bytes = vec![0; length.into()];
                stream.read_exact(&mut bytes).await.unwrap();
                if let Some(reply) = reply(&Message::from_vec(&bytes).unwrap(), true) {
                    let bytes = reply.to_vec().unwrap();
                    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                }
            }
        });
        Upstream { addr, asked, _tasks: tasks }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

pub(super) fn reply_to(asked: &Message) -> Message {
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    reply.metadata.recursion_available = true;
    reply.add_queries(asked.queries.iter().cloned());
    reply.edns = asked.edns.as_ref().map(|_| Edns::new());
    reply
}

pub(super) fn answers(asked: &Message, _tcp: bool) -> Option<Message> {
    let mut reply = reply_to(asked);
    let query = &asked.queries[0];
    match (query.name.to_lowercase().to_ascii().as_str(), query.query_type) {
        ("www.example.com.", RecordType::A) => {
            reply.add_answer(Record::from_rdata(
                name("www.example.com."),
                60,
                RData::CNAME(CNAME(name("web.example.net."))),
            ));
            reply.add_answer(a("web.example.net.", 60, "192.0.2.80"));
        }
        _ => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns.example."), name("h.example."), 1, 2, 3, 4, 5);
            reply.add_authority(Record::from_rdata(name("example."), 60, RData::SOA(soa)));
        }
    }
    Some(reply)
}

pub(super) struct Running {
    pub(super) addr: SocketAddr,
    numbers: Numbers,
    zone: watch::Sender<Zone>,
    _task: JoinSet<()>,
}

fn named(upstreams: Vec<SocketAddr>) -> Forwarding {
    Forwarding::to(Upstreams::Named(upstreams.into_iter().map(Into::into).collect()))
}

fn serve(upstreams: Vec<SocketAddr>) -> Running {
    serve_with(Options { forwarding: Some(named(upstreams)), ..Options::default() })
}

pub(super) fn serve_with(options: Options) -> Running {
    let (sender, receiver) = watch::channel(zone());
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let server = Server::bind(Options { listen, ..options }, receiver).unwrap();
    let (addr, numbers) = (server.addresses()[0], server.numbers());
    let mut task = JoinSet::new();
    task.spawn(server.run(std::future::pending()));
    Running { addr, numbers, zone: sender, _task: task }
}

pub(super) async fn ask_udp(addr: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(&message.to_vec().unwrap()).await.unwrap();
    let mut reply = vec![0; 65_535];
    let length = timeout(LIMIT, socket.recv(&mut reply)).await.expect("an answer in time").unwrap();
    let reply = Message::from_vec(&reply[..length]).unwrap();
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (message.metadata.id, MessageType::Response));
    assert_eq!(reply.queries, message.queries, "the question comes back in the case it was asked");
    reply
}

#[tokio::test]
async fn other_names_are_asked_upstream_once_and_remembered() {
    let upstream = Upstream::start(answers).await;
    let server = serve(vec![upstream.addr]);
    for _ in 0..3 {
        let reply = ask_udp(server.addr, &question("wWw.Example.com.", RecordType::A)).await;
        assert_eq!(reply.answers[1], a("web.example.net.", reply.answers[1].ttl, "192.0.2.80"));
        assert!(reply.metadata.recursion_available && !reply.metadata.authoritative);
        assert!((1..=60).contains(&reply.answers[1].ttl));
    }
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn missing_names_are_remembered_with_their_soa() {
    let upstream = Upstream::start(answers).await;
    let server = serve(vec![upstream.addr]);
    for _ in 0..2 {
        let reply = ask_udp(server.addr, &question("nope.example.", RecordType::A)).await;
        assert_eq!((reply.metadata.response_code, reply.authorities.len()), (ResponseCode::NXDomain, 1));
    }
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn our_own_names_never_leave() {
    let upstream = Upstream::start(answers).await;
    let server = serve(vec![upstream.addr]);
    let reply = ask_udp(server.addr, &question("nope.dns.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn case_23_an_external_name_comes_with_its_addresses() {
    let upstream = Upstream::start(answers).await;
    let server = serve(vec![upstream.addr]);
    let reply = ask_udp(server.addr, &question("ext.dns.svc.cluster.local.", RecordType::A)).await;
    let types: Vec<_> = reply.answers.iter().map(Record::record_type).collect();
    assert_eq!(types, [RecordType::CNAME, RecordType::CNAME, RecordType::A]);
    assert!(reply.metadata.authoritative);
    // The target has no AAAA record: the alias alone.
    let reply = ask_udp(server.addr, &question("ext.dns.svc.cluster.local.", RecordType::AAAA)).await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 1));
}

#[tokio::test]
async fn an_answer_cut_upstream_is_fetched_over_tcp() {
    fn large(asked: &Message, tcp: bool) -> Option<Message> {
        let mut reply = reply_to(asked);
        reply.metadata.truncation = !tcp;
        let count = if tcp { 100 } else { 0 };
        reply.add_answers((0..count).map(|n| a("big.example.", 60, &format!("192.0.2.{n}"))));
        Some(reply)
    }
    let upstream = Upstream::start(large).await;
    let server = serve(vec![upstream.addr]);
    let asked = question("big.example.", RecordType::A);
    let reply = ask_udp(server.addr, &asked).await;
    assert!(reply.metadata.truncation && reply.answers.is_empty());
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let bytes = asked.to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = timeout(LIMIT, stream.read_u16()).await.unwrap().unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(Message::from_vec(&bytes).unwrap().answers.len(), 100);
}

#[tokio::test]
async fn a_dead_or_failing_upstream_is_passed_over() {
    fn fails(asked: &Message, _tcp: bool) -> Option<Message> {
        let mut reply = reply_to(asked);
        reply.metadata.response_code = ResponseCode::ServFail;
        Some(reply)
    }
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (failing, good) = (Upstream::start(fails).await, Upstream::start(answers).await);
    let server = serve(vec![nobody, failing.addr, good.addr]);
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.answers.len(), 2);
    assert_eq!(failing.asked(), 1);
}

#[tokio::test]
async fn without_any_answer_it_is_servfail_and_not_remembered() {
    fn silent(_asked: &Message, _tcp: bool) -> Option<Message> {
        None
    }
    let upstream = Upstream::start(silent).await;
    let server = serve(vec![upstream.addr]);
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let before = upstream.asked();
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(upstream.asked() > before);
}

#[tokio::test]
async fn two_forwarders_that_ask_each_other_end_in_servfail() {
    let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay = first.local_addr().unwrap();
    let server = serve(vec![relay]);
    // A resolver that asks us whatever we ask it: the loop through 127.0.0.53.
    let mut loops = JoinSet::new();
    let (first, back) = (Arc::new(first), server.addr);
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    loops.spawn(async move {
        let mut bytes = vec![0; 4096];
        let out = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        loop {
            let (length, _) = first.recv_from(&mut bytes).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            out.send_to(&bytes[..length], back).await.unwrap();
        }
    });
    let began = tokio::time::Instant::now();
    for name in ["www.example.com.", "other.example.com."] {
        let reply = ask_udp(server.addr, &question(name, RecordType::A)).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "found out, not waited for");
    assert!(seen.load(Ordering::SeqCst) <= 2, "a question and a probe, and then nothing");
    assert!(server.numbers.totals().loops >= 1 && server.numbers.upstreams()[0].loops);
}

#[tokio::test]
async fn forged_answers_are_passed_over() {
    fn forged_first(asked: &Message, _tcp: bool) -> Option<Message> {
        let mut reply = answers(asked, false)?;
        reply.metadata.id = reply.metadata.id.wrapping_add(1);
        Some(reply)
    }
    let (forger, good) = (Upstream::start(forged_first).await, Upstream::start(answers).await);
    let server = serve(vec![forger.addr, good.addr]);
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.answers.len(), 2);
    assert_eq!(good.asked(), 1);
}

#[tokio::test]
async fn the_next_upstream_is_asked_beside_a_silent_one() {
    fn silent(_asked: &Message, _tcp: bool) -> Option<Message> {
        None
    }
    let (dead, good) = (Upstream::start(silent).await, Upstream::start(answers).await);
    let server = serve(vec![dead.addr, good.addr]);
    let began = tokio::time::Instant::now();
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.answers.len(), 2);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Questions, not datagrams: one that is late is sent once more.
    let asked = || server.numbers.upstreams().iter().map(|upstream| upstream.questions).collect::<Vec<_>>();
    assert_eq!(asked(), [1, 1]);
    // Who is late three times is asked last: others do not wait for it any more.
    for name in ["a.example.", "b.example.", "c.example.", "d.example."] {
        ask_udp(server.addr, &question(name, RecordType::A)).await;
    }
    assert!(!server.numbers.upstreams()[0].healthy);
    assert_eq!(asked(), [3, 5]);
}

#[tokio::test]
async fn an_upstream_from_before_edns_is_asked_without() {
    fn old(asked: &Message, tcp: bool) -> Option<Message> {
        if asked.edns.is_none() {
            return answers(asked, tcp);
        }
        let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
        reply.metadata.response_code = ResponseCode::FormErr;
        Some(reply)
    }
    let upstream = Upstream::start(old).await;
    let server = serve(vec![upstream.addr]);
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!((reply.answers.len(), upstream.asked()), (2, 2));
}

#[tokio::test]
async fn while_no_upstream_answers_what_was_known_is_still_said() {
    static GONE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    fn short(asked: &Message, _tcp: bool) -> Option<Message> {
        let mut reply = reply_to(asked);
        reply.add_answer(a("www.example.com.", 1, "192.0.2.80"));
        (!GONE.load(Ordering::SeqCst)).then_some(reply)
    }
    let upstream = Upstream::start(short).await;
    let server = serve(vec![upstream.addr]);
    let asked = question("www.example.com.", RecordType::A);
    assert_eq!(ask_udp(server.addr, &asked).await.answers[0].ttl, 1);
    GONE.store(true, Ordering::SeqCst);
    let stale = timeout(LIMIT, async {
        loop {
            let reply = ask_udp(server.addr, &asked).await;
            assert_eq!(reply.answers.len(), 1, "never without an answer");
            if reply.answers[0].ttl == 30 {
                return;
            }
        }
    });
    stale.await.expect("a stale answer");
    let began = tokio::time::Instant::now();
    assert_eq!(ask_udp(server.addr, &asked).await.answers[0].ttl, 30);
    assert!(began.elapsed() < Duration::from_secs(1), "the next one at once");
    assert!(server.numbers.totals().stale >= 2);
}

#[tokio::test]
async fn a_stub_zone_has_servers_of_its_own() {
    fn corp(asked: &Message, _tcp: bool) -> Option<Message> {
        let mut reply = reply_to(asked);
        reply.add_answer(a("db.corp.example.", 60, "10.1.2.4"));
        Some(reply)
    }
    let (stub, other) = (Upstream::start(corp).await, Upstream::start(answers).await);
    let stubs = vec![("corp.example".to_owned(), stub.addr.into())];
    let forwarding = Forwarding { stubs, ..named(vec![other.addr]) };
    let server = serve_with(Options { forwarding: Some(forwarding), ..Options::default() });
    assert_eq!(ask_udp(server.addr, &question("DB.corp.example.", RecordType::A)).await.answers.len(), 1);
    assert_eq!(ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await.answers.len(), 2);
    assert_eq!((stub.asked(), other.asked()), (1, 1));
    assert_eq!(server.numbers.upstreams().len(), 2);
}

#[tokio::test]
async fn names_of_the_box_localhost_and_everything_never_leave() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    std::fs::write(&path, "192.0.2.5 printer.lan www.example.com\n").unwrap();
    let upstream = Upstream::start(answers).await;
    let forwarding = Forwarding { hosts: Some(path), ..named(vec![upstream.addr]) };
    let server = serve_with(Options { forwarding: Some(forwarding), ..Options::default() });
    let shown = async |name: &str, qtype| show(&ask_udp(server.addr, &question(name, qtype)).await);
    assert_eq!(shown("Printer.LAN.", RecordType::A).await, "ok: Printer.LAN. 30 A 192.0.2.5");
    assert_eq!(shown("printer.lan.", RecordType::AAAA).await, "ok: ");
    assert_eq!(
        shown("5.2.0.192.in-addr.arpa.", RecordType::PTR).await,
        "ok: 5.2.0.192.in-addr.arpa. 30 PTR printer.lan."
    );
    assert_eq!(shown("localhost.", RecordType::A).await, "ok: localhost. 30 A 127.0.0.1");
    assert_eq!(shown("a.localhost.", RecordType::AAAA).await, "ok: a.localhost. 30 AAAA ::1");
    assert!(shown("example.com.", RecordType::ANY).await.contains("HINFO"));
    // The target of an alias of ours is looked for there too.
    let alias = shown("ext.dns.svc.cluster.local.", RecordType::A).await;
    assert!(alias.ends_with("www.example.com. 30 A 192.0.2.5"), "{alias}");
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn the_search_path_of_a_pod_is_completed_in_one_question() {
    let upstream = Upstream::start(answers).await;
    let server =
        serve_with(Options { forwarding: Some(named(vec![upstream.addr])), autopath: true, ..Options::default() });
    let shown = async |name: &str, qtype| show(&ask_udp(server.addr, &question(name, qtype)).await);
    let first = "www.example.com.dns.svc.cluster.local.";
    assert_eq!(shown(first, RecordType::A).await, "nxdomain:  | soa", "nobody knows the client yet");
    let pod =
        Change::Pod { key: ObjectKey::new("dns", "pod"), before: vec![], after: vec!["127.0.0.1".parse().unwrap()] };
    server.zone.send_modify(|zone| zone.apply(pod, 1));
    let expected = format!(
        "ok: web.example.net. 60 A 192.0.2.80; www.example.com. 60 CNAME web.example.net.; {first} 30 CNAME www.example.com."
    );
    assert_eq!(shown(first, RecordType::A).await, expected);
    // The second name of the path is one of ours.
    let ours = "my-service.dns.dns.svc.cluster.local.";
    let expected = format!(
        "ok: {ours} 30 CNAME my-service.dns.svc.cluster.local.; my-service.dns.svc.cluster.local. 30 A 10.96.0.100"
    );
    assert_eq!(shown(ours, RecordType::A).await, expected);
    for (name, qtype) in [
        ("nope.example.com.dns.svc.cluster.local.", RecordType::A),
        (first, RecordType::TXT),
        ("www.example.com.svc.cluster.local.", RecordType::A),
        ("www.example.com.other.svc.cluster.local.", RecordType::A),
    ] {
        assert_eq!(shown(name, qtype).await, "nxdomain:  | soa", "{name} {qtype}");
    }
}

#[tokio::test]
async fn a_program_of_the_box_may_call_a_service_by_its_short_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    std::fs::write(&path, "192.0.2.5 unnamed.dns\n").unwrap();
    let upstream = Upstream::start(answers).await;
    let start = |conf: &str, nameserver: &str| {
        let conf = dir.path().join(conf);
        std::fs::write(&conf, format!("nameserver {nameserver}\n")).unwrap();
        let hosts = Some(path.clone());
        let forwarding = Forwarding { hosts, resolv_conf: Some(conf), ..named(vec![upstream.addr]) };
        serve_with(Options { forwarding: Some(forwarding), ..Options::default() })
    };
    let (server, other) = (start("ours", "127.0.0.1"), start("other", "192.0.2.1"));
    let foreign = show(&ask_udp(other.addr, &question("my-service.dns.", RecordType::A)).await);
    assert_eq!((foreign.as_str(), upstream.asked()), ("nxdomain:  | soa", 1), "the box asks somebody else");
    let shown = async |name: &str, qtype| show(&ask_udp(server.addr, &question(name, qtype)).await);
    let whole = "my-service.dns.svc.cluster.local.";
    for name in ["my-service.dns.", "My-Service.DNS.svc."] {
        let expected = format!("ok: {name} 30 CNAME {whole}; {whole} 30 A 10.96.0.100");
        assert_eq!(shown(name, RecordType::A).await, expected);
        assert_eq!(shown(name, RecordType::AAAA).await, format!("ok: {name} 30 CNAME {whole} | soa"));
    }
    assert_eq!(shown("unnamed.dns.", RecordType::A).await, "ok: unnamed.dns. 30 A 192.0.2.5", "the hosts file first");
    assert_eq!(upstream.asked(), 1);
    let external = shown("ext.dns.", RecordType::A).await;
    assert!(external.starts_with("ok: ") && external.contains("web.example.net. 60 A 192.0.2.80"), "{external}");
    assert_eq!(upstream.asked(), 2);
    for (name, qtype) in
        [("nope.dns.", RecordType::A), ("my-service.dns.", RecordType::TXT), ("my-service.", RecordType::A)]
    {
        assert_eq!(shown(name, qtype).await, "nxdomain:  | soa", "{name} {qtype}");
    }
    assert_eq!(upstream.asked(), 5, "what is no Service is an upstream's to say");
}

#[tokio::test]
async fn a_client_that_asks_for_what_nobody_answers_keeps_no_other_waiting() {
    fn slow(asked: &Message, tcp: bool) -> Option<Message> {
        if asked.queries[0].name.to_ascii().starts_with("www") { answers(asked, tcp) } else { None }
    }
    let upstream = Upstream::start(slow).await;
    let server = serve(vec![upstream.addr]);
    let flood = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    flood.connect(server.addr).await.unwrap();
    for n in 0..2000 {
        flood.send(&question(&format!("x{n}.example."), RecordType::A).to_vec().unwrap()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let began = tokio::time::Instant::now();
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.answers.len(), 2);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
