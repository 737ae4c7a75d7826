//! SaslHandshake and SaslAuthenticate: how a client logs in.
//!
//! What may be said when is decided by `core::authentication`. A login that failed is answered
//! after a while, and the connection ends with the answer.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use ottla_core::authentication::jwt::{Bearer, Refused};
use ottla_core::authentication::{
    Answer, Credential, Mechanism, Moment, Secret, StandIn, TokenLogin, Users,
};
use ottla_core::config::settings::security::Sasl;
use ottla_core::image::MetadataImage;
use ottla_protocol::codec::Reader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame::RequestHeader;
use ottla_protocol::messages::access::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use tokio::time::Instant;

use super::Client;
use crate::api::{Answered, Call, Error, decode, encode, row};
use crate::oauth::Issuer;
use crate::tokens::Tokens;

/// When a client is answered that names a delegation token. The credential of one that logs in for
/// the first time takes a few milliseconds, and the time must not tell that there is such a token.
const TOKEN_ANSWER: Duration = Duration::from_millis(20);

/// Those who may log in on a listener.
struct Known<'a> {
    sasl: &'a Sasl,
    image: &'a MetadataImage,
    tokens: &'a Tokens,
    issuer: Option<&'a Issuer>,
    moment: Moment,
    /// Whether a delegation token was looked for.
    asked_for_token: Cell<bool>,
}

impl Users for Known<'_> {
    fn password(&self, user: &str) -> Option<&Secret> {
        self.sasl.passwords.get(user)
    }

    fn credential(&self, user: &str, mechanism: Mechanism) -> Option<&Credential> {
        let key = (user.to_owned(), mechanism);
        self.image.scram_credentials.get(&key)
    }

    fn stand_in(&self, mechanism: Mechanism) -> StandIn<'_> {
        let mut all = self.image.scram_credentials.iter();
        let first = all.find(|((_, of), _)| *of == mechanism);
        match first {
            Some((_, credential)) => StandIn::like(credential),
            None => StandIn::by(self.image.cluster_id.as_bytes()),
        }
    }

    fn delegation_token(&self, id: &str, mechanism: Mechanism) -> Option<TokenLogin> {
        let unix_ms = self.moment.unix_ms;
        self.asked_for_token.set(true);
        self.tokens.login(self.image, unix_ms, id, mechanism)
    }

    fn delegation_token_salt(&self, id: &str, mechanism: Mechanism) -> Option<Bytes> {
        self.tokens.salt(id, mechanism)
    }

    fn bearer(&self, token: &str) -> Result<Bearer, Refused> {
        // a listener that takes tokens has one
        let issuer = self.issuer.ok_or(Refused::Malformed)?;
        issuer.judge(token, self.moment.unix_ms)
    }
}

/// SaslHandshake: the mechanism by which the client will log in.
pub(super) fn handshake(
    client: &mut Client,
    header: &RequestHeader,
    reader: Reader,
) -> Result<Call, Error> {
    served::<SaslHandshakeRequest>(header)?;
    let body = decode::<SaslHandshakeRequest>(header, reader)?;
    let env = &client.context.env;
    let response = match &mut client.session {
        None => SaslHandshakeResponse {
            error_code: ErrorCode::IllegalSaslState.code(),
            mechanisms: Vec::new(),
        },
        Some(session) => {
            let (now, nonce) = (env.now(), env.nonce());
            let error = session.handshake(now, header.api_version, &body.mechanism, nonce);
            SaslHandshakeResponse {
                error_code: error.code(),
                mechanisms: session.mechanisms().collect(),
            }
        }
    };
    done(encode::<SaslHandshakeRequest>(header, &response)?)
}

/// SaslAuthenticate: the next token of the login.
pub(super) fn authenticate(
    client: &mut Client,
    header: RequestHeader,
    reader: Reader,
) -> Result<Call, Error> {
    served::<SaslAuthenticateRequest>(&header)?;
    let body = decode::<SaslAuthenticateRequest>(&header, reader)?;
    let began = Instant::now();
    let (answer, asked_for_token) = take(client, &body.auth_bytes)?;
    let has_failed = answer.error == ErrorCode::SaslAuthenticationFailed;
    let response = SaslAuthenticateResponse {
        error_code: answer.error.code(),
        error_message: answer.message,
        auth_bytes: answer.token.into(),
        session_lifetime_ms: answer.session_lifetime_ms,
    };
    let until = match (has_failed, asked_for_token) {
        (true, _) => Instant::now() + client.context.settings.authentication_failure_delay,
        (false, true) => began + TOKEN_ANSWER,
        (false, false) => return done(encode::<SaslAuthenticateRequest>(&header, &response)?),
    };
    Ok(Call::Waiting {
        future: Box::pin(async move {
            tokio::time::sleep_until(until).await;
            encode::<SaslAuthenticateRequest>(&header, &response)
        }),
        pipelined_max: 1,
        begun: None,
    })
}

/// A token without a request around it, after SaslHandshake of version 0; the answer is one too.
pub(super) fn bare_token(client: &mut Client, token: &[u8]) -> Result<Call, Error> {
    let began = Instant::now();
    let (answer, asked_for_token) = take(client, token)?;
    if answer.error != ErrorCode::None {
        let delay = client.context.settings.authentication_failure_delay;
        return Ok(Call::Waiting {
            future: Box::pin(async move {
                tokio::time::sleep(delay).await;
                Err(Error::NotAuthenticated)
            }),
            pipelined_max: 1,
            begun: None,
        });
    }
    let mut frame = Vec::with_capacity(4 + answer.token.len());
    // it is shorter than the largest request
    let length = i32::try_from(answer.token.len()).unwrap_or(i32::MAX);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&answer.token);
    let segments = vec![Bytes::from(frame)];
    if !asked_for_token {
        return Ok(Call::Done(segments));
    }
    Ok(Call::Waiting {
        future: Box::pin(async move {
            tokio::time::sleep_until(began + TOKEN_ANSWER).await;
            Ok(Some(Answered::from(segments)))
        }),
        pipelined_max: 1,
        begun: None,
    })
}

/// What the client's token is answered. While there have never been keys to judge tokens by, the
/// connection ends without a word: clients take an answer for final, and come again after an end.
/// Also whether a delegation token was looked for.
fn take(client: &mut Client, token: &[u8]) -> Result<(Answer, bool), Error> {
    let (session, sasl) = match (&mut client.session, &client.security.sasl) {
        (Some(session), Some(sasl)) => (session, sasl),
        _ => return Ok((Answer::out_of_turn(), false)), // nobody logs in here
    };
    let context = &client.context;
    let moment = Moment {
        now: context.env.now(),
        unix_ms: context.env.unix_ms(),
    };
    let image = context.controller.image();
    let known = Known {
        sasl,
        image: &image,
        tokens: &context.tokens,
        issuer: context
            .issuers
            .of(&client.request.listener)
            .map(|issuer| &**issuer),
        moment,
        asked_for_token: Cell::new(false),
    };
    let mechanism = session.mechanism();
    let is_by_issuer = mechanism == Some(Mechanism::OAuthBearer);
    if is_by_issuer && known.issuer.is_some_and(|issuer| !issuer.has_keys()) {
        return Err(Error::NoKeys);
    }
    let answer = session.authenticate(moment, token, &known);
    let asked_for_token = known.asked_for_token.get();
    if answer.error == ErrorCode::IllegalSaslState {
        return Ok((answer, asked_for_token));
    }
    let principal = &mut client.request.principal;
    if let Some(why) = &answer.failure {
        context.metrics.authentication_failures.inc();
        let mechanism = mechanism.map_or("", Mechanism::name);
        let host = principal.host;
        context
            .audit
            .login_failed(&client.request.listener, host, mechanism, why);
    } else if let Some(user) = session.user().filter(|_| session.is_done()) {
        context.metrics.authentications.inc();
        principal.name = format!("User:{user}").into();
        client.request.is_by_token = session.delegation_token().is_some();
    }
    Ok((answer, asked_for_token))
}

fn done(answered: Option<Answered>) -> Result<Call, Error> {
    Ok(Call::Done(answered.unwrap_or_default().segments))
}

fn served<R: ottla_protocol::codec::Request>(header: &RequestHeader) -> Result<(), Error> {
    let (served, version) = (row::<R>(), header.api_version);
    match (served.version_min..=served.version_max).contains(&version) {
        true => Ok(()),
        false => Err(Error::Unsupported {
            api: header.api_key,
            version,
        }),
    }
}
