//! Clients that log in by tokens: such as an issuer has signed, and such as brokers give out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::{Output, run};
use ottla_e2e::cluster::{Cluster, Shape};
use ottla_e2e::issuer::Issuer;
use ottla_e2e::setup;

const PACKAGE: &str = "org.apache.kafka.common.security";

/// A broker with a listener for tokens of that issuer, and one for users by SCRAM who may have
/// tokens made.
fn start(name: &str, issuer: &Issuer) -> Result<(Cluster, PathBuf)> {
    let dir = setup::scratch(&format!("{name}-keys"));
    std::fs::write(dir.join("jwks"), issuer.jwks())?;
    let keys = format!("file://{}", dir.join("jwks").display());
    let shape = Shape::new(name, 1)
        .listener("TOKENS")
        .listener("USERS")
        .with(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TOKENS:SASL_PLAINTEXT,USERS:SASL_PLAINTEXT",
        )
        .with("inter.broker.listener.name", "PLAINTEXT")
        .with(
            "listener.name.tokens.sasl.enabled.mechanisms",
            "OAUTHBEARER",
        )
        .with(
            "listener.name.users.sasl.enabled.mechanisms",
            "SCRAM-SHA-256",
        )
        // Apache Kafka asks for these
        .with(
            "listener.name.tokens.oauthbearer.sasl.jaas.config",
            &format!("{PACKAGE}.oauthbearer.OAuthBearerLoginModule required;"),
        )
        .with(
            "listener.name.tokens.oauthbearer.sasl.server.callback.handler.class",
            &format!("{PACKAGE}.oauthbearer.OAuthBearerValidatorCallbackHandler"),
        )
        .with(
            "listener.name.users.scram-sha-256.sasl.jaas.config",
            &format!("{PACKAGE}.scram.ScramLoginModule required;"),
        )
        .taking_tokens(&keys)
        .with("sasl.oauthbearer.clock.skew.seconds", "0")
        .authorizing();
    let cluster = Cluster::start(shape)?;
    let plain = cluster.bootstrap();
    Tool::at("TopicCommand", &plain)
        .line("--create --topic orders --partitions 1 --replication-factor 1")
        .run()?;
    Tool::at("AclCommand", &plain)
        .line("--add --allow-principal User:alice --operation Write --topic orders")
        .run()?;
    Ok((cluster, dir))
}

/// librdkafka with the tokens of that file.
fn librdkafka(cluster: &Cluster, tokens: &Path, action: &[&str]) -> Result<Output> {
    let mut command = Command::new(setup::python());
    command
        .arg(setup::checkout().join("e2e/clients/login.py"))
        .arg(format!(
            "bootstrap.servers={}",
            cluster.bootstrap_of("TOKENS")
        ))
        .arg("security.protocol=SASL_PLAINTEXT")
        .arg("sasl.mechanism=OAUTHBEARER")
        .arg(format!("token.file={}", tokens.display()))
        .args(action);
    run(command, &[], Duration::from_secs(60))
}

/// The topics that Kafka's own tool sees with that file of settings.
fn topics(bootstrap: &str, flags: &[&str], properties: &Path) -> Result<Output> {
    let properties = properties.display().to_string();
    Tool::flagged("org.apache.kafka.tools.TopicCommand", flags)
        .args(&["--bootstrap-server", bootstrap])
        .args(&["--list", "--command-config", &properties])
        .output()
}

/// The id and the HMAC of a delegation token that Kafka's tool has made for alice.
pub fn made_token(bootstrap: &str, properties: &Path) -> Result<(String, String)> {
    let made = Tool::at("DelegationTokenCommand", bootstrap)
        .args(&["--command-config", &properties.display().to_string()])
        .line("--create --max-life-time-period -1")
        .run()?;
    let row = made.line_with(&["User:alice"])?;
    let mut words = row.split_whitespace().map(str::to_owned);
    let token = words.next().zip(words.next());
    token.with_context(|| format!("no token in {row}"))
}

#[test]
fn clients_log_in_by_tokens_of_an_issuer() -> Result<()> {
    let issuer = Issuer::new()?;
    let (cluster, dir) = start("issuer", &issuer)?;
    let file = |name: &str, tokens: &[String]| -> Result<PathBuf> {
        let path = dir.join(name);
        std::fs::write(&path, tokens.join("\n"))?;
        Ok(path)
    };
    // librdkafka: its token ends while it produces, and no record is lost when it shows the next
    // one. It asks for that once 80 % of the time are over, within a second, and shows it at 90 %.
    let tokens = (1..20).map(|n| issuer.token("alice", 12 * n));
    let alice = file("alice", &tokens.collect::<Result<Vec<_>>>()?)?;
    let flow = librdkafka(&cluster, &alice, &["flow", "orders", "15"])?;
    flow.success()?.line_with(&["sent"])?;
    let bob = file("bob", &[issuer.token("bob", 600)?])?;
    let denied = librdkafka(&cluster, &bob, &["produce", "orders"])?;
    denied.line_with(&["Topic authorization failed"])?;
    let foreign = file("foreign", &[Issuer::new()?.token("alice", 600)?])?;
    let refused = librdkafka(&cluster, &foreign, &["list"])?;
    ensure!(refused.code != 0, "{}", refused.all());

    // Java, whose token is in a file
    let bootstrap = cluster.bootstrap_of("TOKENS");
    for (name, token, sees) in [
        ("alice", issuer.token("alice", 600)?, true),
        ("foreign", Issuer::new()?.token("alice", 600)?, false),
    ] {
        let url = format!("file://{}", file(name, &[token])?.display());
        let properties = dir.join(format!("{name}.properties"));
        let package = format!("{PACKAGE}.oauthbearer");
        std::fs::write(
            &properties,
            format!(
                "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
                 sasl.oauthbearer.token.endpoint.url={url}\n\
                 sasl.login.callback.handler.class={package}.OAuthBearerLoginCallbackHandler\n\
                 sasl.jaas.config={package}.OAuthBearerLoginModule required;\n"
            ),
        )?;
        let allowed = format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}");
        let allowed_files = allowed.replace(".urls=file://", ".files=");
        let seen = topics(&bootstrap, &[&allowed, &allowed_files], &properties)?;
        if sees {
            ensure!(seen.stdout.trim() == "orders", "{}", seen.all());
        } else {
            seen.line_with(&["invalid_token"])?;
        }
    }
    Ok(())
}

#[test]
fn delegation_tokens_are_made_by_kafkas_tool_and_log_in() -> Result<()> {
    let (cluster, dir) = start("delegation", &Issuer::new()?)?;
    let (plain, users) = (cluster.bootstrap(), cluster.bootstrap_of("USERS"));
    Tool::at("kafka.admin.ConfigCommand", &plain)
        .line("--alter --entity-type users --entity-name alice --add-config")
        .args(&["SCRAM-SHA-256=[password=secret]"])
        .run()?;
    let properties = |name: &str, login: &str| -> Result<PathBuf> {
        let path = dir.join(name);
        let module = format!("{PACKAGE}.scram.ScramLoginModule");
        std::fs::write(
            &path,
            format!(
                "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
                 sasl.jaas.config={module} required {login};\n"
            ),
        )?;
        Ok(path)
    };
    let alice = properties("alice", "username=\"alice\" password=\"secret\"")?;
    let tool = |config: &Path, line: &str| {
        let config = config.display().to_string();
        Tool::at("DelegationTokenCommand", &users)
            .args(&["--command-config", &config])
            .line(line)
            .output()
    };
    let (id, hmac) = made_token(&users, &alice)?;
    let login = format!("username=\"{id}\" password=\"{hmac}\" tokenauth=\"true\"");
    let by_token = properties("token", &login)?;
    let seen = topics(&users, &[], &by_token)?;
    ensure!(seen.stdout.trim() == "orders", "{}", seen.all());
    let refused = tool(&by_token, "--create --max-life-time-period -1")?;
    refused.line_with(&["not allowed"])?;
    let listed = tool(&alice, "--describe --owner-principal User:alice")?.success()?;
    listed.line_with(&[&id, "User:alice"])?;
    let renewed = format!("--renew --renew-time-period -1 --hmac {hmac}");
    tool(&alice, &renewed)?.success()?;
    let expired = format!("--expire --expiry-time-period -1 --hmac {hmac}");
    tool(&alice, &expired)?.success()?;
    let gone = topics(&users, &[], &by_token)?;
    gone.line_with(&["invalid credentials"])?;
    Ok(())
}
