//! Users from YAML: the example as it stands, and two teams that share a cluster. Their clients
//! have what is in their Secrets, mounted into pods or as Java's `client.properties`.

use std::time::Instant;

use anyhow::{Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::kubernetes::{Pod, apply, get, kubectl, path, ready, wait};
use ottla_e2e::setup::scratch;

use crate::figures::within;
use crate::shop::{TIMEOUT, cluster, namespace, operator_up, topic_of};

/// The namespace of the example.
const EXAMPLE: &str = "example";
/// The namespace of the cluster that the teams share.
const PLATFORM: &str = "platform";

pub fn the_example_as_it_stands() -> Result<()> {
    operator_up()?;
    namespace(EXAMPLE)?;
    let begun = Instant::now();
    kubectl(&["apply", "-n", EXAMPLE, "-f", "examples/secure"])?;
    for (kind, name) in [
        ("kafkaclusters", "secure"),
        ("kafkatopics", "orders"),
        ("kafkausers", "alice"),
        ("kafkausers", "bob"),
    ] {
        wait(TIMEOUT, || ready(kind, EXAMPLE, name))?;
    }
    within(
        "kubectl apply of examples/secure until its users are Ready",
        60.0,
        begun.elapsed(),
    )?;
    // alice has a password, and librdkafka before 2.6.1, as the pod has it, sends a nonce that
    // Kafka and Ottla refuse (CVE-2024-56128): Java logs in by one in the other step
    let bob = Pod::of_user(EXAMPLE, "bob")?;
    ensure!(read(&bob, "orders")?.is_empty());
    denied(&bob, "orders")?;
    kubectl(&["delete", "-n", EXAMPLE, "pods", "--selector=app=client"])?;
    let all = ["delete", "-n", EXAMPLE, "-f", "examples/secure"];
    kubectl(&[&all[..], &["--timeout=120s"]].concat())?;
    // Kubernetes collects what was hers.
    wait(TIMEOUT, || gone(EXAMPLE, "alice"))?;
    kubectl(&["delete", "namespace", EXAMPLE, "--timeout=120s"]).map(drop)
}

/// What a team has in its namespace: a topic, and a user who may use all topics of its letter.
fn team(letter: &str, user: &str, authentication: &str) -> String {
    let theirs = format!("clusterRef: {{ name: teams, namespace: {PLATFORM} }}");
    let topic = topic_of("teams", &format!("{letter}-orders"), 3, "");
    let user = format!(
        "---
apiVersion: ottla.io/v1alpha1
kind: KafkaUser
metadata: {{ name: {user} }}
spec:
  clusterRef: {{ name: teams }}
  authentication: {{ type: {authentication} }}
  acls:
    - resource: {{ type: Topic, name: {letter}-, pattern: Prefixed }}
      operations: [Read, Write, Describe]
    - {{ resource: {{ type: Group, name: {letter}-, pattern: Prefixed }}, operations: [Read] }}
"
    );
    (topic + &user).replace("clusterRef: { name: teams }", &theirs)
}

pub fn two_teams_keep_to_their_own_topics() -> Result<()> {
    operator_up()?;
    let listeners = "  listeners:
    - { name: mutual, port: 9095, tls: {}, authentication: { type: MutualTls } }
    - { name: passwords, port: 9094, type: NodePort, tls: {}, authentication: { type: Scram } }
  topicNamespaces: { matchNames: [team-a, team-b] }
  userNamespaces: { matchNames: [team-a, team-b] }
";
    for name in [PLATFORM, "team-a", "team-b"] {
        namespace(name)?;
    }
    apply(PLATFORM, &cluster("teams", listeners))?;
    apply("team-a", &team("a", "ann", "Scram"))?;
    apply("team-b", &team("b", "ben", "MutualTls"))?;
    wait(TIMEOUT, || ready("kafkaclusters", PLATFORM, "teams"))?;
    for (team, topic, user) in [("team-a", "a-orders", "ann"), ("team-b", "b-orders", "ben")] {
        wait(TIMEOUT, || ready("kafkatopics", team, topic))?;
        wait(TIMEOUT, || ready("kafkausers", team, user))?;
    }

    // She from outside of Kubernetes with Java, he from a pod with librdkafka.
    by_ann("a-orders")?.success()?;
    by_ann("b-orders")?.line_with(&["Not authorized to access topics"])?;
    let ben = Pod::of_user("team-b", "ben")?;
    ben.kcat(&["-P", "-t", "b-orders"], "from-ben\n")?;
    ensure!(read(&ben, "b-orders")?.contains("from-ben"));
    denied(&ben, "a-orders")?;
    let seen = ben.kcat(&["-L"], "")?.stdout;
    ensure!(
        seen.contains("b-orders") && !seen.contains("a-orders"),
        "{seen}"
    );

    let password = part("team-a", "ann", "password")?;
    let rotate = ["annotate", "kafkauser", "ann", "-n", "team-a"];
    kubectl(&[&rotate[..], &["ottla.io/rotate=again"]].concat())?;
    wait(TIMEOUT, || {
        ensure!(part("team-a", "ann", "password")? != password);
        by_ann("a-orders")?.success()
    })?;
    delete("team-b", "kafkausers")?;
    gone("team-b", "ben")?;
    denied(&ben, "b-orders")?;

    delete("team-a", "kafkausers")?;
    for team in ["team-a", "team-b"] {
        delete(team, "kafkatopics")?;
    }
    delete(PLATFORM, "kafkaclusters")?;
    let namespaces = ["delete", "namespace", "team-a", "team-b", PLATFORM];
    kubectl(&[&namespaces[..], &["--timeout=120s"]].concat()).map(drop)
}

/// Deletes all objects of a kind in a namespace, and waits until they are gone.
fn delete(namespace: &str, kind: &str) -> Result<()> {
    let all = ["delete", kind, "--all", "-n", namespace, "--timeout=120s"];
    kubectl(&all).map(drop)
}

/// Java's console producer with the `client.properties` of ann's Secret, as they are.
fn by_ann(topic: &str) -> Result<Output> {
    let file = scratch("ann").join("client.properties");
    let properties = part("team-a", "ann", "client.properties")?;
    std::fs::write(&file, properties)?;
    Tool::at(
        "ConsoleProducer",
        &part("team-a", "ann", "bootstrap.servers")?,
    )
    .args(&["--topic", topic, "--producer.config"])
    .args(&[&file.display().to_string()])
    .input("from-ann\n")
    .output()
}

fn read(pod: &Pod, topic: &str) -> Result<String> {
    let read = ["-C", "-t", topic, "-e", "-q", "-o", "beginning"];
    Ok(pod.kcat(&read, "")?.stdout)
}

/// Whether brokers refuse to take a record.
fn denied(pod: &Pod, topic: &str) -> Result<()> {
    let sent = pod.try_kcat(&["-P", "-t", topic, "-p", "0"], "no\n")?;
    sent.line_with(&["Topic authorization failed"]).map(drop)
}

/// Whether a user's Secret is there no more.
fn gone(namespace: &str, user: &str) -> Result<()> {
    let secret = get(&path("secrets", namespace, user));
    ensure!(secret.is_err(), "the Secret of {user} outlives the object");
    Ok(())
}

/// What a Secret has under a key.
fn part(namespace: &str, name: &str, key: &str) -> Result<String> {
    let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    let get = ["get", "secret", name, "-n", namespace, "-o", &template];
    let text = kubectl(&get)?;
    ensure!(!text.is_empty(), "no {key} in the Secret {name}");
    Ok(text)
}
