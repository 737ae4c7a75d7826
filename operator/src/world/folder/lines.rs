//! The lines that people read: not one for every word of an object, and none twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::board::Terminal;
use crate::condition::{State, TopicReason, spoken, state};
use crate::crd::Condition;
use crate::object::ObjectKey;

/// An object whose reason stays the same has a line at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// The last line about something.
#[derive(Debug)]
struct Last {
    reason: String,
    line: String,
    at: Instant,
}

/// The lines, and the terminal they go to.
#[derive(Debug, Default)]
pub struct Lines {
    /// The terminal.
    pub terminal: Terminal,
    last: BTreeMap<String, Last>,
    /// Lines that came too soon after another of the same reason: about what, and the line.
    late: BTreeMap<String, String>,
}

impl Lines {
    /// Writes a line.
    pub fn write(&mut self, line: &str) {
        self.terminal.line(line);
    }

    /// Writes what conditions say.
    pub fn conditions(&mut self, kind: &str, key: &ObjectKey, conditions: &[Condition]) {
        let Some((reason, message)) = spoken(conditions) else {
            return;
        };
        let about = format!("{kind} {key}");
        // The board shows what is on its way. Topics that wait for their cluster have nothing to
        // add to its own words.
        let is_on_its_way = state(conditions) == Some(State::Reconciling);
        let waits_for_cluster = reason == TopicReason::ClusterNotReady.word();
        if is_on_its_way && (self.terminal.has_board() || waits_for_cluster) {
            self.last.remove(&about);
            self.late.remove(&about);
            return;
        }
        let line = format!("{kind} {}: {message}", key.name);
        self.about(&about, reason, &line);
    }

    /// Writes a line about something; later, where the last one with this reason was just now.
    pub fn about(&mut self, about: &str, reason: &str, line: &str) {
        let now = Instant::now();
        self.late.remove(about);
        if let Some(last) = self.last.get(about) {
            if last.line == line {
                return;
            }
            if last.reason == reason && now.duration_since(last.at) < LINE_INTERVAL {
                self.late.insert(about.to_owned(), line.to_owned());
                return;
            }
        }
        let last = Last {
            reason: reason.to_owned(),
            line: line.to_owned(),
            at: now,
        };
        self.last.insert(about.to_owned(), last);
        self.terminal.line(line);
    }

    /// Writes what has waited, unless something newer was said meanwhile.
    pub fn write_late(&mut self) {
        for (about, line) in std::mem::take(&mut self.late) {
            let reason = self.last.get(&about).map(|last| last.reason.clone());
            self.about(&about, &reason.unwrap_or_default(), &line);
        }
    }
}
