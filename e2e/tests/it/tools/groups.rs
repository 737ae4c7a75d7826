//! ConsumerGroupCommand.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::eventually;
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup;

use crate::shared::{bootstrap, fill, topic};

fn command() -> Tool {
    Tool::at(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &bootstrap(),
    )
}

#[test]
fn consumer_group_command() -> Result<()> {
    let topic = topic("groups", 2);
    let group = format!("{topic}-group");
    fill(&topic, 0, 10);
    fill(&topic, 1, 5);
    let args = [
        "-G",
        &group,
        "-X",
        "auto.offset.reset=earliest",
        "-c",
        "15",
        &topic,
    ];
    kcat(&bootstrap(), &args, "")?.success()?;

    command().args(&["--list"]).run()?.line_with(&[&group])?;
    let described = command().args(&["--describe", "--group", &group]).run()?;
    described.line_with(&["GROUP", "TOPIC", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"])?;
    let line = described.line_with(&[&group, &topic, " 10 "])?;
    ensure!(
        line.split_whitespace().nth(5) == Some("0"),
        "no lag is expected: {line}"
    );

    let state = command()
        .args(&["--describe", "--state", "--group", &group])
        .run()?;
    state.line_with(&[&group, "Empty"])?;

    let earliest = ["--reset-offsets", "--to-earliest", "--execute"];
    let reset = command()
        .args(&earliest)
        .args(&["--group", &group, "--topic", &topic])
        .run()?;
    let line = reset.line_with(&[&group, &topic])?;
    ensure!(
        line.split_whitespace().nth(3) == Some("0"),
        "reset to the start: {line}"
    );

    let one = format!("{topic}:1");
    let deleted = command()
        .args(&["--delete-offsets", "--group", &group, "--topic", &one])
        .run()?;
    deleted.line_with(&["Request succeed", "deleting offsets"])?;
    let described = command().args(&["--describe", "--group", &group]).run()?;
    let lines = described
        .stdout
        .lines()
        .filter(|line| line.contains(&topic))
        .count();
    ensure!(
        lines == 1,
        "only partition 0 has an offset now: {}",
        described.stdout
    );

    let deleted = command().args(&["--delete", "--group", &group]).run()?;
    deleted.line_with(&["Deletion of requested consumer groups", "was successful"])?;
    let listed = command().args(&["--list"]).run()?;
    ensure!(!listed.stdout.contains(&group), "{}", listed.stdout);
    Ok(())
}

#[test]
fn consumer_group_command_sees_members() -> Result<()> {
    let topic = topic("members", 3);
    let group = format!("{topic}-group");
    let dir = setup::scratch("members");
    let mut member = bound_to_us("kcat".as_ref());
    member.args([
        "-b",
        &bootstrap(),
        "-G",
        &group,
        "-X",
        "client.id=a-member",
        &topic,
    ]);
    let _member = Process::start(member, &dir.join("member.log"))?;
    let members = ["--describe", "--members", "--verbose", "--group", &group];
    eventually(Duration::from_secs(30), || {
        let members = command().args(&members).run()?;
        let line = members
            .line_with(&["a-member", "range"])
            .or(members.line_with(&["a-member"]))?;
        ensure!(
            line.contains(" 3 "),
            "three partitions are assigned to it: {line}"
        );
        Ok(())
    })?;
    let state = command()
        .args(&["--describe", "--state", "--group", &group])
        .run()?;
    state.line_with(&[&group, "Stable"])?;
    let refused = command().args(&["--delete", "--group", &group]).output()?;
    refused.line_with(&["GroupNotEmptyException"])?;
    Ok(())
}
