//! How much there is to hold in the head: lines of production Rust, wing by wing. Whoever needs
//! more raises a budget here on purpose, and says in the commit what for. The whole product is to
//! stay below 90,000, encryption, certificates, users, plans, hand-overs and voters that come and
//! go included.

use crate::{Finding, SourceFile, files, report};

/// The wings and their budgets of lines, comments and blank ones included; tests, fuzz targets,
/// examples and what is generated do not count. A wing does not count what another one holds.
const WINGS: [(&str, usize); 7] = [
    ("broker/protocol/", 8_000),
    ("broker/client/", 475),
    ("broker/telemetry/", 450),
    ("broker/core/", 30_300),
    ("broker/storage/", 9_800),
    ("broker/src/", 29_050),
    ("operator/", 29_500),
];

/// A wing that takes less than this share of its budget has a budget that holds nothing back.
const USED_PERCENT_MIN: usize = 85;

#[test]
fn no_wing_is_larger_than_its_budget() {
    report(over(&files()));
}

/// The lines of each wing, printed by `cargo test -p ottla-e2e --test tidy -- --nocapture budget`.
#[test]
fn the_size_of_each_wing_is_told() {
    let files = files();
    for (wing, lines_max) in WINGS {
        println!("{wing:20} {:6} of {lines_max} lines", lines(wing, &files));
    }
}

fn over(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (wing, lines_max) in WINGS {
        let lines = lines(wing, files);
        let what = if lines > lines_max {
            format!("{lines} lines, {lines_max} at most: make it smaller, or raise the budget")
        } else if lines * 100 < lines_max * USED_PERCENT_MIN {
            format!("{lines} lines of {lines_max}: lower the budget to what is needed")
        } else {
            continue;
        };
        findings.push(Finding {
            file: wing.to_string(),
            line: 1,
            what,
        });
    }
    findings
}

fn lines(wing: &str, files: &[SourceFile]) -> usize {
    files
        .iter()
        .filter(|file| is_production(file) && wing_of(&file.path) == Some(wing))
        .map(|file| file.text.lines().count())
        .sum()
}

fn is_production(file: &SourceFile) -> bool {
    file.is_rust() && !file.is_test() && !file.path.contains("/examples/")
}

/// The innermost wing that a file lies in.
fn wing_of(path: &str) -> Option<&'static str> {
    WINGS
        .iter()
        .map(|(wing, _)| *wing)
        .filter(|wing| path.starts_with(wing))
        .max_by_key(|wing| wing.len())
}

#[test]
fn a_budget_can_fail() {
    let file = |path: &str, lines: usize| SourceFile {
        path: path.to_string(),
        text: "x\n".repeat(lines),
    };
    let full: Vec<_> = WINGS
        .iter()
        .map(|(wing, lines)| file(&format!("{wing}src/a.rs"), *lines))
        .collect();
    assert_eq!(over(&full), []);
    let mut large = full;
    large.push(file("operator/src/b.rs", 1));
    large.push(file("operator/src/b/tests.rs", 1));
    assert_eq!(over(&large).len(), 1);
    large.clear();
    assert_eq!(over(&large).len(), WINGS.len());
    assert_eq!(wing_of("broker/core/src/a.rs"), Some("broker/core/"));
    assert_eq!(wing_of("e2e/src/a.rs"), None);
}
