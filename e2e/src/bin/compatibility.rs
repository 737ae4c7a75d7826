//! `compatibility [NAME …]`: runs librdkafka's test suite against three brokers and writes
//! `docs/compatibility.md`. With names (or beginnings of names) it runs those tests and writes
//! nothing. `OTTLA_SUITE_LANES` says how many tests run at a time.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use ottla_e2e::cluster::{Cluster, Server, Shape};
use ottla_e2e::setup;
use ottla_e2e::suite::run::Suite;
use ottla_e2e::suite::{Outcome, catalogue, table};

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
    let shape = Shape::new("suite", 3)
        .with(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .with("allow.everyone.if.no.acl.found", "true")
        // members that start a moment apart join together, as with Kafka's default of 3 s
        .with("group.initial.rebalance.delay.ms", "500");
    let cluster = Cluster::start(shape)?;
    let plain = Shape::new("suite-plain", 3).with("auto.create.topics.enable", "false");
    let wants_plain = tests.iter().any(|test| test.without_auto_create);
    let plain = wants_plain.then(|| Cluster::start(plain)).transpose()?;
    let suite = Suite {
        folder,
        bootstrap: cluster.bootstrap(),
        bootstrap_without_auto_create: plain.as_ref().map(Cluster::bootstrap).unwrap_or_default(),
        scratch: setup::scratch("suite-output"),
        lanes,
    };
    let rows = suite.run(&tests)?;

    let count = |wanted: fn(&Outcome) -> bool| rows.iter().filter(|r| wanted(&r.outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
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
