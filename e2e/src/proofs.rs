//! Exactly once, shown by clients we did not write, while brokers and clients are killed.
//!
//! # Layout
//! - [`kills`]: who is killed when, and started again.
//! - `numbers`: what is copied, and whether it is the same.
//! - [`copiers`]: Apache Kafka's `TransactionalMessageCopier`, five of them.
//! - [`flink`]: Apache Flink's sink.
//! - [`matrix`]: one transactional id in the hands of all clients in turn.
//! - `worker`: Kafka Connect's, which the next two need.
//! - [`connect`]: Kafka Connect, from a file to a file.
//! - [`debezium`]: Debezium, from a table of PostgreSQL (`postgres`) to a topic.
//! - [`mirror`]: MirrorMaker 2, in and out.
//! - [`streams`]: the smoke test of Kafka Streams.
//!
//! Each proof ends with one sentence of what was done and found; where something is not as it must
//! be, it panics, and the files of its brokers and clients stay.

pub mod connect;
pub mod copiers;
pub mod debezium;
pub mod flink;
pub mod kills;
pub mod matrix;
pub mod mirror;
mod numbers;
mod postgres;
pub mod streams;
mod worker;

use anyhow::Result;

use crate::client::kcat::kcat;
use crate::client::tool::Tool;
use crate::cluster::{Cluster, Shape};

/// Runs a proof on three brokers, whose files stay where it fails.
fn on_three_brokers(name: &str, proof: impl FnOnce(&mut Cluster) -> Result<String>) -> String {
    let mut cluster = Cluster::start(Shape::new(name, 3)).expect("three brokers start");
    match proof(&mut cluster) {
        Ok(found) => found,
        Err(error) => panic!("{name}: {error:?}"),
    }
}

/// Makes a topic that each of three brokers has a replica of.
fn make_topic(bootstrap: &str, name: &str, partitions: u16) -> Result<()> {
    Tool::at("TopicCommand", bootstrap)
        .args(&["--create", "--topic", name, "--replication-factor", "3"])
        .args(&["--partitions", &partitions.to_string()])
        .run()?;
    Ok(())
}

/// The committed values of a partition, in its order.
fn committed(cluster: &Cluster, topic: &str, partition: u16) -> Result<Vec<String>> {
    read(cluster, topic, partition, "%s\\n")
}

/// The committed records of a partition, in its order, as lines that kcat writes in this form.
fn read(cluster: &Cluster, topic: &str, partition: u16, form: &str) -> Result<Vec<String>> {
    let partition = partition.to_string();
    let whole = [
        "-C",
        "-t",
        topic,
        "-p",
        &partition,
        "-o",
        "beginning",
        "-e",
        "-q",
    ];
    let form = ["-X", "isolation.level=read_committed", "-f", form];
    let read = kcat(
        &cluster.bootstrap(),
        &[whole.as_slice(), &form].concat(),
        "",
    )?
    .success()?;
    Ok(read.stdout.lines().map(str::to_string).collect())
}
