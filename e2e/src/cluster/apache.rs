//! Apache Kafka as it is: combined controller and broker, its own defaults, from the jars.

use std::path::Path;

use anyhow::{Result, ensure};

use super::Cluster;
use crate::client::tool::java;
use crate::process::Process;

/// What only Apache Kafka wants to be told.
pub fn properties(replication: &str) -> Vec<(String, String)> {
    let in_sync = if replication == "1" { "1" } else { "2" };
    [
        ("process.roles", "broker,controller"),
        ("transaction.state.log.replication.factor", replication),
        ("transaction.state.log.min.isr", in_sync),
        (
            "share.coordinator.state.topic.replication.factor",
            replication,
        ),
        ("share.coordinator.state.topic.min.isr", in_sync),
    ]
    .map(|(key, value)| (key.to_string(), value.to_string()))
    .into()
}

/// Writes the cluster's id into every data directory, without which a broker does not start.
pub fn format(cluster: &Cluster) -> Result<()> {
    // any 16 bytes in URL-safe base64 will do: a cluster of the tests meets no other
    let cluster_id = "b3R0bGEtZTJlLWNsdXN0ZQ";
    for id in 0..cluster.size() {
        let config = cluster.file(id, "properties");
        let output = java(&["-Xmx64M"], &[])
            .args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"])
            .arg(config)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "formatting broker {id}: {said}");
    }
    Ok(())
}

/// Starts one broker with the flags that Kafka's own start script gives it.
pub fn launch(cluster: &Cluster, config: &Path, log: &Path) -> Result<Process> {
    let heap = &cluster.shape.heap;
    let flags = [
        &format!("-Xms{heap}"),
        &format!("-Xmx{heap}"),
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
    ];
    let mut command = java(&flags, &[]);
    command.arg("kafka.Kafka").arg(config);
    Process::start(command, log)
}
