//! Asks a broker whether it is ready.

use crate::platform::pages;

/// Why a broker is not ready.
pub enum Unready {
    /// It does not answer.
    Silent,
    /// It says why.
    Says(String),
}

/// Asks `/readyz` of this `host:port`.
pub async fn ask_ready(address: &str) -> Result<(), Unready> {
    let got = pages::get(address, "/readyz").await;
    let (status, body) = got.map_err(|_| Unready::Silent)?;
    if status == "200" {
        return Ok(());
    }
    let reason: String = body.lines().collect::<Vec<_>>().join(", ");
    let reason: String = reason.chars().take(200).collect();
    Err(Unready::Says(
        reason.trim_end_matches(['.', '?']).to_owned(),
    ))
}
