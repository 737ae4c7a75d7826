//! Many topics at once, then nothing: what the operator writes and holds when nothing happens.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{apply_many, condition, kubectl, list, path, resident_mib, text, wait};

use crate::figures::{at_most_mib, measured, within};
use crate::shop::{NAMESPACE, SYSTEM, TIMEOUT, broker, operator, topic_of, up};

const TOPICS: usize = 200;
const QUIET: Duration = Duration::from_secs(60);
/// A list of so many objects costs the API server more than writing one of them.
const LIST_INTERVAL: Duration = Duration::from_millis(250);

/// The manifests of many topics of a cluster.
pub fn manifests(cluster: &str, count: usize) -> String {
    let mut yaml = String::new();
    for number in 0..count {
        let name = format!("many-{number:03}");
        let _ = writeln!(yaml, "{}", topic_of(cluster, &name, 1, ""));
    }
    yaml
}

/// Waits until so many topics whose names begin with `many-` are Ready.
pub fn wait_many(namespace: &str, count: usize) -> Result<()> {
    wait(TIMEOUT, || {
        std::thread::sleep(LIST_INTERVAL);
        let topics = list(&path("kafkatopics", namespace, ""))?;
        let is_ready = |topic: &&serde_json::Value| {
            let ours = topic["metadata"]["name"].as_str();
            ours.is_some_and(|name| name.starts_with("many-"))
                && condition(topic, "Ready").is_ok_and(|ready| ready["status"] == "True")
        };
        let ready = topics.iter().filter(is_ready).count();
        ensure!(ready == count, "{ready} of {count} topics are Ready");
        Ok(())
    })?;
    Ok(())
}

pub fn two_hundred_topics_then_quiet() -> Result<()> {
    up()?;
    no_topics()?;
    // kubectl sends them one after the other; the clock runs from the first
    let begun = Instant::now();
    apply_many(NAMESPACE, &manifests(crate::shop::CLUSTER, TOPICS))?;
    measured(
        "kubectl apply --server-side of 200 topics itself",
        begun.elapsed().as_secs_f64(),
        "s",
    );
    wait_many(NAMESPACE, TOPICS)?;
    within(
        "200 topics applied until all are Ready",
        10.0,
        begun.elapsed(),
    )?;
    // what was begun before may still be written
    std::thread::sleep(Duration::from_secs(5));
    let before = writes()?;
    std::thread::sleep(QUIET);
    let after = writes()?;
    ensure!(
        before == after,
        "{} API writes in {QUIET:?} though nothing happens",
        after - before
    );
    Ok(())
}

/// Deletes all topics of the shared cluster. kubectl itself would wait for one after the other.
fn no_topics() -> Result<()> {
    let all = ["delete", "kafkatopics", "--all", "-n", NAMESPACE];
    kubectl(&[&all[..], &["--wait=false"]].concat())?;
    wait(TIMEOUT, || {
        std::thread::sleep(LIST_INTERVAL);
        let left = list(&path("kafkatopics", NAMESPACE, ""))?.len();
        ensure!(left == 0, "{left} topics are left");
        Ok(())
    })?;
    Ok(())
}

/// How many writes the API server has had of our kinds and of those that we make of them.
fn writes() -> Result<u64> {
    const VERBS: &[&str] = &["POST", "PUT", "PATCH", "APPLY", "DELETE"];
    const MADE: &[&str] = &[
        "configmaps",
        "services",
        "statefulsets",
        "poddisruptionbudgets",
        "networkpolicies",
    ];
    let metrics = text("/metrics")?;
    let mut sum = 0;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let (labels, count) = rest.rsplit_once("} ").context("a metric has a value")?;
        let label = |name: &str| {
            let value = labels.split_once(&format!("{name}=\""))?.1;
            value.split('"').next()
        };
        let ours = label("group") == Some("ottla.io")
            || label("resource").is_some_and(|resource| MADE.contains(&resource))
                && label("subresource") == Some("");
        if ours && label("verb").is_some_and(|verb| VERBS.contains(&verb)) {
            sum += count.parse::<f64>()? as u64;
        }
    }
    Ok(sum)
}

pub fn memory() -> Result<()> {
    up()?;
    let topics = list(&path("kafkatopics", NAMESPACE, ""))?.len();
    let held = resident_mib(SYSTEM, &operator()?, 8080)?;
    at_most_mib(&format!("operator with {topics} topics"), 48.0, held)?;
    if topics >= TOPICS {
        let begun = Instant::now();
        no_topics()?;
        within("200 topics deleted", 10.0, begun.elapsed())?;
    }
    // measured anew, as it is after a start
    kubectl(&["delete", "pod", &operator()?, "-n", SYSTEM, "--timeout=60s"])?;
    up()?;
    std::thread::sleep(Duration::from_secs(20));
    at_most_mib(
        "operator, idle",
        32.0,
        resident_mib(SYSTEM, &operator()?, 8080)?,
    )?;
    for ordinal in 0..3 {
        let held = resident_mib(NAMESPACE, &broker(ordinal), 9404)?;
        at_most_mib(&format!("broker {ordinal}, idle"), 64.0, held)?;
    }
    Ok(())
}
