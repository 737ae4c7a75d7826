//! Bugs that are put in on purpose: each must be found within so many seeds, or this simulation
//! could not fail where it matters.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::run_seeds;
use crate::world::Bug;

/// The seeds that must find each bug.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=1000;

/// How many bugs a run of the tests puts in; others each day.
const SAMPLE: usize = 4;

/// The page that tells of them, and what stands before and after its table.
const PAGE: &str = "../docs/reliability.md";
const TABLE_STARTS: &str = "<!-- planted bugs: written by make sim PLANTED=1 -->\n";
const TABLE_ENDS: &str = "<!-- end of the planted bugs -->\n";

/// Whether one of these seeds finds a bug: the first that does, and what it said.
fn find(name: &str, seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    let mut found = None;
    run_seeds(seeds, Some(name), |seed, outcome| {
        if let Some(violation) = outcome.violation {
            found.get_or_insert((seed, violation));
        }
        found.is_none()
    });
    match &found {
        Some((seed, violation)) => println!("{name} is found by seed {seed}: {violation}"),
        None => println!("{name} is not found by any seed of {SEEDS:?}"),
    }
    found
}

/// The seeds that found bugs, by the page.
fn told() -> Vec<(&'static str, u64)> {
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    let seed = |name: &str| {
        let row = page
            .lines()
            .find_map(|l| l.strip_prefix(&format!("| `{name}` |")))?;
        row.split('|').nth(1)?.trim().parse().ok()
    };
    let all = Bug::all().into_iter();
    all.filter_map(|(name, ..)| Some((name, seed(name)?)))
        .collect()
}

/// Some of the bugs, each day others: all of them take hours. The seed that found one once is
/// tried first.
pub fn some() -> bool {
    let told = told();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let day = since_1970.map_or(0, |since| since.as_secs() / 86_400) as usize;
    let sample = told
        .iter()
        .cycle()
        .skip(day % told.len().max(1))
        .take(SAMPLE);
    let found: Vec<bool> = sample
        .map(|(name, seed)| find(name, std::iter::once(*seed).chain(SEEDS)).is_some())
        .collect();
    found.len() == SAMPLE && found.into_iter().all(|is_found| is_found)
}

/// All bugs, or those of these names. Where all were asked for, the page is written anew.
pub fn all(names: &[String]) -> bool {
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let mut table =
        String::from("| planted bug | what it is | seed | found as |\n|---|---|---|---|\n");
    let mut is_fine = true;
    for (name, what, _) in Bug::all() {
        if !is_asked(name) {
            continue;
        }
        let (seed, invariant) = match find(name, SEEDS) {
            Some((seed, violation)) => {
                let invariant = violation.split(':').next().unwrap_or_default();
                (seed.to_string(), format!("`{invariant}`"))
            }
            None => {
                is_fine = false;
                ("none".to_owned(), String::new())
            }
        };
        let _ = writeln!(table, "| `{name}` | {what} | {seed} | {invariant} |");
    }
    if names.is_empty() {
        is_fine &= write_page(&table);
    }
    is_fine
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
