//! The types of a broker's settings, from their values; each refuses with the end of a sentence.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ottla_protocol::ids::NodeId;

use super::listener::{Listener, Voter};
use super::roles::Roles;
use super::security::Protocol;
use crate::authentication::Secret;
use crate::config::Value;

/// The name that Kafka's own authorizer has.
const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// A whole number; the table's bounds make it fit.
pub fn number<N: TryFrom<i64>>(value: &Value) -> Result<N, String> {
    N::try_from(value.number()).map_err(|_| "give a smaller number".to_owned())
}

/// A number of bytes; Kafka's "without limit" is ours by default.
pub fn limit(value: &Value) -> Result<usize, String> {
    match value.number() {
        -1 => Ok(256 << 20),
        _ => number(value),
    }
}

/// A broker id.
pub fn node_id(value: &Value) -> Result<NodeId, String> {
    number(value).map(NodeId)
}

/// What a node is.
pub fn roles(value: &Value) -> Result<Roles, String> {
    let has = |role| items(value).any(|item| item == role);
    let roles = Roles {
        broker: has("broker"),
        controller: has("controller"),
    };
    match roles.broker || roles.controller {
        true => Ok(roles),
        false => Err("give broker, controller or both".to_owned()),
    }
}

/// `true` or `false`.
pub fn flag(value: &Value) -> Result<bool, String> {
    Ok(value.flag())
}

/// A duration in milliseconds.
pub fn milliseconds(value: &Value) -> Result<Duration, String> {
    number(value).map(Duration::from_millis)
}

/// A duration in milliseconds, or -1 for none.
pub fn milliseconds_or_never(value: &Value) -> Result<Option<Duration>, String> {
    match value.number() {
        -1 => Ok(None),
        _ => milliseconds(value).map(Some),
    }
}

/// A text.
pub fn text(value: &Value) -> Result<String, String> {
    Ok(value.to_string())
}

/// A text that is shown to nobody; empty is none.
pub fn secret(value: &Value) -> Result<Option<Secret>, String> {
    Ok(optional(value)?.map(Secret::new))
}

/// A text; empty is none.
pub fn optional(value: &Value) -> Result<Option<String>, String> {
    Ok(Some(value.to_string()).filter(|text| !text.is_empty()))
}

/// A protocol of listeners; empty is none.
pub fn optional_protocol(value: &Value) -> Result<Option<Protocol>, String> {
    let text = value.to_string();
    let mut all = Protocol::ALL.into_iter();
    Ok(all.find(|protocol| protocol.name() == text))
}

/// Listeners in which no name comes twice.
pub fn listeners(value: &Value) -> Result<Vec<Listener>, String> {
    Listener::parse_list(&value.to_string())
}

/// Voters in which no id comes twice.
pub fn voters(value: &Value) -> Result<Vec<Voter>, String> {
    Voter::parse_list(&value.to_string())
}

/// Names, in any order.
pub fn names(value: &Value) -> Result<BTreeSet<String>, String> {
    Ok(items(value).map(str::to_owned).collect())
}

/// Directories.
pub fn paths(value: &Value) -> Result<Vec<PathBuf>, String> {
    Ok(items(value).map(PathBuf::from).collect())
}

/// Whether ACLs are asked: the class of the authorizer that does.
pub fn authorizer(value: &Value) -> Result<bool, String> {
    match value.to_string().as_str() {
        "" => Ok(false),
        STANDARD_AUTHORIZER => Ok(true),
        _ => Err(format!(
            "give {STANDARD_AUTHORIZER}, the one authorizer there is, or nothing"
        )),
    }
}

/// Principals, separated by semicolons: names may have commas.
pub fn principals(value: &Value) -> Result<BTreeSet<String>, String> {
    let text = value.to_string();
    let names = text.split(';').map(str::trim);
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| !name.contains(':')) {
        Some(name) => Err(format!("write {name} as User:{name}")),
        None => Ok(names.into_iter().map(str::to_owned).collect()),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &str> {
    let items: &[String] = match value {
        Value::List(items) => items,
        _ => &[],
    };
    items
        .iter()
        .map(String::as_str)
        .filter(|item| !item.is_empty())
}
