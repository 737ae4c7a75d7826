//! What brokers tell on their pages for probes, asked by HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::observed::RestartCheck;

/// How long a page may take; a probe has a shorter limit of its own.
const PAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Gets a page of this `host:port`: its status, and its body.
///
/// # Errors
/// Those of the connection.
pub async fn get(address: &str, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.to_owned(), body.to_owned()))
}

/// Asks the broker at this `host:port` what a restart of `broker` would harm. A broker of before
/// the page says nothing against its own; of another it does not know.
///
/// # Errors
/// Why there is no answer, as half a sentence.
pub async fn restart_check(
    address: &str,
    broker: i32,
    is_own: bool,
) -> Result<RestartCheck, String> {
    let path = format!("/pre-restart-check?broker={broker}");
    let got = tokio::time::timeout(PAGE_TIMEOUT, get(address, &path)).await;
    let got = got.map_err(|_| format!("{address} gives no answer in {PAGE_TIMEOUT:?}"))?;
    let (status, body) = got.map_err(|error| format!("{address} cannot be asked: {error}"))?;
    if status == "404" && is_own {
        return Ok(RestartCheck::default());
    }
    let check = serde_json::from_str(&body);
    check.map_err(|error| format!("{address} answers what is no check: {error}"))
}
