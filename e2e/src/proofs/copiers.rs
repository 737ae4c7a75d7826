//! Apache Kafka's `TransactionalMessageCopier`, five of them: each copies a partition in
//! transactions of ten records, of which it aborts every third. What is committed must be the
//! input, record by record, in its order.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kills::{Kills, Plan};
use super::{make_topic, numbers, on_three_brokers};
use crate::client::tool::java;
use crate::cluster::{Cluster, eventually};
use crate::process::{Process, tail};

const COPIERS: u16 = 5;
/// A copier ends where its partition ended when it began: so many records it finds then.
const RECORDS_EACH_START: u64 = 2_000;
/// How long the copiers may take for what is left when the kills are over.
const REST_TIMEOUT: Duration = Duration::from_secs(240);
/// How long markers of the last transactions may take.
const MARKERS_TIMEOUT: Duration = Duration::from_secs(60);

/// Five copiers under kills: what was done and found.
///
/// # Panics
/// What is committed is not the input.
#[must_use]
pub fn run(plan: Plan) -> String {
    on_three_brokers("copiers", |cluster| copy(plan, cluster))
}

fn copy(plan: Plan, cluster: &mut Cluster) -> Result<String> {
    for topic in ["input", "output"] {
        make_topic(&cluster.bootstrap(), topic, COPIERS)?;
    }
    let mut copiers = (0..COPIERS)
        .map(|partition| Copier::start(cluster, partition))
        .collect::<Result<Vec<_>>>()?;
    let mut kills = Kills::begin(plan);
    let began = Instant::now();
    let (mut next_victim, mut failures, mut are_done) = (0, 0, false);
    while !are_done {
        if kills.step(cluster)? {
            copiers[next_victim].restart(cluster)?;
            next_victim = (next_victim + 1) % copiers.len();
        }
        are_done = true;
        for copier in &mut copiers {
            let has_copied_all = copier.process.ended().map(|status| status.success());
            are_done &= has_copied_all == Some(true) && kills.is_over();
            match has_copied_all {
                Some(true) if !kills.is_over() => copier.go_on(cluster)?,
                Some(false) => {
                    failures += 1;
                    copier.restart(cluster)?;
                }
                Some(true) | None => {}
            }
        }
        if began.elapsed() > plan.duration + REST_TIMEOUT {
            bail!("the copiers do not come to the end: {}", logs(&copiers));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = kills.told();
    for copier in &copiers {
        eventually(MARKERS_TIMEOUT, || {
            numbers::check(cluster, copier.partition, copier.records)
        })
        .with_context(|| format!("{told}\n{}", logs(&copiers)))?;
    }
    let records: u64 = copiers.iter().map(|copier| copier.records).sum();
    Ok(format!(
        "{told}; {failures} copiers ended by themselves and were started again; \
         {records} records: 0 lost, 0 duplicated, 0 out of order"
    ))
}

fn logs(copiers: &[Copier]) -> String {
    let mut text = String::new();
    for copier in copiers {
        let said = tail(&copier.process.output());
        let _ = writeln!(text, "---- copier {}\n{said}", copier.partition);
    }
    text
}

/// A copier of one partition.
struct Copier {
    partition: u16,
    /// How many records its input has: these numbers, in their order.
    records: u64,
    process: Process,
}

impl Copier {
    fn start(cluster: &Cluster, partition: u16) -> Result<Self> {
        numbers::feed(cluster, partition, 0, RECORDS_EACH_START)?;
        Ok(Self {
            partition,
            records: RECORDS_EACH_START,
            process: launch(cluster, partition)?,
        })
    }

    /// Kills it where it runs, and starts the next one with its id.
    fn restart(&mut self, cluster: &Cluster) -> Result<()> {
        self.process.kill();
        self.process = launch(cluster, self.partition)?;
        Ok(())
    }

    /// The next one has more to copy.
    fn go_on(&mut self, cluster: &Cluster) -> Result<()> {
        numbers::feed(cluster, self.partition, self.records, RECORDS_EACH_START)?;
        self.records += RECORDS_EACH_START;
        self.restart(cluster)
    }
}

fn launch(cluster: &Cluster, partition: u16) -> Result<Process> {
    let mut command = java(&["-Xmx256M", "-XX:+UseSerialGC"], &[]);
    command
        .arg("org.apache.kafka.tools.TransactionalMessageCopier")
        .args(["--broker-list", &cluster.bootstrap()])
        .args(["--input-topic", "input", "--output-topic", "output"])
        .args(["--input-partition", &partition.to_string()])
        .args(["--transactional-id", &format!("copier-{partition}")])
        .args(["--consumer-group", &format!("copier-{partition}")])
        .args(["--transaction-size", "10", "--enable-random-aborts"])
        .arg("--use-group-metadata");
    Process::start(
        command,
        &cluster.dir().join(format!("copier-{partition}.log")),
    )
}
