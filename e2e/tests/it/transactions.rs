//! Transactions of real clients: librdkafka's producers and consumers, Kafka's own tools, and
//! coordinators that are killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::transactions::{check, scenario};
use ottla_e2e::cluster::{Cluster, Shape};

use crate::shared::{bootstrap, fill, topic};

const PARTITIONS: u32 = 3;

/// Runs a scenario on the shared cluster, with topics of its own.
fn run(name: &str) -> Result<()> {
    let input = topic(&format!("transactions-{name}-in"), PARTITIONS);
    let output = topic(&format!("transactions-{name}-out"), PARTITIONS);
    fill(&input, 0, 10);
    check(scenario(name, &bootstrap(), &input, &output))?;
    Ok(())
}

#[test]
fn what_is_committed_is_read_and_what_is_aborted_is_not() -> Result<()> {
    run("outcomes")
}

#[test]
fn a_producer_takes_its_id_from_the_one_before() -> Result<()> {
    run("fencing")
}

#[test]
fn offsets_count_with_their_transaction() -> Result<()> {
    run("offsets")
}

/// Kafka's own producer, by the newest protocol, and its tool for transactions.
#[test]
fn kafkas_tools_see_transactions() -> Result<()> {
    let bootstrap = bootstrap();
    let topic = topic("transactions-tools", PARTITIONS);
    let properties = format!("bootstrap.servers={bootstrap}");
    let id = format!("{topic}-id");
    Tool::new("ProducerPerformance")
        .args(&["--topic", &topic, "--num-records", "2000"])
        .args(&["--record-size", "100", "--throughput", "-1"])
        .args(&["--producer-props", &properties])
        .args(&[
            "--transactional-id",
            &id,
            "--transaction-duration-ms",
            "100",
        ])
        .run()?;
    let tool = || Tool::at("TransactionsCommand", &bootstrap);
    let listed = tool().args(&["list"]).run()?;
    listed.line_with(&[&id, "CompleteCommit"])?;
    let described = tool()
        .args(&["describe", "--transactional-id", &id])
        .run()?;
    described.line_with(&[&id, "CompleteCommit"])?;
    let hanging = tool()
        .args(&["find-hanging", "--topic", &topic, "--partition", "0"])
        .args(&["--max-transaction-timeout", "1"])
        .run()?;
    ensure!(!hanging.all().contains(&topic), "{}", hanging.all());
    Ok(())
}

/// The broker that coordinates a transactional id, by Kafka's own tool.
fn coordinator(bootstrap: &str, id: &str) -> Result<u16> {
    let described = Tool::at("TransactionsCommand", bootstrap)
        .args(&["describe", "--transactional-id", id])
        .run()?;
    let line = described.line_with(&[id])?.to_string();
    let node = line.split_whitespace().next();
    Ok(node.context("the coordinator's id comes first")?.parse()?)
}

/// A consume–transform–produce loop, while its coordinator goes and comes back three times.
fn each_record_has_one_copy_while(
    name: &str,
    goes: impl Fn(&mut Cluster, u16) -> Result<()>,
) -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(name, 3))?;
    let bootstrap = cluster.bootstrap();
    for name in ["input", "output"] {
        Tool::at("TopicCommand", &bootstrap)
            .args(&["--create", "--topic", name, "--partitions", "3"])
            .args(&["--replication-factor", "3"])
            .run()?;
    }
    let records: String = (0..3_000).map(|number| format!("{number}\n")).collect();
    ottla_e2e::client::kcat::kcat(&bootstrap, &["-P", "-t", "input"], &records)?.success()?;
    let mut moving = scenario("move", &bootstrap, "input", "output");
    moving.args(["--seconds", "150"]);
    let moving = std::thread::spawn(move || check(moving));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(3));
        let Ok(id) = coordinator(&bootstrap, "output-move") else {
            continue;
        };
        goes(&mut cluster, id)?;
        std::thread::sleep(Duration::from_secs(3));
        cluster.launch(id)?;
        cluster.wait_ready()?;
    }
    let moved = moving.join();
    let moved = moved.map_err(|_| anyhow::anyhow!("the mover panicked"))??;
    println!("{name}: {}", moved.all());
    Ok(())
}

#[test]
fn each_record_has_one_copy_while_coordinators_are_killed() -> Result<()> {
    each_record_has_one_copy_while("transactions-failover", |cluster, id| {
        cluster.kill(id);
        Ok(())
    })
}

#[test]
fn each_record_has_one_copy_while_coordinators_are_asked_to_stop() -> Result<()> {
    each_record_has_one_copy_while("transactions-handed-over", Cluster::stop)
}
