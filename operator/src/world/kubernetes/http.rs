//! `/metrics`, `/livez` and `/readyz`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 4096;
/// How long a request may take.
const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What the operator counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// KafkaClusters that exist.
    pub clusters: AtomicU64,
    /// KafkaTopics that exist.
    pub topics: AtomicU64,
    /// Statuses written.
    pub statuses: AtomicU64,
    /// Writes that the API server refused.
    pub refusals: AtomicU64,
}

/// The page with the counts. Cheap to clone.
pub type Page = Arc<Counts>;

/// Listens from now on.
///
/// # Errors
/// The address cannot be had.
pub async fn serve(address: &str, page: Page) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::task::spawn_local(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let page = Arc::clone(&page);
                tokio::task::spawn_local(async move {
                    // A client that goes away has its answer.
                    let _ = tokio::time::timeout(REQUEST_TIMEOUT, answer(stream, &page)).await;
                });
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream, page: &Counts) -> std::io::Result<()> {
    let mut request = vec![0; REQUEST_BYTES_MAX];
    let read = stream.read(&mut request).await?;
    let text = String::from_utf8_lossy(&request[..read]).into_owned();
    let path = text.split_whitespace().nth(1).unwrap_or_default();
    let (status, body) = match path {
        "/livez" | "/readyz" | "/healthz" => ("200 OK", "ok\n".to_owned()),
        "/metrics" => ("200 OK", metrics(page)),
        _ => ("404 Not Found", "/metrics, /livez, /readyz\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn metrics(page: &Counts) -> String {
    let rows = [
        (
            "ottla_operator_clusters",
            "gauge",
            "KafkaClusters that exist.",
            &page.clusters,
        ),
        (
            "ottla_operator_topics",
            "gauge",
            "KafkaTopics that exist.",
            &page.topics,
        ),
        (
            "ottla_operator_status_writes_total",
            "counter",
            "Statuses written.",
            &page.statuses,
        ),
        (
            "ottla_operator_refused_writes_total",
            "counter",
            "Writes that the API server refused.",
            &page.refusals,
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        let value = value.load(Ordering::Relaxed);
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    }
    let resident = resident_bytes();
    let _ = write!(
        text,
        "# HELP process_resident_memory_bytes Resident memory of the process.\n\
         # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {resident}\n"
    );
    text
}

/// The process's resident memory, from the kernel.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
