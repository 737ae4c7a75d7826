//! In which ConfigMap the settings of new pods lie, and what must be written for that. Pure.
//!
//! A ConfigMap is named after a fingerprint of the settings of all brokers that need a restart. A
//! pod names the one it was started with, so what a broker runs with is known as long as a file
//! that a pod took is never another one. So a changed file is a new ConfigMap, in which only the
//! brokers whose files differ see a reason to be restarted, and brokers that are added get theirs
//! in the one that is there.
//!
//! Invariant: what new pods take is what is desired, whatever somebody else wrote there.

use std::collections::BTreeMap;

use crate::fingerprint::fingerprint;
use crate::platform::Properties;

/// The files of a ConfigMap by broker.
pub type Files = BTreeMap<i32, Properties>;

/// Where the settings lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ConfigMap.
    pub name: String,
    /// All its files.
    pub files: Files,
}

/// Finds the place. `current` is what the template names now; `known` are the files of a ConfigMap
/// as it is; `is_dynamic` is whether a running broker takes a change of a setting.
#[must_use]
pub fn place<'a>(
    cluster: &str,
    current: Option<&str>,
    known: impl Fn(&str) -> Option<&'a Files>,
    desired: &Files,
    is_dynamic: fn(&str) -> bool,
) -> Place {
    let fixed = |settings: &Properties| -> Properties {
        let fixed = settings.iter().filter(|(key, _)| !is_dynamic(key));
        fixed.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let same = |files: &Files| {
        let mut desired = desired.iter();
        desired.all(|(broker, settings)| {
            let file = files.get(broker);
            file.is_none_or(|file| fixed(file) == fixed(settings))
        })
    };
    let fits = |name: &&str| known(name).is_some_and(same);
    let name = match current.filter(fits) {
        Some(name) => name.to_owned(),
        None => format!(
            "{cluster}-config-{:016x}",
            fingerprint(&text(desired, &fixed))
        ),
    };
    let mut files = known(&name).cloned().unwrap_or_default();
    files.retain(|broker, _| desired.contains_key(broker));
    for (broker, settings) in desired {
        let file = files.entry(*broker).or_insert_with(|| settings.clone());
        if fixed(file) != fixed(settings) {
            // What is changed without a restart has been changed already in a file that was used.
            file.retain(|key, _| is_dynamic(key));
            file.extend(fixed(settings));
        }
    }
    Place { name, files }
}

/// All files as one text, without what a running broker takes.
fn text(files: &Files, fixed: &impl Fn(&Properties) -> Properties) -> String {
    let mut text = String::new();
    for (broker, settings) in files {
        text += &format!("[{broker}]\n");
        for (key, value) in fixed(settings) {
            text += &format!("{key}={value}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests;
