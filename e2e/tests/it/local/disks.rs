//! Disks: one that is full, and data that is another cluster's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::eventually;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, topic, wait_partitions};

/// A small file system of its own, where this user may mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, megabytes: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        Ok(mounted.then(|| Self(at.to_owned())))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // lazily: a broker that outlived a failed test may still hold it
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() -> Result<()> {
    let ground = Ground::new("full-disk");
    let Some(small) = Small::mount(&ground.dir.join("data/c-1"), 400)? else {
        println!("skipped: this user may not mount");
        return Ok(());
    };
    let manifests = [
        ("cluster.yaml", &*ground.cluster(3, "")),
        ("kept.yaml", &*topic("kept", 3, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let (_, servers) = local.wait_ready()?;
    wait_partitions(&servers, "kept", 3)?;
    let produce = |record: &str| {
        let args = [
            "-P",
            "-t",
            "kept",
            "-X",
            "acks=all",
            "-X",
            "message.timeout.ms=60000",
        ];
        kcat(&servers, &args, &format!("{record}\n"))?.success()
    };
    produce("before")?;

    let filler = small.0.join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M"])
        .arg(format!("of={}", filler.display()))
        .output()
        .context("dd")?;
    ensure!(!full.status.success(), "the disk is not full");
    local.wait_line(&["broker 1", "is full", "free some space"], CHANGE_TIMEOUT)?;
    let listed = kcat(&servers, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
    ensure!(
        listed.stdout == "before\n",
        "reads go on: {}",
        listed.stdout
    );

    std::fs::remove_file(&filler)?;
    eventually(Duration::from_secs(60), || produce("after"))?;
    eventually(CHANGE_TIMEOUT, || {
        let read = kcat(&servers, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
        let mut lines: Vec<_> = read.stdout.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        ensure!(lines == ["after", "before"], "{}", read.stdout);
        Ok(())
    })?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn data_of_another_cluster_or_broker_is_left_alone() -> Result<()> {
    let (ours, others) = (Ground::new("ours"), Ground::new("others"));
    for ground in [&ours, &others] {
        let kept = topic("kept", 2, "");
        let cluster = ground.cluster(3, "");
        let mut local = ground.start(&[("cluster.yaml", &cluster), ("kept.yaml", &kept)])?;
        local.wait_ready()?;
        wait_partitions(&ground.bootstrap(), "kept", 2)?;
        let record = format!("{}\n", ground.port);
        kcat(
            &ground.bootstrap(),
            &["-P", "-t", "kept", "-X", "acks=all"],
            &record,
        )?
        .success()?;
        local.process().stop(STOP_TIMEOUT)?;
    }
    // somebody restores a folder to the wrong place
    let data = |ground: &Ground, pod: &str| ground.dir.join("data").join(pod);
    std::fs::rename(data(&ours, "c-2"), ours.dir.join("put-aside"))?;
    std::fs::rename(data(&others, "c-2"), data(&ours, "c-2"))?;
    let mut local = ours.start(&[])?;
    let words = ["broker 2", "belongs to cluster", "put the right directory"];
    println!("{}", local.wait_line(&words, CHANGE_TIMEOUT)?);
    let read = eventually(CHANGE_TIMEOUT, || {
        let args = ["-C", "-t", "kept", "-e", "-q"];
        let read = kcat(&ours.bootstrap(), &args, "")?.success()?;
        ensure!(!read.stdout.is_empty(), "nothing yet");
        Ok(read.stdout)
    })?;
    ensure!(
        read == format!("{}\n", ours.port),
        "records of another cluster: {read}"
    );
    local.process().stop(STOP_TIMEOUT)?;

    // and then the folder of another broker
    std::fs::rename(data(&ours, "c-2"), data(&others, "c-2"))?;
    std::fs::rename(data(&ours, "c-1"), data(&ours, "c-2"))?;
    std::fs::rename(ours.dir.join("put-aside"), data(&ours, "c-1"))?;
    let mut local = ours.start(&[])?;
    let words = ["broker 1", "belongs to node 2"];
    println!("{}", local.wait_line(&words, CHANGE_TIMEOUT)?);
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
