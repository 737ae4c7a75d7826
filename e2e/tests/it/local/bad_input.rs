//! Mistakes: one sentence says what, where and how to mend it; the rest goes on; nothing is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use ottla_e2e::process::tail;
use ottla_e2e::setup;

use super::{CHANGE_TIMEOUT, Ground, pid, topic, wait_partitions};

/// A mistake in a manifest, and words that the sentence about it has.
struct Mistake {
    file: &'static str,
    text: String,
    words: &'static [&'static str],
}

fn mistakes() -> Vec<Mistake> {
    let unknown = topic("unknown-field", 1, "  partitons: 3\n");
    let wrong = topic("wrong-type", 1, "").replace("partitions: 1", "partitions: many");
    let wide = topic("too-wide", 1, "").replace("replicationFactor: 3", "replicationFactor: 5");
    vec![
        Mistake {
            file: "unknown.yaml",
            text: unknown,
            words: &["unknown.yaml", "partitons"],
        },
        Mistake {
            file: "wrong.yaml",
            text: wrong,
            words: &["wrong.yaml", "partitions"],
        },
        Mistake {
            file: "wide.yaml",
            text: wide,
            words: &["too-wide", "5", "3"],
        },
        Mistake {
            file: "config.yaml",
            text: topic("bad-config", 1, "  config: { cleanup.policy: burn }\n"),
            words: &["bad-config", "cleanup.policy"],
        },
        Mistake {
            file: "second.yaml",
            text: topic("second", 1, "  topicName: good\n"),
            words: &["second", "good"],
        },
        Mistake {
            file: "nowhere.yaml",
            text: topic("nowhere", 1, "").replace("{ name: c }", "{ name: absent }"),
            words: &["nowhere", "absent"],
        },
        Mistake {
            file: "broken.yaml",
            text: "apiVersion: [ottla.io".to_string(),
            words: &["broken.yaml"],
        },
    ]
}

#[test]
fn each_mistake_has_its_sentence_and_the_rest_goes_on() -> Result<()> {
    let ground = Ground::new("mistakes");
    let cluster = ground.cluster(3, "");
    let good = topic("good", 2, "");
    let mut local = ground.start(&[("cluster.yaml", &cluster), ("a-good.yaml", &good)])?;
    local.wait_ready()?;
    wait_partitions(&ground.bootstrap(), "good", 2)?;
    kcat(&ground.bootstrap(), &["-P", "-t", "good"], "kept\n")?.success()?;

    for mistake in mistakes() {
        local.write(mistake.file, &mistake.text)?;
    }
    for mistake in mistakes() {
        let line = local.wait_line(mistake.words, CHANGE_TIMEOUT)?;
        println!("{}: {line}", mistake.file);
    }
    local.write("a-good.yaml", &topic("good", 1, ""))?;
    local.wait_line(&["good", "2", "1"], CHANGE_TIMEOUT)?;

    local.write("another.yaml", &topic("another", 1, ""))?;
    wait_partitions(&ground.bootstrap(), "another", 1)?;
    wait_partitions(&ground.bootstrap(), "good", 2)?;
    let read = kcat(&ground.bootstrap(), &["-C", "-t", "good", "-e", "-q"], "")?.success()?;
    ensure!(read.stdout == "kept\n", "{}", read.stdout);
    let listed = kcat(&ground.bootstrap(), &["-L"], "")?.success()?;
    for name in [
        "unknown-field",
        "wrong-type",
        "too-wide",
        "bad-config",
        "nowhere",
    ] {
        ensure!(
            !listed.stdout.contains(&format!("\"{name}\"")),
            "{name} was created"
        );
    }
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_setting_that_brokers_refuse_reaches_none_of_them() -> Result<()> {
    let ground = Ground::new("refused-setting");
    let good = ground.cluster(3, "  config: { num.partitions: \"2\" }\n");
    let mut local = ground.start(&[("cluster.yaml", &good)])?;
    local.wait_ready()?;
    let before = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    let settings = local.broker_dir("c-0").join("broker.properties");
    let settings_before = std::fs::read_to_string(&settings)?;
    let bad = ground.cluster(
        4,
        "  controllers: 3\n  config: { num.network.threads: many }\n",
    );
    local.write("cluster.yaml", &bad)?;
    let line = local.wait_line(&["spec.config: num.network.threads=many"], CHANGE_TIMEOUT)?;
    println!("{line}");
    local.write(
        "cluster.yaml",
        &bad.replace("threads: many", "thread: \"3\""),
    )?;
    local.wait_line(&["num.network.thread'", "did you mean"], CHANGE_TIMEOUT)?;
    // the rest goes on
    local.write("another.yaml", &topic("another", 1, ""))?;
    wait_partitions(&ground.bootstrap(), "another", 1)?;
    let after = [pid(&local, 0)?, pid(&local, 1)?, pid(&local, 2)?];
    ensure!(before == after, "a broker was restarted");
    ensure!(std::fs::read_to_string(&settings)? == settings_before);
    ensure!(!local.broker_dir("c-3").exists(), "a broker was added");
    local.process().stop(super::STOP_TIMEOUT)?;

    // the next operator finds the mistake, and brings the brokers up as they were
    let mut again = Local::start_on(&ground.dir, &ground.dir.join("manifests"))?;
    again.wait_line(&["num.network.thread'", "did you mean"], CHANGE_TIMEOUT)?;
    wait_partitions(&ground.bootstrap(), "another", 1)?;
    again.write(
        "cluster.yaml",
        &bad.replace("threads: many", "threads: \"4\""),
    )?;
    eventually(CHANGE_TIMEOUT, || {
        ensure!(
            again.broker_dir("c-3").join("pid").exists(),
            "not added yet"
        );
        Ok(())
    })?;
    again.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_new_cluster_with_a_refused_setting_starts_once_it_is_mended() -> Result<()> {
    let ground = Ground::new("refused-at-first");
    let bad = ground.cluster(1, "  config: { log.retention.ms: soon }\n");
    let mut local = ground.start(&[("cluster.yaml", &bad)])?;
    local.wait_line(
        &["log.retention.ms=soon", "no broker is started"],
        CHANGE_TIMEOUT,
    )?;
    ensure!(!local.broker_dir("c-0").exists(), "a broker was started");
    local.write("cluster.yaml", &bad.replace("soon", "\"86400000\""))?;
    local.wait_ready()?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_folder_that_goes_away_stops_nobody() -> Result<()> {
    let ground = Ground::new("folder-gone");
    let good = topic("good", 1, "").replace("Factor: 3", "Factor: 1");
    let mut local = ground.start(&[
        ("cluster.yaml", &ground.cluster(1, "")),
        ("good.yaml", &good),
    ])?;
    local.wait_ready()?;
    let folder = ground.dir.join("manifests");
    let away = ground.dir.join("away");
    std::fs::rename(&folder, &away)?;
    local.wait_line(&["manifests cannot be read", "goes on"], CHANGE_TIMEOUT)?;
    kcat(&ground.bootstrap(), &["-P", "-t", "good"], "kept\n")?.success()?;
    std::fs::rename(&away, &folder)?;
    local.write("good.yaml", &good.replace("partitions: 1", "partitions: 2"))?;
    wait_partitions(&ground.bootstrap(), "good", 2)?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_named() -> Result<()> {
    let dir = setup::scratch("no-folder");
    let mut local = Local::start_on(&dir, &dir.join("absent"))?;
    let status = local.process().wait(Duration::from_secs(10))?;
    let said = local.process().output();
    ensure!(!status.success(), "it goes on without manifests");
    ensure!(
        said.contains("absent") && said.lines().count() <= 3,
        "one sentence: {said}"
    );
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let ground = Ground::new("port-in-use");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", ground.port))?;
    let mut local = ground.start(&[("cluster.yaml", &ground.cluster(3, ""))])?;
    let port = ground.port.to_string();
    local.wait_line(&[&port, "use"], CHANGE_TIMEOUT)?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}

#[test]
fn data_in_use_is_left_alone() -> Result<()> {
    let ground = Ground::new("foreign");
    let cluster = ground.cluster(1, "");
    let mut local = ground.start(&[("cluster.yaml", &cluster)])?;
    local.wait_ready()?;

    // a second operator on the same data
    let mut second = Local::start_on(&ground.dir, &ground.dir.join("manifests"))?;
    let said = eventually(Duration::from_secs(15), || {
        let said = second.process().output();
        ensure!(said.contains("use"), "no sentence yet: {}", tail(&said));
        Ok(said)
    })?;
    println!("{said}");
    let _ = second.process().stop(super::STOP_TIMEOUT);
    kcat(
        &ground.bootstrap(),
        &["-P", "-t", "t", "-X", "allow.auto.create.topics=true"],
        "",
    )?;
    local.process().stop(super::STOP_TIMEOUT)?;
    Ok(())
}
