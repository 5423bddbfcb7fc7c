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
use crate::dns::{Options, Server, Upstreams};

const LIMIT: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, ttl: u32, addr: &str) -> Record {
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
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(addr).await.unwrap();
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

fn reply_to(asked: &Message) -> Message {
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    reply.metadata.recursion_available = true;
    reply.add_queries(asked.queries.iter().cloned());
    reply.edns = asked.edns.as_ref().map(|_| Edns::new());
    reply
}

fn answers(asked: &Message, _tcp: bool) -> Option<Message> {
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

struct Running {
    addr: SocketAddr,
    _zone: watch::Sender<Zone>,
    _task: JoinSet<()>,
}

fn serve(upstreams: Vec<SocketAddr>) -> Running {
    let (sender, receiver) = watch::channel(zone());
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let options = Options { listen, upstreams: Some(Upstreams::Named(upstreams)), ..Options::default() };
    let server = Server::bind(options, receiver).unwrap();
    let addr = server.addresses()[0];
    let mut task = JoinSet::new();
    task.spawn(server.run(std::future::pending()));
    Running { addr, _zone: sender, _task: task }
}

async fn ask_udp(addr: SocketAddr, message: &Message) -> Message {
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
async fn case_29_an_external_name_comes_with_its_addresses() {
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
    let reply = ask_udp(server.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(seen.load(Ordering::SeqCst) <= 2, "a loop must not multiply questions");
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
