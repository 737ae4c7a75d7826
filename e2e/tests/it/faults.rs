//! The fault table: what is done to real brokers under a load with acks=all, and what clients saw.
//! `make faults` runs it row by row; most rows need root, for disks and networks of their own.
//!
//! A row fails where it breaks its promise. What was measured it prints in one line.

mod disk;
mod many;
mod network;
mod power;
mod quorum;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::{Load, Verdict};
use ottla_e2e::cluster::{Cluster, Shape, eventually};

const FLAGS: [&str; 4] = ["--idempotent", "--follow", "--rate", "2000"];
const FINISH_TIMEOUT: Duration = Duration::from_secs(120);
const BACK_IN_SYNC_TIMEOUT: Duration = Duration::from_secs(30);
const PARTITIONS: usize = 6;

/// A row at work: a cluster and the load on it.
pub(crate) struct Row {
    pub(crate) cluster: Cluster,
    load: Load,
}

impl Row {
    /// Three brokers, and a load that has begun.
    pub(crate) fn start(shape: Shape) -> Result<Self> {
        Self::start_with(shape, &FLAGS)
    }

    /// The same with other flags of the load.
    pub(crate) fn start_with(shape: Shape, flags: &[&str]) -> Result<Self> {
        let cluster = Cluster::start(shape.with("num.partitions", &PARTITIONS.to_string()))?;
        // one record creates the topic, with the settings of the cluster
        for topic in ["warm-up", "load"] {
            eventually(BACK_IN_SYNC_TIMEOUT, || {
                kcat(&cluster.bootstrap(), &["-P", "-t", "warm-up"], "x")?.success()?;
                kcat(&cluster.bootstrap(), &["-L", "-t", topic], "")?.success()?;
                in_sync(&cluster, topic)
            })?;
        }
        let load = Load::start(&cluster.bootstrap(), "load", flags)?;
        rest(2);
        Ok(Self { cluster, load })
    }

    /// Every partition of the load has all replicas in sync again; says how long that took.
    pub(crate) fn await_in_sync(&self) -> Result<Duration> {
        let began = Instant::now();
        let in_sync = eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&self.cluster, "load"));
        in_sync.with_context(|| self.cluster.logs())?;
        Ok(began.elapsed())
    }

    /// Starts brokers again and waits until all is as it was.
    pub(crate) fn bring_back(&mut self, ids: &[u16]) -> Result<()> {
        for id in ids {
            self.cluster.launch(*id)?;
        }
        self.cluster.wait_ready()?;
        // before that the ISR of its last incarnation may be on record still
        for id in ids {
            eventually(BACK_IN_SYNC_TIMEOUT, || {
                let answer = self.cluster.broker(*id).get("/readyz")?;
                ensure!(answer.starts_with("HTTP/1.1 200"), "broker {id}: {answer}");
                Ok(())
            })?;
        }
        self.await_in_sync()?;
        Ok(())
    }

    /// Reads all back; `more` is what the row measured besides. No partition may have stood for
    /// longer than `pause_max`.
    pub(crate) fn finish(self, pause_max: Duration, more: &str) -> Result<()> {
        self.finish_with(pause_max, |_| more.to_owned())
    }

    /// The same, where what the row measured is in the verdict.
    fn finish_with(self, pause_max: Duration, more: impl FnOnce(&Verdict) -> String) -> Result<()> {
        let verdict = self.load.finish(FINISH_TIMEOUT);
        let verdict = verdict.with_context(|| self.cluster.logs())?;
        tell(&verdict, &more(&verdict));
        verdict.assert_nothing_lost();
        let logs = || self.cluster.logs();
        ensure!(
            verdict.count("duplicates") == 0,
            "{}\n{}",
            verdict.json,
            logs()
        );
        let pause = Duration::from_millis(verdict.count("pause_max_ms"));
        ensure!(
            pause <= pause_max,
            "a partition stood for {pause:?}\n{}",
            logs()
        );
        Ok(())
    }
}

fn tell(verdict: &Verdict, more: &str) {
    let comma = if more.is_empty() { "" } else { ", " };
    println!(
        "measured: {} acknowledged, {} lost, {} duplicates, longest pause {} ms{comma}{more}",
        verdict.count("acknowledged"),
        verdict.count("lost"),
        verdict.count("duplicates"),
        verdict.count("pause_max_ms"),
    );
}

pub(crate) fn rest(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// What kcat says of the partitions of a topic.
fn listed(cluster: &Cluster, topic: &str) -> Result<Vec<String>> {
    let listed = kcat(&cluster.bootstrap(), &["-L", "-t", topic], "")?.success()?;
    let lines = listed.stdout.lines();
    Ok(lines
        .filter(|line| line.contains("isrs: "))
        .map(String::from)
        .collect())
}

/// Every partition has three in-sync replicas.
fn in_sync(cluster: &Cluster, topic: &str) -> Result<()> {
    let partitions = listed(cluster, topic)?;
    let isr = |line: &String| line.split("isrs: ").nth(1).map(str::to_string);
    let whole = partitions
        .iter()
        .filter_map(isr)
        .filter(|isr| isr.split(',').filter(|id| !id.trim().is_empty()).count() == 3)
        .count();
    ensure!(
        whole == PARTITIONS && partitions.len() == PARTITIONS,
        "{whole} of {PARTITIONS} partitions are in sync"
    );
    Ok(())
}

/// How many partitions of the load a broker leads, as another broker says.
fn led_by(cluster: &mut Cluster, id: u16) -> Result<usize> {
    let other = (id + 1) % cluster.size();
    let servers = cluster.broker(other).address();
    let listed = kcat(&servers, &["-L", "-t", "load"], "")?.success()?;
    let leads = format!("leader {id},");
    Ok(listed
        .stdout
        .lines()
        .filter(|line| line.contains(&leads))
        .count())
}
