//! The page of figures, `docs/kubernetes-figures.md`: whoever measures something writes its line.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::setup;

/// Whether this run writes what it measures into the page, and holds it against what is promised.
#[must_use]
pub fn are_kept() -> bool {
    std::env::var_os("OTTLA_E2E_FIGURES").is_some()
}

const HEAD: &str = "<!-- Written by tests; changes by hand are lost. -->
# Figures of the operator

Each line is what one run measured, of release builds on a machine of two cores that had other
work beside: `OTTLA_E2E_FIGURES=1` with `make e2e` writes those of kind, with the tests of `local::`
those of local mode, where the same operator runs brokers as processes. What is promised holds on a
machine of its own.

| what | measured | promised | where |
|---|---|---|---|
";

/// Keeps a figure, where this run does: in the place of the one before.
///
/// # Errors
/// The page cannot be written.
pub fn keep(place: &str, what: &str, measured: &str, promised: &str) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if !are_kept() {
        return Ok(());
    }
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let page = page();
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let line = format!("| {what} | {measured} | {promised} | {place} |");
    let text = with_line(&before, &line);
    std::fs::write(&page, text).with_context(|| page.display().to_string())
}

fn page() -> PathBuf {
    setup::checkout().join("docs/kubernetes-figures.md")
}

/// The page with this line; lines of the same figure of the same place are those before it.
fn with_line(page: &str, line: &str) -> String {
    let figure = |line: &str| {
        let mut cells = line.split(" | ");
        let what = cells.next().map(str::to_owned);
        (what, cells.last().map(str::to_owned))
    };
    let rows = page.lines().filter(|row| row.starts_with("| "));
    let rows = rows.filter(|row| !row.starts_with("| what |") && figure(row) != figure(line));
    let mut rows: Vec<&str> = rows.chain([line]).collect();
    rows.sort_unstable();
    format!("{HEAD}{}\n", rows.join("\n"))
}

#[test]
fn a_figure_takes_the_place_of_the_one_before() {
    let page = with_line("", "| b | 2 s | 3 s | kind |");
    let page = with_line(&page, "| a | 1 s | 3 s | kind |");
    let page = with_line(&page, "| b | 1 s | 3 s | kind |");
    let page = with_line(&page, "| b | 9 s | 3 s | local mode |");
    let rows = page.strip_prefix(HEAD).unwrap();
    assert_eq!(
        rows,
        "| a | 1 s | 3 s | kind |\n| b | 1 s | 3 s | kind |\n| b | 9 s | 3 s | local mode |\n"
    );
}
