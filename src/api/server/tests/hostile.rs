//! What a hostile or broken client sends: none of it ends the server.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::super::{Limits, ServeError, listen};
use super::client::{CONFIG_MAPS, DEADLINE, Harness};
use super::tls;

/// Sends raw bytes and reads until the server closes.
async fn raw(api: &Harness, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(api.socket()).await.unwrap();
    let mut answer = Vec::new();
    // The server may close before it has read everything: neither error counts, its staying open does.
    let exchange = async {
        stream.write_all(bytes).await?;
        stream.read_to_end(&mut answer).await
    };
    if let Err(error) = tokio::time::timeout(DEADLINE, exchange).await.expect("the server closes") {
        println!("closed early: {error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn hasty() -> Limits {
    Limits { head_deadline: Duration::from_millis(200), body_deadline: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn garbage_is_closed_and_the_server_lives() {
    let api = Harness::with(hasty(), None).await;
    for bytes in [
        b"\x00\xff\x00\xff\r\n\r\n".as_slice(),
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage",
        &[0x16; 600],
    ] {
        raw(&api, bytes).await;
    }
    api.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let api = Harness::with(hasty(), None).await;
    let request = format!("GET /version HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(200_000));
    let answer = raw(&api, request.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..1_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let answer = raw(&api, format!("GET /version HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    api.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_client_that_stalls_is_dropped() {
    let api = Harness::with(hasty(), None).await;
    for begun in [b"".as_slice(), b"P", b"GET /version HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = UnixStream::connect(api.socket()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{begun:?}");
    }
    let body =
        b"POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    let mut stream = UnixStream::connect(api.socket()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn deep_json_is_refused() {
    let api = Harness::start().await;
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "[".repeat(100_000));
    api.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], deep.clone()).await.expect(400);
    api.send("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], "[".repeat(100_000)).await.expect(400);
    let patch = [("content-type", "application/merge-patch+json")];
    api.config_map("a").await;
    api.send("PATCH", &format!("{CONFIG_MAPS}/a"), &patch, deep).await.expect(400);
    api.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn requests_over_the_limit_are_told_to_come_back() {
    let api = Harness::with(Limits { requests: 1, watches: 1, ..Limits::default() }, None).await;
    let _first = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    let reply = api.get(&format!("{CONFIG_MAPS}?watch=1")).await.expect(429);
    assert_eq!(reply.header("retry-after"), "1");
    api.get(CONFIG_MAPS).await.expect(200);
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_refused() {
    let api = Harness::start().await;
    let refused = listen::unix(&api.socket(), None).await.unwrap_err();
    assert!(matches!(refused, ServeError::AlreadyRunning(_)), "{refused}");
    let stale = api.dir.path().join("stale.sock");
    drop(tokio::net::UnixListener::bind(&stale).unwrap());
    listen::unix(&stale, None).await.unwrap();
    let file = api.dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(listen::unix(&file, None).await.unwrap_err(), ServeError::NotASocket(_)));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

/// The head of a request whose body will never be whole.
fn begun(path: &str, bearer: &str, bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{bearer}content-length: {bytes}\r\n\r\n{{"
    )
}

async fn token(api: &Harness, name: &str) -> String {
    let body = serde_json::json!({"name": name, "role": "edit"});
    let made = api.post("/edgesvc/v1/tokens", &body).await.expect(201).json();
    made["token"].as_str().unwrap().to_owned()
}

/// Asks until the answer has this code: what another connection began may not have
/// arrived yet.
async fn until(api: &Harness, path: &str, headers: &[(&str, &str)], code: u16) -> super::client::Reply {
    let asking = async {
        loop {
            let reply = api.send("GET", path, headers, "").await;
            if reply.code == code {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.expect("the answer comes")
}

#[tokio::test]
async fn one_client_with_all_its_requests_in_work_does_not_starve_others() {
    let api = tls::server(Limits { requests: 3, requests_each: 2, ..Limits::default() }).await;
    let greedy = token(&api, "greedy").await;
    let bearer = format!("authorization: Bearer {greedy}\r\n");
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut stream = UnixStream::connect(api.socket()).await.unwrap();
        stream.write_all(begun(CONFIG_MAPS, &bearer, 50).as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    let own = format!("Bearer {greedy}");
    let refused = until(&api, CONFIG_MAPS, &[("authorization", &own)], 429).await;
    assert_eq!(refused.header("retry-after"), "1");
    let status = refused.json();
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    api.get(CONFIG_MAPS).await.expect(200);
    api.send("GET", "/readyz", &[("authorization", &own)], "").await.expect(200);
    drop(stalled);
    until(&api, CONFIG_MAPS, &[("authorization", &own)], 200).await;
}

#[tokio::test]
async fn bodies_of_one_client_are_bounded_together() {
    let limits = Limits { bodies_bytes: 8 << 20, bodies_bytes_each: 4 << 20, ..Limits::default() };
    let api = tls::server(limits).await;
    let bearer = format!("authorization: Bearer {}\r\n", token(&api, "greedy").await);
    let mut first = UnixStream::connect(api.socket()).await.unwrap();
    first.write_all(begun(CONFIG_MAPS, &bearer, 3_000_000).as_bytes()).await.unwrap();
    // Whichever of the two comes second is refused without its body being waited for.
    let mut second = UnixStream::connect(api.socket()).await.unwrap();
    second.write_all(begun(CONFIG_MAPS, &bearer, 3_000_000).as_bytes()).await.unwrap();
    let (mut one, mut other) = ([0; 12], [0; 12]);
    let refused = async {
        tokio::select! {
            read = first.read_exact(&mut one) => read.map(|_| one),
            read = second.read_exact(&mut other) => read.map(|_| other),
        }
    };
    let answer = tokio::time::timeout(DEADLINE, refused).await.expect("an answer in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    api.config_map("a").await;
}

#[tokio::test]
async fn an_answer_left_unread_ends_its_connection() {
    let limits = Limits { write_stall: Duration::from_millis(200), requests_each: 1, ..Limits::default() };
    let api = tls::server(limits).await;
    for number in 0..8 {
        let mut map = super::client::config_map(&format!("m{number}"));
        map["data"]["a"] = "x".repeat(200_000).into();
        api.post(CONFIG_MAPS, &map).await.expect(201);
    }
    let pki = api.dir.path().join("pki");
    // The socket is read and well; only the answer's own window stays shut.
    let mut client = tls::Remote::with_window(&api, Some((&pki, "admin")), Some(1_000)).await;
    let unread = client.open(CONFIG_MAPS, &[]).await;
    assert_eq!(unread.status(), 200);
    client.get(CONFIG_MAPS, &[]).await.expect(429);
    client.ended().await;
    drop(unread);
    tls::Remote::connect(&api, Some((&pki, "admin"))).await.get(CONFIG_MAPS, &[]).await.expect(200);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_ended_and_nothing_is_kept_for_it() {
    let api = Harness::with(Limits { write_stall: Duration::from_millis(200), ..Limits::default() }, None).await;
    let mut stream = UnixStream::connect(api.socket()).await.unwrap();
    let request = format!("GET {CONFIG_MAPS}?watch=1 HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut reader = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    let (mut written, text) = (0, "x".repeat(500_000));
    for number in 0..16 {
        let mut map = super::client::config_map(&format!("m{number}"));
        map["data"]["a"] = text.as_str().into();
        written += text.len();
        api.post(CONFIG_MAPS, &map).await.expect(201);
        assert_eq!(reader.next_named().await.1, format!("m{number}"), "others are not held up");
    }
    // Nothing is read until the server has given up, which frees its watch.
    let given_up = async {
        while !stream.ready(tokio::io::Interest::READABLE).await.unwrap().is_read_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, given_up).await.expect("the server closes");
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    assert!(rest.len() < written / 2, "{} of {written} bytes had been sent", rest.len());
}

#[tokio::test]
async fn a_connection_that_asks_nothing_ends() {
    let api = tls::server(Limits { idle: Duration::from_millis(200), ..Limits::default() }).await;
    let mut client = tls::Remote::connect(&api, None).await;
    client.get("/version", &[]).await.expect(200);
    client.ended().await;
    let mut watcher = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    tls::Remote::connect(&api, None).await.ended().await;
    api.config_map("a").await;
    assert_eq!(watcher.next_named().await.1, "a", "a watch without news is not idle");
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let api = tls::server(Limits { connections_each: 2, ..Limits::default() }).await;
    let address = api.address.unwrap();
    let first = [tls::Remote::connect(&api, None).await, tls::Remote::connect(&api, None).await];
    let mut surplus = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(DEADLINE, surplus.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(closed.is_err() || answer.is_empty());
    api.get(CONFIG_MAPS).await.expect(200);
    drop(first);
}

#[tokio::test]
async fn http2_headers_are_counted_too() {
    let api = tls::server(Limits::default()).await;
    let mut client = tls::Remote::connect(&api, None).await;
    let names: Vec<String> = (0..200).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
    client.get("/version", &many).await.expect(431);
    client.get("/version", &[]).await.expect(200);
}

/// Sends a byte at a time, for ever, until the server closes; gives its answer.
async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, begin: &str) -> String {
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut answer, mut pace) = (Vec::new(), tokio::time::interval(Duration::from_millis(10)));
    let dripping = async {
        loop {
            tokio::select! {
                read = stream.read_buf(&mut answer) => if read.is_ok_and(|bytes| bytes > 0) { continue } else { return },
                _ = pace.tick() => {}
            }
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, dripping).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_drips_gains_no_time() {
    let api = Harness::with(hasty(), Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))).await;
    let connect = || async { UnixStream::connect(api.socket()).await.unwrap() };
    let (head, chunked, whole, tls) = tokio::join!(
        async { drip(connect().await, "GET /version HTTP/1.1\r\nhost: x\r\nx-slow: ").await },
        async {
            let head = "POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n";
            drip(connect().await, head).await
        },
        async { drip(connect().await, &begun("/api/v1/namespaces", "", 100_000)).await },
        async { drip(tokio::net::TcpStream::connect(api.address.unwrap()).await.unwrap(), "").await },
    );
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(chunked.starts_with("HTTP/1.1 408"), "{chunked}");
    assert!(whole.starts_with("HTTP/1.1 408"), "{whole}");
    assert!(!tls.contains("HTTP"), "{tls}");
    api.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_tls_handshake_that_never_comes_is_not_waited_for() {
    let api = Harness::with(hasty(), Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))).await;
    let mut stream = tokio::net::TcpStream::connect(api.address.unwrap()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok() && answer.is_empty());
}
