//! Brokers that go and come back, under load: by accident, with their node, and in a roll.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::kubernetes::{apply, command, get, kubectl, node_of, path, ready, says, wait};
use serde_json::Value;

use crate::figures::{measured, within};
use crate::shop::{
    CLUSTER, NAMESPACE, TIMEOUT, broker, is_of_this_machine, manifest, pods, serves, uid,
    under_load_and_a_death, under_load_without_retries, up, wait_ready,
};

/// A node that is off is noticed by Kubernetes after about 50 s; its broker by its peers at once.
const NODE_OFF: Duration = Duration::from_secs(15);
/// How long a broker may take in a roll.
const ROLL_TIMEOUT_EACH: Duration = Duration::from_secs(100);
/// How long one is promised to take.
const ROLL_PROMISED_EACH_SECONDS: u32 = 20;

pub fn a_pod_deleted_under_load() -> Result<()> {
    up()?;
    under_load_without_retries("deleted", || {
        let before = uid(1)?;
        let begun = Instant::now();
        kubectl(&["delete", "pod", &broker(1), "-n", NAMESPACE, "--wait=false"])?;
        wait(TIMEOUT, || {
            ensure!(uid(1)? != before, "the pod is still the old one");
            ready("kafkaclusters", NAMESPACE, CLUSTER)
        })?;
        within(
            "a broker's pod deleted until Ready again",
            30.0,
            begun.elapsed(),
        )
    })
}

pub fn a_node_off_and_on_under_load() -> Result<()> {
    up()?;
    let node = node_of(NAMESPACE, &broker(2))?;
    if !is_of_this_machine(&node) {
        return Ok(());
    }
    under_load_and_a_death("node-off", || {
        command("docker", &["kill", &node], "")?.success()?;
        std::thread::sleep(NODE_OFF);
        let begun = Instant::now();
        command("docker", &["start", &node], "")?.success()?;
        let restarts = |pod: &Value| {
            let first = pod.pointer("/status/containerStatuses/0/state/running/startedAt");
            first.and_then(|at| at.as_str()).map(str::to_owned)
        };
        let before = get(&path("pods", NAMESPACE, &broker(2))).ok();
        let before = before.as_ref().and_then(restarts);
        wait(TIMEOUT, || {
            let pod = get(&path("pods", NAMESPACE, &broker(2)))?;
            ensure!(restarts(&pod) != before, "its broker was not started again");
            ready("kafkaclusters", NAMESPACE, CLUSTER)
        })?;
        within("a node powered on until Ready again", 60.0, begun.elapsed())
    })
}

/// Maintenance of a node: its broker goes by eviction, no second one may go meanwhile.
pub fn a_node_drained_under_load() -> Result<()> {
    up()?;
    let nodes = [
        node_of(NAMESPACE, &broker(1))?,
        node_of(NAMESPACE, &broker(2))?,
    ];
    ensure!(nodes[0] != nodes[1], "two brokers share {}", nodes[0]);
    let drained = under_load_without_retries("drained", || {
        let begun = Instant::now();
        drain(&nodes[0], "60s")?.success()?;
        measured("a node drained", begun.elapsed().as_secs_f64(), "s");
        wait(TIMEOUT, || {
            says("kafkaclusters", NAMESPACE, CLUSTER, "Ready", "False", "")
        })?;
        let second = drain(&nodes[1], "5s")?;
        let words = second.all();
        ensure!(second.code != 0, "two brokers are away: {words}");
        ensure!(words.contains("disruption budget"), "{words}");
        uncordon(&nodes)?;
        let begun = Instant::now();
        wait_ready()?;
        within(
            "a drained node back until Ready again",
            30.0,
            begun.elapsed(),
        )
    });
    uncordon(&nodes)?;
    drained
}

/// Only brokers: others' pods are no affair of this test.
pub fn drain(node: &str, timeout: &str) -> Result<Output> {
    let brokers = format!("--pod-selector=app.kubernetes.io/instance={CLUSTER}");
    let timeout = format!("--timeout={timeout}");
    let arguments = ["drain", node, "--ignore-daemonsets", &brokers, &timeout];
    command("kubectl", &arguments, "")
}

pub fn uncordon(nodes: &[String]) -> Result<()> {
    for node in nodes {
        kubectl(&["uncordon", node])?;
    }
    Ok(())
}

pub fn a_config_change_rolls() -> Result<()> {
    up()?;
    let changed = manifest("  config: { num.network.threads: \"3\" }\n");
    under_load_without_retries("roll-config", || roll("a static config", &changed))?;
    under_load_without_retries("roll-back", || roll("the config back", &manifest("")))
}

pub fn an_image_rolls() -> Result<()> {
    up()?;
    let image = "  image: ottla-broker:next\n";
    under_load_without_retries("roll-image", || roll("a new image", &manifest(image)))?;
    for pod in pods()? {
        let image = pod.pointer("/spec/containers/0/image");
        ensure!(
            image.is_some_and(|image| image == "ottla-broker:next"),
            "{image:?}"
        );
    }
    under_load_without_retries("roll-image-back", || roll("the image back", &manifest("")))
}

/// Applies a manifest that restarts every broker, and watches that they go one at a time.
pub fn roll(what: &str, manifest: &str) -> Result<()> {
    let before = uids()?;
    let brokers = before.len();
    // A broker is back when it has been ready once since its pod was made: probes of a busy machine
    // may fail later without anything being wrong.
    let mut were_ready: BTreeSet<String> = before.values().cloned().collect();
    let begun = Instant::now();
    apply(NAMESPACE, manifest)?;
    loop {
        let pods = pods()?;
        let uid = |pod: &Value| pod["metadata"]["uid"].as_str().map(str::to_owned);
        were_ready.extend(pods.iter().filter(|pod| has_served(pod)).filter_map(uid));
        let back = pods.iter().filter(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && uid(pod).is_some_and(|uid| were_ready.contains(&uid))
        });
        let away = brokers - back.count().min(brokers);
        let seen: Vec<String> = pods.iter().map(standing).collect();
        let seen = seen.join(", ");
        ensure!(
            away <= 1,
            "{away} brokers are away at a time: {what}: {seen}"
        );
        let now = uids()?;
        let replaced = before
            .iter()
            .filter(|(name, uid)| now.get(*name).is_some_and(|now| now != *uid));
        let replaced = replaced.count();
        if replaced == brokers && ready("kafkaclusters", NAMESPACE, CLUSTER).is_ok() {
            break;
        }
        let cluster = get(&path("kafkaclusters", NAMESPACE, CLUSTER))?;
        ensure!(
            begun.elapsed() < ROLL_TIMEOUT_EACH * brokers as u32,
            "{replaced} of {brokers} brokers were restarted: {}",
            cluster["status"]["conditions"]
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_ready()?;
    let took = begun.elapsed();
    measured(
        &format!("a broker in a roll of {brokers}: {what}"),
        took.as_secs_f64() / brokers as f64,
        "s",
    );
    within(
        &format!("roll of {brokers} brokers: {what}"),
        f64::from(ROLL_PROMISED_EACH_SECONDS * brokers as u32),
        took,
    )
}

/// Whether a pod is Ready, or was since its container started, which a look may have missed.
fn has_served(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let Some(ready) = conditions.find(|c| c["type"] == "Ready") else {
        return false;
    };
    let started = pod.pointer("/status/containerStatuses/0/state/running/startedAt");
    let started = started.and_then(Value::as_str);
    let changed = ready["lastTransitionTime"].as_str();
    // both are of the form 2026-01-31T12:00:00Z, which sorts as text
    ready["status"] == "True" || started.is_some_and(|started| changed > Some(started))
}

/// A pod in a few words, for when it is not as it should be.
fn standing(pod: &Value) -> String {
    let meta = &pod["metadata"];
    format!(
        "{} {} made {} going {} ready {}",
        meta["name"],
        meta["uid"],
        meta["creationTimestamp"],
        meta["deletionTimestamp"],
        serves(pod)
    )
}

/// The uids of the brokers' pods, by name.
pub fn uids() -> Result<BTreeMap<String, String>> {
    let mut uids = BTreeMap::new();
    for pod in pods()? {
        let text = |field: &str| pod["metadata"][field].as_str().context("a pod's metadata");
        uids.insert(text("name")?.to_owned(), text("uid")?.to_owned());
    }
    Ok(uids)
}
