//! Clients in pods, and what pods take.

use anyhow::{Context, Result};

use super::{apply, command, get, kubectl, path, text};
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

/// The resident memory of a pod's process in MiB, as its own metrics say.
///
/// # Errors
/// It does not say.
pub fn resident_mib(namespace: &str, pod: &str, port: u16) -> Result<f64> {
    let metrics = text(&format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics"
    ))?;
    let line = metrics.lines().find_map(|line| {
        line.split_once("resident_memory_bytes ")
            .filter(|(name, _)| !name.starts_with('#'))
    });
    let (_, bytes) = line.with_context(|| format!("no memory among the metrics of {pod}"))?;
    Ok(bytes.trim().parse::<f64>()? / f64::from(1 << 20))
}
