//! One connection: who is at the other end, HTTP/1.1 or HTTP/2 over it, and its
//! end when the server stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::Api;
use super::guard::Guarded;
use super::handle;
use super::identity::User;

/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 250;
/// Headers of one HTTP/1 request.
const HEADERS_MAX: usize = 128;
/// How often an HTTP/2 peer is asked whether it lives: a client that vanished
/// without a word must not hold its watches for ever.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves a connection of the Unix socket.
pub(super) async fn local(api: Arc<Api>, stream: UnixStream, permit: OwnedSemaphorePermit) {
    let user = match stream.peer_cred() {
        Ok(peer) => User::local(peer.uid(), nix::unistd::geteuid().as_raw()),
        Err(error) => {
            tracing::debug!(%error, "a local peer without credentials");
            User::anonymous()
        }
    };
    serve(api, stream, user).await;
    drop(permit);
}

/// Serves a connection of the TLS port.
pub(super) async fn remote(api: Arc<Api>, acceptor: TlsAcceptor, stream: TcpStream, permit: OwnedSemaphorePermit) {
    // Small frames of watches must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let stream = match tokio::time::timeout(api.limits.head_deadline, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let user = leaf.and_then(|leaf| User::of_certificate(leaf)).unwrap_or_else(User::anonymous);
    serve(api, stream, user).await;
    drop(permit);
}

async fn serve(api: Arc<Api>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, user: User) {
    let limits = api.limits;
    let mut shutdown = api.shutdown.clone();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let service = service_fn(move |request| {
        let (api, user) = (Arc::clone(&api), user.clone());
        async move { Ok::<_, Infallible>(handle::handle(api, user, request).await) }
    });
    let io = TokioIo::new(Guarded::new(stream, limits.head_deadline, limits.write_stall));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = super::stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
