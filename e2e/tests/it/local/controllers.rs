//! Controllers that are no brokers, from the YAML of a cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::load::Load;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::eventually;
use rustix::process::Signal;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, pid, signal, topic, wait_partitions};

/// How long votes may take to move.
const MOVE_TIMEOUT: Duration = Duration::from_secs(90);

fn wait_voters(servers: &str, voters: &str) -> Result<()> {
    eventually(MOVE_TIMEOUT, || {
        let quorum = Tool::at("org.apache.kafka.tools.MetadataQuorumCommand", servers);
        let told = quorum.args(&["describe", "--status"]).run()?;
        let current = told.line_with(&["CurrentVoters:"])?;
        let ids: String = current.chars().filter(|c| !c.is_whitespace()).collect();
        ensure!(has_voters(&ids, voters), "{voters} are to vote: {current}");
        Ok(())
    })
}

/// Newer tools tell each voter as an object.
fn has_voters(told: &str, voters: &str) -> bool {
    let ids: Vec<&str> = voters.split(',').collect();
    let objects = ids.iter().all(|id| told.contains(&format!("\"id\":{id},")));
    let is_plain = told.ends_with(&format!("[{voters}]"));
    is_plain || objects && told.matches("\"id\":").count() == ids.len()
}

#[test]
fn votes_move_to_controllers_and_back_under_load() -> Result<()> {
    let ground = Ground::new("dedicated");
    let with = |count: u16| format!("  dedicatedControllers: {{ replicas: {count} }}\n");
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("load.yaml", &*topic("load", 3, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "load", 3)?;
    let before = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    let load = Load::start(&servers, "load", &["--no-retries", "--rate", "1000"])?;
    std::thread::sleep(Duration::from_secs(2));

    local.write("cluster.yaml", &ground.cluster(3, &with(3)))?;
    local.wait_line(&["broker 0 votes no more"], MOVE_TIMEOUT)?;
    wait_voters(&servers, "1000,1001,1002")?;

    // a setting that restarts all of them, one after the other
    let setting = "  config: { num.network.threads: \"3\" }\n";
    local.write("cluster.yaml", &ground.cluster(3, &(with(3) + setting)))?;
    local.wait_line(&["controller 1000 is restarted"], MOVE_TIMEOUT)?;
    for line in ["1001", "1002"].map(|id| format!("controller {id}")) {
        eventually(MOVE_TIMEOUT, || {
            let output = local.process().output();
            let is_told = |one: &str| one.contains(&line) && one.contains("is restarted");
            ensure!(output.lines().any(is_told), "{line} is not restarted yet");
            Ok(())
        })?;
    }
    eventually(MOVE_TIMEOUT, || {
        for (ordinal, old) in (0..).zip(before) {
            ensure!(pid(&local, ordinal)? != old, "broker {ordinal} is not new");
        }
        Ok(())
    })?;
    wait_partitions(&servers, "load", 3)?;

    local.write("cluster.yaml", &ground.cluster(3, &(with(1) + setting)))?;
    wait_voters(&servers, "1000")?;
    local.wait_line(&["controller 1002 is gone"], MOVE_TIMEOUT)?;
    local.write("cluster.yaml", &ground.cluster(3, setting))?;
    wait_voters(&servers, "0,1,2")?;
    local.wait_line(&["controller 1000 is gone"], MOVE_TIMEOUT)?;

    let verdict = load.finish(Duration::from_secs(120))?;
    println!("votes move away and back under load: {}", verdict.json);
    verdict.assert_nothing_lost();
    ensure!(verdict.count("failed") == 0, "{}", verdict.json);
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

/// A new cluster begins with its controllers, and goes on while the active one is gone.
#[test]
fn a_cluster_that_begins_with_controllers_outlives_the_active_one() -> Result<()> {
    let ground = Ground::new("dedicated-new");
    let cluster = ground.cluster(1, "  dedicatedControllers: {}\n");
    let mut local = ground.start(&[("cluster.yaml", &cluster)])?;
    let (_, servers) = local.wait_ready()?;
    wait_voters(&servers, "1000,1001,1002")?;
    let killed = std::fs::read_to_string(local.broker_dir("c-1000").join("pid"))?;
    signal(killed.trim().parse()?, Signal::KILL)?;
    local.write(
        "load.yaml",
        &topic("load", 3, "").replace("Factor: 3", "Factor: 1"),
    )?;
    wait_partitions(&servers, "load", 3)?;
    eventually(CHANGE_TIMEOUT, || {
        let now = std::fs::read_to_string(local.broker_dir("c-1000").join("pid"))?;
        ensure!(now != killed, "it is not started again yet");
        Ok(())
    })?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
