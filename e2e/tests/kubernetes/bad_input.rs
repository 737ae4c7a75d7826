//! What people get wrong: refused at apply where the schema can tell, else a condition that names
//! it and says how to mend it. Nothing else suffers.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::kubernetes::{apply, command, condition, kubectl, ready, refusal, says, wait};

use crate::figures::within;
use crate::shop::{CLUSTER, NAMESPACE, TIMEOUT, cluster, manifest, namespace, topic, topic_of, up};

const ELSEWHERE: &str = "mistakes";
/// What Kubernetes itself takes until a pod of it has a state, beside the 5 s of ours.
const SOON: f64 = 10.0;

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
        (cluster("bad", "  durability: Sometimes\n"), "Sometimes"),
        (topic("bad", 0, ""), "greater than or equal to 1"),
        (topic("bad", 1, "  topicName: \"a b\"\n"), "topicName"),
        (
            topic("bad", 1, "  config: { retention.ms: 5 }\n"),
            "retention.ms",
        ),
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
    stalled(
        "kafkaclusters",
        ELSEWHERE,
        "blank",
        "ImagePullFailed",
        "no.such.registry/ottla:9",
    )?;
    let crash = "  config: { log.segment.bytes: many }\n";
    apply(ELSEWHERE, &cluster("crash", crash))?;
    stalled(
        "kafkaclusters",
        ELSEWHERE,
        "crash",
        "BrokerCrashLooping",
        "log.segment.bytes",
    )?;
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

/// A dynamic setting goes to the running brokers, which refuse it; they stay as they were.
fn a_config_that_the_brokers_refuse() -> Result<()> {
    apply(
        NAMESPACE,
        &manifest("  config: { log.retention.ms: soon }\n"),
    )?;
    stalled(
        "kafkaclusters",
        NAMESPACE,
        CLUSTER,
        "ConfigRefused",
        "log.retention.ms",
    )?;
    apply(NAMESPACE, &manifest(""))?;
    wait(TIMEOUT, || ready("kafkaclusters", NAMESPACE, CLUSTER))?;
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
    Ok(())
}

fn stalled(kind: &str, namespace: &str, name: &str, reason: &str, names: &str) -> Result<()> {
    let attempt = || says(kind, namespace, name, "Stalled", "True", reason);
    let (object, took) = wait(Duration::from_secs(60), attempt)?;
    within(&format!("{reason} is said"), SOON, took)?;
    let message = condition(&object, "Stalled")?["message"].to_string();
    println!("{namespace}/{name}: {reason}: {message}");
    ensure!(
        message.contains(names),
        "{reason} does not name {names:?}: {message}"
    );
    Ok(())
}
