//! What happened to each row: as it was written, and as a topic tells it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How many differences are told.
const TOLD_MAX: usize = 10;

/// The events of each row, by its id and in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    rows: BTreeMap<u64, Vec<Event>>,
}

/// What Debezium tells of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// It was inserted or updated, and is this since: its columns, separated by `|`.
    Put { change: u64, row: String },
    /// It was deleted after this change.
    Deleted { after: u64 },
    /// The record without a value that follows a deletion, for compaction.
    Tombstone { after: u64 },
}

impl Event {
    fn change(&self) -> u64 {
        match self {
            Self::Put { change, .. } => *change,
            Self::Deleted { after } | Self::Tombstone { after } => *after,
        }
    }
}

impl History {
    /// A row was inserted or updated.
    pub(super) fn put(&mut self, id: u64, change: u64, text: &str) {
        let row = format!("{id}|{change}|{text}");
        self.add(id, Event::Put { change, row });
    }

    /// A row that is there was deleted.
    pub(super) fn delete(&mut self, id: u64) {
        let after = self.last(id).map_or(0, Event::change);
        self.add(id, Event::Deleted { after });
        self.add(id, Event::Tombstone { after });
    }

    /// Inserts, updates and deletions.
    pub(super) fn changes(&self) -> usize {
        let events = self.rows.values().flatten();
        events
            .filter(|event| !matches!(event, Event::Tombstone { .. }))
            .count()
    }

    /// Adds what the lines of a partition tell: key and value in JSON, separated by a tab.
    pub(super) fn follow(&mut self, lines: &[String]) -> Result<()> {
        for line in lines {
            let (id, value) = parsed(line)?;
            let event = match value {
                None => Event::Tombstone {
                    after: self.last(id).map_or(0, Event::change),
                },
                Some(value) if value["op"] == "d" => Event::Deleted {
                    after: number(&value["before"]["change"])?,
                },
                Some(value) if ["r", "c", "u"].iter().any(|op| value["op"] == *op) => Event::Put {
                    change: number(&value["after"]["change"])?,
                    row: row(&value["after"])?,
                },
                Some(_) => bail!("no event of a row: {line}"),
            };
            self.add(id, event);
        }
        Ok(())
    }

    fn last(&self, id: u64) -> Option<&Event> {
        self.rows.get(&id)?.last()
    }

    fn add(&mut self, id: u64, event: Event) {
        self.rows.entry(id).or_default().push(event);
    }
}

/// The rows that compaction would leave of a partition's lines: the last value of each key.
pub(super) fn remains(lines: &[String]) -> Result<Vec<String>> {
    let mut last = BTreeMap::new();
    for line in lines {
        let (id, value) = parsed(line)?;
        last.insert(id, value);
    }
    let left = last.values().flatten();
    left.map(|value| row(&value["after"])).collect()
}

/// How a topic's history differs from what was written; nothing where each event is there once and
/// in its order.
pub(super) fn differences(written: &History, told: &History) -> Vec<String> {
    let mut found = Vec::new();
    let ids: BTreeSet<_> = written.rows.keys().chain(told.rows.keys()).collect();
    for id in ids {
        let of = |history: &History| history.rows.get(id).cloned().unwrap_or_default();
        let (written, told) = (of(written), of(told));
        if written == told {
            continue;
        }
        let is_in: BTreeSet<_> = written.iter().collect();
        let mut seen = BTreeSet::new();
        for event in &told {
            if !is_in.contains(event) {
                found.push(format!("row {id}: never happened: {event:?}"));
            } else if !seen.insert(event) {
                found.push(format!("row {id}: told again: {event:?}"));
            }
        }
        let lost = written.iter().filter(|event| !seen.contains(event));
        found.extend(lost.map(|event| format!("row {id}: lost: {event:?}")));
        let mut wanted = written.iter().filter(|event| seen.contains(event));
        if let Some(late) = told
            .iter()
            .filter(|event| is_in.contains(event))
            .find(|told| wanted.next() != Some(told))
        {
            found.push(format!("row {id}: out of order from: {late:?}"));
        }
    }
    found.truncate(TOLD_MAX);
    found
}

/// The id and the value of a record; without a value where it is a tombstone.
fn parsed(line: &str) -> Result<(u64, Option<Value>)> {
    let (key, value) = line.split_once('\t').context("a key, and a value")?;
    let key: Value = serde_json::from_str(key).with_context(|| line.to_owned())?;
    let value = match value {
        "" => None,
        value => Some(serde_json::from_str(value).with_context(|| line.to_owned())?),
    };
    Ok((number(&key["id"])?, value))
}

fn row(value: &Value) -> Result<String> {
    let text = value["text"].as_str().context("a row has a text")?;
    let (id, change) = (number(&value["id"])?, number(&value["change"])?);
    Ok(format!("{id}|{change}|{text}"))
}

fn number(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .with_context(|| format!("no number: {value}"))
}

#[cfg(test)]
mod tests {
    use super::{History, differences, remains};

    fn lines(of: &[&str]) -> Vec<String> {
        let lines = of.iter().map(|line| match line.split_once(' ') {
            Some((op @ ("c" | "u"), change)) => format!(
                r#"{{"id":7}}|{{"op":"{op}","after":{{"id":7,"change":{change},"text":"t"}}}}"#
            ),
            Some((op, change)) => {
                format!(r#"{{"id":7}}|{{"op":"{op}","before":{{"change":{change}}},"after":null}}"#)
            }
            None => r#"{"id":7}|"#.to_string(),
        });
        lines.map(|line| line.replace('|', "\t")).collect()
    }

    fn check(told: &[&str], wanted: &[&str]) {
        let mut written = History::default();
        written.put(7, 1, "t");
        written.put(7, 2, "t");
        written.delete(7);
        written.put(7, 9, "t");
        let mut history = History::default();
        history.follow(&lines(told)).expect("events");
        let found = differences(&written, &history);
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.contains(wanted), "{found} is not {wanted}");
        }
    }

    #[test]
    fn a_topic_that_differs_is_told() {
        check(&["c 1", "u 2", "d 2", "", "c 9"], &[]);
        check(&["c 1", "u 2", "d 2", "c 9"], &["lost: Tombstone"]);
        check(&["u 2", "d 2", "", "c 9"], &["lost: Put { change: 1,"]);
        check(
            &["c 1", "u 2", "d 2", "", "d 2", "", "c 9"],
            &[
                "again: Deleted { after: 2",
                "again: Tombstone",
                "out of order",
            ],
        );
        check(
            &["u 2", "c 1", "d 2", "", "c 9"],
            &["out of order from: Put { change: 2,"],
        );
        check(
            &["c 1", "u 2", "u 3", "d 2", "", "c 9"],
            &["never happened: Put { change: 3,"],
        );
    }

    #[test]
    fn the_last_value_of_a_key_is_left() {
        let left = |told: &[&str]| remains(&lines(told)).expect("events");
        assert_eq!(left(&["c 1", "u 2"]), ["7|2|t"]);
        assert!(left(&["c 1", "d 1", ""]).is_empty());
        assert!(remains(&lines(&["c 1", "d 1"])).is_err());
    }
}
