//! What the configs of a client metrics subscription must be together (KIP-714).

use super::{ConfigMap, Value};

const MATCH_NAMES: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Why a subscription's configs cannot stand; `None` where they can.
pub fn conflict(configs: &ConfigMap) -> Option<String> {
    let Some(Value::List(patterns)) = configs.get("match") else {
        return None;
    };
    patterns.iter().find_map(|pattern| {
        let name = pattern.split_once('=').map(|(name, _)| name.trim());
        match name {
            Some(name) if MATCH_NAMES.contains(&name) => None,
            _ => Some(format!(
                "Illegal client matching pattern: {pattern}; expected one of {}, = and a pattern",
                MATCH_NAMES.join(", ")
            )),
        }
    })
}
