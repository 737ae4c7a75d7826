//! Asks a broker whether it is ready.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Why a broker is not ready.
pub enum Unready {
    /// It does not answer.
    Silent,
    /// It says why.
    Says(String),
}

/// Asks `/readyz` of this `host:port`.
pub async fn ask_ready(address: &str) -> Result<(), Unready> {
    const ANSWER_BYTES_MAX: u64 = 16 * 1024;
    let ask = async || -> std::io::Result<String> {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().await.map_err(|_| Unready::Silent)?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let reason: String = body.lines().collect::<Vec<_>>().join(", ");
    let reason: String = reason.chars().take(200).collect();
    Err(Unready::Says(
        reason.trim_end_matches(['.', '?']).to_owned(),
    ))
}
