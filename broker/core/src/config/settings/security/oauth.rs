//! How a listener judges tokens of OAUTHBEARER (KIP-768), from its settings.
//!
//! Invariant: there are none that cannot be judged: keys, an audience and an issuer are always
//! named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{OAUTH, Pem, Reader, USERS, lines};
use crate::authentication::jwt::Expected;
use crate::authentication::{Mechanism, Secret, jaas};
use crate::config::Value;

const URL: &str = "jwks.endpoint.url";
const AUDIENCE: &str = "expected.audience";
const ISSUER: &str = "expected.issuer";

/// What tokens are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// Where the keys of the issuer are.
    pub keys: KeysAt,
    /// How often they are fetched again.
    pub refresh_interval: Duration,
    /// How long after a failure, at first.
    pub retry_backoff: Duration,
    /// How long after a failure, at most.
    pub retry_backoff_max: Duration,
    /// What a token must claim.
    pub expected: Arc<Expected>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// Behind an address.
    Http(Endpoint),
}

/// An address of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address as it was given.
    pub url: String,
    /// Whether TLS is spoken there.
    pub has_tls: bool,
    /// The host and the port to connect to, as `host:port`.
    pub address: String,
    /// The path and what follows it.
    pub target: String,
    /// Who may sign its certificate; none for the machine's authorities.
    pub truststore: Option<Pem>,
}

impl Reader<'_> {
    /// How tokens are judged.
    ///
    /// # Errors
    /// A sentence that says what is missing, or makes no sense.
    pub(super) fn oauth(&self) -> Result<OAuth, String> {
        let missing = |setting: &str, what: &str| {
            let (name, key) = (self.listener, self.key(&of_mechanism(&full(setting))));
            format!("the listener {name} logs in by OAUTHBEARER and {what}; set {key}")
        };
        let url = self.of_tokens(URL).to_string();
        if url.is_empty() {
            return Err(missing(URL, "knows no keys that tokens must be signed by"));
        }
        let audiences = self.of_tokens(AUDIENCE).items().to_vec();
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(missing(AUDIENCE, "expects no audience, or an empty one"));
        }
        let issuer = self.of_tokens(ISSUER).to_string();
        if issuer.is_empty() {
            return Err(missing(ISSUER, "expects no issuer"));
        }
        let milliseconds = |setting| {
            let number = self.of_tokens(setting).number();
            Duration::from_millis(number.unsigned_abs())
        };
        Ok(OAuth {
            keys: self.keys_at(url)?,
            refresh_interval: milliseconds("jwks.endpoint.refresh.ms"),
            retry_backoff: milliseconds("jwks.endpoint.retry.backoff.ms"),
            retry_backoff_max: milliseconds("jwks.endpoint.retry.backoff.max.ms"),
            expected: Arc::new(Expected {
                audiences,
                issuer,
                scope_claim: self.of_tokens("scope.claim.name").to_string(),
                sub_claim: self.of_tokens("sub.claim.name").to_string(),
                skew_ms: self.of_tokens("clock.skew.seconds").number() * 1000,
            }),
        })
    }

    /// Such a setting: the mechanism's of the listener, the listener's, that of all.
    fn of_tokens(&self, setting: &str) -> Value {
        let setting = full(setting);
        let own = self.own.and_then(|own| own.get(&of_mechanism(&setting)));
        own.cloned().unwrap_or_else(|| self.get(&setting))
    }

    fn keys_at(&self, url: String) -> Result<KeysAt, String> {
        let truststore = self.trusted_by_login_module()?;
        match read_url(&url) {
            Some(KeysAt::Http(endpoint)) => Ok(KeysAt::Http(Endpoint {
                truststore,
                ..endpoint
            })),
            Some(file) => Ok(file),
            None => Err(format!(
                "{}={url} is refused: give https://host/path, http://host/path or file:///path",
                self.key(&of_mechanism(&full(URL)))
            )),
        }
    }

    /// Whom the options of the mechanism's login module trust.
    fn trusted_by_login_module(&self) -> Result<Option<Pem>, String> {
        let setting = of_mechanism(USERS);
        let Some(text) = self.text(&setting) else {
            return Ok(None);
        };
        let options = jaas::oauth_options(&text).map_err(|mend| {
            let key = self.key(&setting);
            format!("{key} is refused: {mend}")
        })?;
        Ok(match (options.location, options.certificates) {
            (Some(location), _) => Some(Pem::File(PathBuf::from(location))),
            (None, Some(pem)) => Some(Pem::Inline(Secret::new(lines(&pem)))),
            (None, None) => None,
        })
    }
}

/// A setting as it is called.
fn full(setting: &str) -> String {
    format!("{OAUTH}{setting}")
}

/// A setting as it is written behind a listener.
fn of_mechanism(setting: &str) -> String {
    let mechanism = Mechanism::OAuthBearer.name().to_lowercase();
    format!("{mechanism}.{setting}")
}

/// The place that a URL names; none where it is no such URL.
fn read_url(url: &str) -> Option<KeysAt> {
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    if let Some(path) = url.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return path.starts_with('/').then(|| KeysAt::File(path.into()));
    }
    let (scheme, rest) = url.split_once("://")?;
    let (has_tls, port) = match scheme {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains('@') || target.contains('#') {
        return None;
    }
    // the colons of an IPv6 address are in brackets
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_host..].split_once(':') {
        Some((before, named)) => {
            let host = &authority[..after_host + before.len()];
            (host, named.parse::<u16>().ok()?)
        }
        None => (authority, port),
    };
    let slash = if target.starts_with('/') { "" } else { "/" };
    (!host.is_empty()).then(|| {
        KeysAt::Http(Endpoint {
            url: url.to_owned(),
            has_tls,
            address: format!("{host}:{port}"),
            target: format!("{slash}{target}"),
            truststore: None,
        })
    })
}
