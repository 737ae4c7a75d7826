//! Asks the broker's own executable what it says of settings, before any broker is started with
//! them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::render_settings;
use crate::platform::Properties;

/// Where the executable reads the settings from, and what it calls them in its sentence.
const SOURCE: &str = "/dev/stdin";
/// The exit code that stands for: these settings are refused.
const REFUSED: i32 = 1;

/// Whether the settings are taken; if not, the broker's own words. An executable that cannot be
/// asked refuses nothing: its start will tell what is wrong with it.
pub async fn check(binary: &Path, settings: &Properties) -> Result<(), String> {
    let binary = binary.to_owned();
    let text = render_settings(settings);
    let asked = tokio::task::spawn_blocking(move || ask(binary, &text));
    match asked.await {
        Ok(Ok(Some(words))) => Err(without_place(&words)),
        Ok(Ok(None) | Err(_)) | Err(_) => Ok(()),
    }
}

fn ask(binary: PathBuf, text: &str) -> std::io::Result<Option<String>> {
    let mut child = Command::new(binary)
        .args(["--config", SOURCE, "--check"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    let refused = output.status.code() == Some(REFUSED);
    Ok(refused.then(|| words.lines().last().unwrap_or_default().to_owned()))
}

/// `ottla-broker: /dev/stdin:7: num.partitions=x is refused` without who says it and where.
fn without_place(words: &str) -> String {
    let words = words.strip_prefix("ottla-broker: ").unwrap_or(words);
    let Some(rest) = words.strip_prefix(SOURCE) else {
        return words.to_owned();
    };
    let rest = rest.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
    rest.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_taken_off() {
        for (words, sentence) in [
            (
                "ottla-broker: /dev/stdin:12: num.partitions=x is refused: give a number",
                "num.partitions=x is refused: give a number",
            ),
            (
                "ottla-broker: /dev/stdin: a contradicts b",
                "a contradicts b",
            ),
            ("no prefix", "no prefix"),
        ] {
            assert_eq!(without_place(words), sentence);
        }
    }
}
