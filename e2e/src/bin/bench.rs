//! `bench [--quick] [--row NAME] [--only ours|apache] [--against DIR]`: side by side with Apache
//! Kafka, or with the `ottla-broker` in DIR.
//!
//! A run beside Apache Kafka writes its rows into `docs/performance.md` and
//! `docs/performance.json`, where the others stay. Anything else prints and writes nothing.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::bench::contender::Contender;
use ottla_e2e::bench::measure::measure;
use ottla_e2e::bench::report::{self, Pair};
use ottla_e2e::bench::row::{ROWS, Row};
use ottla_e2e::setup;

/// Pairs per row; a median needs three.
const ALTERNATIONS: usize = 3;
const ALTERNATIONS_LONG: usize = 5;
/// How much longer each load is where time does not matter.
const LONG: u64 = 4;

struct Options {
    quick: bool,
    row: Option<String>,
    only: Option<Contender>,
    other: Option<Contender>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        quick: false,
        row: None,
        only: None,
        other: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--row" => options.row = Some(value()?),
            "--only" => {
                options.only = match value()?.as_str() {
                    "ours" => Some(Contender::ours()),
                    "apache" => Some(Contender::apache()),
                    _ => bail!("--only ours or --only apache"),
                }
            }
            "--against" => options.other = Some(Contender::other_build(Path::new(&value()?))?),
            other => bail!("{other} is not known; see `make help`"),
        }
    }
    Ok(options)
}

/// The rows that are asked for.
fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = ROWS.into();
    if let Some(name) = &options.row {
        rows.retain(|row| row.name == name);
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        ensure!(
            !rows.is_empty(),
            "no row is called {name}; there are {}",
            names.join(", ")
        );
    }
    Ok(rows)
}

fn main() -> Result<()> {
    let options = options()?;
    let rows = rows(&options)?;
    if let Some(contender) = &options.only {
        for row in &rows {
            println!(
                "{} {}: {}",
                row.name,
                contender.name,
                measure(contender, row)?
            );
        }
        return Ok(());
    }
    let other = options.other.clone().unwrap_or_else(Contender::apache);
    let mut results = Vec::new();
    for row in rows {
        let row = if options.quick { row } else { row.longer(LONG) };
        let pairs = pairs(&row, &other, options.quick)?;
        println!("\n{}", report::table(&row, &pairs, &other));
        results.push((row, pairs));
    }
    if options.other.is_none() {
        write(results)?;
    }
    Ok(())
}

fn pairs(row: &Row, other: &Contender, quick: bool) -> Result<Vec<Pair>> {
    let alternations = if quick {
        ALTERNATIONS
    } else {
        ALTERNATIONS_LONG
    };
    let ours = Contender::ours();
    let mut pairs = Vec::new();
    for number in 1..=alternations {
        let pair = Pair {
            other: measure(other, row)?,
            ours: measure(&ours, row)?,
        };
        for (who, figures) in [(other, &pair.other), (&ours, &pair.ours)] {
            println!(
                "{} {number}/{alternations} {}: {figures}",
                row.name, who.name
            );
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

fn write(fresh: Vec<(Row, Vec<Pair>)>) -> Result<()> {
    let machine = machine();
    let docs = setup::checkout().join("docs");
    let json = docs.join("performance.json");
    let before = std::fs::read_to_string(&json).unwrap_or_default();
    let results = report::merged(&before, fresh);
    std::fs::write(
        docs.join("performance.md"),
        report::page(&results, &machine),
    )?;
    let raw = serde_json::to_string_pretty(&report::raw(&results, &machine))?;
    std::fs::write(json, raw + "\n")?;
    println!("written: docs/performance.md, docs/performance.json");
    Ok(())
}

/// Cores, memory and kernel, in a few words.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1));
    let gib = kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let kernel = read("/proc/sys/kernel/osrelease");
    let version = kernel.split(['-', '+']).next().unwrap_or_default().trim();
    format!("{cores} cores, {gib} GiB, Linux {version}")
}
