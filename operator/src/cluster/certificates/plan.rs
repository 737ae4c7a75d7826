//! Which certificates a cluster's brokers are to have, given those that are there. Pure, but for
//! the keys that are drawn.
//!
//! Invariant: a certificate that can be used gives way to none that cannot; and what makes it stay
//! as it is stands beside it, so that an operator that begins anew comes to the same.

use std::collections::{BTreeMap, BTreeSet};

use super::super::settings::security::{is_truststore, keystore, made_of, signers, truststore};
use crate::certificates::authority::Authority;
use crate::certificates::{Data, Lifetime, Pair, Use, Wanted};
use crate::certificates::{check, expires, renewal_due, sign, written};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::{CertificateStatus, Listener, ListenerAuthenticationType};
use crate::fingerprint::fingerprint;
use crate::object::secret_name;
use crate::validated::{BROKERS, ValidatedCluster};

/// The subject of brokers' certificates. On their own listener it gives them their name.
const SUBJECT: &str = "brokers";

/// What a Secret of somebody's holds, or why that is not known.
pub type Given = Result<Option<Data>, Verdict>;

/// What there is.
#[derive(Debug, Default)]
pub struct Found {
    /// The Secret of the authority that signs brokers' certificates.
    pub authority: Option<Data>,
    /// That of the one that signs users'.
    pub users: Option<Data>,
    /// The brokers' files.
    pub files: Data,
    /// The Secrets that listeners name, by name, with what they hold.
    pub given: BTreeMap<String, Given>,
    /// Listeners that brokers run with still, which the spec may not have.
    pub running: BTreeSet<String>,
}

/// What there is to be.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The authority that signs brokers' certificates; none where its Secret was spoiled.
    pub authority: Option<Authority>,
    /// That which signs users'; none as well.
    pub users: Option<Authority>,
    /// The brokers' files.
    pub files: Data,
    /// Listeners of the spec that cannot be had, for want of a certificate.
    pub without: BTreeSet<String>,
    /// What is wrong.
    pub verdicts: Vec<Verdict>,
    /// All certificates, and when they expire.
    pub told: Vec<CertificateStatus>,
}

/// Plans them.
///
/// # Errors
/// Why none can be had at all.
pub fn plan(
    valid: &ValidatedCluster,
    hosts: &[String],
    found: &Found,
    now: i64,
) -> Result<Planned, Verdict> {
    let name = &valid.key.name;
    let mut verdicts = Vec::new();
    let lifetime = valid.lifetimes.authorities;
    let mut renewed = |kept: Option<&Data>, what: &str, trusted: Option<&Vec<u8>>| {
        let trusted = trusted.map_or("".into(), |pem| String::from_utf8_lossy(pem));
        let renewed = authority(name, (kept, &trusted), what, (now, lifetime));
        renewed.map_err(|verdict| verdicts.push(verdict)).ok()
    };
    // Where a Secret is gone, brokers trust the certificates of before as long as they hold.
    let files = found.files.iter();
    let mut of_users =
        files.filter(|(file, _)| is_truststore(file) && **file != truststore(BROKERS));
    let (of_brokers, of_users) = (found.files.get(&truststore(BROKERS)), of_users.next());
    let mut planned = Planned {
        authority: renewed(found.authority.as_ref(), "ca", of_brokers),
        users: renewed(
            found.users.as_ref(),
            "users-ca",
            of_users.map(|(_, pem)| pem),
        ),
        files: Data::new(),
        without: BTreeSet::new(),
        verdicts,
        told: Vec::new(),
    };
    let mut kept: BTreeSet<&str> = found.running.iter().map(String::as_str).collect();
    kept.extend(valid.listeners.iter().map(|one| one.name.as_str()));
    for listener in kept {
        keep(&mut planned.files, &found.files, listener);
    }
    let authorities = [("ca", &planned.authority), ("users-ca", &planned.users)];
    let authorities = authorities.map(|(name, one)| {
        let due = one.as_ref().and_then(|one| one.renewal_due(lifetime));
        (name, one.as_ref().map(certificate), due)
    });
    for (name, certificate, due) in authorities {
        planned.tell(name, (&certificate.unwrap_or_default(), due), "");
    }
    let at = (now, valid.lifetimes.brokers);
    if valid.mutual_tls {
        planned.issue(BROKERS, hosts, found, at)?;
        if let Some(authority) = &planned.authority {
            planned.put(truststore(BROKERS), authority.trusted());
        }
        if !planned.files.contains_key(&keystore(BROKERS)) {
            return Err(Verdict::worst(planned.verdicts).unwrap_or_else(nothing));
        }
    }
    for listener in &valid.listeners {
        let Some(tls) = &listener.tls else {
            continue;
        };
        match tls.secret_name.as_str() {
            "" => planned.issue(&listener.name, hosts, found, at)?,
            secret => planned.take(listener, secret, found.given.get(secret), now),
        }
        let authentication = listener.authentication.as_ref().map(|it| it.type_);
        if authentication == Some(ListenerAuthenticationType::MutualTls) {
            let file = truststore(&listener.name);
            if let Some(users) = &planned.users {
                planned.put(file, users.trusted());
            } else if !planned.files.contains_key(&file) {
                planned.without.insert(listener.name.clone());
            }
        }
    }
    Ok(planned)
}

fn certificate(authority: &Authority) -> String {
    authority.signer.certificate.clone()
}

fn nothing() -> Verdict {
    let why = "The brokers have no certificate.";
    Verdict::new(ClusterReason::CertificateRefused, why)
}

/// The authority of a Secret as time goes by, or a new one where there is no Secret: that trusts
/// whom brokers trusted.
fn authority(
    cluster: &str,
    (kept, trusted): (Option<&Data>, &str),
    what: &str,
    (now, lifetime): (i64, Lifetime),
) -> Result<Authority, Verdict> {
    let (name, secret) = (format!("{cluster} {what}"), secret_name(cluster, what));
    let refused = |why: String| Verdict::new(ClusterReason::CertificateRefused, why);
    let known = match kept {
        None => {
            let new = Authority::new(&name, now, lifetime);
            let new = new.map_err(|error| refused(format!("{error}.")))?;
            new.trusting(trusted)
        }
        Some(kept) => Authority::read(kept).ok_or_else(|| {
            refused(format!(
                "The Secret {secret} has no authority of the operator's any more, or ca.key is not \
                 the key of signer.crt; put back what it had, or delete it: then all certificates \
                 are made anew, and clients need the new ca.crt. Nothing is signed until then."
            ))
        })?,
    };
    let renewed = known.renewed(&name, now, lifetime);
    renewed.map_err(|error| refused(format!("{error}.")))
}

/// Takes over the files of a listener.
fn keep(files: &mut Data, found: &Data, listener: &str) {
    for name in [keystore, truststore, signers, made_of] {
        let file = name(listener);
        if let Some(bytes) = found.get(&file) {
            files.insert(file, bytes.clone());
        }
    }
}

impl Planned {
    /// Whom the clients of a listener trust, as long as it is in use: with a certificate that was
    /// kept that is who signed the one kept.
    #[must_use]
    pub fn trusted(&self, listener: &str) -> Option<String> {
        self.text(&signers(listener))
    }

    fn put(&mut self, file: String, text: impl Into<String>) {
        self.files.insert(file, text.into().into_bytes());
    }

    fn text(&self, file: &str) -> Option<String> {
        String::from_utf8(self.files.get(file)?.clone()).ok()
    }

    /// Has a certificate of the operator's, the one that is there where it will do.
    fn issue(
        &mut self,
        listener: &str,
        hosts: &[String],
        found: &Found,
        (now, lifetime): (i64, Lifetime),
    ) -> Result<(), Verdict> {
        keep(&mut self.files, &found.files, listener);
        let Some(authority) = self.authority.clone() else {
            match self.text(&keystore(listener)) {
                Some(shown) => self.tell_own(listener, &shown, lifetime),
                None => drop(self.without.insert(listener.to_owned())),
            }
            return Ok(());
        };
        let signer = authority.signer.clone();
        let source = format!("{:016x}", fingerprint(&signer.certificate));
        let kept = self.text(&keystore(listener));
        let kept = kept.and_then(|kept| expires(&kept));
        let is_lasting = kept.is_some_and(|until| lifetime.stays(until, now));
        let made_of_before = self.text(&made_of(listener)).unwrap_or_default();
        let (signed_by, before) = made_of_before.split_once(' ').unwrap_or_default();
        let is_kept = is_lasting && signed_by == source;
        let before: BTreeSet<&str> = before.split(',').filter(|_| is_kept).collect();
        let is_new = |host: &String| !before.contains(host.as_str());
        if !is_kept || hosts.iter().any(is_new) {
            // A node whose broker is away for a moment stays.
            let all: BTreeSet<&str> = hosts.iter().map(String::as_str).chain(before).collect();
            let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
            let wanted = Wanted {
                subject: SUBJECT,
                hosts: &all,
                usage: Use::Broker,
                lifetime: lifetime.lifetime,
            };
            let signed = sign(&signer, &wanted, now).map_err(|error| {
                Verdict::new(ClusterReason::CertificateRefused, format!("{error}."))
            })?;
            self.files.insert(keystore(listener), signed.keystore());
            self.put(made_of(listener), format!("{source} {}", all.join(",")));
        }
        self.put(signers(listener), authority.trusted());
        let shown = self.text(&keystore(listener)).unwrap_or_default();
        self.tell_own(listener, &shown, lifetime);
        Ok(())
    }

    /// Takes a certificate of somebody else's where it can be used, and keeps the one before where
    /// it cannot.
    fn take(&mut self, listener: &Listener, secret: &str, given: Option<&Given>, now: i64) {
        let name = &listener.name;
        let wrong = match given.unwrap_or(&Ok(None)) {
            Err(why) => Some((
                ClusterReason::CertificateRefused,
                why.message.trim_end_matches('.').to_owned(),
            )),
            Ok(None) => Some((
                ClusterReason::SecretNotFound,
                format!(
                    "The listener {name} names the Secret {secret}, which is not there; add it \
                     with tls.crt and tls.key"
                ),
            )),
            Ok(Some(given)) => match usable(given, now) {
                Ok(pair) => {
                    self.files.insert(keystore(name), pair.keystore());
                    self.files.remove(&made_of(name));
                    let trusted = text(given, "ca.crt").unwrap_or(pair.certificate);
                    self.put(signers(name), trusted);
                    None
                }
                Err(why) => Some((
                    ClusterReason::CertificateRefused,
                    format!("The Secret {secret} of the listener {name} cannot be used: {why}"),
                )),
            },
        };
        let shown = self.text(&keystore(name));
        if let Some((reason, why)) = wrong {
            let then = match &shown {
                Some(_) => "the certificate before stays in use",
                None => "the listener is not there until then",
            };
            self.verdicts
                .push(Verdict::new(reason, format!("{why}; {then}.")));
        }
        match shown {
            Some(shown) => self.tell(name, (&shown, renewal_due(&shown)), secret),
            None => drop(self.without.insert(name.clone())),
        }
    }

    fn tell_own(&mut self, name: &str, certificate: &str, lifetime: Lifetime) {
        let due = expires(certificate).map(|until| lifetime.renewal_due(until));
        self.tell(name, (certificate, due), "");
    }

    fn tell(&mut self, name: &str, (certificate, due): (&str, Option<i64>), secret: &str) {
        if let Some(until) = expires(certificate) {
            self.told.push(CertificateStatus {
                name: name.to_owned(),
                expires_at: written(until),
                renewal_due: due.map_or(String::new(), written),
                secret_name: secret.to_owned(),
            });
        }
    }
}

fn text(data: &Data, key: &str) -> Option<String> {
    String::from_utf8(data.get(key)?.clone()).ok()
}

/// The certificate and the key of somebody's Secret.
fn usable(given: &Data, now: i64) -> Result<Pair, String> {
    let part = |key: &str| text(given, key).ok_or_else(|| format!("it has no {key}"));
    let pair = Pair {
        certificate: part("tls.crt")?,
        key: part("tls.key")?,
    };
    check(&pair, now)?;
    Ok(pair)
}

#[cfg(test)]
mod tests;
