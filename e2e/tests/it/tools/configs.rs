//! ConfigCommand.

use anyhow::{Result, ensure};
use ottla_e2e::client::tool::Tool;

use crate::shared::{bootstrap, topic};

fn command() -> Tool {
    Tool::at("kafka.admin.ConfigCommand", &bootstrap())
}

#[test]
fn config_command_on_topics() -> Result<()> {
    let topic = topic("config-command", 1);
    let entity = ["--entity-type", "topics", "--entity-name", &topic];
    let add = "--alter --add-config retention.ms=7200000,cleanup.policy=[compact,delete]";
    let altered = command().line(add).args(&entity).run()?;
    altered.line_with(&["Completed updating config for topic", &topic])?;

    let described = command().args(&["--describe"]).args(&entity).run()?;
    described.line_with(&[
        "retention.ms=7200000",
        "DYNAMIC_TOPIC_CONFIG:retention.ms=7200000",
    ])?;
    described.line_with(&["cleanup.policy=compact,delete"])?;

    let all = command()
        .args(&["--describe", "--all"])
        .args(&entity)
        .run()?;
    all.line_with(&[
        "max.message.bytes=1048588",
        "DEFAULT_CONFIG:message.max.bytes=1048588",
    ])?;
    all.line_with(&["min.insync.replicas=2"])?;

    command()
        .line("--alter --delete-config retention.ms")
        .args(&entity)
        .run()?;
    let described = command().args(&["--describe"]).args(&entity).run()?;
    ensure!(
        !described.stdout.contains("retention.ms=7200000"),
        "{}",
        described.stdout
    );

    let refused = command()
        .line("--alter --add-config retention.ms=soon")
        .args(&entity);
    let refused = refused.output()?;
    ensure!(refused.code != 0, "taken: {}", refused.all());
    refused.line_with(&["InvalidConfigurationException"])?;
    Ok(())
}

#[test]
fn config_command_on_brokers() -> Result<()> {
    let one = ["--entity-type", "brokers", "--entity-name", "1"];
    let all = command().args(&["--describe", "--all"]).args(&one).run()?;
    all.line_with(&["All configs for broker 1"])?;
    all.line_with(&["num.partitions=4", "STATIC_BROKER_CONFIG:num.partitions=4"])?;
    all.line_with(&["node.id=1"])?;

    let everyone = ["--entity-type", "brokers", "--entity-default"];
    let altered = command().line("--alter --add-config log.retention.ms=123456789");
    let altered = altered.args(&everyone).run()?;
    altered.line_with(&["Completed updating default config for brokers in the cluster"])?;
    let described = command().args(&["--describe"]).args(&everyone).run()?;
    described.line_with(&["log.retention.ms=123456789"])?;
    command()
        .line("--alter --delete-config log.retention.ms")
        .args(&everyone)
        .run()?;
    Ok(())
}
