//! An issuer of tokens, as an identity provider is one: its key, and what it signs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

/// An issuer with one key.
pub struct Issuer(EcdsaKeyPair);

impl Issuer {
    /// With a new key.
    ///
    /// # Errors
    /// None can be drawn.
    pub fn new() -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let key = key.ok().context("a key is drawn")?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        Ok(Self(key.ok().context("it is a key")?))
    }

    /// Its key, as it publishes it.
    #[must_use]
    pub fn jwks(&self) -> String {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        format!(
            "{{\"keys\":[{{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\
             \"x\":\"{x}\",\"y\":\"{y}\"}}]}}"
        )
    }

    /// A token that holds for so many seconds; with fewer than none it is over.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token(&self, user: &str, seconds: i64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let claims = format!(
            "{{\"iss\":\"https://issuer\",\"aud\":\"kafka\",\"sub\":\"{user}\",\
             \"client_id\":\"{user}\",\"scope\":\"kafka\",\"iat\":{now},\"exp\":{}}}",
            now + seconds
        );
        let header = BASE64.encode("{\"alg\":\"ES256\",\"kid\":\"k\"}");
        let signed = format!("{header}.{}", BASE64.encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.ok().context("it is signed")?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }
}
