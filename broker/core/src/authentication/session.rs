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

use super::bearer::{self, Judged};
use super::scram::{self, Begun};
use super::{Mechanism, Users, plain};

/// Why nobody logs in, as far as anybody is told.
const FAILED: &str = "authentication failed";

/// How soon after a login that was made again another one is taken. The first may be made again at
/// once: its token may be about to end.
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
    /// Why nobody logs in by this, for who keeps the broker; of a login it is said once.
    pub failure: Option<String>,
}

/// What time it is when a token comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since the broker was started; never goes back.
    pub now: Duration,
    /// In milliseconds since 1970.
    pub unix_ms: i64,
}

/// A connection's way through its login.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    state: State,
    login: Option<Login>,
    /// When the login was last made again.
    again_at: Option<Duration>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Exchange {
        mechanism: Mechanism,
        step: Step,
        is_bare: bool,
        nonce: String,
    },
    Done,
    Over,
}

/// How far an exchange has come.
#[derive(Debug)]
enum Step {
    /// The client has said nothing yet.
    First,
    /// SCRAM: the client's proof is next.
    Scram(Box<Begun>),
    /// OAUTHBEARER: the client has been told that its token is not taken.
    Refused,
}

/// Who has shown by its mechanism who it is.
struct Shown {
    user: String,
    /// The mechanism's last answer.
    token: Vec<u8>,
    /// Until when that counts, in milliseconds since 1970, where there is an end to it.
    until_ms: Option<i64>,
    /// The id of the delegation token that it was by.
    delegation_token: Option<Arc<str>>,
}

/// Who has logged in.
#[derive(Debug)]
struct Login {
    user: Arc<str>,
    mechanism: Mechanism,
    /// The id of the delegation token that it was by.
    delegation_token: Option<Arc<str>>,
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
            again_at: None,
        }
    }

    /// Who has logged in, last.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        self.login.as_ref().map(|login| &login.user)
    }

    /// The id of the delegation token by which the client has logged in.
    #[must_use]
    pub fn delegation_token(&self) -> Option<&str> {
        self.login.as_ref()?.delegation_token.as_deref()
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
        if let Some(login) = &self.login {
            if login.until.is_none() || self.again_at.is_some_and(|at| now < at + AGAIN_MIN) {
                return ErrorCode::IllegalSaslState;
            }
            self.again_at = Some(now);
        }
        let enabled = Mechanism::named(name).filter(|one| self.limits.mechanisms.contains(one));
        let Some(mechanism) = enabled else {
            self.state = State::Over;
            return ErrorCode::UnsupportedSaslMechanism;
        };
        self.state = State::Exchange {
            mechanism,
            step: Step::First,
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

    /// Takes the next token of the exchange; one out of turn changes nothing.
    pub fn authenticate(&mut self, moment: Moment, token: &[u8], users: &dyn Users) -> Answer {
        if self.is_done() {
            return Answer::out_of_turn();
        }
        let is_told = match &self.state {
            State::Exchange { step, .. } => matches!(step, Step::Refused),
            _ => false,
        };
        match self.take(moment, token, users) {
            Ok(answer) => answer,
            Err(message) => {
                self.state = State::Over;
                Answer {
                    error: ErrorCode::SaslAuthenticationFailed,
                    message: Some(message),
                    token: Vec::new(),
                    session_lifetime_ms: 0,
                    failure: (!is_told).then(|| FAILED.to_owned()),
                }
            }
        }
    }

    fn take(&mut self, moment: Moment, token: &[u8], users: &dyn Users) -> Result<Answer, String> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Exchange {
            mechanism,
            step,
            is_bare,
            nonce,
        } = state
        else {
            // `admit` refuses it before a handshake, and nothing is read behind the end
            return Err("SaslAuthenticate without SaslHandshake".to_owned());
        };
        if token.len() > self.limits.token_bytes_max {
            return Err("The token is too long.".to_owned());
        }
        let first = self.login.as_ref().map(|login| login.mechanism);
        if first.is_some_and(|first| first != mechanism) {
            return Err(
                "The client may not authenticate again by another mechanism than at first"
                    .to_owned(),
            );
        }
        let (answer, step) = match step_on(mechanism, step, token, &nonce, users)? {
            Stepped::Shown(shown) => {
                let lifetime_ms = self.log_in(moment, mechanism, &shown)?;
                return Ok(Answer::went_on(shown.token, lifetime_ms));
            }
            Stepped::On(token, step) => (Answer::went_on(token, 0), step),
            Stepped::Refused(fault) => {
                let answer = Answer::went_on(bearer::INVALID_TOKEN.as_bytes().to_vec(), 0);
                let failure = Some(format!("{FAILED}: {fault}"));
                (Answer { failure, ..answer }, Step::Refused)
            }
        };
        self.state = State::Exchange {
            mechanism,
            step,
            is_bare,
            nonce,
        };
        Ok(answer)
    }

    /// Lets the user in; answers for how long, in milliseconds, and 0 for ever.
    fn log_in(
        &mut self,
        moment: Moment,
        mechanism: Mechanism,
        shown: &Shown,
    ) -> Result<i64, String> {
        if self.user().is_some_and(|known| **known != *shown.user) {
            let message = "The client may not authenticate again as another user";
            return Err(message.to_owned());
        }
        let left = shown.until_ms.map(|until_ms| {
            let left_ms = until_ms.saturating_sub(moment.unix_ms).max(1);
            Duration::from_millis(left_ms.unsigned_abs())
        });
        let max = self.limits.session_max.get(&mechanism).copied();
        let lifetime = left.into_iter().chain(max).min();
        self.login = Some(Login {
            user: shown.user.as_str().into(),
            mechanism,
            delegation_token: shown.delegation_token.clone(),
            until: lifetime.map(|lifetime| moment.now.saturating_add(lifetime)),
        });
        self.state = State::Done;
        Ok(lifetime.map_or(0, |max| max.as_millis().try_into().unwrap_or(i64::MAX)))
    }
}

/// What came of a token.
enum Stepped {
    /// This is the answer, and then the client has to say more.
    On(Vec<u8>, Step),
    /// The client is in.
    Shown(Shown),
    /// Its token is not taken, for this reason; it is told that, and acknowledges.
    Refused(String),
}

fn step_on(
    mechanism: Mechanism,
    step: Step,
    token: &[u8],
    nonce: &str,
    users: &dyn Users,
) -> Result<Stepped, String> {
    match (mechanism, step) {
        (_, Step::Scram(begun)) => {
            let until_ms = begun.token_until_ms();
            let delegation_token = begun.delegation_token();
            let (user, token) = begun.finish(token)?;
            Ok(Stepped::Shown(Shown {
                user,
                token,
                until_ms,
                delegation_token,
            }))
        }
        (_, Step::Refused) => Err(bearer::INVALID_TOKEN.to_owned()),
        (Mechanism::Plain, Step::First) => Ok(Stepped::Shown(Shown {
            user: plain::judge(token, users)?,
            token: Vec::new(),
            until_ms: None,
            delegation_token: None,
        })),
        (Mechanism::OAuthBearer, Step::First) => Ok(match bearer::judge(token, users)? {
            Judged::Taken(bearer) => Stepped::Shown(Shown {
                user: bearer.name,
                token: Vec::new(),
                until_ms: Some(bearer.until_ms),
                delegation_token: None,
            }),
            Judged::Refused(fault) => Stepped::Refused(fault),
        }),
        (Mechanism::ScramSha256 | Mechanism::ScramSha512, Step::First) => {
            let begun = scram::begin(mechanism, token, nonce, users)?;
            let answer = begun.server_first().to_vec();
            Ok(Stepped::On(answer, Step::Scram(Box::new(begun))))
        }
    }
}

impl Answer {
    /// That of a token from a client that has logged in, or need not.
    #[must_use]
    pub fn out_of_turn() -> Self {
        Self {
            error: ErrorCode::IllegalSaslState,
            message: Some(
                "SaslAuthenticate request received after successful authentication".to_owned(),
            ),
            token: Vec::new(),
            session_lifetime_ms: 0,
            failure: None,
        }
    }

    fn went_on(token: Vec<u8>, session_lifetime_ms: i64) -> Self {
        Self {
            error: ErrorCode::None,
            message: None,
            token,
            session_lifetime_ms,
            failure: None,
        }
    }
}
