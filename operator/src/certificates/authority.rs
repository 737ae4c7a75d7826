//! An authority that the operator makes, keeps in a Secret and renews. Pure, but for the keys that
//! are drawn.
//!
//! ```text
//! ca.crt      all that are trusted: the one that signs, the one that will, those that did
//! ca.key      the key that signs, and its certificate: signer.crt
//! signer.crt
//! next.crt    while it is renewed: the one that will sign, once all trust it
//! next.key
//! next.since
//! ```
//!
//! Invariant: nothing is signed with a key before it was trusted for [`SPREAD`], and what signed
//! stays trusted until it expires.

use super::{DAY, Data, Error, Lifetime, Pair, expires, is_pair, sign_itself};

/// What its Secret may have of the operator's.
pub const KEYS: [&str; 6] = [
    "ca.crt",
    "ca.key",
    "signer.crt",
    "next.crt",
    "next.key",
    "next.since",
];
/// How long the next one is trusted before it signs: until then every broker has it, and every user
/// who takes its Secret again, as pods do.
pub const SPREAD: i64 = DAY;

/// An authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// What signs.
    pub signer: Pair,
    /// What will, and since when it is trusted.
    next: Option<(Pair, i64)>,
    /// Certificates that are trusted as well.
    before: Vec<String>,
}

impl Authority {
    /// A new one of that name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(name: &str, now: i64, lifetime: Lifetime) -> Result<Self, Error> {
        Ok(Self {
            signer: sign_itself(&format!("{name} {now}"), now, lifetime.lifetime)?,
            next: None,
            before: Vec::new(),
        })
    }

    /// The same, which trusts these certificates as well.
    #[must_use]
    pub fn trusting(mut self, pem: &str) -> Self {
        let mut more = split(pem);
        more.retain(|one| *one != self.signer.certificate && !self.before.contains(one));
        self.before.extend(more);
        self
    }

    /// The one that a Secret has; none where that is no authority of the operator's, or where a
    /// key is not that of its certificate.
    #[must_use]
    pub fn read(data: &Data) -> Option<Self> {
        let text = |key: &str| String::from_utf8(data.get(key)?.clone()).ok();
        let pair = |certificate: &str, key: &str| {
            let (certificate, key) = (text(certificate)?, text(key)?);
            let pair = Pair { certificate, key };
            is_pair(&pair).then_some(pair)
        };
        let signer = pair("signer.crt", "ca.key")?;
        let since = || text("next.since")?.trim().parse().ok();
        let next = pair("next.crt", "next.key").and_then(|next| Some((next, since()?)));
        let known = |one: &String| {
            *one == signer.certificate
                || next.as_ref().is_some_and(|next| *one == next.0.certificate)
        };
        let mut before = split(&text("ca.crt")?);
        before.retain(|one| !known(one));
        Some(Self {
            signer,
            next,
            before,
        })
    }

    /// What its Secret is to have.
    #[must_use]
    pub fn data(&self) -> Data {
        let mut data = vec![
            ("ca.crt", self.trusted()),
            ("ca.key", self.signer.key.clone()),
            ("signer.crt", self.signer.certificate.clone()),
        ];
        if let Some((next, since)) = &self.next {
            data.push(("next.crt", next.certificate.clone()));
            data.push(("next.key", next.key.clone()));
            data.push(("next.since", since.to_string()));
        }
        let data = data.into_iter();
        data.map(|(key, text)| (key.to_owned(), text.into_bytes()))
            .collect()
    }

    /// All certificates that are trusted.
    #[must_use]
    pub fn trusted(&self) -> String {
        let next = self.next.iter().map(|(next, _)| &next.certificate);
        let all = std::iter::once(&self.signer.certificate).chain(next);
        all.chain(&self.before).map(String::as_str).collect()
    }

    /// When another is due to sign.
    #[must_use]
    pub fn renewal_due(&self, lifetime: Lifetime) -> Option<i64> {
        match &self.next {
            Some((_, since)) => Some(since + SPREAD),
            None => Some(lifetime.renewal_due(expires(&self.signer.certificate)?)),
        }
    }

    /// The same as time goes by.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn renewed(mut self, name: &str, now: i64, lifetime: Lifetime) -> Result<Self, Error> {
        let is_over = |one: &str| expires(one).is_none_or(|expires| expires <= now);
        self.before.retain(|one| !is_over(one));
        match self.next.take() {
            Some((next, since)) if now >= since + SPREAD || is_over(&self.signer.certificate) => {
                let before = std::mem::replace(&mut self.signer, next).certificate;
                self.before.extend((!is_over(&before)).then_some(before));
            }
            Some(next) => self.next = Some(next),
            None if expires(&self.signer.certificate).is_none_or(|at| !lifetime.stays(at, now)) => {
                let next = sign_itself(&format!("{name} {now}"), now, lifetime.lifetime)?;
                self.next = Some((next, now));
            }
            None => {}
        }
        Ok(self)
    }
}

/// The certificates of a text, one by one, as they were written.
fn split(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = pem.split_inclusive(END).filter(|part| part.contains(END));
    let parts = parts.map(|part| format!("{}\n", part.trim_start()));
    parts.map(|part| part.replace("\r\n", "\n")).collect()
}
