//! The form of `broker.properties`.

use crate::platform::Properties;

/// The file: a line for each setting, in the order of the keys, so that equal settings are equal
/// files.
#[must_use]
pub fn render_settings(settings: &Properties) -> String {
    let mut text =
        String::from("# Written by ottla-operator; changes made here are overwritten.\n");
    for (key, value) in settings {
        text += &format!("{key}={value}\n");
    }
    text
}

/// Reads what [`render_settings`] wrote.
#[must_use]
pub fn parse_settings(text: &str) -> Properties {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .collect()
}
