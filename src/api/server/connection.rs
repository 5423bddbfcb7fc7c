//! One connection: who is at the other end, HTTP/1.1 or HTTP/2 over it, and its
//! end when the server stops.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, watch as latest};

use super::Api;
use super::accounts::Grants;
use super::audit::Refused;
use super::credential::Known;
use super::guard::Guarded;
use super::handle;
use super::identity::{Presented, User};
use super::tokens::Tokens;
use super::traffic::{End, Traffic};
use crate::store::Snapshot;

/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 250;
/// Bytes one HTTP/2 answer may have waiting for its client: two chunks.
const STREAM_BUFFER_BYTES: usize = 128 * 1024;
/// How often an HTTP/2 peer is asked whether it lives: a client that vanished
/// without a word must not hold its watches for ever.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The other end of a connection.
pub(super) struct Peer {
    /// What the connection proves of it.
    pub(super) presented: Presented,
    /// Where it is: an address, or a user of the socket.
    pub(super) source: String,
    /// The answers it has still to take.
    pub(super) traffic: Arc<Traffic>,
}

/// Serves a connection of the Unix socket.
pub(super) async fn local(api: Arc<Api>, stream: UnixStream, permit: OwnedSemaphorePermit) {
    let (presented, source) = match stream.peer_cred() {
        Ok(peer) => {
            let user = User::local(peer.uid(), nix::unistd::geteuid().as_raw());
            (Presented::Peer(user), format!("unix:{}", peer.uid()))
        }
        Err(error) => {
            tracing::debug!(%error, "a local peer without credentials");
            (Presented::Nothing, "unix".to_owned())
        }
    };
    serve(api, stream, presented, source).await;
    drop(permit);
}

/// Serves a connection of the TLS port.
pub(super) async fn remote(api: Arc<Api>, stream: TcpStream, from: SocketAddr, permit: OwnedSemaphorePermit) {
    let Some(door) = &api.door else { return };
    let source = source(from.ip());
    let Some(held) = api.connections.take(&source, 1) else {
        let reason = "too many connections from one address";
        return api.audit.refused(&Refused { user: "", verb: "connect", path: "", source: &source, code: 429, reason });
    };
    // Small frames of watches must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let front = door.front(crate::clock::now()).await;
    let stream = match tokio::time::timeout(api.limits.head_deadline, front.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let presented = front.presented(session.peer_certificates(), crate::clock::now());
    serve(Arc::clone(&api), stream, presented, source).await;
    drop((held, permit));
}

/// Who counts as one client by its address: in IPv6 a whole network, because one
/// host has as many addresses as it likes.
fn source(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_loopback() => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

async fn serve(
    api: Arc<Api>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    presented: Presented,
    source: String,
) {
    let limits = api.limits;
    let mut shutdown = api.shutdown.clone();
    let grounds = Grounds {
        tokens: api.tokens.subscribe(),
        grants: api.accounts.grants.subscribe(),
        snapshots: api.store.subscribe(),
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_headers(handle::HEADERS_MAX)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(STREAM_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let traffic = Traffic::new(limits.write_stall, limits.idle);
    let peer = Arc::new(Peer { presented, source, traffic: Arc::clone(&traffic) });
    let server = Arc::clone(&api);
    let service = service_fn(move |request| {
        let (api, peer) = (Arc::clone(&server), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(handle::handle(api, peer, request).await) }
    });
    let io = TokioIo::new(Guarded::new(stream, limits.head_deadline, limits.write_stall));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        why = end(&api, &traffic, grounds) => {
            tracing::debug!(?why, "ending a connection");
            if why == End::Unread {
                return;
            }
            connection.as_mut().graceful_shutdown();
            // What is under way may end; streams of a token taken away do not go on.
            tokio::time::timeout(limits.drain, connection).await.unwrap_or(Ok(()))
        }
        () = super::stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What tokens rest on.
struct Grounds {
    tokens: latest::Receiver<Arc<Tokens>>,
    grants: latest::Receiver<Arc<Grants>>,
    snapshots: latest::Receiver<Arc<Snapshot>>,
}

/// Waits for a reason to end the connection from our side.
async fn end(api: &Api, traffic: &Traffic, mut grounds: Grounds) -> End {
    loop {
        let Grounds { tokens, grants, snapshots } = &mut grounds;
        tokio::select! {
            why = traffic.ended() => return why,
            () = traffic.used() => {}
            () = changed(tokens) => {}
            () = changed(grants) => {}
            // Nobody else is woken by every write.
            () = changed(snapshots), if traffic.rests_on_objects() => {}
        }
        if !traffic.is_good(&Known::now(api), crate::clock::now()) {
            return End::Revoked;
        }
    }
}

/// Waits for a change. That none can come any more is none.
async fn changed<T>(newest: &mut latest::Receiver<T>) {
    if newest.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_one_client() {
        for (ip, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(source(ip.parse().unwrap()), expected);
        }
    }
}
