//! Volumes that are given up, of a broker that serves and of one whose node is gone for good.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{command, get, kubectl, node_of, path, ready, wait};

use crate::figures::within;
use crate::shop::{
    CLUSTER, NAMESPACE, TIMEOUT, broker, is_of_this_machine, under_load_and_a_death,
    under_load_without_retries, up, wait_ready,
};

const REPLACE: &str = "ottla.io/replace-broker";

/// Has a broker give up its volume, and waits until it has all on another one.
fn replace(ordinal: i32) -> Result<Duration> {
    let before = claim(ordinal)?;
    let begun = Instant::now();
    annotate(&format!("{REPLACE}={ordinal}"))?;
    // the operator may have gone with the node
    wait(TIMEOUT * 2, || {
        let cluster = ready("kafkaclusters", NAMESPACE, CLUSTER)?;
        let told = &cluster["status"]["replacement"];
        ensure!(
            told["id"] == ordinal && told["phase"] == "Replaced",
            "{told}"
        );
        Ok(())
    })?;
    ensure!(
        claim(ordinal)? != before,
        "the volume claim of broker {ordinal} is the old one"
    );
    Ok(begun.elapsed())
}

fn annotate(what: &str) -> Result<()> {
    let object = ["kafkacluster", CLUSTER, "-n", NAMESPACE];
    kubectl(&[&["annotate"], &object[..], &["--overwrite", what]].concat()).map(drop)
}

/// The uid of the volume claim of a broker.
fn claim(ordinal: i32) -> Result<String> {
    let name = format!("data-{}", broker(ordinal));
    let claim = get(&path("persistentvolumeclaims", NAMESPACE, &name))?;
    let uid = claim["metadata"]["uid"].as_str();
    Ok(uid.context("a claim has a uid")?.to_owned())
}

pub fn a_volume_given_up_and_one_lost() -> Result<()> {
    up()?;
    under_load_without_retries("long-replaced", || {
        within(
            "a broker that serves gets an empty volume",
            60.0,
            replace(1)?,
        )
    })?;
    let node = node_of(NAMESPACE, &broker(2))?;
    if !is_of_this_machine(&node) {
        return annotate(&format!("{REPLACE}-"));
    }
    let lost = under_load_and_a_death("long-lost", || {
        command("docker", &["kill", &node], "")?.success()?;
        kubectl(&["delete", "node", &node])?;
        within(
            "a broker lost with its node and its volume",
            180.0,
            replace(2)?,
        )
    });
    command("docker", &["start", &node], "")?;
    lost?;
    wait(TIMEOUT, || kubectl(&["get", "node", &node]))?;
    annotate(&format!("{REPLACE}-"))?;
    wait_ready().map(drop)
}
