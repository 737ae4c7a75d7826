//! The list of tests that are known not to pass (`e2e/suites/known.txt`).
//!
//! ```text
//! [missing] what they need
//! TopicCommandTest#testCreate
//! ClientTelemetryTest#*
//! PlaintextConsumerTest#testAsync*
//! "words that stand in what a test fails with, whichever test it is"
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Why a test does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It needs what only a broker in the JVM of the test has.
    Internals,
    /// It is about something that Ottla does not have yet.
    Missing,
    /// Ottla differs here on purpose, or the test rests on what no broker owes it.
    Different,
    /// It is not run: it would wait for long for what does not come.
    LeftOut,
}

/// The list.
#[derive(Debug, Default)]
pub struct Known {
    entries: BTreeMap<String, (Kind, String)>,
    /// What failures say, and why they do.
    words: Vec<(String, (Kind, String))>,
}

impl Known {
    /// Reads the list.
    ///
    /// # Errors
    /// A line is none of the forms above, or a test stands there twice.
    pub fn read(text: &str) -> Result<Self> {
        let mut known = Self::default();
        let mut heading: Option<(Kind, &str)> = None;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with("# ") {
                continue;
            }
            if let Some((kind, reason)) = line.strip_prefix('[').and_then(|l| l.split_once("] ")) {
                heading = Some((kind_of(kind, number)?, reason));
                continue;
            }
            let words = line.strip_prefix('"').and_then(|l| l.strip_suffix('"'));
            if let (Some(words), Some((kind, reason))) = (words, heading) {
                let entry = (kind, reason.to_string());
                known.words.push((words.to_string(), entry));
                continue;
            }
            ensure!(
                line.contains('#') && !line.contains(' '),
                "known.txt:{number}: a test is written Class#method, or Class#* for all"
            );
            let (kind, reason) = heading
                .with_context(|| format!("known.txt:{number}: no [reason] stands above it"))?;
            let entry = (kind, reason.to_string());
            let former = known.entries.insert(line.to_string(), entry);
            ensure!(
                former.is_none(),
                "known.txt:{number}: {line} stands there twice"
            );
        }
        Ok(known)
    }

    /// What is known of a test that failed with these words: by its name, else by the longest
    /// beginning of it that stands there, else by the words.
    #[must_use]
    pub fn of(&self, label: &str, failure: &str) -> Option<(Kind, &str)> {
        let by_beginning = || {
            let all = self.entries.iter().rev();
            let mut beginnings = all.filter_map(|(l, entry)| Some((l.strip_suffix('*')?, entry)));
            let found = beginnings.find(|(beginning, _)| label.starts_with(beginning));
            found.map(|(_, entry)| entry)
        };
        let by_words = || {
            let mut words = self.words.iter();
            let found = words.find(|(words, _)| failure.contains(words));
            found.map(|(_, entry)| entry)
        };
        let entry = self.entries.get(label);
        let entry = entry.or_else(by_beginning).or_else(by_words);
        entry.map(|(kind, reason)| (*kind, reason.as_str()))
    }

    /// The methods of a class that are not run, as regular expressions.
    #[must_use]
    pub fn left_out(&self, class: &str) -> Vec<String> {
        let of_class = self.entries.iter().filter_map(|(label, (kind, _))| {
            let (name, method) = label.split_once('#')?;
            let is_meant = name == class && *kind == Kind::LeftOut;
            is_meant.then(|| method.replace('*', ".*"))
        });
        of_class.collect()
    }

    /// All entries of tests that are not run, with the reasons.
    pub fn all_left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .filter(|(_, (kind, _))| *kind == Kind::LeftOut)
            .map(|(label, (_, reason))| (label.as_str(), reason.as_str()))
    }

    /// The entries of single tests of which every run passed.
    #[must_use]
    pub fn outdated(&self, passes: &BTreeMap<String, bool>) -> Vec<&str> {
        let labels = self.entries.keys().map(String::as_str);
        labels
            .filter(|label| passes.get(*label) == Some(&true))
            .collect()
    }
}

fn kind_of(name: &str, number: usize) -> Result<Kind> {
    Ok(match name {
        "internals" => Kind::Internals,
        "missing" => Kind::Missing,
        "different" => Kind::Different,
        "left out" => Kind::LeftOut,
        other => bail!(
            "known.txt:{number}: [{other}] is none of [internals], [missing], [different] and \
             [left out]"
        ),
    })
}

#[test]
fn a_test_is_known_by_its_name_or_its_class() {
    let known = Known::read(
        "# words\n\n[missing] quotas\nATest#one\nBTest#*\n[left out] hangs\nATest#two\nCTest#*\n\
         [different] no tides\n\"the moon is away\"\n",
    )
    .unwrap();
    assert_eq!(known.of("ATest#one", ""), Some((Kind::Missing, "quotas")));
    assert_eq!(known.of("BTest#any", ""), Some((Kind::Missing, "quotas")));
    assert_eq!(known.of("ATest#three", "x"), None);
    assert_eq!(
        known.of("ATest#three", "AnError: the moon is away; x"),
        Some((Kind::Different, "no tides"))
    );
    assert_eq!(known.left_out("ATest"), ["two"]);
    let known = Known::read("[left out] a\nA#testB*\n[missing] b\nA#*\n[different] c\nA#testBC*");
    let known = known.unwrap();
    assert_eq!(known.left_out("A"), ["testB.*"]);
    let reason = |label| known.of(label, "").map(|(_, reason)| reason);
    assert_eq!(reason("A#testB"), Some("a"));
    assert_eq!(reason("A#testBCD"), Some("c"));
    assert_eq!(reason("A#test"), Some("b"));
    assert_eq!(reason("AB#testB"), None);
    let known = Known::read("[missing] quotas\nATest#one\n[left out] hangs\nCTest#*").unwrap();
    assert_eq!(known.left_out("CTest"), [".*"]);
    let passes = BTreeMap::from([("ATest#one".to_string(), true), ("BTest#x".into(), true)]);
    assert_eq!(known.outdated(&passes), ["ATest#one"]);
}

#[test]
fn a_line_of_no_sense_is_named() {
    let error = |text| Known::read(text).unwrap_err().to_string();
    assert_eq!(
        error("ATest#one"),
        "known.txt:1: no [reason] stands above it"
    );
    assert_eq!(
        error("[late] x"),
        "known.txt:1: [late] is none of [internals], [missing], [different] and [left out]"
    );
    assert_eq!(
        error("[missing] x\nATest"),
        "known.txt:2: a test is written Class#method, or Class#* for all"
    );
    assert_eq!(
        error("[missing] x\nA#b\nA#b"),
        "known.txt:3: A#b stands there twice"
    );
}
