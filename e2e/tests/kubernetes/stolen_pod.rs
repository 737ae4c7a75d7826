//! A pod that somebody has got hold of: beside the brokers, without a certificate or with one that
//! is not for what it asks. By TLS alone it gets nowhere; metrics, which are not encrypted, a
//! NetworkPolicy keeps from it, where the network of pods heeds such.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::kubernetes::{Pod, apply, get, helm, kubectl, path, ready, wait};

use crate::shop::{SYSTEM, TIMEOUT, cluster, namespace, operator_up};

/// The namespace and the cluster in it.
const BANK: &str = "bank";
/// The namespace of a pod that nobody may reach, where policies are heeded.
const CLOSED: &str = "bank-closed";

/// The ports that clients have no business at, and those that are theirs.
const BETWEEN_BROKERS: [u16; 2] = [9090, 9091];
const PASSWORDS: u16 = 9094;
const MUTUAL: u16 = 9095;

const LISTENERS: &str = "  listeners:
    - { name: passwords, port: 9094, tls: {}, authentication: { type: Scram } }
    - { name: mutual, port: 9095, tls: {}, authentication: { type: MutualTls } }
";
const USER: &str = "---
apiVersion: ottla.io/v1alpha1
kind: KafkaUser
metadata: { name: ben }
spec:
  clusterRef: { name: bank }
  authentication: { type: MutualTls }
  acls:
    - { resource: { type: Topic, name: '*' }, operations: [Describe] }
";
/// Who shows no certificate, and believes any.
const TLS: &[&str] = &[
    "-X",
    "security.protocol=SSL",
    "-X",
    "enable.ssl.certificate.verification=false",
];

pub fn gets_nowhere_without_a_certificate() -> Result<()> {
    operator_up()?;
    for name in [BANK, CLOSED] {
        namespace(name)?;
    }
    apply(BANK, &(cluster("bank", LISTENERS) + USER))?;
    wait(TIMEOUT, || ready("kafkaclusters", BANK, "bank"))?;
    wait(TIMEOUT, || ready("kafkausers", BANK, "ben"))?;
    let stolen = Pod::start(BANK)?;
    let ben = Pod::of_user(BANK, "ben")?;
    let is_heeded = are_policies_heeded(&stolen)?;
    println!("the network of pods heeds NetworkPolicies: {is_heeded}");

    ensure!(asked(&ben, MUTUAL, &[])?.stdout.contains("3 brokers"));
    for port in BETWEEN_BROKERS.into_iter().chain([PASSWORDS, MUTUAL]) {
        for flags in [&[], TLS] {
            let said = asked(&stolen, port, flags)?;
            refused(&format!("a pod on {port} with {flags:?}"), &said, is_heeded)?;
        }
    }
    // a user's certificate is of another authority than brokers'
    for port in BETWEEN_BROKERS {
        let said = asked(&ben, port, &TLS[2..])?;
        refused(&format!("ben on {port}"), &said, is_heeded)?;
    }
    metrics(&stolen, is_heeded)?;

    kubectl(&["delete", "-n", BANK, "pods", "--selector=app=client"])?;
    for kind in ["kafkausers", "kafkaclusters"] {
        kubectl(&["delete", kind, "--all", "-n", BANK, "--timeout=120s"])?;
    }
    kubectl(&["delete", "namespace", BANK, CLOSED, "--timeout=120s"]).map(drop)
}

/// What comes of a question for metadata.
fn asked(pod: &Pod, port: u16, flags: &[&str]) -> Result<Output> {
    let broker = format!("bank-0.bank-brokers.{BANK}.svc:{port}");
    pod.try_kcat(&[&["-b", &broker, "-L", "-m", "4"], flags].concat(), "")
}

/// It has no answer, and a broker ended the connection; or nothing was reached at all where
/// policies are heeded.
fn refused(who: &str, said: &Output, is_heeded: bool) -> Result<()> {
    let said = said.all();
    ensure!(!said.contains("brokers:"), "{who} has metadata: {said}");
    let ended = ["alert", "Disconnected", "unexpected eof"];
    let is_ended = ended.iter().any(|word| said.contains(word));
    let is_kept_off = is_heeded && said.contains("timed out");
    ensure!(is_ended || is_kept_off, "{who} is not refused: {said}");
    Ok(())
}

/// Metrics are there for whoever connects, until the operator is told whom they are for.
fn metrics(stolen: &Pod, is_heeded: bool) -> Result<()> {
    let page = got(&format!("bank-0.bank-brokers.{BANK}.svc"), 9404, "/metrics");
    ensure!(stolen.sh(&page)?.stdout.contains("ottla_"));
    let chart = ["upgrade", "ottla", "charts/ottla", "-n", SYSTEM, "--wait"];
    let told = ["--set", "networkPolicy.metricsNamespaces={monitoring}"];
    helm(&[&chart[..], &told].concat())?;
    let closed = wait(TIMEOUT, || {
        let policy = get(&path("networkpolicies", BANK, "bank"))?;
        let rules = policy["spec"]["ingress"].to_string();
        // the operator's own namespace is among them: it asks there what a restart would harm
        let allowed = format!("[\"monitoring\",\"{SYSTEM}\"]");
        ensure!(rules.contains(&allowed), "{rules}");
        Ok(rules)
    });
    let page = wait(Duration::from_secs(15), || {
        let said = stolen.sh(&page)?;
        ensure!(
            !is_heeded || said.code != 0,
            "a pod has metrics: {}",
            said.stdout
        );
        Ok(())
    });
    helm(&[&chart[..], &["--reset-values"]].concat())?;
    println!("who may connect: {}", closed?.0);
    page.map(drop)
}

/// The line of a shell that fetches a page; the wget of a static busybox looks no name up.
fn got(host: &str, port: u16, page: &str) -> String {
    format!("printf 'GET {page} HTTP/1.0\\r\\n\\r\\n' | nc -w 4 {host} {port}")
}

/// Whether a pod that a policy closes cannot be reached.
fn are_policies_heeded(from: &Pod) -> Result<bool> {
    let closed = Pod::start(CLOSED)?;
    let serve = "echo open > /tmp/index.html && httpd -p 8080 -h /tmp";
    closed
        .sh(&format!("pidof httpd || {{ {serve}; }}"))?
        .success()?;
    let pod = get(&path("pods", CLOSED, "client"))?;
    let address = pod["status"]["podIP"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let look = got(&address, 8080, "/");
    ensure!(
        from.sh(&look)?.stdout.contains("open"),
        "pods reach one another"
    );
    let policy = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed }
spec: { podSelector: {}, policyTypes: [Ingress] }
";
    apply(CLOSED, policy)?;
    let kept_off = wait(Duration::from_secs(5), || {
        ensure!(from.sh(&look)?.code != 0, "it is reached");
        Ok(())
    });
    Ok(kept_off.is_ok())
}
