//! What a GitOps pipeline does: apply again, compare, upgrade again.

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{apply, command, get, helm, kubectl, list, path, ready, wait};
use ottla_e2e::setup::{provided, scratch};
use serde_json::Value;

use crate::shop::{CLUSTER, NAMESPACE, SYSTEM, TIMEOUT, install, manifest, topic, up};

pub fn nothing_differs_after_apply() -> Result<()> {
    up()?;
    let yaml = manifest("") + &topic("compared", 3, "  config: { retention.ms: \"1000\" }\n");
    apply(NAMESPACE, &yaml)?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "compared"))?;
    let differs = command("kubectl", &["diff", "-n", NAMESPACE, "-f", "-"], &yaml)?;
    ensure!(differs.code == 0, "kubectl diff: {}", differs.all());
    for command_line in [
        "--dry-run=server",
        "--server-side --force-conflicts --dry-run=server",
    ] {
        let mut arguments = vec!["apply", "-n", NAMESPACE, "-f", "-"];
        arguments.extend(command_line.split(' '));
        command("kubectl", &arguments, &yaml)?.success()?;
    }
    kubectl(&[
        "delete",
        "kafkatopic",
        "compared",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    Ok(())
}

pub fn a_second_upgrade_changes_nothing() -> Result<()> {
    up()?;
    let before = versions()?;
    install()?;
    let after = versions()?;
    ensure!(before == after, "changed: {before:?} to {after:?}");
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = get(&format!("{definition}/kafkaclusters.ottla.io"))?;
    let policy = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
    ensure!(policy == "keep", "{policy}");
    Ok(())
}

/// What changes when a spec does, of all that the chart installs and the operator makes.
fn versions() -> Result<Vec<String>> {
    let mut versions = Vec::new();
    let kinds = [
        ("deployments", SYSTEM),
        ("statefulsets", NAMESPACE),
        ("kafkaclusters", NAMESPACE),
    ];
    for (kind, namespace) in kinds {
        for object in list(&path(kind, namespace, ""))? {
            let meta = &object["metadata"];
            versions.push(format!("{kind}/{} {}", meta["name"], meta["generation"]));
        }
    }
    for name in ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"] {
        let at = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let object = get(&format!("{at}/{name}"))?;
        versions.push(format!("{name} {}", object["metadata"]["generation"]));
    }
    ensure!(versions.len() >= 5 && !CLUSTER.is_empty(), "{versions:?}");
    Ok(versions)
}

/// Of what the chart installs and what the operator makes of a cluster, a policy checker complains
/// of nothing but what `e2e/kind/policies.yaml` gives reasons for.
pub fn policies_are_kept() -> Result<()> {
    up()?;
    let dir = scratch("policies");
    let release = helm(&["get", "manifest", "ottla", "-n", SYSTEM])?;
    std::fs::write(dir.join("release.yaml"), release)?;
    let kinds = "statefulsets,services,configmaps,poddisruptionbudgets,networkpolicies";
    let ours = "app.kubernetes.io/managed-by=ottla-operator";
    let made = kubectl(&["get", kinds, "-n", NAMESPACE, "-l", ours, "-o", "yaml"])?;
    ensure!(made.contains("kind: NetworkPolicy"), "{made}");
    std::fs::write(dir.join("cluster.yaml"), made)?;
    let checker = provided("checkov")?;
    let checker = checker.to_string_lossy();
    let dir = dir.to_string_lossy();
    let arguments = [
        "LOG_LEVEL=ERROR",
        &checker,
        "--config-file",
        "e2e/kind/policies.yaml",
        "--directory",
        &dir,
        "--output",
        "json",
    ];
    let said = command("env", &arguments, "")?;
    let report: Value = serde_json::from_str(&said.stdout)
        .with_context(|| format!("checkov says: {}", said.all()))?;
    let summary = &report["summary"];
    println!("checkov: {summary}");
    let (passed, failed) = (summary["passed"].as_u64(), summary["failed"].as_u64());
    ensure!(passed.is_some_and(|passed| passed > 50), "{summary}");
    ensure!(failed == Some(0), "{}", report["results"]["failed_checks"]);
    Ok(())
}

/// `kubectl explain` says of every field what it is.
pub fn fields_are_explained() -> Result<()> {
    up()?;
    for (field, words) in [
        ("kafkatopic.spec.partitions", "May grow, never shrink"),
        ("kafkacluster.spec.storage.size", "shrink"),
        ("kafkacluster.spec.config", "Kafka"),
    ] {
        let said = kubectl(&["explain", field])?;
        ensure!(said.contains(words), "{field}: {said}");
    }
    for kind in ["kafkacluster", "kafkatopic"] {
        let all = kubectl(&["explain", kind, "--recursive"])?;
        ensure!(all.contains("observedGeneration"), "{all}");
    }
    Ok(())
}
