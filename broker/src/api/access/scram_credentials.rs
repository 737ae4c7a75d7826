//! Who may log in by SCRAM: AlterUserScramCredentials and DescribeUserScramCredentials (KIP-554).

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::acl::Operation;
use ottla_core::authentication::{Credential, Mechanism};
use ottla_core::image::MetadataImage;
use ottla_core::metadata::Refusal;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, CredentialInfo, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};

use crate::api::forward::{submit_with, until};
use crate::api::{Context, RequestContext};
use crate::authorizer::sentence;

/// AlterUserScramCredentials; answers once it is in force here.
pub async fn alter_user_scram_credentials(
    context: &Context,
    request: &RequestContext,
    body: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let permission = context.access(request).cluster(Operation::Alter);
    let key = |name: &str, number| Some((name.to_owned(), Mechanism::scram_numbered(number)?));
    let set = body.upsertions.iter().filter_map(|u| {
        let key = key(&u.name, u.mechanism)?;
        let credential = Credential::of(key.1, u.salt.clone(), u.iterations, &u.salted_password);
        Some((key, credential))
    });
    let gone = body
        .deletions
        .iter()
        .filter_map(|d| key(&d.name, d.mechanism));
    let (set, gone): (Vec<_>, Vec<_>) = (set.collect(), gone.collect());
    let names = body.upsertions.iter().map(|u| &u.name);
    let names = names.chain(body.deletions.iter().map(|d| &d.name));
    let users: BTreeSet<String> = names.cloned().collect();
    match submit_with(context, permission, body).await {
        Ok(response) => {
            let done = response
                .results
                .iter()
                .filter(|result| result.error_code == 0);
            let done: BTreeSet<&str> = done.map(|result| result.user.as_str()).collect();
            let holds = |image: &MetadataImage, key: &(String, Mechanism), wanted| {
                let has = image.scram_credentials.get(key);
                !done.contains(key.0.as_str()) || has == wanted
            };
            until(context, |image| {
                set.iter().all(|(key, made)| holds(image, key, Some(made)))
                    && gone.iter().all(|key| holds(image, key, None))
            })
            .await;
            response
        }
        Err((error, message)) => {
            let refused = |user| AlterUserScramCredentialsResult {
                user,
                error_code: error.code(),
                error_message: Some(message.clone()),
            };
            AlterUserScramCredentialsResponse {
                throttle_time_ms: 0,
                results: users.into_iter().map(refused).collect(),
            }
        }
    }
}

/// DescribeUserScramCredentials: of these users, or of all.
pub async fn describe_user_scram_credentials(
    context: &Context,
    request: &RequestContext,
    body: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    if let Err(error) = context.access(request).cluster(Operation::Describe) {
        return DescribeUserScramCredentialsResponse {
            error_code: error.code(),
            error_message: Some(sentence(error)),
            ..DescribeUserScramCredentialsResponse::default()
        };
    }
    let image = context.controller.image();
    let asked = body.users.unwrap_or_default();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for user in &asked {
        *counts.entry(&user.name).or_default() += 1;
    }
    let all = image
        .scram_credentials
        .keys()
        .map(|(user, _)| user.as_str());
    let users: BTreeMap<&str, usize> = match counts.is_empty() {
        true => all.map(|user| (user, 1)).collect(),
        false => counts,
    };
    let results = users.into_iter().map(|(user, count)| match count {
        1 => described(&image, user),
        _ => refused(
            user,
            ErrorCode::DuplicateResource,
            format!(
                "Cannot describe SCRAM credentials for the same user twice in a single request: \
                 {user}"
            ),
        ),
    });
    DescribeUserScramCredentialsResponse {
        results: results.collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}

fn described(image: &MetadataImage, user: &str) -> DescribeUserScramCredentialsResult {
    let infos = Mechanism::ALL.into_iter().filter_map(|mechanism| {
        let key = (user.to_owned(), mechanism);
        let credential = image.scram_credentials.get(&key)?;
        Some(CredentialInfo {
            mechanism: mechanism.scram_number()?,
            iterations: credential.iterations,
        })
    });
    let credential_infos: Vec<CredentialInfo> = infos.collect();
    if credential_infos.is_empty() {
        return refused(
            user,
            ErrorCode::ResourceNotFound,
            format!("Attempt to describe a user credential that does not exist: {user}"),
        );
    }
    DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        credential_infos,
        ..DescribeUserScramCredentialsResult::default()
    }
}

fn refused(user: &str, error: ErrorCode, message: String) -> DescribeUserScramCredentialsResult {
    let refusal = Refusal::new(error, message);
    DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        error_code: refusal.error_code,
        error_message: Some(refusal.message),
        credential_infos: Vec::new(),
    }
}
