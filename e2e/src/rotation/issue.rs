//! Authorities and certificates whose time is set by the second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// How long before the present a certificate's time begins: clocks differ.
const EARLIER_SECONDS: i64 = 3600;

/// An authority, in PEM.
pub struct Authority {
    /// The common name of its subject.
    pub name: String,
    /// Its certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// One that holds until then, in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str, until: i64) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = authority(name);
        set_time(&mut params, until);
        Ok(Self {
            name: name.to_owned(),
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A broker's certificate that it signs, which holds until then, and its key.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign(&self, name: &str, hosts: Vec<String>, until: i64) -> Result<String> {
        let issuer = Issuer::new(authority(&self.name), KeyPair::from_pem(&self.key)?);
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = named(name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        set_time(&mut params, until);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(certificate + &key.serialize_pem())
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn set_time(params: &mut CertificateParams, until: i64) {
    let at = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(now() - EARLIER_SECONDS);
    params.not_after = at(until);
}
