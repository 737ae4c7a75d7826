//! BrokerApiVersionsCommand, ClusterTool, MetadataQuorumCommand, LogDirsCommand, FeatureCommand.

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use serde_json::Value;

use crate::shared::{bootstrap, fill, topic};

#[test]
fn broker_api_versions_command() -> Result<()> {
    let versions = Tool::at("BrokerApiVersionsCommand", &bootstrap()).run()?;
    for id in 0..3 {
        versions.line_with(&[&format!("(id: {id} rack: zone-{id}")])?;
    }
    versions.line_with(&["Produce(0): 0 to 13 [usable: 13]"])?;
    versions.line_with(&["Fetch(1): 4 to 18 [usable: 18]"])?;
    versions.line_with(&["Metadata(3): 0 to 13 [usable: 13]"])?;
    versions.line_with(&["ApiVersions(18): 0 to 4 [usable: 4]"])?;
    Ok(())
}

#[test]
fn cluster_tool() -> Result<()> {
    let id = Tool::new("ClusterTool").line("cluster-id --bootstrap-server");
    let id = id.args(&[&bootstrap()]).run()?;
    let line = id.line_with(&["Cluster ID: "])?;
    let id = line.rsplit(' ').next().context("an id")?;
    ensure!(id.len() == 22, "22 characters of base64: {id}");

    let endpoints = Tool::new("ClusterTool").line("list-endpoints --bootstrap-server");
    let endpoints = endpoints.args(&[&bootstrap()]).run()?;
    for server in bootstrap().split(',') {
        let port = server.rsplit(':').next().context("a port")?;
        endpoints.line_with(&["127.0.0.1", port, "broker"])?;
    }
    Ok(())
}

#[test]
fn metadata_quorum_command() -> Result<()> {
    let status = Tool::at("MetadataQuorumCommand", &bootstrap())
        .line("describe --status")
        .run()?;
    status.line_with(&["ClusterId:"])?;
    let leader = status
        .line_with(&["LeaderId:"])?
        .split_whitespace()
        .nth(1)
        .context("an id")?;
    ensure!(
        ["0", "1", "2"].contains(&leader),
        "the leader is a broker: {leader}"
    );
    let voters = status.line_with(&["CurrentVoters:"])?;
    for id in 0..3 {
        ensure!(voters.contains(&id.to_string()), "three voters: {voters}");
    }
    let replication = Tool::at("MetadataQuorumCommand", &bootstrap());
    let replication = replication.line("describe --replication").run()?;
    replication.line_with(&["NodeId", "LogEndOffset", "Lag"])?;
    let leaders = replication
        .stdout
        .lines()
        .filter(|line| line.contains("Leader"))
        .count();
    let followers = replication
        .stdout
        .lines()
        .filter(|line| line.contains("Follower"))
        .count();
    ensure!((leaders, followers) == (1, 2), "{}", replication.stdout);
    Ok(())
}

#[test]
fn log_dirs_command() -> Result<()> {
    let topic = topic("log-dirs", 1);
    fill(&topic, 0, 100);
    let described = Tool::at("LogDirsCommand", &bootstrap());
    let described = described
        .args(&["--describe", "--topic-list", &topic])
        .run()?;
    let json = described.line_with(&["\"logDirs\""])?;
    let json: Value = serde_json::from_str(json)?;
    let brokers = json["brokers"].as_array().context("brokers")?;
    ensure!(brokers.len() == 3, "{json}");
    for broker in brokers {
        let replica = &broker["logDirs"][0]["partitions"][0];
        ensure!(replica["partition"] == format!("{topic}-0"), "{json}");
        ensure!(
            replica["size"].as_u64() > Some(0),
            "a size in bytes: {json}"
        );
        ensure!(replica["isFuture"] == false, "{json}");
    }
    Ok(())
}

#[test]
fn feature_command() -> Result<()> {
    let described = Tool::at("FeatureCommand", &bootstrap())
        .line("describe")
        .run()?;
    described.line_with(&["Feature: metadata.version", "FinalizedVersionLevel: 4."])?;
    Ok(())
}
