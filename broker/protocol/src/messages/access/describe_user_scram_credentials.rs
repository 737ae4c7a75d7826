//! DescribeUserScramCredentials: the request and its answer.

use crate::codec::Kafka;

/// Asks which SCRAM credentials users have.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeUserScramCredentials,
    versions = "0",
    flexible = "0+",
    response = DescribeUserScramCredentialsResponse
)]
pub struct DescribeUserScramCredentialsRequest {
    #[kafka(nullable = "0+")]
    pub users: Option<Vec<UserName>>,
}

/// One entry of [`DescribeUserScramCredentialsRequest::users`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct UserName {
    pub name: String,
}

/// Their mechanisms and iterations.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeUserScramCredentialsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub results: Vec<DescribeUserScramCredentialsResult>,
}

/// One entry of [`DescribeUserScramCredentialsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeUserScramCredentialsResult {
    pub user: String,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub credential_infos: Vec<CredentialInfo>,
}

/// One entry of [`DescribeUserScramCredentialsResult::credential_infos`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CredentialInfo {
    pub mechanism: i8,
    pub iterations: i32,
}
