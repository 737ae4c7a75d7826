//! `/metrics`, `/livez` and `/readyz`: GET only, one request a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};

use crate::stream::{Listener, Stream};

/// A request's head at most.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests at a time.
const REQUESTS_MAX: usize = 32;

/// What the pages say.
pub trait Pages: Send + Sync + 'static {
    /// The page for Prometheus.
    fn metrics(&self) -> String;
    /// Whether the broker is ready.
    ///
    /// # Errors
    /// What it waits for.
    fn ready(&self) -> Result<(), String>;
}

/// Answers on `listener` until `stop` becomes true.
pub async fn serve(listener: Listener, pages: Arc<dyn Pages>, mut stop: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            // a client that fails or dawdles is its own problem
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, answer(stream, &*pages)).await;
            drop(seat);
        });
    }
}

async fn answer(mut stream: Stream, pages: &dyn Pages) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let path = line
        .strip_prefix("GET ")
        .and_then(|rest| rest.split([' ', '?']).next());
    let (status, kind, body) = match path {
        Some("/metrics") => ("200 OK", "text/plain; version=0.0.4", pages.metrics()),
        Some("/livez") => ("200 OK", "text/plain", "live\n".to_owned()),
        Some("/readyz") => match pages.ready() {
            Ok(()) => ("200 OK", "text/plain", "ready\n".to_owned()),
            Err(reason) => (
                "503 Service Unavailable",
                "text/plain",
                format!("{reason}\n"),
            ),
        },
        Some(_) => (
            "404 Not Found",
            "text/plain",
            "/metrics, /livez, /readyz\n".to_owned(),
        ),
        None => (
            "405 Method Not Allowed",
            "text/plain",
            "GET only\n".to_owned(),
        ),
    };
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
