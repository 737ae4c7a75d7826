//! `ottla-operator local`: what a person sees who has a folder of YAML and wants a Kafka.

mod bad_input;
mod certificates;
mod changes;
mod controllers;
mod disks;
mod ends;
mod issuer;
mod many;
mod reassign;
mod rebalance;
mod replaced;
mod users;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::Output;
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use ottla_e2e::process::tail;
use ottla_e2e::setup;
use rustix::process::Signal;

const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A folder and a cluster of its own for one test.
struct Ground {
    dir: PathBuf,
    port: u16,
}

impl Ground {
    fn new(name: &str) -> Self {
        Self {
            dir: setup::scratch(name),
            port: first_of_free_ports(8),
        }
    }

    /// A KafkaCluster `c` whose first broker listens on our port; `more` continues its spec.
    fn cluster(&self, replicas: u16, more: &str) -> String {
        format!(
            "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{ name: c }}\nspec:\n  \
             replicas: {replicas}\n  listeners:\n    - {{ name: internal, port: {}, type: Internal \
             }}\n{more}",
            self.port
        )
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&self, manifests: &[(&str, &str)]) -> Result<Local> {
        Local::start(&self.dir, manifests)
    }
}

/// A KafkaTopic of cluster `c`; `more` continues its spec.
fn topic(name: &str, partitions: u32, more: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaTopic\nmetadata: {{ name: {name} }}\nspec:\n  \
         clusterRef: {{ name: c }}\n  partitions: {partitions}\n  replicationFactor: 3\n{more}"
    )
}

/// The first of this many free ports in a row, as local mode counts them up; those 10,000 and
/// 20,000 above are the brokers' other ports.
fn first_of_free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = (std::process::id() % 600) as u16;
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..600 {
        let step = (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 600;
        let first = 3000 + step * 10;
        let mut ports = (first..first + count).flat_map(|p| [p, p + 10_000, p + 20_000]);
        if ports.all(is_free) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

/// Waits until the topic has so many partitions, each with a leader.
fn wait_partitions(bootstrap: &str, topic: &str, count: usize) -> Result<()> {
    eventually(CHANGE_TIMEOUT, || {
        let listed = kcat(bootstrap, &["-L", "-t", topic], "").and_then(Output::success)?;
        let words = format!("topic \"{topic}\" with {count} partitions");
        listed.line_with(&[&words])?;
        let led = listed
            .stdout
            .lines()
            .filter(|line| line.contains(", leader ") && !line.contains("leader -1"));
        let led = led.count();
        ensure!(led == count, "{led} of {count} partitions have a leader");
        Ok(())
    })
}

fn pid(local: &Local, ordinal: u16) -> Result<u32> {
    let path = local.broker_dir(&format!("c-{ordinal}")).join("pid");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim().parse()?)
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid as i32).context("a pid is not 0")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

#[test]
fn a_cluster_from_yaml_keeps_its_records_and_leaves_no_process() -> Result<()> {
    let ground = Ground::new("quickstart");
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("orders.yaml", &*topic("orders", 6, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (ms, servers) = local.wait_ready()?;
    println!("local mode: ready in {ms} ms at {servers}");
    let ports = [ground.port, ground.port + 1, ground.port + 2];
    let expected = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    ensure!(servers == expected, "{servers}, expected {expected}");
    wait_partitions(&servers, "orders", 6)?;
    let pids = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    ensure!(pids.iter().all(|pid| is_alive(*pid)));
    for ordinal in 0..3 {
        ensure!(
            local
                .broker_dir(&format!("c-{ordinal}"))
                .join("log")
                .exists()
        );
    }
    kcat(&servers, &["-P", "-t", "orders", "-K", "="], "a=kept\n")?.success()?;

    local.process().signal(Signal::INT);
    let status = local.process().wait(STOP_TIMEOUT)?;
    ensure!(
        status.success(),
        "{status}: {}",
        tail(&local.process().output())
    );
    ensure!(
        !pids.iter().any(|pid| is_alive(*pid)),
        "a broker outlived the operator"
    );
    drop(local);

    let mut again = ground.start(&manifests)?;
    let (_, servers) = again.wait_ready()?;
    let read = kcat(&servers, &["-C", "-t", "orders", "-e", "-q"], "")?.success()?;
    ensure!(read.stdout == "kept\n", "{}", read.stdout);
    again.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn the_quickstart_is_what_the_readme_says() -> Result<()> {
    let folder = setup::checkout().join("examples/quickstart");
    let mut text = String::new();
    for entry in std::fs::read_dir(&folder)? {
        text += &std::fs::read_to_string(entry?.path())?;
    }
    for words in [
        "kind: KafkaCluster",
        "quickstart",
        "kind: KafkaTopic",
        "orders",
    ] {
        ensure!(text.contains(words), "examples/quickstart has no {words}");
    }
    if (9092..9095).any(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_err()) {
        println!("skipped: ports 9092 to 9094 are not all free");
        return Ok(());
    }
    let dir = setup::scratch("readme");
    let mut local = Local::start_on(&dir, &folder)?;
    let (ms, servers) = local.wait_ready()?;
    ensure!(
        servers == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094",
        "{servers}"
    );
    println!("examples/quickstart: ready in {ms} ms");
    if crate::start::is_measured() {
        ensure!(ms <= 2000, "ready in {ms} ms");
    }
    wait_partitions(&servers, "orders", 6)?;
    for ordinal in 0..3 {
        let pod = local.broker_dir(&format!("quickstart-{ordinal}"));
        ensure!(pod.join("pid").exists() && pod.join("log").exists());
    }
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
