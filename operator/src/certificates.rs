//! X.509 certificates in PEM: what the operator signs, and whether what others made can be used.
//!
//! Keys are drawn here; all else follows from the arguments. Times are seconds since 1970.
//!
//! Invariant: what a broker refuses is refused here first, so that it never takes the place of what
//! a broker has.

pub mod authority;

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_core::authentication::certificate::Certificate;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What a Secret holds, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

/// A day, in seconds.
pub const DAY: i64 = 24 * 60 * 60;
/// At the latest so long before it expires a certificate of somebody else's is to be renewed.
const RENEWED_BEFORE: i64 = 14 * DAY;
/// So much longer than it is to hold a certificate may hold: clocks differ.
const LONGER: i64 = DAY;

/// How long certificates of one kind hold, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From when they are signed.
    pub lifetime: i64,
    /// How long before they expire others take their place.
    pub renewed: i64,
}

impl Lifetime {
    /// By days.
    #[must_use]
    pub const fn days(lifetime: i64, renewed: i64) -> Self {
        Self {
            lifetime: lifetime * DAY,
            renewed: renewed * DAY,
        }
    }

    /// When another is due to take the place of one that expires then.
    #[must_use]
    pub fn renewal_due(self, expires: i64) -> i64 {
        expires - self.renewed
    }

    /// Whether one stays that expires then.
    #[must_use]
    pub fn stays(self, expires: i64, now: i64) -> bool {
        self.renewal_due(expires) > now && expires <= now + self.lifetime + LONGER
    }
}

/// How long the operator's certificates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The authorities.
    pub authorities: Lifetime,
    /// Those of brokers.
    pub brokers: Lifetime,
    /// Those of users.
    pub users: Lifetime,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authorities: Lifetime::days(5 * 365, 365),
            brokers: Lifetime::days(90, 30),
            users: Lifetime::days(30, 15),
        }
    }
}
/// How long before the present a certificate's time begins: clocks differ.
const EARLIER: i64 = 60 * 60;

/// Why no certificate can be made. It cannot happen with the names that are used here.
#[derive(Debug, thiserror::Error)]
#[error("a certificate cannot be made: {0}")]
pub struct Error(#[from] rcgen::Error);

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, with those that sign it behind it where it is not the operator's.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

impl Pair {
    /// Both in one text, as a broker's keystore has them.
    #[must_use]
    pub fn keystore(&self) -> Vec<u8> {
        format!("{}{}", self.certificate, self.key).into_bytes()
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A broker's, which is a client of the others as well.
    Broker,
    /// A client's.
    Client,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The common name of its subject.
    pub subject: &'a str,
    /// The hosts that it is for, by name or address.
    pub hosts: &'a [String],
    /// What it is for.
    pub usage: Use,
    /// How long it holds, in seconds.
    pub lifetime: i64,
}

/// A new authority, that signs itself.
///
/// # Errors
/// See [`Error`].
pub fn sign_itself(name: &str, now: i64, lifetime: i64) -> Result<Pair, Error> {
    let key = KeyPair::generate()?;
    let mut params = authority_params(name);
    set_time(&mut params, now, lifetime);
    let certificate = params.self_signed(&key)?.pem();
    let key = key.serialize_pem();
    Ok(Pair { certificate, key })
}

/// A new certificate with a new key, signed by that authority of the operator's.
///
/// # Errors
/// See [`Error`]; that the authority is not the operator's, among it.
pub fn sign(authority: &Pair, wanted: &Wanted<'_>, now: i64) -> Result<Pair, Error> {
    let signer = subject(&authority.certificate).unwrap_or_default();
    let signer = signer.strip_prefix("CN=").unwrap_or(&signer);
    let issuer = Issuer::new(authority_params(signer), KeyPair::from_pem(&authority.key)?);
    let mut params = CertificateParams::new(wanted.hosts.to_vec())?;
    params.distinguished_name = common_name(wanted.subject);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if wanted.usage == Use::Broker {
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
    }
    set_time(&mut params, now, wanted.lifetime);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    let key = key.serialize_pem();
    Ok(Pair { certificate, key })
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn set_time(params: &mut CertificateParams, now: i64, lifetime: i64) {
    let at = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(now - EARLIER);
    params.not_after = at(now + lifetime);
}

/// The subject of the first certificate.
fn subject(pem: &str) -> Option<String> {
    first(pem).map(|certificate| certificate.subject)
}

/// When the first certificate expires.
#[must_use]
pub fn expires(pem: &str) -> Option<i64> {
    first(pem).map(|certificate| certificate.not_after)
}

/// When somebody else's certificate is to be renewed: once a fifth of its time is left, and not
/// more than 14 days. Whoever renews those has done so long before.
#[must_use]
pub fn renewal_due(pem: &str) -> Option<i64> {
    let Certificate {
        not_before,
        not_after,
        ..
    } = first(pem)?;
    Some(not_after - ((not_after - not_before) / 5).min(RENEWED_BEFORE))
}

fn first(pem: &str) -> Option<Certificate> {
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next()?;
    Certificate::read(&first.ok()?)
}

/// The certificates of a text, and the key in another one.
///
/// # Errors
/// What is missing, as half a sentence.
pub fn parse(
    chain: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let certificates = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "tls.key has no private key in PEM that is not encrypted".to_owned())?;
    Ok((certificates, key))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => Err("no certificate in PEM".to_owned()),
    }
}

/// Those whom certificates may be signed by.
///
/// # Errors
/// What is wrong with one, as half a sentence.
pub fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// Whether the key is that of the certificate.
#[must_use]
pub fn is_pair(pair: &Pair) -> bool {
    let parsed = parse(&pair.certificate, &pair.key);
    parsed.is_ok_and(|(chain, key)| {
        CertifiedKey::from_der(chain, key, &ring::default_provider()).is_ok()
    })
}

/// When a certificate of somebody else's expires, which brokers are to show.
///
/// # Errors
/// Why brokers would refuse it, and how to mend that, as half a sentence.
pub fn check(pair: &Pair, now: i64) -> Result<i64, String> {
    let (chain, key) = parse(&pair.certificate, &pair.key).map_err(|why| match why {
        why if why.starts_with("tls.key") => why,
        why => format!("tls.crt has {why}"),
    })?;
    let Some(first) = chain.first().and_then(|first| Certificate::read(first)) else {
        return Err("tls.crt has a certificate that cannot be read".to_owned());
    };
    let subject = &first.subject;
    if first.not_after <= now {
        let days = (now - first.not_after) / DAY;
        return Err(format!(
            "the certificate of {subject} expired {days} days ago; renew it"
        ));
    }
    if first.not_before > now {
        return Err(format!(
            "the time of the certificate of {subject} has not begun yet"
        ));
    }
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|_| {
        format!("tls.key is not the key of the certificate of {subject}; put both in again")
    })?;
    Ok(first.not_after)
}

/// A time as a status writes it.
#[must_use]
pub fn written(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
