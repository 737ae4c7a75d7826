//! `proofs [NAME …]`: exactly once, shown by clients we did not write. `MINUTES` says how long
//! kills go on (20); a run of all proofs for so long writes docs/exactly-once.md.

use anyhow::{Context, Result, ensure};
use ottla_e2e::proofs::copiers;
use ottla_e2e::proofs::kills::Plan;

/// A name, what runs, and what runs it.
struct Proof(&'static str, &'static str, fn(Plan) -> String);

const PROOFS: [Proof; 1] = [Proof(
    "copiers",
    "five `TransactionalMessageCopier` of Apache Kafka",
    copiers::run,
)];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let minutes = match std::env::var("MINUTES") {
        Ok(minutes) => minutes.parse().context("MINUTES is a number")?,
        Err(_) => 20,
    };
    let mut failed = 0;
    for Proof(name, what, run) in PROOFS {
        if !names.is_empty() && !names.iter().any(|n| n == name) {
            continue;
        }
        // a thread of its own, so that one that fails lets the next ones run
        let proof = std::thread::spawn(move || run(Plan::minutes(minutes)));
        match proof.join() {
            Ok(found) => println!("ok {name}: {what}: {found}"),
            Err(_) => {
                failed += 1;
                println!("FAILED {name}")
            }
        }
    }
    ensure!(failed == 0, "{failed} proofs failed");
    Ok(())
}
