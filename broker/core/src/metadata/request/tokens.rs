//! What is asked of delegation tokens.

use ottla_protocol::codec::Kafka;

/// See [`super::Request::CreateDelegationToken`]; the answer is the token as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct CreateDelegationToken {
    /// The token's id, drawn by who asks.
    pub token_id: String,
    /// Whose token it is to be.
    pub owner: String,
    /// Who asks for it.
    pub requester: String,
    /// Who else may renew it.
    pub renewers: Vec<String>,
    /// How long it may live at most; 0 or less for as long as there is.
    pub max_lifetime_ms: i64,
}

/// See [`super::Request::RenewDelegationToken`]; the answer is when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RenewDelegationToken {
    /// The token's id, which the broker that was asked knows by the HMAC.
    pub token_id: String,
    /// Who asks.
    pub requester: String,
    /// How long it is to live from now; 0 or less for as long as the settings say.
    pub period_ms: i64,
}

/// See [`super::Request::ExpireDelegationToken`]; the answer is when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ExpireDelegationToken {
    /// The token's id, which the broker that was asked knows by the HMAC.
    pub token_id: String,
    /// Who asks.
    pub requester: String,
    /// How long it is to live from now; negative to end it at once.
    pub period_ms: i64,
}

/// See [`super::Request::RemoveExpiredTokens`]; the answer is how many have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveExpiredTokens {}
