//! Creating, renewing and ending delegation tokens (KIP-48).
//!
//! Invariants: no token outlives its max timestamp, nor lives on for longer at a time than the
//! settings say; only its owner and its renewers change it; without a secret in the brokers' files
//! there is none.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;

use super::request::tokens::{CreateDelegationToken, ExpireDelegationToken, RenewDelegationToken};
use super::request::{Refusal, Response};
use super::{Decision, Metadata, Moment};
use crate::image::record::{DelegationTokenRecord, Record, RemoveDelegationTokenRecord};

/// The setting that has the secret.
pub const SECRET: &str = "delegation.token.secret.key";

const LIFETIME_MAX: &str = "delegation.token.max.lifetime.ms";
const EXPIRY: &str = "delegation.token.expiry.time.ms";

/// The most tokens that one principal may have asked for at a time.
const OF_ONE_REQUESTER_MAX: usize = 1000;

/// The most principals that may renew a token.
const RENEWERS_MAX: usize = 100;

/// How long the names of all that have to do with a token may be together. The metadata of every
/// broker keep them.
const PRINCIPALS_BYTES_MAX: usize = 8192;

impl Metadata {
    pub(super) fn create_delegation_token(
        &self,
        moment: Moment,
        request: &CreateDelegationToken,
    ) -> Decision {
        let (record, answer) = match self.created(moment, request) {
            Ok(token) => (Some(Record::DelegationToken(token.clone())), Ok(token)),
            Err(refusal) => (None, Err(refusal)),
        };
        Decision {
            records: record.into_iter().collect(),
            response: Response::CreateDelegationToken(answer),
        }
    }

    fn created(
        &self,
        moment: Moment,
        request: &CreateDelegationToken,
    ) -> Result<DelegationTokenRecord, Refusal> {
        self.check_enabled()?;
        if request.renewers.len() > RENEWERS_MAX {
            let message = format!("A token has at most {RENEWERS_MAX} renewers.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let named = [&request.owner, &request.requester];
        let named = named.into_iter().chain(&request.renewers);
        if named.map(String::len).sum::<usize>() > PRINCIPALS_BYTES_MAX {
            let message = format!(
                "A token's owner, requester and renewers have at most {PRINCIPALS_BYTES_MAX} bytes \
                 together."
            );
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let tokens = self.image.delegation_tokens.values();
        let of_requester = tokens.filter(|token| token.requester == request.requester);
        if of_requester.count() >= OF_ONE_REQUESTER_MAX {
            let message = format!(
                "{} has asked for {OF_ONE_REQUESTER_MAX} tokens that are still there; have some \
                 expire.",
                request.requester
            );
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        let now_ms = moment.now_ms;
        let longest_ms = self.token_time_ms(LIFETIME_MAX);
        let lifetime_ms = match request.max_lifetime_ms {
            ..=0 => longest_ms,
            asked => asked.min(longest_ms),
        };
        let max_ms = now_ms.saturating_add(lifetime_ms);
        let expiry_ms = now_ms.saturating_add(self.token_time_ms(EXPIRY));
        let renewers: BTreeSet<String> = request.renewers.iter().cloned().collect();
        Ok(DelegationTokenRecord {
            token_id: request.token_id.clone(),
            owner: request.owner.clone(),
            requester: request.requester.clone(),
            renewers: renewers.into_iter().collect(),
            issued_ms: now_ms,
            max_ms,
            expiry_ms: expiry_ms.min(max_ms),
        })
    }

    pub(super) fn renew_delegation_token(
        &self,
        moment: Moment,
        request: &RenewDelegationToken,
    ) -> Decision {
        let renewed = || {
            let token = self.token_to_change(moment, &request.token_id, &request.requester)?;
            let longest_ms = self.token_time_ms(EXPIRY);
            let period_ms = match request.period_ms {
                ..=0 => longest_ms,
                asked => asked.min(longest_ms),
            };
            Ok(ending(token, moment, period_ms))
        };
        let (records, answer) = changed(renewed());
        let response = Response::RenewDelegationToken(answer);
        Decision { records, response }
    }

    pub(super) fn expire_delegation_token(
        &self,
        moment: Moment,
        request: &ExpireDelegationToken,
    ) -> Decision {
        let expired = || {
            let token = self.token_to_change(moment, &request.token_id, &request.requester)?;
            if request.period_ms < 0 {
                return Ok((removed(&token.token_id), request.period_ms));
            }
            Ok(ending(token, moment, request.period_ms))
        };
        let (records, answer) = changed(expired());
        let response = Response::ExpireDelegationToken(answer);
        Decision { records, response }
    }

    pub(super) fn remove_expired_tokens(&self, moment: Moment) -> Decision {
        let tokens = self.image.delegation_tokens.values();
        let over = tokens.filter(|token| token.is_over(moment.now_ms));
        let records: Vec<Record> = over.map(|token| removed(&token.token_id)).collect();
        let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        Decision {
            records,
            response: Response::RemoveExpiredTokens(Ok(count)),
        }
    }

    fn check_enabled(&self) -> Result<(), Refusal> {
        let secret = self.static_configs.get(SECRET);
        if secret.is_some_and(|secret| !secret.to_string().is_empty()) {
            return Ok(());
        }
        let message = "Delegation Token feature is not enabled: set delegation.token.secret.key.";
        Err(Refusal::new(
            ErrorCode::DelegationTokenAuthDisabled,
            message,
        ))
    }

    /// The token of that id, where it holds still and `who` may change it: asked in Kafka's order.
    fn token_to_change(
        &self,
        moment: Moment,
        id: &str,
        who: &str,
    ) -> Result<&DelegationTokenRecord, Refusal> {
        self.check_enabled()?;
        let refuse = |error: ErrorCode, message: &str| Err(Refusal::new(error, message));
        let Some(token) = self.image.delegation_tokens.get(id) else {
            return refuse(
                ErrorCode::DelegationTokenNotFound,
                "There is no such token.",
            );
        };
        if token.is_over(moment.now_ms) {
            return refuse(ErrorCode::DelegationTokenExpired, "The token has expired.");
        }
        if token.owner != who && !token.renewers.iter().any(|renewer| renewer == who) {
            let message = "Only its owner and its renewers change a token.";
            return refuse(ErrorCode::DelegationTokenOwnerMismatch, message);
        }
        Ok(token)
    }

    fn token_time_ms(&self, setting: &str) -> i64 {
        let layers = self.image.layers(None, &self.static_configs);
        layers.get(setting).number()
    }
}

/// The token with another end, and when that is.
fn ending(token: &DelegationTokenRecord, moment: Moment, period_ms: i64) -> (Record, i64) {
    let expiry_ms = moment.now_ms.saturating_add(period_ms).min(token.max_ms);
    let record = DelegationTokenRecord {
        expiry_ms,
        ..token.clone()
    };
    (Record::DelegationToken(record), expiry_ms)
}

fn removed(token_id: &str) -> Record {
    Record::RemoveDelegationToken(RemoveDelegationTokenRecord {
        token_id: token_id.to_owned(),
    })
}

fn changed(outcome: Result<(Record, i64), Refusal>) -> (Vec<Record>, Result<i64, Refusal>) {
    match outcome {
        Ok((record, expiry_ms)) => (vec![record], Ok(expiry_ms)),
        Err(refusal) => (Vec::new(), Err(refusal)),
    }
}
