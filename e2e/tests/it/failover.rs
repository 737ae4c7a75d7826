//! Brokers killed, paused and started again under a load that is acknowledged by all in-sync
//! replicas: nothing acknowledged is lost, and clients go on by themselves.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::{Load, Verdict};
use ottla_e2e::cluster::{Cluster, Shape, eventually};
use rustix::process::Signal;

const FLAGS: [&str; 4] = ["--idempotent", "--follow", "--rate", "2000"];
const FINISH_TIMEOUT: Duration = Duration::from_secs(180);
const BACK_IN_SYNC_TIMEOUT: Duration = Duration::from_secs(30);

fn pause() {
    std::thread::sleep(Duration::from_secs(2));
}

fn start(name: &str) -> Result<(Cluster, Load)> {
    start_with(name, &FLAGS)
}

fn start_with(name: &str, flags: &[&str]) -> Result<(Cluster, Load)> {
    let shape = Shape::new(name, 3).with("num.partitions", "6");
    let cluster = Cluster::start(shape)?;
    // one record creates the topic, with the settings of the cluster
    eventually(Duration::from_secs(20), || {
        kcat(&cluster.bootstrap(), &["-P", "-t", "warm-up"], "x")?.success()?;
        in_sync(&cluster, "warm-up", 6)
    })?;
    kcat(&cluster.bootstrap(), &["-L", "-t", "load"], "")?.success()?;
    eventually(Duration::from_secs(20), || in_sync(&cluster, "load", 6))?;
    let load = Load::start(&cluster.bootstrap(), "load", flags)?;
    pause();
    Ok((cluster, load))
}

/// Every partition has three in-sync replicas.
fn in_sync(cluster: &Cluster, topic: &str, partitions: usize) -> Result<()> {
    let listed = kcat(&cluster.bootstrap(), &["-L", "-t", topic], "")?.success()?;
    let whole = listed
        .stdout
        .lines()
        .filter_map(|line| line.split("isrs: ").nth(1))
        .filter(|isr| isr.split(',').filter(|id| !id.trim().is_empty()).count() == 3)
        .count();
    ensure!(
        whole == partitions,
        "{whole} of {partitions} partitions are in sync"
    );
    Ok(())
}

fn finish(what: &str, cluster: &Cluster, load: Load) -> Result<Verdict> {
    let verdict = load.finish(FINISH_TIMEOUT)?;
    println!("{what}: {}", verdict.json);
    crate::faults::tell(&verdict, "");
    verdict.assert_nothing_lost();
    ensure!(
        verdict.count("duplicates") == 0,
        "{}\n{}",
        verdict.json,
        cluster.logs()
    );
    Ok(verdict)
}

#[test]
fn each_broker_killed_under_load() -> Result<()> {
    let (mut cluster, load) = start("kill-each")?;
    for id in 0..cluster.size() {
        cluster.kill(id);
        pause();
        cluster.launch(id)?;
        cluster.wait_ready()?;
        eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&cluster, "load", 6))?;
    }
    finish("each broker killed", &cluster, load)?;
    Ok(())
}

#[test]
fn all_brokers_killed_at_once() -> Result<()> {
    let (mut cluster, load) = start("kill-all")?;
    for id in 0..cluster.size() {
        cluster.broker(id).process().signal(Signal::KILL);
    }
    for id in 0..cluster.size() {
        cluster.kill(id);
    }
    pause();
    for id in 0..cluster.size() {
        cluster.launch(id)?;
    }
    cluster.wait_ready()?;
    eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&cluster, "load", 6))?;
    pause();
    finish("all brokers killed", &cluster, load)?;
    Ok(())
}

#[test]
fn a_broker_that_hangs_is_left_behind_and_comes_back() -> Result<()> {
    let (mut cluster, load) = start("pause")?;
    cluster.broker(1).process().signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(6));
    cluster.broker(1).process().signal(Signal::CONT);
    eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&cluster, "load", 6))?;
    finish("a broker paused for 6 s", &cluster, load)?;
    Ok(())
}

#[test]
fn a_broker_stopped_by_sigterm_hands_over() -> Result<()> {
    let (mut cluster, load) = start("stop")?;
    cluster.stop(2)?;
    pause();
    cluster.launch(2)?;
    cluster.wait_ready()?;
    eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&cluster, "load", 6))?;
    finish("a broker stopped", &cluster, load)?;
    Ok(())
}

/// A producer that sends each record once, and whose answers are errors where nobody forwards.
#[test]
fn a_roll_by_sigterm_shows_no_client_an_error() -> Result<()> {
    let (mut cluster, load) = start_with("roll", &["--no-retries", "--follow", "--rate", "1000"])?;
    for id in 0..cluster.size() {
        cluster.stop(id)?;
        pause();
        cluster.launch(id)?;
        cluster.wait_ready()?;
        eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&cluster, "load", 6))?;
    }
    let verdict = finish("each broker asked to stop, retries=0", &cluster, load)?;
    println!("the longest pause: {} ms", verdict.count("pause_max_ms"));
    assert!(verdict.count("pause_max_ms") < 2000, "{}", verdict.json);
    Ok(())
}
