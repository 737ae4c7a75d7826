//! A broker whose data cannot be used gets an empty folder by an annotation.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::Load;
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use rustix::process::Signal;
use serde_json::Value;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, pid, signal, topic, wait_partitions};

/// How long a broker may take until it has copied what it is to hold.
const COPY_TIMEOUT: Duration = Duration::from_secs(60);

fn phase(local: &Local) -> Result<String> {
    let path = local.broker_dir("status").join("kafkacluster-c.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let object: Value = serde_yaml::from_str(&text)?;
    let phase = object["status"]["replacement"]["phase"].as_str();
    Ok(phase.unwrap_or_default().to_owned())
}

/// The id of a broker's data.
fn identity(local: &Local, ordinal: u16) -> Result<String> {
    let path = local.broker_dir(&format!("c-{ordinal}"));
    let text = std::fs::read_to_string(path.join("meta.properties"))?;
    let mut lines = text.lines();
    let id = lines.find(|line| line.starts_with("directory.id="));
    Ok(id.context("the data have an id")?.to_owned())
}

#[test]
fn a_broker_gets_an_empty_folder_and_copies_all_of_it() -> Result<()> {
    let ground = Ground::new("replaced");
    let cluster = ground.cluster(3, "");
    let asking = |broker: &str| {
        let metadata = format!("metadata: {{ name: c, annotations: {{ {broker} }} }}");
        cluster.replace("metadata: { name: c }", &metadata)
    };
    let mut local = ground.start(&[
        ("cluster.yaml", &cluster),
        ("kept.yaml", &topic("kept", 6, "")),
        ("load.yaml", &topic("load", 6, "")),
    ])?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "kept", 6)?;
    wait_partitions(&servers, "load", 6)?;
    let records: String = (0..1000).map(|n| format!("{n}\n")).collect();
    kcat(&servers, &["-P", "-t", "kept", "-X", "acks=all"], &records)?.success()?;

    // One that serves, beside a producer that sends each record once.
    let first = identity(&local, 1)?;
    let flags = ["--no-retries", "--follow", "--rate", "200"];
    let load = Load::start(&servers, "load", &flags)?;
    local.write("cluster.yaml", &asking("ottla.io/replace-broker: '1'"))?;
    eventually(COPY_TIMEOUT, || {
        let phase = phase(&local)?;
        ensure!(phase == "Replaced", "{phase}");
        Ok(())
    })?;
    let verdict = load.finish(COPY_TIMEOUT)?;
    verdict.assert_nothing_lost();
    ensure!(identity(&local, 1)? != first, "it has its data still");

    // One that cannot start on its data, as after a disk has gone bad.
    let second = identity(&local, 2)?;
    let meta = local.broker_dir("c-2").join("meta.properties");
    let text = std::fs::read_to_string(&meta)?;
    let damaged = text.replace("node.id=2", "node.id=7");
    ensure!(damaged != text, "{text}");
    std::fs::write(&meta, damaged)?;
    signal(pid(&local, 2)?, Signal::KILL)?;
    local.wait_line(&["broker 2", "belongs to node 7"], CHANGE_TIMEOUT)?;
    local.write("cluster.yaml", &asking("ottla.io/replace-broker: '2'"))?;
    eventually(COPY_TIMEOUT, || {
        let phase = phase(&local)?;
        ensure!(
            phase == "Replaced" && identity(&local, 2)? != second,
            "{phase}"
        );
        Ok(())
    })?;

    // One whose folder does not even say whose it is.
    let meta = local.broker_dir("c-1").join("meta.properties");
    std::fs::write(&meta, "\u{0}\u{0}\u{0}")?;
    signal(pid(&local, 1)?, Signal::KILL)?;
    local.wait_line(&["broker 1", "meta.properties"], CHANGE_TIMEOUT)?;
    local.write("cluster.yaml", &asking("ottla.io/replace-broker: '1'"))?;
    eventually(COPY_TIMEOUT, || {
        identity(&local, 1)?;
        let phase = phase(&local)?;
        ensure!(phase == "Replaced", "{phase}");
        Ok(())
    })?;

    // What the others have is enough, and so is what these two have copied: the one that has all
    // from the start answers nobody meanwhile.
    let whole = pid(&local, 0)?;
    signal(whole, Signal::STOP)?;
    eventually(CHANGE_TIMEOUT, || {
        let read = kcat(&servers, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
        let known: BTreeSet<&str> = read.stdout.lines().collect();
        let lacking = (0..1000).find(|n| !known.contains(n.to_string().as_str()));
        ensure!(lacking.is_none(), "{lacking:?} is gone");
        Ok(())
    })?;
    signal(whole, Signal::CONT)?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
