//! Topics by YAML, looked at as Kafka's own clients see them.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::kubernetes::{
    apply, condition, get, kubectl, list, path, ready, refusal, says, wait,
};

use crate::figures::within;
use crate::shop::{CLUSTER, NAMESPACE, TIMEOUT, namespace, outside, topic, up};

/// What a condition is promised within.
const SOON: f64 = 5.0;

pub fn from_creation_to_deletion() -> Result<()> {
    up()?;
    let bootstrap = outside()?;
    let short = "  config: { retention.ms: \"60000\", compression.type: null }\n";
    apply(NAMESPACE, &topic("life", 3, short))?;
    let (_, took) = wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "life"))?;
    within("a topic created until it is Ready", SOON, took)?;
    ensure!(partitions(&bootstrap, "life")? == 3);
    ensure!(config(&bootstrap, "life")?.contains("retention.ms=60000"));

    let long = "  config: { retention.ms: \"120000\", compression.type: null }\n";
    apply(NAMESPACE, &topic("life", 6, long))?;
    let (_, took) = wait(TIMEOUT, || {
        ready("kafkatopics", NAMESPACE, "life")?;
        ensure!(partitions(&bootstrap, "life")? == 6, "not grown yet");
        Ok(())
    })?;
    within("a topic grown and reconfigured", SOON, took)?;
    ensure!(config(&bootstrap, "life")?.contains("retention.ms=120000"));

    delete("life")?;
    ensure!(
        partitions(&bootstrap, "life")? == 0,
        "the topic is still there"
    );

    let kept = "  deletionPolicy: Retain\n";
    apply(NAMESPACE, &topic("kept", 3, kept))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "kept"))?;
    kcat(&bootstrap, &["-P", "-t", "kept"], "still here\n")?.success()?;
    delete("kept")?;
    ensure!(
        partitions(&bootstrap, "kept")? == 3,
        "a retained topic is gone"
    );
    // adopted as it is, with its records
    apply(NAMESPACE, &topic("kept", 3, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "kept"))?;
    let read = kcat(&bootstrap, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
    ensure!(read.stdout == "still here\n", "{}", read.stdout);
    delete("kept")?;
    Ok(())
}

fn delete(name: &str) -> Result<()> {
    let topic = ["delete", "kafkatopic", name, "-n", NAMESPACE];
    kubectl(&[&topic[..], &["--timeout=60s"]].concat())?;
    Ok(())
}

pub fn what_cannot_be_done_is_said() -> Result<()> {
    up()?;
    apply(NAMESPACE, &topic("firm", 6, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "firm"))?;
    let refused = refusal(NAMESPACE, &topic("firm", 3, ""))?;
    ensure!(
        refused.contains("partitions may grow but never shrink"),
        "{refused}"
    );
    let renamed = topic("firm", 6, "  topicName: other\n");
    let refused = refusal(NAMESPACE, &renamed)?;
    ensure!(refused.contains("topicName cannot be changed"), "{refused}");
    let moved = topic("firm", 6, "").replace(CLUSTER, "another");
    let refused = refusal(NAMESPACE, &moved)?;
    ensure!(
        refused.contains("clusterRef cannot be changed"),
        "{refused}"
    );
    let unknown = topic("firm", 6, "  partitons: 7\n");
    let refused = refusal(NAMESPACE, &unknown)?;
    ensure!(refused.contains("partitons"), "{refused}");

    let fewer = topic("firm", 6, "").replace("replicationFactor: 3", "replicationFactor: 2");
    apply(NAMESPACE, &fewer)?;
    wait(TIMEOUT, || {
        let firm = ready("kafkatopics", NAMESPACE, "firm")?;
        let replicas = &firm["status"]["replicationFactor"];
        ensure!(*replicas == 2, "{replicas} replicas");
        Ok(())
    })?;

    // younger by at least the second that creation times are counted in
    std::thread::sleep(Duration::from_millis(1100));
    apply(NAMESPACE, &topic("second", 6, "  topicName: firm\n"))?;
    let second = stalled("second", "Conflict")?;
    ensure!(second.contains("shop/firm"), "{second}");
    kubectl(&[
        "delete",
        "kafkatopic",
        "second",
        "firm",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    Ok(())
}

/// Waits for a topic to be Stalled with this reason and returns its sentence.
fn stalled(name: &str, reason: &str) -> Result<String> {
    stalled_in(NAMESPACE, name, reason)
}

fn stalled_in(namespace: &str, name: &str, reason: &str) -> Result<String> {
    let attempt = || says("kafkatopics", namespace, name, "Stalled", "True", reason);
    let (object, took) = wait(TIMEOUT, attempt)?;
    within(&format!("{reason} is said"), SOON, took)?;
    let message = condition(&object, "Stalled")?["message"].clone();
    println!("{namespace}/{name}: {reason}: {message}");
    Ok(message.to_string())
}

pub fn drift_is_put_back() -> Result<()> {
    up()?;
    let bootstrap = outside()?;
    let spec = "  config: { retention.ms: \"60000\", max.message.bytes: null }\n";
    apply(NAMESPACE, &topic("drift", 3, spec))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "drift"))?;
    let changes = "retention.ms=1,max.message.bytes=2000,segment.ms=777777";
    Tool::at("kafka.admin.ConfigCommand", &bootstrap)
        .args(&[
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            "drift",
        ])
        .args(&["--add-config", changes])
        .run()?;
    let (now, took) = wait(TIMEOUT, || {
        let now = config(&bootstrap, "drift")?;
        ensure!(now.contains("retention.ms=60000"), "{now}");
        Ok(now)
    })?;
    within("drift is put back", SOON, took)?;
    for theirs in ["max.message.bytes=2000", "segment.ms=777777"] {
        ensure!(
            now.contains(theirs),
            "{theirs} was not ours to change: {now}"
        );
    }
    let about = |event: &serde_json::Value| {
        event["regarding"]["name"] == "drift"
            && event["note"]
                .as_str()
                .is_some_and(|note| note.contains("retention.ms"))
    };
    wait(TIMEOUT, || {
        let events = list(&path("events", NAMESPACE, ""))?;
        ensure!(events.iter().any(about), "no event names the key");
        Ok(())
    })?;
    delete("drift")?;
    Ok(())
}

pub fn other_namespaces_with_consent() -> Result<()> {
    up()?;
    let of_shop = |name: &str| {
        let ours = format!("clusterRef: {{ name: {CLUSTER} }}");
        let theirs = format!("clusterRef: {{ name: {CLUSTER}, namespace: {NAMESPACE} }}");
        topic(name, 3, "").replace(&ours, &theirs)
    };
    for name in ["guests", "strangers"] {
        namespace(name)?;
    }
    apply("guests", &of_shop("from-guests"))?;
    wait(TIMEOUT, || ready("kafkatopics", "guests", "from-guests"))?;
    apply("strangers", &of_shop("from-strangers"))?;
    let says = stalled_in("strangers", "from-strangers", "NamespaceNotAdmitted")?;
    ensure!(says.contains("topicNamespaces"), "{says}");
    ensure!(
        partitions(&outside()?, "from-strangers")? == 0,
        "created without consent"
    );
    kubectl(&[
        "delete",
        "namespace",
        "guests",
        "strangers",
        "--timeout=60s",
    ])?;
    ensure!(
        partitions(&outside()?, "from-guests")? == 0,
        "outlives its object"
    );
    let cluster = get(&path("kafkaclusters", NAMESPACE, CLUSTER))?;
    ensure!(
        condition(&cluster, "Ready")?["status"] == "True",
        "{cluster}"
    );
    Ok(())
}

/// How many partitions the brokers know of a topic; none where they do not know it.
pub fn partitions(bootstrap: &str, topic: &str) -> Result<usize> {
    let listed = kcat(bootstrap, &["-L", "-J", "-t", topic], "")?.success()?;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout)?;
    let partitions = listed["topics"][0]["partitions"].as_array();
    Ok(partitions.map_or(0, Vec::len))
}

/// What was set on a topic, as Kafka's own tool shows it.
fn config(bootstrap: &str, topic: &str) -> Result<String> {
    let shown = Tool::at("kafka.admin.ConfigCommand", bootstrap)
        .args(&[
            "--describe",
            "--entity-type",
            "topics",
            "--entity-name",
            topic,
        ])
        .run()?;
    Ok(shown.stdout)
}
