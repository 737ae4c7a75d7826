//! Exactly once, shown by clients we did not write, while brokers and clients are killed.
//!
//! # Layout
//! - [`kills`]: who is killed when, and started again.
//! - [`copiers`]: Apache Kafka's `TransactionalMessageCopier`, five of them.
//!
//! Each proof ends with one sentence of what was done and found; where something is not as it must
//! be, it panics, and the files of its brokers and clients stay.

pub mod copiers;
pub mod kills;

use anyhow::Result;

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
