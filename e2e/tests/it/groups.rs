//! Consumer groups of real clients: eager and cooperative rebalances, static members, and a
//! coordinator that is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::members::Members;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape};
use serde_json::Value;

use crate::shared::{bootstrap, fill, topic};

mod consumer;

const PARTITIONS: u32 = 6;

/// Records of one round of the fail-over test.
const RECORDS: u64 = 300;

fn count(state: &Value, what: &str) -> u64 {
    state[what].as_u64().unwrap_or(u64::MAX)
}

fn group(name: &str) -> Result<(String, Members)> {
    let topic = topic(name, PARTITIONS);
    for partition in 0..PARTITIONS {
        fill(&topic, partition, 50);
    }
    let members = Members::of(&bootstrap(), &topic, &format!("{topic}-group"), PARTITIONS)?;
    Ok((topic, members))
}

fn come_and_go(name: &str, strategy: &str) -> Result<()> {
    let (_, members) = group(name)?;
    members_come_and_go(members, strategy)
}

/// Members come and go; everything is always owned once, and is read once.
fn members_come_and_go(mut members: Members, strategy: &str) -> Result<()> {
    members.tell(&format!("start a {strategy}"))?;
    members.tell("settle 1")?;
    members.tell(&format!("start b {strategy}"))?;
    members.tell(&format!("start c {strategy}"))?;
    members.tell("settle 3")?;
    members.tell("stop a")?;
    members.tell("settle 2")?;
    members.tell(&format!("start d {strategy}"))?;
    members.tell("settle 3")?;
    members.tell("stop b")?;
    members.tell("stop c")?;
    let state = members.tell("settle 1")?;
    let records = u64::from(PARTITIONS) * 50;
    ensure!(count(&state, "committed") == records, "{state}");
    ensure!(
        count(&state, "consumed") == records,
        "nothing is read twice: {state}"
    );
    members.quit()?;
    Ok(())
}

#[test]
fn eager_members_come_and_go() -> Result<()> {
    come_and_go("group-eager", "range")
}

#[test]
fn cooperative_members_come_and_go() -> Result<()> {
    come_and_go("group-cooperative", "cooperative-sticky")
}

#[test]
fn a_static_member_that_restarts_makes_no_rebalance() -> Result<()> {
    let (_, mut members) = group("group-static")?;
    members.tell("start one static")?;
    members.tell("start two static")?;
    let before = members.tell("settle 2")?;
    members.tell("stop two")?;
    members.tell("start two static")?;
    let after = members.tell("settle 2")?;
    ensure!(before["members"] == after["members"], "{before} {after}");
    let rebalances = count(&after, "rebalances") - count(&before, "rebalances");
    ensure!(
        rebalances == 1,
        "only the one that came back is assigned: {rebalances}"
    );
    members.quit()?;
    Ok(())
}

/// The broker that coordinates a group, by Kafka's own tool.
fn coordinator(bootstrap: &str, group: &str) -> Result<u16> {
    let described = Tool::at(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        bootstrap,
    )
    .args(&["--describe", "--state", "--group", group])
    .run()?;
    let line = described.line_with(&[group, "Stable"])?;
    let id = line
        .split("(")
        .nth(1)
        .and_then(|rest| rest.split(")").next());
    Ok(id.context("the coordinator's id in parentheses")?.parse()?)
}

/// Adds records to the topic that the workers read.
fn produce(bootstrap: &str) -> Result<()> {
    let records: String = (0..RECORDS).map(|number| format!("{number}\n")).collect();
    kcat(bootstrap, &["-P", "-t", "work", "-X", "acks=all"], &records)?.success()?;
    Ok(())
}

#[test]
fn a_killed_coordinator_loses_no_offset_and_nobody_owns_twice() -> Result<()> {
    coordinators_are_killed(Shape::new("group-failover", 3), "cooperative-sticky")
}

/// The coordinator is killed twice, while members work and others come.
fn coordinators_are_killed(shape: Shape, strategy: &str) -> Result<()> {
    let shape = shape
        .with("num.partitions", &PARTITIONS.to_string())
        .with("default.replication.factor", "3");
    let mut cluster = Cluster::start(shape)?;
    let bootstrap = cluster.bootstrap();
    Tool::at("TopicCommand", &bootstrap)
        .args(&[
            "--create",
            "--topic",
            "work",
            "--partitions",
            &PARTITIONS.to_string(),
        ])
        .args(&["--replication-factor", "3"])
        .run()?;
    produce(&bootstrap)?;
    let mut members = Members::of(&bootstrap, "work", "workers", PARTITIONS)?;
    for name in ["a", "b", "c"] {
        members.tell(&format!("start {name} {strategy}"))?;
    }
    members.tell("settle 3")?;
    for _ in 0..2 {
        let id = coordinator(&bootstrap, "workers")?;
        cluster.kill(id);
        let started = Instant::now();
        produce(&bootstrap)?;
        // members find the new coordinator by themselves, and it knows them
        members.tell(&format!("start d {strategy}"))?;
        members.tell("settle 4")?;
        println!(
            "settled {} ms after the kill",
            started.elapsed().as_millis()
        );
        members.tell("stop d")?;
        members.tell("settle 3")?;
        cluster.launch(id)?;
        cluster.wait_ready()?;
        std::thread::sleep(Duration::from_secs(2));
    }
    let state = members.quit()?;
    ensure!(count(&state, "committed") == 3 * RECORDS, "{state}");
    Ok(())
}
