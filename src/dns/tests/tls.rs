//! Upstreams over TLS: whom we believe, and questions that share a connection.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::forwarding::{Running, a, answers, ask_udp, reply_to, serve_with};
use super::*;
use crate::dns::{Forwarding, Options, Server, Upstream as Named, Upstreams};

/// An upstream over TLS with a certificate for `dns.example`; the file holds its
/// authority.
struct TlsUpstream {
    addr: SocketAddr,
    ca_file: PathBuf,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl TlsUpstream {
    /// Each connection is served by `work`, which is told its number from 1 on.
    async fn start<W: Future<Output = Option<()>> + Send + 'static>(
        work: impl Fn(TlsStream<TcpStream>, usize) -> W + Send + 'static,
    ) -> TlsUpstream {
        use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["dns.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, mut tasks) = (Arc::clone(&connections), JoinSet::new());
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                if let Ok(stream) = acceptor.accept(stream).await {
                    served.spawn(work(stream, number));
                }
            }
        });
        TlsUpstream { addr, ca_file, connections, _tasks: tasks, _dir: dir }
    }

    fn serve_as(&self, name: &str) -> Running {
        let upstreams = Upstreams::Named(vec![Named { addr: self.addr, tls: Some(name.to_owned()) }]);
        let forwarding = Forwarding { ca_file: Some(self.ca_file.clone()), ..Forwarding::to(upstreams) };
        serve_with(Options { forwarding: Some(forwarding), ..Options::default() })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn hear(stream: &mut TlsStream<TcpStream>) -> Option<Message> {
    let length = stream.read_u16().await.ok()?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(Message::from_vec(&bytes).unwrap())
}

async fn say(stream: &mut TlsStream<TcpStream>, reply: &Message) -> Option<()> {
    let bytes = reply.to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.ok()?;
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()
}

/// The address says which name was asked: `n7.example.` is 192.0.2.7.
fn numbered(asked: &Message) -> Message {
    let owner = asked.queries[0].name.to_lowercase().to_ascii();
    let number: u8 = owner[1..].split('.').next().unwrap().parse().unwrap();
    let mut reply = reply_to(asked);
    reply.add_answer(a(&owner, 60, &format!("192.0.2.{number}")));
    reply
}

#[track_caller]
fn is_of(reply: &Message, number: u8) {
    assert_eq!(show(reply), format!("ok: n{number}.example. 60 A 192.0.2.{number}"));
}

fn numbered_question(number: u8) -> Message {
    question(&format!("n{number}.example."), RecordType::A)
}

#[tokio::test]
async fn an_upstream_over_tls_is_believed_only_under_its_name() {
    let upstream = TlsUpstream::start(async |mut stream, _| {
        loop {
            let asked = hear(&mut stream).await?;
            say(&mut stream, &answers(&asked, true).unwrap()).await?;
        }
    })
    .await;
    let server = upstream.serve_as("dns.example");
    // The second goes over the connection of the first.
    for name in ["www.example.com.", "nope.example."] {
        let reply = ask_udp(server.addr, &question(name, RecordType::A)).await;
        assert_ne!(reply.metadata.response_code, ResponseCode::ServFail, "{name}");
    }
    assert_eq!(upstream.connections(), 1);
    let impostor = upstream.serve_as("other.example");
    let reply = ask_udp(impostor.addr, &question("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn questions_share_a_connection_and_are_answered_in_any_order() {
    const COUNT: u8 = 20;
    // Answers nothing before it has heard all, then the last first, and what nobody asked.
    let upstream = TlsUpstream::start(async |mut stream, _| {
        loop {
            let mut asked = Vec::new();
            while asked.len() < usize::from(COUNT) {
                asked.push(hear(&mut stream).await?);
            }
            for one in asked.iter().rev() {
                let mut other = numbered(one);
                other.queries.clear();
                other.add_query(numbered_question(0).queries[0].clone());
                say(&mut stream, &other).await?;
                say(&mut stream, &numbered(one)).await?;
            }
        }
    })
    .await;
    let server = upstream.serve_as("dns.example");
    let mut asking = JoinSet::new();
    for number in 1..=COUNT {
        let addr = server.addr;
        asking.spawn(async move { (number, ask_udp(addr, &numbered_question(number)).await) });
    }
    for (number, reply) in asking.join_all().await {
        is_of(&reply, number);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn questions_on_a_connection_that_breaks_or_goes_silent_are_asked_over_another() {
    // The first answers one question and hangs up on the next, the second answers one and
    // says nothing more.
    let upstream = TlsUpstream::start(async |mut stream, number| {
        let first = hear(&mut stream).await?;
        say(&mut stream, &numbered(&first)).await?;
        loop {
            let asked = hear(&mut stream).await?;
            match number {
                1 => return Some(()),
                2 => {}
                _ => say(&mut stream, &numbered(&asked)).await?,
            }
        }
    })
    .await;
    let server = upstream.serve_as("dns.example");
    for (number, connections) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        is_of(&ask_udp(server.addr, &numbered_question(number)).await, number);
        assert_eq!(upstream.connections(), connections, "after question {number}");
    }
}

#[tokio::test]
async fn a_flood_of_questions_takes_a_few_connections() {
    // Silent: every question waits.
    let upstream = TlsUpstream::start(async |mut stream, _| {
        loop {
            hear(&mut stream).await?;
        }
    })
    .await;
    let server = upstream.serve_as("dns.example");
    let mut asking = JoinSet::new();
    for number in 0..240_u8 {
        let addr = server.addr;
        asking.spawn(async move { ask_udp(addr, &numbered_question(number)).await });
    }
    let replies = asking.join_all().await;
    assert!(replies.iter().all(|reply| reply.metadata.response_code == ResponseCode::ServFail));
    assert!((2..=4).contains(&upstream.connections()), "{} connections", upstream.connections());
}

#[tokio::test]
async fn without_authorities_tls_is_refused_at_start() {
    let upstreams =
        Upstreams::Named(vec![Named { addr: "192.0.2.1:853".parse().unwrap(), tls: Some("dns.example".into()) }]);
    let forwarding = Forwarding { ca_file: Some("/dev/null".into()), ..Forwarding::to(upstreams) };
    let (_sender, receiver) = watch::channel(zone());
    let error = Server::bind(Options { forwarding: Some(forwarding), ..Options::default() }, receiver).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("tls://192.0.2.1:853#dns.example") && text.contains("/dev/null"), "{text}");
}
