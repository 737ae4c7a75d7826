//! Clients in pods, and what pods take.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{apply, command, get, kubectl, path};
use crate::client::Output;

/// A pod with kcat and a shell, for as long as the tests run.
#[derive(Clone, Debug)]
pub struct Pod {
    namespace: String,
}

impl Pod {
    /// Starts the client's pod in a namespace, under the restricted security profile, or finds it.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(namespace: &str) -> Result<Self> {
        apply(namespace, MANIFEST)?;
        kubectl(&[
            "wait",
            "-n",
            namespace,
            "pod/client",
            "--for=condition=Ready",
            "--timeout=60s",
        ])?;
        Ok(Self {
            namespace: namespace.to_owned(),
        })
    }

    /// Runs kcat in it, with these arguments and this on stdin.
    ///
    /// # Errors
    /// kcat fails.
    pub fn kcat(&self, args: &[&str], input: &str) -> Result<Output> {
        let exec = ["exec", "-i", "-n", &self.namespace, "client", "--", "kcat"];
        let all: Vec<&str> = exec.iter().chain(args).copied().collect();
        command("kubectl", &all, input)?.success()
    }
}

const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: client
      image: ottla-e2e-client:1
      imagePullPolicy: Never
      command: [sleep, \"86400\"]
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL] }
";

/// The node that a pod runs on.
///
/// # Errors
/// It runs on none.
pub fn node_of(namespace: &str, pod: &str) -> Result<String> {
    let pod = get(&path("pods", namespace, pod))?;
    let node = pod["spec"]["nodeName"].as_str();
    Ok(node.context("the pod is on no node")?.to_owned())
}

/// The resident memory of a pod's containers in MiB, as its node's kubelet measures it.
///
/// # Errors
/// The kubelet does not say.
pub fn resident_mib(namespace: &str, pod: &str) -> Result<f64> {
    let node = node_of(namespace, pod)?;
    let summary = get(&format!("/api/v1/nodes/{node}/proxy/stats/summary"))?;
    let pods = summary["pods"].as_array().context("pods of a node")?;
    let found = pods
        .iter()
        .find(|one| one["podRef"]["name"] == pod && one["podRef"]["namespace"] == namespace);
    let containers = found.and_then(|one| one["containers"].as_array());
    let containers = containers.with_context(|| format!("nothing is measured of {pod}"))?;
    let bytes = containers
        .iter()
        .filter_map(|one| one["memory"]["rssBytes"].as_f64());
    let bytes: f64 = bytes.sum();
    ensure!(bytes > 0.0, "{}", Value::from(containers.clone()));
    Ok(bytes / f64::from(1 << 20))
}
