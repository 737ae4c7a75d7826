//! Users and certificates from YAML: what docs/security.md promises, with clients as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::{Output, run};
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use ottla_e2e::setup;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, topic};

/// The listeners of the cluster: SCRAM on the first, certificates on the other.
fn cluster(port: u16) -> String {
    let mutual = port + 4;
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{ name: c }}\nspec:\n  \
         replicas: 3\n  listeners:\n    - {{ name: secure, port: {port}, tls: {{}}, \
         authentication: {{ type: Scram }} }}\n    - {{ name: mutual, port: {mutual}, tls: {{}}, \
         authentication: {{ type: MutualTls }} }}\n"
    )
}

fn user(name: &str, authentication: &str, topic: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaUser\nmetadata: {{ name: {name} }}\nspec:\n  \
         clusterRef: {{ name: c }}\n  authentication: {{ type: {authentication} }}\n  acls:\n    \
         - resource: {{ type: Topic, name: {topic} }}\n      \
         operations: [Read, Write, Describe]\n    \
         - resource: {{ type: Group, name: {name}, pattern: Prefixed }}\n      \
         operations: [Read]\n"
    )
}

/// The folder of a user's files.
fn folder(dir: &Path, user: &str) -> PathBuf {
    dir.join("data/users").join(user)
}

fn text(dir: &Path, user: &str, file: &str) -> Result<String> {
    let path = folder(dir, user).join(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Java's console producer with the `client.properties` of a user, as it is.
fn produce(dir: &Path, user: &str, topic: &str, input: &str) -> Result<Output> {
    let bootstrap = text(dir, user, "bootstrap.servers")?;
    let properties = folder(dir, user).join("client.properties");
    Tool::at("ConsoleProducer", &bootstrap)
        .args(&["--topic", topic, "--producer.config"])
        .args(&[&properties.display().to_string()])
        .input(input)
        .output()
}

/// librdkafka with the password of a user.
fn librdkafka(dir: &Path, user: &str, password: &str, action: &[&str]) -> Result<Output> {
    let ca = folder(dir, user).join("ca.crt");
    let mut command = Command::new(setup::python());
    command
        .arg(setup::checkout().join("e2e/clients/login.py"))
        .arg(format!(
            "bootstrap.servers={}",
            text(dir, user, "bootstrap.servers")?
        ))
        .arg("security.protocol=SASL_SSL")
        .arg(format!("ssl.ca.location={}", ca.display()))
        .arg("sasl.mechanism=SCRAM-SHA-512")
        .arg(format!("sasl.username={user}"))
        .arg(format!("sasl.password={password}"))
        .args(action);
    run(command, &[], Duration::from_secs(60))
}

/// kcat with the certificate of a user.
fn with_certificate(dir: &Path, user: &str, args: &[&str], input: &str) -> Result<Output> {
    let at = |file: &str| folder(dir, user).join(file).display().to_string();
    let settings = [
        "security.protocol=SSL".to_owned(),
        format!("ssl.ca.location={}", at("ca.crt")),
        format!("ssl.certificate.location={}", at("user.crt")),
        format!("ssl.key.location={}", at("user.key")),
    ];
    let mut all = args.to_vec();
    for setting in &settings {
        all.extend(["-X", setting]);
    }
    kcat(text(dir, user, "bootstrap.servers")?.trim(), &all, input)
}

#[test]
fn users_from_yaml_do_what_they_may_and_nothing_else() -> Result<()> {
    let ground = Ground::new("users");
    let manifests = [
        ("cluster.yaml", &*cluster(ground.port)),
        ("orders.yaml", &*topic("orders", 3, "")),
        ("bills.yaml", &*topic("bills", 3, "")),
        ("alice.yaml", &*user("alice", "Scram", "orders")),
        ("bob.yaml", &*user("bob", "MutualTls", "bills")),
    ];
    let mut local = ground.start(&manifests)?;
    let dir = &ground.dir;
    let ready = local.wait_line(
        &["ready in ", "bootstrap.servers="],
        Duration::from_secs(60),
    )?;
    for user in ["alice", "bob"] {
        let file = folder(dir, user).join("client.properties");
        let told = format!("{user}={}", file.canonicalize()?.display());
        ensure!(ready.contains(&told), "{ready} has no {told}");
    }

    // Java by SCRAM, librdkafka by SCRAM, kcat by a certificate: each to its own topic
    produce(dir, "alice", "orders", "one\n")?.success()?;
    let password = text(dir, "alice", "password")?;
    librdkafka(dir, "alice", &password, &["produce", "orders"])?.success()?;
    with_certificate(dir, "bob", &["-P", "-t", "bills"], "two\n")?.success()?;
    produce(dir, "bob", "bills", "three\n")?.success()?;
    let read = ["-C", "-t", "bills", "-e", "-q", "-o", "beginning"];
    let read = with_certificate(dir, "bob", &read, "")?.success()?;
    ensure!(read.stdout.contains("two") && read.stdout.contains("three"));

    // nobody touches the other's, or sees it
    let denied = produce(dir, "alice", "bills", "no\n")?;
    denied.line_with(&["Not authorized to access topics"])?;
    let seen = librdkafka(dir, "alice", &password, &["list"])?.success()?;
    ensure!(seen.stdout.trim() == "orders", "{}", seen.all());
    let denied = with_certificate(dir, "bob", &["-P", "-t", "orders", "-p", "0"], "no\n")?;
    denied.line_with(&["Topic authorization failed"])?;
    let wrong = librdkafka(dir, "alice", "another", &["list"])?;
    wrong.line_with(&["invalid credentials"])?;

    change(&local, &ground, &password)?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

/// A password that is rotated, and a user that goes.
fn change(local: &Local, ground: &Ground, password: &str) -> Result<()> {
    let dir = &ground.dir;
    let rotated = user("alice", "Scram", "orders").replace(
        "{ name: alice }",
        "{ name: alice, annotations: { ottla.io/rotate: again } }",
    );
    local.write("alice.yaml", &rotated)?;
    eventually(CHANGE_TIMEOUT, || {
        let old = librdkafka(dir, "alice", password, &["list"])?;
        old.line_with(&["invalid credentials"])?;
        let password = text(dir, "alice", "password")?;
        librdkafka(dir, "alice", &password, &["list"])?.success()
    })?;
    let kept = dir.join("bob");
    std::fs::create_dir_all(&kept)?;
    for file in ["ca.crt", "user.crt", "user.key"] {
        std::fs::copy(folder(dir, "bob").join(file), kept.join(file))?;
    }
    local.remove("bob.yaml")?;
    eventually(CHANGE_TIMEOUT, || {
        ensure!(!folder(dir, "bob").exists(), "his files are there");
        Ok(())
    })?;
    let bootstrap = format!("127.0.0.1:{}", ground.port + 4);
    let at = |file: &str| kept.join(file).display().to_string();
    let settings = [
        "security.protocol=SSL".to_owned(),
        format!("ssl.ca.location={}", at("ca.crt")),
        format!("ssl.certificate.location={}", at("user.crt")),
        format!("ssl.key.location={}", at("user.key")),
    ];
    let mut args = vec!["-P", "-t", "bills", "-p", "0"];
    for setting in &settings {
        args.extend(["-X", setting]);
    }
    let denied = kcat(&bootstrap, &args, "no\n")?;
    denied.line_with(&["Topic authorization failed"])?;
    Ok(())
}
