//! LeaderElectionCommand and ReassignPartitionsCommand.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::eventually;
use ottla_e2e::setup;

use crate::shared::{bootstrap, fill, topic};

fn reassign() -> Tool {
    Tool::at(
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        &bootstrap(),
    )
}

#[test]
fn reassign_partitions_command_and_leader_election_command() -> Result<()> {
    let name = format!("reassigned-{}", std::process::id());
    let create = [
        "--create",
        "--topic",
        &name,
        "--replica-assignment",
        "0:1,1:2",
    ];
    Tool::at("TopicCommand", &bootstrap()).args(&create).run()?;
    fill(&name, 0, 500);
    let dir = setup::scratch("reassign");
    let write = |file: &str, text: String| -> Result<String> {
        let path = dir.join(file);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };

    let topics = write(
        "topics.json",
        format!(r#"{{"topics":[{{"topic":"{name}"}}],"version":1}}"#),
    )?;
    let generate = [
        "--generate",
        "--topics-to-move-json-file",
        &topics,
        "--broker-list",
        "0,1,2",
    ];
    let generated = reassign().args(&generate).run()?;
    generated.line_with(&["Current partition replica assignment"])?;
    generated.line_with(&["Proposed partition reassignment configuration"])?;

    let plan = write(
        "plan.json",
        format!(
            r#"{{"version":1,"partitions":[{{"topic":"{name}","partition":0,"replicas":[2,0]}}]}}"#
        ),
    )?;
    let executed = reassign()
        .args(&["--execute", "--reassignment-json-file", &plan])
        .run()?;
    executed.line_with(&["Successfully started partition reassignment for", &name])?;
    let verify = ["--verify", "--reassignment-json-file", &plan];
    eventually(Duration::from_secs(30), || {
        let verified = reassign().args(&verify).run()?;
        verified.line_with(&[&format!("Reassignment of partition {name}-0 is completed.")])?;
        Ok(())
    })?;
    let describe = ["--describe", "--topic", &name];
    let described = Tool::at("TopicCommand", &bootstrap())
        .args(&describe)
        .run()?;
    described.line_with(&["Partition: 0", "Replicas: 2,0"])?;

    elects_the_preferred_leader(&name)?;
    let described = Tool::at("TopicCommand", &bootstrap())
        .args(&describe)
        .run()?;
    described.line_with(&["Partition: 0", "Leader: 2", "Replicas: 2,0"])?;
    Ok(())
}

fn elects_the_preferred_leader(name: &str) -> Result<()> {
    let election = [
        "--election-type",
        "preferred",
        "--topic",
        name,
        "--partition",
        "0",
    ];
    let elected = Tool::at("LeaderElectionCommand", &bootstrap())
        .args(&election)
        .run()?;
    let words = [
        "Successfully completed leader election (PREFERRED) for partitions",
        "Valid replica already elected for partitions",
    ];
    ensure!(
        words.iter().any(|words| elected.stdout.contains(words)),
        "{}",
        elected.all()
    );
    Ok(())
}

#[test]
fn reassign_partitions_command_refuses_an_unknown_broker() -> Result<()> {
    let name = topic("reassign-refused", 1);
    let path = setup::scratch("reassign-refused").join("plan.json");
    let plan = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{name}","partition":0,"replicas":[7]}}]}}"#
    );
    std::fs::write(&path, plan)?;
    let path = path.display().to_string();
    let refused = reassign()
        .args(&["--execute", "--reassignment-json-file", &path])
        .output()?;
    ensure!(refused.code != 0, "{}", refused.all());
    Ok(())
}
