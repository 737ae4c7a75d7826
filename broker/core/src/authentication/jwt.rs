//! JSON Web Tokens (RFC 7519): whom a token is of, if it is what it claims.
//!
//! ```text
//! base64({"alg":"RS256","kid":"k"}).base64({"iss":…,"aud":…,"sub":…,"exp":…,"iat":…}).signature
//! ```
//!
//! Invariant: nothing that a token claims counts before its signature has been verified, by a key
//! of the issuer's and the algorithm of that key.

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, Keys};
use crate::excerpt;

/// The longest name that a token may give to its owner, in bytes.
const NAME_BYTES_MAX: usize = 4096;

/// What is expected of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Whom they must be for: one of these.
    pub audiences: Vec<String>,
    /// Who must have issued them.
    pub issuer: String,
    /// The claim that has the scope.
    pub scope_claim: String,
    /// The claim that says whom they are of.
    pub sub_claim: String,
    /// How far the clocks of issuer and broker may be apart, in milliseconds.
    pub skew_ms: i64,
}

/// What a token has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Whom it is of.
    pub name: String,
    /// Until when it is taken, in milliseconds since 1970.
    pub until_ms: i64,
}

/// Why a token is not taken; for who keeps the broker, not for its clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none at all.
    #[error("the token is no signed JSON Web Token")]
    Malformed,
    /// It wants to be verified in a way that proves nothing, or that nobody here understands.
    #[error("the token's header has {0}, which is not taken")]
    Header(String),
    /// The issuer has no such key, as far as is known.
    #[error("no key of the issuer's is known that the token would be signed by: {0}")]
    UnknownKey(String),
    /// Somebody else made it, or changed it.
    #[error("the token's signature is not the issuer's")]
    Signature,
    /// It is not for here and now.
    #[error("the token's claim {claim} {fault}")]
    Claim {
        /// Which claim.
        claim: String,
        /// What is wrong with it.
        fault: String,
    },
}

impl Expected {
    /// Whom the token is of, at that time in milliseconds since 1970.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn judge(&self, token: &str, keys: &Keys, now_ms: i64) -> Result<Bearer, Refused> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let header = object(header)?;
        let signature = BASE64.decode(signature).map_err(|_| Refused::Malformed)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").unwrap_or_default();
        if Algorithm::named(algorithm).is_none() {
            return Err(Refused::Header(format!("alg={}", quoted(algorithm))));
        }
        if header.contains_key("crit") {
            return Err(Refused::Header("crit".to_owned()));
        }
        let id = text("kid");
        match keys.verify(id, algorithm, signed.as_bytes(), &signature) {
            Some(true) => self.judge_claims(&object(claims)?, now_ms),
            Some(false) => Err(Refused::Signature),
            None => Err(Refused::UnknownKey(match id {
                Some(id) => format!("{algorithm}, kid {}", quoted(id)),
                None => algorithm.to_owned(),
            })),
        }
    }

    fn judge_claims(&self, claims: &Map<String, Value>, now_ms: i64) -> Result<Bearer, Refused> {
        let time = |name: &str| time_ms(claims, name);
        let latest = now_ms.saturating_add(self.skew_ms);
        let expires_ms = time("exp")?.ok_or_else(|| wrong("exp", "is missing"))?;
        let until_ms = expires_ms.saturating_add(self.skew_ms);
        if now_ms >= until_ms {
            return Err(wrong("exp", "is over"));
        }
        if time("nbf")?.is_some_and(|begins_ms| begins_ms > latest) {
            return Err(wrong("nbf", "has not come yet"));
        }
        let issued_ms = time("iat")?.ok_or_else(|| wrong("iat", "is missing"))?;
        if issued_ms > expires_ms {
            return Err(wrong("iat", "is later than exp"));
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(wrong("iss", "is not the expected issuer"));
        }
        let audiences = words(claims.get("aud")).ok_or_else(|| wrong("aud", "is no text"))?;
        if !audiences
            .iter()
            .any(|named| self.audiences.iter().any(|known| known == named))
        {
            return Err(wrong("aud", "has no expected audience"));
        }
        if claims.contains_key(&self.scope_claim) && words(claims.get(&self.scope_claim)).is_none()
        {
            return Err(wrong(&self.scope_claim, "is no text"));
        }
        let name = claims.get(&self.sub_claim).and_then(Value::as_str);
        let name = name.map(str::trim).unwrap_or_default();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(wrong(&self.sub_claim, "is no name"));
        }
        let name = name.to_owned();
        Ok(Bearer { name, until_ms })
    }
}

fn wrong(claim: &str, fault: &str) -> Refused {
    Refused::Claim {
        claim: claim.to_owned(),
        fault: fault.to_owned(),
    }
}

/// What somebody sent, for people.
fn quoted(text: &str) -> String {
    excerpt::message(text)
}

/// The object in a part of the token.
fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    let json = BASE64.decode(part).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refused::Malformed)
}

/// A time of the token, which has it in seconds, maybe with a fraction.
fn time_ms(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refused> {
    let Some(found) = claims.get(name) else {
        return Ok(None);
    };
    let whole = found.as_i64().map(|seconds| seconds.saturating_mul(1000));
    // a fraction beyond what fits is the largest that does
    let fraction = found.as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let time = whole.or(fraction);
    time.map(Some).ok_or_else(|| wrong(name, "is no time"))
}

/// A text, or a list of texts; none where it is neither.
fn words(found: Option<&Value>) -> Option<Vec<&str>> {
    match found? {
        Value::String(one) => Some(vec![one]),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
