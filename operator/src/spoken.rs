//! Numbers and nodes as people say them.

use std::collections::BTreeSet;

use crate::crd::nodes::FIRST_CONTROLLER;

/// So many of something.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// So many bytes.
#[must_use]
pub fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A node of a cluster, by its id.
#[must_use]
pub fn node(id: i32) -> String {
    named(id, ["broker", "controller"])
}

/// The same at the beginning of a sentence.
#[must_use]
pub fn node_first(id: i32) -> String {
    named(id, ["Broker", "Controller"])
}

fn named(id: i32, kinds: [&str; 2]) -> String {
    format!("{} {id}", kinds[usize::from(id >= FIRST_CONTROLLER)])
}

/// Some nodes of a cluster, by their ids.
#[must_use]
pub fn nodes(ids: &BTreeSet<i32>) -> String {
    let of = |range: &[&i32], kind: &str| match range {
        [] => None,
        [one] => Some(format!("{kind} {one}")),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Some(format!("{kind}s {}", ids.join(", ")))
        }
    };
    let brokers: Vec<&i32> = ids.range(..FIRST_CONTROLLER).collect();
    let controllers: Vec<&i32> = ids.range(FIRST_CONTROLLER..).collect();
    let parts = [of(&brokers, "broker"), of(&controllers, "controller")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" and ")
}

/// Some brokers, by their ids.
#[must_use]
pub fn brokers<'a>(ids: impl IntoIterator<Item = &'a i32>) -> String {
    let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
    match ids.as_slice() {
        [one] => format!("broker {one}"),
        several => format!("brokers {}", several.join(", ")),
    }
}
