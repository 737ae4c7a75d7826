//! A config's value, typed, and its text as Kafka writes it.

use std::fmt;

/// The type of a config's value; Kafka's numbers in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// A number of 32 bits.
    Int = 3,
    /// A number of 16 bits.
    Short = 4,
    /// A number of 64 bits.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Texts between commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A text that is shown to nobody.
    Password = 9,
}

/// Which values of a [`Kind`] are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// All.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers between these two, both included.
    Between(i64, i64),
    /// Numbers between these two, or the third.
    BetweenOr(i64, i64, i64),
    /// One of these words; for a list: any of them, each at most once.
    OneOf(&'static [&'static str]),
    /// `*`, or pairs of a partition and a broker, `0:1,1:2`.
    PartitionReplicas,
    /// Pairs of an address and a count, `10.0.0.1:5`.
    AddressCounts,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// A value of a config.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a [`Kind::Boolean`].
    Boolean(bool),
    /// Of a [`Kind::Int`], [`Kind::Short`] or [`Kind::Long`].
    Number(i64),
    /// Of a [`Kind::Double`]; always finite.
    Double(f64),
    /// Of a [`Kind::String`], [`Kind::Class`] or [`Kind::Password`].
    Text(String),
    /// Of a [`Kind::List`].
    List(Vec<String>),
    /// What a broker of another version recorded and this one does not understand: it is kept, so
    /// that a snapshot has it, and nothing goes by it.
    Foreign(String),
}

impl Eq for Value {}

/// A value that its config does not take. Clients show the sentence to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {name}: {reason}")]
pub struct InvalidValue {
    /// The config's name.
    pub name: String,
    /// The value as it was given.
    pub value: String,
    /// What is expected instead.
    pub reason: String,
}

impl Bounds {
    /// Which values they are, for people; empty for all.
    pub fn words(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::AtLeast(low) => format!("at least {low}"),
            Self::Between(low, high) => format!("{low} to {high}"),
            Self::BetweenOr(low, high, other) => format!("{low} to {high}, or {other}"),
            Self::OneOf([""]) => "nothing".to_owned(),
            Self::OneOf(["", words @ ..]) => format!("nothing or of {}", words.join(", ")),
            Self::OneOf(words) => format!("of {}", words.join(", ")),
            Self::PartitionReplicas => "pairs `partition:broker`, or `*`".to_owned(),
            Self::AddressCounts => "pairs `address:count`".to_owned(),
            Self::OffsetReset => "`latest`, `earliest` or `by_duration:…`".to_owned(),
        }
    }
}

impl Value {
    /// Reads a value of that kind, whatever its bounds are.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = |type_: &str| format!("Not a number of type {type_}");
        match kind {
            Kind::Boolean => match text {
                _ if text.eq_ignore_ascii_case("true") => Ok(Self::Boolean(true)),
                _ if text.eq_ignore_ascii_case("false") => Ok(Self::Boolean(false)),
                _ => Err("Expected value to be either true or false".to_owned()),
            },
            Kind::Int => {
                let parsed = text.parse::<i32>();
                parsed
                    .map(|n| Self::Number(n.into()))
                    .map_err(|_| number("INT"))
            }
            Kind::Short => {
                let parsed = text.parse::<i16>();
                parsed
                    .map(|n| Self::Number(n.into()))
                    .map_err(|_| number("SHORT"))
            }
            Kind::Long => text.parse().map(Self::Number).map_err(|_| number("LONG")),
            Kind::Double => {
                let parsed = text.parse::<f64>().ok().filter(|n| n.is_finite());
                parsed.map(Self::Double).ok_or_else(|| number("DOUBLE"))
            }
            Kind::String | Kind::Class | Kind::Password => Ok(Self::Text(text.to_owned())),
            Kind::List if text.is_empty() => Ok(Self::List(Vec::new())),
            Kind::List => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                Ok(Self::List(items.collect()))
            }
        }
    }

    /// Says what is wrong with a value that was read as of that kind.
    pub(super) fn check(&self, kind: Kind, bounds: Bounds) -> Result<(), String> {
        match self {
            Self::Number(number) => in_bounds(*number, kind, bounds),
            Self::Double(number) => fraction(*number, bounds),
            Self::Text(word) => one_word(word, bounds),
            Self::List(items) => list(items, bounds),
            Self::Boolean(flag) => one_word(&flag.to_string(), bounds),
            Self::Foreign(_) => Ok(()),
        }
    }

    /// So many units of one are how many of a smaller one; a negative number means "without limit"
    /// in every unit.
    pub(super) fn scaled(self, scale: i64) -> Self {
        match self {
            Self::Number(number) if number >= 0 => Self::Number(number.saturating_mul(scale)),
            other => other,
        }
    }

    /// The reverse of [`Self::scaled`].
    pub(super) fn divided(self, scale: i64) -> Self {
        match self {
            Self::Number(number) if number >= 0 && scale > 1 => Self::Number(number / scale),
            other => other,
        }
    }

    /// The number, of a value that is one.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            _ => 0,
        }
    }

    /// The number, of a value that may be a fraction.
    pub fn double(&self) -> f64 {
        match self {
            Self::Double(number) => *number,
            other => other.number() as f64,
        }
    }

    /// Whether it is so, of a value that is true or false.
    pub fn flag(&self) -> bool {
        *self == Self::Boolean(true)
    }

    /// The items, of a value that is a list.
    pub fn items(&self) -> &[String] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it is this word, or a list that has it.
    pub fn has(&self, word: &str) -> bool {
        match self {
            Self::Text(text) => text == word,
            Self::List(items) => items.iter().any(|item| item == word),
            _ => false,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Double(number) => f.write_str(&double(*number)),
            Self::Text(text) | Self::Foreign(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A fraction as Java writes it: `0.25`, `1.7976931348623157E308`.
fn double(number: f64) -> String {
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

fn in_bounds(number: i64, kind: Kind, bounds: Bounds) -> Result<(), String> {
    // what is scaled up must still be a number of its kind
    if kind == Kind::Int && i32::try_from(number).is_err() {
        return Err("Not a number of type INT".to_owned());
    }
    match bounds {
        Bounds::AtLeast(low) | Bounds::Between(low, _) if number < low => {
            Err(format!("Value must be at least {low}"))
        }
        Bounds::Between(_, high) if number > high => {
            Err(format!("Value must be no more than {high}"))
        }
        Bounds::BetweenOr(low, high, other)
            if number != other && !(low..=high).contains(&number) =>
        {
            Err(format!(
                "Value must be between {low} and {high} or equal to {other}"
            ))
        }
        _ => Ok(()),
    }
}

fn fraction(number: f64, bounds: Bounds) -> Result<(), String> {
    match bounds {
        Bounds::AtLeast(low) | Bounds::Between(low, _) if number < low as f64 => {
            Err(format!("Value must be at least {low}"))
        }
        Bounds::Between(_, high) if number > high as f64 => {
            Err(format!("Value must be no more than {high}"))
        }
        _ => Ok(()),
    }
}

fn one_word(text: &str, bounds: Bounds) -> Result<(), String> {
    match bounds {
        Bounds::OneOf(words) if !words.contains(&text) => Err(one_of(words)),
        Bounds::OffsetReset if !is_offset_reset(text) => {
            Err("Expected latest, earliest or by_duration:<ISO 8601 duration>".to_owned())
        }
        _ => Ok(()),
    }
}

fn one_of(words: &[&str]) -> String {
    format!("String must be one of: {}", words.join(", "))
}

fn is_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => {
            let rest = duration.strip_prefix('P').unwrap_or("");
            !rest.is_empty()
                && rest
                    .chars()
                    .all(|c| c.is_ascii_digit() || "DTHMS.".contains(c))
                && rest.chars().any(|c| c.is_ascii_digit())
        }
        None => matches!(text, "latest" | "earliest"),
    }
}

fn list(items: &[String], bounds: Bounds) -> Result<(), String> {
    match bounds {
        Bounds::OneOf([""]) if items.is_empty() => Ok(()),
        Bounds::OneOf(words) => {
            for (place, item) in items.iter().enumerate() {
                if !words.contains(&item.as_str()) {
                    return Err(one_of(words));
                }
                if items[..place].contains(item) {
                    return Err(format!("{item} is there twice"));
                }
            }
            Ok(())
        }
        Bounds::PartitionReplicas => partition_replicas(items),
        Bounds::AddressCounts => match items.iter().find(|item| address_count(item).is_none()) {
            Some(item) => Err(format!("{item} is not address:count")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The two halves of `address:count`; the address may have colons of its own.
pub(super) fn address_count(item: &str) -> Option<(&str, u32)> {
    let (address, count) = item.rsplit_once(':')?;
    Some((address.trim(), count.trim().parse().ok()?))
}

fn partition_replicas(items: &[String]) -> Result<(), String> {
    let is_pair = |item: &String| {
        let pair = item.split_once(':');
        pair.is_some_and(|(p, b)| p.parse::<u32>().is_ok() && b.parse::<u32>().is_ok())
    };
    if items == ["*"] || items.iter().all(is_pair) {
        return Ok(());
    }
    Err("Expected * or [partition]:[broker],[partition]:[broker],...".to_owned())
}
