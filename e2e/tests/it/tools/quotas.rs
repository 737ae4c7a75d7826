//! ConfigCommand on quotas, and clients that have one.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;

use crate::shared::{bootstrap, topic};

const QUOTA_BYTES: f64 = 200_000.0;
const RECORDS: f64 = 20_000.0;
const RECORD_BYTES: f64 = 200.0;

fn command() -> Tool {
    Tool::at("kafka.admin.ConfigCommand", &bootstrap())
}

#[test]
fn config_command_on_users_clients_and_addresses() -> Result<()> {
    let user = ["--entity-type", "users", "--entity-name", "quota-user"];
    let client = ["--entity-type", "clients", "--entity-name", "quota-client"];
    let both: Vec<&str> = user.iter().chain(&client).copied().collect();
    let ip = ["--entity-type", "ips", "--entity-name", "203.0.113.7"];
    let cases: [(&[&str], &str, &str); 4] = [
        (&user, "request_percentage=12.5", "request_percentage=12.5"),
        (
            &client,
            "consumer_byte_rate=4096",
            "consumer_byte_rate=4096.0",
        ),
        (
            &both,
            "producer_byte_rate=1024",
            "producer_byte_rate=1024.0",
        ),
        (
            &ip,
            "connection_creation_rate=50",
            "connection_creation_rate=50.0",
        ),
    ];
    for (entity, set, told) in cases {
        command()
            .args(&["--alter", "--add-config", set])
            .args(entity)
            .run()?;
        let described = command().args(&["--describe"]).args(entity).run()?;
        described.line_with(&["Quota configs for", told])?;
        let key = set.split('=').next().unwrap_or_default();
        command()
            .args(&["--alter", "--delete-config", key])
            .args(entity)
            .run()?;
        let described = command().args(&["--describe"]).args(entity).run()?;
        ensure!(!described.stdout.contains(told), "{}", described.stdout);
    }
    let refused = command().args(&["--alter", "--add-config", "producer_byte_rate=-1"]);
    let refused = refused.args(&client).output()?;
    ensure!(refused.code != 0, "taken: {}", refused.all());
    refused.line_with(&["Quota producer_byte_rate must be greater than 0"])?;
    Ok(())
}

/// A topic, and the quota for the client whose id is the same.
fn limited(name: &str, quota: &str) -> Result<String> {
    let topic = topic(name, 1);
    command()
        .args(&["--alter", "--add-config", &format!("{quota}={QUOTA_BYTES}")])
        .args(&["--entity-type", "clients", "--entity-name", &topic])
        .run()?;
    Ok(topic)
}

/// Whether all records in so many seconds are what the quota allows. Who was idle may take at once
/// what ten windows of a second have room for.
fn judge(seconds: f64, told: &str) -> Result<()> {
    let paid = (RECORDS * RECORD_BYTES - 10.0 * QUOTA_BYTES) / seconds;
    ensure!(paid <= 1.1 * QUOTA_BYTES, "{paid} bytes a second: {told}");
    // a client that is held up for longer than the quota asks for is too slow by far
    ensure!(paid >= 0.2 * QUOTA_BYTES, "{paid} bytes a second: {told}");
    Ok(())
}

/// A number of a line of `, ` and the place it stands at.
fn number(line: &str, place: usize) -> Result<f64> {
    let part = line.split(", ").nth(place).context("a column")?;
    let word = part.split_whitespace().next().context("a number")?;
    word.parse().with_context(|| line.to_owned())
}

#[test]
fn javas_producer_keeps_to_its_quota() -> Result<()> {
    let topic = limited("produced", "producer_byte_rate")?;
    let produced = Tool::at("ProducerPerformance", &bootstrap())
        .args(&["--topic", &topic, "--throughput", "-1"])
        .args(&["--num-records", &RECORDS.to_string()])
        .args(&["--record-size", &RECORD_BYTES.to_string()])
        .args(&["--command-property", &format!("client.id={topic}")])
        .run()?;
    let line = produced.line_with(&["20000 records sent", "records/sec"])?;
    judge(RECORDS / number(line, 1)?, line)
}

#[test]
fn javas_consumer_keeps_to_its_quota() -> Result<()> {
    let topic = limited("consumed", "consumer_byte_rate")?;
    say(&topic, "another")?;
    let consumed = Tool::at("ConsumerPerformance", &bootstrap())
        .args(&["--topic", &topic, "--num-records", &RECORDS.to_string()])
        .args(&["--timeout", "60000", "--hide-header"])
        .args(&["--command-property", &format!("client.id={topic}")])
        .run()?;
    // start.time, end.time, data.consumed.in.MB, MB.sec, …
    let line = consumed.line_with(&[", 3.8147,"])?;
    judge(number(line, 2)? / number(line, 3)?, line)
}

#[test]
fn librdkafka_keeps_to_its_quota() -> Result<()> {
    let topic = limited("said", "producer_byte_rate")?;
    let began = Instant::now();
    say(&topic, &topic)?;
    judge(began.elapsed().as_secs_f64(), "kcat")
}

/// kcat produces all records as this client.
fn say(topic: &str, client_id: &str) -> Result<()> {
    let record = format!("{}\n", "x".repeat(RECORD_BYTES as usize));
    let client = format!("client.id={client_id}");
    let args = ["-P", "-t", topic, "-p", "0", "-X", &client];
    kcat(&bootstrap(), &args, &record.repeat(RECORDS as usize))?.success()?;
    Ok(())
}
