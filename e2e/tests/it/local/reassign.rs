//! Replicas that move while the topic is used.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::client::kcat::{broker_count, kcat};
use ottla_e2e::client::load::Load;
use ottla_e2e::cluster::eventually;
use rustix::process::Signal;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, pid, signal, topic, wait_partitions};

/// How long a copy may take that is held to a rate.
const COPY_TIMEOUT: Duration = Duration::from_secs(90);

fn of(replicas: u32) -> String {
    let wanted = format!("replicationFactor: {replicas}");
    topic("load", 3, "").replace("replicationFactor: 3", &wanted)
}

/// A cluster whose brokers copy so many bytes a second.
fn cluster(ground: &Ground, rate: u32) -> String {
    let rate = format!("  config: {{ follower.replication.throttled.rate: \"{rate}\" }}\n");
    ground.cluster(3, &rate)
}

/// Waits until each partition has so many replicas, all in sync.
fn wait_replicas(servers: &str, count: usize, timeout: Duration) -> Result<()> {
    eventually(timeout, || {
        let listed = kcat(servers, &["-L", "-t", "load"], "").and_then(Output::success)?;
        let partitions = listed
            .stdout
            .lines()
            .filter(|line| line.contains(", leader "));
        for line in partitions {
            let members = |word: &str| {
                let after = line.split(word).nth(1).unwrap_or_default();
                let list = after.split(' ').next().unwrap_or_default();
                list.split(',').filter(|id| !id.is_empty()).count()
            };
            let found = (members("replicas: "), members("isrs: "));
            ensure!(found == (count, count), "{line}");
        }
        Ok(())
    })
}

#[test]
fn a_replication_factor_changes_under_load_whoever_dies_meanwhile() -> Result<()> {
    let ground = Ground::new("factor");
    let manifests = [
        ("cluster.yaml", &*cluster(&ground, 1_500_000)),
        ("load.yaml", &*of(1)),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "load", 3)?;
    let load = ["--idempotent", "--rate", "1000", "--bytes", "1000"];
    let load = Load::start(&servers, "load", &load)?;
    std::thread::sleep(Duration::from_secs(8));

    local.write("load.yaml", &of(3))?;
    let begins = ["KafkaTopic load", "replicas of 3 partitions begin to move"];
    local.wait_line(&begins, CHANGE_TIMEOUT)?;
    let told = ["so that each partition has 3 replicas", "MiB left"];
    println!("{}", local.wait_line(&told, CHANGE_TIMEOUT)?);
    signal(pid(&local, 1)?, Signal::KILL)?;
    local.process().kill();
    let manifests = [
        ("cluster.yaml", &*cluster(&ground, 1_500_000)),
        ("load.yaml", &*of(3)),
    ];
    local = ground.start(&manifests)?;
    local.wait_ready()?;
    println!("{}", local.wait_line(&told, CHANGE_TIMEOUT)?);
    wait_replicas(&servers, 3, COPY_TIMEOUT)?;

    local.write("load.yaml", &of(2))?;
    wait_replicas(&servers, 2, CHANGE_TIMEOUT)?;

    // so slow that it would take hours: what is not done is cancelled
    local.write("cluster.yaml", &cluster(&ground, 1000))?;
    local.wait_line(
        &["throttled.rate changed without a restart"],
        CHANGE_TIMEOUT,
    )?;
    local.write("load.yaml", &of(3))?;
    std::thread::sleep(Duration::from_secs(5));
    local.write("load.yaml", &of(2))?;
    local.wait_line(&["is cancelled"], CHANGE_TIMEOUT)?;
    wait_replicas(&servers, 2, CHANGE_TIMEOUT)?;

    let verdict = load.finish(Duration::from_secs(120))?;
    println!("replication factor 1, 3, 2 under load: {}", verdict.json);
    verdict.assert_nothing_lost();
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_broker_hands_its_replicas_over_before_it_goes() -> Result<()> {
    let ground = Ground::new("scale");
    let of = |brokers: u16| ground.cluster(brokers, "  controllers: 3\n");
    let manifests = [
        ("cluster.yaml", &*of(5)),
        ("load.yaml", &*topic("load", 9, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "load", 9)?;
    let load = Load::start(&servers, "load", &["--idempotent", "--rate", "1000"])?;
    std::thread::sleep(Duration::from_secs(3));

    local.write("cluster.yaml", &of(3))?;
    for broker in [3, 4] {
        let removed = format!("broker {broker} holds nothing any more and is removed");
        local.wait_line(&[&removed], COPY_TIMEOUT)?;
    }
    wait_replicas(&servers, 3, CHANGE_TIMEOUT)?;
    eventually(CHANGE_TIMEOUT, || {
        ensure!(
            pid(&local, 3).is_err() && pid(&local, 4).is_err(),
            "still there"
        );
        let brokers = broker_count(&servers);
        ensure!(brokers == Some(3), "{brokers:?} brokers");
        Ok(())
    })?;
    local.write("cluster.yaml", &of(4))?;
    eventually(CHANGE_TIMEOUT, || {
        let brokers = broker_count(&servers);
        ensure!(brokers == Some(4), "{brokers:?} brokers");
        Ok(())
    })?;

    let verdict = load.finish(Duration::from_secs(120))?;
    println!("five brokers, then three, under load: {}", verdict.json);
    verdict.assert_nothing_lost();
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn brokers_that_vote_go_down_to_one_and_come_back() -> Result<()> {
    let ground = Ground::new("voters");
    let of_cluster = |brokers: u16, voters: &str| ground.cluster(brokers, voters);
    let manifests = [
        ("cluster.yaml", &*of_cluster(5, "  controllers: 5\n")),
        ("load.yaml", &*of(3)),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "load", 3)?;
    let load = Load::start(&servers, "load", &["--idempotent", "--rate", "1000"])?;
    std::thread::sleep(Duration::from_secs(2));

    local.write("cluster.yaml", &of_cluster(3, ""))?;
    wait_brokers(&servers, 3)?;
    local.wait_line(&["broker 3 votes no more"], CHANGE_TIMEOUT)?;

    local.write("load.yaml", &of(1))?;
    local.write("cluster.yaml", &of_cluster(1, ""))?;
    wait_brokers(&ground.bootstrap(), 1)?;
    local.wait_line(&["broker 1 votes no more"], CHANGE_TIMEOUT)?;
    wait_replicas(&ground.bootstrap(), 1, CHANGE_TIMEOUT)?;

    local.write("cluster.yaml", &of_cluster(3, ""))?;
    local.wait_line(&["broker 2 votes"], COPY_TIMEOUT)?;
    local.write("load.yaml", &of(3))?;
    wait_brokers(&servers, 3)?;
    wait_replicas(&servers, 3, CHANGE_TIMEOUT)?;

    let verdict = load.finish(Duration::from_secs(120))?;
    println!(
        "five voters, then one, then three, under load: {}",
        verdict.json
    );
    verdict.assert_nothing_lost();
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    // Those that vote since can do without the one that always has.
    let second = format!("127.0.0.1:{}", ground.port + 1);
    signal(pid(&local, 0)?, Signal::STOP)?;
    eventually(CHANGE_TIMEOUT, || {
        let listed = kcat(&second, &["-L", "-t", "load"], "").and_then(Output::success)?;
        let active = listed.line_with(&["(controller)"])?;
        ensure!(!active.contains("broker 0 "), "{active}");
        Ok(())
    })?;
    signal(pid(&local, 0)?, Signal::CONT)?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

fn wait_brokers(servers: &str, count: usize) -> Result<()> {
    eventually(COPY_TIMEOUT, || {
        let brokers = broker_count(servers);
        ensure!(brokers == Some(count), "{brokers:?} brokers");
        Ok(())
    })
}
