//! Who a client is: the mechanisms by which it says so, and the names that follow from them.
//!
//! A connection by SASL goes through a [`Session`]; one by TLS alone is named by the subject of its
//! [`certificate`], as [`principals`] map it. Nothing here waits, knows the time or draws a nonce:
//! those are arguments. Whatever comes from the wire may be anything at all.

mod bearer;
pub mod certificate;
pub mod delegation;
mod der;
pub mod jaas;
pub mod jwks;
pub mod jwt;
pub mod pkcs12;
mod plain;
pub mod principals;
pub mod scram;
mod secret;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

pub use self::delegation::TokenLogin;
pub use self::scram::{Credential, StandIn};
pub use self::secret::Secret;
pub use self::session::{Answer, Expected, Limits, Moment, Session, Unexpected};

/// A mechanism of SASL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// User and password as they are, which the listener's settings know.
    Plain,
    /// RFC 5802 with SHA-256; the users are in the metadata.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
    /// RFC 7628: a token that an issuer has signed, whom the listener's settings name.
    OAuthBearer,
}

impl Mechanism {
    /// All that there are.
    pub const ALL: [Self; 4] = [
        Self::Plain,
        Self::ScramSha256,
        Self::ScramSha512,
        Self::OAuthBearer,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// The mechanism of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Kafka's number, of those that keep credentials (KIP-554).
    #[must_use]
    pub const fn scram_number(self) -> Option<i8> {
        match self {
            Self::Plain | Self::OAuthBearer => None,
            Self::ScramSha256 => Some(1),
            Self::ScramSha512 => Some(2),
        }
    }

    /// The mechanism of Kafka's number for it, of those that keep credentials.
    #[must_use]
    pub fn scram_numbered(number: i8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.scram_number() == Some(number))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Those who may log in.
pub trait Users {
    /// The password of a user by PLAIN.
    fn password(&self, user: &str) -> Option<&Secret>;

    /// The credential of a user by SCRAM.
    fn credential(&self, user: &str, mechanism: Mechanism) -> Option<&Credential>;

    /// What a user that does not exist is answered by: always the same, so that nobody can tell.
    fn stand_in(&self, mechanism: Mechanism) -> StandIn<'_>;

    /// What the delegation token of that id logs in as by SCRAM, while it holds.
    fn delegation_token(&self, id: &str, mechanism: Mechanism) -> Option<TokenLogin>;

    /// The salt of the delegation token of that id, also where there is no such token; none where
    /// there can be none.
    fn delegation_token_salt(&self, id: &str, mechanism: Mechanism) -> Option<Bytes>;

    /// Whom a token of OAUTHBEARER is of.
    ///
    /// # Errors
    /// Why it is not taken.
    fn bearer(&self, token: &str) -> Result<jwt::Bearer, jwt::Refused>;
}
