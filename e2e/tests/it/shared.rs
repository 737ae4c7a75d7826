//! One cluster that the tests which disturb nobody share: three brokers in three racks.

use std::sync::{LazyLock, Mutex};

use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape};

static SHARED: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
    let cluster = Cluster::start(Shape::new("shared", 3)).expect("the shared cluster starts");
    Mutex::new(cluster)
});

/// The bootstrap servers of the shared cluster, which runs as long as the test program;
/// `OTTLA_E2E_BOOTSTRAP` names another one of three brokers that is there already.
pub fn bootstrap() -> String {
    if let Ok(servers) = std::env::var("OTTLA_E2E_BOOTSTRAP") {
        return servers;
    }
    let cluster = SHARED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    cluster.bootstrap()
}

/// A topic of its own for one test, named for it.
pub fn topic(name: &str, partitions: u32) -> String {
    let name = format!("{name}-{}", std::process::id());
    let partitions = partitions.to_string();
    Tool::at("TopicCommand", &bootstrap())
        .args(&["--create", "--topic", &name])
        .args(&["--partitions", &partitions, "--replication-factor", "3"])
        .run()
        .expect("the topic is created");
    name
}

/// Produces `count` records `0`, `1`, … to one partition, acknowledged by all in-sync replicas.
pub fn fill(topic: &str, partition: u32, count: u32) {
    let records: String = (0..count).map(|number| format!("{number}\n")).collect();
    kcat(
        &bootstrap(),
        &["-P", "-t", topic, "-p", &partition.to_string()],
        &records,
    )
    .and_then(ottla_e2e::client::Output::success)
    .expect("kcat produces");
}
