//! TopicCommand.

use anyhow::{Result, ensure};
use ottla_e2e::client::tool::Tool;

use crate::shared::bootstrap;

fn command() -> Tool {
    Tool::at("TopicCommand", &bootstrap())
}

#[test]
fn topic_command() -> Result<()> {
    let topic = format!("topic-command-{}", std::process::id());
    let create = "--create --partitions 3 --replication-factor 3 --config retention.ms=3600000";
    let created = command().line(create).args(&["--topic", &topic]).run()?;
    created.line_with(&["Created topic", &topic])?;

    let again = command().line(create).args(&["--topic", &topic]).output()?;
    ensure!(again.code != 0);
    again.line_with(&["already exists"])?;

    let described = command().args(&["--describe", "--topic", &topic]).run()?;
    described.line_with(&[
        "PartitionCount: 3",
        "ReplicationFactor: 3",
        "retention.ms=3600000",
    ])?;
    for partition in 0..3 {
        let number = format!("Partition: {partition}");
        let line = described.line_with(&[&number, "Leader: ", "Isr: "])?;
        ensure!(!line.contains("none"), "no leader: {line}");
    }

    command()
        .args(&["--alter", "--partitions", "5", "--topic", &topic])
        .run()?;
    let grown = command().args(&["--describe", "--topic", &topic]).run()?;
    grown.line_with(&["PartitionCount: 5"])?;

    let shrunk = command()
        .args(&["--alter", "--partitions", "4", "--topic", &topic])
        .output()?;
    ensure!(shrunk.code != 0);
    shrunk.line_with(&["currently has 5 partition(s); 4 would not be an increase"])?;

    command().args(&["--list"]).run()?.line_with(&[&topic])?;
    command().args(&["--delete", "--topic", &topic]).run()?;
    let listed = command().args(&["--list"]).run()?;
    ensure!(
        !listed.stdout.contains(&topic),
        "still listed: {}",
        listed.stdout
    );
    Ok(())
}

#[test]
fn topic_command_refuses_what_kafka_refuses() -> Result<()> {
    let cases = [
        (
            "--replication-factor 4 --topic refused",
            "InvalidReplicationFactorException",
        ),
        (
            "--config no.such.config=1 --topic refused",
            "InvalidConfigurationException",
        ),
        (
            "--config min.insync.replicas=0 --topic refused",
            "Value must be at least 1",
        ),
    ];
    for (arguments, error) in cases {
        let output = command()
            .line("--create --partitions 1")
            .line(arguments)
            .output()?;
        ensure!(output.code != 0, "{arguments} was taken: {}", output.all());
        output.line_with(&[error])?;
    }
    Ok(())
}
