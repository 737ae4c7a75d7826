//! Stores of keys and certificates as PKCS#12 has them (RFC 7292): what keytool writes since Java
//! 17 and OpenSSL since 3.0, sealed by a password with PBES2 (PBKDF2 and AES-CBC) and HMAC.
//!
//! ```text
//! PFX { version 3, data { SafeContents … }, MacData }
//! SafeContents: in the clear, or encrypted as a whole; bags of keys and of certificates
//! ```
//!
//! What older programs write (RC2, 3DES) is refused with the way to mend it. Nothing is believed
//! before the MAC was right, where there is one, and no password costs more than
//! [`ITERATIONS_MAX`] rounds.

use std::num::NonZeroU32;

use aes::{Aes128, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use ring::{digest, hmac, pbkdf2};

use super::Secret;
use super::certificate::{issuer_and_subject, public_key};
use super::der::{BITS, Der, INTEGER, OBJECT_ID, OCTETS, SEQUENCE, SET, element};

/// A hundred times what programs write today.
const ITERATIONS_MAX: u32 = 1_000_000;

/// An element whose tag says only that it is the first of its kind.
const TAGGED_0: u8 = 0xa0;
/// The second.
const TAGGED_1: u8 = 0xa1;
/// The first, in the place of an octet string's own tag.
const TAGGED_OCTETS: u8 = 0x80;

/// Object ids, as in DER.
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const ENCRYPTED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
const KEY_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x01";
const SHROUDED_KEY_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02";
const CERTIFICATE_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x03";
const X509: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01";
const LOCAL_KEY_ID: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x15";
const ELLIPTIC_CURVE: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
/// RC2, RC4 and 3DES by PKCS#12's own way from a password to a key.
const OLD: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01";
const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";

/// Digests of a MAC with the bytes that they work on at a time.
const DIGESTS: [(&[u8], &digest::Algorithm, hmac::Algorithm, usize); 4] = [
    (
        b"\x2b\x0e\x03\x02\x1a",
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        64,
    ),
    (
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x01",
        &digest::SHA256,
        hmac::HMAC_SHA256,
        64,
    ),
    (
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x02",
        &digest::SHA384,
        hmac::HMAC_SHA384,
        128,
    ),
    (
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x03",
        &digest::SHA512,
        hmac::HMAC_SHA512,
        128,
    ),
];

/// What PBKDF2 may be made of.
const PSEUDO_RANDOM: [(&[u8], pbkdf2::Algorithm); 4] = [
    (
        b"\x2a\x86\x48\x86\xf7\x0d\x02\x07",
        pbkdf2::PBKDF2_HMAC_SHA1,
    ),
    (
        b"\x2a\x86\x48\x86\xf7\x0d\x02\x09",
        pbkdf2::PBKDF2_HMAC_SHA256,
    ),
    (
        b"\x2a\x86\x48\x86\xf7\x0d\x02\x0a",
        pbkdf2::PBKDF2_HMAC_SHA384,
    ),
    (
        b"\x2a\x86\x48\x86\xf7\x0d\x02\x0b",
        pbkdf2::PBKDF2_HMAC_SHA512,
    ),
];

/// What is in a store.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// The first key, as PKCS#8 has it.
    pub key: Option<Vec<u8>>,
    /// Certificates in X.509: with a key its own and those that sign it, in this order, else all.
    pub certificates: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (has_key, count) = (self.key.is_some(), self.certificates.len());
        write!(f, "Store(key: {has_key}, certificates: {count})")
    }
}

/// The passwords of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// That of the store.
    pub store: Secret,
    /// That of its key, where it has one of its own.
    pub key: Option<Secret>,
}

/// Why a store is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or encoded in another way.
    #[error("it is no PKCS#12 store in DER; make it with keytool or openssl pkcs12 -export")]
    Malformed,
    /// The password is another one.
    #[error("its password is another one; give the one that it was written with")]
    Password,
    /// What it is sealed with is too weak to be read.
    #[error(
        "it is sealed with RC2 or 3DES, as older programs do; write it anew: openssl pkcs12 \
         -legacy -in STORE -nodes | openssl pkcs12 -export -out NEW"
    )]
    Old,
    /// What it is sealed with is not known here.
    #[error("it is sealed with what is not known here; write it by AES-256-CBC and PBKDF2")]
    Unknown,
    /// It would take too long to open.
    #[error("its password takes more than {ITERATIONS_MAX} rounds; write it with fewer")]
    Rounds,
}

/// Opens a store.
///
/// # Errors
/// See [`Refused`].
pub fn open(store: &[u8], passwords: &Passwords) -> Result<Store, Refused> {
    let mut pfx = Der(Der(store).element(SEQUENCE).ok_or(Refused::Malformed)?);
    pfx.element(INTEGER).ok_or(Refused::Malformed)?;
    let safe = content(&mut pfx, DATA).ok_or(Refused::Malformed)?;
    if pfx.tag().is_some() {
        let mac = pfx.element(SEQUENCE).ok_or(Refused::Malformed)?;
        verify(Der(mac), safe, passwords.store.reveal())?;
    }
    let mut bags = Vec::new();
    let mut safe = Der(Der(safe).element(SEQUENCE).ok_or(Refused::Malformed)?);
    while safe.tag().is_some() {
        let found = safe.element(SEQUENCE).ok_or(Refused::Malformed)?;
        let contents = contents(found, passwords.store.reveal())?;
        let mut all = Der(Der(&contents).element(SEQUENCE).ok_or(Refused::Malformed)?);
        while all.tag().is_some() {
            let bag = all.element(SEQUENCE).ok_or(Refused::Malformed)?;
            bags.extend(Bag::read(bag, passwords)?);
        }
    }
    Ok(sorted(bags))
}

/// What is in a `ContentInfo` of that type, where it is an octet string.
fn content<'a>(der: &mut Der<'a>, wanted: &[u8]) -> Option<&'a [u8]> {
    let mut info = Der(der.element(SEQUENCE)?);
    if info.element(OBJECT_ID)? != wanted {
        return None;
    }
    Der(info.element(TAGGED_0)?).element(OCTETS)
}

/// The `SafeContents` in a `ContentInfo`, decrypted where they are encrypted.
fn contents(info: &[u8], password: &str) -> Result<Vec<u8>, Refused> {
    let mut fields = Der(info);
    let kind = fields.element(OBJECT_ID).ok_or(Refused::Malformed)?;
    let tagged = fields.element(TAGGED_0).ok_or(Refused::Malformed)?;
    if kind == DATA {
        let clear = Der(tagged).element(OCTETS).ok_or(Refused::Malformed)?;
        return Ok(clear.to_vec());
    }
    if kind != ENCRYPTED_DATA {
        return Err(Refused::Unknown);
    }
    let sealed = || {
        let mut data = Der(Der(tagged).element(SEQUENCE)?);
        data.element(INTEGER)?;
        let mut sealed = Der(data.element(SEQUENCE)?);
        sealed.element(OBJECT_ID)?;
        Some((sealed.element(SEQUENCE)?, sealed.element(TAGGED_OCTETS)?))
    };
    let (algorithm, sealed) = sealed().ok_or(Refused::Malformed)?;
    decrypt(algorithm, sealed, password)
}

/// A key or a certificate.
struct Bag {
    is_key: bool,
    /// What a key and its certificate have in common.
    id: Option<Vec<u8>>,
    der: Vec<u8>,
}

impl Bag {
    /// None where it holds something else.
    fn read(bag: &[u8], passwords: &Passwords) -> Result<Option<Self>, Refused> {
        let mut fields = Der(bag);
        let kind = fields.element(OBJECT_ID).ok_or(Refused::Malformed)?;
        let value = fields.element(TAGGED_0).ok_or(Refused::Malformed)?;
        let id = fields.element(SET).and_then(key_id).map(<[u8]>::to_vec);
        let der = match kind {
            KEY_BAG => value.to_vec(),
            SHROUDED_KEY_BAG => {
                let sealed = || {
                    let mut sealed = Der(Der(value).element(SEQUENCE)?);
                    Some((sealed.element(SEQUENCE)?, sealed.element(OCTETS)?))
                };
                let (algorithm, sealed) = sealed().ok_or(Refused::Malformed)?;
                let password = passwords.key.as_ref().unwrap_or(&passwords.store);
                decrypt(algorithm, sealed, password.reveal())?
            }
            CERTIFICATE_BAG => {
                let mut value = Der(Der(value).element(SEQUENCE).ok_or(Refused::Malformed)?);
                if value.element(OBJECT_ID) != Some(X509) {
                    return Ok(None);
                }
                let tagged = value.element(TAGGED_0).ok_or(Refused::Malformed)?;
                let der = Der(tagged).element(OCTETS).ok_or(Refused::Malformed)?;
                der.to_vec()
            }
            _ => return Ok(None),
        };
        let is_key = kind != CERTIFICATE_BAG;
        Ok(Some(Self { is_key, id, der }))
    }
}

fn key_id(attributes: &[u8]) -> Option<&[u8]> {
    let mut attributes = Der(attributes);
    loop {
        let mut attribute = Der(attributes.element(SEQUENCE)?);
        if attribute.element(OBJECT_ID)? == LOCAL_KEY_ID {
            return Der(attribute.element(SET)?).element(OCTETS);
        }
    }
}

/// The first key with its certificate and those that sign it; without a key all certificates.
fn sorted(bags: Vec<Bag>) -> Store {
    let (keys, mut rest): (Vec<_>, Vec<_>) = bags.into_iter().partition(|bag| bag.is_key);
    let Some(key) = keys.into_iter().next() else {
        let certificates = rest.into_iter().map(|bag| bag.der).collect();
        return Store {
            key: None,
            certificates,
        };
    };
    let is_its = |bag: &Bag| key.id.is_some() && bag.id == key.id;
    let mut next = rest
        .iter()
        .position(is_its)
        .or((!rest.is_empty()).then_some(0));
    let mut certificates = Vec::new();
    while let Some(place) = next {
        let certificate = rest.swap_remove(place).der;
        let issuer = issuer_and_subject(&certificate).map(|(issuer, _)| issuer);
        let signs = |bag: &Bag| {
            let subject = issuer_and_subject(&bag.der).map(|(_, subject)| subject);
            subject.is_some() && subject == issuer
        };
        next = rest.iter().position(signs);
        certificates.push(certificate);
    }
    let completed = certificates
        .first()
        .and_then(|own| with_public_key(&key.der, own));
    Store {
        key: Some(completed.unwrap_or(key.der)),
        certificates,
    }
}

/// A key of an elliptic curve as Java writes it, without its public half, which ring asks for: with
/// that of its certificate. None where it has one, or is of another kind.
fn with_public_key(key: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Der(Der(key).element(SEQUENCE)?);
    fields.element(INTEGER)?;
    let algorithm = fields.element(SEQUENCE)?;
    if Der(algorithm).element(OBJECT_ID)? != ELLIPTIC_CURVE {
        return None;
    }
    let mut private = Der(Der(fields.element(OCTETS)?).element(SEQUENCE)?);
    private.element(INTEGER)?;
    let secret = private.element(OCTETS)?;
    if private.tag() == Some(TAGGED_0) {
        private.next()?;
    }
    if private.tag() == Some(TAGGED_1) {
        return None;
    }
    let public = element(TAGGED_1, &element(BITS, public_key(certificate)?));
    let version = element(INTEGER, &[1]);
    let private = [version, element(OCTETS, secret), public].concat();
    let private = element(OCTETS, &element(SEQUENCE, &private));
    let version = element(INTEGER, &[0]);
    let key = [version, element(SEQUENCE, algorithm), private].concat();
    Some(element(SEQUENCE, &key))
}

/// Whether the MAC over `safe` is made with this password.
fn verify(mut mac: Der<'_>, safe: &[u8], password: &str) -> Result<(), Refused> {
    let mut read = || {
        let mut info = Der(mac.element(SEQUENCE)?);
        let algorithm = Der(info.element(SEQUENCE)?).element(OBJECT_ID)?;
        let (sum, salt) = (info.element(OCTETS)?, mac.element(OCTETS)?);
        let rounds = match mac.tag() {
            Some(_) => number(mac.element(INTEGER)?)?,
            None => 1,
        };
        Some((algorithm, sum, salt, rounds))
    };
    let (algorithm, sum, salt, rounds) = read().ok_or(Refused::Malformed)?;
    let known = DIGESTS.iter().find(|(id, ..)| *id == algorithm);
    let (_, digest, mac, block) = known.ok_or(Refused::Unknown)?;
    let rounds = bounded(rounds)?;
    let key = mac_key(digest, *block, salt, password, rounds.get());
    let verified = hmac::verify(&hmac::Key::new(*mac, key.as_ref()), safe, sum);
    verified.map_err(|_| Refused::Password)
}

/// PKCS#12's own way from a password to the key of a MAC (RFC 7292, B.2).
fn mac_key(
    algorithm: &'static digest::Algorithm,
    block: usize,
    salt: &[u8],
    password: &str,
    rounds: u32,
) -> digest::Digest {
    let utf16 = password.encode_utf16().chain([0]);
    let password: Vec<u8> = utf16.flat_map(u16::to_be_bytes).collect();
    let mut first = vec![3; block];
    for part in [salt, &password] {
        let length = part.len().div_ceil(block) * block;
        first.extend(part.iter().cycle().take(length));
    }
    let mut sum = digest::digest(algorithm, &first);
    for _ in 1..rounds {
        sum = digest::digest(algorithm, sum.as_ref());
    }
    sum
}

/// What was encrypted by an algorithm with a password.
fn decrypt(algorithm: &[u8], sealed: &[u8], password: &str) -> Result<Vec<u8>, Refused> {
    let mut fields = Der(algorithm);
    let kind = fields.element(OBJECT_ID).ok_or(Refused::Malformed)?;
    if kind.starts_with(OLD) {
        return Err(Refused::Old);
    }
    if kind != PBES2 {
        return Err(Refused::Unknown);
    }
    let mut read = || {
        let mut parameters = Der(fields.element(SEQUENCE)?);
        let (key, cipher) = (parameters.element(SEQUENCE)?, parameters.element(SEQUENCE)?);
        let mut cipher = Der(cipher);
        Some((key, cipher.element(OBJECT_ID)?, cipher.element(OCTETS)?))
    };
    let (derivation, cipher, iv) = read().ok_or(Refused::Malformed)?;
    // what is padded wrongly was encrypted by another password
    match cipher {
        AES_256_CBC => {
            let key: [u8; 32] = derived(derivation, password)?;
            let cipher = Decryptor::<Aes256>::new_from_slices(&key, iv);
            let cipher = cipher.map_err(|_| Refused::Malformed)?;
            let clear = cipher.decrypt_padded_vec::<Pkcs7>(sealed);
            clear.map_err(|_| Refused::Password)
        }
        AES_128_CBC => {
            let key: [u8; 16] = derived(derivation, password)?;
            let cipher = Decryptor::<Aes128>::new_from_slices(&key, iv);
            let cipher = cipher.map_err(|_| Refused::Malformed)?;
            let clear = cipher.decrypt_padded_vec::<Pkcs7>(sealed);
            clear.map_err(|_| Refused::Password)
        }
        _ => Err(Refused::Unknown),
    }
}

/// The key that PBKDF2 makes of a password.
fn derived<const N: usize>(derivation: &[u8], password: &str) -> Result<[u8; N], Refused> {
    let mut fields = Der(derivation);
    if fields.element(OBJECT_ID) != Some(PBKDF2) {
        return Err(Refused::Unknown);
    }
    let mut read = || {
        let mut parameters = Der(fields.element(SEQUENCE)?);
        let (salt, rounds) = (parameters.element(OCTETS)?, parameters.element(INTEGER)?);
        if parameters.tag() == Some(INTEGER) {
            parameters.next()?; // the length of the key, which follows from the cipher
        }
        let made_of = match parameters.tag() {
            Some(_) => Der(parameters.element(SEQUENCE)?).element(OBJECT_ID)?,
            None => PSEUDO_RANDOM[0].0,
        };
        Some((salt, number(rounds)?, made_of))
    };
    let (salt, rounds, made_of) = read().ok_or(Refused::Malformed)?;
    let known = PSEUDO_RANDOM.iter().find(|(id, _)| *id == made_of);
    let (_, algorithm) = known.ok_or(Refused::Unknown)?;
    let mut key = [0; N];
    let rounds = bounded(rounds)?;
    pbkdf2::derive(*algorithm, rounds, salt, password.as_bytes(), &mut key);
    Ok(key)
}

/// A number that is not negative; one too large for 32 bits is the largest.
fn number(integer: &[u8]) -> Option<u32> {
    let (first, _) = integer.split_first()?;
    if first & 0x80 != 0 {
        return None;
    }
    let add = |sum: u32, byte: &u8| sum.checked_mul(256)?.checked_add(u32::from(*byte));
    Some(integer.iter().try_fold(0, add).unwrap_or(u32::MAX))
}

fn bounded(rounds: u32) -> Result<NonZeroU32, Refused> {
    let rounds = NonZeroU32::new(rounds).ok_or(Refused::Malformed)?;
    match rounds.get() <= ITERATIONS_MAX {
        true => Ok(rounds),
        false => Err(Refused::Rounds),
    }
}

#[cfg(test)]
mod tests;
