//! Setting and deleting users' credentials of SCRAM (KIP-554).
//!
//! A user stands for itself: where one thing that is asked of it is wrong, nothing of it is done.
//! The client salts and hashes the password; what is kept here is made of that.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, ScramCredentialDeletion, ScramCredentialUpsertion,
};

use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::authentication::scram::{ITERATIONS_MAX, ITERATIONS_MIN};
use crate::authentication::{Credential, Mechanism};
use crate::image::record::{Record, RemoveScramCredentialRecord, ScramCredentialRecord};

/// What becomes of one user: its records by mechanism, or why none.
type Outcome = Result<BTreeMap<Mechanism, Record>, Refusal>;

impl Metadata {
    pub(super) fn alter_user_scram_credentials(
        &self,
        request: &AlterUserScramCredentialsRequest,
    ) -> Decision {
        let mut users: BTreeMap<&str, Outcome> = BTreeMap::new();
        for deletion in &request.deletions {
            note(&mut users, &deletion.name, self.deleted(deletion));
        }
        for upsertion in &request.upsertions {
            note(&mut users, &upsertion.name, upserted(upsertion));
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(users.len());
        for (user, outcome) in users {
            let refusal = match outcome {
                Ok(of_user) => {
                    records.extend(of_user.into_values());
                    None
                }
                Err(refusal) => Some(refusal),
            };
            results.push(AlterUserScramCredentialsResult {
                user: user.to_owned(),
                error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                error_message: refusal.map(|r| r.message),
            });
        }
        Decision {
            records,
            response: Response::AlterUserScramCredentials(AlterUserScramCredentialsResponse {
                throttle_time_ms: 0,
                results,
            }),
        }
    }

    fn deleted(&self, deletion: &ScramCredentialDeletion) -> Result<(Mechanism, Record), Refusal> {
        let mechanism = checked(&deletion.name, deletion.mechanism)?;
        let key = (deletion.name.clone(), mechanism);
        if !self.image.scram_credentials.contains_key(&key) {
            return Err(Refusal::new(
                ErrorCode::ResourceNotFound,
                "Attempt to delete a user credential that does not exist",
            ));
        }
        let record = Record::RemoveScramCredential(RemoveScramCredentialRecord {
            name: deletion.name.clone(),
            mechanism: deletion.mechanism,
        });
        Ok((mechanism, record))
    }
}

fn upserted(asked: &ScramCredentialUpsertion) -> Result<(Mechanism, Record), Refusal> {
    let mechanism = checked(&asked.name, asked.mechanism)?;
    let unacceptable = |message| Err(Refusal::new(ErrorCode::UnacceptableCredential, message));
    match asked.iterations {
        ..ITERATIONS_MIN => return unacceptable("Too few iterations"),
        ITERATIONS_MIN..=ITERATIONS_MAX => {}
        _ => return unacceptable("Too many iterations"),
    }
    let salt = asked.salt.clone();
    let credential = Credential::of(mechanism, salt, asked.iterations, &asked.salted_password);
    let record = ScramCredentialRecord::of(&asked.name, mechanism, &credential);
    Ok((mechanism, Record::ScramCredential(record)))
}

/// The mechanism of that number, where the user can have a credential of it.
fn checked(user: &str, mechanism: i8) -> Result<Mechanism, Refusal> {
    if user.is_empty() {
        return Err(Refusal::new(
            ErrorCode::UnacceptableCredential,
            "Username must not be empty",
        ));
    }
    Mechanism::scram_numbered(mechanism).ok_or_else(|| {
        Refusal::new(
            ErrorCode::UnsupportedSaslMechanism,
            "Unknown SCRAM mechanism",
        )
    })
}

fn note<'a>(
    users: &mut BTreeMap<&'a str, Outcome>,
    user: &'a str,
    asked: Result<(Mechanism, Record), Refusal>,
) {
    let known = users.entry(user).or_insert_with(|| Ok(BTreeMap::new()));
    let Ok(records) = known else {
        return; // the first refusal is told
    };
    let twice = || {
        Refusal::new(
            ErrorCode::DuplicateResource,
            "A user credential cannot be altered twice in the same request",
        )
    };
    match asked {
        Err(refusal) => *known = Err(refusal),
        Ok((mechanism, record)) => {
            if records.insert(mechanism, record).is_some() {
                *known = Err(twice());
            }
        }
    }
}
