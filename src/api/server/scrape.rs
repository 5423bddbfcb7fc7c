//! The metrics port: `/metrics` over plain HTTP for scrapers without a
//! certificate, and nothing else. Only where `--metrics-listen` asks for it.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::answer::Answer;
use super::guard::Guarded;
use super::stream::AnswerBody;

/// Scrapers at once: apart from the API's connections, so that neither starves the other.
pub(super) const SCRAPERS_MAX: usize = 16;
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers, as Prometheus reads them.
pub(super) async fn metrics(api: &Api) -> Answer {
    // Reading the kernel blocks.
    let metrics = Arc::clone(&api.metrics);
    let text = tokio::task::spawn_blocking(move || metrics()).await.unwrap_or_default();
    Answer::new(200, FORMAT, text.into_bytes())
}

/// Serves a connection of the metrics port.
pub(super) async fn serve(api: Arc<Api>, stream: TcpStream, permit: OwnedSemaphorePermit) {
    let limits = api.limits;
    let mut shutdown = api.shutdown.clone();
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(answer(&api, &request).await) }
    });
    let io = TokioIo::new(Guarded::new(stream, limits.head_deadline, limits.write_stall));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head_deadline).max_buf_size(limits.head_bytes);
    let ended = tokio::select! {
        ended = builder.serve_connection(io, service) => ended,
        () = super::stopped(&mut shutdown) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a scraper's connection ended early");
    }
    drop(permit);
}

async fn answer(api: &Api, request: &Request<Incoming>) -> Response<AnswerBody> {
    let answer = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => metrics(api).await,
        (_, "/metrics") => Answer::text(405, "405 method not allowed\n"),
        _ => Answer::text(404, "404 page not found: only /metrics is served here\n"),
    };
    answer.into_response()
}
