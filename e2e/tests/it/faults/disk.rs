//! Disks that hang, are slow, full, broken or gone.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::{Shape, eventually};

use super::{Row, led_by, rest};

const DISK_MIB: u32 = 512;

fn start(name: &str) -> Result<Row> {
    let mut shape = Shape::new(name, 3);
    shape.disk_mib = Some(DISK_MIB);
    Row::start(shape)
}

#[test]
fn hangs_for_fifteen_seconds() -> Result<()> {
    let mut row = start("disk-hangs")?;
    row.cluster.broker(0).disk().freeze()?;
    let began = std::time::Instant::now();
    eventually(Duration::from_secs(20), || {
        let led = led_by(&mut row.cluster, 0)?;
        ensure!(led == 0, "it leads {led} partitions");
        Ok(())
    })?;
    let left = began.elapsed();
    rest(15_u64.saturating_sub(left.as_secs()));
    row.cluster.broker(0).disk().thaw()?;
    row.await_in_sync()?;
    let more = format!("led no partition after {} ms", left.as_millis());
    // twice replica.lag.time.max.ms
    row.finish(Duration::from_secs(20), &more)
}

#[test]
fn writes_a_tenth_of_what_comes() -> Result<()> {
    let mut row = start("disk-slow")?;
    let pid = row.cluster.broker(0).process().pid();
    row.cluster.broker(0).disk().slow_down(pid, 100_000)?;
    rest(20);
    row.cluster.broker(0).disk().full_speed()?;
    row.await_in_sync()?;
    row.finish(Duration::from_secs(12), "")
}

#[test]
fn is_full_and_gets_room_again() -> Result<()> {
    let mut row = start("disk-full")?;
    row.cluster.broker(0).disk().fill_up_to(1)?;
    rest(12);
    let running = row.cluster.broker(0).process().is_running();
    ensure!(running, "a full disk ended the broker");
    let servers = row.cluster.broker(0).address();
    let args = ["-C", "-t", "warm-up", "-e", "-q"];
    let read = kcat(&servers, &args, "")?.success()?;
    ensure!(!read.stdout.is_empty(), "reads go on");
    row.cluster.broker(0).disk().free()?;
    row.await_in_sync()?;
    row.finish(Duration::from_secs(15), "")
}

#[test]
fn fails_and_is_replaced() -> Result<()> {
    let mut row = start("disk-eio")?;
    row.cluster.broker(0).disk().fail_beyond(1)?;
    rest(6);
    row.cluster.kill(0);
    row.cluster.broker(0).disk().renew(DISK_MIB)?;
    row.bring_back(&[0])?;
    row.finish(Duration::from_secs(10), "")
}

#[test]
fn is_emptied_under_a_running_broker() -> Result<()> {
    let mut row = start("disk-emptied")?;
    for entry in std::fs::read_dir(row.cluster.file(0, "data"))? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    rest(3);
    row.cluster.kill(0);
    rest(1);
    row.bring_back(&[0])?;
    row.finish(Duration::from_secs(10), "")
}

#[test]
fn ends_in_garbage_after_a_crash() -> Result<()> {
    let mut row = start("disk-garbage")?;
    for id in 0..3 {
        row.cluster.kill(id);
        let data = row.cluster.file(id, "data");
        spoil_tail(&newest(&data.join("wal"))?, 4096)?;
        spoil_tail(&newest(&data.join("metadata/log"))?, 1)?;
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(10), "")
}

/// The file of a folder that was written last.
fn newest(dir: &Path) -> Result<PathBuf> {
    let files = std::fs::read_dir(dir)?.filter_map(|file| Some(file.ok()?.path()));
    let newest = files.max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    newest.with_context(|| format!("{} is empty", dir.display()))
}

/// Leaves what a write leaves that the power cut tore: bytes of no sense behind the last that have
/// some, at the next multiple of this.
fn spoil_tail(path: &Path, multiple: u64) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let end = end
        .map_or(0, |last| last as u64 + 1)
        .next_multiple_of(multiple);
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[0x5a; 700], end)?;
    Ok(())
}
