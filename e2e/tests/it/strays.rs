//! Logs that no metadata speak of: a quorum that lost its own, or was put back to an older state,
//! is no reason to lose the records as well.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::{Cluster, Shape, eventually};

const TIMEOUT: Duration = Duration::from_secs(20);

fn start(name: &str) -> Result<Cluster> {
    let cluster = Cluster::start(Shape::new(name, 1).with("cluster.id", "kept-by-hand"))?;
    write(&cluster, "before")?;
    Ok(cluster)
}

/// Writes a record, which creates the topic where there is none.
fn write(cluster: &Cluster, text: &str) -> Result<()> {
    let args = ["-P", "-t", "t", "-p", "0"];
    kcat(&cluster.bootstrap(), &args, &format!("{text}\n"))?.success()?;
    Ok(())
}

fn has(cluster: &Cluster, records: &[&str]) -> Result<()> {
    let args = ["-C", "-t", "t", "-p", "0", "-e", "-q"];
    let read = kcat(&cluster.bootstrap(), &args, "")?.success()?;
    ensure!(
        read.stdout.lines().eq(records.iter().copied()),
        "{}",
        read.stdout
    );
    Ok(())
}

#[test]
fn a_log_that_no_metadata_speak_of_is_there_when_they_are_put_right() -> Result<()> {
    let mut cluster = start("strays-kept")?;
    let (data, aside) = (cluster.file(0, "data"), cluster.dir().join("aside"));
    let (log, metadata) = (data.join("t-0"), data.join("metadata"));
    cluster.stop(0)?;
    std::fs::rename(&metadata, &aside)?;
    cluster.launch(0)?;
    cluster.wait_ready()?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(log.exists(), "the log is gone");
    let said = cluster.broker(0).process().output();
    ensure!(said.contains("t-0"), "and nothing is said of it: {said}");

    cluster.stop(0)?;
    std::fs::remove_dir_all(&metadata)?;
    std::fs::rename(&aside, &metadata)?;
    cluster.launch(0)?;
    cluster.wait_ready()?;
    write(&cluster, "after")?;
    has(&cluster, &["before", "after"])
}

#[test]
fn a_log_that_no_metadata_speak_of_makes_room_for_its_namesake() -> Result<()> {
    let mut cluster = start("strays-replaced")?;
    cluster.stop(0)?;
    std::fs::remove_dir_all(cluster.file(0, "data").join("metadata"))?;
    cluster.launch(0)?;
    cluster.wait_ready()?;
    eventually(TIMEOUT, || write(&cluster, "anew"))?;
    has(&cluster, &["anew"])
}
