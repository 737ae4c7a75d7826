//! Power cuts: what was acknowledged is on disks.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::cluster::{Server, Shape, eventually};

use super::{BACK_IN_SYNC_TIMEOUT, FINISH_TIMEOUT, Row, in_sync, rest, tell};

fn shape(name: &str) -> Shape {
    let mut shape = Shape::new(name, 3);
    shape.disk_mib = Some(512);
    shape
}

#[test]
fn of_each_broker_in_turn() -> Result<()> {
    let mut row = Row::start(shape("power-one"))?;
    for id in 0..3 {
        row.cluster.cut_power(&[id])?;
        rest(2);
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(5), "")
}

#[test]
fn of_all_at_once() -> Result<()> {
    let mut row = Row::start(shape("power-all"))?;
    rest(3);
    row.cluster.cut_power(&[0, 1, 2])?;
    row.bring_back(&[0, 1, 2])?;
    rest(2);
    row.finish(Duration::from_secs(15), "")
}

/// What shows that the row above can lose something: Apache Kafka acknowledges what is in the page
/// cache.
#[test]
fn of_all_at_once_with_apache_kafka() -> Result<()> {
    let mut shape = shape("power-apache");
    shape.server = Server::Apache;
    // an idempotent producer would stop for good where its records are gone
    let mut row = Row::start_with(shape, &["--rate", "2000"])?;
    // what it wrote at its start has been on disk for long in any real cluster
    for id in 0..3 {
        row.cluster.broker(id).disk().sync()?;
    }
    rest(3);
    row.cluster.cut_power(&[0, 1, 2])?;
    for id in 0..3 {
        row.cluster.launch(id)?;
    }
    row.cluster.wait_ready()?;
    eventually(BACK_IN_SYNC_TIMEOUT, || in_sync(&row.cluster, "load"))?;
    rest(2);
    let verdict = row.load.finish(FINISH_TIMEOUT)?;
    tell(&verdict, "");
    ensure!(
        verdict.count("lost") > 0,
        "it lost nothing: this row cannot show a loss"
    );
    Ok(())
}

/// KIP-966: the leader is alone in the ISR when it loses power. Who was in sync before takes over
/// with all that is committed, and the leader comes back as a follower.
#[test]
fn of_the_last_replica_standing() -> Result<()> {
    let mut shape = shape("power-last");
    shape.has_network = true;
    let mut row = Row::start(shape)?;
    // 0 is cut from the others in one direction each: it hears nobody, so nothing is acknowledged
    row.cluster.network().cut_one_way(1, 0)?;
    row.cluster.network().cut_one_way(2, 0)?;
    rest(1);
    row.cluster.cut_power(&[0])?;
    row.cluster.network().heal()?;
    rest(3);
    row.bring_back(&[0])?;
    row.finish(Duration::from_secs(10), "")
}
