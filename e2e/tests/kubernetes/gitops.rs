//! What a GitOps pipeline does: apply again, compare, upgrade again.

use anyhow::{Result, ensure};
use ottla_e2e::kubernetes::{apply, command, get, kubectl, list, path, ready, wait};

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
