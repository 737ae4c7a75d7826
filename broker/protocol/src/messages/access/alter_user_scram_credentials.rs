//! AlterUserScramCredentials: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Sets and deletes SCRAM credentials.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AlterUserScramCredentials,
    versions = "0",
    flexible = "0+",
    response = AlterUserScramCredentialsResponse
)]
pub struct AlterUserScramCredentialsRequest {
    pub deletions: Vec<ScramCredentialDeletion>,
    pub upsertions: Vec<ScramCredentialUpsertion>,
}

/// One entry of [`AlterUserScramCredentialsRequest::deletions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ScramCredentialDeletion {
    pub name: String,
    pub mechanism: i8,
}

/// One entry of [`AlterUserScramCredentialsRequest::upsertions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ScramCredentialUpsertion {
    pub name: String,
    pub mechanism: i8,
    pub iterations: i32,
    pub salt: Bytes,
    pub salted_password: Bytes,
}

/// What became of each user.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct AlterUserScramCredentialsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<AlterUserScramCredentialsResult>,
}

/// One entry of [`AlterUserScramCredentialsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterUserScramCredentialsResult {
    pub user: String,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
