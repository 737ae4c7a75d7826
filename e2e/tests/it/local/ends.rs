//! How the operator ends, and what the next one finds.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::local::Local;
use ottla_e2e::process::tail;
use rustix::process::Signal;

use super::{Ground, STOP_TIMEOUT, is_alive, pid, signal, topic, wait_partitions};

/// Brokers whose operator is gone, which must not outlive a test that fails.
struct Orphans([u32; 3]);

impl Orphans {
    fn of(local: &Local) -> Result<Self> {
        Ok(Self([pid(local, 0)?, pid(local, 1)?, pid(local, 2)?]))
    }

    fn alive(&self) -> usize {
        self.0.iter().filter(|pid| is_alive(**pid)).count()
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        for pid in self.0.into_iter().filter(|pid| is_alive(*pid)) {
            let _ = signal(pid, Signal::KILL);
        }
    }
}

#[test]
fn brokers_of_a_killed_operator_are_taken_over() -> Result<()> {
    let ground = Ground::new("killed");
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("orders.yaml", &*topic("orders", 3, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "orders", 3)?;
    kcat(&servers, &["-P", "-t", "orders"], "kept\n")?.success()?;
    let brokers = Orphans::of(&local)?;
    local.process().kill();
    ensure!(brokers.alive() == 3, "brokers go on without the operator");
    signal(brokers.0[2], Signal::KILL)?;

    let mut again = ground.start(&manifests)?;
    let process = format!("process {}", brokers.0[0]);
    again.wait_line(&["broker 0 runs already", &process], STOP_TIMEOUT)?;
    let (_, servers) = again.wait_ready()?;
    let now = Orphans::of(&again)?;
    ensure!(
        now.0[..2] == brokers.0[..2],
        "running brokers were restarted"
    );
    ensure!(now.0[2] != brokers.0[2], "the dead broker was not started");
    let read = kcat(&servers, &["-C", "-t", "orders", "-e", "-q"], "")?.success()?;
    ensure!(read.stdout == "kept\n", "{}", read.stdout);
    again.process().stop(STOP_TIMEOUT)?;
    ensure!(now.alive() == 0, "a broker outlived the second operator");
    Ok(())
}

#[test]
fn brokers_of_a_cluster_that_left_the_folder_meanwhile_are_stopped() -> Result<()> {
    let ground = Ground::new("left");
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    local.wait_ready()?;
    let brokers = Orphans::of(&local)?;
    local.process().kill();
    local.remove("cluster.yaml")?;
    let mut again = ground.start(&[])?;
    again.wait_line(&["all brokers have stopped"], STOP_TIMEOUT)?;
    ensure!(brokers.alive() == 0, "a broker is still there");
    ensure!(
        again.broker_dir("c-0").exists(),
        "data goes only where reclaimPolicy says so"
    );
    again.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

/// What a controller decides after a restart rests on all that it had committed before: were it not
/// so, an epoch would be given twice, and what is acknowledged or led by it would be in doubt.
#[test]
fn all_killed_at_once_again_and_again_lose_nothing_and_have_new_epochs() -> Result<()> {
    const ROUNDS: usize = 5;
    let ground = Ground::new("all-killed");
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("orders.yaml", &*topic("orders", 6, "")),
    ];
    for round in 0..ROUNDS {
        let mut local = ground.start(&manifests)?;
        let (_, servers) = local.wait_ready()?;
        let brokers = Orphans::of(&local)?;
        wait_partitions(&servers, "orders", 6)?;
        let limited = ["-X", "acks=all", "-X", "message.timeout.ms=10000"];
        let args = [&["-P", "-t", "orders"], &limited[..]].concat();
        let records: String = (0..100).map(|n| format!("{round}-{n}\n")).collect();
        kcat(&servers, &args, &records)?.success()?;
        local.process().kill();
        drop(brokers);
    }
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    let read = kcat(&servers, &["-C", "-t", "orders", "-e", "-q"], "")?.success()?;
    let count = read.stdout.lines().collect::<BTreeSet<_>>().len();
    ensure!(count == 100 * ROUNDS, "{count} records are left");
    let mut epochs = BTreeSet::new();
    for pod in ["c-0", "c-1", "c-2"] {
        let log = std::fs::read_to_string(local.broker_dir(pod).join("log"))?;
        for line in log
            .lines()
            .filter(|line| line.contains("registered with broker epoch"))
        {
            let epoch = line.rsplit(' ').next().unwrap_or_default().to_owned();
            ensure!(epochs.insert(epoch), "an epoch was given twice: {line}");
        }
    }
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_second_signal_does_not_wait() -> Result<()> {
    let ground = Ground::new("hurry");
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    local.wait_ready()?;
    let brokers = Orphans::of(&local)?;
    signal(brokers.0[2], Signal::STOP)?;
    local.process().signal(Signal::INT);
    local.wait_line(&["brokers are stopping"], STOP_TIMEOUT)?;
    local.process().signal(Signal::INT);
    let status = local.process().wait(Duration::from_secs(5))?;
    ensure!(
        status.success(),
        "{status}: {}",
        tail(&local.process().output())
    );
    ensure!(brokers.alive() == 0, "a broker outlived the operator");
    Ok(())
}
