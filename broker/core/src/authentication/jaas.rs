//! The configuration of Java's login modules, as far as brokers have it: one module with options.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";
//! ```

use std::collections::BTreeMap;

use super::Secret;

/// The module of PLAIN.
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

/// The modules of OAUTHBEARER; the older name means the same.
const OAUTH: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginModule",
];

/// The options of the one module in `text`.
///
/// # Errors
/// How to write it, as the end of a sentence.
fn options(text: &str) -> Result<(&str, BTreeMap<String, String>), String> {
    let wrong = || "give `module required option=\"value\" …;`".to_owned();
    let text = text.trim();
    let (module, rest) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let flag = ["required", "requisite", "sufficient", "optional"];
    let flag = flag.into_iter().find(|flag| rest.starts_with(flag));
    let mut rest = rest[flag.ok_or_else(wrong)?.len()..].trim_start();
    let mut options = BTreeMap::new();
    loop {
        if rest.trim() == ";" {
            return Ok((module, options));
        }
        let (name, value) = rest.split_once('=').ok_or_else(wrong)?;
        let (value, after) = value_of(value.trim_start()).ok_or_else(wrong)?;
        options.insert(name.trim().to_owned(), value);
        rest = after.trim_start();
    }
}

/// The value that `text` begins with, in quotes or up to a space or semicolon; and what follows.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ';')?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, char) in quoted.char_indices() {
        match char {
            _ if is_escaped => {
                value.push(char);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, &quoted[at + 1..])),
            _ => value.push(char),
        }
    }
    None
}

/// The users of PLAIN and their passwords: the options `user_NAME`.
///
/// # Errors
/// How to write it, as the end of a sentence.
pub fn plain_users(text: &str) -> Result<BTreeMap<String, Secret>, String> {
    let (module, options) = options(text)?;
    if module != PLAIN {
        return Err(format!("give the options of {PLAIN}"));
    }
    let users = options.into_iter().filter_map(|(name, value)| {
        let user = name.strip_prefix("user_")?;
        Some((user.to_owned(), Secret::new(value)))
    });
    Ok(users.collect())
}

/// Whom the module of OAUTHBEARER trusts to be the issuer, by its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OAuthOptions {
    /// A file of PEM.
    pub location: Option<String>,
    /// The certificates themselves, in PEM.
    pub certificates: Option<String>,
}

/// The options of OAUTHBEARER. None other than these is there: what would have tokens taken that
/// nobody has signed is refused.
///
/// # Errors
/// How to write it, as the end of a sentence.
pub fn oauth_options(text: &str) -> Result<OAuthOptions, String> {
    let (module, options) = options(text)?;
    if !OAUTH.contains(&module) {
        return Err(format!("give the options of {}", OAUTH[0]));
    }
    let mut read = OAuthOptions::default();
    for (name, value) in options {
        match name.as_str() {
            "ssl.truststore.location" => read.location = Some(value),
            "ssl.truststore.certificates" => read.certificates = Some(value),
            "ssl.truststore.type" if value.eq_ignore_ascii_case("PEM") => {}
            "ssl.truststore.type" => {
                return Err("give ssl.truststore.type=\"PEM\", and certificates in PEM".to_owned());
            }
            other => {
                return Err(format!(
                    "the option {other} is not there; give ssl.truststore.location, or \
                     ssl.truststore.certificates, and ssl.truststore.type=\"PEM\", or nothing"
                ));
            }
        }
    }
    Ok(read)
}
