//! The keys of those who issue tokens, for the listeners where clients log in by OAUTHBEARER.
//!
//! Keys are fetched in the background: at the start, at an interval, after a failure, and when a
//! token names one that is not known, but for that no more often than [`UNKNOWN_KEY_INTERVAL`].
//! Invariants: no login waits for the network; keys that could be had once stay in use until others
//! can be had; while there have never been any, no token is judged, and the broker is not ready.

mod fetch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_core::authentication::jwks::Keys;
use ottla_core::authentication::jwt::{Bearer, Refused};
use ottla_core::config::settings::security::oauth::{KeysAt, OAuth};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Settings;
use crate::metrics::Metrics;
use crate::threads;

/// How often a file with keys is looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

/// How soon after keys were fetched they are fetched again for a token that names another one.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(5);

/// Keys are not to be had: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("the keys that tokens of the listener {listener} are signed by cannot be had: {why}")]
pub struct Error {
    listener: String,
    why: String,
}

/// The issuer of each listener that has one, by the listener's name in capitals. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Arc<BTreeMap<String, Arc<Issuer>>>);

impl Issuers {
    /// The issuers that the settings name; keys in files are read at once.
    ///
    /// # Errors
    /// A file that is not to be read, or makes no sense.
    pub fn load(settings: &Settings) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for listener in &settings.listeners {
            let security = settings.security(&listener.name);
            let oauth = security.sasl.as_ref().and_then(|sasl| sasl.oauth.clone());
            if let Some(oauth) = oauth {
                let issuer = Arc::new(Issuer::new(&listener.name, oauth));
                if let KeysAt::File(path) = &issuer.settings.keys {
                    issuer.take(fetch::in_file(path).map_err(|why| issuer.error(&why))?);
                }
                all.insert(listener.name.clone(), issuer);
            }
        }
        Ok(Self(Arc::new(all)))
    }

    /// The issuer whose tokens a listener takes.
    #[must_use]
    pub fn of(&self, listener: &str) -> Option<&Arc<Issuer>> {
        self.0.get(listener)
    }

    /// The names of the listeners whose keys could not be had yet.
    pub fn without_keys(&self) -> impl Iterator<Item = &str> {
        let issuers = self.0.iter().filter(|(_, issuer)| !issuer.has_keys());
        issuers.map(|(listener, _)| listener.as_str())
    }

    /// Fetches the keys of all of them until `stop` becomes true.
    pub fn watch(&self, metrics: &Arc<Metrics>, stop: &watch::Receiver<bool>) {
        for issuer in self.0.values() {
            let (issuer, metrics) = (Arc::clone(issuer), Arc::clone(metrics));
            threads::spawn(issuer.watch(metrics, stop.clone()));
        }
    }
}

/// Whoever signs the tokens of a listener.
#[derive(Debug)]
pub struct Issuer {
    listener: String,
    settings: OAuth,
    /// Held for a moment only.
    keys: Mutex<Arc<Keys>>,
    /// A token names a key that is not known.
    wanted: Notify,
}

impl Issuer {
    fn new(listener: &str, settings: OAuth) -> Self {
        Self {
            listener: listener.to_owned(),
            settings,
            keys: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// Whom the token is of, at that time in milliseconds since 1970.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn judge(&self, token: &str, unix_ms: i64) -> Result<Bearer, Refused> {
        let keys = self.keys();
        let judged = self.settings.expected.judge(token, &keys, unix_ms);
        if matches!(judged, Err(Refused::UnknownKey(_))) {
            self.wanted.notify_one();
        }
        judged
    }

    /// Whether there are keys to judge tokens by.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys().is_empty()
    }

    fn keys(&self) -> Arc<Keys> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// Takes keys that were fetched.
    fn take(&self, fetched: Keys) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if **keys != fetched {
            let listener = &self.listener;
            info!("tokens of the listener {listener} are signed by the keys {fetched:?}");
            *keys = Arc::new(fetched);
        }
    }

    fn error(&self, why: &str) -> Error {
        Error {
            listener: self.listener.clone(),
            why: why.to_owned(),
        }
    }

    async fn watch(self: Arc<Self>, metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        let mut told = None;
        loop {
            let wait = match fetch::keys(&self.settings.keys).await {
                Ok(keys) => {
                    self.take(keys);
                    (failures, told) = (0, None);
                    match self.settings.keys {
                        KeysAt::File(_) => FILE_INTERVAL.min(self.settings.refresh_interval),
                        KeysAt::Http(_) => self.settings.refresh_interval,
                    }
                }
                Err(why) => {
                    metrics.token_keys_failures.inc();
                    if told.as_ref() != Some(&why) {
                        let error = self.error(&why);
                        match self.has_keys() {
                            false => warn!("{error}; nobody logs in by tokens until they can"),
                            true => warn!("{error}; the keys in use stay"),
                        }
                    }
                    told = Some(why);
                    let backoff = self.backoff(failures);
                    failures += 1;
                    backoff
                }
            };
            let next = Instant::now() + wait;
            let early = next.min(Instant::now() + UNKNOWN_KEY_INTERVAL);
            let wanted = async {
                self.wanted.notified().await;
                tokio::time::sleep_until(early).await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = wanted => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// How long after so many failures before this one keys are fetched again.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let wait = self.settings.retry_backoff.saturating_mul(factor);
        wait.min(self.settings.retry_backoff_max)
    }
}
