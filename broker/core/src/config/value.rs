//! Checking the text of a config value against its key.

use super::{Bounds, Key, Kind};

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

pub(super) fn validate(key: &Key, text: &str) -> Result<(), InvalidValue> {
    let checked = match key.kind {
        Kind::Boolean => boolean(text),
        Kind::Int => integer(text, key.bounds, i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Long => integer(text, key.bounds, i64::MIN, i64::MAX),
        Kind::Double => match key.bounds {
            Bounds::AtLeast(low) if low > 0 => at_least(text, low),
            _ => fraction(text),
        },
        Kind::String => word(text.trim(), key.bounds),
        Kind::List => list(text, key.bounds),
    };
    checked.map_err(|reason| InvalidValue {
        name: key.name.to_owned(),
        value: text.to_owned(),
        reason,
    })
}

fn at_least(text: &str, low: i64) -> Result<(), String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number >= low as f64 => Ok(()),
        Ok(_) => Err(format!("Value must be at least {low}")),
        Err(_) => Err("Not a number of type DOUBLE".to_owned()),
    }
}

fn boolean(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Ok(());
    }
    Err("Expected value to be either true or false".to_owned())
}

fn integer(text: &str, bounds: Bounds, min: i64, max: i64) -> Result<(), String> {
    let bits = if max == i64::MAX { "LONG" } else { "INT" };
    let number = text.trim().parse::<i64>().ok();
    let Some(number) = number.filter(|n| (min..=max).contains(n)) else {
        return Err(format!("Not a number of type {bits}"));
    };
    match bounds {
        Bounds::AtLeast(low) if number < low => Err(format!("Value must be at least {low}")),
        Bounds::Between(low, _) if number < low => Err(format!("Value must be at least {low}")),
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

fn fraction(text: &str) -> Result<(), String> {
    let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    let number = number.ok_or_else(|| "Not a number of type DOUBLE".to_owned())?;
    if number < 0.0 {
        return Err("Value must be at least 0".to_owned());
    }
    if number > 1.0 {
        return Err("Value must be no more than 1".to_owned());
    }
    Ok(())
}

fn word(text: &str, bounds: Bounds) -> Result<(), String> {
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

/// The items of a list value: trimmed, and none where the text is blank.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let all = if text.trim().is_empty() {
        None
    } else {
        Some(text)
    };
    all.into_iter().flat_map(|t| t.split(',')).map(str::trim)
}

fn list(text: &str, bounds: Bounds) -> Result<(), String> {
    let given: Vec<&str> = items(text).collect();
    match bounds {
        Bounds::OneOf(words) => {
            for (place, item) in given.iter().enumerate() {
                if !words.contains(item) {
                    return Err(one_of(words));
                }
                if given[..place].contains(item) {
                    return Err(format!("{item} is there twice"));
                }
            }
            Ok(())
        }
        Bounds::PartitionReplicas => partition_replicas(&given),
        _ => Ok(()),
    }
}

fn partition_replicas(given: &[&str]) -> Result<(), String> {
    let is_pair = |item: &&str| {
        let pair = item.split_once(':');
        pair.is_some_and(|(p, b)| p.parse::<u32>().is_ok() && b.parse::<u32>().is_ok())
    };
    if given == ["*"] || given.iter().all(is_pair) {
        return Ok(());
    }
    Err("Expected * or [partition]:[broker],[partition]:[broker],...".to_owned())
}
