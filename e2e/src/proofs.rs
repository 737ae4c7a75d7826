//! Exactly once, shown by clients we did not write, while brokers and clients are killed.
//!
//! # Layout
//! - [`kills`]: who is killed when, and started again.
//! - [`copiers`]: Apache Kafka's `TransactionalMessageCopier`, five of them.
//! - [`matrix`]: one transactional id in the hands of all clients in turn.
//! - [`connect`]: Kafka Connect, from a file to a file.
//! - [`mirror`]: MirrorMaker 2, in and out.
//! - [`streams`]: the smoke test of Kafka Streams.
//!
//! Each proof ends with one sentence of what was done and found; where something is not as it must
//! be, it panics, and the files of its brokers and clients stay.

pub mod connect;
pub mod copiers;
pub mod kills;
pub mod matrix;
pub mod mirror;
pub mod streams;

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
    let form = ["-X", "isolation.level=read_committed", "-f", "%s\\n"];
    let read = kcat(
        &cluster.bootstrap(),
        &[whole.as_slice(), &form].concat(),
        "",
    )?
    .success()?;
    Ok(read.stdout.lines().map(str::to_string).collect())
}
