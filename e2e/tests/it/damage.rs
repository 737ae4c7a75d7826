//! Flipped bits on the disk of a running broker: seen before they are served, another leads, and
//! the replica is made anew out of what the others have.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::{Cluster, Shape, eventually};

const TIMEOUT: Duration = Duration::from_secs(40);

/// Records of 1 KiB in several batches and segments.
const RECORDS: usize = 3000;

/// The oldest large segment of the topic's partition on a broker, once another follows it. The
/// first may be small: a follower appends what a fetch brought as a whole, and rolls before it.
fn sealed_segment(cluster: &Cluster, id: u16) -> Result<PathBuf> {
    let dir = cluster.file(id, "data").join("t-0");
    eventually(TIMEOUT, || {
        let names = std::fs::read_dir(&dir)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut logs: Vec<_> = names
            .filter(|path| path.extension() == Some("log".as_ref()))
            .collect();
        logs.sort();
        logs.pop();
        for log in &logs {
            if log.metadata()?.len() > 500_000 {
                return Ok(log.clone());
            }
        }
        bail!("no sealed segment of broker {id} is written: {logs:?}")
    })
}

fn flip(path: &PathBuf, at: u64) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 0x10], at)?;
    file.sync_all()?;
    Ok(())
}

fn fill(shape: Shape, replicas: &str) -> Result<Cluster> {
    let shape = shape
        .with("num.partitions", "1")
        .with("default.replication.factor", replicas)
        .with("log.segment.bytes", "1048576");
    let cluster = Cluster::start(shape)?;
    let records = format!("{}\n", "v".repeat(1024)).repeat(RECORDS);
    let args = [
        "-P",
        "-t",
        "t",
        "-X",
        "batch.num.messages=100",
        "-X",
        "acks=all",
    ];
    kcat(&cluster.bootstrap(), &args, &records)?.success()?;
    // what is in memory is served from there, so it has to be pushed out
    let more = format!("{}\n", "w".repeat(1024)).repeat(20_000);
    kcat(
        &cluster.bootstrap(),
        &["-P", "-t", "other", "-X", "acks=all"],
        &more,
    )?
    .success()?;
    Ok(cluster)
}

fn count(cluster: &Cluster) -> Result<usize> {
    let read = kcat(&cluster.bootstrap(), &["-C", "-t", "t", "-e", "-q"], "")?.success()?;
    Ok(read
        .stdout
        .lines()
        .filter(|line| line.len() == 1024)
        .count())
}

/// The leader, and how many are in sync.
fn state(cluster: &Cluster) -> Result<(u16, usize)> {
    let listed = kcat(&cluster.bootstrap(), &["-L", "-t", "t"], "")?.success()?;
    let line = listed
        .stdout
        .lines()
        .find(|line| line.contains("partition 0"));
    let line = line.context("the partition is listed")?;
    let leader = line
        .split("leader ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let isr = line.split("isrs: ").nth(1).unwrap_or_default();
    let leader = leader.context("it has a leader")?.trim().parse()?;
    Ok((
        leader,
        isr.split(',').filter(|id| !id.trim().is_empty()).count(),
    ))
}

#[test]
fn a_leader_whose_segment_is_damaged_hands_over_and_is_made_anew() -> Result<()> {
    let cluster = fill(Shape::new("damaged-leader", 3), "3")?;
    let (leader, _) = state(&cluster)?;
    let segment = sealed_segment(&cluster, leader)?;
    flip(&segment, 100_000)?;
    eventually(TIMEOUT, || {
        let (read, (now, in_sync)) = (count(&cluster)?, state(&cluster)?);
        ensure!(read == RECORDS, "{read} of {RECORDS} records can be read");
        ensure!(now != leader, "broker {leader} leads still");
        ensure!(in_sync == 3, "{in_sync} are in sync");
        Ok(())
    })
}

#[test]
fn damage_that_no_reader_meets_is_found() -> Result<()> {
    let shape = Shape::new("damaged-unread", 3).with("ottla.scrub.interval.ms", "1000");
    let mut cluster = fill(shape, "3")?;
    let (leader, _) = state(&cluster)?;
    let follower = (leader + 1) % 3;
    let segment = sealed_segment(&cluster, follower)?;
    flip(&segment, 200_000)?;
    eventually(TIMEOUT, || {
        let said = cluster.broker(follower).process().output();
        ensure!(said.contains("is made anew"), "nobody noticed: {said}");
        let (_, in_sync) = state(&cluster)?;
        ensure!(in_sync == 3, "{in_sync} are in sync");
        Ok(())
    })?;
    ensure!(count(&cluster)? == RECORDS);
    Ok(())
}

#[test]
fn where_nobody_else_has_them_only_the_damaged_records_are_missed() -> Result<()> {
    let cluster = fill(Shape::new("damaged-alone", 1), "1")?;
    let segment = sealed_segment(&cluster, 0)?;
    let before = std::fs::metadata(&segment)?.len();
    flip(&segment, 300_000)?;
    let from = |offset: &str| {
        let args = ["-C", "-t", "t", "-o", offset, "-c", "100", "-e", "-q"];
        let read = kcat(&cluster.bootstrap(), &args, "")?.success()?;
        Ok::<_, anyhow::Error>(read.stdout.lines().count())
    };
    for round in 0..3 {
        // a consumer that comes to the place is told, and waits
        let args = ["-C", "-t", "t", "-o", "200", "-c", "300", "-q", "-m", "2"];
        let _ = kcat_for(&cluster, &args, Duration::from_secs(3));
        ensure!(from("0")? == 100, "round {round}: records before it");
        ensure!(from("2000")? == 100, "round {round}: records after it");
    }
    ensure!(
        std::fs::metadata(&segment)?.len() == before,
        "the segment was touched"
    );
    kcat(
        &cluster.bootstrap(),
        &["-P", "-t", "t", "-X", "acks=all"],
        "more\n",
    )?
    .success()?;
    Ok(())
}

/// What kcat does in this time.
fn kcat_for(cluster: &Cluster, args: &[&str], limit: Duration) -> Result<()> {
    let mut command = ottla_e2e::process::bound_to_us(std::path::Path::new("timeout"));
    let seconds = limit.as_secs().to_string();
    command
        .args([&seconds, "kcat", "-b", &cluster.bootstrap()])
        .args(args);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    ottla_e2e::process::spawn(command)?.wait()?;
    Ok(())
}
