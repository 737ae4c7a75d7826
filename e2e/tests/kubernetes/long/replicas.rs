//! Another replication factor while clients work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::kubernetes::{apply, kubectl, ready, wait};

use crate::figures::{latency, measured, within};
use crate::shop::{NAMESPACE, TIMEOUT, outside, topic, under_load_without_retries, up};

const TOPIC: &str = "long-copies";
const RECORD_BYTES: u32 = 1000;
const RECORDS: u32 = 200_000;
/// A producer that is measured beside: so many records a second, for so long.
const RATE: u32 = 500;
const SECONDS: u32 = 20;
/// What p99 of a producer may be while replicas are copied.
const P99_PROMISED_MS: f64 = 100.0;

fn manifest(replicas: u32) -> String {
    let more = "  config: { min.insync.replicas: \"1\" }\n";
    let factor = format!("replicationFactor: {replicas}");
    topic(TOPIC, 6, more).replace("replicationFactor: 3", &factor)
}

/// Applies another replication factor, and says how long the copies took.
fn change(replicas: u32) -> Result<Duration> {
    apply(NAMESPACE, &manifest(replicas))?;
    let (_, took) = wait(TIMEOUT, || {
        let topic = ready("kafkatopics", NAMESPACE, TOPIC)?;
        let factor = &topic["status"]["replicationFactor"];
        ensure!(factor == replicas, "{}", topic["status"]);
        Ok(())
    })?;
    Ok(took)
}

/// The p99 of Kafka's own producer in milliseconds.
fn p99_ms(bootstrap: &str, records: u32, rate: i64) -> Result<f64> {
    let told = Tool::long_at("ProducerPerformance", bootstrap)
        .args(&["--topic", TOPIC, "--num-records", &records.to_string()])
        .args(&["--record-size", &RECORD_BYTES.to_string()])
        .args(&["--throughput", &rate.to_string()])
        .args(&["--command-property", "acks=all", "linger.ms=5"])
        .run()?;
    let last = told.stdout.lines().last().unwrap_or_default();
    let (before, _) = last
        .split_once(" ms 99th")
        .with_context(|| last.to_owned())?;
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().with_context(|| last.to_owned())
}

pub fn one_to_three_to_two() -> Result<()> {
    up()?;
    apply(NAMESPACE, &manifest(1))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, TOPIC))?;
    let bootstrap = outside()?;
    p99_ms(&bootstrap, RECORDS, -1)?;
    let quiet = p99_ms(&bootstrap, RATE * SECONDS, RATE.into())?;
    under_load_without_retries("long-rf", || {
        let beside = std::thread::spawn({
            let bootstrap = bootstrap.clone();
            move || p99_ms(&bootstrap, RATE * SECONDS, RATE.into())
        });
        // the producer's machine warms up
        std::thread::sleep(Duration::from_secs(4));
        let begun = Instant::now();
        let took = change(3)?;
        within("replication factor 1 to 3 of 200 MB", 60.0, took)?;
        let copied = 2.0 * f64::from(RECORDS) * f64::from(RECORD_BYTES) / 1e6;
        measured(
            "replication factor 1 to 3: copied per second",
            copied / begun.elapsed().as_secs_f64(),
            "MB",
        );
        let busy = beside.join().ok().context("the producer beside")??;
        measured("p99 of a producer before the copies", quiet, "ms");
        latency("p99 of a producer during the copies", P99_PROMISED_MS, busy);
        let took = change(2)?;
        within("replication factor 3 to 2", 10.0, took)
    })?;
    kubectl(&[
        "delete",
        "kafkatopic",
        TOPIC,
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])
    .map(drop)
}
