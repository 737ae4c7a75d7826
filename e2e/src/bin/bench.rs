//! `bench [--quick] [--row NAME] [--only ours|apache]`: side by side with Apache Kafka.
//!
//! A whole run writes `docs/performance.md` and `docs/performance.json`. With `--row` or `--only`
//! it prints and writes nothing.

use anyhow::{Result, bail, ensure};
use ottla_e2e::bench::measure::measure;
use ottla_e2e::bench::report::{self, Pair};
use ottla_e2e::bench::row::{ROWS, Row};
use ottla_e2e::cluster::Server;
use ottla_e2e::setup;

/// Pairs per row; a median needs three.
const ALTERNATIONS: usize = 3;
const ALTERNATIONS_LONG: usize = 5;
/// How much longer each load is where time does not matter.
const LONG: u64 = 4;

#[derive(Default)]
struct Options {
    quick: bool,
    row: Option<String>,
    only: Option<Server>,
}

fn options() -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--row" => options.row = arguments.next(),
            "--only" => {
                options.only = match arguments.next().as_deref() {
                    Some("ours") => Some(Server::Ottla),
                    Some("apache") => Some(Server::Apache),
                    _ => bail!("--only ours or --only apache"),
                }
            }
            other => bail!("{other} is not known; see `make help`"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
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
    let alternations = if options.quick {
        ALTERNATIONS
    } else {
        ALTERNATIONS_LONG
    };
    if let Some(server) = options.only {
        for row in &rows {
            println!("{} {server:?}: {}", row.name, measure(server, row)?);
        }
        return Ok(());
    }
    let mut results = Vec::new();
    for row in rows {
        let row = if options.quick { row } else { row.longer(LONG) };
        let mut pairs = Vec::new();
        for number in 1..=alternations {
            let pair = Pair {
                apache: measure(Server::Apache, &row)?,
                ours: measure(Server::Ottla, &row)?,
            };
            println!(
                "{} {number}/{alternations} apache: {}",
                row.name, pair.apache
            );
            println!("{} {number}/{alternations} ottla:  {}", row.name, pair.ours);
            pairs.push(pair);
        }
        println!("\n{}", report::table(&row, &pairs));
        results.push((row, pairs));
    }
    if options.row.is_none() {
        let machine = machine();
        let docs = setup::checkout().join("docs");
        std::fs::write(
            docs.join("performance.md"),
            report::page(&results, &machine),
        )?;
        let raw = serde_json::to_string_pretty(&report::raw(&results, &machine))?;
        std::fs::write(docs.join("performance.json"), raw + "\n")?;
        println!("written: docs/performance.md, docs/performance.json");
    }
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
