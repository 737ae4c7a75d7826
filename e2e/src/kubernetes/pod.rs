//! Clients in pods, and what pods take.

use std::path::Path;

use anyhow::{Context, Result};

use super::{apply, command, get, kubectl, path, text};
use crate::client::Output;
use crate::client::load::Load;
use crate::process::bound_to_us;

/// A pod with kcat and a shell, for as long as the tests run.
#[derive(Clone, Debug)]
pub struct Pod {
    namespace: String,
    name: String,
    is_user: bool,
}

impl Pod {
    /// Starts the client's pod in a namespace, under the restricted security profile, or finds it.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(namespace: &str) -> Result<Self> {
        let pod = Self {
            namespace: namespace.to_owned(),
            name: "client".to_owned(),
            is_user: false,
        };
        pod.run(MANIFEST)
    }

    /// The same with the Secret of a KafkaUser, which its clients take all they need from.
    ///
    /// # Errors
    /// It does not come up.
    pub fn of_user(namespace: &str, user: &str) -> Result<Self> {
        let pod = Self {
            namespace: namespace.to_owned(),
            name: format!("client-{user}"),
            is_user: true,
        };
        let named = MANIFEST.replace("name: client,", &format!("name: {},", pod.name));
        pod.run(&format!(
            "{named}      volumeMounts: [{{ name: user, mountPath: /user }}]
  volumes: [{{ name: user, secret: {{ secretName: {user} }} }}]
"
        ))
    }

    /// A pod with the load that verifies itself, of an image that only longer runs make.
    ///
    /// # Errors
    /// It does not come up.
    pub fn of_loads(namespace: &str) -> Result<Self> {
        let pod = Self {
            namespace: namespace.to_owned(),
            name: "load".to_owned(),
            is_user: false,
        };
        let named = MANIFEST.replace("name: client,", "name: load,");
        pod.run(&named.replace("ottla-e2e-client:1", "ottla-e2e-load:1"))
    }

    /// Starts the load in it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn load(&self, bootstrap: &str, topic: &str, flags: &[&str]) -> Result<Load> {
        let mut command = bound_to_us(Path::new("kubectl"));
        command.args(["exec", "-i", "-n", &self.namespace, &self.name, "--"]);
        command.args(["/python/bin/python3", "/load.py"]);
        Load::start_by(command, bootstrap, topic, flags)
    }

    fn run(self, manifest: &str) -> Result<Self> {
        apply(&self.namespace, manifest)?;
        let pod = format!("pod/{}", self.name);
        let ready = ["--for=condition=Ready", "--timeout=60s"];
        kubectl(&[&["wait", "-n", &self.namespace, &pod][..], &ready].concat())?;
        Ok(self)
    }

    /// Runs a line of its shell in it, whatever comes of it.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn sh(&self, line: &str) -> Result<Output> {
        let exec = ["exec", "-n", &self.namespace, &self.name, "--"];
        command("kubectl", &[&exec[..], &["sh", "-c", line]].concat(), "")
    }

    /// Runs kcat in it, with these arguments and this on stdin.
    ///
    /// # Errors
    /// kcat fails.
    pub fn kcat(&self, args: &[&str], input: &str) -> Result<Output> {
        self.try_kcat(args, input)?.success()
    }

    /// The same, whatever comes of it.
    ///
    /// # Errors
    /// kcat cannot be run.
    pub fn try_kcat(&self, args: &[&str], input: &str) -> Result<Output> {
        let exec = ["exec", "-i", "-n", &self.namespace, &self.name, "--"];
        let kcat = match self.is_user {
            true => &["sh", "-c", KCAT_OF_USER, "kcat"][..],
            false => &["kcat"],
        };
        command("kubectl", &[&exec[..], kcat, args].concat(), input)
    }
}

/// kcat with what the Secret of a KafkaUser holds: a password, or a certificate.
const KCAT_OF_USER: &str = r#"
if [ -f /user/password ]
then set -- -X security.protocol=SASL_SSL -X sasl.mechanisms=SCRAM-SHA-512 \
  -X "sasl.username=$(cat /user/username)" -X "sasl.password=$(cat /user/password)" "$@"
else set -- -X security.protocol=SSL -X ssl.certificate.location=/user/user.crt \
  -X ssl.key.location=/user/user.key "$@"
fi
exec kcat -b "$(cat /user/bootstrap.servers)" -X ssl.ca.location=/user/ca.crt "$@"
"#;

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
