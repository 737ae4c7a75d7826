//! Controllers that are no brokers: what they survive, what clients ask them, and that brokers
//! beside them come and go without a word in the metadata quorum.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape, eventually};

use crate::faults::{Row, rest};

const CONTROLLERS: std::ops::Range<u16> = 3..6;

/// How long the quorum may take to have another active controller, on a machine with other work.
const FAILOVER_MAX: Duration = Duration::from_secs(30);

/// The controller that says of itself that it is active.
fn active(cluster: &mut Cluster) -> Result<u16> {
    let mut active = CONTROLLERS.filter(|id| {
        let metrics = cluster.broker(*id).get("/metrics");
        metrics.is_ok_and(|page| page.contains("\nottla_active_controller 1"))
    });
    active.next().context("no controller is active")
}

fn is_ready(cluster: &mut Cluster, id: u16) -> Result<()> {
    let answer = cluster.broker(id).get("/readyz")?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{id}: {answer}");
    Ok(())
}

#[test]
fn the_active_controller_is_killed_and_brokers_go_on() -> Result<()> {
    let mut row = Row::start(Shape::new("controllers-active", 3).controllers(3))?;
    for _ in 0..2 {
        let killed = active(&mut row.cluster)?;
        row.cluster.kill(killed);
        eventually(FAILOVER_MAX, || {
            let now = active(&mut row.cluster)?;
            ensure!(now != killed, "{killed} is gone");
            Ok(())
        })?;
        row.cluster.launch(killed)?;
        eventually(FAILOVER_MAX, || is_ready(&mut row.cluster, killed))?;
    }
    // none of the partitions has a leader there, and nobody is asked for a new one
    row.finish(Duration::from_secs(12), "")
}

/// Were brokers the voters, nobody could lead on when two of three are gone.
#[test]
fn two_of_three_brokers_are_killed_and_the_third_leads_on() -> Result<()> {
    let shape = Shape::new("controllers-brokers", 3).controllers(3);
    let mut row = Row::start(shape.with("min.insync.replicas", "1"))?;
    row.cluster.kill(0);
    rest(4);
    row.cluster.kill(1);
    rest(4);
    for id in CONTROLLERS {
        is_ready(&mut row.cluster, id)?;
    }
    row.bring_back(&[0, 1])?;
    row.finish(Duration::from_secs(12), "")
}

#[test]
fn clients_ask_controllers_what_controllers_answer() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new("controllers-asked", 3).controllers(3))?;
    for id in CONTROLLERS {
        eventually(FAILOVER_MAX, || is_ready(&mut cluster, id))?;
    }
    let (brokers, controllers) = (cluster.bootstrap(), cluster.bootstrap_controllers());
    let asked = ["--bootstrap-controller", &controllers];

    let endpoints = Tool::new("ClusterTool").line("list-endpoints").args(&asked);
    let endpoints = endpoints.run()?;
    for (id, address) in CONTROLLERS.zip(controllers.split(',')) {
        let port = address.rsplit(':').next().context("a port")?;
        endpoints.line_with(&[&id.to_string(), "127.0.0.1", port, "controller"])?;
    }
    let quorum = Tool::new("MetadataQuorumCommand").args(&asked);
    let quorum = quorum.line("describe --replication").run()?;
    let count = |role: &str| {
        quorum
            .stdout
            .lines()
            .filter(|line| line.contains(role))
            .count()
    };
    ensure!(
        (count("Leader"), count("Follower"), count("Observer")) == (1, 2, 3),
        "{}",
        quorum.stdout
    );
    // what was set by way of a controller, brokers know
    let set = Tool::new("kafka.admin.ConfigCommand").args(&asked);
    set.line("--alter --entity-type brokers --entity-default --add-config max.connections=4711")
        .run()?;
    let told = Tool::at("kafka.admin.ConfigCommand", &brokers);
    let told = told
        .line("--describe --entity-type brokers --entity-default")
        .run()?;
    told.line_with(&["max.connections=4711"])?;

    let mistaken = Tool::new("ClusterTool").line("list-endpoints --bootstrap-controller");
    let mistaken = mistaken.args(&[&brokers]).output()?;
    let words = mistaken.stdout + &mistaken.stderr;
    ensure!(words.contains("endpoint of type BROKER"), "{words}");
    Ok(())
}
