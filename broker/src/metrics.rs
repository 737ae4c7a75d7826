//! What a broker counts, and where it tells: `/metrics`, `/livez`, `/readyz`.

/// The counters of one broker.
#[derive(Debug, Default)]
pub struct Metrics;
