//! Transactions of real clients: librdkafka's producers and consumers, Kafka's own tools, and
//! coordinators that are killed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::transactions::{check, scenario};
use ottla_e2e::cluster::{Cluster, Shape};
use ottla_protocol::frame;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

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

/// A producer that its coordinator knows nothing of begins a transaction on the partition 0, where
/// nobody asks for consent.
fn begin_unverified(address: &str, topic: &str, producer_id: i64) -> Result<()> {
    let id = ProducerId(producer_id);
    let mut batch = Builder::new()
        .producer(id, ProducerEpoch(0), Sequence(0))
        .transactional();
    batch.push(&NewRecord {
        timestamp_ms: 1,
        value: Some(b"v"),
        ..NewRecord::default()
    });
    let produce = ProduceRequest {
        transactional_id: Some("unverified".into()),
        acks: -1,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch.build()),
            }],
            ..TopicProduceData::default()
        }],
    };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(&frame::request(11, 1, "unverified", &produce)?.concat())?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(size))?];
    stream.read_exact(&mut answer)?;
    let (_, answer) = frame::read_response::<ProduceRequest>(answer.as_slice().into(), 11)?;
    let error = answer.responses[0].partition_responses[0].error_code;
    ensure!(error == 0, "it is refused: {error}");
    Ok(())
}

/// Kafka's tool finds a transaction that no coordinator knows of, and aborts it.
#[test]
fn kafkas_tool_finds_and_aborts_a_transaction_that_hangs() -> Result<()> {
    let shape = Shape::new("transactions-hanging", 1)
        .with("transaction.partition.verification.enable", "false")
        .with("ottla.transaction.hanging.check.interval.ms", "86400000");
    let cluster = Cluster::start(shape)?;
    let bootstrap = cluster.bootstrap();
    Tool::at("TopicCommand", &bootstrap)
        .args(&["--create", "--topic", "t", "--partitions", "1"])
        .run()?;
    begin_unverified(&bootstrap, "t", 4711)?;
    let tool = |command: &str| {
        let of_partition = ["--topic", "t", "--partition", "0"];
        Tool::at("TransactionsCommand", &bootstrap).args(&[&[command], &of_partition[..]].concat())
    };
    let hanging = tool("find-hanging")
        .args(&["--max-transaction-timeout", "1"])
        .run()?;
    hanging.line_with(&["t", "4711"])?;
    let open = tool("describe-producers").run()?;
    ensure!(
        !open.line_with(&["4711"])?.contains("None"),
        "{}",
        open.all()
    );
    tool("abort").args(&["--start-offset", "0"]).run()?;
    let ended = tool("describe-producers").run()?;
    ended.line_with(&["4711", "None"])?;
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
