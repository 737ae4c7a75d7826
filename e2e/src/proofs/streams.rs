//! Kafka Streams' own smoke test with `exactly_once_v2`: two `SmokeTestClient`, and the
//! `SmokeTestDriver` that feeds them and verifies all that they have counted, summed and joined.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::kills::{Kills, Plan};
use super::on_three_brokers;
use crate::client::tool::java;
use crate::cluster::{Cluster, eventually};
use crate::process::{Process, tail};
use crate::setup;

const CLIENTS: usize = 2;
/// Of each of the ten keys.
const RECORDS_A_MINUTE: u64 = 250;
const TOPICS_TIMEOUT: Duration = Duration::from_secs(60);
/// The driver itself gives up 10 minutes after the last record it has read.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(900);

/// The smoke test under kills: what was done and found.
///
/// # Panics
/// The driver does not verify what the clients have written.
#[must_use]
pub fn run(plan: Plan) -> String {
    on_three_brokers("streams", |cluster| smoke(plan, cluster))
}

fn smoke(plan: Plan, cluster: &mut Cluster) -> Result<String> {
    let places = places()?;
    let records = (RECORDS_A_MINUTE * plan.duration.as_secs() / 60).max(RECORDS_A_MINUTE);
    let mut driver = java(&["-Xmx512M", "-XX:+UseSerialGC"], &places);
    driver
        .arg("io.ottla.proofs.StreamsDriver")
        .args([cluster.bootstrap(), records.to_string()])
        .arg(plan.duration.as_secs().to_string());
    let mut driver = Process::start(driver, &cluster.dir().join("driver.log"))?;
    eventually(TOPICS_TIMEOUT, || {
        let said = driver.output();
        ensure!(said.contains("topics are there"), "{}", tail(&said));
        Ok(())
    })?;
    let mut clients = (0..CLIENTS)
        .map(|number| launch(cluster, &places, number))
        .collect::<Result<Vec<_>>>()?;
    let mut kills = Kills::begin(plan);
    let began = Instant::now();
    let (mut next_victim, mut failures) = (0, 0);
    while driver.is_running() {
        let is_due = kills.step(cluster)?;
        for (number, client) in clients.iter_mut().enumerate() {
            let is_victim = is_due && number == next_victim;
            let has_ended = client.ended().is_some();
            failures += u32::from(has_ended);
            if is_victim || has_ended {
                client.kill();
                *client = launch(cluster, &places, number)?;
            }
        }
        next_victim = (next_victim + usize::from(is_due)) % CLIENTS;
        if began.elapsed() > plan.duration + VERIFY_TIMEOUT {
            bail!("no verdict in time{}", logs(&driver, &clients));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = driver.output();
    let verdict = said
        .lines()
        .rfind(|line| ["SUCCESS", "FAILURE"].contains(line));
    ensure!(
        verdict == Some("SUCCESS"),
        "{}: {verdict:?}{}",
        kills.told(),
        logs(&driver, &clients)
    );
    let processed = said
        .lines()
        .rfind(|line| line.starts_with("recordProcessed="));
    let processed = processed.context("the driver tells what was processed")?;
    Ok(format!(
        "{}; {failures} clients ended by themselves and were started again; {} records: SUCCESS",
        kills.told(),
        processed.trim_start_matches("recordProcessed=")
    ))
}

/// The smoke test, and what starts it.
fn places() -> Result<Vec<String>> {
    let folder = setup::provided("proofs")?;
    Ok(vec![
        format!("{}/kit", folder.display()),
        format!("{}/streams/*", folder.display()),
    ])
}

/// Starts a client that knows nothing of one before it but what its state folder holds.
fn launch(cluster: &Cluster, places: &[String], number: usize) -> Result<Process> {
    let file = cluster.dir().join(format!("client-{number}.properties"));
    let state = cluster.dir().join(format!("client-{number}.state"));
    let settings = [
        ("bootstrap.servers", cluster.bootstrap()),
        ("processing.guarantee", "exactly_once_v2".into()),
        ("replication.factor", "3".into()),
        ("num.stream.threads", "1".into()),
        // one that was killed holds up the other for no longer
        ("session.timeout.ms", "10000".into()),
        ("state.dir", state.display().to_string()),
    ];
    let lines = settings.map(|(key, value)| format!("{key}={value}\n"));
    std::fs::write(&file, lines.concat())?;
    let mut command = java(&["-Xmx256M", "-XX:+UseSerialGC"], places);
    command
        .arg("org.apache.kafka.streams.tests.StreamsSmokeTest")
        .arg(&file)
        .arg("process");
    Process::start(command, &cluster.dir().join(format!("client-{number}.log")))
}

fn logs(driver: &Process, clients: &[Process]) -> String {
    let mut text = format!("\n---- driver\n{}", tail(&driver.output()));
    for (number, client) in clients.iter().enumerate() {
        let _ = write!(text, "\n---- client {number}\n{}", tail(&client.output()));
    }
    text
}
