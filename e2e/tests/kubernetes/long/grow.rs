//! Brokers that come and go, with all that topics hold.

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::load::Load;
use ottla_e2e::kubernetes::{apply, kubectl, ready, wait};

use super::CHANGED;
use crate::brokers::roll;
use crate::figures::{STOPS_S, measured, within};
use crate::shop::{
    CLUSTER, NAMESPACE, TIMEOUT, manifest, outside, pods, under_load, under_load_without_retries,
    until_disturbed, up, with_topic,
};

/// What is there before, and must be there after.
const RECORDS: usize = 5000;

fn sized(brokers: usize, more: &str) -> String {
    manifest(more).replace("replicas: 3", &format!("replicas: {brokers}"))
}

/// Scales the shared cluster, and waits until it has so many brokers and says Ready.
fn scale(brokers: usize, promised_seconds: f64) -> Result<()> {
    let from = pods()?.len();
    apply(NAMESPACE, &sized(brokers, ""))?;
    let (_, took) = wait(TIMEOUT * 3, || {
        let cluster = ready("kafkaclusters", NAMESPACE, CLUSTER)?;
        let told = &cluster["status"]["brokersReady"];
        ensure!(*told == format!("{brokers}/{brokers}"), "{told}");
        let pods = pods()?.len();
        ensure!(pods == brokers, "{pods} pods");
        Ok(())
    })?;
    within(
        &format!("scaled from {from} to {brokers} brokers"),
        promised_seconds,
        took,
    )
}

/// Volumes of brokers that are gone stay, and their data would be found by the next ones.
fn drop_volumes(brokers: std::ops::Range<usize>) -> Result<()> {
    for broker in brokers {
        let claim = format!("data-{CLUSTER}-{broker}");
        kubectl(&[
            "delete",
            "pvc",
            &claim,
            "-n",
            NAMESPACE,
            "--ignore-not-found",
        ])?;
    }
    Ok(())
}

pub fn six_brokers_roll() -> Result<()> {
    up()?;
    scale(6, 90.0)?;
    under_load_without_retries("long-six", || roll("six brokers", &sized(6, CHANGED)))?;
    under_load_without_retries("long-six-back", || roll("six brokers, back", &sized(6, "")))?;
    scale(3, 120.0)?;
    drop_volumes(3..6)
}

/// A leader that has to give a partition away answers what is not committed yet with an error after
/// which clients send again, as Kafka's does: no record fails, but one may be there twice where its
/// producer is not idempotent.
fn beside_a_producer_without_retries(
    name: &str,
    disturb: impl FnOnce() -> Result<()>,
) -> Result<()> {
    with_topic(name, || {
        let flags = ["--no-retries", "--follow", "--rate", "100"];
        let load = Load::start(&outside()?, name, &flags)?;
        let verdict = until_disturbed((name, STOPS_S), load, disturb)?;
        let twice = verdict.count("duplicates") as f64;
        measured(&format!("{name}: records sent twice"), twice, "");
        Ok(())
    })
}

pub fn three_to_five_and_back() -> Result<()> {
    up()?;
    with_topic("kept", || {
        let records: String = (0..RECORDS).map(|n| format!("kept-{n}\n")).collect();
        let produce = ["-P", "-t", "kept", "-X", "acks=all"];
        kcat(&outside()?, &produce, &records)?.success()?;
        beside_a_producer_without_retries("long-scale-once", || {
            under_load("long-scale", || {
                scale(5, 60.0)?;
                scale(3, 120.0)
            })
        })?;
        let read = kcat(&outside()?, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
        let mut read: Vec<&str> = read.stdout.lines().collect();
        read.sort_unstable();
        let mut written: Vec<&str> = records.lines().collect();
        written.sort_unstable();
        ensure!(read == written, "{} records of {RECORDS}", read.len());
        drop_volumes(3..5)
    })
}
