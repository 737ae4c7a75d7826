//! MirrorMaker 2 of Apache Kafka, in one process: a topic goes from Kafka to our brokers and back
//! to Kafka, with its config and the offsets of its groups.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::kills::Plan;
use super::{committed, on_three_brokers};
use crate::client::kcat::kcat;
use crate::client::tool::{Tool, java};
use crate::cluster::{Cluster, Server, Shape, eventually};
use crate::process::{Process, tail};

const PARTITIONS: u16 = 3;
/// A run of 20 minutes moves a million.
const RECORDS_A_MINUTE: u64 = 50_000;
const RETENTION: &str = "retention.ms=123456789";
/// A name in each place: on Kafka, on ours, and on Kafka again.
const TOPICS: [&str; 3] = ["records", "kafka.records", "ottla.kafka.records"];
/// One that has read all, and one that has read half.
const GROUPS: [&str; 2] = ["readers-of-all", "readers-of-half"];
/// How far before its place a group that has read all may go on: MirrorMaker's `offset.lag.max`.
const OFFSET_LAG_MAX: u64 = 100;
const MOVE_TIMEOUT: Duration = Duration::from_secs(900);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(180);

/// A topic moves in and out: what was done and found. It kills nobody.
///
/// # Panics
/// Something is not the same in all three places.
#[must_use]
pub fn run(plan: Plan) -> String {
    let mut shape = Shape::new("mirror-kafka", 1);
    (shape.server, shape.heap) = (Server::Apache, "256M".to_string());
    let kafka = Cluster::start(shape).expect("a broker of Apache Kafka starts");
    let records = RECORDS_A_MINUTE * plan.duration.as_secs() / 60;
    on_three_brokers("mirror", |ours| there_and_back(&kafka, ours, records))
}

fn there_and_back(kafka: &Cluster, ours: &Cluster, records: u64) -> Result<String> {
    let each = records / u64::from(PARTITIONS);
    fill(kafka, each)?;
    let mirror = start(kafka, ours)?;
    let places = [kafka, ours, kafka];
    for (cluster, topic) in places.iter().zip(TOPICS) {
        for partition in 0..PARTITIONS {
            let moved = eventually(MOVE_TIMEOUT, || {
                let end = end(cluster, topic, partition)?;
                ensure!(end == each, "{topic}-{partition} ends at {end} of {each}");
                Ok(())
            });
            moved.with_context(|| tail(&mirror.output()))?;
        }
    }
    for partition in 0..PARTITIONS {
        let wanted = committed(kafka, TOPICS[0], partition)?;
        for (cluster, topic) in places.iter().zip(TOPICS) {
            let got = committed(cluster, topic, partition)?;
            ensure!(got == wanted, "{topic}-{partition} is not what was sent");
        }
    }
    for (cluster, topic) in places.iter().zip(TOPICS) {
        let described = Tool::at("kafka.admin.ConfigCommand", &cluster.bootstrap())
            .args(&["--describe", "--entity-type", "topics"])
            .args(&["--entity-name", topic])
            .run()?;
        described.line_with(&[RETENTION])?;
    }
    let mut again = 0;
    for (cluster, topic) in places.iter().zip(TOPICS) {
        let checked = eventually(OFFSETS_TIMEOUT, || check_offsets(cluster, topic, each));
        again = again.max(checked.with_context(|| tail(&mirror.output()))?);
    }
    Ok(format!(
        "{records} records went from Kafka to ours and back: the same in each partition, in the \
         same order, with the topic's config; groups go on where they were, after at most {again} \
         records that they have read"
    ))
}

/// Makes the topic and its groups on Kafka.
fn fill(kafka: &Cluster, each: u64) -> Result<()> {
    let bootstrap = kafka.bootstrap();
    Tool::at("TopicCommand", &bootstrap)
        .args(&["--create", "--topic", TOPICS[0], "--config", RETENTION])
        .args(&["--partitions", &PARTITIONS.to_string()])
        .run()?;
    for partition in 0..PARTITIONS {
        let records: String = (0..each).map(|n| format!("{n} of {partition}\n")).collect();
        let partition = partition.to_string();
        kcat(
            &bootstrap,
            &["-P", "-t", TOPICS[0], "-p", &partition],
            &records,
        )?
        .success()?;
    }
    for (group, offset) in GROUPS.iter().zip([each, each / 2]) {
        Tool::at(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            &bootstrap,
        )
        .args(&["--group", group, "--topic", TOPICS[0], "--reset-offsets"])
        .args(&["--to-offset", &offset.to_string(), "--execute"])
        .run()?;
    }
    Ok(())
}

/// Kafka is two clusters to it: where the topic comes from, and where it comes back to.
fn start(kafka: &Cluster, ours: &Cluster) -> Result<Process> {
    let (from, to) = (kafka.bootstrap(), ours.bootstrap());
    let mut lines = vec![
        "clusters=kafka,ottla,back".to_string(),
        format!("kafka.bootstrap.servers={from}"),
        format!("ottla.bootstrap.servers={to}"),
        format!("back.bootstrap.servers={from}"),
        "sync.group.offsets.enabled=true".to_string(),
        // else there is a flow between every two clusters
        "emit.heartbeats.enabled=false".to_string(),
    ];
    for what in [
        "emit.checkpoints",
        "sync.group.offsets",
        "refresh.topics",
        "refresh.groups",
    ] {
        lines.push(format!("{what}.interval.seconds=3"));
    }
    for (cluster, replicas) in [("kafka", 1), ("ottla", 3), ("back", 1)] {
        for topic in ["offset", "config", "status"] {
            lines.push(format!(
                "{cluster}.{topic}.storage.replication.factor={replicas}"
            ));
        }
    }
    for (flow, topic, replicas, syncs) in [
        ("kafka->ottla", TOPICS[0], 3, 1),
        ("ottla->back", TOPICS[1], 1, 3),
    ] {
        lines.extend([
            format!("{flow}.enabled=true"),
            format!("{flow}.topics={topic}"),
            format!("{flow}.groups=readers-.*"),
            format!("{flow}.replication.factor={replicas}"),
            format!("{flow}.checkpoints.topic.replication.factor={replicas}"),
            format!("{flow}.offset-syncs.topic.replication.factor={syncs}"),
        ]);
    }
    let file = ours.dir().join("mirror.properties");
    std::fs::write(&file, lines.join("\n"))?;
    let mut command = java(&["-Xmx512M", "-XX:+UseSerialGC"], &[]);
    command
        .arg("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(file);
    Process::start(command, &ours.dir().join("mirror.log"))
}

/// Where a partition ends.
fn end(cluster: &Cluster, topic: &str, partition: u16) -> Result<u64> {
    let place = format!("{topic}:{partition}:-1");
    let told = kcat(&cluster.bootstrap(), &["-Q", "-t", &place], "")?.success()?;
    let offset = told.stdout.split_whitespace().last();
    Ok(offset.context("kcat tells an offset")?.parse()?)
}

/// Groups go on where they were on Kafka or before, those that have read all at most so much
/// before; the answer is the most that one of them is given again.
fn check_offsets(cluster: &Cluster, topic: &str, each: u64) -> Result<u64> {
    let mut again = 0;
    for (group, place) in GROUPS.iter().zip([each, each / 2]) {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let described = Tool::at(class, &cluster.bootstrap())
            .args(&["--describe", "--group", group])
            .run()?;
        for partition in 0..PARTITIONS {
            let line = described
                .stdout
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>())
                .find(|words| words.get(1..3) == Some(&[topic, &partition.to_string()][..]))
                .with_context(|| format!("{group} has no offset of {topic}-{partition}"))?;
            let offset: u64 = line[3].parse()?;
            ensure!(offset <= place, "{group}, {topic}-{partition}: {offset}");
            let lag = place - offset;
            if place == each {
                ensure!(
                    lag <= OFFSET_LAG_MAX,
                    "{group}, {topic}-{partition}: {offset}"
                );
                again = again.max(lag);
            }
        }
    }
    Ok(again)
}
