//! Certificates that change under load, on Kubernetes: see [`ottla_e2e::rotation`].

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ottla_e2e::kubernetes::{apply, get, kubectl, node_address, node_of, path, ready, says, wait};
use ottla_e2e::rotation::{
    CERTIFICATE_USER, Data, PASSWORD_USER, Place, Restored, TOPICS, Times, now,
};
use serde_json::{Value, json};

use crate::shop::{TIMEOUT, cluster, namespace, operator_up, serves, topic_of};

/// The namespace and the cluster in it.
const VAULT: &str = "vault";
/// A node takes a Secret again within seconds, if a pod changes; the rest is for a busy machine.
const TIMES: Times = Times {
    authority: 240,
    left: 40,
};
const LISTENERS: &str = "  listeners:
    - { name: inside, port: 9092, tls: {} }
    - { name: passwords, port: 9094, type: NodePort, tls: {}, authentication: { type: Scram } }
    - { name: mutual, port: 9095, type: NodePort, tls: {}, authentication: { type: MutualTls } }
";

fn user(name: &str, authentication: &str) -> String {
    format!(
        "---
apiVersion: ottla.io/v1alpha1
kind: KafkaUser
metadata: {{ name: {name} }}
spec:
  clusterRef: {{ name: {VAULT} }}
  authentication: {{ type: {authentication} }}
  acls:
    - resource: {{ type: Topic, name: rotation-, pattern: Prefixed }}
      operations: [Read, Write, Describe]
    - resource: {{ type: Group, name: rotation-, pattern: Prefixed }}
      operations: [Read]
    - {{ resource: {{ type: Group, name: read-back }}, operations: [Read] }}
"
    )
}

pub fn renewed_under_load() -> Result<()> {
    operator_up()?;
    namespace(VAULT)?;
    let (restored, secrets) = Restored::make(VAULT, TIMES)?;
    for (what, data) in secrets {
        restore(what, &data)?;
    }
    apply(VAULT, &cluster(VAULT, LISTENERS))?;
    let users = user(PASSWORD_USER, "Scram") + &user(CERTIFICATE_USER, "MutualTls");
    apply(VAULT, &users)?;
    for topic in TOPICS {
        let config = "  config: { min.insync.replicas: \"2\" }\n";
        apply(VAULT, &topic_of(VAULT, topic, 3, config))?;
        wait(TIMEOUT, || ready("kafkatopics", VAULT, topic))?;
    }
    for user in [PASSWORD_USER, CERTIFICATE_USER] {
        wait(TIMEOUT, || ready("kafkausers", VAULT, user))?;
    }
    restored.rotate(&Kubernetes)?;
    for kind in ["kafkausers", "kafkatopics", "kafkaclusters"] {
        kubectl(&["delete", kind, "--all", "-n", VAULT, "--timeout=120s"])?;
    }
    kubectl(&["delete", "namespace", VAULT, "--timeout=120s"]).map(drop)
}

/// An authority's Secret, as a backup has it.
fn restore(what: &str, data: &Data) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("{VAULT}.{what}"),
            "labels": {
                "app.kubernetes.io/name": "ottla",
                "app.kubernetes.io/instance": VAULT,
                "app.kubernetes.io/component": "broker",
                "app.kubernetes.io/managed-by": "ottla-operator",
            },
        },
        "stringData": data,
    });
    apply(VAULT, &secret.to_string()).map(drop)
}

struct Kubernetes;

impl Place for Kubernetes {
    fn cluster(&self) -> &str {
        VAULT
    }

    fn read(&self, secret: &str) -> Result<Data> {
        let secret = get(&path("secrets", VAULT, secret))?;
        let data: BTreeMap<String, String> = serde_json::from_value(secret["data"].clone())?;
        let parts = data.into_iter();
        let parts = parts.map(|(key, text)| Ok((key, String::from_utf8(STANDARD.decode(text)?)?)));
        parts.collect()
    }

    fn write(&self, secret: &str, data: &Data) -> Result<()> {
        let change = json!({ "stringData": data }).to_string();
        let patch = ["patch", "secret", secret, "-n", VAULT, "--type=merge", "-p"];
        kubectl(&[&patch[..], &[&change]].concat()).map(drop)
    }

    fn delete(&self, secret: &str) -> Result<()> {
        kubectl(&["delete", "secret", secret, "-n", VAULT]).map(drop)
    }

    fn brokers(&self) -> Result<Vec<String>> {
        let address = |ordinal: usize| {
            let service = format!("{VAULT}-passwords-{ordinal}");
            let service = get(&path("services", VAULT, &service))?;
            let port = service.pointer("/spec/ports/0/nodePort");
            let port = port.and_then(Value::as_i64).context("a node port")?;
            let node = node_of(VAULT, &format!("{VAULT}-{ordinal}"))?;
            Ok(format!("{}:{port}", node_address(&node)?))
        };
        (0..3).map(address).collect()
    }

    /// A node has a pod take its Secret a minute later at most, and whenever something of it
    /// changes.
    fn hasten(&self) -> Result<()> {
        let look = format!("e2e.ottla.io/look={}", now());
        let pods = (0..3).map(|ordinal| format!("{VAULT}-{ordinal}"));
        let pods: Vec<String> = pods.collect();
        let mut annotate = vec!["annotate", "-n", VAULT, "--overwrite", "pod"];
        annotate.extend(pods.iter().map(String::as_str));
        annotate.push(&look);
        kubectl(&annotate).map(drop)
    }

    fn restart(&self, ordinal: usize) -> Result<()> {
        let pod = format!("{VAULT}-{ordinal}");
        let before = get(&path("pods", VAULT, &pod))?["metadata"]["uid"].clone();
        kubectl(&["delete", "pod", &pod, "-n", VAULT, "--timeout=60s"])?;
        wait(TIMEOUT, || {
            let pod = get(&path("pods", VAULT, &pod))?;
            ensure!(pod["metadata"]["uid"] != before, "the pod is there still");
            ensure!(serves(&pod), "{}", pod["status"]);
            says("kafkaclusters", VAULT, VAULT, "Ready", "True", "")
        })
        .map(drop)
    }
}
