//! The configuration of Java's login modules, as far as brokers have it: one module with options.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";
//! ```

use std::collections::BTreeMap;

use super::Secret;

/// The module of PLAIN.
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

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
