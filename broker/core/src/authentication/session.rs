//! A connection on a listener of SASL: what it may ask when, and who it is.
//!
//! ```text
//! Fresh ── SaslHandshake ──> Exchange ── SaslAuthenticate … ──> Done ── SaslHandshake ──> Exchange
//!   └── ApiVersions stays          └── failure ──> Over            (again: KIP-368)
//! ```
//!
//! Invariants: nothing but ApiVersions and the exchange is served before somebody has logged in,
//! and nothing between a handshake and its end; a session whose time is over serves nothing but
//! another login; a connection is one user's, by one mechanism.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::api::ApiKey;
use ottla_protocol::error::ErrorCode;

use super::scram::{self, Begun};
use super::{Mechanism, Users, plain};

/// How soon after a login another one is taken.
const AGAIN_MIN: Duration = Duration::from_secs(1);

/// What a listener allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The mechanisms that are enabled, in the order of the settings.
    pub mechanisms: Vec<Mechanism>,
    /// How long a login holds by each mechanism; one without a limit is absent.
    pub session_max: BTreeMap<Mechanism, Duration>,
    /// The longest token that is taken, in bytes.
    pub token_bytes_max: usize,
}

/// Why a request ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// Not now.
    #[error("{0} before the client has authenticated")]
    Request(ApiKey),
    /// The login is too old.
    #[error("the session has expired, and the client has not authenticated again")]
    Expired,
}

/// What comes next from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A request.
    Request,
    /// A bare token: the client named its mechanism in version 0 of SaslHandshake.
    Token,
}

/// The answer to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Kafka's error.
    pub error: ErrorCode,
    /// Kafka's sentence to it.
    pub message: Option<String>,
    /// The mechanism's own answer.
    pub token: Vec<u8>,
    /// How long the login holds, in milliseconds; 0 for ever.
    pub session_lifetime_ms: i64,
}

/// A connection's way through its login.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    state: State,
    login: Option<Login>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Exchange {
        mechanism: Mechanism,
        begun: Option<Box<Begun>>,
        is_bare: bool,
        nonce: String,
    },
    Done,
    Over,
}

/// Who has logged in.
#[derive(Debug)]
struct Login {
    user: Arc<str>,
    mechanism: Mechanism,
    at: Duration,
    until: Option<Duration>,
}

impl Session {
    /// A connection that has just begun.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            state: State::Fresh,
            login: None,
        }
    }

    /// Who has logged in, last.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        self.login.as_ref().map(|login| &login.user)
    }

    /// By what the client logs in, or has logged in.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        match &self.state {
            State::Exchange { mechanism, .. } => Some(*mechanism),
            _ => self.login.as_ref().map(|login| login.mechanism),
        }
    }

    /// Whether the connection is to be closed once what was answered is sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether somebody has logged in, and no other login is under way.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// What comes next.
    #[must_use]
    pub fn expected(&self) -> Expected {
        match self.state {
            State::Exchange { is_bare: true, .. } => Expected::Token,
            _ => Expected::Request,
        }
    }

    /// Whether a request of this API is served now.
    ///
    /// # Errors
    /// Why the connection ends instead.
    pub fn admit(&self, now: Duration, api: ApiKey) -> Result<(), Unexpected> {
        let is_served = match (&self.state, api) {
            (State::Fresh, ApiKey::ApiVersions | ApiKey::SaslHandshake) => true,
            (State::Exchange { is_bare, .. }, ApiKey::SaslAuthenticate) => !is_bare,
            (State::Done, ApiKey::SaslHandshake) => true,
            (State::Done, _) if self.is_expired(now) => return Err(Unexpected::Expired),
            (State::Done, _) => true,
            _ => false,
        };
        match is_served {
            true => Ok(()),
            false => Err(Unexpected::Request(api)),
        }
    }

    fn is_expired(&self, now: Duration) -> bool {
        let until = self.login.as_ref().and_then(|login| login.until);
        until.is_some_and(|until| now >= until)
    }

    /// Takes SaslHandshake of this version; `nonce` is what the broker adds to the client's.
    pub fn handshake(
        &mut self,
        now: Duration,
        version: i16,
        name: &str,
        nonce: String,
    ) -> ErrorCode {
        if let Some(login) = &self.login
            && (login.until.is_none() || now < login.at + AGAIN_MIN)
        {
            return ErrorCode::IllegalSaslState;
        }
        let enabled = Mechanism::named(name).filter(|one| self.limits.mechanisms.contains(one));
        let Some(mechanism) = enabled else {
            self.state = State::Over;
            return ErrorCode::UnsupportedSaslMechanism;
        };
        self.state = State::Exchange {
            mechanism,
            begun: None,
            is_bare: version == 0,
            nonce,
        };
        ErrorCode::None
    }

    /// The names of the mechanisms that are enabled.
    pub fn mechanisms(&self) -> impl Iterator<Item = String> {
        let names = self.limits.mechanisms.iter();
        names.map(|mechanism| mechanism.name().to_owned())
    }

    /// Takes the next token of the exchange.
    pub fn authenticate(&mut self, now: Duration, token: &[u8], users: &dyn Users) -> Answer {
        match self.take(now, token, users) {
            Ok(answer) => answer,
            Err(message) => {
                self.state = State::Over;
                Answer {
                    error: ErrorCode::SaslAuthenticationFailed,
                    message: Some(message),
                    token: Vec::new(),
                    session_lifetime_ms: 0,
                }
            }
        }
    }

    fn take(&mut self, now: Duration, token: &[u8], users: &dyn Users) -> Result<Answer, String> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Exchange {
            mechanism,
            begun,
            is_bare,
            nonce,
        } = state
        else {
            // what asks out of turn is refused before
            return Err("SaslAuthenticate without SaslHandshake".to_owned());
        };
        if token.len() > self.limits.token_bytes_max {
            return Err("The token is too long.".to_owned());
        }
        if self
            .login
            .as_ref()
            .is_some_and(|login| login.mechanism != mechanism)
        {
            return Err(
                "The client may not authenticate again by another mechanism than at first"
                    .to_owned(),
            );
        }
        let (user, token) = match (mechanism, begun) {
            (Mechanism::Plain, _) => (plain::judge(token, users)?, Vec::new()),
            (_, Some(begun)) => begun.finish(token)?,
            (_, None) => {
                let begun = scram::begin(mechanism, token, &nonce, users)?;
                let token = begun.server_first().to_vec();
                self.state = State::Exchange {
                    mechanism,
                    begun: Some(Box::new(begun)),
                    is_bare,
                    nonce,
                };
                return Ok(Answer::went_on(token, 0));
            }
        };
        self.log_in(now, mechanism, &user)?;
        let lifetime = self.limits.session_max.get(&mechanism);
        let lifetime_ms = lifetime.map_or(0, |max| max.as_millis().try_into().unwrap_or(i64::MAX));
        Ok(Answer::went_on(token, lifetime_ms))
    }

    fn log_in(&mut self, now: Duration, mechanism: Mechanism, user: &str) -> Result<(), String> {
        if self.user().is_some_and(|known| **known != *user) {
            return Err("The client may not authenticate again as another user".to_owned());
        }
        let lifetime = self.limits.session_max.get(&mechanism);
        self.login = Some(Login {
            user: user.into(),
            mechanism,
            at: now,
            until: lifetime.map(|lifetime| now.saturating_add(*lifetime)),
        });
        self.state = State::Done;
        Ok(())
    }
}

impl Answer {
    fn went_on(token: Vec<u8>, session_lifetime_ms: i64) -> Self {
        Self {
            error: ErrorCode::None,
            message: None,
            token,
            session_lifetime_ms,
        }
    }
}
