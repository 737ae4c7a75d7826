//! Apache Flink copies numbers by its exactly-once sink for Kafka: transactions that are committed
//! once a checkpoint is there. The client that is killed is all of Flink; the next one goes on from
//! the last checkpoint.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::kills::{Kills, Plan};
use super::{make_topic, numbers, on_three_brokers};
use crate::client::tool::java;
use crate::cluster::{Cluster, eventually};
use crate::process::{Process, tail};
use crate::setup;

const PARTITIONS: u16 = 4;
/// Numbers that a partition is given at a time, and how often.
const NUMBERS_EACH: u64 = 200;
const FEED_EVERY: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);
/// How long Flink may take to its first checkpoint.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// How long the last numbers may take.
const REST_TIMEOUT: Duration = Duration::from_secs(300);
/// Packages of Java that Flink looks into.
const OPENED: [&str; 4] = ["lang", "util", "util.concurrent", "net"];

/// A copy by Flink under kills: what was done and found.
///
/// # Panics
/// What is committed is not the input.
#[must_use]
pub fn run(plan: Plan) -> String {
    on_three_brokers("flink", |cluster| copy(plan, cluster))
}

fn copy(plan: Plan, cluster: &mut Cluster) -> Result<String> {
    for topic in ["input", "output"] {
        make_topic(&cluster.bootstrap(), topic, PARTITIONS)?;
    }
    let folder = setup::provided("flink")?;
    let mut flink = launch(cluster, &folder)?;
    eventually(START_TIMEOUT, || {
        let checkpoint = last_checkpoint(&checkpoints(cluster))?;
        checkpoint.context("no checkpoint")
    })
    .with_context(|| tail(&flink.output()))?;
    let mut kills = Kills::begin(plan);
    let began = Instant::now();
    let (mut fed, mut failures) = (0, 0);
    while !kills.is_over() {
        let is_due = kills.step(cluster)?;
        let has_ended = flink.ended().is_some();
        failures += u32::from(has_ended);
        if is_due || has_ended {
            flink.kill();
            flink = launch(cluster, &folder)?;
        }
        let steps = began.elapsed().min(plan.duration).as_secs() / FEED_EVERY.as_secs();
        // where no broker is there who feeds gives up
        if kills.is_calm() && fed < steps * NUMBERS_EACH {
            for partition in 0..PARTITIONS {
                numbers::feed(cluster, partition, fed, NUMBERS_EACH)?;
            }
            fed += NUMBERS_EACH;
        }
        std::thread::sleep(STEP);
    }
    let told = kills.told();
    for partition in 0..PARTITIONS {
        eventually(REST_TIMEOUT, || numbers::check(cluster, partition, fed))
            .with_context(|| format!("{told}\n{}", tail(&flink.output())))?;
    }
    Ok(format!(
        "{told} (the client is all of Flink); it ended by itself and was started again {failures} \
         times; {} records: 0 lost, 0 duplicated, 0 out of order",
        fed * u64::from(PARTITIONS)
    ))
}

/// Starts it from the last checkpoint that one before it has left.
fn launch(cluster: &Cluster, folder: &Path) -> Result<Process> {
    let checkpoints = checkpoints(cluster);
    std::fs::create_dir_all(&checkpoints)?;
    let mut flags = vec!["-Xmx768M".to_string(), "-XX:+UseSerialGC".to_string()];
    for package in OPENED {
        flags.push(format!("--add-opens=java.base/java.{package}=ALL-UNNAMED"));
    }
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let folder = folder.display();
    let mut command = java(&flags, &[format!("{folder}/kit"), format!("{folder}/*")]);
    command
        .arg("io.ottla.proofs.FlinkCopier")
        .args([&cluster.bootstrap(), "input", "output"])
        .arg(&checkpoints)
        .args(last_checkpoint(&checkpoints)?);
    Process::start(command, &cluster.dir().join("flink.log"))
}

fn checkpoints(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("checkpoints")
}

/// The newest folder `JOB/chk-N` that has its `_metadata`: only a checkpoint that is whole has.
fn last_checkpoint(checkpoints: &Path) -> Result<Option<PathBuf>> {
    let mut last: Option<(SystemTime, PathBuf)> = None;
    for job in std::fs::read_dir(checkpoints)? {
        for checkpoint in std::fs::read_dir(job?.path())? {
            let checkpoint = checkpoint?.path();
            let Ok(metadata) = checkpoint.join("_metadata").metadata() else {
                continue;
            };
            let when = metadata.modified().context("files have times")?;
            if last.as_ref().is_none_or(|(newest, _)| *newest < when) {
                last = Some((when, checkpoint));
            }
        }
    }
    Ok(last.map(|(_, checkpoint)| checkpoint))
}
