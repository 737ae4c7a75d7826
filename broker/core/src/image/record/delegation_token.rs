//! The records of delegation tokens.

use ottla_protocol::codec::Kafka;

/// See [`super::Record::DelegationToken`]. Principals are written as in ACLs. The token's HMAC is
/// made of its id and a secret in the brokers' files.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DelegationTokenRecord {
    /// The token's id.
    pub token_id: String,
    /// As whom it logs in.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who else may renew it.
    pub renewers: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: i64,
    /// When it ends at the latest.
    pub max_ms: i64,
    /// When it ends unless it is renewed.
    pub expiry_ms: i64,
}

impl DelegationTokenRecord {
    /// Whether it has ended by that time in milliseconds since 1970.
    #[must_use]
    pub fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.expiry_ms.min(self.max_ms)
    }

    /// Whether the principal owns it, has asked for it or may renew it.
    #[must_use]
    pub fn is_known_to(&self, principal: &str) -> bool {
        let mut known = [&self.owner, &self.requester]
            .into_iter()
            .chain(&self.renewers);
        known.any(|known| known == principal)
    }
}

/// See [`super::Record::RemoveDelegationToken`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveDelegationTokenRecord {
    /// The token's id.
    pub token_id: String,
}
