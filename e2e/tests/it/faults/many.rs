//! Failovers with many partitions.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::Verdict;
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
    let mut kills = Vec::new();
    for round in 0..20 {
        let id = round % 3;
        kills.push(SystemTime::now());
        row.cluster.kill(id);
        rest(1);
        row.bring_back(&[id])?;
    }
    row.finish_with(Duration::from_secs(1), |verdict| {
        let mut pauses: Vec<u64> = kills.iter().map(|at| pause_after(verdict, *at)).collect();
        pauses.sort_unstable();
        format!("median {} ms", pauses[pauses.len() / 2])
    })
}

/// The longest pause of a partition, in milliseconds, that ended within a second and a half of
/// this; 0 where none was worth telling.
fn pause_after(verdict: &Verdict, at: SystemTime) -> u64 {
    let since = |ended: u64| {
        let ended = UNIX_EPOCH + Duration::from_millis(ended);
        ended
            .duration_since(at)
            .is_ok_and(|since| since < Duration::from_millis(1500))
    };
    let pauses = verdict.json["pauses_ms"].as_array();
    let pauses = pauses.into_iter().flatten();
    let ended_then = pauses.filter(|pause| pause[0].as_u64().is_some_and(since));
    let longest = ended_then.filter_map(|pause| pause[1].as_u64()).max();
    longest.unwrap_or(0)
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
