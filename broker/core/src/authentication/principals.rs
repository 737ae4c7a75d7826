//! `ssl.principal.mapping.rules`: from the subject of a certificate to the name of a principal.

use std::fmt;

use regex_lite::Regex;

/// Rules in their order: the first one that fits the whole subject gives the name.
#[derive(Clone)]
pub struct PrincipalRules {
    text: String,
    rules: Vec<Rule>,
}

#[derive(Clone)]
enum Rule {
    /// The subject itself.
    Default,
    Mapped {
        pattern: Regex,
        replacement: String,
        case: Case,
    },
}

#[derive(Clone, Copy)]
enum Case {
    Kept,
    Lower,
    Upper,
}

impl Default for PrincipalRules {
    fn default() -> Self {
        let (text, rules) = ("DEFAULT".to_owned(), vec![Rule::Default]);
        Self { text, rules }
    }
}

impl fmt::Debug for PrincipalRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for PrincipalRules {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PrincipalRules {
    /// Reads rules: `DEFAULT` or `RULE:pattern/replacement/`, with `L` or `U` behind, between
    /// commas.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (rule, after) = rule(rest)?;
            rules.push(rule);
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if after.is_empty() => after,
                None => return Err(format!("put a comma before `{after}`")),
            };
        }
        match rules.is_empty() {
            true => Ok(Self::default()),
            false => Ok(Self {
                text: text.trim().to_owned(),
                rules,
            }),
        }
    }

    /// The name of the subject; none where no rule fits.
    #[must_use]
    pub fn name(&self, subject: &str) -> Option<String> {
        self.rules.iter().find_map(|rule| match rule {
            Rule::Default => Some(subject.to_owned()),
            Rule::Mapped {
                pattern,
                replacement,
                case,
            } => {
                let found = pattern.captures(subject)?;
                let name = replaced(replacement, |group| {
                    let group = (group < found.len()).then(|| found.get(group));
                    group.map(|group| group.map_or("", |group| group.as_str()))
                });
                Some(match case {
                    Case::Kept => name,
                    Case::Lower => name.to_lowercase(),
                    Case::Upper => name.to_uppercase(),
                })
            }
        })
    }
}

/// The rule that `text` begins with, and what follows it.
fn rule(text: &str) -> Result<(Rule, &str), String> {
    if let Some(after) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::Default, after));
    }
    let wrong = || format!("give DEFAULT or RULE:pattern/replacement/ in the place of `{text}`");
    let body = text.strip_prefix("RULE:").ok_or_else(wrong)?;
    let (pattern, after) = until_slash(body).ok_or_else(wrong)?;
    let (replacement, after) = until_slash(after).ok_or_else(wrong)?;
    let (case, after) = match after.chars().next() {
        Some('L') => (Case::Lower, &after[1..]),
        Some('U') => (Case::Upper, &after[1..]),
        _ => (Case::Kept, after),
    };
    let compiled = Regex::new(&format!("^(?:{pattern})$"));
    let pattern = compiled.map_err(|error| format!("mend the pattern `{pattern}`: {error}"))?;
    let rule = Rule::Mapped {
        pattern,
        replacement: replacement.to_owned(),
        case,
    };
    Ok((rule, after))
}

/// What stands before the next slash that no backslash escapes, and after it.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'/' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The replacement with `$1` and its like replaced; a number that is no group's stays as it is.
fn replaced<'a>(replacement: &str, group: impl Fn(usize) -> Option<&'a str>) -> String {
    let mut name = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(char) = chars.next() {
        let digit = chars.peek().and_then(|next| next.to_digit(10));
        match (char, digit) {
            ('\\', _) => name.extend(chars.next()),
            ('$', Some(digit)) => {
                chars.next();
                match group(digit as usize) {
                    Some(found) => name += found,
                    None => name += &format!("${digit}"),
                }
            }
            _ => name.push(char),
        }
    }
    name
}
