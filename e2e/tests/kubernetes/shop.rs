//! The KafkaCluster that the steps share: three brokers in namespace `shop`, with a listener inside
//! and one outside of Kubernetes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::load::{Load, Verdict};
use ottla_e2e::kubernetes::{
    Pod, apply, command, get, helm, kubectl, list, node_address, node_of, path, ready, wait,
};
use serde_json::Value;

use crate::figures::{DIES_S, STOPS_S};

/// Where the operator lives.
pub const SYSTEM: &str = "ottla-system";
/// The namespace of the cluster.
pub const NAMESPACE: &str = "shop";
/// The cluster.
pub const CLUSTER: &str = "orders";
/// Which pods are the operator's.
const OPERATOR: &str = "labelSelector=app.kubernetes.io/name=ottla-operator";
/// Where clients in pods connect first.
pub const BOOTSTRAP: &str = "orders-bootstrap.shop.svc:9092";
/// Longer than anything promised.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The cluster's manifest; `more` continues its spec.
pub fn manifest(more: &str) -> String {
    cluster(CLUSTER, &format!("{OUTSIDE}{more}"))
}

const OUTSIDE: &str = "  listeners:
    - { name: internal, port: 9092, type: Internal }
    - { name: outside, port: 9094, type: NodePort }
  topicNamespaces: { matchNames: [guests] }
";

/// The manifest of a cluster of three brokers; `more` continues its spec.
pub fn cluster(name: &str, more: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1
kind: KafkaCluster
metadata: {{ name: {name} }}
spec:
  replicas: 3
  rack: {{ topologyKey: topology.kubernetes.io/zone }}
  storage: {{ size: 1Gi, reclaimPolicy: Delete }}
{more}"
    )
}

/// The manifest of a topic of the shared cluster; `more` continues its spec.
pub fn topic(name: &str, partitions: u32, more: &str) -> String {
    topic_of(CLUSTER, name, partitions, more)
}

/// The manifest of a topic; `more` continues its spec.
pub fn topic_of(cluster: &str, name: &str, partitions: u32, more: &str) -> String {
    format!(
        "---
apiVersion: ottla.io/v1alpha1
kind: KafkaTopic
metadata: {{ name: {name} }}
spec:
  clusterRef: {{ name: {cluster} }}
  partitions: {partitions}
  replicationFactor: 3
{more}"
    )
}

/// Makes a namespace whose pods are held to the restricted security profile.
pub fn namespace(name: &str) -> Result<()> {
    let yaml = format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: {name}
  labels: {{ pod-security.kubernetes.io/enforce: restricted }}
"
    );
    apply("default", &yaml).map(drop)
}

/// Installs the operator, or brings it back to what the chart says.
pub fn install() -> Result<String> {
    namespace(SYSTEM)?;
    helm(&[
        "upgrade",
        "--install",
        "ottla",
        "charts/ottla",
        "-n",
        SYSTEM,
        "--wait",
        "--timeout=120s",
    ])
}

/// Waits until the shared cluster is Ready as its present spec says.
pub fn wait_ready() -> Result<Duration> {
    let (_, took) = wait(TIMEOUT, || ready("kafkaclusters", NAMESPACE, CLUSTER))?;
    Ok(took)
}

/// The shared cluster, Ready, and the operator: whatever a step before has left.
pub fn up() -> Result<Pod> {
    operator_up()?;
    namespace(NAMESPACE)?;
    apply(NAMESPACE, &manifest(""))?;
    wait_ready()?;
    Pod::start(NAMESPACE)
}

/// The operator, without a cluster.
pub fn operator_up() -> Result<()> {
    // helm takes seconds to find that nothing is to be done
    if !operator_is_ready()? {
        install()?;
    }
    Ok(())
}

fn operator_is_ready() -> Result<bool> {
    Ok(!nodes_of_operators()?.is_empty())
}

/// The nodes that have an operator that is ready, as far as Kubernetes knows.
pub fn nodes_of_operators() -> Result<Vec<String>> {
    let pods = list(&format!("{}?{OPERATOR}", path("pods", SYSTEM, "")))?;
    let ready = pods.iter().filter(|pod| serves(pod));
    let nodes = ready.filter_map(|pod| pod["spec"]["nodeName"].as_str());
    Ok(nodes.map(str::to_owned).collect())
}

/// Whether a pod is ready, and stays.
pub fn serves(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(|c| c.as_array());
    let mut conditions = conditions.into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Where clients outside of Kubernetes connect first: any node's address and the port of the
/// outside listener.
pub fn outside() -> Result<String> {
    let service = get(&path("services", NAMESPACE, "orders-outside-bootstrap"))?;
    let port = service.pointer("/spec/ports/0/nodePort");
    let port = port.and_then(Value::as_i64).context("a node port")?;
    let mut addresses = Vec::new();
    for ordinal in 0..3 {
        let node = node_of(NAMESPACE, &broker(ordinal))?;
        addresses.push(format!("{}:{port}", node_address(&node)?));
    }
    Ok(addresses.join(","))
}

/// Whether a node is a container of this machine, as those of a kind cluster are: elsewhere nobody
/// here can power it off, or tell it of a registry.
pub fn is_of_this_machine(node: &str) -> bool {
    let is = command("docker", &["inspect", node], "").is_ok_and(|found| found.code == 0);
    if !is {
        println!("skipped: {node} is no container of this machine");
    }
    is
}

/// The name of a broker's pod.
pub fn broker(ordinal: i32) -> String {
    format!("{CLUSTER}-{ordinal}")
}

/// The brokers' pods.
pub fn pods() -> Result<Vec<Value>> {
    let selector = format!("labelSelector=app.kubernetes.io/instance={CLUSTER}");
    list(&format!("{}?{selector}", path("pods", NAMESPACE, "")))
}

/// The uid of a broker's pod.
pub fn uid(ordinal: i32) -> Result<String> {
    let pod = get(&path("pods", NAMESPACE, &broker(ordinal)))?;
    let uid = pod["metadata"]["uid"].as_str();
    Ok(uid.context("a pod has a uid")?.to_owned())
}

/// The operator's pod.
pub fn operator() -> Result<String> {
    let pods = list(&format!("{}?{OPERATOR}", path("pods", SYSTEM, "")))?;
    let running = pods
        .iter()
        .find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let name = running.and_then(|pod| pod["metadata"]["name"].as_str());
    Ok(name.context("the operator has a pod")?.to_owned())
}

/// A verifying load on a topic of its own, from outside of Kubernetes, while `disturb` runs.
/// Nothing acknowledged may be lost or doubled.
pub fn under_load(name: &str, disturb: impl FnOnce() -> Result<()>) -> Result<()> {
    under(name, ("--idempotent", STOPS_S), disturb)
}

/// As [`under_load`], while a node dies.
pub fn under_load_and_a_death(name: &str, disturb: impl FnOnce() -> Result<()>) -> Result<()> {
    under(name, ("--idempotent", DIES_S), disturb)
}

/// As [`under_load`], while brokers are only asked to stop: of a producer that sends each record
/// once, none fails.
pub fn under_load_without_retries(name: &str, disturb: impl FnOnce() -> Result<()>) -> Result<()> {
    under(name, ("--no-retries", STOPS_S), disturb)
}

fn under(
    name: &str,
    (kind, pause_s): (&str, f64),
    disturb: impl FnOnce() -> Result<()>,
) -> Result<()> {
    with_topic(name, || {
        let load = Load::start(&outside()?, name, &[kind, "--follow", "--rate", "300"])?;
        once(&until_disturbed((name, pause_s), load, disturb)?)
    })
}

/// A topic for a load, while `used`.
pub fn with_topic(name: &str, used: impl FnOnce() -> Result<()>) -> Result<()> {
    let delete = [
        "delete",
        "kafkatopic",
        name,
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ];
    let delete = || kubectl(&[&delete[..], &["--ignore-not-found"]].concat());
    // of a run before this one that failed
    delete()?;
    let config = "  config: { min.insync.replicas: \"2\" }\n";
    apply(NAMESPACE, &topic(name, 6, config))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, name))?;
    used()?;
    delete().map(drop)
}

/// Whether each record was written once.
pub fn once(verdict: &Verdict) -> Result<()> {
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    Ok(())
}

/// Disturbs a load that runs, and ends it: nothing may be lost or refused.
pub fn until_disturbed(
    (name, pause_s): (&str, f64),
    load: Load,
    disturb: impl FnOnce() -> Result<()>,
) -> Result<Verdict> {
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    disturb()?;
    std::thread::sleep(Duration::from_secs(2));
    let verdict = load.finish(Duration::from_secs(180))?;
    println!(
        "{:.1} s under load: {}",
        begun.elapsed().as_secs_f64(),
        verdict.json
    );
    verdict.assert_nothing_lost();
    super::figures::pause(
        &format!("{name}: longest pause of a partition"),
        pause_s,
        Duration::from_millis(verdict.count("pause_max_ms")),
    )?;
    Ok(verdict)
}
