//! What a broker wrote last before it ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// So much of a log's end is searched for the reason of an exit.
const LOG_TAIL_BYTES: u64 = 4096;
/// A reason is cut after so many characters.
const REASON_LENGTH_MAX: usize = 300;

/// What the log says last, as the end of a sentence.
pub fn last_words(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut log = File::open(log)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut tail = Vec::new();
        log.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    };
    let tail = read().unwrap_or_default();
    let last = tail.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or(String::new(), |line| {
        let plain = line.chars().filter(|c| !c.is_control());
        let line: String = plain.take(REASON_LENGTH_MAX).collect();
        format!(" ({})", line.trim_end_matches('.'))
    })
}
