//! What people get wrong: refused at apply where the schema can tell, else a condition that names
//! it and says how to mend it. Nothing else suffers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{
    apply, command, condition, kubectl, list, path, ready, refusal, says, wait,
};
use serde_json::Value;

use crate::brokers::uids;
use crate::figures::{measured, within};
use crate::shop::{CLUSTER, NAMESPACE, TIMEOUT, cluster, manifest, namespace, topic, topic_of, up};

const ELSEWHERE: &str = "mistakes";
/// How soon a condition names a mistake, in seconds.
const SOON: f64 = 5.0;
/// Longer than the kubelet takes to see that something is wrong with a pod.
const STALLED_TIMEOUT: Duration = Duration::from_secs(60);

pub fn each_is_named_and_harms_nobody() -> Result<()> {
    up()?;
    namespace(ELSEWHERE)?;
    refused_at_apply()?;
    topics_that_cannot_be()?;
    clusters_that_cannot_be()?;
    a_config_that_the_brokers_refuse()?;
    // all the while the shared cluster has been Ready and takes new topics
    apply(NAMESPACE, &topic("meanwhile", 3, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "meanwhile"))?;
    ready("kafkaclusters", NAMESPACE, CLUSTER)?;
    kubectl(&[
        "delete",
        "kafkatopic",
        "meanwhile",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    kubectl(&["delete", "namespace", ELSEWHERE, "--timeout=120s"])?;
    Ok(())
}

fn refused_at_apply() -> Result<()> {
    let cases = [
        (cluster("bad", "  replicaz: 3\n"), "replicaz"),
        (
            cluster("bad", "  controllers: 2\n"),
            "controllers must be 1, 3 or 5",
        ),
        (
            cluster("bad", "  controllers: 5\n"),
            "more controllers than replicas",
        ),
        (cluster("Bad", ""), "lower"),
        (
            cluster(
                "bad",
                "  listeners: [{ name: a, port: 9092, type: NodePort }]\n",
            ),
            "must be of type Internal",
        ),
        (
            cluster("bad", "  listeners: [{ name: http, port: 9092 }]\n"),
            "brokers have ports of these names themselves",
        ),
        (
            cluster("bad", "  listeners: [{ name: a, port: 9404 }]\n"),
            "brokers use this port themselves",
        ),
        (cluster("bad", "  durability: Sometimes\n"), "Sometimes"),
        (topic("bad", 0, ""), "greater than or equal to 1"),
        (topic("bad", 1, "  topicName: \"a b\"\n"), "topicName"),
        (topic("bad", 1, "  configs: {}\n"), "configs"),
    ];
    for (yaml, words) in cases {
        let said = refusal(ELSEWHERE, &yaml)?;
        ensure!(said.contains(words), "expected {words:?} in: {said}");
    }
    let smaller = manifest("").replace("size: 1Gi", "size: 1Mi");
    let said = refusal(NAMESPACE, &smaller)?;
    ensure!(said.contains("a volume cannot shrink"), "{said}");
    Ok(())
}

fn topics_that_cannot_be() -> Result<()> {
    apply(ELSEWHERE, &topic_of("nowhere", "lost", 1, ""))?;
    stalled(
        "kafkatopics",
        ELSEWHERE,
        "lost",
        "ClusterNotFound",
        "mistakes/nowhere",
    )?;
    let high = topic("high", 1, "").replace("replicationFactor: 3", "replicationFactor: 4");
    apply(NAMESPACE, &high)?;
    let reason = "ReplicationFactorAboveBrokers";
    stalled("kafkatopics", NAMESPACE, "high", reason, "3 brokers")?;
    apply(
        NAMESPACE,
        &topic("odd", 1, "  config: { retention.ms: soon }\n"),
    )?;
    stalled(
        "kafkatopics",
        NAMESPACE,
        "odd",
        "ConfigRefused",
        "retention.ms",
    )?;
    kubectl(&[
        "delete",
        "kafkatopic",
        "high",
        "odd",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    kubectl(&[
        "delete",
        "kafkatopic",
        "lost",
        "-n",
        ELSEWHERE,
        "--timeout=60s",
    ])?;
    Ok(())
}

fn clusters_that_cannot_be() -> Result<()> {
    let fast = cluster("slow", "").replace("size: 1Gi", "size: 1Gi, storageClassName: fast");
    apply(ELSEWHERE, &fast)?;
    stalled(
        "kafkaclusters",
        ELSEWHERE,
        "slow",
        "StorageUnavailable",
        "fast",
    )?;
    apply(
        ELSEWHERE,
        &cluster("blank", "  image: no.such.registry/ottla:9\n"),
    )?;
    stalled_once_reported("blank", "ImagePullFailed", "no.such.registry/ottla:9")?;
    // what the operator does not know, another version may: its broker says it
    let image = "  image: ottla-broker:next\n  config: { num.partition: \"3\" }\n";
    apply(ELSEWHERE, &cluster("crash", image))?;
    stalled_once_reported("crash", "BrokerCrashLooping", "num.partition")?;
    let wrong = "  config: { log.segment.bytes: many }\n";
    apply(ELSEWHERE, &cluster("wrong", wrong))?;
    stalled(
        "kafkaclusters",
        ELSEWHERE,
        "wrong",
        "ConfigRefused",
        "log.segment.bytes=many",
    )?;
    let pods = list(&path("pods", ELSEWHERE, ""))?;
    let started = pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str());
    let started: Vec<&str> = started.filter(|name| name.starts_with("wrong-")).collect();
    ensure!(started.is_empty(), "{started:?} were started");
    // several at a time need no patience
    kubectl(&[
        "delete",
        "kafkaclusters",
        "--all",
        "-n",
        ELSEWHERE,
        "--timeout=60s",
    ])?;
    Ok(())
}

/// Neither a dynamic setting nor one that would need a restart gets to the brokers; they stay as
/// they were.
fn a_config_that_the_brokers_refuse() -> Result<()> {
    let before = uids()?;
    for wrong in [
        "log.retention.ms: soon",
        "num.network.threads: many",
        "num.partition: \"3\"",
    ] {
        apply(NAMESPACE, &manifest(&format!("  config: {{ {wrong} }}\n")))?;
        let (name, _) = wrong.split_once(':').context("a setting")?;
        let reason = "ConfigRefused";
        stalled("kafkaclusters", NAMESPACE, CLUSTER, reason, name)?;
    }
    apply(NAMESPACE, &manifest(""))?;
    wait(TIMEOUT, || ready("kafkaclusters", NAMESPACE, CLUSTER))?;
    ensure!(uids()? == before, "brokers were restarted");
    apply(NAMESPACE, &topic("wide", 1, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "wide"))?;
    let scaled = command(
        "kubectl",
        &[
            "scale",
            "kafkacluster",
            CLUSTER,
            "--replicas=2",
            "-n",
            NAMESPACE,
        ],
        "",
    )?;
    scaled.success()?;
    stalled(
        "kafkaclusters",
        NAMESPACE,
        CLUSTER,
        "ScaleDownRefused",
        "replicas",
    )?;
    apply(NAMESPACE, &manifest(""))?;
    wait(TIMEOUT, || ready("kafkaclusters", NAMESPACE, CLUSTER))?;
    kubectl(&["delete", "kafkatopic", "wide", "-n", NAMESPACE])?;
    Ok(())
}

/// The condition that is True for a reason that has just come about: what may mend itself is not
/// Stalled at once.
fn holds(reason: &str) -> &'static str {
    match reason {
        "ClusterNotFound" | "StorageUnavailable" | "ImagePullFailed" => "Reconciling",
        _ => "Stalled",
    }
}

fn stalled(kind: &str, namespace: &str, name: &str, reason: &str, names: &str) -> Result<()> {
    let attempt = || says(kind, namespace, name, holds(reason), "True", reason);
    let (object, took) = wait(STALLED_TIMEOUT, attempt)?;
    within(&format!("{reason} is said"), SOON, took)?;
    told(&object, reason, names)
}

/// The same for what the kubelet has to find out first: counted from when it says so itself.
fn stalled_once_reported(name: &str, reason: &str, names: &str) -> Result<()> {
    let applied = Instant::now();
    let ours = format!("{name}-");
    wait(STALLED_TIMEOUT, || {
        let pods = list(&path("pods", ELSEWHERE, ""))?;
        let mut ours = pods.iter().filter(|pod| {
            let name = pod["metadata"]["name"].as_str();
            name.is_some_and(|name| name.starts_with(&ours))
        });
        ensure!(ours.any(is_in_trouble), "the kubelet has reported nothing");
        Ok(())
    })?;
    let reported = Instant::now();
    let attempt = || {
        says(
            "kafkaclusters",
            ELSEWHERE,
            name,
            holds(reason),
            "True",
            reason,
        )
    };
    let (object, took) = wait(STALLED_TIMEOUT, attempt)?;
    within(
        &format!("{reason} is said, once the kubelet knows"),
        SOON,
        took,
    )?;
    measured(
        &format!("{reason}: what the kubelet takes"),
        (reported - applied).as_secs_f64(),
        "s",
    );
    told(&object, reason, names)
}

/// Whether a pod's first container could not be started, or has exited.
fn is_in_trouble(pod: &Value) -> bool {
    let container = &pod["status"]["containerStatuses"][0];
    let waits = container["state"]["waiting"]["reason"].as_str();
    waits.is_some_and(|reason| reason.contains("Err") || reason.contains("BackOff"))
        || container["state"]["terminated"].is_object()
        || container["lastState"]["terminated"].is_object()
}

fn told(object: &Value, reason: &str, names: &str) -> Result<()> {
    let message = condition(object, "Stalled")?["message"].to_string();
    let name = &object["metadata"]["name"];
    println!("{name}: {reason}: {message}");
    ensure!(
        message.contains(names),
        "{reason} does not name {names:?}: {message}"
    );
    Ok(())
}
