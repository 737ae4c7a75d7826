//! The public keys of whoever signs tokens: a JSON Web Key Set (RFC 7517), and signatures by them.
//!
//! A key signs by the algorithms of its kind and no other, so that no token can choose a weaker
//! one: none at all (`none`), or a secret (`HS256`) that would be the public key itself. Keys that
//! are not understood, or meant for something else, are passed over.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// The most keys that are taken of a set.
const KEYS_MAX: usize = 128;

/// The most keys that a token is tried with that does not say by which it is signed.
const TRIES_MAX: usize = 8;

/// The shortest and the longest RSA key, in bytes.
const RSA_BYTES_MIN: usize = 2048 / 8;
const RSA_BYTES_MAX: usize = 8192 / 8;

/// The mark of a point that is not compressed.
const UNCOMPRESSED: u8 = 4;

/// What a token may be signed by.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    /// RSA of PKCS #1, or with `Pss` of PSS.
    Rsa(&'static signature::RsaParameters),
    /// ECDSA, and how long a coordinate of its curve is in bytes.
    Ecdsa(&'static signature::EcdsaVerificationAlgorithm, usize),
}

impl Algorithm {
    /// The algorithm that JSON Web Signatures call so (RFC 7518).
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Ecdsa(&signature::ECDSA_P256_SHA256_FIXED, 32),
            "ES384" => Self::Ecdsa(&signature::ECDSA_P384_SHA384_FIXED, 48),
            _ => return None,
        })
    }
}

/// The keys of an issuer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

#[derive(Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is meant for, where it says so.
    algorithm: Option<String>,
    public: Public,
}

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point(Vec<u8>),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|key| key.id.as_deref().unwrap_or("?"));
        f.debug_list().entries(ids).finish()
    }
}

impl Keys {
    /// Reads a set.
    ///
    /// # Errors
    /// What to give instead, as the end of a sentence.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(json).map_err(|error| {
            format!("it is no JSON ({error}); give the address of a JSON Web Key Set")
        })?;
        let Some(all) = set.get("keys").and_then(Value::as_array) else {
            return Err("it has no list `keys`; give the address of a JSON Web Key Set".to_owned());
        };
        let keys: Vec<Key> = all.iter().filter_map(Key::read).take(KEYS_MAX).collect();
        match keys.is_empty() {
            true => Err(format!(
                "none of its {} keys signs by RSA of 2048 bits or more, P-256 or P-384; have the \
                 issuer use one that does",
                all.len()
            )),
            false => Ok(Self(keys)),
        }
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys of that id, or of any where there is none, has signed `message` by
    /// the algorithm of that name. None where there is no such key.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        name: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let algorithm = Algorithm::named(name)?;
        let fits = |key: &&Key| {
            id.is_none_or(|id| key.id.as_deref() == Some(id))
                && key.algorithm.as_deref().is_none_or(|only| only == name)
                && key.public.fits(algorithm)
        };
        let mut fitting = self.0.iter().filter(fits).take(TRIES_MAX).peekable();
        fitting.peek()?;
        Some(fitting.any(|key| key.public.has_signed(algorithm, message, signature)))
    }
}

impl Key {
    /// Reads a key that signs; none where it is of another kind, or for another use.
    fn read(json: &Value) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64.decode(text(name)?).ok();
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (without_zeros(bytes("n")?), without_zeros(bytes("e")?));
                let is_strong = (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len());
                is_strong.then_some(Public::Rsa { n, e })?
            }
            ("EC", Some("P-256")) => point(&bytes("x")?, &bytes("y")?, 32)?,
            ("EC", Some("P-384")) => point(&bytes("x")?, &bytes("y")?, 48)?,
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            algorithm: text("alg").map(str::to_owned),
            public,
        })
    }
}

impl Public {
    fn fits(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Rsa { .. }, Algorithm::Rsa(_)) => true,
            (Self::Point(point), Algorithm::Ecdsa(_, length)) => point.len() == 1 + 2 * length,
            _ => false,
        }
    }

    fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (self, algorithm) {
            (Self::Rsa { n, e }, Algorithm::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Self::Point(point), Algorithm::Ecdsa(algorithm, _)) => {
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

/// A point of a curve whose coordinates have that length.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Public> {
    let is_whole = x.len() == length && y.len() == length;
    is_whole.then(|| Public::Point([&[UNCOMPRESSED], x, y].concat()))
}

/// A number in as few bytes as it needs.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}
