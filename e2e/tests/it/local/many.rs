//! Many topics at once, then nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use ottla_e2e::cluster::eventually;
use ottla_e2e::figures::{are_kept, keep};
use ottla_e2e::local::Local;

use super::{Ground, STOP_TIMEOUT, topic};

const TOPICS: usize = 2_000;
/// So many a second are promised, of a machine of its own.
const RATE: f64 = 300.0;
/// What the operator may hold then.
const MIB_MAX: u64 = 48;
const PATIENCE: Duration = Duration::from_secs(240);
/// For so long nothing is written then; a minute where figures are kept, as it is promised.
const QUIET: Duration = Duration::from_secs(15);

/// The status files of the topics, those that say Ready, and when one was written last.
fn told(local: &Local) -> Result<(usize, Option<SystemTime>)> {
    let (mut ready, mut last) = (0, None);
    for file in std::fs::read_dir(local.broker_dir("status"))? {
        let file = file?;
        let is_topic = file.file_name().to_string_lossy().starts_with("kafkatopic");
        // A file that is replaced at this moment is read the next time.
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        ready += usize::from(is_topic && text.contains("reason: TopicReady"));
        last = last.max(file.metadata().and_then(|data| data.modified()).ok());
    }
    Ok((ready, last))
}

fn manifests(count: usize) -> String {
    let mut all = String::new();
    for number in 0..count {
        let _ = writeln!(all, "---\n{}", topic(&format!("many-{number:04}"), 1, ""));
    }
    all
}

fn measured(what: &str, measured: &str, promised: &str) -> Result<()> {
    println!("{what}: {measured}, promised {promised}");
    keep("local mode", what, measured, promised)
}

#[test]
fn two_thousand_topics_are_ready_and_then_nothing_is_written() -> Result<()> {
    let ground = Ground::new("many");
    let mut local = ground.start(&[("cluster.yaml", &*ground.cluster(3, ""))])?;
    local.wait_ready()?;
    let begun = Instant::now();
    local.write("many.yaml", &manifests(TOPICS))?;
    eventually(PATIENCE, || {
        // To read all files is work that the brokers have to wait for.
        std::thread::sleep(Duration::from_millis(100));
        let (ready, _) = told(&local)?;
        ensure!(ready == TOPICS, "{ready} of {TOPICS} topics are Ready");
        Ok(())
    })?;
    let rate = TOPICS as f64 / begun.elapsed().as_secs_f64();
    measured(
        "2,000 topics of 3 replicas applied at once, to Ready",
        &format!("{rate:.0} a second"),
        &format!("{RATE:.0} a second"),
    )?;
    let mib = local.process().resident_bytes()? >> 20;
    measured(
        "memory of the operator with 2,000 topics",
        &format!("{mib} MiB"),
        &format!("{MIB_MAX} MiB"),
    )?;
    quiet(&local)?;
    if are_kept() {
        ensure!(rate >= RATE, "{rate:.0} topics a second");
    }
    ensure!(mib <= MIB_MAX, "{mib} MiB");

    local.remove("many.yaml")?;
    eventually(PATIENCE, || {
        let left = files(&local.broker_dir("status"), "kafkatopic").len();
        ensure!(left == 0, "{left} topics are left");
        Ok(())
    })?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

/// Once what was begun before is written, no status is written any more.
fn quiet(local: &Local) -> Result<()> {
    eventually(PATIENCE, || {
        let (_, before) = told(local)?;
        std::thread::sleep(if are_kept() { 4 * QUIET } else { QUIET });
        let (_, after) = told(local)?;
        ensure!(
            before == after,
            "something is written though nothing happens"
        );
        Ok(())
    })
}

fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = all.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
    ours.map(|file| file.path()).collect()
}
