//! Brokers killed, paused and started again under a load that is acknowledged by all in-sync
//! replicas: nothing acknowledged is lost, and clients go on by themselves. Rows of the fault table
//! that need no root, so that every test run has them.

use std::time::Duration;

use anyhow::Result;
use ottla_e2e::cluster::Shape;
use rustix::process::Signal;

use crate::faults::{Row, rest};

#[test]
fn each_broker_killed_under_load() -> Result<()> {
    let mut row = Row::start(Shape::new("kill-each", 3))?;
    for id in 0..3 {
        row.cluster.kill(id);
        rest(2);
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(3), "")
}

#[test]
fn all_brokers_killed_at_once() -> Result<()> {
    let mut row = Row::start(Shape::new("kill-all", 3))?;
    row.cluster.kill_all();
    rest(2);
    row.bring_back(&[0, 1, 2])?;
    rest(2);
    row.finish(Duration::from_secs(15), "")
}

#[test]
fn a_broker_that_hangs_is_left_behind_and_comes_back() -> Result<()> {
    let mut row = Row::start(Shape::new("pause", 3))?;
    row.cluster.broker(1).process().signal(Signal::STOP);
    rest(6);
    row.cluster.broker(1).process().signal(Signal::CONT);
    row.await_in_sync()?;
    // what is on its way to it when it stops waits for it, or for the client's patience
    row.finish(Duration::from_secs(12), "")
}

#[test]
fn a_broker_stopped_by_sigterm_hands_over() -> Result<()> {
    let mut row = Row::start(Shape::new("stop", 3))?;
    row.cluster.stop(2)?;
    rest(2);
    row.bring_back(&[2])?;
    row.finish(Duration::from_secs(2), "")
}

/// A producer that sends each record once, and whose answers are errors where nobody forwards.
#[test]
fn a_roll_by_sigterm_shows_no_client_an_error() -> Result<()> {
    let flags = ["--no-retries", "--follow", "--rate", "1000"];
    let mut row = Row::start_with(Shape::new("roll", 3), &flags)?;
    for id in 0..3 {
        row.cluster.stop(id)?;
        rest(2);
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(2), "")
}
