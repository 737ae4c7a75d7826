//! Kafka Connect in distributed mode, its own topics on our brokers: a file goes line by line into
//! a topic, exactly once, and from there into another file, while brokers and the worker are
//! killed.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::kills::{Kills, Plan};
use super::worker::Worker;
use super::{committed, make_topic, on_three_brokers};
use crate::cluster::{Cluster, eventually};

const TOPIC: &str = "lines";
/// What is written into the file each time that kills are looked after.
const LINES_A_STEP: u64 = 10;
const STEP: Duration = Duration::from_millis(100);
const CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";
/// How long the last lines may take: a worker that was killed is waited for by its group.
const REST_TIMEOUT: Duration = Duration::from_secs(300);

/// A file through Connect under kills: what was done and found.
///
/// # Panics
/// The topic is not the file, or the other file lacks a line.
#[must_use]
pub fn run(plan: Plan) -> String {
    on_three_brokers("connect", |cluster| through(plan, cluster))
}

fn through(plan: Plan, cluster: &mut Cluster) -> Result<String> {
    make_topic(&cluster.bootstrap(), TOPIC, 1)?;
    let (source, sink) = (cluster.dir().join("source"), cluster.dir().join("sink"));
    let mut writing = OpenOptions::new().create(true).append(true).open(&source)?;
    let converters = [("key.converter", CONVERTER), ("value.converter", CONVERTER)];
    let mut worker = Worker::start(cluster, &converters)?;
    let place = |path: &Path| path.display().to_string();
    let connectors = [
        json!({
            "name": "source", "connector.class": "FileStreamSource", "tasks.max": "1",
            "file": place(&source), "topic": TOPIC, "exactly.once.support": "required",
        }),
        json!({
            "name": "sink", "connector.class": "FileStreamSink", "tasks.max": "1",
            "file": place(&sink), "topics": TOPIC,
        }),
    ];
    for connector in &connectors {
        worker.configure(connector)?;
    }
    let mut kills = Kills::begin(plan);
    let began = Instant::now();
    let mut lines = 0;
    while !kills.is_over() {
        worker.step(&mut kills, cluster)?;
        if began.elapsed() < plan.duration {
            let more: String = (lines..lines + LINES_A_STEP)
                .map(|line| format!("line {line}\n"))
                .collect();
            writing.write_all(more.as_bytes())?;
            lines += LINES_A_STEP;
        }
        std::thread::sleep(STEP);
    }
    verify(cluster, lines, &sink, &kills.told()).with_context(|| worker.said())
}

/// Whether the topic is the file, and the other file has all of it; tells what was found.
fn verify(cluster: &mut Cluster, lines: u64, sink: &Path, told: &str) -> Result<String> {
    let wanted: Vec<String> = (0..lines).map(|line| format!("line {line}")).collect();
    let all_of = |got: &[String]| -> Result<()> {
        let got: BTreeSet<_> = got.iter().collect();
        let lost = wanted.iter().find(|line| !got.contains(line));
        ensure!(lost.is_none(), "{} lines, without {lost:?}", got.len());
        Ok(())
    };
    eventually(REST_TIMEOUT, || {
        let got = committed(cluster, TOPIC, 0)?;
        ensure!(
            got.last() == wanted.last(),
            "{TOPIC} ends in {:?}",
            got.last()
        );
        ensure!(
            got == wanted,
            "{TOPIC} is not the file: {} lines",
            got.len()
        );
        Ok(())
    })
    .with_context(|| told.to_owned())?;
    let mut written = Vec::new();
    eventually(REST_TIMEOUT, || {
        written = read(sink)?;
        ensure!(
            written.last() == wanted.last(),
            "ends in {:?}",
            written.last()
        );
        all_of(&written)
    })
    .with_context(|| told.to_owned())?;
    Ok(format!(
        "{told} (the client is the worker); {lines} lines of a file: in the topic each once and \
         in order; in the sink's file all, {} of them again, since a file is no part of a \
         transaction",
        written.len() - wanted.len()
    ))
}

fn read(path: &Path) -> Result<Vec<String>> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text.lines().map(str::to_string).collect())
}
