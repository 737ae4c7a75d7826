//! Delegation tokens (KIP-48): a token's id is a user by SCRAM, its HMAC the password.
//!
//! The HMAC is of the id, with a secret that the brokers' files share. So it is in no record of the
//! metadata, and who reads those logs in as nobody.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::{digest, hmac, pbkdf2};

use super::{Credential, Mechanism, Secret};

/// How often the HMAC is hashed for a credential: the fewest times that clients take.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(super::scram::ITERATIONS_MIN as u32).unwrap();

/// What a token logs in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLogin {
    /// What is kept of its HMAC.
    pub credential: Credential,
    /// Whose token it is, by name.
    pub owner: String,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: i64,
}

/// The HMAC of the token of that id.
#[must_use]
pub fn hmac(secret: &Secret, id: &str) -> Bytes {
    let key = hmac::Key::new(hmac::HMAC_SHA512, secret.reveal().as_bytes());
    Bytes::copy_from_slice(hmac::sign(&key, id.as_bytes()).as_ref())
}

/// The salt of the token of that id, one of its own for each mechanism: it is no secret, and does
/// not show the HMAC. An id that no token has has one too.
#[must_use]
pub fn salt(secret: &Secret, id: &str, mechanism: Mechanism) -> Bytes {
    hmac(secret, &format!("salt of {mechanism} for {id}"))
}

/// The credential of the token of that id: the same on every broker. It costs milliseconds.
#[must_use]
pub fn credential(secret: &Secret, id: &str, mechanism: Mechanism) -> Credential {
    let (algorithm, length) = match mechanism {
        Mechanism::ScramSha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        _ => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
    };
    let salt = salt(secret, id, mechanism);
    let password = BASE64.encode(hmac(secret, id));
    let mut salted = vec![0; length];
    pbkdf2::derive(
        algorithm,
        ITERATIONS,
        &salt,
        password.as_bytes(),
        &mut salted,
    );
    Credential::of(mechanism, salt, super::scram::ITERATIONS_MIN, &salted)
}
