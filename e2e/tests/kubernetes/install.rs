//! From nothing to records: helm install, kubectl apply, clients inside and outside.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::kubernetes::{Pod, apply, get, node_of, path, ready, wait};

use crate::figures::within;
use crate::shop::{
    BOOTSTRAP, CLUSTER, NAMESPACE, TIMEOUT, broker, install, manifest, namespace, outside, topic,
    up, wait_ready,
};

pub fn ready_after_helm_install() -> Result<()> {
    let begun = Instant::now();
    println!("{}", install()?.trim());
    within(
        "helm install until the operator runs",
        20.0,
        begun.elapsed(),
    )?;
    namespace(NAMESPACE)?;
    let begun = Instant::now();
    apply(NAMESPACE, &(manifest("") + &topic("first", 6, "")))?;
    wait_ready()?;
    within(
        "kubectl apply until the cluster is Ready",
        30.0,
        begun.elapsed(),
    )?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "first"))?;
    within(
        "kubectl apply until its topic is Ready",
        30.0,
        begun.elapsed(),
    )?;
    let cluster = get(&path("kafkaclusters", NAMESPACE, CLUSTER))?;
    let status = &cluster["status"];
    ensure!(status["brokersReady"] == "3/3", "{status}");
    ensure!(status["bootstrapServers"] == BOOTSTRAP, "{status}");
    ensure!(status["clusterId"].is_string(), "no cluster id: {status}");
    let outside = status["listeners"]["outside"].as_str().unwrap_or_default();
    ensure!(!outside.contains('<'), "not an address: {outside}");
    Ok(())
}

pub fn clients_inside_and_outside() -> Result<()> {
    let pod = up()?;
    apply(NAMESPACE, &topic("first", 6, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "first"))?;
    let records: String = (0..1000).map(|n| format!("inside-{n}\n")).collect();
    pod.kcat(
        &["-b", BOOTSTRAP, "-P", "-t", "first", "-X", "acks=all"],
        &records,
    )?;
    ensure!(count(&pod)? >= 1000, "a pod does not read what it wrote");
    let bootstrap = outside()?;
    let records: String = (0..1000).map(|n| format!("outside-{n}\n")).collect();
    kcat(
        &bootstrap,
        &["-P", "-t", "first", "-X", "acks=all"],
        &records,
    )?
    .success()?;
    let read = kcat(&bootstrap, &["-C", "-t", "first", "-e", "-q"], "")?.success()?;
    for prefix in ["inside-", "outside-"] {
        let distinct: BTreeSet<&str> = read
            .stdout
            .lines()
            .filter(|line| line.starts_with(prefix))
            .collect();
        ensure!(distinct.len() == 1000, "{} {prefix}", distinct.len());
    }
    Ok(())
}

fn count(pod: &Pod) -> Result<usize> {
    let read = pod.kcat(&["-b", BOOTSTRAP, "-C", "-t", "first", "-e", "-q"], "")?;
    Ok(read.stdout.lines().count())
}

pub fn spread_over_zones() -> Result<()> {
    up()?;
    let mut zones = BTreeSet::new();
    for ordinal in 0..3 {
        let node = node_of(NAMESPACE, &broker(ordinal))?;
        let node = get(&path("nodes", "", &node))?;
        let zone = node["metadata"]["labels"]["topology.kubernetes.io/zone"].as_str();
        zones.insert(zone.unwrap_or_default().to_owned());
    }
    ensure!(zones.len() == 3, "brokers run in {zones:?}");
    let bootstrap = outside()?;
    let told = Tool::at("BrokerApiVersionsCommand", &bootstrap).run()?;
    for zone in &zones {
        let words = format!("rack: {zone} ");
        ensure!(told.stdout.contains(&words), "no broker says {words}");
    }
    apply(NAMESPACE, &topic("spread", 12, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "spread"))?;
    let listed = kcat(&bootstrap, &["-L", "-t", "spread"], "")?.success()?;
    for ordinal in 0..3 {
        let leads = format!(", leader {ordinal},");
        let led = listed.stdout.lines().filter(|line| line.contains(&leads));
        let led = led.count();
        ensure!(
            (3..=5).contains(&led),
            "broker {ordinal} leads {led} of 12 partitions"
        );
    }
    Ok(())
}
