//! The metadata quorum: its leader killed, a voter without its disk.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::{Cluster, Shape, eventually};

use super::{Row, rest};

/// The active controller, as a broker knows it.
fn controller(cluster: &mut Cluster, asked: u16) -> Result<u16> {
    let servers = cluster.broker(asked).address();
    let listed = kcat(&servers, &["-L", "-t", "load"], "")?.success()?;
    let line = listed
        .stdout
        .lines()
        .find(|line| line.contains("(controller)"));
    let line = line.context("nobody is the controller")?;
    let id = line.trim().strip_prefix("broker ").context("a broker")?;
    let id = id.split(' ').next().context("an id")?;
    Ok(id.parse()?)
}

#[test]
fn its_leader_is_killed_three_times() -> Result<()> {
    let mut row = Row::start(Shape::new("quorum-leader", 3))?;
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let leader = controller(&mut row.cluster, 0)?;
        let other = (leader + 1) % 3;
        row.cluster.kill(leader);
        let began = Instant::now();
        eventually(Duration::from_secs(10), || {
            let now = controller(&mut row.cluster, other)?;
            ensure!(now != leader, "{leader} is named still");
            Ok(())
        })?;
        longest = longest.max(began.elapsed());
        rest(1);
        row.bring_back(&[leader])?;
    }
    let more = format!("another within {} ms", longest.as_millis());
    ensure!(longest <= Duration::from_secs(1), "{more}");
    row.finish(Duration::from_secs(3), &more)
}

#[test]
fn each_voter_in_turn_loses_its_disk() -> Result<()> {
    let mut shape = Shape::new("quorum-wiped", 3);
    shape.disk_mib = Some(512);
    let mut row = Row::start(shape)?;
    for id in 0..3 {
        row.cluster.kill(id);
        row.cluster.broker(id).disk().renew(512)?;
        row.bring_back(&[id])?;
    }
    row.finish(Duration::from_secs(5), "")
}

/// They tell that they wait for one of their disks, do nothing without, and go on with it.
#[test]
fn two_of_three_voters_lose_their_disks() -> Result<()> {
    let mut shape = Shape::new("quorum-lost", 3);
    shape.disk_mib = Some(512);
    let mut row = Row::start(shape)?;
    for id in [1, 2] {
        row.cluster.kill(id);
    }
    row.cluster.broker(1).disk().sync()?;
    let kept = row.cluster.broker(1).disk().keep()?;
    for id in [1, 2] {
        row.cluster.broker(id).disk().renew(512)?;
        row.cluster.launch(id)?;
    }
    for id in [1, 2] {
        eventually(Duration::from_secs(20), || tells_the_loss(&mut row, id))?;
    }
    let servers = row.cluster.broker(0).address();
    let created = kcat(&servers, &["-P", "-t", "meanwhile", "-X", UNCREATED], "x")?;
    ensure!(created.success().is_err(), "a controller has made a topic");
    for id in [1, 2] {
        tells_the_loss(&mut row, id)?;
    }
    row.cluster.kill(1);
    row.cluster.broker(1).disk().replace(kept)?;
    let began = Instant::now();
    row.bring_back(&[1])?;
    let more = format!("whole {} ms after that", began.elapsed().as_millis());
    row.finish(Duration::from_secs(60), &more)
}

/// A record for a topic that is to be created is given up after some seconds.
const UNCREATED: &str = "message.timeout.ms=5000";

fn tells_the_loss(row: &mut Row, id: u16) -> Result<()> {
    let answer = row.cluster.broker(id).get("/readyz")?;
    let told = "2 of 3 voters of the metadata quorum have lost their metadata";
    ensure!(answer.contains(told), "broker {id}: {answer}");
    Ok(())
}
