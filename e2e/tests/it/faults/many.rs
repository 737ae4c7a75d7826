//! Failovers with many partitions.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape, eventually};

use super::{Row, rest};

/// Makes a topic of so many partitions of three replicas.
fn create(cluster: &Cluster, partitions: usize) -> Result<()> {
    let servers = cluster.bootstrap();
    let args = [
        "--create",
        "--topic",
        "many",
        "--partitions",
        &partitions.to_string(),
        "--replication-factor",
        "3",
    ];
    Tool::at("TopicCommand", &servers).args(&args).run()?;
    eventually(Duration::from_secs(60), || led(cluster, partitions))
}

/// Every partition has a leader.
fn led(cluster: &Cluster, partitions: usize) -> Result<()> {
    let listed = kcat(&cluster.bootstrap(), &["-L", "-t", "many"], "")?.success()?;
    let led = |line: &&str| line.contains("isrs: ") && !line.contains("leader -1");
    let led = listed.stdout.lines().filter(led).count();
    ensure!(led == partitions, "{led} of {partitions} have a leader");
    Ok(())
}

#[test]
fn a_leader_of_a_thousand_killed_twenty_times() -> Result<()> {
    let mut row = Row::start(Shape::new("many-killed", 3))?;
    create(&row.cluster, 3000)?;
    for round in 0..20 {
        let id = round % 3;
        row.cluster.kill(id);
        rest(1);
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(1), "")
}

#[test]
fn all_brokers_of_ten_thousand_killed() -> Result<()> {
    let mut row = Row::start(Shape::new("many-all", 3))?;
    create(&row.cluster, 10_000)?;
    for id in 0..3 {
        row.cluster.kill(id);
    }
    for id in 0..3 {
        row.cluster.launch(id)?;
    }
    let began = Instant::now();
    eventually(Duration::from_secs(30), || {
        let args = ["-P", "-t", "many", "-p", "0", "-X", "acks=all"];
        kcat(&row.cluster.bootstrap(), &args, "x")?.success()?;
        Ok(())
    })?;
    let serving = began.elapsed();
    led(&row.cluster, 10_000)?;
    row.await_in_sync()?;
    rest(1);
    row.finish(
        Duration::from_secs(6),
        &format!("serving after {} ms", serving.as_millis()),
    )
}
