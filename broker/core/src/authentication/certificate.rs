//! What a broker looks at in an X.509 certificate: whose it is, and until when.
//!
//! Certificates are verified elsewhere; this reads the few fields that names and warnings go by.
//! The subject is written as Java does it (RFC 2253), since ACLs name principals so.

use super::der::{BITS, Der, OBJECT_ID, SEQUENCE, SET};

/// The fields of a certificate that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject: `CN=alice,OU=orders`.
    pub subject: String,
    /// When its time begins, in seconds since 1970.
    pub not_before: i64,
    /// When its time ends, in seconds since 1970.
    pub not_after: i64,
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which is there in all but the oldest.
const VERSION: u8 = 0xa0;

/// The attributes that RFC 2253 has names for, by their object ids as in DER.
const NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

impl Certificate {
    /// Reads a certificate's DER; none where it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut fields = behind_the_algorithm(der)?;
        fields.next()?; // the issuer
        let mut validity = Der(fields.element(SEQUENCE)?);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = name(fields.element(SEQUENCE)?)?;
        Some(Self {
            subject,
            not_before,
            not_after,
        })
    }
}

/// The names of who signed a certificate and of whose it is, as they are encoded.
pub(super) fn issuer_and_subject(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = behind_the_algorithm(der)?;
    let issuer = fields.element(SEQUENCE)?;
    fields.next()?; // the validity
    Some((issuer, fields.element(SEQUENCE)?))
}

/// The public key of a certificate, without its algorithm: what is in its bit string.
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    let mut fields = behind_the_algorithm(der)?;
    for _issuer_validity_subject in 0..3 {
        fields.next()?;
    }
    let mut key = Der(fields.element(SEQUENCE)?);
    key.element(SEQUENCE)?;
    key.element(BITS)
}

/// The fields of a certificate from its issuer on.
fn behind_the_algorithm(der: &[u8]) -> Option<Der<'_>> {
    let whole = Der(der).element(SEQUENCE)?;
    let mut fields = Der(Der(whole).element(SEQUENCE)?);
    if fields.tag() == Some(VERSION) {
        fields.next()?;
    }
    for _serial_and_algorithm in 0..2 {
        fields.next()?;
    }
    Some(fields)
}

/// A point in time: `yymmddhhmmssZ` or, in full, `yyyymmddhhmmssZ`.
fn time(der: &mut Der<'_>) -> Option<i64> {
    let (tag, text) = der.next()?;
    let number = |digits: &[u8]| {
        let digits = digits.iter().map(|b| char::from(*b).to_digit(10));
        digits
            .into_iter()
            .try_fold(0_i64, |sum, digit| Some(sum * 10 + i64::from(digit?)))
    };
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = [0; 5];
    let digits = rest.strip_suffix(b"Z")?;
    if digits.len() != 10 {
        return None;
    }
    for (part, digits) in parts.iter_mut().zip(digits.chunks(2)) {
        *part = number(digits)?;
    }
    let [month, day, hours, minutes, seconds] = parts;
    Some(((days(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)
}

/// Days from 1970 to that day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // a year that begins in March has its leap day at its end
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9).rem_euclid(12));
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A distinguished name, the last part first.
fn name(sequence: &[u8]) -> Option<String> {
    let mut sequence = Der(sequence);
    let mut parts = Vec::new();
    while sequence.tag().is_some() {
        let mut set = Der(sequence.element(SET)?);
        let mut attributes = Vec::new();
        while set.tag().is_some() {
            attributes.push(attribute(set.element(SEQUENCE)?)?);
        }
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// `CN=value`, or `1.2.3=#hex` where RFC 2253 has no name for it or it is no text.
fn attribute(sequence: &[u8]) -> Option<String> {
    let mut fields = Der(sequence);
    let id = fields.element(OBJECT_ID)?;
    let encoded = fields.0;
    let (tag, value) = fields.next()?;
    let known = NAMES.iter().find(|(known, _)| *known == id);
    match (known, text(tag, value)) {
        (Some((_, name)), Some(text)) => Some(format!("{name}={}", escaped(&text))),
        _ => {
            let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{}=#{hex}", dotted(id)?))
        }
    }
}

fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        0x0c | 0x12 | 0x13 | 0x16 => String::from_utf8(value.to_vec()).ok(),
        0x14 => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        0x1e => {
            let units = value.chunks(2).map(|pair| match pair {
                &[high, low] => Some(u16::from_be_bytes([high, low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
        }
        _ => None,
    }
}

/// As Java escapes it: what has a meaning in a name, and spaces at its ends.
fn escaped(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let end = text.len() - start - inner.len();
    let mut escaped = "\\ ".repeat(start);
    for char in inner.chars() {
        match char {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => {
                escaped.push('\\');
                escaped.push(char);
            }
            '\0' => escaped += "\\00",
            _ => escaped.push(char),
        }
    }
    escaped + &"\\ ".repeat(if inner.is_empty() { 0 } else { end })
}

/// An object id in its dotted form.
fn dotted(id: &[u8]) -> Option<String> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for byte in id {
        number = number
            .checked_mul(128)?
            .checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    Some(texts.join("."))
}
