//! The server on loopback: real sockets, and `dig` as an independent client.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::dns::{BindError, Gate, ListenError, Newest, Options, Server};
use crate::model::ListenPlace;

const LIMIT: Duration = Duration::from_secs(10);

/// A server that answers until dropped.
struct Running {
    addr: SocketAddr,
    zone: watch::Sender<Zone>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start() -> Running {
    let (sender, receiver) = watch::channel(zone());
    let options = Options { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Options::default() };
    let server = Server::bind(options, receiver).unwrap();
    let addr = server.addresses()[0];
    Running { addr, zone: sender, task: tokio::spawn(server.run(std::future::pending())) }
}

async fn ask_udp(addr: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(&message.to_vec().unwrap()).await.unwrap();
    let mut reply = vec![0; 65_535];
    let length = timeout(LIMIT, socket.recv(&mut reply)).await.unwrap().unwrap();
    Message::from_vec(&reply[..length]).unwrap()
}

async fn read_framed(stream: &mut TcpStream) -> Message {
    let length = timeout(LIMIT, stream.read_u16()).await.unwrap().unwrap();
    let mut reply = vec![0; length.into()];
    timeout(LIMIT, stream.read_exact(&mut reply)).await.unwrap().unwrap();
    Message::from_vec(&reply).unwrap()
}

fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

async fn dig(addr: SocketAddr, arguments: &str) -> String {
    let mut command = std::process::Command::new("dig");
    command.arg(format!("@{}", addr.ip())).args(["-p", &addr.port().to_string(), "+tries=1", "+time=5"]);
    command.args(arguments.split(' '));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("dig is installed");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_change_is_answered_as_soon_as_it_is_published() {
    let server = start();
    let asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
    assert_eq!(ask_udp(server.addr, &asked).await.answers.len(), 1);
    let gone = Change::Service { key: ObjectKey::new("dns", "my-service"), records: None };
    server.zone.send_modify(|zone| zone.apply(gone, 9_000));
    assert_eq!(ask_udp(server.addr, &asked).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn dig_agrees_over_udp_tcp_and_edns() {
    let server = start();
    let short = "+short my-service.dns.svc.cluster.local A";
    assert_eq!(dig(server.addr, short).await, "10.96.0.100\n");
    assert_eq!(dig(server.addr, &format!("+tcp {short}")).await, "10.96.0.100\n");
    assert_eq!(
        dig(server.addr, "+short _http._tcp.my-service.dns.svc.cluster.local SRV").await,
        "0 100 80 my-service.dns.svc.cluster.local.\n"
    );
    assert_eq!(dig(server.addr, "+short -x 10.96.0.100").await, "my-service.dns.svc.cluster.local.\n");
    assert_eq!(dig(server.addr, "+short dns-version.cluster.local TXT").await, "\"1.1.0\"\n");
    let reply = dig(server.addr, "nope.dns.svc.cluster.local A").await;
    assert!(reply.contains("status: NXDOMAIN") && reply.contains("flags: qr aa rd"), "{reply}");
    assert!(reply.contains("SOA\tns.dns.cluster.local. hostmaster.cluster.local. 2000 7200 1800 86400 30"), "{reply}");
    let reply = dig(server.addr, "+edns=1 +noednsneg my-service.dns.svc.cluster.local A").await;
    assert!(reply.contains("status: BADVERS"), "{reply}");
    assert!(dig(server.addr, "AXFR cluster.local").await.contains("Transfer failed"));
    assert!(dig(server.addr, "+opcode=UPDATE cluster.local").await.contains("status: NOTIMP"));
    assert!(dig(server.addr, "-c CH version.bind TXT").await.contains("status: REFUSED"));
}

#[tokio::test]
async fn dig_retries_a_cut_answer_over_tcp() {
    let server = start();
    let big = "big.dns.svc.cluster.local A";
    let cut = dig(server.addr, &format!("+noedns +ignore {big}")).await;
    assert!(cut.contains("flags: qr aa tc rd") && cut.contains("ANSWER: 29"), "{cut}");
    assert!(dig(server.addr, &format!("+noedns {big}")).await.contains("ANSWER: 100"));
    assert!(dig(server.addr, &format!("+bufsize=4096 +ignore {big}")).await.contains("ANSWER: 100"));
}

#[tokio::test]
async fn a_tcp_connection_carries_many_questions_at_once() {
    let server = start();
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let questions: Vec<_> = (0..50).map(|_| question("my-service.dns.svc.cluster.local.", RecordType::A)).collect();
    let all: Vec<u8> = questions.iter().flat_map(framed).collect();
    // Split anywhere: framing must not depend on segments.
    for part in all.chunks(7) {
        stream.write_all(part).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for _ in &questions {
        ids.insert(read_framed(&mut stream).await.id);
    }
    assert_eq!(ids, questions.iter().map(|message| message.id).collect());
    assert_eq!(timeout(LIMIT, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn garbage_does_not_stop_the_listeners() {
    let server = start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.addr).await.unwrap();
    let mut rng = Rng::with_seed(11);
    for length in 0..600 {
        let packet: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        socket.send(&packet).await.unwrap();
        if length % 50 == 0 {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            // The server may have hung up already, which is its right.
            drop(stream.write_all(&packet).await);
        }
    }
    let asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
    assert_eq!(ask_udp(server.addr, &asked).await.answers.len(), 1);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&framed(&asked)).await.unwrap();
    assert_eq!(read_framed(&mut stream).await.answers.len(), 1);
}

#[tokio::test]
async fn an_overlong_question_ends_the_connection() {
    let server = start();
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[0xFF, 0xFF, 0, 0]).await.unwrap();
    let ended = timeout(LIMIT, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let options = Options { listen: vec![addr], ..Options::default() };
    let error = Server::bind(options, watch::channel(Zone::default()).1).unwrap_err();
    assert!(matches!(error, BindError::Listen(ListenError::Taken { transport: "UDP", .. })), "{error}");
    assert!(error.to_string().contains(&addr.to_string()));

    let server = start();
    let options = Options { listen: vec![server.addr], ..Options::default() };
    let error = Server::bind(options, watch::channel(Zone::default()).1).unwrap_err();
    assert!(matches!(error, BindError::Listen(ListenError::Taken { transport: "TCP", .. })), "{error}");
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_is_no_error() {
    for addr in ["192.0.2.53:0", "[2001:db8::53]:0"] {
        let options = Options { listen: vec![addr.parse().unwrap()], ..Options::default() };
        let server = Server::bind(options, watch::channel(Zone::default()).1).unwrap();
        assert_ne!(server.addresses()[0].port(), 0, "{addr}");
    }
}

#[tokio::test]
async fn all_addresses_at_once_are_refused() {
    let options = Options { listen: vec!["0.0.0.0:0".parse().unwrap()], ..Options::default() };
    let error = Server::bind(options, watch::channel(Zone::default()).1).unwrap_err();
    assert!(matches!(error, BindError::Listen(ListenError::Wildcard { .. })));
}

/// A server whose only address is offered to the LAN.
fn start_for_the_lan(allowed: &str, rate: u32) -> Running {
    let (sender, receiver) = watch::channel(zone());
    let listen = vec![ListenPlace::Address("127.0.0.1:0".parse().unwrap())];
    let gate = Gate { listen, allowed: vec![allowed.parse().unwrap()], rate, ..Gate::default() };
    let server = Server::bind(Options { gate, ..Options::default() }, receiver).unwrap();
    let addr = server.addresses()[0];
    Running { addr, zone: sender, task: tokio::spawn(server.run(std::future::pending())) }
}

#[tokio::test]
async fn strangers_of_the_lan_are_refused_in_no_more_bytes_than_they_sent() {
    let server = start_for_the_lan("192.0.2.0/24", 0);
    let asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
    let reply = ask_udp(server.addr, &asked).await;
    assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::Refused, 0));
    assert!(reply.to_vec().unwrap().len() <= asked.to_vec().unwrap().len());
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&framed(&asked)).await.unwrap();
    assert_eq!(read_framed(&mut stream).await.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn a_flood_of_the_lan_is_cut_and_tcp_still_answers() {
    let server = start_for_the_lan("127.0.0.0/8", 1);
    let asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.addr).await.unwrap();
    let (mut whole, mut cut) = (0, 0);
    while cut == 0 {
        socket.send(&asked.to_vec().unwrap()).await.unwrap();
        let mut bytes = [0; 512];
        // Some are not answered at all.
        let Ok(received) = timeout(Duration::from_millis(50), socket.recv(&mut bytes)).await else { continue };
        let reply = Message::from_vec(&bytes[..received.unwrap()]).unwrap();
        if reply.truncation {
            cut += 1
        } else {
            whole += 1
        }
        assert!(whole < 100, "no limit");
    }
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&framed(&asked)).await.unwrap();
        assert_eq!(read_framed(&mut stream).await.answers.len(), 1);
    }
}

#[tokio::test]
async fn a_client_that_brings_back_our_cookie_is_no_forger() {
    use hickory_proto::op::Edns;
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    let server = start_for_the_lan("127.0.0.0/8", 1);
    let with_cookie = |cookie: &[u8]| {
        let mut asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(10, cookie.to_vec()));
        asked.set_edns(edns);
        asked
    };
    let cookie_of = |reply: &Message| match reply.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Cookie)) {
        Some(EdnsOption::Unknown(10, bytes)) => bytes.clone(),
        other => panic!("no cookie: {other:?}"),
    };
    let cookie = cookie_of(&ask_udp(server.addr, &with_cookie(b"client-1")).await);
    assert_eq!((cookie.len(), &cookie[..8]), (24, &b"client-1"[..]));
    for _ in 0..20 {
        let reply = ask_udp(server.addr, &with_cookie(&cookie)).await;
        assert_eq!((reply.answers.len(), reply.truncation), (1, false));
    }
    // RFC 7873 section 5.2.2.
    let reply = ask_udp(server.addr, &with_cookie(b"short")).await;
    assert_eq!(reply.response_code, ResponseCode::FormErr);
}

#[tokio::test]
async fn a_client_with_too_many_connections_keeps_nobody_out() {
    let server = start();
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let asked = question("my-service.dns.svc.cluster.local.", RecordType::A);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.addr).await.unwrap();
    other.write_all(&framed(&asked)).await.unwrap();
    assert_eq!(read_framed(&mut other).await.answers.len(), 1);
    // The newest of the many is served too; the oldest has made room.
    let newest = held.last_mut().unwrap();
    newest.write_all(&framed(&asked)).await.unwrap();
    assert_eq!(read_framed(newest).await.answers.len(), 1);
    let mut byte = [0];
    assert_eq!(timeout(LIMIT, held[0].read(&mut byte)).await.unwrap().unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_name_that_was_acknowledged_is_waited_for() {
    let (sender, receiver) = watch::channel(zone());
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let newest = Some(Newest(Arc::new(|| 7)));
    let server = Server::bind(Options { listen, newest, ..Options::default() }, receiver).unwrap();
    let addr = server.addresses()[0];
    let server = Running { addr, zone: sender, task: tokio::spawn(server.run(std::future::pending())) };
    let asked = question("late.dns.svc.cluster.local.", RecordType::A);
    let (reply, ()) = tokio::join!(ask_udp(addr, &asked), async {
        tokio::task::yield_now().await;
        server.zone.send_modify(|zone| {
            let records = Some(cluster(&["10.96.0.77"], &[]).into());
            zone.apply(Change::Service { key: ObjectKey::new("dns", "late"), records }, 1);
            zone.reach(7);
        });
    });
    assert_eq!(reply.answers.len(), 1);
    // What is there, or in no namespace of ours, or in a zone that is not behind, waits for nothing.
    for name in ["nope.dns.svc.cluster.local.", "www.example.com.cluster.local."] {
        let began = tokio::time::Instant::now();
        assert_eq!(ask_udp(addr, &question(name, RecordType::A)).await.response_code, ResponseCode::NXDomain);
        assert!(began.elapsed() < Duration::from_millis(90), "{name}");
    }
}
