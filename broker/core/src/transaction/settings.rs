//! What an operator sets about transactions, under Kafka's names.

/// The settings of transactional ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `transaction.max.timeout.ms`
    pub timeout_max_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub id_expiration_check_interval_ms: u64,
    /// `transaction.two.phase.commit.enable`
    pub two_phase_commit: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout_max_ms: 900_000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1_000,
            id_expiration_check_interval_ms: 3_600_000,
            two_phase_commit: false,
        }
    }
}
