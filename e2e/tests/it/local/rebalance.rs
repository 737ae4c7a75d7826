//! Replicas that a plan spreads anew while topics are used.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::Load;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use serde_json::Value;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT};

/// How long a copy may take that is held to a rate.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);
/// A rate at which nothing would be done within this test, and one at which it takes seconds.
const RATES: [u64; 2] = [1_000, 1_500_000];
/// What each partition holds before.
const RECORDS: usize = 5_000;
const RECORD_BYTES: usize = 1_000;

fn rebalance(rate: u64, annotations: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaRebalance\nmetadata: {{ name: even, \
         annotations: {{ {annotations} }} }}\nspec:\n  clusterRef: {{ name: c }}\n  goals: [Bytes, \
         Leaders]\n  throttle: {rate}\n"
    )
}

fn status(local: &Local) -> Result<Value> {
    let path = local.broker_dir("status").join("kafkarebalance-even.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let object: Value = serde_yaml::from_str(&text)?;
    Ok(object["status"].clone())
}

/// Waits until it is in this state and says what `is_so` wants.
fn wait(local: &Local, state: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(COPY_TIMEOUT, || {
        let status = status(local)?;
        ensure!(status["state"] == state && is_so(&status), "{status:#}");
        Ok(status)
    })
}

/// The replicas of all partitions of a topic, as kcat lists them.
fn replicas(servers: &str, topic: &str) -> Result<Vec<Vec<u32>>> {
    let listed = kcat(servers, &["-L", "-t", topic], "").and_then(Output::success)?;
    let partitions = listed.stdout.lines();
    let lists = partitions.filter_map(|line| line.split("replicas: ").nth(1));
    let lists = lists.map(|rest| {
        let list = rest.split(", isrs").next().unwrap_or_default();
        list.split(',').filter_map(|id| id.parse().ok()).collect()
    });
    Ok(lists.collect())
}

/// Two of three brokers hold everything: what is large, and what is in use.
fn skew(servers: &str) -> Result<()> {
    for (topic, partitions) in [("ballast", 4), ("load", 6)] {
        let assignment = vec!["0:1"; partitions].join(",");
        Tool::at("TopicCommand", servers)
            .args(&["--create", "--topic", topic])
            .args(&["--replica-assignment", &assignment])
            .run()?;
    }
    let record = "x".repeat(RECORD_BYTES) + "\n";
    for partition in ["0", "1", "2", "3"] {
        let produce = ["-P", "-t", "ballast", "-p", partition, "-X", "acks=all"];
        kcat(servers, &produce, &record.repeat(RECORDS))?.success()?;
    }
    Ok(())
}

/// One that is so slow that it would take hours is stopped in the middle.
fn stopped_in_the_middle(local: &mut Local, servers: &str) -> Result<()> {
    let before = replicas(servers, "ballast")?;
    local.write("even.yaml", &rebalance(RATES[0], ""))?;
    let plan = wait(local, "ProposalReady", |_| true)?["plan"].clone();
    println!("the plan: {plan}");
    ensure!(replicas(servers, "ballast")? == before, "without consent");
    let hash = plan["hash"].as_str().context("a hash")?;
    let approved = format!("ottla.io/approve-plan: {hash}");
    local.write("even.yaml", &rebalance(RATES[0], &approved))?;
    let moves = |status: &Value| status["progress"]["bytesLeft"].as_u64() > Some(0);
    wait(local, "Rebalancing", moves)?;
    eventually(CHANGE_TIMEOUT, || {
        let moving = replicas(servers, "ballast")?;
        ensure!(moving.iter().any(|ids| ids.len() == 3), "{moving:?}");
        Ok(())
    })?;
    let stop = format!("{approved}, ottla.io/rebalance: stop");
    local.write("even.yaml", &rebalance(RATES[0], &stop))?;
    wait(local, "Stopped", |_| true)?;
    eventually(CHANGE_TIMEOUT, || {
        let after = replicas(servers, "ballast")?;
        // Preferred leaders that had changed by then stay as they are.
        let is_cancelled = |ids: &Vec<u32>| ids.len() == 2 && !ids.contains(&2);
        ensure!(after.iter().all(is_cancelled), "{after:?}");
        Ok(())
    })
}

/// A plan is carried out, also by the next operator, no faster than it says.
fn carried_out(local: &mut Local, ground: &Ground, servers: &str) -> Result<()> {
    let refresh = "ottla.io/rebalance: refresh";
    local.write("even.yaml", &rebalance(RATES[1], refresh))?;
    let plan = wait(local, "ProposalReady", |_| true)?["plan"].clone();
    let bytes = plan["bytes"].as_u64().context("bytes")?;
    let least = (2 * RECORDS * RECORD_BYTES) as u64;
    ensure!(bytes >= least, "{plan:#}");
    let hash = plan["hash"].as_str().context("a hash")?;
    let approved = format!("{refresh}, ottla.io/approve-plan: {hash}");
    let begun = Instant::now();
    local.write("even.yaml", &rebalance(RATES[1], &approved))?;
    wait(local, "Rebalancing", |status| !status["progress"].is_null())?;
    local.process().kill();
    *local = Local::start_on(&ground.dir, &ground.dir.join("manifests"))?;
    let done = wait(local, "Ready", |_| true)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{bytes} bytes copied within {seconds:.1} s: {done}");
    // All of it goes to one broker. At once, it would take a fraction of a second.
    let least = least as f64 / RATES[1] as f64 / 2.0;
    ensure!(seconds >= least, "{seconds} s, not even {least} s");
    let held = replicas(servers, "ballast")?;
    let third = held.iter().filter(|ids| ids.contains(&2)).count();
    ensure!(third >= 2, "{held:?}");
    ensure!(held.iter().all(|ids| ids.len() == 2), "{held:?}");
    Ok(())
}

#[test]
fn a_plan_spreads_replicas_under_load_and_can_be_stopped() -> Result<()> {
    let ground = Ground::new("rebalance");
    let mut local = ground.start(&[("cluster.yaml", &*ground.cluster(3, ""))])?;
    let (_, servers) = local.wait_ready()?;
    skew(&servers)?;
    let flags = ["--idempotent", "--follow", "--rate", "300"];
    let load = Load::start(&servers, "load", &flags)?;

    stopped_in_the_middle(&mut local, &servers)?;
    carried_out(&mut local, &ground, &servers)?;
    let configs = Tool::at("kafka.admin.ConfigCommand", &servers)
        .args(&["--describe", "--entity-type", "brokers"])
        .run()?;
    let throttle = "follower.replication.throttled.rate";
    ensure!(!configs.stdout.contains(throttle), "{}", configs.stdout);

    let verdict = load.finish(Duration::from_secs(120))?;
    println!("a rebalance under load: {}", verdict.json);
    verdict.assert_nothing_lost();
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
