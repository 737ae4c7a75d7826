//! Configs of client metrics subscriptions (KIP-714).

use super::{Bounds, Effect, Key, Kind};

const NO_REPORTER: Effect =
    Effect::AcceptedWithoutEffect("clients push metrics only where a reporter takes them");

/// Every client metrics config by name, in order.
pub static CLIENT_METRICS_CONFIGS: &[Key] = &[
    Key {
        name: "interval.ms",
        kind: Kind::Int,
        default: "300000",
        bounds: Bounds::Between(100, 3_600_000),
        effect: NO_REPORTER,
        synonyms: &[],
        doc: "How often a client that matches pushes its metrics.",
    },
    Key {
        name: "match",
        kind: Kind::List,
        default: "",
        bounds: Bounds::Any,
        effect: NO_REPORTER,
        synonyms: &[],
        doc: "Which clients are meant: name=pattern pairs, all of which must match.",
    },
    Key {
        name: "metrics",
        kind: Kind::List,
        default: "",
        bounds: Bounds::Any,
        effect: NO_REPORTER,
        synonyms: &[],
        doc: "Prefixes of the names of the metrics that are wanted; * for all.",
    },
];

const MATCH_NAMES: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Why a subscription's configs cannot stand; `None` where they can.
pub fn conflict(configs: &crate::image::ConfigMap) -> Option<String> {
    for (name, value) in configs {
        let Some(key) = super::find(CLIENT_METRICS_CONFIGS, name) else {
            return Some(format!("Unknown client metrics configuration: {name}"));
        };
        if let Err(invalid) = key.validate(value) {
            return Some(invalid.to_string());
        }
    }
    let patterns = configs.get("match").map_or("", String::as_str);
    super::value::items(patterns).find_map(|pattern| {
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
