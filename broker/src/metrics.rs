//! What a broker counts, and where it tells: `/metrics`, `/livez`, `/readyz`.

use ottla_protocol::api::ApiKey;

/// The counters of one broker.
#[derive(Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// Counts a request that has begun.
    pub fn request(&self, api: ApiKey) {
        let _ = api;
    }
}
