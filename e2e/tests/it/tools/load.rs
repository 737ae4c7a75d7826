//! ProducerPerformance, ConsumerPerformance, EndToEndLatency, VerifiableProducer,
//! VerifiableConsumer.

use anyhow::{Result, ensure};
use ottla_e2e::client::tool::Tool;
use serde_json::Value;

use crate::shared::{bootstrap, topic};

#[test]
fn producer_performance_and_consumer_performance() -> Result<()> {
    let topic = topic("performance", 3);
    let servers = bootstrap();
    let produced = Tool::at("ProducerPerformance", &servers)
        .args(&[
            "--topic",
            &topic,
            "--num-records",
            "50000",
            "--record-size",
            "200",
        ])
        .args(&["--throughput", "-1"])
        .args(&["--command-property", "acks=all"])
        .run()?;
    produced.line_with(&["50000 records sent", "records/sec", "99th"])?;

    let consumed = Tool::at("ConsumerPerformance", &servers)
        .args(&["--topic", &topic, "--num-records", "50000"])
        .run()?;
    let line = consumed.line_with(&["50000"])?;
    let records = line.split(", ").nth(4);
    ensure!(records == Some("50000"), "all records are consumed: {line}");
    Ok(())
}

#[test]
fn end_to_end_latency() -> Result<()> {
    let topic = topic("latency", 1);
    let arguments = ["--topic", &topic, "--num-records", "200"];
    let output = Tool::at("EndToEndLatency", &bootstrap())
        .args(&arguments)
        .args(&["--producer-acks", "all", "--record-size", "100"])
        .run()?;
    output.line_with(&["Avg latency:"])?;
    output.line_with(&["Percentiles:", "99th"])?;
    Ok(())
}

#[test]
fn verifiable_producer_and_verifiable_consumer() -> Result<()> {
    let topic = topic("verifiable", 2);
    let produced = Tool::at("VerifiableProducer", &bootstrap())
        .args(&["--topic", &topic, "--max-messages", "1000", "--acks", "-1"])
        .run()?;
    let acknowledged = events(&produced.stdout, "producer_send_success").count();
    ensure!(
        acknowledged == 1000,
        "{acknowledged} of 1000 are acknowledged"
    );
    let summary = events(&produced.stdout, "tool_data").next();
    ensure!(
        summary.is_some_and(|s| s["acked"] == 1000),
        "{}",
        produced.stdout
    );

    let group = format!("{topic}-group");
    let consumed = Tool::at("VerifiableConsumer", &bootstrap())
        .args(&[
            "--topic",
            &topic,
            "--group-id",
            &group,
            "--max-messages",
            "1000",
        ])
        .args(&["--reset-policy", "earliest"])
        .run()?;
    let count: u64 = events(&consumed.stdout, "records_consumed")
        .filter_map(|event| event["count"].as_u64())
        .sum();
    ensure!(count == 1000, "{count} of 1000 are consumed");
    let assigned = events(&consumed.stdout, "partitions_assigned").next();
    let partitions = assigned.and_then(|event| event["partitions"].as_array().map(Vec::len));
    ensure!(
        partitions == Some(2),
        "both partitions are assigned: {}",
        consumed.stdout
    );
    let committed = events(&consumed.stdout, "offsets_committed").last();
    ensure!(
        committed.is_some_and(|event| event["success"] == true),
        "{}",
        consumed.stdout
    );
    Ok(())
}

/// The lines that are JSON objects with this name.
fn events<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Value> + 'a {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(move |event| event["name"] == name)
}
