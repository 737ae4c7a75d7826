//! `/metrics`, `/livez` and `/readyz`, of a broker `/pre-restart-check` too, for GET and HEAD; one
//! request a connection.
//!
//! No client can hold more than a place for a while: requests at a time, their heads and their time
//! are limited.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A request's head at most, which is also hyper's least.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long a connection may take, its answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests at a time.
const REQUESTS_MAX: usize = 32;

/// How long accepting waits after the system refused a descriptor.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The media type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages say.
pub trait Pages: Send + Sync + 'static {
    /// The page for Prometheus.
    fn metrics(&self) -> String;

    /// Whether the process serves.
    ///
    /// # Errors
    /// What it waits for.
    fn ready(&self) -> Result<(), String>;

    /// What a restart of a broker would harm now, as JSON; of this one where none is named. None
    /// where the process is no broker.
    fn restart_check(&self, _broker: Option<i32>) -> Made<'_> {
        Box::pin(std::future::ready(None))
    }
}

/// A page that others have to be asked for.
pub type Made<'a> = Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;

/// Where connections come from.
pub trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(Self::accept(self).await?.0)
    }
}

/// Answers whoever connects, for as long as it is polled.
pub async fn serve(listener: impl Accept, pages: Arc<dyn Pages>) {
    let router = router(pages);
    let seats = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            continue;
        };
        let answering = http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(HEAD_BYTES_MAX)
            // the whole connection has a limit
            .header_read_timeout(None)
            // nobody needs it, and a simulation has its own time of day
            .auto_date_header(false)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(router.clone()),
            );
        tokio::spawn(async move {
            // a client that fails or dawdles is its own problem
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, answering).await;
            drop(seat);
        });
    }
}

type Asked = State<Arc<dyn Pages>>;

fn router(pages: Arc<dyn Pages>) -> Router {
    let metrics = async |State(pages): Asked| ([(CONTENT_TYPE, PROMETHEUS)], pages.metrics());
    let ready = async |State(pages): Asked| match pages.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    let restart_check = async |State(pages): Asked, uri: Uri| {
        let broker = uri.query().and_then(|query| query.strip_prefix("broker="));
        let broker = broker.and_then(|broker| broker.parse().ok());
        match pages.restart_check(broker).await {
            Some(page) => ([(CONTENT_TYPE, "application/json")], page).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let refuse = |status: StatusCode, sentence: &'static str| {
        move || std::future::ready((status, sentence).into_response())
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get("live\n"))
        .route("/readyz", get(ready))
        .route("/pre-restart-check", get(restart_check))
        .fallback(refuse(StatusCode::NOT_FOUND, "/metrics, /livez, /readyz\n"))
        .method_not_allowed_fallback(refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET and HEAD only\n",
        ))
        .with_state(pages)
}

#[cfg(test)]
mod tests;
