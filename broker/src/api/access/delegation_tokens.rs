//! Delegation tokens: CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken and
//! DescribeDelegationToken (KIP-48, KIP-373).
//!
//! Who has not shown who it is, or only by a token, makes none and hears of none.

use bytes::Bytes;
use ottla_core::acl::{ANONYMOUS, Operation, ResourceType};
use ottla_core::authentication::delegation;
use ottla_core::config::settings::security::Protocol;
use ottla_core::image::record::DelegationTokenRecord;
use ottla_core::metadata::Refusal;
use ottla_core::metadata::request::tokens::{
    CreateDelegationToken, ExpireDelegationToken, RenewDelegationToken,
};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, DescribedDelegationToken, DescribedDelegationTokenRenewer,
    ExpireDelegationTokenRequest, ExpireDelegationTokenResponse, RenewDelegationTokenRequest,
    RenewDelegationTokenResponse,
};

use crate::api::forward::{submit, until};
use crate::api::{Context, RequestContext};

/// The one type of principals that there is.
const USER: &str = "User";

/// Since which version requests and answers tell the owner and who asked apart.
const REQUESTER_SINCE: i16 = 3;

/// CreateDelegationToken; answers once the token logs in here.
pub async fn create_delegation_token(
    context: &Context,
    request: &RequestContext,
    body: CreateDelegationTokenRequest,
) -> CreateDelegationTokenResponse {
    let requester = request.principal.name.to_string();
    let named =
        |kind: Option<String>, name: String| principal(kind.as_deref().unwrap_or(USER), &name);
    let owner = match body.owner_principal_name.filter(|name| !name.is_empty()) {
        Some(name) => named(body.owner_principal_type, name),
        None => requester.clone(),
    };
    let requester_told = told_since(request, &requester);
    let refused = |error: ErrorCode| answer_of_none(error, &owner, requester_told.clone());
    if !may_ask(context, request) {
        return refused(ErrorCode::DelegationTokenRequestNotAllowed);
    }
    let access = context.access(request);
    if owner != requester
        && let Err(error) = access.user(Operation::CreateTokens, &owner)
    {
        return refused(error);
    }
    if body
        .renewers
        .iter()
        .any(|renewer| renewer.principal_type != USER)
    {
        return refused(ErrorCode::InvalidPrincipalType);
    }
    let Some(secret) = &context.settings.delegation_token_secret else {
        return refused(ErrorCode::DelegationTokenAuthDisabled);
    };
    let renewers = body.renewers.iter();
    let renewers = renewers.map(|renewer| principal(USER, &renewer.principal_name));
    let asked = CreateDelegationToken {
        token_id: context.env.random_uuid().to_string(),
        owner: owner.clone(),
        requester: requester.clone(),
        renewers: renewers.collect(),
        max_lifetime_ms: body.max_lifetime_ms,
    };
    let token = match decided(submit(context, asked).await) {
        Ok(token) => token,
        Err(error) => return refused(error),
    };
    until(context, |image| {
        image.delegation_tokens.contains_key(&token.token_id)
    })
    .await;
    CreateDelegationTokenResponse {
        issue_timestamp_ms: token.issued_ms,
        expiry_timestamp_ms: token.expiry_ms,
        max_timestamp_ms: token.max_ms,
        hmac: delegation::hmac(secret, &token.token_id),
        token_id: token.token_id,
        ..refused(ErrorCode::None)
    }
}

/// Who has asked for a token, where the version has room for that.
fn told_since(request: &RequestContext, requester: &str) -> (String, String) {
    match request.api_version {
        ..REQUESTER_SINCE => Default::default(),
        _ => parts(requester),
    }
}

fn answer_of_none(
    error: ErrorCode,
    owner: &str,
    (token_requester_principal_type, token_requester_principal_name): (String, String),
) -> CreateDelegationTokenResponse {
    let (principal_type, principal_name) = parts(owner);
    CreateDelegationTokenResponse {
        error_code: error.code(),
        principal_type,
        principal_name,
        token_requester_principal_type,
        token_requester_principal_name,
        ..CreateDelegationTokenResponse::default()
    }
}

/// RenewDelegationToken.
pub async fn renew_delegation_token(
    context: &Context,
    request: &RequestContext,
    body: RenewDelegationTokenRequest,
) -> RenewDelegationTokenResponse {
    let asked = |token_id| RenewDelegationToken {
        token_id,
        requester: request.principal.name.to_string(),
        period_ms: body.renew_period_ms,
    };
    let renewed = match id_of(context, request, &body.hmac).await {
        Ok(id) => decided(submit(context, asked(id)).await),
        Err(error) => Err(error),
    };
    RenewDelegationTokenResponse {
        error_code: renewed.err().unwrap_or(ErrorCode::None).code(),
        expiry_timestamp_ms: renewed.unwrap_or_default(),
        throttle_time_ms: 0,
    }
}

/// ExpireDelegationToken.
pub async fn expire_delegation_token(
    context: &Context,
    request: &RequestContext,
    body: ExpireDelegationTokenRequest,
) -> ExpireDelegationTokenResponse {
    let asked = |token_id| ExpireDelegationToken {
        token_id,
        requester: request.principal.name.to_string(),
        period_ms: body.expiry_time_period_ms,
    };
    let expired = match id_of(context, request, &body.hmac).await {
        Ok(id) => decided(submit(context, asked(id)).await),
        Err(error) => Err(error),
    };
    ExpireDelegationTokenResponse {
        error_code: expired.err().unwrap_or(ErrorCode::None).code(),
        expiry_timestamp_ms: expired.unwrap_or_default(),
        throttle_time_ms: 0,
    }
}

/// DescribeDelegationToken: what the client has to do with, and what ACLs show it.
pub async fn describe_delegation_token(
    context: &Context,
    request: &RequestContext,
    body: DescribeDelegationTokenRequest,
) -> DescribeDelegationTokenResponse {
    let refused = |error: ErrorCode| DescribeDelegationTokenResponse {
        error_code: error.code(),
        ..DescribeDelegationTokenResponse::default()
    };
    if !may_ask(context, request) {
        return refused(ErrorCode::DelegationTokenRequestNotAllowed);
    }
    let Some(secret) = &context.settings.delegation_token_secret else {
        return refused(ErrorCode::DelegationTokenAuthDisabled);
    };
    let owners = body.owners.map(|owners| {
        let owners = owners.iter();
        let owners = owners.map(|owner| principal(&owner.principal_type, &owner.principal_name));
        owners.collect::<Vec<String>>()
    });
    let access = context.access(request);
    let is_shown = |token: &&DelegationTokenRecord| {
        let is_asked_for = owners.as_ref().is_none_or(|owners| {
            let mut owners = owners.iter();
            owners.any(|owner| token.is_known_to(owner))
        });
        let (describe, describe_all) = (Operation::Describe, Operation::DescribeTokens);
        is_asked_for
            && (token.is_known_to(&request.principal.name)
                || access.may(describe, ResourceType::DelegationToken, &token.token_id)
                || access.may(describe_all, ResourceType::User, &token.owner))
    };
    let image = context.controller.image();
    let tokens = image.delegation_tokens.values().filter(is_shown);
    let tokens = tokens.map(|token| {
        let hmac = delegation::hmac(secret, &token.token_id);
        let (principal_type, principal_name) = parts(&token.owner);
        let (token_requester_principal_type, token_requester_principal_name) =
            told_since(request, &token.requester);
        let renewers = token.renewers.iter().map(|renewer| {
            let (principal_type, principal_name) = parts(renewer);
            DescribedDelegationTokenRenewer {
                principal_type,
                principal_name,
            }
        });
        DescribedDelegationToken {
            principal_type,
            principal_name,
            token_requester_principal_type,
            token_requester_principal_name,
            issue_timestamp: token.issued_ms,
            expiry_timestamp: token.expiry_ms,
            max_timestamp: token.max_ms,
            token_id: token.token_id.clone(),
            hmac,
            renewers: renewers.collect(),
        }
    });
    DescribeDelegationTokenResponse {
        tokens: tokens.collect(),
        ..DescribeDelegationTokenResponse::default()
    }
}

/// The id of the token of that HMAC, where the client may ask about it. The active controller is
/// asked by that: it would have to try all tokens.
async fn id_of(
    context: &Context,
    request: &RequestContext,
    hmac: &Bytes,
) -> Result<String, ErrorCode> {
    if !may_ask(context, request) {
        return Err(ErrorCode::DelegationTokenRequestNotAllowed);
    }
    if context.settings.delegation_token_secret.is_none() {
        return Err(ErrorCode::DelegationTokenAuthDisabled);
    }
    let id = || context.tokens.id(&context.controller.image(), hmac);
    if let Some(id) = id() {
        return Ok(id);
    }
    // another broker may have made it in this moment
    until(context, |image| context.tokens.id(image, hmac).is_some()).await;
    id().ok_or(ErrorCode::DelegationTokenNotFound)
}

/// Whether the client has shown who it is, by something that is more than a token.
fn may_ask(context: &Context, request: &RequestContext) -> bool {
    let protocol = context.settings.security(&request.listener).protocol;
    let is_known = match protocol {
        Protocol::Plaintext => false,
        Protocol::Ssl => *request.principal.name != *ANONYMOUS,
        Protocol::SaslPlaintext | Protocol::SaslSsl => true,
    };
    is_known && !request.is_by_token
}

/// What the controller has answered; or Kafka's error why it has not, or has refused.
fn decided<T>(submitted: Result<Result<T, Refusal>, (ErrorCode, String)>) -> Result<T, ErrorCode> {
    let answer = submitted.map_err(|(error, _)| error)?;
    answer.map_err(|refusal| refusal.error())
}

fn principal(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// A principal's type and name.
fn parts(principal: &str) -> (String, String) {
    let (kind, name) = principal.split_once(':').unwrap_or((USER, principal));
    (kind.to_owned(), name.to_owned())
}
