//! Manifests changed while the brokers run.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::{broker_count, kcat};
use ottla_e2e::client::load::Load;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::eventually;

use super::{CHANGE_TIMEOUT, Ground, pid, signal, topic, wait_partitions};
use rustix::process::Signal;

#[test]
fn topics_follow_their_yaml() -> Result<()> {
    let ground = Ground::new("topics-follow");
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    local.wait_ready()?;
    let bootstrap = ground.bootstrap();

    local.write("events.yaml", &topic("events", 3, ""))?;
    wait_partitions(&bootstrap, "events", 3)?;
    local.write(
        "events.yaml",
        &topic("events", 5, "  config: { retention.ms: \"3600000\" }\n"),
    )?;
    wait_partitions(&bootstrap, "events", 5)?;
    let describe = ["--describe", "--topic", "events"];
    eventually(CHANGE_TIMEOUT, || {
        let described = Tool::at("TopicCommand", &bootstrap).args(&describe).run()?;
        described.line_with(&["retention.ms=3600000"])?;
        Ok(())
    })?;

    // a key taken out of the spec goes back to its default
    local.write("events.yaml", &topic("events", 5, ""))?;
    eventually(CHANGE_TIMEOUT, || {
        let described = Tool::at("TopicCommand", &bootstrap).args(&describe).run()?;
        ensure!(
            !described.stdout.contains("retention.ms"),
            "{}",
            described.stdout
        );
        Ok(())
    })?;

    local.write("kept.yaml", &topic("kept", 1, "  deletionPolicy: Retain\n"))?;
    wait_partitions(&bootstrap, "kept", 1)?;
    local.remove("kept.yaml")?;
    local.remove("events.yaml")?;
    eventually(CHANGE_TIMEOUT, || {
        let listed = kcat(&bootstrap, &["-L"], "")?.success()?;
        ensure!(
            !listed.stdout.contains("\"events\""),
            "events is still there"
        );
        ensure!(listed.stdout.contains("\"kept\""), "kept is retained");
        Ok(())
    })?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_broker_is_added() -> Result<()> {
    let ground = Ground::new("add-broker");
    let controllers = "  controllers: 3\n";
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, controllers))])?;
    local.wait_ready()?;
    let before = pid(&local, 0)?;
    local.write("cluster.yaml", &ground.cluster(4, controllers))?;
    eventually(CHANGE_TIMEOUT, || {
        ensure!(
            broker_count(&ground.bootstrap()) == Some(4),
            "four brokers are not there yet"
        );
        Ok(())
    })?;
    ensure!(
        pid(&local, 0)? == before,
        "the other brokers are left alone"
    );
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_static_setting_rolls_through_the_brokers_under_load() -> Result<()> {
    let ground = Ground::new("roll");
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("load.yaml", &*topic("load", 3, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "load", 3)?;
    let before = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    let load = Load::start(&servers, "load", &["--idempotent", "--rate", "1000"])?;
    let changed = ground.cluster(3, "  config: { num.network.threads: \"3\" }\n");
    local.write("cluster.yaml", &changed)?;
    eventually(Duration::from_secs(60), || {
        for (ordinal, old) in (0..).zip(before) {
            ensure!(
                pid(&local, ordinal)? != old,
                "broker {ordinal} is not restarted yet"
            );
        }
        ensure!(
            broker_count(&servers) == Some(3),
            "not all brokers are back"
        );
        Ok(())
    })?;
    wait_partitions(&servers, "load", 3)?;
    let verdict = load.finish(Duration::from_secs(120))?;
    println!("rolling restart: {}", verdict.json);
    verdict.assert_nothing_lost();
    ensure!(verdict.count("failed") == 0, "{}", verdict.json);
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_dynamic_setting_restarts_nobody() -> Result<()> {
    let ground = Ground::new("dynamic");
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    local.wait_ready()?;
    let before = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    let changed = ground.cluster(3, "  config: { log.retention.ms: \"777000\" }\n");
    local.write("cluster.yaml", &changed)?;
    let describe = ["--describe", "--entity-type", "brokers", "--entity-default"];
    eventually(CHANGE_TIMEOUT, || {
        let config = Tool::at("kafka.admin.ConfigCommand", &ground.bootstrap());
        config
            .args(&describe)
            .run()?
            .line_with(&["log.retention.ms=777000"])?;
        Ok(())
    })?;
    let after = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    ensure!(before == after, "a dynamic setting needs no restart");
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_broker_that_dies_is_started_again() -> Result<()> {
    let ground = Ground::new("dies");
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    let (_, servers) = local.wait_ready()?;
    let old = pid(&local, 1)?;
    signal(old, Signal::KILL)?;
    eventually(CHANGE_TIMEOUT, || {
        ensure!(pid(&local, 1)? != old, "not started again yet");
        ensure!(
            broker_count(&servers) == Some(3),
            "not registered again yet"
        );
        Ok(())
    })?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}
