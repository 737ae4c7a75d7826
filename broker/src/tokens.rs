//! What delegation tokens log in as here, and which one has which HMAC.
//!
//! A token's credential is made when it first logs in, since that costs milliseconds, its HMAC when
//! somebody first shows one that is not known; both are kept while there is the token.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use ottla_core::authentication::{Credential, Mechanism, Secret, TokenLogin, delegation};
use ottla_core::image::MetadataImage;

type Known = BTreeMap<(String, Mechanism), Credential>;

/// Tokens by their HMACs, and the ids of all those.
#[derive(Default)]
struct Shown {
    ids: BTreeSet<String>,
    by_hmac: HashMap<Bytes, String>,
}

/// The credentials of tokens that have logged in.
#[derive(Default)]
pub struct Tokens {
    secret: Option<Secret>,
    /// Held while HMACs are made, once for each token.
    shown: Mutex<Shown>,
    /// Held for a moment only. None of more tokens than there are.
    known: Mutex<Known>,
}

impl Tokens {
    /// With that secret; none where there are no tokens.
    #[must_use]
    pub fn new(secret: Option<Secret>) -> Self {
        Self {
            secret,
            shown: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The id of the token of that HMAC.
    #[must_use]
    pub fn id(&self, image: &MetadataImage, hmac: &Bytes) -> Option<String> {
        let secret = self.secret.as_ref()?;
        let tokens = &image.delegation_tokens;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if !shown.by_hmac.contains_key(hmac) {
            shown.by_hmac.retain(|_, id| tokens.contains_key(id));
            shown.ids.retain(|id| tokens.contains_key(id));
            for id in tokens.keys() {
                if shown.ids.insert(id.clone()) {
                    let hmac = delegation::hmac(secret, id);
                    shown.by_hmac.insert(hmac, id.clone());
                }
            }
        }
        let id = shown.by_hmac.get(hmac)?;
        tokens.contains_key(id).then(|| id.clone())
    }

    /// The salt of the token of that id, also where there is no such token; none where there can
    /// be none.
    #[must_use]
    pub fn salt(&self, id: &str, mechanism: Mechanism) -> Option<Bytes> {
        let secret = self.secret.as_ref()?;
        Some(delegation::salt(secret, id, mechanism))
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
