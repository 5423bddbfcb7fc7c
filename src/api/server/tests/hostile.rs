//! What a hostile or broken client sends: none of it ends the server.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::super::{Limits, ServeError, listen};
use super::client::{CONFIG_MAPS, DEADLINE, Harness};

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
