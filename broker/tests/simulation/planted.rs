//! Bugs that are put in on purpose: each must be found within so many seeds, or this simulation
//! could not fail where it matters.

use std::fmt::Write as _;
use std::path::Path;

use crate::world::Bug;
use crate::{day, run_seeds};

/// How many seeds must find each bug.
const SEEDS: u64 = 1000;

/// How many bugs a run of the tests puts in; others each day.
const SAMPLE: usize = 4;

/// The page that tells of them, and what stands before and after its table.
const PAGE: &str = "../docs/reliability.md";
const TABLE_STARTS: &str = "<!-- planted bugs: written by make sim PLANTED=1 -->\n";
const TABLE_ENDS: &str = "<!-- end of the planted bugs -->\n";

/// Whether a seed finds nothing in the same surroundings, where the bug is not put in.
fn is_clean(name: &str, seed: u64) -> bool {
    let mut is_clean = true;
    run_seeds(std::iter::once(seed), Some((name, false)), |_, outcome| {
        is_clean = outcome.violation.is_none();
        true
    });
    is_clean
}

/// Whether one of these seeds finds a bug, and nothing without it: the first that does, and what it
/// said.
fn find(name: &str, seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    let mut found = None;
    run_seeds(seeds, Some((name, true)), |seed, outcome| {
        if let Some(violation) = outcome.violation
            && found.is_none()
            && is_clean(name, seed)
        {
            found = Some((seed, violation));
        }
        found.is_none()
    });
    match &found {
        Some((seed, violation)) => println!("{name} is found by seed {seed}: {violation}"),
        None => println!("{name} is not found"),
    }
    found
}

/// What the page says of a bug: the seed, or why there is none, and as what it was found.
fn row(page: &str, name: &str) -> Option<(String, String)> {
    let start = format!("| `{name}` |");
    let row = page.lines().find_map(|line| line.strip_prefix(&start))?;
    let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
    Some((cells.next()?, cells.next()?))
}

/// The seeds that found bugs, by the page.
fn told() -> Vec<(&'static str, u64)> {
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    let seed = |name: &str| row(&page, name)?.0.parse().ok();
    let all = Bug::all().into_iter();
    all.filter_map(|(name, ..)| Some((name, seed(name)?)))
        .collect()
}

/// Some of the bugs, each day others: all of them take minutes. The seed that found one once is
/// tried first.
pub fn some() -> bool {
    let told = told();
    let day = day() as usize;
    let sample = told
        .iter()
        .cycle()
        .skip(day % told.len().max(1))
        .take(SAMPLE);
    let found: Vec<bool> = sample
        .map(|(name, seed)| find(name, std::iter::once(*seed).chain(1..=SEEDS)).is_some())
        .collect();
    found.len() == SAMPLE && found.into_iter().all(|is_found| is_found)
}

/// All bugs, or those of these names; the page says of the others what it said. At most `most`
/// seeds are tried.
pub fn all(names: &[String], most: Option<u64>) -> bool {
    let most = most.unwrap_or(SEEDS);
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let mut table =
        String::from("| planted bug | what it is | seed | found as |\n|---|---|---|---|\n");
    let mut is_fine = true;
    for (name, what, _) in Bug::all() {
        let untried = || ("not tried".to_owned(), String::new());
        let (seed, invariant) = match is_asked(name) {
            false => row(&page, name).unwrap_or_else(untried),
            true => match find(name, 1..=most) {
                Some((seed, violation)) => {
                    let invariant = violation.split(':').next().unwrap_or_default();
                    (seed.to_string(), format!("`{invariant}`"))
                }
                None => {
                    is_fine = false;
                    (format!("none of {most}"), String::new())
                }
            },
        };
        let _ = writeln!(table, "| `{name}` | {what} | {seed} | {invariant} |");
    }
    write_page(&table) && is_fine
}

fn write_page(table: &str) -> bool {
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    let parts = page.split_once(TABLE_STARTS);
    let parts = parts.and_then(|(before, after)| Some((before, after.split_once(TABLE_ENDS)?.1)));
    let Some((before, after)) = parts else {
        println!("{PAGE} has no place for the table of planted bugs");
        return false;
    };
    let page = format!("{before}{TABLE_STARTS}{table}{TABLE_ENDS}{after}");
    let written = std::fs::write(Path::new(PAGE), page);
    written.is_ok_and(|()| {
        println!("{PAGE} is written");
        true
    })
}
