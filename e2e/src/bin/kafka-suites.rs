//! `kafka-suites [NAME …]`: runs Apache Kafka's own tests against our brokers. A name is a suite
//! (clients, tools, server, core, sample), a class or `Class#method`. Without names it runs all
//! suites and writes `docs/compatibility-kafka.md`. `JOBS` says how many classes run at a time.
//! `RESULTS` names a file in which results are kept: a class that stands there does not run again,
//! but for its tests that failed, and the page is written once all classes stand there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use ottla_e2e::kafka_suites::kept::Kept;
use ottla_e2e::kafka_suites::known::Known;
use ottla_e2e::kafka_suites::worker::Jvm;
use ottla_e2e::kafka_suites::{Case, Outcome, Verdict, judge, run, table};
use ottla_e2e::setup;

fn main() -> Result<ExitCode> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let folder = setup::checkout().join("e2e/suites");
    let known = Known::read(&std::fs::read_to_string(folder.join("known.txt"))?)?;
    let sample = std::fs::read_to_string(folder.join("sample.txt"))?;
    let jars = setup::provided("kafka-suites")?;
    let logs = setup::scratch("kafka-suites");
    for inside in ["brokers", "data"] {
        std::fs::create_dir(logs.join(inside))?;
    }
    let jvm = Jvm {
        class_path: format!(
            "{0}/kit:{1}/*:{0}/*",
            jars.display(),
            setup::kafka_jars().display()
        ),
        broker: setup::binary("ottla-broker")?,
        logs,
        logging: folder.join("log4j2.properties"),
    };
    let suites = run::catalogue(&jvm.class_path, &jars)?;
    let names = match names.is_empty() {
        true => suites.keys().map(ToString::to_string).collect(),
        false => names,
    };
    let mut kept = Kept::open(std::env::var_os("RESULTS").map(PathBuf::from))?;
    let mut wishes = run::wishes(&names, &suites, &sample)?;
    wishes.retain_mut(|wish| {
        if !wish.methods.is_empty() {
            return true;
        }
        let left = kept.left_of(&wish.class, &known);
        wish.methods = left.clone().unwrap_or_default();
        left.is_some()
    });
    let started = Instant::now();
    let report = run::run(&wishes, &jvm, &known, lanes()?, &mut kept)?;
    if kept.has_all(suites.values().flatten()) {
        std::fs::write(page(), table::page(&suites, &kept.cases(&known), &known))?;
    }
    let refused: BTreeMap<_, _> = report.refused.iter().cloned().collect();
    for (name, why) in &refused {
        println!("the broker was started without {name}: {why}");
    }
    for label in known.outdated(&passes(&report.cases)) {
        println!("{label} passes: take it out of e2e/suites/known.txt");
    }
    println!("logs: {}", jvm.logs.display());
    println!("Kafka's tests took {} s", started.elapsed().as_secs());
    let verdicts: Vec<_> = report.cases.iter().map(|c| judge(c, &known)).collect();
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|v| wanted(v)).count();
    let passed = count(|verdict| *verdict == Verdict::Passed);
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        verdicts.len() - passed - failed
    );
    Ok(if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn page() -> PathBuf {
    setup::checkout().join("docs/compatibility-kafka.md")
}

/// A class waits most of its time, so one a core.
fn lanes() -> Result<usize> {
    match std::env::var("JOBS") {
        Ok(jobs) => {
            let jobs: usize = jobs.parse().context("JOBS is a number")?;
            Ok(jobs.max(1))
        }
        Err(_) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Whether all runs of a test passed.
fn passes(cases: &[Case]) -> BTreeMap<String, bool> {
    let mut passes = BTreeMap::new();
    for case in cases.iter().filter(|case| case.outcome != Outcome::Skipped) {
        let all = passes.entry(case.label()).or_insert(true);
        *all &= case.outcome == Outcome::Passed;
    }
    passes
}
