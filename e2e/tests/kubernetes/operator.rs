//! The operator gone: in the middle of its work, and for good.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::kubernetes::{apply, get, helm, kubectl, list, path, ready, wait};

use crate::figures::within;
use crate::many::{manifests, wait_many};
use crate::shop::{CLUSTER, NAMESPACE, SYSTEM, TIMEOUT, cluster, namespace, operator, outside, up};

const BUSY: &str = "busy";
const TOPICS: usize = 200;

pub fn killed_in_the_middle() -> Result<()> {
    up()?;
    namespace(BUSY)?;
    apply(BUSY, &(cluster("later", "") + &manifests("later", TOPICS)))?;
    kill()?;
    // again while the brokers start and while the topics are created
    for seconds in [3, 5] {
        std::thread::sleep(Duration::from_secs(seconds));
        kill()?;
    }
    let begun = Instant::now();
    wait(TIMEOUT, || ready("kafkaclusters", BUSY, "later"))?;
    wait_many(BUSY, TOPICS)?;
    within(
        "converged after the operator was killed",
        60.0,
        begun.elapsed(),
    )?;
    let begun = Instant::now();
    kubectl(&["delete", "namespace", BUSY, "--timeout=180s"])?;
    within(
        "a namespace with a cluster and 200 topics deleted",
        60.0,
        begun.elapsed(),
    )
}

fn kill() -> Result<()> {
    let pod = operator()?;
    kubectl(&[
        "delete",
        "pod",
        &pod,
        "-n",
        SYSTEM,
        "--grace-period=0",
        "--force",
    ])?;
    Ok(())
}

pub fn uninstall_keeps_clusters_and_data() -> Result<()> {
    up()?;
    let bootstrap = outside()?;
    apply(NAMESPACE, &crate::shop::topic("survivor", 3, ""))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "survivor"))?;
    kcat(
        &bootstrap,
        &["-P", "-t", "survivor", "-X", "acks=all"],
        "kept\n",
    )?
    .success()?;
    helm(&["uninstall", "ottla", "-n", SYSTEM, "--wait"])?;
    std::thread::sleep(Duration::from_secs(5));
    get(&path("kafkaclusters", NAMESPACE, CLUSTER))?;
    get(&path("kafkatopics", NAMESPACE, "survivor"))?;
    let claims = list(&path("persistentvolumeclaims", NAMESPACE, ""))?.len();
    ensure!(claims >= 3, "{claims} volumes are left");
    let read = kcat(&bootstrap, &["-C", "-t", "survivor", "-e", "-q"], "")?.success()?;
    ensure!(read.stdout == "kept\n", "{}", read.stdout);
    // and an operator that comes back takes them up again
    up()?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "survivor"))?;
    kubectl(&[
        "delete",
        "kafkatopic",
        "survivor",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    Ok(())
}
