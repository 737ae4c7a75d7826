//! `compatibility [NAME …]`: runs librdkafka's test suite against three brokers and writes
//! `docs/compatibility.md`. With names (or beginnings of names) it runs those tests and writes
//! nothing. `OTTLA_SUITE_LANES` says how many tests run at a time.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use ottla_e2e::cluster::{Cluster, Server, Shape};
use ottla_e2e::setup;
use ottla_e2e::suite::catalogue::{self, Test};
use ottla_e2e::suite::run::Suite;
use ottla_e2e::suite::{Outcome, Row, table};

/// A whole run with fewer than this has lost tests on the way: left out, or skipping themselves.
const PASSED_MIN: usize = 110;

fn main() -> Result<ExitCode> {
    let names: Vec<_> = std::env::args().skip(1).collect();
    let folder = setup::provided("librdkafka")?.join("tests");
    let mut tests = catalogue::read(&folder)?;
    if !names.is_empty() {
        tests.retain(|test| {
            names
                .iter()
                .any(|name| test.label().starts_with(name.as_str()))
        });
    }
    let lanes = std::env::var("OTTLA_SUITE_LANES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4);

    let started = Instant::now();
    let first = Clusters::start(&tests)?;
    let suite = first.suite(&folder, "suite-output", lanes);
    let mut rows = suite.run(&tests)?;
    drop(first);
    if lanes > 1 && rows.iter().any(Row::has_failed) {
        let second = Clusters::start(&tests)?;
        let alone = second.suite(&folder, "suite-output-alone", 1);
        alone.again(&tests, &mut rows)?;
    }

    let count = |wanted: fn(&Outcome) -> bool| rows.iter().filter(|r| wanted(&r.outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let failed = rows.iter().filter(|row| row.has_failed()).count();
    if names.is_empty() && Server::from_environment() == Server::Ottla {
        std::fs::write(
            setup::checkout().join("docs/compatibility.md"),
            table::page(&rows),
        )?;
    }
    println!("output of each test: {}", suite.scratch.display());
    println!("librdkafka's suite took {} s", started.elapsed().as_secs());
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    );
    let is_whole = names.is_empty();
    Ok(if failed == 0 && (!is_whole || passed >= PASSED_MIN) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the tests run against.
struct Clusters {
    /// Creates topics by itself.
    creating: Cluster,
    /// Does not; there where a test wants it.
    plain: Option<Cluster>,
}

impl Clusters {
    fn start(tests: &[Test]) -> Result<Clusters> {
        let shape = Shape::new("suite", 3)
            .with(
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            )
            .with("allow.everyone.if.no.acl.found", "true")
            // members that start a moment apart join together, as with Kafka's default of 3 s
            .with("group.initial.rebalance.delay.ms", "500");
        let plain = Shape::new("suite-plain", 3).with("auto.create.topics.enable", "false");
        let wants_plain = tests.iter().any(|test| test.without_auto_create);
        Ok(Clusters {
            creating: Cluster::start(shape)?,
            plain: wants_plain.then(|| Cluster::start(plain)).transpose()?,
        })
    }

    fn suite(&self, folder: &Path, scratch: &str, lanes: usize) -> Suite {
        let plain = self.plain.as_ref().map(Cluster::bootstrap);
        Suite {
            folder: folder.to_path_buf(),
            bootstrap: self.creating.bootstrap(),
            bootstrap_without_auto_create: plain.unwrap_or_default(),
            scratch: setup::scratch(scratch),
            lanes,
        }
    }
}
