//! ConsoleProducer, ConsoleConsumer, GetOffsetShell, DeleteRecordsCommand.

use anyhow::{Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::setup;

use crate::shared::{bootstrap, fill, topic};

#[test]
fn console_producer_and_consumer() -> Result<()> {
    let topic = topic("console", 1);
    let properties = ["parse.key=true", "parse.headers=true", "key.separator=="];
    let mut producer = Tool::at("ConsoleProducer", &bootstrap()).args(&["--topic", &topic]);
    for property in properties {
        producer = producer.args(&["--reader-property", property]);
    }
    producer
        .input("a:1,b:2\tkey-1=value one\nc:3\tkey-2=value two\n")
        .run()?;

    let consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let mut consumer = Tool::at(consumer, &bootstrap()).args(&["--topic", &topic]);
    for property in ["print.key=true", "print.headers=true", "print.offset=true"] {
        consumer = consumer.args(&["--formatter-property", property]);
    }
    let group = format!("{topic}-group");
    let limits = ["--from-beginning", "--max-messages", "2", "--group", &group];
    let consumed = consumer.args(&limits).run()?;
    consumed.line_with(&["Offset:0", "a:1,b:2", "key-1", "value one"])?;
    consumed.line_with(&["Offset:1", "c:3", "key-2", "value two"])?;
    consumed.line_with(&["Processed a total of 2 messages"])?;
    Ok(())
}

#[test]
fn get_offset_shell() -> Result<()> {
    let topic = topic("offsets", 2);
    fill(&topic, 0, 6);
    fill(&topic, 1, 2);
    // one more in each, in a later batch, so that the largest timestamp has one offset
    fill(&topic, 0, 1);
    fill(&topic, 1, 1);
    let shell = |time: &str| {
        Tool::at("GetOffsetShell", &bootstrap())
            .args(&["--topic", &topic, "--time", time])
            .run()
    };
    let line = |partition: u32, offset: &str| format!("{topic}:{partition}:{offset}");
    for (time, first, second) in [
        ("latest", "7", "3"),
        ("earliest", "0", "0"),
        ("1", "0", "0"),
        ("max-timestamp", "6", "2"),
    ] {
        let output = shell(time)?;
        let expected = [line(0, first), line(1, second)];
        let lines: Vec<_> = output.stdout.lines().collect();
        ensure!(
            lines == expected,
            "--time {time}: {lines:?}, expected {expected:?}"
        );
    }
    Ok(())
}

#[test]
fn delete_records_command() -> Result<()> {
    let topic = topic("delete-records", 1);
    fill(&topic, 0, 10);
    let file = setup::scratch("delete-records").join("offsets.json");
    let offsets = format!(
        r#"{{"version": 1, "partitions": [{{"topic": "{topic}", "partition": 0, "offset": 4}}]}}"#
    );
    std::fs::write(&file, offsets)?;
    let path = file.display().to_string();
    let deleted = Tool::at("DeleteRecordsCommand", &bootstrap());
    let deleted = deleted.args(&["--offset-json-file", &path]).run()?;
    deleted.line_with(&[&format!("{topic}-0"), "low_watermark: 4"])?;
    let earliest = Tool::at("GetOffsetShell", &bootstrap())
        .args(&["--topic", &topic, "--time", "earliest"])
        .run()?;
    earliest.line_with(&[&format!("{topic}:0:4")])?;
    Ok(())
}
