//! A cluster that nobody reads along with: brokers know one another by certificates, clients log in
//! over TLS; Kafka's tools and librdkafka as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::authority::Authority;
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::{Output, run};
use ottla_e2e::cluster::{Cluster, Shape};
use ottla_e2e::setup;

const PASSWORD: &str = "a \"quoted\" one";

/// A user of the secure listener.
struct User {
    name: &'static str,
    mechanism: &'static str,
    password: &'static str,
}

const ALICE: User = User {
    name: "alice",
    mechanism: "SCRAM-SHA-512",
    password: "alice-secret",
};

const BOB: User = User {
    name: "bob",
    mechanism: "SCRAM-SHA-256",
    password: "bob-secret",
};

const CAROL: User = User {
    name: "carol",
    mechanism: "PLAIN",
    password: PASSWORD,
};

/// Three brokers, and the folder of their certificates: PLAINTEXT for the first steps, SECURE and
/// MUTUAL for users, INTERNAL for brokers.
fn secure(name: &str) -> Result<(Cluster, PathBuf)> {
    let dir = setup::scratch(&format!("{name}-certificates"));
    let authority = Authority::new("Ottla e2e CA");
    std::fs::write(dir.join("broker.pem"), authority.server("broker"))?;
    std::fs::write(dir.join("ca.pem"), authority.pem())?;
    std::fs::write(dir.join("dave.pem"), authority.client("dave"))?;
    let escaped = PASSWORD.replace('"', "\\\"");
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_carol=\"{escaped}\";"
    );
    let shape = Shape::new(name, 3)
        .listener("SECURE")
        .listener("MUTUAL")
        .listener("INTERNAL")
        .with(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:SSL,INTERNAL:SSL,SECURE:SASL_SSL,MUTUAL:SSL",
        )
        .with("inter.broker.listener.name", "INTERNAL")
        .encrypted(&dir)
        .with("listener.name.internal.ssl.client.auth", "required")
        .with("listener.name.mutual.ssl.client.auth", "required")
        .with(
            "listener.name.secure.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        )
        .with("listener.name.secure.plain.sasl.jaas.config", &plain)
        .with(
            "listener.name.secure.scram-sha-512.connections.max.reauth.ms",
            "3000",
        )
        .authorizing();
    Ok((Cluster::start(shape)?, dir))
}

/// The file that a user hands to Kafka's tools.
fn properties(dir: &Path, user: &User) -> Result<String> {
    let module = match user.mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        _ => "scram.ScramLoginModule",
    };
    let password = user.password.replace('"', "\\\\\"");
    let text = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism={}\nssl.truststore.type=PEM\n\
         ssl.truststore.location={}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
         required username=\"{}\" password=\"{password}\";\n",
        user.mechanism,
        dir.join("ca.pem").display(),
        user.name,
    );
    let path = dir.join(format!("{}.properties", user.name));
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// librdkafka as that user, by Python: kcat's own is one that no broker since Kafka 3.9 logs in by
/// SCRAM, as it repeats its nonce.
fn librdkafka(cluster: &Cluster, dir: &Path, user: &User, action: &[&str]) -> Result<Output> {
    let mut command = Command::new(setup::python());
    command
        .arg(setup::checkout().join("e2e/clients/login.py"))
        .arg(format!(
            "bootstrap.servers={}",
            cluster.bootstrap_of("SECURE")
        ))
        .arg("security.protocol=SASL_SSL")
        .arg(format!("ssl.ca.location={}", dir.join("ca.pem").display()))
        .arg(format!("sasl.mechanism={}", user.mechanism))
        .arg(format!("sasl.username={}", user.name))
        .arg(format!("sasl.password={}", user.password))
        .args(action);
    run(command, &[], Duration::from_secs(60))
}

#[test]
fn users_log_in_over_tls_and_do_what_acls_allow() -> Result<()> {
    let (cluster, dir) = secure("secure")?;
    let (plain, secure) = (cluster.bootstrap(), cluster.bootstrap_of("SECURE"));
    Tool::at("TopicCommand", &plain)
        .line("--create --topic orders --partitions 3 --replication-factor 3")
        .run()?;

    // users by kafka-configs, rights by kafka-acls
    for user in [&ALICE, &BOB] {
        let credential = format!("{}=[password={}]", user.mechanism, user.password);
        Tool::at("kafka.admin.ConfigCommand", &plain)
            .line("--alter --entity-type users --entity-name")
            .args(&[user.name, "--add-config", &credential])
            .run()?;
    }
    let listed = Tool::at("kafka.admin.ConfigCommand", &plain)
        .line("--describe --entity-type users")
        .run()?;
    listed.line_with(&["'alice'", "SCRAM-SHA-512=iterations=4096"])?;
    for user in ["alice", "carol"] {
        Tool::at("AclCommand", &plain)
            .args(&["--add", "--allow-principal", &format!("User:{user}")])
            .line("--operation Write --operation Read --topic orders")
            .run()?;
    }
    Tool::at("AclCommand", &plain)
        .line("--add --allow-principal User:alice --operation Read --group readers")
        .run()?;

    // Java, with SCRAM-SHA-512
    let alice = properties(&dir, &ALICE)?;
    Tool::at("ConsoleProducer", &secure)
        .args(&["--topic", "orders", "--producer.config", &alice])
        .input("one\ntwo\n")
        .run()?;
    let read = Tool::new("org.apache.kafka.tools.consumer.ConsoleConsumer")
        .args(&["--bootstrap-server", &secure, "--consumer.config", &alice])
        .line("--topic orders --group readers --from-beginning --max-messages 2")
        .run()?;
    ensure!(read.stdout.contains("one") && read.stdout.contains("two"));
    // and with PLAIN; what nobody allowed is denied, and seen by nobody
    let carol = properties(&dir, &CAROL)?;
    let topics = Tool::at("TopicCommand", &secure)
        .args(&["--list", "--command-config", &carol])
        .run()?;
    ensure!(topics.stdout.trim() == "orders", "{}", topics.all());
    let denied = Tool::at("TopicCommand", &secure)
        .line("--create --topic hers --partitions 1 --replication-factor 1 --command-config")
        .args(&[&carol])
        .output()?;
    denied.line_with(&["Topic authorization failed"])?;

    // librdkafka; the login of SCRAM-SHA-512 holds for 3 s, and is made again without an error
    librdkafka(&cluster, &dir, &CAROL, &["produce", "orders"])?.success()?;
    let seen = librdkafka(&cluster, &dir, &BOB, &["list"])?.success()?;
    ensure!(!seen.stdout.contains("orders"), "{}", seen.all());
    let refused = librdkafka(&cluster, &dir, &BOB, &["produce", "orders"])?;
    refused.line_with(&["Topic authorization failed"])?;
    let flow = librdkafka(&cluster, &dir, &ALICE, &["flow", "orders", "9"])?;
    flow.success()?.line_with(&["sent"])?;
    let wrong = User {
        password: "no",
        ..ALICE
    };
    let refused = librdkafka(&cluster, &dir, &wrong, &["list"])?;
    refused.line_with(&["invalid credentials"])?;

    mutual(&cluster, &dir)
}

/// Certificates say who clients are; who has none, or a user that has gone, is let in nowhere.
fn mutual(cluster: &Cluster, dir: &Path) -> Result<()> {
    let (plain, bootstrap) = (cluster.bootstrap(), cluster.bootstrap_of("MUTUAL"));
    let ca = format!("ssl.ca.location={}", dir.join("ca.pem").display());
    let dave = dir.join("dave.pem").display().to_string();
    let key = [
        format!("ssl.key.location={dave}"),
        format!("ssl.certificate.location={dave}"),
    ];
    let tls = ["-X", "security.protocol=SSL", "-X", &ca];
    let shown = [&tls[..], &["-X", &key[0], "-X", &key[1]]].concat();
    let produce = ["-P", "-t", "orders", "-p", "0"];
    let as_dave = || kcat(&bootstrap, &[&shown[..], &produce].concat(), "five\n");
    as_dave()?.line_with(&["Topic authorization failed"])?;
    Tool::at("AclCommand", &plain)
        .line("--add --allow-principal User:CN=dave --operation Write --topic orders")
        .run()?;
    as_dave()?.success()?;
    let nobody = kcat(&bootstrap, &[&tls[..], &["-L", "-m", "5"]].concat(), "")?;
    ensure!(nobody.code != 0, "without a certificate: {}", nobody.all());

    Tool::at("kafka.admin.ConfigCommand", &plain)
        .line("--alter --entity-type users --entity-name alice --delete-config SCRAM-SHA-512")
        .run()?;
    let gone = librdkafka(cluster, dir, &ALICE, &["list"])?;
    gone.line_with(&["invalid credentials"])
        .context("a user that has gone")?;
    Ok(())
}
