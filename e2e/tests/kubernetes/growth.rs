//! More brokers, larger volumes.

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{apply, condition, get, kubectl, list, path, ready, says, text, wait};
use serde_json::Value;

use crate::figures::within;
use crate::shop::{TIMEOUT, cluster, namespace, up};

const ELSEWHERE: &str = "growth";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
/// A storage class of our own, so that nobody else's is changed.
const CLASS: &str = "ottla-e2e-growth";

pub fn volumes_and_brokers_are_added() -> Result<()> {
    up()?;
    // what a run before this one has left is too large already
    kubectl(&["delete", "namespace", ELSEWHERE, "--ignore-not-found"])?;
    namespace(ELSEWHERE)?;
    make_class()?;
    apply(ELSEWHERE, &sized(1, "1Gi"))?;
    wait(TIMEOUT, || ready("kafkaclusters", ELSEWHERE, "small"))?;
    // a class that does not let volumes grow: said, and nothing else happens
    apply(ELSEWHERE, &sized(1, "2Gi"))?;
    let (kind, reason) = ("kafkaclusters", "VolumeCannotGrow");
    let refused = || says(kind, ELSEWHERE, "small", "Stalled", "True", reason);
    let (object, took) = wait(TIMEOUT, refused)?;
    within("a volume that cannot grow is said", 5.0, took)?;
    let message = condition(&object, "Stalled")?["message"].to_string();
    ensure!(message.contains("cannot grow to 2Gi"), "{message}");
    let allow = "{\"allowVolumeExpansion\":true}";
    kubectl(&["patch", "storageclass", CLASS, "-p", allow])?;
    apply(ELSEWHERE, &sized(1, "3Gi"))?;
    let (_, took) = wait(TIMEOUT, || asked(0, "3Gi"))?;
    within("a larger volume is asked for", 5.0, took)?;
    // not Ready before it is as large as that; kind's volumes do not grow, so the driver is played
    let growing = || says(kind, ELSEWHERE, "small", "Reconciling", "True", "Applying");
    let (object, _) = wait(TIMEOUT, growing)?;
    let message = condition(&object, "Reconciling")?["message"].to_string();
    ensure!(message.contains("grows to 3Gi"), "{message}");
    grow(0, "3Gi")?;
    wait(TIMEOUT, || ready(kind, ELSEWHERE, "small"))?;
    // the new broker's volume has the new size, though the StatefulSet cannot say so
    let scale = [
        "scale",
        "kafkacluster",
        "small",
        "--replicas=2",
        "-n",
        ELSEWHERE,
    ];
    kubectl(&scale)?;
    let (_, until_asked) = wait(TIMEOUT, || asked(1, "3Gi"))?;
    grow(1, "3Gi")?;
    let (object, took) = wait(TIMEOUT, || {
        let object = ready(kind, ELSEWHERE, "small")?;
        ensure!(
            object["status"]["brokersReady"] == "2/2",
            "{}",
            object["status"]
        );
        Ok(object)
    })?;
    within("a broker added by kubectl scale", 30.0, until_asked + took)?;
    ensure!(object["status"]["replicas"] == 2, "{}", object["status"]);
    kubectl(&["delete", "namespace", ELSEWHERE, "--timeout=120s"])?;
    kubectl(&["delete", "storageclass", CLASS])?;
    Ok(())
}

fn sized(replicas: u32, size: &str) -> String {
    let class = format!("size: {size}, storageClassName: {CLASS}");
    cluster("small", "")
        .replace("replicas: 3", &format!("replicas: {replicas}"))
        .replace("size: 1Gi", &class)
}

/// Whether a broker's claim asks for this size.
fn asked(ordinal: u32, size: &str) -> Result<()> {
    let claim = format!("data-small-{ordinal}");
    let claim = get(&path("persistentvolumeclaims", ELSEWHERE, &claim))?;
    let asked = &claim["spec"]["resources"]["requests"]["storage"];
    ensure!(asked == size, "{asked} is asked for");
    Ok(())
}

/// Says that a broker's volume has grown, as the driver of a storage that can would.
fn grow(ordinal: u32, size: &str) -> Result<()> {
    let claim = format!("data-small-{ordinal}");
    let capacity = format!(r#"{{"status":{{"capacity":{{"storage":"{size}"}}}}}}"#);
    let patch = ["patch", "pvc", &claim, "-n", ELSEWHERE];
    let status = ["--subresource=status", "-p", &capacity];
    kubectl(&[&patch[..], &status[..]].concat()).map(drop)
}

/// The cluster's own default class, but that its volumes do not grow.
fn make_class() -> Result<()> {
    let classes = list(CLASSES)?;
    let is_default = |class: &&Value| {
        let annotations = &class["metadata"]["annotations"];
        annotations["storageclass.kubernetes.io/is-default-class"] == "true"
    };
    let default = classes.iter().find(is_default);
    let mut class = default.context("a default storage class")?.clone();
    if text(&format!("{CLASSES}/{CLASS}")).is_ok() {
        kubectl(&["delete", "storageclass", CLASS])?;
    }
    class["metadata"] = serde_json::json!({ "name": CLASS });
    class["allowVolumeExpansion"] = Value::Bool(false);
    class["apiVersion"] = Value::from("storage.k8s.io/v1");
    class["kind"] = Value::from("StorageClass");
    apply("default", &class.to_string()).map(drop)
}
