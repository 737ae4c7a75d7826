//! A listener for tokens of an issuer, from YAML: its keys come from a URL.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::{Output, run};
use ottla_e2e::cluster::eventually;
use ottla_e2e::issuer::Issuer;
use ottla_e2e::setup;

use super::{CHANGE_TIMEOUT, Ground, STOP_TIMEOUT, topic};

/// A cluster whose only listener takes tokens; alice may do everything.
fn cluster(ground: &Ground, keys: u16) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{ name: c }}\nspec:\n  \
         replicas: 3\n  authorization: {{ superUsers: [\"User:alice\"] }}\n  listeners:\n    \
         - name: tokens\n      port: {}\n      tls: {{}}\n      authentication:\n        \
         type: OAuth\n        jwksEndpoint: http://127.0.0.1:{keys}/keys\n        \
         issuer: https://issuer\n        audiences: [kafka]\n",
        ground.port
    )
}

/// Answers every request with these keys, as long as the test runs.
fn publish(keys: String, port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let length = keys.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{keys}"
            );
        }
    });
    Ok(())
}

/// librdkafka with this token.
fn by_token(ground: &Ground, token: &str, action: &[&str]) -> Result<Output> {
    let mut command = Command::new(setup::python());
    command
        .arg(setup::checkout().join("e2e/clients/login.py"))
        .arg(format!("bootstrap.servers={}", ground.bootstrap()))
        .arg("security.protocol=SASL_SSL")
        .arg(format!(
            "ssl.ca.location={}",
            authority(&ground.dir).display()
        ))
        .arg("sasl.mechanism=OAUTHBEARER")
        .arg(format!("token={token}"))
        .args(action);
    run(command, &[], Duration::from_secs(60))
}

/// Whom clients of the cluster trust.
fn authority(dir: &Path) -> PathBuf {
    dir.join("data/secrets/c.ca/ca.crt")
}

#[test]
fn tokens_of_the_issuer_log_in_once_its_keys_can_be_had() -> Result<()> {
    let ground = Ground::new("tokens-from-yaml");
    let issuer = Issuer::new()?;
    let keys = setup::free_ports(1)[0];
    let manifests = [
        ("cluster.yaml", &*cluster(&ground, keys)),
        ("orders.yaml", &*topic("orders", 3, "")),
    ];
    let mut local = ground.start(&manifests)?;
    let waiting =
        "is not ready: waiting for the keys that tokens of the listener TOKENS are signed";
    local.wait_line(&[waiting], CHANGE_TIMEOUT)?;
    let alice = issuer.token("alice", 600)?;
    let early = by_token(&ground, &alice, &["list"])?;
    ensure!(early.code != 0, "let in without keys: {}", early.all());

    publish(issuer.jwks(), keys)?;
    local.wait_line(&["ready in ", "bootstrap.servers="], CHANGE_TIMEOUT)?;
    eventually(CHANGE_TIMEOUT, || {
        by_token(&ground, &alice, &["produce", "orders"])?.success()
    })?;

    // who is known and may nothing, and who is not known
    let bob = issuer.token("bob", 600)?;
    by_token(&ground, &bob, &["produce", "orders"])?.line_with(&["Topic authorization failed"])?;
    let foreign = Issuer::new()?.token("alice", 600)?;
    let refused = by_token(&ground, &foreign, &["list"])?;
    ensure!(refused.code != 0, "a foreign token: {}", refused.all());
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}
