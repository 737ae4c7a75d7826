//! What delegation tokens log in as here.
//!
//! A token's credential is made when it first logs in, since that costs milliseconds, and kept
//! while there is the token.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ottla_core::authentication::{Credential, Mechanism, Secret, TokenLogin, delegation};
use ottla_core::image::MetadataImage;

type Known = BTreeMap<(String, Mechanism), Credential>;

/// The credentials of tokens that have logged in.
#[derive(Debug, Default)]
pub struct Tokens {
    secret: Option<Secret>,
    /// Held for a moment only. None of more tokens than there are.
    known: Mutex<Known>,
}

impl Tokens {
    /// With that secret; none where there are no tokens.
    #[must_use]
    pub fn new(secret: Option<Secret>) -> Self {
        Self {
            secret,
            known: Mutex::default(),
        }
    }

    /// What the token of that id logs in as, while it holds by that time: milliseconds since 1970.
    #[must_use]
    pub fn login(
        &self,
        image: &MetadataImage,
        unix_ms: i64,
        id: &str,
        mechanism: Mechanism,
    ) -> Option<TokenLogin> {
        let secret = self.secret.as_ref()?;
        let token = image.delegation_tokens.get(id)?;
        if token.is_over(unix_ms) {
            return None;
        }
        let owner = token.owner.strip_prefix("User:")?.to_owned();
        let key = (id.to_owned(), mechanism);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let credential = known.get(&key).cloned();
        drop(known);
        let credential = credential.unwrap_or_else(|| {
            let made = delegation::credential(secret, id, mechanism);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(id, _), _| image.delegation_tokens.contains_key(id));
            known.insert(key, made.clone());
            made
        });
        Some(TokenLogin {
            credential,
            owner,
            until_ms: token.expiry_ms,
        })
    }
}
