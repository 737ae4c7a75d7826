//! `proofs [NAME …]`: exactly once, shown by clients we did not write; without names all proofs.
//! `MINUTES` says how long there are kills (20). A proof that held for two minutes and more writes
//! its line into docs/exactly-once.md.

use anyhow::{Context, Result, ensure};
use ottla_e2e::proofs::kills::Plan;
use ottla_e2e::proofs::{connect, copiers, debezium, flink, matrix, mirror, streams};
use ottla_e2e::setup;

/// A name, what runs, and what runs it.
struct Proof(&'static str, &'static str, fn(Plan) -> String);

const PROOFS: [Proof; 7] = [
    Proof(
        "copiers",
        "five `TransactionalMessageCopier` of Apache Kafka",
        copiers::run,
    ),
    Proof(
        "streams",
        "Kafka Streams' smoke test with `exactly_once_v2`, two clients",
        streams::run,
    ),
    Proof(
        "mirror",
        "MirrorMaker 2, from Apache Kafka to ours and back",
        mirror::run,
    ),
    Proof(
        "connect",
        "Kafka Connect in distributed mode, exactly once from a file to a file",
        connect::run,
    ),
    Proof(
        "debezium",
        "Debezium 3.6, from a table of PostgreSQL to a topic",
        debezium::run,
    ),
    Proof(
        "flink",
        "Apache Flink 2.2 with its exactly-once sink for Kafka",
        flink::run,
    ),
    Proof(
        "matrix",
        "one transactional id, by seven clients in turn",
        matrix::run,
    ),
];

const PAGE: &str = "docs/exactly-once.md";
const WRITTEN_MINUTES_MIN: u64 = 2;

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let minutes = match std::env::var("MINUTES") {
        Ok(minutes) => minutes.parse().context("MINUTES is a number")?,
        Err(_) => 20,
    };
    for name in &names {
        let is_known = PROOFS.iter().any(|proof| proof.0 == name);
        let known = PROOFS.map(|proof| proof.0).join(", ");
        ensure!(is_known, "there is no proof {name}; there are {known}");
    }
    let mut failed = 0;
    for Proof(name, what, run) in PROOFS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        // on a thread of its own, so that one that fails lets the next ones run
        let proof = std::thread::spawn(move || run(Plan::minutes(minutes)));
        let Ok(found) = proof.join() else {
            println!("FAILED {name}: {what}");
            failed += 1;
            continue;
        };
        println!("ok     {name}: {what}: {found}");
        if minutes >= WRITTEN_MINUTES_MIN {
            write(name, &format!("| `{name}` | {what} | {found} |"))?;
        }
    }
    ensure!(failed == 0, "{failed} proofs failed");
    Ok(())
}

/// Writes a proof's line over the one that is there.
fn write(name: &str, line: &str) -> Result<()> {
    let path = setup::checkout().join(PAGE);
    let page = std::fs::read_to_string(&path)?;
    let start = format!("| `{name}` |");
    let is_there = page.lines().any(|old| old.starts_with(&start));
    ensure!(is_there, "{PAGE} has no line that begins with {start}");
    let lines = page.lines().map(|old| match old.starts_with(&start) {
        true => format!("{line}\n"),
        false => format!("{old}\n"),
    });
    Ok(std::fs::write(path, lines.collect::<String>())?)
}
