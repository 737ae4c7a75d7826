//! What the configs of a group must be: within the bounds that the brokers have for all groups, and
//! a session longer than a heartbeat.

use super::key::{Key, Scope};
use super::layers::Layers;
use super::{ConfigMap, table};

/// The kinds of groups that have configs.
const KINDS: [&str; 3] = ["consumer", "share", "streams"];

/// Why a group's configs cannot stand where the brokers' are these; `None` where they can.
pub fn conflict(configs: &ConfigMap, brokers: Layers<'_>) -> Option<String> {
    let mut names = configs.keys();
    let out_of_bounds = names.find_map(|name| out_of_bounds(name, configs, brokers));
    out_of_bounds.or_else(|| {
        let mut kinds = KINDS.iter();
        kinds.find_map(|kind| {
            let session = format!("{kind}.session.timeout.ms");
            let heartbeat = format!("{kind}.heartbeat.interval.ms");
            if !configs.contains_key(&session) && !configs.contains_key(&heartbeat) {
                return None;
            }
            let is_short =
                number(configs, brokers, &session)? <= number(configs, brokers, &heartbeat)?;
            is_short.then(|| format!("{session} must be greater than {heartbeat}"))
        })
    })
}

fn number(configs: &ConfigMap, brokers: Layers<'_>, name: &str) -> Option<i64> {
    let key = table::find(Scope::Group, name)?.key;
    Some(brokers.with(Some(configs)).value(key, None).0.number())
}

fn out_of_bounds(name: &str, configs: &ConfigMap, brokers: Layers<'_>) -> Option<String> {
    let (kind, rest) = name.split_once('.')?;
    // the one whose bound has a name of its own
    let bounded = rest.strip_prefix("num.").unwrap_or(rest);
    let value = configs.get(name)?;
    let bound = |which: &str| {
        let setting = format!("group.{kind}.{which}.{bounded}");
        let key: &'static Key = table::find(Scope::Broker, &setting)?.key;
        Some((brokers.value(key, None).0.number(), setting))
    };
    if let Some((_, setting)) = bound("min").filter(|(min, _)| value.number() < *min) {
        return Some(format!("{name} must be greater than or equal to {setting}"));
    }
    let (_, setting) = bound("max").filter(|(max, _)| value.number() > *max)?;
    Some(format!("{name} must be less than or equal to {setting}"))
}
