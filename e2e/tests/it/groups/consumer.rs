//! The consumer group protocol (KIP-848), by librdkafka and Java: the coordinator assigns.

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::members::Members;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape};

use super::{PARTITIONS, coordinators_are_killed, count, members_come_and_go};

const RECORDS: u32 = 300;
const COMMAND: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Members that heartbeat often, so that a test need not wait for them.
fn shape(name: &str) -> Shape {
    Shape::new(name, 3)
        .with("group.consumer.heartbeat.interval.ms", "500")
        .with("group.consumer.session.timeout.ms", "6000")
}

/// Three brokers, a topic with records in every partition, and nobody who reads it yet.
fn begin(name: &str) -> Result<(Cluster, Members)> {
    let shape = shape(name).with("num.partitions", &PARTITIONS.to_string());
    let cluster = Cluster::start(shape)?;
    let bootstrap = cluster.bootstrap();
    for partition in 0..PARTITIONS {
        let records: String = (0..RECORDS / PARTITIONS)
            .map(|n| format!("{n}\n"))
            .collect();
        let partition = partition.to_string();
        let flags = ["-P", "-t", "work", "-p", &partition, "-X", "acks=all"];
        kcat(&bootstrap, &flags, &records)?.success()?;
    }
    let members = Members::of(&bootstrap, "work", "workers", PARTITIONS)?;
    Ok((cluster, members))
}

#[test]
fn members_come_and_go_and_nothing_is_owned_or_read_twice() -> Result<()> {
    let (_cluster, members) = begin("consumer-group")?;
    members_come_and_go(members, "consumer")
}

#[test]
fn a_static_member_comes_back_to_what_it_had() -> Result<()> {
    let (_cluster, mut members) = begin("consumer-static")?;
    members.tell("start one static consumer")?;
    members.tell("start two static consumer")?;
    let before = members.tell("settle 2")?;
    members.tell("stop two")?;
    members.tell("start two static consumer")?;
    let after = members.tell("settle 2")?;
    ensure!(before["members"] == after["members"], "{before} {after}");
    let rebalances = count(&after, "rebalances") - count(&before, "rebalances");
    ensure!(rebalances == 1, "only the one that came back: {rebalances}");
    members.quit()?;
    Ok(())
}

#[test]
fn a_killed_coordinator_loses_no_offset_and_nobody_owns_twice() -> Result<()> {
    coordinators_are_killed(shape("consumer-failover"), "consumer")
}

/// By Java's client, beside one of librdkafka, and Kafka's own tool.
#[test]
fn java_reads_by_it_and_the_tools_show_the_group() -> Result<()> {
    let (cluster, mut members) = begin("consumer-java")?;
    let bootstrap = cluster.bootstrap();
    let read = Tool::at(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &bootstrap,
    )
    .args(&["--topic", "work", "--from-beginning", "--group", "java"])
    .args(&["--command-property", "group.protocol=consumer"])
    .args(&["--max-messages", &RECORDS.to_string()])
    .run()?;
    ensure!(
        read.stdout.lines().count() == RECORDS as usize,
        "{}",
        read.stdout
    );
    let offsets = Tool::at(COMMAND, &bootstrap)
        .args(&["--describe", "--group", "java"])
        .run()?;
    offsets.line_with(&["java", "work", "0", &(RECORDS / PARTITIONS).to_string()])?;
    let listed = Tool::at(COMMAND, &bootstrap)
        .args(&["--list", "--state", "--type", "consumer"])
        .run()?;
    listed.line_with(&["java", "Consumer", "Empty"])?;

    members.tell("start a consumer")?;
    members.tell("start b consumer")?;
    members.tell("settle 2")?;
    let state = Tool::at(COMMAND, &bootstrap)
        .args(&["--describe", "--state", "--group", "workers"])
        .run()?;
    state.line_with(&["workers", "uniform", "Stable", "2"])?;
    let described = Tool::at(COMMAND, &bootstrap)
        .args(&["--describe", "--members", "--verbose", "--group", "workers"])
        .run()?;
    let lines = described.stdout.lines();
    let shares = lines.filter(|line| line.contains("workers") && line.contains("work:"));
    ensure!(shares.count() == 2, "{}", described.stdout);
    members.quit()?;
    let deleted = Tool::at(COMMAND, &bootstrap)
        .args(&["--delete", "--group", "workers"])
        .run()?;
    ensure!(deleted.stdout.contains("successful"), "{}", deleted.stdout);
    Ok(())
}

#[test]
fn eager_members_become_members_of_it_one_by_one_and_back() -> Result<()> {
    members_migrate("consumer-eager", "range")
}

#[test]
fn cooperative_members_become_members_of_it_one_by_one_and_back() -> Result<()> {
    members_migrate("consumer-cooperative", "cooperative-sticky")
}

/// A classic group becomes a consumer group and one of its own again, while its members work.
fn members_migrate(name: &str, classic: &str) -> Result<()> {
    let (cluster, mut members) = begin(name)?;
    let bootstrap = cluster.bootstrap();
    let is_listed = |kind: &str| -> Result<()> {
        let listed = Tool::at(COMMAND, &bootstrap)
            .args(&["--list", "--state", "--type", kind])
            .run()?;
        listed.line_with(&["workers", "Stable"])?;
        Ok(())
    };
    members.tell(&format!("start a {classic}"))?;
    members.tell(&format!("start b {classic}"))?;
    members.tell("settle 2")?;
    is_listed("classic")?;
    members.tell("start c consumer")?;
    members.tell("settle 3")?;
    is_listed("consumer")?;
    members.tell("stop a")?;
    members.tell("start d consumer")?;
    members.tell("settle 3")?;
    members.tell("stop b")?;
    members.tell("settle 2")?;
    members.tell(&format!("start e {classic}"))?;
    members.tell("settle 3")?;
    is_listed("consumer")?;
    members.tell("stop c")?;
    members.tell("stop d")?;
    let state = members.tell("settle 1")?;
    is_listed("classic")?;
    ensure!(count(&state, "committed") == u64::from(RECORDS), "{state}");
    let consumed = count(&state, "consumed");
    ensure!(
        consumed == u64::from(RECORDS),
        "nothing is read twice: {state}"
    );
    members.quit()?;
    Ok(())
}
