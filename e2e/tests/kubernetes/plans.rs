//! Changes that wait for consent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{apply, get, kubectl, path, says, wait};
use serde_json::Value;

use crate::shop::{CLUSTER, NAMESPACE, TIMEOUT, manifest, up, wait_ready};

/// Restarts every broker, and only with consent.
const PLANNED: &str = "  changePolicy: Plan\n  resources: { requests: { cpu: 110m } }\n";

pub fn a_plan_waits_for_its_hash() -> Result<()> {
    up()?;
    let before = templates()?;
    apply(NAMESPACE, &manifest(PLANNED))?;
    let hash = wait_for_plan()?;
    let shown = kubectl(&["get", "kafkacluster", CLUSTER, "-n", NAMESPACE])?;
    ensure!(shown.contains("restart 3 brokers"), "{shown}");

    // Whoever deletes a pod gets it back as it was.
    let uid = || pod_of(1).map(|pod| pod["metadata"]["uid"].clone());
    let deleted = uid()?;
    let pod = format!("{CLUSTER}-1");
    kubectl(&["delete", "pod", &pod, "-n", NAMESPACE])?;
    wait(TIMEOUT, || {
        let cluster = get(&path("kafkaclusters", NAMESPACE, CLUSTER))?;
        let ready = &cluster["status"]["brokersReady"];
        ensure!(ready == "3/3" && uid()? != deleted, "{ready}");
        Ok(())
    })?;
    ensure!(templates()? == before, "a plan is live without consent");

    approve(&hash)?;
    wait(TIMEOUT, || {
        let now = templates()?;
        let mut pairs = now.iter().zip(&before);
        ensure!(pairs.all(|(now, before)| now != before), "{now:?}");
        Ok(())
    })?;
    wait_ready()?;

    // Back again: an older consent is none to this plan.
    apply(NAMESPACE, &manifest("  changePolicy: Plan\n"))?;
    let next = wait_for_plan()?;
    ensure!(next != hash, "two plans with one hash");
    approve(&hash)?;
    std::thread::sleep(Duration::from_secs(3));
    let cluster = says_waiting()?;
    ensure!(
        cluster["status"]["plan"]["hash"] == *next,
        "{}",
        cluster["status"]
    );
    apply(NAMESPACE, &manifest(""))?;
    wait_ready().map(drop)
}

fn says_waiting() -> Result<Value> {
    let reason = "WaitingForApproval";
    says(
        "kafkaclusters",
        NAMESPACE,
        CLUSTER,
        "Stalled",
        "True",
        reason,
    )
}

fn wait_for_plan() -> Result<String> {
    let (hash, _) = wait(TIMEOUT, || {
        let cluster = says_waiting()?;
        let hash = cluster["status"]["plan"]["hash"].as_str();
        hash.map(str::to_owned).context("there is no plan")
    })?;
    Ok(hash)
}

fn approve(hash: &str) -> Result<String> {
    let annotation = format!("ottla.io/approve-plan={hash}");
    let object = ["kafkacluster", CLUSTER, "-n", NAMESPACE];
    kubectl(&[&["annotate", "--overwrite"], &object[..], &[&annotation]].concat())
}

fn pod_of(broker: u32) -> Result<Value> {
    get(&path("pods", NAMESPACE, &format!("{CLUSTER}-{broker}")))
}

/// What stands for the template that each pod was made from.
fn templates() -> Result<Vec<Value>> {
    let of = |broker: u32| {
        let pod = pod_of(broker)?;
        Ok(pod["metadata"]["annotations"]["ottla.io/template"].clone())
    };
    (0..3).map(of).collect()
}
