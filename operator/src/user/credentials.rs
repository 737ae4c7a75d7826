//! What the Secret of a user has. Pure, but for the keys and passwords that are drawn.
//!
//! ```text
//! username, password, sasl.jaas.config   where it logs in by SCRAM
//! user.crt, user.key, user.pem (both)    where it shows a certificate
//! ca.crt             whom it trusts, where the listener encrypts
//! bootstrap.servers
//! client.properties  all of it, as Kafka's tools take it
//! rotated, made-of, applied   what the operator needs to know of them
//! ```

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::validate::ValidatedUser;
use crate::certificates::{Data, Lifetime, Pair, Use, Wanted, expires, sign};
use crate::condition::{UserReason, Verdict};
use crate::crd::cluster::AuthenticationType;
use crate::fingerprint::fingerprint;

/// All keys that the operator writes into a user's Secret.
const KEYS: [&str; 12] = [
    "bootstrap.servers",
    "rotated",
    "ca.crt",
    "sasl.jaas.config",
    "username",
    "password",
    "applied",
    "made-of",
    "user.pem",
    "user.crt",
    "user.key",
    "client.properties",
];
/// Bytes that are drawn for a password.
const PASSWORD_BYTES: usize = 24;

/// A listener of a cluster that asks who clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its name.
    pub listener: String,
    /// How.
    pub authentication: AuthenticationType,
    /// Where clients connect first.
    pub bootstrap: String,
    /// Whether it encrypts.
    pub is_encrypted: bool,
    /// Whom clients trust, where that is known and they need it.
    pub trusted: Option<String>,
}

/// What the Secret of the user is to have, of which `kept` is there. `signer` signs certificates,
/// where any are, that hold for so long. `folder` is where its files will lie, where that is known.
///
/// # Errors
/// Why there is none.
pub fn credentials(
    user: &ValidatedUser,
    way: &Way,
    signer: Option<(&Pair, Lifetime)>,
    kept: &Data,
    folder: Option<&Path>,
    now: i64,
) -> Result<Data, Verdict> {
    let text = |key: &str| text(kept, key);
    let is_rotated = text("rotated").is_some_and(|rotated| rotated != user.rotate);
    let kept_of = |key: &str| text(key).filter(|_| !is_rotated);
    let mut parts = vec![
        ("bootstrap.servers", way.bootstrap.clone()),
        ("rotated", user.rotate.clone()),
    ];
    if let Some(trusted) = &way.trusted {
        parts.push(("ca.crt", trusted.clone()));
    }
    match user.authentication {
        AuthenticationType::Scram => {
            let password = match kept_of("password") {
                Some(password) => checked(password)?,
                None => draw()?,
            };
            parts.push(("sasl.jaas.config", jaas(&user.name, &password)));
            parts.push(("username", user.name.clone()));
            parts.push(("password", password));
            parts.extend(text("applied").map(|applied| ("applied", applied)));
        }
        AuthenticationType::MutualTls => {
            let (signer, lifetime) =
                signer.ok_or_else(|| refused("The cluster has no certificates"))?;
            let source = format!("{:016x}", fingerprint(&signer.certificate));
            let kept = kept_of("user.crt").zip(kept_of("user.key"));
            let is_lasting = |certificate: &str| {
                expires(certificate).is_some_and(|until| lifetime.stays(until, now))
            };
            let kept = kept.filter(|(certificate, _)| {
                is_lasting(certificate) && text("made-of").as_ref() == Some(&source)
            });
            let pair = match kept {
                Some((certificate, key)) => Pair { certificate, key },
                None => signed(user, signer, (now, lifetime))?,
            };
            parts.push(("made-of", source));
            parts.push(("user.pem", format!("{}{}", pair.certificate, pair.key)));
            parts.push(("user.crt", pair.certificate));
            parts.push(("user.key", pair.key));
        }
    }
    let parts = parts.into_iter();
    let mut data: Data = parts
        .map(|(key, text)| (key.to_owned(), text.into_bytes()))
        .collect();
    let properties = properties(way, &data, folder);
    data.insert("client.properties".to_owned(), properties.into_bytes());
    Ok(data)
}

/// Whether the operator writes this key into a user's Secret.
#[must_use]
pub fn is_own(_: &Data, key: &str) -> bool {
    KEYS.contains(&key)
}

/// What a Secret has as text.
#[must_use]
pub fn text(data: &Data, key: &str) -> Option<String> {
    String::from_utf8(data.get(key)?.clone()).ok()
}

/// What stands for a password in a Secret once the brokers have it.
#[must_use]
pub fn applied(password: &str) -> String {
    STANDARD.encode(digest(&SHA256, password.as_bytes()))
}

fn refused(why: impl std::fmt::Display) -> Verdict {
    Verdict::new(UserReason::CredentialsRefused, format!("{why}."))
}

fn draw() -> Result<String, Verdict> {
    let mut bytes = [0; PASSWORD_BYTES];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| refused("The system gives no random bytes for a password"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A password that somebody may have put there.
fn checked(password: String) -> Result<String, Verdict> {
    match password.is_empty() || password.chars().any(char::is_control) {
        true => Err(refused(
            "The password in the user's Secret is empty, or has a line break or another control \
             character; put another one there, or remove it to have one drawn",
        )),
        false => Ok(password),
    }
}

fn signed(
    user: &ValidatedUser,
    signer: &Pair,
    (now, lifetime): (i64, Lifetime),
) -> Result<Pair, Verdict> {
    let wanted = Wanted {
        subject: &user.name,
        hosts: &[],
        usage: Use::Client,
        lifetime: lifetime.lifetime,
    };
    sign(signer, &wanted, now).map_err(refused)
}

fn jaas(name: &str, password: &str) -> String {
    let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{name}\" \
         password=\"{quoted}\";"
    )
}

/// A text as the value of a line in a file of properties.
fn value(text: &str) -> String {
    text.trim_end().replace('\\', "\\\\").replace('\n', "\\n")
}

fn properties(way: &Way, data: &Data, folder: Option<&Path>) -> String {
    let of = |key: &str| text(data, key).unwrap_or_default();
    let mut lines = vec![("bootstrap.servers", way.bootstrap.clone())];
    let protocol = match (way.authentication, way.is_encrypted) {
        (AuthenticationType::Scram, true) => "SASL_SSL",
        (AuthenticationType::Scram, false) => "SASL_PLAINTEXT",
        (AuthenticationType::MutualTls, _) => "SSL",
    };
    lines.push(("security.protocol", protocol.to_owned()));
    let file = |name: &str| folder.map(|folder| folder.join(name).display().to_string());
    if way.trusted.is_some() {
        lines.push(("ssl.truststore.type", "PEM".to_owned()));
        lines.push(match file("ca.crt") {
            Some(file) => ("ssl.truststore.location", file),
            None => ("ssl.truststore.certificates", of("ca.crt")),
        });
    }
    match (way.authentication, file("user.pem")) {
        (AuthenticationType::Scram, _) => {
            lines.push(("sasl.mechanism", "SCRAM-SHA-512".to_owned()));
            lines.push(("sasl.jaas.config", of("sasl.jaas.config")));
        }
        (AuthenticationType::MutualTls, Some(file)) => {
            lines.push(("ssl.keystore.type", "PEM".to_owned()));
            lines.push(("ssl.keystore.location", file));
        }
        (AuthenticationType::MutualTls, None) => {
            lines.push(("ssl.keystore.type", "PEM".to_owned()));
            lines.push(("ssl.keystore.certificate.chain", of("user.crt")));
            lines.push(("ssl.keystore.key", of("user.key")));
        }
    }
    let lines = lines.iter();
    lines
        .map(|(key, text)| format!("{key}={}\n", value(text)))
        .collect()
}

#[cfg(test)]
mod tests;
