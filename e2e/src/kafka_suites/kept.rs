//! What classes came to, kept in a file, so that a run of hours can be interrupted and go on:
//! `RESULTS` names it.
//!
//! A line a run of a test, its fields separated by tabs: class, method, outcome, why, seconds; and
//! a class alone of which no test ran.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::known::{Kind, Known};
use super::{Case, Outcome, Verdict, judge};

/// The method of a failure that is of no single test.
const WHOLE_CLASS: &str = "(class)";

/// The file, and what stands in it.
#[derive(Debug, Default)]
pub struct Kept {
    path: Option<PathBuf>,
    by_class: BTreeMap<String, Vec<Case>>,
}

impl Kept {
    /// Reads what is there; without a path nothing is kept.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that is no result.
    pub fn open(path: Option<PathBuf>) -> Result<Self> {
        let mut by_class: BTreeMap<String, Vec<Case>> = BTreeMap::new();
        if let Some(path) = path.as_deref().filter(|path| path.exists()) {
            for (number, line) in (1..).zip(std::fs::read_to_string(path)?.lines()) {
                if !line.contains([' ', '\t']) {
                    by_class.insert(line.to_string(), Vec::new());
                    continue;
                }
                let case = read(line)
                    .with_context(|| format!("{}:{number}: no result of a test", path.display()))?;
                by_class.entry(case.class.clone()).or_default().push(case);
            }
        }
        Ok(Self { path, by_class })
    }

    /// What is left to do of a class: all its tests where none has run, else those that failed;
    /// none where there is nothing. As a regular expression, empty for all.
    #[must_use]
    pub fn left_of(&self, class: &str, known: &Known) -> Option<String> {
        let Some(cases) = self.by_class.get(class).filter(|cases| !cases.is_empty()) else {
            return Some(String::new());
        };
        let is_failed = |case: &&Case| matches!(judge(case, known), Verdict::Failed(_));
        let failed = cases.iter().filter(is_failed);
        let methods: BTreeSet<&str> = failed.map(|case| case.method.as_str()).collect();
        if methods.contains(WHOLE_CLASS) {
            return Some(String::new());
        }
        let methods: Vec<&str> = methods.into_iter().collect();
        (!methods.is_empty()).then(|| methods.join("|"))
    }

    /// Whether each of these classes has run, be it that all its tests were left out.
    pub fn has_all<'a>(&self, mut classes: impl Iterator<Item = &'a String>) -> bool {
        classes.all(|class| self.by_class.contains_key(class))
    }

    /// Keeps what came of tests of a class, in place of what these came to before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, class: &str, cases: Vec<Case>) -> Result<()> {
        let known = self.by_class.entry(class.to_string()).or_default();
        let is_new = |case: &Case| cases.iter().any(|new| new.method == case.method);
        known.retain(|case| case.method != WHOLE_CLASS && !is_new(case));
        known.extend(cases);
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut text = String::new();
        for (class, cases) in &self.by_class {
            text.extend(cases.iter().map(line));
            if cases.is_empty() {
                text.push_str(class);
                text.push('\n');
            }
        }
        write(path, &text)
    }

    /// All that is kept, but for tests that are left out by now.
    #[must_use]
    pub fn cases(&self, known: &Known) -> Vec<Case> {
        let is_run = |case: &&Case| {
            let known = known.of(&case.label(), "");
            !matches!(known, Some((Kind::LeftOut, _)))
        };
        let all = self.by_class.values().flatten();
        all.filter(is_run).cloned().collect()
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    // whoever interrupts this finds the old file or the new one
    let part = path.with_extension("part");
    std::fs::write(&part, text).with_context(|| format!("writing {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("writing {}", path.display()))
}

fn line(case: &Case) -> String {
    let (outcome, why) = match &case.outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(why) => ("failed", why.as_str()),
        Outcome::Internals(why) => ("internals", why.as_str()),
        Outcome::Skipped => ("skipped", ""),
    };
    let why = why.replace(['\t', '\n'], " ");
    let Case {
        class,
        method,
        seconds,
        ..
    } = case;
    format!("{class}\t{method}\t{outcome}\t{why}\t{seconds:.1}\n")
}

fn read(line: &str) -> Option<Case> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [class, method, outcome, why, seconds] = fields[..] else {
        return None;
    };
    Some(Case {
        class: class.to_string(),
        method: method.to_string(),
        outcome: match outcome {
            "passed" => Outcome::Passed,
            "failed" => Outcome::Failed(why.to_string()),
            "internals" => Outcome::Internals(why.to_string()),
            "skipped" => Outcome::Skipped,
            _ => return None,
        },
        seconds: seconds.parse().ok()?,
    })
}

#[test]
fn a_run_goes_on_where_it_was_interrupted() {
    let case = |class: &str, outcome| Case {
        class: class.into(),
        method: "one".into(),
        outcome,
        seconds: 1.0,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results");
    let mut kept = Kept::open(Some(path.clone())).unwrap();
    let failed = Outcome::Failed("a\tb\nc".into());
    let own = vec![
        case("a.ATest", Outcome::Passed),
        case("a.ATest", Outcome::Skipped),
    ];
    kept.put("a.ATest", own).unwrap();
    kept.put("a.BTest", vec![case("a.BTest", failed.clone())])
        .unwrap();
    kept.put("a.CTest", vec![case("a.CTest", failed)]).unwrap();
    kept.put("a.DTest", Vec::new()).unwrap();
    let kept = Kept::open(Some(path.clone())).unwrap();
    let known = Known::read("[missing] quotas\nCTest#*").unwrap();
    let left =
        |kept: &Kept| ["A", "B", "C", "D"].map(|c| kept.left_of(&format!("a.{c}Test"), &known));
    let (one, all) = (Some("one".to_string()), Some(String::new()));
    assert_eq!(left(&kept), [None, one, None, all.clone()]);
    let mut kept = kept;
    kept.put("a.BTest", vec![case("a.BTest", Outcome::Passed)])
        .unwrap();
    assert_eq!(left(&kept), [None, None, None, all]);
    let kept = Kept::open(Some(path.clone())).unwrap();
    let has = |classes: &[&str]| {
        let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
        kept.has_all(classes.iter())
    };
    assert_eq!(
        (has(&["a.ATest", "a.DTest"]), has(&["a.ETest"])),
        (true, false)
    );
    let known = Known::read("[left out] hangs\nATest#other").unwrap();
    let cases = kept.cases(&known);
    let all_left_out = Known::read("[left out] hangs\nATest#*").unwrap();
    assert_eq!(kept.cases(&all_left_out).len() + 2, cases.len());
    let outcomes: Vec<_> = cases.into_iter().map(|case| case.outcome).collect();
    let c = Outcome::Failed("a b c".into());
    assert_eq!(
        outcomes,
        [Outcome::Passed, Outcome::Skipped, Outcome::Passed, c]
    );
    std::fs::write(&path, "what is this").unwrap();
    let error = Kept::open(Some(path)).unwrap_err().to_string();
    assert!(error.ends_with("results:1: no result of a test"), "{error}");
}
