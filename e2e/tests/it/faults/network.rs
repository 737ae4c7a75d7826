//! Links that are cut, lose packets or are narrow.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::cluster::{Network, Shape};

use super::{Row, rest};

/// How long a cut lasts: longer than replica.lag.time.max.ms.
const CUT_S: u64 = 13;

/// Until others lead what a broker led that lost its lease, and clients have found them.
const MOVED: Duration = Duration::from_secs(3);

fn start(name: &str) -> Result<Row> {
    let mut shape = Shape::new(name, 3);
    shape.has_network = true;
    Row::start(shape)
}

/// Cuts for a while, heals, and says how long it took until all was in sync.
fn cut(row: &Row, cut: impl FnOnce(&Network) -> Result<()>) -> Result<Duration> {
    cut(row.cluster.network())?;
    rest(CUT_S);
    row.cluster.network().heal()?;
    row.await_in_sync()
}

fn healed(took: Duration) -> Result<String> {
    ensure!(took <= Duration::from_secs(5), "healed after {took:?}");
    Ok(format!("healed in {} ms", took.as_millis()))
}

#[test]
fn a_broker_is_cut_off_from_the_others() -> Result<()> {
    let row = start("cut-off")?;
    let took = cut(&row, |network| {
        network.cut(0, 1)?;
        network.cut(0, 2)
    })?;
    row.finish(MOVED, &healed(took)?)
}

#[test]
fn two_brokers_are_cut_off_from_each_other() -> Result<()> {
    let row = start("cut-pair")?;
    let took = cut(&row, |network| network.cut(0, 1))?;
    // both have their leases; the follower leaves the ISR after replica.lag.time.max.ms
    row.finish(Duration::from_secs(12), &healed(took)?)
}

#[test]
fn a_broker_hears_the_others_no_more() -> Result<()> {
    let row = start("cut-deaf")?;
    let took = cut(&row, |network| {
        network.cut_one_way(1, 0)?;
        network.cut_one_way(2, 0)
    })?;
    row.finish(MOVED, &healed(took)?)
}

#[test]
fn the_others_hear_a_broker_no_more() -> Result<()> {
    let row = start("cut-mute")?;
    let took = cut(&row, |network| {
        network.cut_one_way(0, 1)?;
        network.cut_one_way(0, 2)
    })?;
    row.finish(MOVED, &healed(took)?)
}

#[test]
fn each_hears_one_neighbour_only() -> Result<()> {
    let row = start("cut-ring")?;
    let took = cut(&row, |network| {
        network.cut_one_way(0, 1)?;
        network.cut_one_way(1, 2)?;
        network.cut_one_way(2, 0)
    })?;
    // nobody has a majority: TCP itself needs both ways. What counts is that all goes on
    row.finish(Duration::from_secs(CUT_S + 10), &healed(took)?)
}

#[test]
fn a_broker_is_cut_off_from_clients() -> Result<()> {
    let row = start("cut-clients")?;
    let took = cut(&row, |network| network.cut_clients(0))?;
    // it leads on: it does not know that clients miss it
    row.finish(Duration::from_secs(CUT_S + 10), &healed(took)?)
}

#[test]
fn one_packet_in_a_hundred_is_lost() -> Result<()> {
    lossy("loss-1", 1, Duration::from_secs(5))
}

#[test]
fn five_packets_in_a_hundred_are_lost() -> Result<()> {
    lossy("loss-5", 5, Duration::from_secs(10))
}

#[test]
fn twenty_packets_in_a_hundred_are_lost() -> Result<()> {
    lossy("loss-20", 20, Duration::from_secs(30))
}

fn lossy(name: &str, percent: u32, pause_max: Duration) -> Result<()> {
    let row = start(name)?;
    row.cluster.network().lose(percent)?;
    rest(15);
    row.cluster.network().heal()?;
    row.await_in_sync()?;
    row.finish(pause_max, "")
}

#[test]
fn links_are_narrow_and_slow() -> Result<()> {
    let row = start("narrow")?;
    row.cluster.network().narrow(8)?;
    rest(15);
    row.cluster.network().heal()?;
    row.await_in_sync()?;
    row.finish(Duration::from_secs(5), "")
}
